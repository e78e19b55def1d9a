//! From words to a handler: what is checked before any command runs.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use model::{ConnectionId, Now};
use resp::Reply;
use shard::{Attempt, Shard};
use store::Refused;

use crate::client::{Client, ReplyMode};
use crate::failure::shown;
use crate::table::{self, Access, Flags, Found, Group, KeySpec, Keys, Spec};
use crate::{Arguments, Call, Clients, Failure, Flow, Other, Server, SlowEntry};

/// A command that was looked up, before it runs: a node prepares a whole pipeline, fetching what the
/// commands will need, and then runs it.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    /// What its first words name.
    pub command: Found,
}

/// Looks the command up.
#[must_use]
#[inline]
pub fn prepare(arguments: Arguments<'_>) -> Prepared {
    Prepared {
        command: table::find(arguments.at(0), arguments.get(1)),
    }
}

/// Everything that a command runs with, save what belongs to the command itself.
pub struct Scene<'a> {
    /// The time.
    pub now: Now,
    /// The data.
    pub shard: &'a mut Shard,
    /// What else a command without keys is about; nothing where a node has one shard.
    pub others: &'a mut [Other],
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
    /// Nothing was written: it runs again when the pause is over ([`Server::is_paused`]).
    Paused,
}

/// Runs one command and writes its reply, or its error.
pub fn execute(
    scene: Scene<'_>,
    prepared: Prepared,
    arguments: Arguments<'_>,
    attempt: Attempt,
    out: &mut Vec<u8>,
) -> Ended {
    // Taken apart: copied as a whole, it would be read back from where its parts were just stored, which waits for all stores
    // before it, those of the last command's value among them.
    let (buffer, spans) = arguments.parts();
    let before = out.len();
    let client = scene.clients.expect(scene.connection);
    let silence = client.reply;
    if silence == ReplyMode::SkipNext {
        client.reply = ReplyMode::On;
    }
    let Found::Entry(index) = prepared.command else {
        let text = unknown(prepared.command, Arguments::new(buffer, spans));
        scene.server.stats.count_error(&text);
        if silence == ReplyMode::On {
            resp::write_error(out, text);
        }
        return Ended::Replied;
    };
    let spec = &table::TABLE[usize::from(index)];
    if scene.server.pause.is_some() && waits_for_pause(scene.server, spec, scene.now) {
        client.reply = silence;
        return Ended::Paused;
    }
    client.last_command = spec.name;
    let (db, protocol, authenticated) = (client.db, client.protocol, client.authenticated);
    let mut call = Call {
        now: scene.now,
        spec,
        arguments: Arguments::new(buffer, spans),
        reply: Reply::new(out, protocol),
        shard: scene.shard,
        others: scene.others,
        server: scene.server,
        clients: scene.clients,
        connection: scene.connection,
        db,
        attempt,
    };
    let ended = match check(&mut call, authenticated) {
        Ok(()) => run(&mut call, usize::from(index), before),
        Err(failure) => {
            call.server.stats.commands[usize::from(index)].rejections += 1;
            fail(&mut call, failure, before)
        }
    };
    if silence != ReplyMode::On {
        be_silent(&mut call, silence, ended, before);
    }
    ended
}

/// Whether `CLIENT PAUSE` lets this command wait. Commands about connections never do, so that the pause can be ended.
#[cold]
fn waits_for_pause(server: &mut Server, spec: &Spec, now: Now) -> bool {
    let Some(pause) = server.pause.filter(|_| server.is_paused(now)) else {
        server.pause = None;
        return false;
    };
    spec.group != Group::Connection && (pause.all || spec.flags.has(Flags::WRITE))
}

/// Runs the handler and counts it.
fn run(call: &mut Call<'_>, index: usize, before: usize) -> Ended {
    let started_ns = start_timing(call);
    let ran = (call.spec.handler)(call);
    if let Some(started_ns) = started_ns {
        end_timing(call, index, started_ns);
    }
    let ended = match ran {
        Ok(Flow::Done) => Ended::Replied,
        Ok(Flow::Close) => Ended::ReplyThenClose,
        Ok(Flow::Wait) => {
            let len = call.reply.len();
            assert!(len == before, "a command that waits has written nothing");
            call.client().waits = true;
            return Ended::Waits;
        }
        Err(Failure::Refused(refused)) if may_wait(call, refused) => {
            call.reply.truncate(before);
            return Ended::WaitsForLog;
        }
        Err(failure) => {
            call.server.stats.commands[index].failures += 1;
            fail(call, failure, before)
        }
    };
    if call.attempt != Attempt::First {
        call.client().waits = false;
    }
    call.server.stats.calls += 1;
    call.server.stats.commands[index].calls += 1;
    ended
}

/// Whether what was refused may be taken in a moment, here or by another copy.
#[cold]
fn may_wait(call: &mut Call<'_>, refused: Refused) -> bool {
    match refused {
        Refused::LogBusy => true,
        Refused::LogUnavailable(_) => call.shard.may_be_relieved(call.now),
        Refused::OutOfMemory | Refused::BatchTooLarge => false,
    }
}

/// Of commands that cost next to nothing one call in this many is timed: reading the clock costs as much as they do.
const TIMED_CALLS: u64 = 64;

/// Reads the clock, if there is one and this call is to be timed.
#[inline]
fn start_timing(call: &Call<'_>) -> Option<u64> {
    let stopwatch = call.server.settings.stopwatch?;
    let timed = call.spec.may_take_long
        || call.server.stats.calls.is_multiple_of(TIMED_CALLS)
        || call.server.settings.slowlog_slower_than_us == 0;
    timed.then(stopwatch)
}

/// Takes note of how long a command took: for the histograms, and for the slow log.
#[cold]
fn end_timing(call: &mut Call<'_>, index: usize, started_ns: u64) {
    let Some(stopwatch) = call.server.settings.stopwatch else {
        return;
    };
    let duration_ns = stopwatch().saturating_sub(started_ns);
    call.server.stats.commands[index]
        .latency
        .record(duration_ns);
    let limit_us = call.server.settings.slowlog_slower_than_us;
    let is_slow = u64::try_from(limit_us).is_ok_and(|limit_us| duration_ns / 1000 >= limit_us);
    if is_slow && !call.spec.flags.has(Flags::SKIP_SLOWLOG) {
        let entry = SlowEntry::of(call, duration_ns / 1000);
        let max_len = call.server.settings.slowlog_max_len;
        call.server.slow_log.add(entry, max_len);
    }
}

/// Replaces what was written by an error, and counts that.
#[cold]
fn fail(call: &mut Call<'_>, failure: Failure, before: usize) -> Ended {
    let text = failure.to_string();
    call.server.stats.count_error(&text);
    call.reply.truncate(before);
    call.reply.error(text);
    Ended::Replied
}

/// Takes the reply back where `CLIENT REPLY` wants none, except for the command that asks for replies again.
#[cold]
fn be_silent(call: &mut Call<'_>, silence: ReplyMode, ended: Ended, before: usize) {
    match ended {
        Ended::Waits | Ended::WaitsForLog | Ended::Paused => call.client().reply = silence,
        Ended::Replied | Ended::ReplyThenClose => {
            if silence == ReplyMode::SkipNext || call.client().reply == ReplyMode::Off {
                call.reply.truncate(before);
            }
        }
    }
}

/// Arity, authentication, and whether the keys may be written.
#[inline]
fn check(call: &mut Call<'_>, authenticated: bool) -> Result<(), Failure> {
    let spec = call.spec;
    if !arity_fits(spec.arity, call.arguments.len()) {
        return Err(call.wrong_arity());
    }
    if !authenticated && !spec.flags.has(Flags::NO_AUTH) {
        return Err(Failure::text("NOAUTH Authentication required."));
    }
    if spec.flags.has(Flags::WRITE) {
        call.shard.begin_write(call.connection);
        for key_spec in spec.key_specs {
            check_keys(call, key_spec)?;
        }
    }
    Ok(())
}

/// Whether keys that are not only read have a possible length and may be written by this connection.
#[inline]
fn check_keys(call: &mut Call<'_>, key_spec: &KeySpec) -> Result<(), Failure> {
    if key_spec.access.has(Access::RO) {
        return Ok(());
    }
    let checks_itself = call.spec.flags.has(Flags::HOLDS);
    // What may need memory makes keys, and so does what replaces one (the second key of RENAME).
    let makes = call.spec.flags.has(Flags::DENYOOM) || key_spec.access.has(Access::OW);
    for index in key_spec.indices(call.arguments) {
        let key = call.arguments.at(index);
        if key.len() > model::limits::MAX_USER_KEY_BYTES {
            return Err(Failure::text("ERR key is longer than 65519 bytes"));
        }
        if !checks_itself {
            call.shard
                .check_write(call.now, call.connection, call.db, key, makes)?;
        }
    }
    Ok(())
}

pub(crate) fn arity_fits(arity: i8, words: usize) -> bool {
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

/// Redis's text for an unknown command or subcommand, with at most 128 bytes of it and of its arguments.
#[cold]
fn unknown(found: Found, arguments: Arguments<'_>) -> String {
    let shown = |word: &'_ [u8], most: usize| shown(&word[..word.len().min(most)]).into_owned();
    if let Found::UnknownSubcommand(container) = found {
        return alloc::format!(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            shown(arguments.at(1), 128),
            table::TABLE[usize::from(container)]
                .name
                .to_ascii_uppercase()
        );
    }
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

/// The keys of a command that was looked up.
pub fn keys_of<'a>(prepared: Prepared, arguments: Arguments<'a>) -> impl Iterator<Item = &'a [u8]> {
    let specs = spec_of(prepared).map_or(&[][..], |spec| spec.key_specs);
    let indices = specs.iter().flat_map(move |keys| keys.indices(arguments));
    indices.map(move |index| arguments.at(index))
}

/// Answers a command with an error before it runs.
pub fn refuse(
    server: &mut Server,
    client: &mut Client,
    prepared: Prepared,
    text: &str,
    out: &mut Vec<u8>,
) {
    if let Found::Entry(index) = prepared.command {
        server.stats.commands[usize::from(index)].rejections += 1;
    }
    server.stats.count_error(text);
    match client.reply {
        ReplyMode::On => resp::write_error(out, text),
        ReplyMode::SkipNext => client.reply = ReplyMode::On,
        ReplyMode::Off => {}
    }
}

/// The entry of a command that was looked up.
#[must_use]
pub fn spec_of(prepared: Prepared) -> Option<&'static Spec> {
    match prepared.command {
        Found::Entry(index) => Some(&table::TABLE[usize::from(index)]),
        Found::UnknownSubcommand(_) | Found::Unknown => None,
    }
}

/// The name of the command, for tables that must not hold what a client wrote.
#[must_use]
pub fn name_of(prepared: Prepared) -> &'static str {
    spec_of(prepared).map_or("unknown", |spec| spec.name)
}
