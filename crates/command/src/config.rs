//! `CONFIG`: the settings that clients ask for under Redis's names.
//!
//! Some can be changed while the server runs; the others answer what is true of this server, so that a client
//! that looks before it leaps sees where it lands.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use store::SyncMode;

use crate::failure::shown;
use crate::glob::matches_any_case;
use crate::server::Stats;
use crate::{Call, Failure, Flow, Ran};

/// How a setting is read and changed.
struct Parameter {
    name: &'static str,
    get: fn(&Call<'_>) -> Cow<'static, str>,
    set: Set,
}

/// How a setting is changed.
enum Set {
    /// Not while the server runs.
    Never,
    /// To a whole number between the two, by the function.
    Integer(i64, i64, fn(&mut Call<'_>, i64)),
    /// To any text.
    Text(fn(&mut Call<'_>, String)),
}

const fn fixed(name: &'static str, get: fn(&Call<'_>) -> Cow<'static, str>) -> Parameter {
    Parameter {
        name,
        get,
        set: Set::Never,
    }
}

const fn integer(
    name: &'static str,
    get: fn(&Call<'_>) -> Cow<'static, str>,
    range: (i64, i64),
    set: fn(&mut Call<'_>, i64),
) -> Parameter {
    Parameter {
        name,
        get,
        set: Set::Integer(range.0, range.1, set),
    }
}

fn owned(value: impl ToString) -> Cow<'static, str> {
    Cow::Owned(value.to_string())
}

fn host(listen: &str) -> &str {
    listen.rsplit_once(':').map_or(listen, |(host, _)| host)
}

fn port(listen: &str) -> &str {
    listen.rsplit_once(':').map_or("0", |(_, port)| port)
}

fn yes_or_no(yes: bool) -> Cow<'static, str> {
    (if yes { "yes" } else { "no" }).into()
}

static PARAMETERS: &[Parameter] = &[
    fixed("activerehashing", |_| "yes".into()),
    fixed("aclfile", |_| "".into()),
    fixed("appendfsync", |call| match call.shard.store().sync() {
        Some(SyncMode::Always) => "always".into(),
        Some(SyncMode::EverySecond) => "everysec".into(),
        Some(SyncMode::None) | None => "no".into(),
    }),
    fixed("appendonly", |call| {
        yes_or_no(call.shard.store().sync().is_some())
    }),
    fixed("bind", |call| owned(host(&call.server.settings.listen))),
    fixed("cluster-enabled", |call| {
        yes_or_no(call.server.topology.is_some())
    }),
    fixed("databases", |_| owned(model::limits::DATABASES)),
    fixed("dir", |call| owned(&call.server.settings.dir)),
    fixed("hash-max-listpack-entries", |_| {
        owned(crate::keys::MAX_LISTPACK_ENTRIES)
    }),
    fixed("hash-max-listpack-value", |_| {
        owned(crate::keys::MAX_LISTPACK_VALUE_BYTES)
    }),
    fixed("hash-max-ziplist-entries", |_| {
        owned(crate::keys::MAX_LISTPACK_ENTRIES)
    }),
    fixed("hash-max-ziplist-value", |_| {
        owned(crate::keys::MAX_LISTPACK_VALUE_BYTES)
    }),
    fixed("hz", |_| "10".into()),
    fixed("io-threads", |_| "1".into()),
    fixed("latency-tracking", |_| "yes".into()),
    fixed("lazyfree-lazy-expire", |_| "yes".into()),
    integer(
        "maxclients",
        |call| owned(call.server.settings.max_clients),
        (1, 1 << crate::client::PLACE_BITS),
        |call, value| call.server.settings.max_clients = value as usize,
    ),
    fixed("maxmemory", |call| owned(call.shard.store().usage().limit)),
    fixed("maxmemory-policy", |_| "noeviction".into()),
    fixed("maxmemory-samples", |_| "5".into()),
    fixed("notify-keyspace-events", |_| "".into()),
    fixed("port", |call| owned(port(&call.server.settings.listen))),
    integer(
        "proto-max-bulk-len",
        |call| owned(call.shard.settings().max_value_bytes),
        (1 << 20, model::limits::MAX_VALUE_BYTES as i64),
        |call, value| call.shard.settings_mut().max_value_bytes = value as usize,
    ),
    fixed("protected-mode", |_| "yes".into()),
    fixed("replica-read-only", |_| "yes".into()),
    Parameter {
        name: "requirepass",
        get: |call| owned(&call.server.settings.password),
        set: Set::Text(|call, value| call.server.settings.password = value),
    },
    fixed("save", |_| "".into()),
    fixed("slave-read-only", |_| "yes".into()),
    integer(
        "slowlog-log-slower-than",
        |call| owned(call.server.settings.slowlog_slower_than_us),
        (-1, i64::MAX),
        |call, value| call.server.settings.slowlog_slower_than_us = value,
    ),
    integer(
        "slowlog-max-len",
        |call| owned(call.server.settings.slowlog_max_len),
        (0, 100_000),
        |call, value| call.server.settings.slowlog_max_len = value as usize,
    ),
    fixed("tcp-backlog", |_| "511".into()),
    integer(
        "tcp-keepalive",
        |call| owned(call.server.settings.keepalive_s),
        (0, model::limits::MAX_KEEPALIVE_S as i64),
        |call, value| call.server.settings.keepalive_s = value as u64,
    ),
    integer(
        "timeout",
        |call| owned(call.server.settings.timeout_s),
        (0, i32::MAX as i64),
        |call, value| call.server.settings.timeout_s = value as u64,
    ),
];

/// `CONFIG GET pattern ...`
pub fn get(call: &mut Call<'_>) -> Ran {
    let wanted = |parameter: &&Parameter| {
        let mut patterns = call.arguments.from(2);
        patterns.any(|pattern| matches_any_case(pattern, parameter.name.as_bytes()))
    };
    let found: Vec<_> = PARAMETERS.iter().filter(wanted).collect();
    call.reply.map(found.len());
    for parameter in found {
        call.reply.bulk_str(parameter.name);
        let value = (parameter.get)(call);
        call.reply.bulk_str(&value);
    }
    Ok(Flow::Done)
}

/// What a setting becomes, checked.
enum Checked {
    Same,
    Integer(fn(&mut Call<'_>, i64), i64),
    Text(fn(&mut Call<'_>, String), String),
}

/// `CONFIG SET name value ...`: all or none.
pub fn set(call: &mut Call<'_>) -> Ran {
    let arguments = call.arguments;
    if !arguments.len().is_multiple_of(2) {
        return Err(Failure::Syntax);
    }
    let mut changes = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for at in (2..arguments.len()).step_by(2) {
        let name = arguments.at(at);
        let parameter = parameter(name)?;
        if seen.contains(&parameter.name) {
            return Err(failed(name, "duplicate parameter"));
        }
        seen.push(parameter.name);
        let change = checked(call, parameter, arguments.at(at + 1));
        changes.push(change.map_err(|why| failed(name, &why))?);
    }
    for change in changes {
        match change {
            Checked::Same => {}
            Checked::Integer(set, value) => set(call, value),
            Checked::Text(set, value) => set(call, value),
        }
    }
    call.reply.ok();
    Ok(Flow::Done)
}

fn parameter(name: &[u8]) -> Result<&'static Parameter, Failure> {
    PARAMETERS
        .iter()
        .find(|parameter| name.eq_ignore_ascii_case(parameter.name.as_bytes()))
        .ok_or_else(|| {
            let text = alloc::format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{}'",
                shown(name)
            );
            Failure::Text(text.into())
        })
}

fn failed(name: &[u8], why: &str) -> Failure {
    let name = shown(name);
    let text =
        alloc::format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
    Failure::Text(text.into())
}

/// What the setting becomes, or why it cannot become this.
fn checked(
    call: &Call<'_>,
    parameter: &Parameter,
    value: &[u8],
) -> Result<Checked, Cow<'static, str>> {
    match parameter.set {
        Set::Never if (parameter.get)(call).as_bytes() == value => Ok(Checked::Same),
        Set::Never => Err("can't set immutable config".into()),
        Set::Integer(least, most, set) => {
            let number = crate::arguments::integer(value)
                .ok_or("argument couldn't be parsed into an integer")?;
            if !(least..=most).contains(&number) {
                return Err(owned(format_args!(
                    "argument must be between {least} and {most} inclusive"
                )));
            }
            Ok(Checked::Integer(set, number))
        }
        Set::Text(set) => match core::str::from_utf8(value) {
            Ok(text) => Ok(Checked::Text(set, String::from(text))),
            Err(_) => Err("argument is not text".into()),
        },
    }
}

/// `CONFIG RESETSTAT`
pub fn resetstat(call: &mut Call<'_>) -> Ran {
    call.server.stats = Stats::new();
    call.reply.ok();
    Ok(Flow::Done)
}

/// `CONFIG REWRITE`
pub fn rewrite(_call: &mut Call<'_>) -> Ran {
    Err(Failure::text(
        "ERR CONFIG REWRITE is not available: the server never writes its configuration file; change it by hand",
    ))
}
