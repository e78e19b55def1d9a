//! What an operator may set: one table, four places to set it.
//!
//! Later wins: the default, the configuration file (TOML), the environment (`TENURE_...`), the command line.
//! [`KEYS`] defines every key once; the file, the environment, the command line's options, `--print-config` and the
//! test of `docs/configuration.md` all read it. A key that is not in it is an error that names it, wherever it
//! stands.

pub mod cluster;
mod guards;
mod keys;
mod suggest;
pub mod units;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use store::SyncMode;

use cluster::ClusterConfig;
pub use guards::Guard;
pub use keys::{KEYS, Key, sync_name};
pub use suggest::nearest;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least important events that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something is broken.
    Error,
    /// Something needs a look.
    Warn,
    /// What a person wants to know afterwards.
    Info,
    /// Each connection too.
    Debug,
}

/// What happens when a user who has as many sessions as allowed gets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// It is refused.
    Refuse,
    /// The least recently used one is destroyed.
    Oldest,
}

/// Everything that is set, in the units of the fields' names. Documented in `docs/configuration.md`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // Each field is the key of the same name, whose summary stands in the table.
pub struct Config {
    pub listen: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
    pub dir: Option<PathBuf>,
    pub memory_bytes: u64,
    pub sync: SyncMode,
    pub password: String,
    pub password_file: Option<PathBuf>,
    pub allow_unauthenticated: bool,
    pub max_clients: u64,
    pub max_value_bytes: u64,
    pub timeout_s: u64,
    pub tcp_keepalive_s: u64,
    pub slowlog_slower_than_us: i64,
    pub slowlog_max_len: u64,
    pub user_cap: u64,
    pub user_cap_policy: Cap,
    pub rotated_gone_ms: u64,
    pub restore_threads: u64,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
    pub guards: Vec<Guard>,
    pub cluster: ClusterConfig,
}

/// Why a configuration cannot be used: one line that says where and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    /// An error with this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Where settings come from besides the defaults. Later ones win.
#[derive(Debug, Default)]
pub struct Sources {
    /// The configuration file. If there is none, `TENURE_CONFIG` may name one.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Options of the command line: names and values.
    pub flags: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        let mut config = Self {
            listen: Vec::new(),
            admin: None,
            dir: None,
            memory_bytes: 0,
            sync: SyncMode::EverySecond,
            password: String::new(),
            password_file: None,
            allow_unauthenticated: false,
            max_clients: 0,
            max_value_bytes: 0,
            timeout_s: 0,
            tcp_keepalive_s: 0,
            slowlog_slower_than_us: 0,
            slowlog_max_len: 0,
            user_cap: 0,
            user_cap_policy: Cap::Refuse,
            rotated_gone_ms: 0,
            restore_threads: 0,
            log_format: LogFormat::Text,
            log_level: LogLevel::Info,
            guards: Vec::new(),
            cluster: ClusterConfig::default(),
        };
        for key in KEYS {
            (key.set)(&mut config, key.default).expect("the table's defaults are valid");
        }
        config
    }
}

impl Config {
    /// Puts the layers together and checks what belongs together.
    ///
    /// # Errors
    /// The first key or value that cannot be used, and where it stands.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let named = |(name, value): &(String, String)| {
            (name == "TENURE_CONFIG").then(|| PathBuf::from(value))
        };
        let from_environment = || sources.environment.iter().find_map(named);
        if let Some(file) = sources.file.clone().or_else(from_environment) {
            config.apply_file(&file)?;
        }
        config.apply_environment(&sources.environment)?;
        for (name, value) in &sources.flags {
            config.set(name, value, "the command line")?;
        }
        config.read_password_file()?;
        config.check()?;
        if config.dir.is_none() {
            config.sync = SyncMode::None;
        }
        Ok(config)
    }

    /// Sets one key. `place` says where it was set, for the error.
    fn set(&mut self, name: &str, value: &str, place: &str) -> Result<(), ConfigError> {
        let Some(key) = Key::find(name) else {
            return Err(unknown(name, place));
        };
        (key.set)(self, value).map_err(|reason| {
            ConfigError(format!("{place}: {name} = {}: {reason}", key.shown(value)))
        })
    }

    fn apply_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("{place}: cannot read it: {error}")))?;
        self.apply_toml(&text, &place)
    }

    /// Applies the text of a configuration file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn apply_toml(&mut self, text: &str, place: &str) -> Result<(), ConfigError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error
                .span()
                .map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            ConfigError(format!(
                "{place}:{line}: {}",
                error.message().replace('\n', " ")
            ))
        })?;
        for (name, value) in &table {
            if name == "guard" {
                self.guards = guards::from_toml(value)
                    .map_err(|reason| ConfigError(format!("{place}: guard: {reason}")))?;
            } else {
                let value = plain_text(value).ok_or_else(|| {
                    ConfigError(format!(
                        "{place}: {name}: expected one value, or a list of texts"
                    ))
                })?;
                self.set(name, &value, place)?;
            }
        }
        Ok(())
    }

    fn apply_environment(&mut self, variables: &[(String, String)]) -> Result<(), ConfigError> {
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix("TENURE_") else {
                continue;
            };
            // Kubernetes sets these by itself for a service that is called `tenure`.
            let of_kubernetes = name.starts_with("SERVICE_") || name.starts_with("PORT");
            if of_kubernetes || name == "CONFIG" {
                continue;
            }
            if Key::find_variable(variable).is_none() {
                return Err(unknown_variable(variable));
            }
            let name = name.to_ascii_lowercase().replace('_', "-");
            self.set(&name, value, &format!("the environment ({variable})"))?;
        }
        Ok(())
    }

    fn read_password_file(&mut self) -> Result<(), ConfigError> {
        let Some(path) = &self.password_file else {
            return Ok(());
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError(format!(
                "password-file {}: cannot read it: {error}",
                path.display()
            ))
        })?;
        let password = text.trim_end_matches(['\n', '\r']);
        if password.is_empty() {
            return Err(ConfigError(format!(
                "password-file {}: it is empty",
                path.display()
            )));
        }
        self.password = password.to_owned();
        Ok(())
    }

    /// The data directory, as the configuration names it.
    #[must_use]
    pub fn dir_name(&self) -> String {
        let path = self.dir.as_ref();
        path.map_or_else(|| "off".to_owned(), |path| path.display().to_string())
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.dir.is_none() && self.sync == SyncMode::Always {
            return Err(ConfigError::new(
                "dir = off keeps nothing on disk, so there is nothing that sync = always could wait for: give a directory, or leave sync out",
            ));
        }
        let open = self
            .listen
            .iter()
            .find(|address| !address.ip().is_loopback());
        if let Some(address) = open
            && self.password.is_empty()
            && !self.allow_unauthenticated
        {
            return Err(ConfigError(format!(
                "listen = {address} is reachable from other machines and there is no password: set password, password-file \
                 or TENURE_PASSWORD, listen on a loopback address, or say allow-unauthenticated if the network itself keeps strangers out"
            )));
        }
        self.cluster.check(self)
    }

    /// The configuration as a file that sets every key. The password is not in it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        use fmt::Write as _;
        let mut text = String::new();
        for key in KEYS {
            let shown = match (key.show)(self) {
                Some(value) if key.is_secret => format!("# {} = {value}\n", key.name),
                Some(value) => format!("{} = {value}\n", key.name),
                None => format!("# {} is not set\n", key.name),
            };
            text.push_str(&shown);
        }
        for guard in &self.guards {
            write!(text, "\n[[guard]]\n{guard}").expect("writing to a string works");
        }
        text
    }
}

fn unknown(name: &str, place: &str) -> ConfigError {
    let names = KEYS.iter().map(|key| key.name).chain(["guard"]);
    let hint = nearest(name, names).map_or_else(
        || String::from("`tenure serve --help` lists all keys"),
        |near| format!("did you mean `{near}`?"),
    );
    ConfigError(format!("{place}: unknown key `{name}`; {hint}"))
}

fn unknown_variable(variable: &str) -> ConfigError {
    let names: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let hint = nearest(variable, names.iter().map(String::as_str)).map_or_else(
        || String::from("`tenure serve --help` lists all keys"),
        |near| format!("did you mean {near}?"),
    );
    ConfigError(format!("the environment: unknown key {variable}; {hint}"))
}

/// A value of the file in the form that the environment and the command line have.
fn plain_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
            Some(texts?.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}
