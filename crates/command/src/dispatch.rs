//! From words to a handler: what is checked before any command runs.

use model::{ConnectionId, Now};
use resp::Reply;
use shard::{Attempt, Shard};
use store::Refused;

use crate::table::{self, Flags, Keys, Spec};
use crate::{Arguments, Call, Clients, Failure, Flow, Server};

/// A command that was looked up, before it runs: a node prepares a whole pipeline, fetching what the
/// commands will need, and then runs it.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    /// Index in the table; `None` for an unknown command.
    pub command: Option<usize>,
}

/// Looks the command up.
#[must_use]
pub fn prepare(arguments: Arguments<'_>) -> Prepared {
    Prepared {
        command: table::find(arguments.at(0)),
    }
}

/// Everything that a command runs with, save what belongs to the command itself.
pub struct Scene<'a> {
    /// The time.
    pub now: Now,
    /// The data.
    pub shard: &'a mut Shard,
    /// The node.
    pub server: &'a mut Server,
    /// All connections.
    pub clients: &'a mut Clients,
    /// The connection that sent the command.
    pub connection: ConnectionId,
}

/// How a command ended, for the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A reply was written.
    Replied,
    /// A reply was written, and the connection is to be closed after it.
    ReplyThenClose,
    /// Nothing was written: it runs again when the shard wakes the connection.
    Waits,
    /// Nothing was written: it runs again after the next disk event.
    WaitsForLog,
}

/// Runs one command and writes its reply, or its error.
pub fn execute(
    scene: Scene<'_>,
    prepared: Prepared,
    arguments: Arguments<'_>,
    attempt: Attempt,
    out: &mut alloc::vec::Vec<u8>,
) -> Ended {
    let client = scene.clients.expect(scene.connection);
    let (db, protocol) = (client.db, client.protocol);
    let before = out.len();
    let Some(index) = prepared.command else {
        resp::write_error(out, unknown(arguments));
        return Ended::Replied;
    };
    let spec = &table::TABLE[index];
    let mut call = Call {
        now: scene.now,
        spec,
        arguments,
        reply: Reply::new(out, protocol),
        shard: scene.shard,
        server: scene.server,
        clients: scene.clients,
        connection: scene.connection,
        db,
        attempt,
    };
    match check(&mut call).and_then(|()| (spec.handler)(&mut call)) {
        Ok(Flow::Done) => Ended::Replied,
        Ok(Flow::Close) => Ended::ReplyThenClose,
        Ok(Flow::Wait) => {
            assert!(
                call.reply.len() == before,
                "a command that waits has written nothing"
            );
            Ended::Waits
        }
        Err(Failure::Refused(Refused::LogBusy)) => {
            call.reply.truncate(before);
            Ended::WaitsForLog
        }
        Err(failure) => {
            call.reply.truncate(before);
            call.reply.error(failure);
            Ended::Replied
        }
    }
}

/// Arity, authentication, and whether the keys may be written.
fn check(call: &mut Call<'_>) -> Result<(), Failure> {
    let spec = call.spec;
    if !arity_fits(spec.arity, call.arguments.len()) {
        return Err(Failure::Text(
            alloc::format!("ERR wrong number of arguments for '{}' command", spec.name).into(),
        ));
    }
    if !call.client().authenticated && !spec.flags.has(Flags::NO_AUTH) {
        return Err(Failure::text("NOAUTH Authentication required."));
    }
    if spec.flags.has(Flags::WRITE) && !spec.flags.has(Flags::HOLDS) {
        for index in key_indices(spec.keys, call.arguments.len()) {
            call.shard
                .check_write(call.now, call.connection, call.db, call.arguments.at(index))?;
        }
    }
    Ok(())
}

fn arity_fits(arity: i8, words: usize) -> bool {
    if arity >= 0 {
        words == arity as usize
    } else {
        words >= usize::from(arity.unsigned_abs())
    }
}

/// The indices of the arguments that are keys.
pub fn key_indices(keys: Keys, words: usize) -> impl Iterator<Item = usize> {
    let last = if keys.last < 0 {
        words as isize + isize::from(keys.last)
    } else {
        isize::from(keys.last)
    };
    let first = if keys.first == 0 {
        1
    } else {
        keys.first as usize
    };
    let end = if keys.first == 0 {
        0
    } else {
        (last + 1).max(0) as usize
    };
    (first..end.min(words)).step_by(keys.step.max(1) as usize)
}

/// Redis's text for an unknown command, with at most 128 bytes of arguments.
fn unknown(arguments: Arguments<'_>) -> alloc::string::String {
    use alloc::string::String;
    let shown = |word: &[u8], most: usize| {
        String::from_utf8_lossy(&word[..word.len().min(most)]).into_owned()
    };
    let mut text = alloc::format!(
        "ERR unknown command '{}', with args beginning with: ",
        shown(arguments.at(0), 128)
    );
    let start = text.len();
    for word in arguments.from(1) {
        let room = 128usize.saturating_sub(text.len() - start);
        if room == 0 {
            break;
        }
        text.push_str(&alloc::format!("'{}' ", shown(word, room)));
    }
    text
}

/// The entry of a command that was looked up.
#[must_use]
pub fn spec_of(prepared: Prepared) -> Option<&'static Spec> {
    prepared.command.map(|index| &table::TABLE[index])
}

/// The name of the command, for tables that must not hold what a client wrote.
#[must_use]
pub fn name_of(prepared: Prepared) -> &'static str {
    spec_of(prepared).map_or("unknown", |spec| spec.name)
}
