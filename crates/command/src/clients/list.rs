//! `CLIENT LIST` and `CLIENT INFO`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use model::{ConnectionId, Now};
use resp::Protocol;

use crate::client::{Client, place};
use crate::failure::shown;
use crate::{Call, Failure, Flow, Ran};

/// What kind of connection: all are of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientType {
    Normal,
    /// None are there: no copies talk to this node by this protocol.
    Other,
}

/// # Errors
/// There is no such type.
pub(super) fn client_type(word: &[u8]) -> Result<ClientType, Failure> {
    if word.eq_ignore_ascii_case(b"normal") {
        return Ok(ClientType::Normal);
    }
    let others = ["master", "slave", "replica", "pubsub"];
    if others
        .iter()
        .any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
    {
        return Ok(ClientType::Other);
    }
    let text = alloc::format!("ERR Unknown client type '{}'", shown(word));
    Err(Failure::Text(text.into()))
}

/// `CLIENT LIST [TYPE type] [ID id ...]`
pub fn list(call: &mut Call<'_>) -> Ran {
    let arguments = call.arguments;
    let mut lines = String::new();
    if arguments.len() == 2 {
        for client in call.clients.iter() {
            line(&mut lines, client, call.now);
        }
    } else if arguments.len() == 4 && arguments.is(2, "TYPE") {
        if client_type(arguments.at(3))? == ClientType::Normal {
            for client in call.clients.iter() {
                line(&mut lines, client, call.now);
            }
        }
    } else if arguments.len() > 3 && arguments.is(2, "ID") {
        for id in ids(call)? {
            if let Some(client) = call.clients.get(id) {
                line(&mut lines, client, call.now);
            }
        }
    } else {
        return Err(Failure::Syntax);
    }
    call.reply.verbatim(lines.as_bytes());
    Ok(Flow::Done)
}

fn ids(call: &Call<'_>) -> Result<Vec<ConnectionId>, Failure> {
    call.arguments
        .from(3)
        .map(|word| {
            crate::arguments::integer(word)
                // No connection has a negative number, which is no error.
                .map(|id| ConnectionId(u64::try_from(id).unwrap_or(0)))
                .ok_or(Failure::text("ERR Invalid client ID"))
        })
        .collect()
}

/// `CLIENT INFO`
pub fn info(call: &mut Call<'_>) -> Ran {
    let mut text = String::new();
    let now = call.now;
    line(&mut text, call.client(), now);
    call.reply.verbatim(text.as_bytes());
    Ok(Flow::Done)
}

fn line(out: &mut String, client: &Client, now: Now) {
    let seconds = |since_us: u64| now.mono_us.saturating_sub(since_us) / 1_000_000;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let resp = match client.protocol {
        Protocol::V2 => 2,
        Protocol::V3 => 3,
    };
    let (query, output) = (client.query_bytes, client.output_bytes);
    // Writing into a string cannot fail.
    let _ = writeln!(
        out,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub=0 psub=0 ssub=0 multi=-1 qbuf={query} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={output} oll=0 omem=0 tot-mem={} events=r cmd={} user=default redir=-1 resp={resp} lib-name={} lib-ver={}",
        client.id.0,
        client.address,
        client.local_address,
        place(client.id),
        text(&client.name),
        seconds(client.created_us),
        seconds(client.active_us),
        client.flags(),
        client.db.number(),
        query + output,
        if client.last_command.is_empty() {
            "NULL"
        } else {
            client.last_command
        },
        text(&client.library_name),
        text(&client.library_version),
    );
}
