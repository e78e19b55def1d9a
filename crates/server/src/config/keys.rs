//! The table of keys.

use std::path::PathBuf;

use model::limits::{MAX_HOLD_MS, MAX_KEEPALIVE_S, MAX_VALUE_BYTES, SEGMENT_BYTES};
use store::SyncMode;

use super::cluster;
use super::units::{Share, duration_ms, duration_text, size, size_text};
use super::{Cap, Config, LogFormat, LogLevel};

/// One key.
pub struct Key {
    /// Its name in the file and, after `--`, on the command line.
    pub name: &'static str,
    /// What stands for its value in the help.
    pub value: &'static str,
    /// Its value if nobody sets it.
    pub default: &'static str,
    /// What it is, for the help.
    pub summary: &'static str,
    /// Not to be shown.
    pub is_secret: bool,
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    /// Its value as TOML; `None` if it has none.
    pub(super) show: fn(&Config) -> Option<String>,
}

impl Key {
    /// The key with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The key that this environment variable sets.
    #[must_use]
    pub fn find_variable(variable: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.variable() == variable)
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "TENURE_{}",
            self.name.to_ascii_uppercase().replace('-', "_")
        )
    }

    /// A value for an error message.
    pub(super) fn shown<'a>(&self, value: &'a str) -> &'a str {
        if self.is_secret { "(not shown)" } else { value }
    }
}

/// Least memory that a server can work in: some segments of each expiry class, and room to clean.
pub const MIN_MEMORY_BYTES: u64 = 16 * SEGMENT_BYTES as u64;

/// Every key, in the order of the documentation.
pub static KEYS: &[Key] = &[
    Key {
        name: "listen",
        value: "ADDR",
        default: "127.0.0.1:6379",
        summary: "Where clients connect: address:port, several separated by commas; port 0 lets the system choose",
        is_secret: false,
        set: |config, text| {
            config.listen = addresses(text)?;
            Ok(())
        },
        show: |config| {
            let texts: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
            quoted(&texts.join(","))
        },
    },
    Key {
        name: "admin",
        value: "ADDR",
        default: "127.0.0.1:7380",
        summary: "Where /healthz, /readyz and /metrics are served over HTTP; `off` for nowhere",
        is_secret: false,
        set: |config, text| {
            config.admin = address_or_off(text)?;
            Ok(())
        },
        show: |config| quoted(&address_or_off_text(config.admin)),
    },
    Key {
        name: "dir",
        value: "PATH",
        default: "./tenure-data",
        summary: "The data directory; it is made if it is not there. `off`: nothing is written to disk, and the end of the process is the end of its sessions",
        is_secret: false,
        set: |config, text| {
            not_empty(text)?;
            config.dir = (text != "off").then(|| PathBuf::from(text));
            Ok(())
        },
        show: |config| quoted(&config.dir_name()),
    },
    Key {
        name: "memory",
        value: "SIZE",
        default: "50%",
        summary: "Memory of the whole process: bytes, a size such as 512MB or 2GiB, or a share of the machine's memory such as 50%",
        is_secret: false,
        set: |config, text| {
            let bytes = match size(text)? {
                Share::Bytes(bytes) => bytes,
                Share::Percent(percent) => crate::limits::machine_memory() / 100 * percent,
            };
            at_least(bytes, MIN_MEMORY_BYTES, size_text)?;
            config.memory_bytes = bytes;
            Ok(())
        },
        show: |config| quoted(&size_text(config.memory_bytes)),
    },
    Key {
        name: "sync",
        value: "MODE",
        default: "everysec",
        summary: "When a write is acknowledged. always: after it is synced to disk; everysec: after the operating system has it, synced each second; none: as everysec, synced when the system likes",
        is_secret: false,
        set: |config, text| {
            config.sync = one_of(
                text,
                &[
                    ("always", SyncMode::Always),
                    ("everysec", SyncMode::EverySecond),
                    ("none", SyncMode::None),
                ],
            )?;
            Ok(())
        },
        show: |config| quoted(sync_name(config.sync)),
    },
    Key {
        name: "password",
        value: "TEXT",
        default: "",
        summary: "Password that clients give with AUTH. Better set by TENURE_PASSWORD or password-file: other users can see a command line",
        is_secret: true,
        set: |config, text| {
            config.password = text.to_owned();
            Ok(())
        },
        show: |config| (!config.password.is_empty()).then(|| String::from("(not shown)")),
    },
    Key {
        name: "password-file",
        value: "PATH",
        default: "",
        summary: "File whose first line is the password; it wins over password",
        is_secret: false,
        set: |config, text| {
            config.password_file = (!text.is_empty()).then(|| PathBuf::from(text));
            Ok(())
        },
        show: |config| quoted(&config.password_file.as_ref()?.display().to_string()),
    },
    Key {
        name: "allow-unauthenticated",
        value: "true|false",
        default: "false",
        summary: "Listen on addresses that other machines reach even without a password",
        is_secret: false,
        set: |config, text| {
            config.allow_unauthenticated = truth(text)?;
            Ok(())
        },
        show: |config| Some(config.allow_unauthenticated.to_string()),
    },
    Key {
        name: "max-clients",
        value: "N",
        default: "10000",
        summary: "Connections at once; the limit of open files is raised for them as far as the system allows",
        is_secret: false,
        set: |config, text| {
            config.max_clients = whole(text)?;
            at_least(config.max_clients, 1, |n| n.to_string())
        },
        show: |config| Some(config.max_clients.to_string()),
    },
    Key {
        name: "max-value",
        value: "SIZE",
        default: "1MiB",
        summary: "Longest value of a write, at most 7MiB",
        is_secret: false,
        set: |config, text| {
            let Share::Bytes(bytes) = size(text)? else {
                return Err("expected a size, not a share".into());
            };
            at_least(bytes, 1, size_text)?;
            at_most(bytes, MAX_VALUE_BYTES as u64, size_text)?;
            config.max_value_bytes = bytes;
            Ok(())
        },
        show: |config| quoted(&size_text(config.max_value_bytes)),
    },
    Key {
        name: "timeout",
        value: "DURATION",
        default: "0",
        summary: "Close connections that are silent for longer, in whole seconds; 0 for never",
        is_secret: false,
        set: |config, text| {
            config.timeout_s = whole_seconds(text)?;
            Ok(())
        },
        show: |config| quoted(&duration_text(config.timeout_s * 1000)),
    },
    Key {
        name: "tcp-keepalive",
        value: "DURATION",
        default: "300s",
        summary: "Ask clients that are silent for so long whether they are still there, in whole seconds; 0 for never",
        is_secret: false,
        set: |config, text| {
            config.tcp_keepalive_s = whole_seconds(text)?;
            at_most(config.tcp_keepalive_s, MAX_KEEPALIVE_S, |s| {
                duration_text(s * 1000)
            })
        },
        show: |config| quoted(&duration_text(config.tcp_keepalive_s * 1000)),
    },
    Key {
        name: "slowlog-slower-than",
        value: "MICROSECONDS",
        default: "10000",
        summary: "Commands that take longer are kept in the slow log; negative for none, 0 for all",
        is_secret: false,
        set: |config, text| {
            config.slowlog_slower_than_us = text
                .parse()
                .map_err(|_| "expected a whole number".to_owned())?;
            Ok(())
        },
        show: |config| Some(config.slowlog_slower_than_us.to_string()),
    },
    Key {
        name: "slowlog-max-len",
        value: "N",
        default: "128",
        summary: "Entries of the slow log",
        is_secret: false,
        set: |config, text| {
            config.slowlog_max_len = whole(text)?;
            at_most(config.slowlog_max_len, 1 << 20, |n| n.to_string())
        },
        show: |config| Some(config.slowlog_max_len.to_string()),
    },
    Key {
        name: "user-cap",
        value: "N",
        default: "0",
        summary: "Sessions that one user may have; 0 for any number",
        is_secret: false,
        set: |config, text| {
            config.user_cap = whole(text)?;
            at_most(config.user_cap, 1 << 20, |n| n.to_string())
        },
        show: |config| Some(config.user_cap.to_string()),
    },
    Key {
        name: "user-cap-policy",
        value: "POLICY",
        default: "refuse",
        summary: "What happens at one session more: refuse it, or destroy the user's oldest (least recently used) one",
        is_secret: false,
        set: |config, text| {
            config.user_cap_policy =
                one_of(text, &[("refuse", Cap::Refuse), ("oldest", Cap::Oldest)])?;
            Ok(())
        },
        show: |config| {
            quoted(match config.user_cap_policy {
                Cap::Refuse => "refuse",
                Cap::Oldest => "oldest",
            })
        },
    },
    Key {
        name: "rotated-gone",
        value: "DURATION",
        default: "60s",
        summary: "How long the old id of a rotated session cannot be created again, counted from the end of its grace",
        is_secret: false,
        set: |config, text| {
            config.rotated_gone_ms = duration_ms(text)?;
            at_most(config.rotated_gone_ms, MAX_HOLD_MS, duration_text)
        },
        show: |config| quoted(&duration_text(config.rotated_gone_ms)),
    },
    Key {
        name: "restore-threads",
        value: "N",
        default: "0",
        summary: "Threads that check segment files at the start; 0 for one per core",
        is_secret: false,
        set: |config, text| {
            config.restore_threads = whole(text)?;
            at_most(config.restore_threads, 256, |n| n.to_string())
        },
        show: |config| Some(config.restore_threads.to_string()),
    },
    Key {
        name: "log-format",
        value: "FORMAT",
        default: "text",
        summary: "How log lines look: text or json",
        is_secret: false,
        set: |config, text| {
            config.log_format = one_of(
                text,
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            )?;
            Ok(())
        },
        show: |config| {
            quoted(match config.log_format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            })
        },
    },
    Key {
        name: "log-level",
        value: "LEVEL",
        default: "info",
        summary: "Least important events that are written: error, warn, info or debug",
        is_secret: false,
        set: |config, text| {
            config.log_level = one_of(
                text,
                &[
                    ("error", LogLevel::Error),
                    ("warn", LogLevel::Warn),
                    ("info", LogLevel::Info),
                    ("debug", LogLevel::Debug),
                ],
            )?;
            Ok(())
        },
        show: |config| {
            quoted(match config.log_level {
                LogLevel::Error => "error",
                LogLevel::Warn => "warn",
                LogLevel::Info => "info",
                LogLevel::Debug => "debug",
            })
        },
    },
    Key {
        name: "meta",
        value: "WHERE",
        default: "",
        summary: "Makes the server a member of a cluster, and says where the cluster map is kept: embedded (in the data directory), tenure://HOST:PORT (by another server, or `tenure meta`) or etcd://HOST:PORT,...",
        is_secret: false,
        set: |config, text| {
            config.cluster.meta = cluster::meta(text)?;
            Ok(())
        },
        show: |config| quoted(&cluster::meta_text(config.cluster.meta.as_ref()?)),
    },
    Key {
        name: "meta-listen",
        value: "ADDR",
        default: "127.0.0.1:7390",
        summary: "With meta = embedded: where peers reach the cluster map; port 0 lets the system choose",
        is_secret: false,
        set: |config, text| {
            config.cluster.meta_listen = address(text)?;
            Ok(())
        },
        show: |config| quoted(&config.cluster.meta_listen.to_string()),
    },
    Key {
        name: "meta-user",
        value: "NAME",
        default: "",
        summary: "User of etcd, if it wants one",
        is_secret: false,
        set: |config, text| {
            config.cluster.meta_user = text.to_owned();
            Ok(())
        },
        show: |config| {
            (!config.cluster.meta_user.is_empty())
                .then(|| config.cluster.meta_user.clone())
                .and_then(|name| quoted(&name))
        },
    },
    Key {
        name: "meta-password",
        value: "TEXT",
        default: "",
        summary: "Password of that user; better set by TENURE_META_PASSWORD",
        is_secret: true,
        set: |config, text| {
            config.cluster.meta_password = text.to_owned();
            Ok(())
        },
        show: |config| {
            (!config.cluster.meta_password.is_empty()).then(|| String::from("(not shown)"))
        },
    },
    Key {
        name: "meta-ca",
        value: "PATH",
        default: "",
        summary: "File with the certificate (PEM) of the authority that signed etcd's; with it etcd is reached over TLS",
        is_secret: false,
        set: |config, text| {
            config.cluster.meta_ca = (!text.is_empty()).then(|| PathBuf::from(text));
            Ok(())
        },
        show: |config| quoted(&config.cluster.meta_ca.as_ref()?.display().to_string()),
    },
    Key {
        name: "meta-cert",
        value: "PATH",
        default: "",
        summary: "File with the certificate (PEM) that this node shows to etcd",
        is_secret: false,
        set: |config, text| {
            config.cluster.meta_cert = (!text.is_empty()).then(|| PathBuf::from(text));
            Ok(())
        },
        show: |config| quoted(&config.cluster.meta_cert.as_ref()?.display().to_string()),
    },
    Key {
        name: "meta-key",
        value: "PATH",
        default: "",
        summary: "File with the key (PEM) of that certificate",
        is_secret: false,
        set: |config, text| {
            config.cluster.meta_key = (!text.is_empty()).then(|| PathBuf::from(text));
            Ok(())
        },
        show: |config| quoted(&config.cluster.meta_key.as_ref()?.display().to_string()),
    },
    Key {
        name: "cluster",
        value: "NAME",
        default: "tenure",
        summary: "Name of the cluster: nodes of another name are refused, and the map's keys in etcd begin with it",
        is_secret: false,
        set: |config, text| {
            config.cluster.name = cluster::name(text)?;
            Ok(())
        },
        show: |config| quoted(&config.cluster.name),
    },
    Key {
        name: "cluster-secret",
        value: "TEXT",
        default: "",
        summary: "What all nodes of the cluster, and those who command it, know; better set by TENURE_CLUSTER_SECRET",
        is_secret: true,
        set: |config, text| {
            config.cluster.secret = cluster::secret(text)?;
            Ok(())
        },
        show: |config| (!config.cluster.secret.is_empty()).then(|| String::from("(not shown)")),
    },
    Key {
        name: "peer",
        value: "ADDR",
        default: "127.0.0.1:7381",
        summary: "Where other nodes connect, in a cluster; port 0 lets the system choose",
        is_secret: false,
        set: |config, text| {
            config.cluster.peer = address(text)?;
            Ok(())
        },
        show: |config| quoted(&config.cluster.peer.to_string()),
    },
    Key {
        name: "announce",
        value: "HOST",
        default: "",
        summary: "Host name or address under which clients and peers reach this node; without it the addresses that are listened on",
        is_secret: false,
        set: |config, text| {
            config.cluster.announce = cluster::host(text)?;
            Ok(())
        },
        show: |config| {
            (!config.cluster.announce.is_empty())
                .then(|| config.cluster.announce.clone())
                .and_then(|host| quoted(&host))
        },
    },
    Key {
        name: "forward",
        value: "ADDR",
        default: "off",
        summary: "Where clients that know no cluster connect: every command is forwarded to the node that it is for; `off` for nowhere",
        is_secret: false,
        set: |config, text| {
            config.cluster.forward = address_or_off(text)?;
            Ok(())
        },
        show: |config| quoted(&address_or_off_text(config.cluster.forward)),
    },
    Key {
        name: "forward-wait",
        value: "DURATION",
        default: "5s",
        summary: "How long a forwarded command waits for a node that can take it, during a failover",
        is_secret: false,
        set: |config, text| {
            config.cluster.forward_wait_ms = duration_ms(text)?;
            at_most(config.cluster.forward_wait_ms, 600_000, duration_text)
        },
        show: |config| quoted(&duration_text(config.cluster.forward_wait_ms)),
    },
    Key {
        name: "sentinel",
        value: "ADDR",
        default: "off",
        summary: "Where clients that are configured with Sentinels ask for a master: they are told a forwarding port that lives; `off` for nowhere",
        is_secret: false,
        set: |config, text| {
            config.cluster.sentinel = address_or_off(text)?;
            Ok(())
        },
        show: |config| quoted(&address_or_off_text(config.cluster.sentinel)),
    },
    Key {
        name: "sentinel-master",
        value: "NAME",
        default: "mymaster",
        summary: "The name of that master",
        is_secret: false,
        set: |config, text| {
            config.cluster.sentinel_master = cluster::name(text)?;
            Ok(())
        },
        show: |config| quoted(&config.cluster.sentinel_master),
    },
    Key {
        name: "node",
        value: "N",
        default: "auto",
        summary: "Number of this node in the cluster; auto: the next free one, kept in the data directory",
        is_secret: false,
        set: |config, text| {
            config.cluster.node = cluster::node(text)?;
            Ok(())
        },
        show: |config| Some(cluster::auto_text(config.cluster.node.map(u64::from))),
    },
    Key {
        name: "nodes",
        value: "N",
        default: "1",
        summary: "How many nodes run in this process, one for each core that data shall have; ports count up, folders are node-1, node-2, ...",
        is_secret: false,
        set: |config, text| {
            config.cluster.nodes = cluster::nodes(text)?;
            Ok(())
        },
        show: |config| Some(config.cluster.nodes.to_string()),
    },
    Key {
        name: "zone",
        value: "N",
        default: "0",
        summary: "Number of the rack, room or zone that this node shares its fate with: copies of a shard are spread over zones",
        is_secret: false,
        set: |config, text| {
            config.cluster.zone = cluster::zone(text)?;
            Ok(())
        },
        show: |config| Some(config.cluster.zone.to_string()),
    },
    Key {
        name: "shards",
        value: "N",
        default: "16",
        summary: "Into how many shards a new cluster divides the slots",
        is_secret: false,
        set: |config, text| {
            config.cluster.shards = cluster::shards(text)?;
            Ok(())
        },
        show: |config| Some(config.cluster.shards.to_string()),
    },
    Key {
        name: "copies",
        value: "N",
        default: "3",
        summary: "How many nodes of a new cluster hold each shard",
        is_secret: false,
        set: |config, text| {
            config.cluster.copies = cluster::copies(text)?;
            Ok(())
        },
        show: |config| Some(config.cluster.copies.to_string()),
    },
    Key {
        name: "quorum",
        value: "N",
        default: "auto",
        summary: "How many copies have a write before it is acknowledged, in a new cluster; auto: more than half",
        is_secret: false,
        set: |config, text| {
            config.cluster.quorum = cluster::quorum(text)?;
            Ok(())
        },
        show: |config| Some(cluster::auto_text(config.cluster.quorum.map(u64::from))),
    },
    Key {
        name: "initial-nodes",
        value: "N",
        default: "auto",
        summary: "How many nodes a new cluster waits for before it creates its shards; auto: as many as copies",
        is_secret: false,
        set: |config, text| {
            config.cluster.initial_nodes = cluster::initial_nodes(text)?;
            Ok(())
        },
        show: |config| {
            Some(cluster::auto_text(
                config.cluster.initial_nodes.map(u64::from),
            ))
        },
    },
];

/// The word for a sync mode.
#[must_use]
pub fn sync_name(sync: SyncMode) -> &'static str {
    match sync {
        SyncMode::Always => "always",
        SyncMode::EverySecond => "everysec",
        SyncMode::None => "none",
    }
}

fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    let text = text.trim();
    if let Some(port) = text.strip_prefix("localhost:") {
        return address(&format!("127.0.0.1:{port}"));
    }
    text.parse().map_err(|_| {
        format!("`{text}` is not an address with a port, such as 127.0.0.1:6379 or [::1]:6379")
    })
}

fn addresses(text: &str) -> Result<Vec<std::net::SocketAddr>, String> {
    text.split(',').map(address).collect()
}

fn not_empty(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Err("expected a path".into())
    } else {
        Ok(())
    }
}

fn truth(text: &str) -> Result<bool, String> {
    one_of(
        text,
        &[
            ("true", true),
            ("yes", true),
            ("1", true),
            ("false", false),
            ("no", false),
            ("0", false),
        ],
    )
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "expected a whole number".to_owned())
}

fn whole_seconds(text: &str) -> Result<u64, String> {
    let ms = duration_ms(text)?;
    if ms % 1000 != 0 {
        return Err("expected whole seconds".into());
    }
    Ok(ms / 1000)
}

fn at_least(value: u64, least: u64, show: fn(u64) -> String) -> Result<(), String> {
    if value < least {
        return Err(format!("expected at least {}", show(least)));
    }
    Ok(())
}

fn at_most(value: u64, most: u64, show: fn(u64) -> String) -> Result<(), String> {
    if value > most {
        return Err(format!("expected at most {}", show(most)));
    }
    Ok(())
}

fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|&(_, value)| value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|&(word, _)| word).collect();
        format!("expected one of {}", words.join(", "))
    })
}

/// A text as TOML writes it.
#[allow(clippy::unnecessary_wraps)] // The table wants an option.
fn address_or_off(text: &str) -> Result<Option<std::net::SocketAddr>, String> {
    if text == "off" {
        Ok(None)
    } else {
        address(text).map(Some)
    }
}

fn address_or_off_text(address: Option<std::net::SocketAddr>) -> String {
    address.map_or_else(|| "off".to_owned(), |address| address.to_string())
}

fn quoted(text: &str) -> Option<String> {
    Some(toml::Value::String(text.to_owned()).to_string())
}
