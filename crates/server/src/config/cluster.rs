//! The keys that make a server a member of a cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use cluster::record::Settings;
use model::limits::{MAX_ADDRESS_BYTES, MAX_NODES, MAX_SHARDS, MAX_TARGET_COPIES};

use super::keys::MIN_MEMORY_BYTES;
use super::units::size_text;
use super::{Config, ConfigError};

/// One for each core of a large machine.
const MAX_NODES_OF_A_PROCESS: u64 = 256;

/// Where the cluster map is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meta {
    /// In a file in this server's data directory; peers are served too.
    Embedded,
    /// At this address (`host:port`) by another process.
    Tenure(String),
    /// In etcd, whose members are at these addresses (`host:port`).
    Etcd(Vec<String>),
}

/// What is set for a member of a cluster. Each field is the key of nearly the same name, whose summary stands in the table.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct ClusterConfig {
    pub meta: Option<Meta>,
    pub meta_listen: SocketAddr,
    pub meta_user: String,
    pub meta_password: String,
    pub meta_ca: Option<PathBuf>,
    pub meta_cert: Option<PathBuf>,
    pub meta_key: Option<PathBuf>,
    pub name: String,
    pub secret: String,
    pub peer: SocketAddr,
    pub announce: String,
    pub forward: Option<SocketAddr>,
    pub forward_wait_ms: u64,
    pub sentinel: Option<SocketAddr>,
    pub sentinel_master: String,
    pub node: Option<u32>,
    pub nodes: u16,
    /// Which process this node shares with others; none of its own number if it shares none. Not a key.
    pub process: Option<u64>,
    pub zone: u16,
    pub shards: u16,
    pub copies: u8,
    pub quorum: Option<u8>,
    pub initial_nodes: Option<u16>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            meta: None,
            meta_listen: nowhere,
            meta_user: String::new(),
            meta_password: String::new(),
            meta_ca: None,
            meta_cert: None,
            meta_key: None,
            name: String::new(),
            secret: String::new(),
            peer: nowhere,
            announce: String::new(),
            forward: None,
            forward_wait_ms: 0,
            sentinel: None,
            sentinel_master: String::new(),
            node: None,
            nodes: 1,
            process: None,
            zone: 0,
            shards: 0,
            copies: 0,
            quorum: None,
            initial_nodes: None,
        }
    }
}

impl ClusterConfig {
    /// What a cluster that does not exist yet is created with.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            shards: self.shards,
            copies: self.copies,
            write_quorum: self.quorum.unwrap_or(self.copies / 2 + 1),
            initial_nodes: self.initial_nodes.unwrap_or(u16::from(self.copies)),
        }
    }

    /// Checks what belongs together.
    pub(super) fn check(&self, config: &Config) -> Result<(), ConfigError> {
        let Some(meta) = &self.meta else {
            return match self.nodes {
                1 => Ok(()),
                _ => Err(ConfigError::new(
                    "nodes: several nodes are a cluster: say with meta where its map is kept",
                )),
            };
        };
        self.check_nodes(config, meta)?;
        if self.settings().check().is_err() {
            return Err(ConfigError(format!(
                "quorum = {}, copies = {}: a write quorum is more than half of the copies and at most all of them",
                self.settings().write_quorum,
                self.copies
            )));
        }
        if *meta == Meta::Embedded && config.dir.is_none() {
            return Err(ConfigError::new(
                "meta = embedded keeps the cluster map in the data directory, and dir = off: give a directory, or let another process keep it (`tenure meta`)",
            ));
        }
        self.check_way_to_etcd(meta)?;
        self.check_exposure(config, meta)?;
        self.check_ports(config)
    }

    /// What would be ignored in silence would leave somebody in the belief that it is safe.
    fn check_way_to_etcd(&self, meta: &Meta) -> Result<(), ConfigError> {
        let keys = [
            ("meta-user", !self.meta_user.is_empty()),
            ("meta-password", !self.meta_password.is_empty()),
            ("meta-ca", self.meta_ca.is_some()),
            ("meta-cert", self.meta_cert.is_some()),
            ("meta-key", self.meta_key.is_some()),
        ];
        let given = keys.iter().find(|(_, is_given)| *is_given);
        if let (Some((key, _)), false) = (given, matches!(meta, Meta::Etcd(_))) {
            return Err(ConfigError(format!(
                "{key} is about etcd, and meta = {} is none: leave it out",
                meta_text(meta)
            )));
        }
        let wrong = if self.meta_cert.is_some() != self.meta_key.is_some() {
            "meta-cert and meta-key belong together: give both or none"
        } else if self.meta_cert.is_some() && self.meta_ca.is_none() {
            "meta-cert is shown over TLS only, and without meta-ca etcd is reached in plain text: give meta-ca too"
        } else if self.meta_user.is_empty() && !self.meta_password.is_empty() {
            "meta-password is nobody's: give meta-user too"
        } else {
            return Ok(());
        };
        Err(ConfigError::new(wrong))
    }

    /// What clients reach without knowing the cluster asks for the password that they need anyway.
    fn check_ports(&self, config: &Config) -> Result<(), ConfigError> {
        let open = [("forward", self.forward), ("sentinel", self.sentinel)];
        let mut open = open
            .iter()
            .filter_map(|(key, address)| Some((key, (*address)?)));
        let open = open.find(|(_, address)| !address.ip().is_loopback());
        match open {
            Some((key, address)) if config.password.is_empty() && !config.allow_unauthenticated => {
                Err(ConfigError(format!(
                    "{key} = {address} is reachable from other machines and there is no password: set password, password-file or \
                     TENURE_PASSWORD, use a loopback address, or say allow-unauthenticated if the network itself keeps strangers out"
                )))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_nodes(&self, config: &Config, meta: &Meta) -> Result<(), ConfigError> {
        let share = config.memory_bytes / u64::from(self.nodes);
        if share < MIN_MEMORY_BYTES {
            return Err(ConfigError(format!(
                "memory = {} is too little for {} nodes: each needs {}",
                size_text(config.memory_bytes),
                self.nodes,
                size_text(MIN_MEMORY_BYTES)
            )));
        }
        if self.nodes > 1 && *meta == Meta::Embedded && self.meta_listen.port() == 0 {
            return Err(ConfigError::new(
                "meta-listen: with several nodes the others have to know where the first one keeps the map: give a port",
            ));
        }
        Ok(())
    }

    fn check_exposure(&self, config: &Config, meta: &Meta) -> Result<(), ConfigError> {
        let mut open = vec![("peer", self.peer)];
        if *meta == Meta::Embedded {
            open.push(("meta-listen", self.meta_listen));
        }
        let open = open.iter().find(|(_, address)| !address.ip().is_loopback());
        match open {
            Some((key, address)) if self.secret.is_empty() && !config.allow_unauthenticated => {
                Err(ConfigError(format!(
                    "{key} = {address} is reachable from other machines and there is no cluster-secret: set TENURE_CLUSTER_SECRET to the \
                     same text on all nodes, use a loopback address, or say allow-unauthenticated if the network itself keeps strangers out"
                )))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// `embedded`, `tenure://HOST:PORT`, `etcd://A,B,C`, or nothing.
pub(super) fn meta(text: &str) -> Result<Option<Meta>, String> {
    let addresses = |text: &str| -> Result<Vec<String>, String> {
        text.split(',').map(host_and_port).collect()
    };
    if text.is_empty() {
        Ok(None)
    } else if text == "embedded" {
        Ok(Some(Meta::Embedded))
    } else if let Some(address) = text.strip_prefix("tenure://") {
        Ok(Some(Meta::Tenure(host_and_port(address)?)))
    } else if let Some(members) = text.strip_prefix("etcd://") {
        Ok(Some(Meta::Etcd(addresses(members)?)))
    } else {
        Err("expected embedded, tenure://HOST:PORT or etcd://HOST:PORT,HOST:PORT,...".into())
    }
}

fn host_and_port(text: &str) -> Result<String, String> {
    let parts = text.trim().rsplit_once(':');
    let fit = parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if fit {
        Ok(text.trim().to_owned())
    } else {
        Err(format!("`{text}` is not host:port"))
    }
}

/// The text of [`meta`].
pub(super) fn meta_text(meta: &Meta) -> String {
    match meta {
        Meta::Embedded => "embedded".into(),
        Meta::Tenure(address) => format!("tenure://{address}"),
        Meta::Etcd(members) => format!("etcd://{}", members.join(",")),
    }
}

/// A name for the cluster: it stands in keys of the metadata store.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    if text.is_empty() || text.len() > 64 || !text.chars().all(fit) {
        return Err("expected 1 to 64 letters, digits, `-`, `_` or `.`".into());
    }
    Ok(text.to_owned())
}

/// A host name or address without a port.
pub(super) fn host(text: &str) -> Result<String, String> {
    const PORT_BYTES: usize = ":65535".len();
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    let fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if text.len() + PORT_BYTES > MAX_ADDRESS_BYTES || !(is_address || text.chars().all(fit)) {
        return Err(format!("`{text}` is not a host name or address"));
    }
    Ok(text.to_owned())
}

/// A secret: it has to fit in a hello.
pub(super) fn secret(text: &str) -> Result<String, String> {
    if text.len() > 255 {
        return Err("expected at most 255 bytes".into());
    }
    Ok(text.to_owned())
}

/// A number within limits; an empty text, or `auto`, for none.
fn within<T: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<T, String> {
    let number = text.parse().ok().filter(|n| (least..=most).contains(n));
    let number = number.and_then(|n| T::try_from(n).ok());
    number.ok_or_else(|| format!("expected a whole number from {least} to {most}"))
}

/// As [`within`], or `auto`.
fn auto<T: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<Option<T>, String> {
    if text == "auto" {
        return Ok(None);
    }
    let wrong = |reason| format!("{reason}, or auto");
    within(text, least, most).map(Some).map_err(wrong)
}

pub(super) fn node(text: &str) -> Result<Option<u32>, String> {
    auto(text, 1, u64::from(u32::MAX - 1))
}

pub(super) fn nodes(text: &str) -> Result<u16, String> {
    within(text, 1, MAX_NODES_OF_A_PROCESS)
}

pub(super) fn zone(text: &str) -> Result<u16, String> {
    within(text, 0, u64::from(u16::MAX))
}

pub(super) fn shards(text: &str) -> Result<u16, String> {
    within(text, 1, u64::from(MAX_SHARDS))
}

pub(super) fn copies(text: &str) -> Result<u8, String> {
    within(text, 1, u64::from(MAX_TARGET_COPIES))
}

pub(super) fn quorum(text: &str) -> Result<Option<u8>, String> {
    auto(text, 1, u64::from(MAX_TARGET_COPIES))
}

pub(super) fn initial_nodes(text: &str) -> Result<Option<u16>, String> {
    auto(text, 1, u64::from(MAX_NODES))
}

/// The TOML of a number or `auto`.
pub(super) fn auto_text(number: Option<u64>) -> String {
    number.map_or_else(|| "\"auto\"".into(), |number| number.to_string())
}
