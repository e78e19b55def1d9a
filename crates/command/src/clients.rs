//! `CLIENT`: what a connection says about itself, and what operators do with all of them.

mod kill;
mod list;

pub use kill::kill;
pub use list::{info, list};

use resp::Protocol;

use crate::client::ReplyMode;
use crate::failure::shown;
use crate::server::Pause;
use crate::{Call, Failure, Flow, Ran};

/// `CLIENT ID`
pub fn id(call: &mut Call<'_>) -> Ran {
    call.reply.integer(call.connection.0 as i64);
    Ok(Flow::Done)
}

/// `CLIENT GETNAME`
pub fn getname(call: &mut Call<'_>) -> Ran {
    let client = call.clients.expect(call.connection);
    if client.name.is_empty() {
        call.reply.null();
    } else {
        call.reply.bulk(&client.name);
    }
    Ok(Flow::Done)
}

/// A name that can stand in `CLIENT LIST`: visible characters without spaces.
///
/// # Errors
/// It cannot; `what` begins the message.
pub fn valid_name<'a>(name: &'a [u8], what: &str) -> Result<&'a [u8], Failure> {
    if name.iter().all(u8::is_ascii_graphic) {
        Ok(name)
    } else {
        let text =
            alloc::format!("ERR {what} cannot contain spaces, newlines or special characters.");
        Err(Failure::Text(text.into()))
    }
}

/// `CLIENT SETNAME name`
pub fn setname(call: &mut Call<'_>) -> Ran {
    let name = valid_name(call.arguments.at(2), "Client names")?;
    call.client().name = name.to_vec();
    call.reply.ok();
    Ok(Flow::Done)
}

/// `CLIENT SETINFO LIB-NAME name` or `CLIENT SETINFO LIB-VER version`
pub fn setinfo(call: &mut Call<'_>) -> Ran {
    let value = call.arguments.at(3);
    let option = shown(call.arguments.at(2));
    if call.arguments.is(2, "LIB-NAME") {
        call.client().library_name = valid_name(value, &option)?.to_vec();
    } else if call.arguments.is(2, "LIB-VER") {
        call.client().library_version = valid_name(value, &option)?.to_vec();
    } else {
        let text = alloc::format!("ERR Unrecognized option '{option}'");
        return Err(Failure::Text(text.into()));
    }
    call.reply.ok();
    Ok(Flow::Done)
}

fn on_or_off(call: &Call<'_>) -> Result<bool, Failure> {
    if call.arguments.is(2, "ON") {
        Ok(true)
    } else if call.arguments.is(2, "OFF") {
        Ok(false)
    } else {
        Err(Failure::Syntax)
    }
}

/// `CLIENT NO-EVICT ON|OFF`: no connection is closed to save memory for others, so there is nothing to do.
pub fn no_evict(call: &mut Call<'_>) -> Ran {
    call.client().no_evict = on_or_off(call)?;
    call.reply.ok();
    Ok(Flow::Done)
}

/// `CLIENT NO-TOUCH ON|OFF`: reads change nothing anyway, so there is nothing to do.
pub fn no_touch(call: &mut Call<'_>) -> Ran {
    call.client().no_touch = on_or_off(call)?;
    call.reply.ok();
    Ok(Flow::Done)
}

/// `CLIENT REPLY ON|OFF|SKIP`; the dispatcher holds the replies back.
pub fn reply(call: &mut Call<'_>) -> Ran {
    if call.arguments.is(2, "ON") {
        call.client().reply = ReplyMode::On;
        call.reply.ok();
    } else if call.arguments.is(2, "OFF") {
        call.client().reply = ReplyMode::Off;
    } else if call.arguments.is(2, "SKIP") {
        if call.client().reply == ReplyMode::On {
            call.client().reply = ReplyMode::SkipNext;
        }
    } else {
        return Err(Failure::Syntax);
    }
    Ok(Flow::Done)
}

/// `CLIENT TRACKING OFF [options]`; `ON` is refused.
pub fn tracking(call: &mut Call<'_>) -> Ran {
    check_tracking_options(call)?;
    if on_or_off(call)? {
        return Err(Failure::text("ERR client tracking is not available"));
    }
    call.reply.ok();
    Ok(Flow::Done)
}

fn check_tracking_options(call: &Call<'_>) -> Result<(), Failure> {
    let arguments = call.arguments;
    let mut at = 3;
    while at < arguments.len() {
        let is_one_of = |words: &[&str]| words.iter().any(|word| arguments.is(at, word));
        if is_one_of(&["BCAST", "OPTIN", "OPTOUT", "NOLOOP"]) {
            at += 1;
        } else if is_one_of(&["REDIRECT", "PREFIX"]) && at + 1 < arguments.len() {
            at += 2;
        } else {
            return Err(Failure::Syntax);
        }
    }
    Ok(())
}

/// `CLIENT TRACKINGINFO`
pub fn trackinginfo(call: &mut Call<'_>) -> Ran {
    let reply = &mut call.reply;
    reply.map(3);
    reply.bulk_str("flags");
    reply.set(1);
    reply.bulk_str("off");
    reply.bulk_str("redirect");
    reply.integer(-1);
    reply.bulk_str("prefixes");
    reply.array(0);
    Ok(Flow::Done)
}

/// `CLIENT GETREDIR`
pub fn getredir(call: &mut Call<'_>) -> Ran {
    call.reply.integer(-1);
    Ok(Flow::Done)
}

/// `CLIENT CACHING YES|NO`
pub fn caching(_call: &mut Call<'_>) -> Ran {
    Err(Failure::text(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    ))
}

/// The kinds of addresses that clients ask to be told. A node has one, whatever kind it is of; none is told who asks for none.
const ENDPOINT_TYPES: &[&str] = &[
    "internal-ip",
    "internal-fqdn",
    "external-ip",
    "external-fqdn",
    "none",
];

/// `CLIENT MAINT_NOTIFICATIONS ON|OFF [MOVING-ENDPOINT-TYPE type]`: clients that send it unasked take an error as "not here".
pub fn maint_notifications(call: &mut Call<'_>) -> Ran {
    if call.server.topology.is_none() {
        return Err(Failure::text(
            "ERR maintenance notifications are not available: this is no cluster",
        ));
    }
    let on = on_or_off(call)?;
    match call.arguments.len() {
        3 => {}
        5 if on
            && call.arguments.is(3, "MOVING-ENDPOINT-TYPE")
            && ENDPOINT_TYPES.iter().any(|kind| call.arguments.is(4, kind)) => {}
        _ => return Err(Failure::Syntax),
    }
    if on && call.reply.protocol() == Protocol::V2 {
        return Err(Failure::text(
            "ERR maintenance notifications are pushes: they need RESP3",
        ));
    }
    call.client().wants_moves = on;
    call.reply.ok();
    Ok(Flow::Done)
}

/// `CLIENT PAUSE timeout [WRITE|ALL]`
pub fn pause(call: &mut Call<'_>) -> Ran {
    let arguments = call.arguments;
    let all = match arguments.len() {
        3 => true,
        4 if arguments.is(3, "ALL") => true,
        4 if arguments.is(3, "WRITE") => false,
        4 => return Err(Failure::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(call.wrong_form()),
    };
    let timeout_ms = crate::arguments::integer(arguments.at(2)).ok_or(Failure::text(
        "ERR timeout is not an integer or out of range",
    ))?;
    let timeout_ms =
        u64::try_from(timeout_ms).map_err(|_| Failure::text("ERR timeout is negative"))?;
    let end_ms = call.now.unix_ms.saturating_add(timeout_ms);
    call.server.pause = Some(
        match call.server.pause.filter(|p| p.end_ms > call.now.unix_ms) {
            // A pause never becomes shorter or weaker by another one.
            Some(pause) => Pause {
                end_ms: pause.end_ms.max(end_ms),
                all: pause.all || all,
            },
            None => Pause { end_ms, all },
        },
    );
    call.reply.ok();
    Ok(Flow::Done)
}

/// `CLIENT UNPAUSE`
pub fn unpause(call: &mut Call<'_>) -> Ran {
    call.server.pause = None;
    call.reply.ok();
    Ok(Flow::Done)
}

/// `CLIENT UNBLOCK id [TIMEOUT|ERROR]`
pub fn unblock(call: &mut Call<'_>) -> Ran {
    let arguments = call.arguments;
    match arguments.len() {
        3 => {}
        4 if arguments.is(3, "TIMEOUT") || arguments.is(3, "ERROR") => {}
        4 => {
            return Err(Failure::text(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
        _ => return Err(call.wrong_form()),
    }
    // Either way the command that waits answers as if its time were over: what it says then is of more use than that
    // somebody ended the wait.
    let id = arguments.integer(2)?.cast_unsigned();
    let connection = model::ConnectionId(id);
    let waited = call.shards().any(|shard| shard.stop_waiting(connection));
    call.reply.integer(i64::from(waited));
    Ok(Flow::Done)
}
