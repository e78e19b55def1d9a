//! `[[guard]]`: protections for unmodified middleware, by key prefix.

use std::fmt;

use super::nearest;
use super::units::{duration_ms, duration_text};

/// One guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Keys that begin with this are guarded.
    pub prefix: String,
    /// How long a destroyed or expired id refuses plain writes, in milliseconds; 0 for not at all.
    pub no_resurrection_ms: u64,
    /// What a key's lock is called: the key and this. Empty for none.
    pub lock_suffix: String,
}

const NAMES: &[&str] = &["prefix", "no-resurrection", "lock-suffix"];

/// Reads the list of guards.
pub fn from_toml(value: &toml::Value) -> Result<Vec<Guard>, String> {
    let items = value
        .as_array()
        .ok_or("expected tables that begin with [[guard]]")?;
    items.iter().map(one).collect()
}

fn one(item: &toml::Value) -> Result<Guard, String> {
    let table = item.as_table().ok_or("expected a table")?;
    if let Some(name) = table.keys().find(|name| !NAMES.contains(&name.as_str())) {
        let hint = nearest(name, NAMES.iter().copied())
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(format!("unknown key `{name}`{hint}"));
    }
    let text = |name: &str| match table.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_str()
            .map(|text| Some(text.to_owned()))
            .ok_or(format!("{name}: expected a text")),
    };
    let prefix = text("prefix")?.ok_or("prefix is missing")?;
    let no_resurrection_ms = match text("no-resurrection")? {
        Some(duration) => {
            duration_ms(&duration).map_err(|why| format!("no-resurrection: {why}"))?
        }
        None => 0,
    };
    let lock_suffix = text("lock-suffix")?.unwrap_or_default();
    if no_resurrection_ms == 0 && lock_suffix.is_empty() {
        return Err(format!(
            "the guard of `{prefix}` guards nothing: set no-resurrection or lock-suffix"
        ));
    }
    Ok(Guard {
        prefix,
        no_resurrection_ms,
        lock_suffix,
    })
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| toml::Value::String(text.to_owned());
        writeln!(f, "prefix = {}", quoted(&self.prefix))?;
        if self.no_resurrection_ms > 0 {
            let duration = duration_text(self.no_resurrection_ms);
            writeln!(f, "no-resurrection = {}", quoted(&duration))?;
        }
        if !self.lock_suffix.is_empty() {
            writeln!(f, "lock-suffix = {}", quoted(&self.lock_suffix))?;
        }
        Ok(())
    }
}
