//! The metadata store, as this server reaches it, and as it keeps it for its peers.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use cluster::AskId;
use cluster::metadata::{Ask, Listing, Outcome, Revision, Transaction};
use meta::embedded::{Accepting, Client, Keeper, Server};
use meta::etcd::{self, Etcd};
use meta::{MetaStore, Watch};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::config::cluster::{ClusterConfig, Meta};
use crate::message::{Mailbox, Message};
use crate::serve::{StartError, address_error};

/// The file of an embedded store, in the data directory.
const FILE: &str = "metadata.redb";
/// Answers that may wait to be sent on.
const ANSWERS: usize = 256;

/// A metadata store of either kind.
#[derive(Debug)]
pub enum Store {
    /// One process keeps it.
    Tenure(Client),
    /// etcd.
    Etcd(Box<Etcd>),
}

impl MetaStore for Store {
    async fn transact(&self, transaction: &Transaction) -> Outcome {
        match self {
            Self::Tenure(client) => client.transact(transaction).await,
            Self::Etcd(etcd) => etcd.transact(transaction).await,
        }
    }

    async fn list(&self) -> Option<Listing> {
        match self {
            Self::Tenure(client) => client.list().await,
            Self::Etcd(etcd) => etcd.list().await,
        }
    }

    async fn watch(&self, after: Revision) -> Watch {
        match self {
            Self::Tenure(client) => client.watch(after).await,
            Self::Etcd(etcd) => etcd.watch(after).await,
        }
    }

    fn trouble(&self) -> Option<String> {
        match self {
            Self::Tenure(client) => client.trouble(),
            Self::Etcd(etcd) => etcd.trouble(),
        }
    }
}

/// The store that the configuration names. `kept_at` is where this process keeps it, if it does. To be called where a runtime is.
///
/// # Errors
/// A file cannot be read, or an address or a certificate cannot be understood.
pub fn connect(config: &ClusterConfig, kept_at: Option<SocketAddr>) -> io::Result<Store> {
    let secret = config.secret.as_bytes();
    let client = |address: &str| Store::Tenure(Client::new(address, secret));
    match (&config.meta, kept_at) {
        (_, Some(address)) => Ok(client(&address.to_string())),
        (Some(Meta::Tenure(address)), None) => Ok(client(address)),
        (Some(Meta::Etcd(members)), None) => {
            let etcd = Etcd::new(etcd_settings(config, members)?).map_err(io::Error::other)?;
            Ok(Store::Etcd(Box::new(etcd)))
        }
        (Some(Meta::Embedded) | None, None) => {
            unreachable!("an embedded store is kept before it is asked, and only members ask")
        }
    }
}

fn etcd_settings(config: &ClusterConfig, members: &[String]) -> io::Result<etcd::Settings> {
    let read = |path: &Option<std::path::PathBuf>| match path {
        Some(path) => std::fs::read(path).map(Some).map_err(|error| {
            io::Error::other(format!("{}: cannot read it: {error}", path.display()))
        }),
        None => Ok(None),
    };
    let authority = read(&config.meta_ca)?;
    let scheme = if authority.is_some() { "https" } else { "http" };
    let login = (config.meta_user.clone(), config.meta_password.clone());
    Ok(etcd::Settings {
        endpoints: members
            .iter()
            .map(|member| format!("{scheme}://{member}"))
            .collect(),
        prefix: format!("/tenure/{}/", config.name),
        login: (!config.meta_user.is_empty()).then_some(login),
        identity: read(&config.meta_cert)?.zip(read(&config.meta_key)?),
        authority,
    })
}

/// Keeps an embedded store in this directory and serves it, on the runtime. Returns where.
///
/// # Errors
/// The file is in use or damaged, or the address cannot be listened on.
pub fn keep(
    directory: &Path,
    listen: SocketAddr,
    secret: &str,
    runtime: &Handle,
) -> io::Result<SocketAddr> {
    let path = directory.join(FILE);
    let (keeper, thread) = Keeper::open(&path)
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    std::thread::Builder::new()
        .name("tenure-meta".into())
        .spawn(move || {
            let _ = thread.join();
            error!("the metadata store's disk has failed: it answers nothing any more; mend the disk and start this process again");
        })?;
    let settings = meta::embedded::Settings {
        listen,
        secret: secret.as_bytes().to_vec(),
    };
    let server = runtime.block_on(Server::bind(settings, keeper))?;
    let address = server.address()?;
    info!(%address, "keeping the metadata store");
    runtime.spawn(server.run(log_accepting));
    Ok(address)
}

/// Nodes that cannot reach the map say so in their logs; here stands why.
fn log_accepting(now: Accepting) {
    match now {
        Accepting::Fails(_) => warn!(
            "the metadata store: {now}; trying again, raise the limit of open files (ulimit -n) if it is that"
        ),
        Accepting::Again => info!("the metadata store: {now}"),
    }
}

/// Keeps an embedded store and does nothing else, for ever. `ready` is told where.
///
/// # Errors
/// The file is in use or damaged, the address cannot be listened on, or later the disk fails.
pub fn keep_alone(
    file: &Path,
    listen: SocketAddr,
    secret: &str,
    ready: impl FnOnce(SocketAddr),
) -> Result<Infallible, StartError> {
    let failed =
        |error: &dyn std::fmt::Display| StartError::new(format!("{}: {error}", file.display()));
    let (keeper, thread) = Keeper::open(file).map_err(|error| failed(&error))?;
    let settings = meta::embedded::Settings {
        listen,
        secret: secret.as_bytes().to_vec(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))?;
    let bound = runtime.block_on(Server::bind(settings, keeper));
    let server = bound.map_err(|error| address_error("listen", &listen.to_string(), &error))?;
    ready(server.address().map_err(|error| failed(&error))?);
    // The keeper ends only when its disk fails.
    let keeper = runtime.spawn_blocking(move || thread.join().is_ok());
    runtime.block_on(async {
        tokio::select! {
            served = server.run(log_accepting) => Err(failed(&format_args!("nothing can be accepted any more: {served:?}"))),
            _ = keeper => Err(failed(&"the disk has failed: mend it and start again")),
        }
    })
}

/// Carries the agent's questions to the store, and the answers to the node's thread, until there are no more.
pub async fn carry(store: Store, asks: mpsc::Receiver<(AskId, Ask)>, mailbox: Mailbox) {
    let (answers, mut answered) = mpsc::channel(ANSWERS);
    let store = Arc::new(store);
    let tell = async {
        let mut told = Told::default();
        while let Some((ask, answer)) = answered.recv().await {
            told.look(store.trouble());
            if !mailbox.send(Message::Answered(ask, answer)) {
                return;
            }
        }
    };
    let carry = meta::courier::carry(Arc::clone(&store), asks, answers);
    tokio::join!(carry, tell);
}

/// What the log says of a store that does not answer: once for each reason, as it is asked all the time, and not for a single question
/// that met a member of etcd that is down.
#[derive(Debug, Default)]
struct Told {
    /// Why the last question was not answered, and how many in a row were not, for this reason or another.
    last: Option<String>,
    failed: u32,
    /// How often in a row it was this reason.
    same: u32,
    /// The reason that stands in the log.
    told: Option<String>,
}

/// Questions in a row that are not answered, before that is worth a line.
const FAILED: u32 = 2;
/// Times in a row that another reason is given, before that is worth another line.
const SAME: u32 = 3;

impl Told {
    fn look(&mut self, trouble: Option<String>) {
        self.same = if self.last == trouble {
            self.same + 1
        } else {
            1
        };
        self.last = trouble;
        let Some(why) = &self.last else {
            self.failed = 0;
            if self.told.take().is_some() {
                info!("the metadata store answers again");
            }
            return;
        };
        self.failed += 1;
        let is_news = match &self.told {
            None => self.failed >= FAILED,
            Some(told) => told != why && self.same >= SAME,
        };
        if is_news {
            warn!(why, "the metadata store does not answer");
            self.told = Some(why.clone());
        }
    }
}
