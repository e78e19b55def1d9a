//! Becoming a member of a cluster at a start: who this node is, where its cluster map is, what it has to say of itself.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use cluster::agent;
use cluster::record::Addresses;
use model::{Incarnation, Member, NodeId, Now, Zone};
use node::{Membership, Node, Noted, RestoredCopy};
use store::{StoreConfig, Tuning};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::accept::Listener;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::cluster::Meta;
use crate::directory::{Directory, Folders};
use crate::identity::{self, Identity};
use crate::links::{Introduction, Links};
use crate::message::Mailbox;
use crate::metadata;
use crate::outside::{Outside, nobody};
use crate::pages::MappedPages;
use crate::plane::Plane;
use crate::ports::Ports;
use crate::process;
use crate::restore;
use crate::serve::{StartError, address_error, random, system};
use crate::settings;

/// Questions to the metadata store that may wait to be carried. The agent asks each again that is not answered.
const ASKS: usize = 256;

/// What a member starts with, before it knows its number.
pub struct Candidate {
    listener: Listener,
    store: metadata::Store,
    identity: Identity,
    /// What the data directory has, of this life or an earlier one.
    copies: Vec<RestoredCopy>,
    addresses: Addresses,
    process: u64,
    /// Where this process keeps the metadata store, if it does.
    pub keeps_at: Option<SocketAddr>,
    ports: Ports,
}

impl Candidate {
    /// Takes the peer address, begins to keep the metadata store if this process does, and looks who this node is.
    ///
    /// # Errors
    /// One of these cannot be had.
    pub fn new(
        config: &Config,
        directory: Option<&Directory>,
        client: SocketAddr,
        admin: Option<SocketAddr>,
        runtime: &Handle,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let ports = Ports::bind(config)?;
        let cluster = &config.cluster;
        if cluster.shards != 1 && config.guards.iter().any(|g| !g.lock_suffix.is_empty()) {
            warn!(
                "lock-suffix: in a cluster a lock guards only a session whose key is in the same shard, as with a hash tag in common"
            );
        }
        let listener = Listener::bind(cluster.peer)
            .map_err(|error| address_error("peer", &cluster.peer.to_string(), &error))?;
        let mut addresses = addresses(&cluster.announce, client, listener.address, admin)?;
        addresses.forwarding = text_of(&cluster.announce, ports.forward())?;
        addresses.sentinel = text_of(&cluster.announce, ports.sentinel())?;
        let keeps_at = keep(config, directory, runtime)?;
        let _inside = runtime.enter();
        let store = metadata::connect(cluster, keeps_at)
            .map_err(|error| system("reach the metadata store", &error))?;
        let (identity, copies) = who_and_what(config, directory, clock)
            .map_err(|error| system("tell which node this is, and what it holds", &error))?;
        let process = match (cluster.process, directory) {
            (Some(shared), _) => shared,
            (None, Some(directory)) => directory.id,
            (None, None) => u64::from_le_bytes(random()?),
        };
        Ok(Self {
            listener,
            store,
            identity,
            copies,
            addresses,
            process,
            keeps_at,
            ports,
        })
    }

    /// The copies that it still has.
    pub fn take_copies(&mut self) -> Vec<RestoredCopy> {
        std::mem::take(&mut self.copies)
    }

    /// Gets a number. Waits for the metadata store if this node has none yet.
    ///
    /// # Errors
    /// The data directory belongs to a node with another number.
    pub fn settle(
        &self,
        config: &Config,
        directory: Option<&Directory>,
        runtime: &Handle,
    ) -> Result<Member, StartError> {
        let zone = config.cluster.zone;
        let record = identity::record(
            self.identity.life,
            self.process,
            zone,
            self.addresses.clone(),
        );
        let settle = self
            .identity
            .settle(config.cluster.node, directory, &self.store, &record);
        runtime
            .block_on(settle)
            .map_err(|error| system("become a member", &error))
    }

    /// What the ready line says of it.
    pub fn about(&self, config: &Config, me: Member) -> String {
        let meta = self
            .keeps_at
            .map_or_else(String::new, |address| format!(", meta tenure://{address}"));
        let peer = self.listener.address;
        format!(
            ", cluster {}, node {}, peer {peer}{meta}{}",
            config.cluster.name,
            me.node.0,
            self.ports.about()
        )
    }

    /// The agent with its links; its questions are carried on the runtime.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn join(
        self,
        config: &Config,
        me: Member,
        now: Now,
        (mailbox, max_clients, client): (Mailbox, usize, SocketAddr),
        runtime: &Handle,
    ) -> Result<Plane, StartError> {
        let cluster = &config.cluster;
        let identity = agent::Identity {
            me,
            process: self.process,
            zone: Zone(cluster.zone),
            addresses: self.addresses,
            settings: cluster.settings(),
        };
        let introduction = Introduction {
            me,
            cluster: cluster.name.clone(),
            secret: cluster.secret.clone().into_bytes(),
            run: u64::from_le_bytes(random()?),
        };
        let (asks, asked) = mpsc::channel(ASKS);
        runtime.spawn(metadata::carry(self.store, asked, mailbox));
        let room = settings::link_bytes(config) as usize;
        let links = Links::new(introduction, self.listener, room);
        let agent = agent::Agent::new(identity, now);
        let (tell, told) = watch::channel(Arc::new(nobody(me)));
        let ports = self.ports.start(config, max_clients, client, told)?;
        let outside = Outside::new(tell, ports);
        let name = cluster.name.clone();
        Ok(Plane::new(agent, links, name, asks, outside))
    }
}

/// Who this node is, and what it has of copies. If any copy of its life has lost something, that life is over: nothing that it has said can
/// be relied on any more, and what there is is left by an earlier life.
fn who_and_what(
    config: &Config,
    directory: Option<&Directory>,
    clock: Clock,
) -> io::Result<(Identity, Vec<RestoredCopy>)> {
    let identity = Identity::take(directory, config.sync)?;
    let Some(directory) = directory else {
        return Ok((identity, Vec::new()));
    };
    let terms = terms_of_stores(config, Some(directory));
    let threads = restore::threads(config);
    let folders = Folders::of(directory);
    let restore::Found { copies, nameless } =
        restore::restore_copies(terms, &folders, threads, clock)?;
    let is_own = |note: &[u8]| Noted::read(note).is_some_and(|note| note.life == identity.life);
    let has_lost = |(copy, is_whole): &(RestoredCopy, bool)| !is_whole && is_own(&copy.note);
    let identity = if !nameless.is_empty() || copies.iter().any(has_lost) {
        warn!(
            "this node begins a new life: what it has serves the others if too few of them have more"
        );
        identity.renewed(directory)?
    } else {
        identity
    };
    // Not before: the next start would see no reason for another life.
    for copy in nameless {
        folders.remove(copy)?;
    }
    let copies = copies.into_iter().map(|(copy, _)| copy);
    Ok((identity, copies.collect()))
}

/// How the stores of copies are made.
#[must_use]
pub fn terms_of_stores(config: &Config, directory: Option<&Directory>) -> (StoreConfig, Tuning) {
    let terms = membership(config, directory, NOBODY, 0);
    (terms.store(), terms.tuning())
}

/// Stands for a member where it does not matter who it is.
const NOBODY: Member = Member {
    node: NodeId(0),
    incarnation: Incarnation(0),
};

/// `seed` is secret and never used twice.
fn membership(config: &Config, directory: Option<&Directory>, me: Member, seed: u64) -> Membership {
    let limits = settings::of_store(config, settings::index_secret(config));
    Membership {
        me,
        replica: settings::of_replica(config),
        memory_bytes: limits.memory_bytes,
        sync: limits.sync,
        directory: directory.map(|directory| directory.id),
        pages: || Box::new(MappedPages),
        shard: settings::of_shard(config, seed),
        seed: limits.seed,
    }
}

/// A node that is a member, with the copies that it still has.
///
/// # Errors
/// The system gives no random numbers.
pub fn start_node(
    config: &Config,
    (me, copies): (Member, Vec<RestoredCopy>),
    directory: Option<&Directory>,
    max_clients: usize,
    client: SocketAddr,
    clock: Clock,
) -> Result<Node, StartError> {
    let membership = membership(config, directory, me, u64::from_le_bytes(random()?));
    let commands = settings::of_commands(config, max_clients, client.to_string());
    let now = clock.now();
    let mut node = Node::new_member(membership, copies, commands, random()?, now);
    node.server_mut().process = process::identity();
    Ok(node)
}

fn keep(
    config: &Config,
    directory: Option<&Directory>,
    runtime: &Handle,
) -> Result<Option<SocketAddr>, StartError> {
    let (Some(Meta::Embedded), Some(directory)) = (&config.cluster.meta, directory) else {
        return Ok(None);
    };
    let (listen, secret) = (config.cluster.meta_listen, &config.cluster.secret);
    let kept = metadata::keep(directory.path(), listen, secret, runtime);
    kept.map(Some)
        .map_err(|error| address_error("meta-listen", &listen.to_string(), &error))
}

/// Where others reach this node.
fn addresses(
    announce: &str,
    client: SocketAddr,
    peer: SocketAddr,
    admin: Option<SocketAddr>,
) -> Result<Addresses, StartError> {
    Ok(Addresses {
        client: text(announce, client)?,
        peer: resolved(announce, peer)?.to_string(),
        admin: text_of(announce, admin)?,
        ..Addresses::default()
    })
}

/// As [`text`]; empty for none.
fn text_of(announce: &str, address: Option<SocketAddr>) -> Result<String, StartError> {
    address.map_or_else(|| Ok(String::new()), |address| text(announce, address))
}

fn text(announce: &str, address: SocketAddr) -> Result<String, StartError> {
    let port = address.port();
    match announce.parse() {
        Ok(ip) => Ok(SocketAddr::new(ip, port).to_string()),
        Err(_) if !announce.is_empty() => Ok(format!("{announce}:{port}")),
        Err(_) if address.ip().is_unspecified() => Err(StartError::new(format!(
            "{address} is no address that others could use: say with --announce under which name or address they reach this machine"
        ))),
        Err(_) => Ok(address.to_string()),
    }
}

/// As [`text`], with the name looked up: links are opened on the node's own thread, which waits for nobody.
fn resolved(announce: &str, address: SocketAddr) -> Result<SocketAddr, StartError> {
    let text = text(announce, address)?;
    let found = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| StartError::new(format!("announce {announce}: no such host is known here")))
}
