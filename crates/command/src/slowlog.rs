//! `SLOWLOG`: commands that took long.
//!
//! Redis keeps the arguments. Here the arguments are sessions, so an entry holds the command's name, its keys
//! shortened to a few bytes, and of everything else only the length.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use crate::table::Spec;
use crate::{Arguments, Call, Failure, Flow, Ran};

/// Arguments of one entry; of the rest the number is told.
const MAX_ARGUMENTS: usize = 32;
/// Bytes of a key that are shown, if it has at least twice as many.
const SHOWN_KEY_BYTES: usize = 8;

/// One command that took long.
#[derive(Clone, Debug)]
pub struct SlowEntry {
    /// Its number since the start.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// How long, in microseconds.
    pub duration_us: u64,
    /// Its words, as far as they may be told.
    pub words: Vec<String>,
    /// The address of the client.
    pub address: String,
    /// The name of the client.
    pub client_name: Vec<u8>,
}

/// The latest ones, newest first.
#[derive(Clone, Debug, Default)]
pub struct SlowLog {
    entries: VecDeque<SlowEntry>,
    next_id: u64,
}

impl SlowLog {
    /// Keeps an entry, and at most `max_len` in all. Its number is given here.
    pub(crate) fn add(&mut self, mut entry: SlowEntry, max_len: usize) {
        entry.id = self.next_id;
        self.next_id += 1;
        self.entries.push_front(entry);
        self.entries.truncate(max_len);
    }

    /// Newest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &SlowEntry> {
        self.entries.iter()
    }
}

impl SlowEntry {
    /// The command of this call, which took this long.
    pub(crate) fn of(call: &mut Call<'_>, duration_us: u64) -> Self {
        let words = words(call.spec, call.arguments);
        let unix_ms = call.now.unix_ms;
        let client = call.client();
        Self {
            id: 0,
            unix_ms,
            duration_us,
            words,
            address: client.address.clone(),
            client_name: client.name.clone(),
        }
    }
}

/// The command's words without anything that would let a reader become somebody else.
fn words(spec: &Spec, arguments: Arguments<'_>) -> Vec<String> {
    let mut words: Vec<String> = spec.name.split('|').map(String::from).collect();
    let keys: Vec<usize> = crate::key_indices(spec.keys, arguments.len()).collect();
    let is_key = |index: &usize| keys.binary_search(index).is_ok();
    for (index, word) in arguments.from(words.len().min(arguments.len())).enumerate() {
        if words.len() == MAX_ARGUMENTS {
            let more = arguments.len() - MAX_ARGUMENTS;
            words.push(alloc::format!("... ({more} more arguments)"));
            break;
        }
        let index = index + spec.name.split('|').count();
        words.push(if is_key(&index) {
            shortened(word)
        } else {
            alloc::format!("({} bytes)", word.len())
        });
    }
    words
}

/// The start of a key, if that is less than half of it, and its length.
#[must_use]
pub fn shortened(key: &[u8]) -> String {
    let shown = if key.len() >= 2 * SHOWN_KEY_BYTES {
        &key[..SHOWN_KEY_BYTES]
    } else {
        &[]
    };
    alloc::format!("{}... ({} bytes)", shown.escape_ascii(), key.len())
}

/// `SLOWLOG GET [count]`
pub fn get(call: &mut Call<'_>) -> Ran {
    let count = match call.arguments.len() {
        2 => Some(10),
        3 => crate::arguments::integer(call.arguments.at(2)),
        _ => return Err(call.wrong_form()),
    };
    let log = &call.server.slow_log;
    let most = match count {
        Some(-1) => Some(log.entries.len()),
        Some(count) => usize::try_from(count).ok(),
        None => None,
    };
    let most = most.ok_or(Failure::text(
        "ERR count should be greater than or equal to -1",
    ))?;
    let shown = most.min(log.entries.len());
    call.reply.array(shown);
    for entry in log.entries.iter().take(shown) {
        let reply = &mut call.reply;
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer((entry.unix_ms / 1000) as i64);
        reply.integer(entry.duration_us as i64);
        reply.array(entry.words.len());
        for word in &entry.words {
            reply.bulk_str(word);
        }
        reply.bulk_str(&entry.address);
        reply.bulk(&entry.client_name);
    }
    Ok(Flow::Done)
}

/// `SLOWLOG LEN`
pub fn len(call: &mut Call<'_>) -> Ran {
    call.reply
        .integer(call.server.slow_log.entries.len() as i64);
    Ok(Flow::Done)
}

/// `SLOWLOG RESET`
pub fn reset(call: &mut Call<'_>) -> Ran {
    call.server.slow_log.entries.clear();
    call.reply.ok();
    Ok(Flow::Done)
}
