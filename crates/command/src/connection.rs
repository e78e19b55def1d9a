//! Commands on the connection that they arrive on.

use alloc::vec::Vec;

use model::Db;
use resp::Protocol;

use crate::clients::valid_name;
use crate::failure::shown;
use crate::table::TABLE;
use crate::{Call, Failure, Flow, Ran};

/// The version of Redis whose commands are understood: what clients look at before they use one.
pub const REDIS_VERSION: &str = "7.2.4";

const WRONG_PASSWORD: Failure =
    Failure::text("WRONGPASS invalid username-password pair or user is disabled.");

/// `PING [message]`
pub fn ping(call: &mut Call<'_>) -> Ran {
    match call.arguments.len() {
        1 => call.reply.simple("PONG"),
        2 => call.reply.bulk(call.arguments.at(1)),
        _ => return Err(call.wrong_arity()),
    }
    Ok(Flow::Done)
}

/// `ECHO message`
pub fn echo(call: &mut Call<'_>) -> Ran {
    call.reply.bulk(call.arguments.at(1));
    Ok(Flow::Done)
}

/// `QUIT`
pub fn quit(call: &mut Call<'_>) -> Ran {
    call.reply.ok();
    Ok(Flow::Close)
}

/// `SELECT index`
pub fn select(call: &mut Call<'_>) -> Ran {
    call.client().db = database_at(call, 1)?;
    call.reply.ok();
    Ok(Flow::Done)
}

/// The database whose number the argument at `at` is.
///
/// # Errors
/// It is none.
pub fn database_at(call: &Call<'_>, at: usize) -> Result<Db, Failure> {
    let index = call.arguments.integer(at)?;
    if i32::try_from(index).is_err() {
        return Err(Failure::text(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    database(index)
}

/// The database with this number.
///
/// # Errors
/// There is none.
pub fn database(index: i64) -> Result<Db, Failure> {
    u8::try_from(index)
        .ok()
        .and_then(Db::new)
        .ok_or(Failure::text("ERR DB index is out of range"))
}

/// `RESET`
pub fn reset(call: &mut Call<'_>) -> Ran {
    let authenticated = call.server.settings.password.is_empty();
    let client = call.client();
    client.reset();
    client.authenticated = authenticated;
    call.reply.set_protocol(Protocol::V2);
    call.reply.simple("RESET");
    Ok(Flow::Done)
}

/// `AUTH password` or `AUTH username password`
pub fn auth(call: &mut Call<'_>) -> Ran {
    let arguments = call.arguments;
    match arguments.len() {
        2 if call.server.settings.password.is_empty() => {
            return Err(Failure::text(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
            ));
        }
        2 => authenticate(call, b"default", arguments.at(1))?,
        3 => authenticate(call, arguments.at(1), arguments.at(2))?,
        _ => return Err(Failure::Syntax),
    }
    call.client().authenticated = true;
    call.reply.ok();
    Ok(Flow::Done)
}

/// Whether this is the one user, `default`, with its password, if it has one.
fn authenticate(call: &Call<'_>, user: &[u8], password: &[u8]) -> Result<(), Failure> {
    let expected = call.server.settings.password.as_bytes();
    if user == b"default" && (expected.is_empty() || same_secret(expected, password)) {
        Ok(())
    } else {
        Err(WRONG_PASSWORD)
    }
}

/// Compares in a time that depends on the lengths only, so that a password cannot be guessed byte by byte.
fn same_secret(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y));
    a.len() == b.len() && core::hint::black_box(difference) == 0
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`
pub fn hello(call: &mut Call<'_>) -> Ran {
    let protocol = match call.arguments.len() {
        1 => None,
        _ => Some(protocol(call)?),
    };
    let options = hello_options(call)?;
    if options.authenticates {
        call.client().authenticated = true;
    }
    if !call.client().authenticated {
        return Err(Failure::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    let client = call.client();
    if let Some(name) = options.name {
        client.name = name;
    }
    if let Some(protocol) = protocol {
        client.protocol = protocol;
        call.reply.set_protocol(protocol);
    }
    greet(call);
    Ok(Flow::Done)
}

fn protocol(call: &Call<'_>) -> Result<Protocol, Failure> {
    match crate::arguments::integer(call.arguments.at(1)) {
        None => Err(Failure::text(
            "ERR Protocol version is not an integer or out of range",
        )),
        Some(2) => Ok(Protocol::V2),
        Some(3) => Ok(Protocol::V3),
        Some(_) => Err(Failure::text("NOPROTO unsupported protocol version")),
    }
}

#[derive(Default)]
struct HelloOptions {
    authenticates: bool,
    name: Option<Vec<u8>>,
}

fn hello_options(call: &Call<'_>) -> Result<HelloOptions, Failure> {
    let arguments = call.arguments;
    let (mut at, mut options) = (2, HelloOptions::default());
    while at < arguments.len() {
        let left = arguments.len() - at - 1;
        if arguments.is(at, "AUTH") && left >= 2 {
            authenticate(call, arguments.at(at + 1), arguments.at(at + 2))?;
            options.authenticates = true;
            at += 3;
        } else if arguments.is(at, "SETNAME") && left >= 1 {
            let name = arguments.at(at + 1);
            options.name = Some(valid_name(name, "Client names")?.to_vec());
            at += 2;
        } else {
            let option = shown(arguments.at(at));
            let text = alloc::format!("ERR Syntax error in HELLO option '{option}'");
            return Err(Failure::Text(text.into()));
        }
    }
    Ok(options)
}

fn greet(call: &mut Call<'_>) {
    let (id, protocol) = (call.connection.0, call.reply.protocol());
    let (mode, role) = match &call.server.topology {
        None => ("standalone", "master"),
        Some(topology) if topology.master_of(topology.me).is_some() => ("cluster", "replica"),
        Some(_) => ("cluster", "master"),
    };
    let reply = &mut call.reply;
    reply.map(7);
    reply.bulk_str("server");
    reply.bulk_str("redis");
    reply.bulk_str("version");
    reply.bulk_str(REDIS_VERSION);
    reply.bulk_str("proto");
    reply.integer(match protocol {
        Protocol::V2 => 2,
        Protocol::V3 => 3,
    });
    reply.bulk_str("id");
    reply.integer(id as i64);
    reply.bulk_str("mode");
    reply.bulk_str(mode);
    reply.bulk_str("role");
    reply.bulk_str(role);
    reply.bulk_str("modules");
    reply.array(0);
}

/// A container (`CLIENT`, `CONFIG`, ...) without a subcommand; its arity keeps this from being run.
pub fn container(call: &mut Call<'_>) -> Ran {
    Err(call.wrong_arity())
}

/// `<container> HELP`: written from the table.
pub fn help(call: &mut Call<'_>) -> Ran {
    let container = call.spec.name.split('|').next().unwrap_or_default();
    let upper = container.to_ascii_uppercase();
    let subcommands = TABLE.iter().filter(|spec| {
        spec.name
            .split_once('|')
            .is_some_and(|(of, _)| of == container)
    });
    let subcommands: Vec<_> = subcommands.collect();
    call.reply.array(1 + 2 * subcommands.len());
    call.reply.simple(&alloc::format!(
        "{upper} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    for spec in subcommands {
        let name = spec.own_name().to_ascii_uppercase();
        let syntax = crate::table::arguments::syntax(spec.arguments);
        call.reply
            .simple(alloc::format!("{name} {syntax}").trim_end());
        call.reply.simple(&alloc::format!("    {}", spec.summary));
    }
    Ok(Flow::Done)
}
