//! What becomes of a command: which parts go to which nodes, and how one reply is made of theirs.
//!
//! The command table tells where keys are and what a command does with them, so nothing is known here of most commands. A few are
//! about the cluster as a whole (`DBSIZE`, `SCAN`, ...) or about the connection (`SELECT`, ...), and stand here by name.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use command::Arguments;
use command::table::{Flags, Spec};
use model::limits::MAX_HOLD_MS;
use model::slot::Slot;
use model::topology::Address;

use crate::merge::Merge;
use crate::reply;
use crate::routes::Routes;
use crate::scan;

/// Where a part goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// To whoever has this slot.
    Slot(u16),
    /// To any primary, the one beside this port if it is one.
    Home,
    /// To this node.
    Node(Arc<Address>),
    /// To all primaries: not all are known yet, so that it has to be planned again.
    Everybody,
}

/// The bytes of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// They stand in what the client has sent.
    Sent(Range<usize>),
    /// They were made here.
    Made(Vec<u8>),
}

/// One command to one node.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its bytes.
    pub request: Request,
    /// Where it goes.
    pub to: To,
    /// It changes nothing: it may be sent again whatever has become of it.
    pub only_reads: bool,
    /// It may wait for others, so long.
    pub waits: Option<Duration>,
}

/// What the client is answered: made of the replies to these parts.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How.
    pub merge: Merge,
    /// Which.
    pub parts: Range<usize>,
}

/// What a command says about the connection. It is run alone, and said again on each connection that is opened later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// `HELLO`
    Hello,
    /// `AUTH`
    Auth,
    /// `SELECT`
    Select,
    /// `CLIENT SETNAME`
    SetName,
    /// `CLIENT SETINFO`
    SetInfo,
    /// `CLIENT MAINT_NOTIFICATIONS`
    Notices,
    /// `RESET`
    Reset,
    /// `QUIT`
    Quit,
}

/// Some commands that are under way together.
#[derive(Default)]
pub struct Batch {
    /// Their parts, in the order in which they are sent.
    pub parts: Vec<Part>,
    /// Their answers, in the order in which they were asked for.
    pub answers: Vec<Answer>,
}

/// A command, as it arrived.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its words.
    pub arguments: Arguments<'a>,
    /// What the table says of it; `None`: it is not there.
    pub spec: Option<&'static Spec>,
    /// Where its bytes stand; `None` if they were changed in place, so that they have to be made anew.
    pub bytes: Option<(usize, usize)>,
}

/// Commands whose keys may lie in several slots: each slot's node gets its own.
const SPLIT: &[&str] = &["del", "unlink", "exists", "touch", "mget", "mset"];
/// Commands that this port answers as a server that is no cluster.
const NO_CLUSTER: &[&str] = &["cluster", "asking", "readonly", "readwrite"];

impl Asked<'_> {
    fn name(&self) -> &'static str {
        self.spec.map_or("", |spec| spec.name)
    }

    fn has(&self, flag: Flags) -> bool {
        self.spec.is_some_and(|spec| spec.flags.has(flag))
    }

    fn has_tip(&self, tip: &str) -> bool {
        self.spec.is_some_and(|spec| spec.tips.contains(&tip))
    }

    /// Whether it is about the connection.
    pub fn choice(&self) -> Option<Choice> {
        match self.name() {
            "hello" => Some(Choice::Hello),
            "auth" => Some(Choice::Auth),
            "select" => Some(Choice::Select),
            "client|setname" => Some(Choice::SetName),
            "client|setinfo" => Some(Choice::SetInfo),
            "client|maint_notifications" => Some(Choice::Notices),
            "reset" => Some(Choice::Reset),
            "quit" => Some(Choice::Quit),
            _ => None,
        }
    }

    /// Its bytes.
    pub fn request(&self) -> Request {
        match self.bytes {
            Some((start, end)) => Request::Sent(start..end),
            None => Request::Made(reply::encode(self.arguments.from(0))),
        }
    }

    /// The slots of its keys, each with the indices of the keys that are in it, in order of the first one.
    fn slots(&self) -> Vec<(u16, Vec<usize>)> {
        let specs = self.spec.map_or(&[][..], |spec| spec.key_specs);
        let indices = specs.iter().flat_map(|s| s.indices(self.arguments));
        let mut slots: Vec<(u16, Vec<usize>)> = Vec::new();
        for index in indices {
            let slot = Slot::of(self.arguments.at(index)).number();
            match slots.iter_mut().find(|(s, _)| *s == slot) {
                Some((_, keys)) => keys.push(index),
                None => slots.push((slot, vec![index])),
            }
        }
        slots
    }
}

impl Batch {
    /// Whether it goes to certain nodes, because they were the primaries when it was planned.
    pub fn is_for_certain_nodes(&self) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|part| match part.to {
            To::Node(_) | To::Everybody => true,
            To::Slot(_) | To::Home => false,
        })
    }

    /// Whether it may wait for others to do something.
    pub fn may_wait(&self) -> bool {
        self.parts.iter().any(|part| part.waits.is_some())
    }

    /// Adds the commands of another, behind its own.
    pub fn append(&mut self, other: Self) {
        let behind = self.parts.len();
        self.parts.extend(other.parts);
        let answers = other.answers.into_iter();
        self.answers.extend(answers.map(|answer| Answer {
            parts: answer.parts.start + behind..answer.parts.end + behind,
            ..answer
        }));
    }

    /// Adds a command that is not about the connection.
    pub fn add(&mut self, asked: &Asked<'_>, routes: &Routes) {
        if let Some(text) = refusal(asked) {
            return self.answer(Merge::Ready(reply::error_reply(text)), Vec::new());
        }
        match asked.name() {
            "scan" => return self.scan(asked, routes),
            "randomkey" => return self.everywhere(asked, routes, Merge::FirstThere),
            "session.list" => {
                let count = scan::list_count(asked.arguments);
                return self.everywhere(asked, routes, Merge::List { count });
            }
            "session.revoke" => return self.everywhere(asked, routes, Merge::Sum),
            "keys" => return self.everywhere(asked, routes, Merge::Concatenate),
            "info" => return self.alone(asked, To::Home, Merge::Info),
            "wait" | "waitaof" | "ping" => return self.alone(asked, To::Home, Merge::One),
            _ => {}
        }
        let everywhere =
            asked.has_tip("request_policy:all_shards") || asked.has_tip("request_policy:all_nodes");
        if everywhere && asked.has_tip("response_policy:agg_sum") {
            self.everywhere(asked, routes, Merge::Sum);
        } else if everywhere && asked.has_tip("response_policy:all_succeeded") {
            self.everywhere(asked, routes, Merge::AllSucceeded);
        } else {
            self.by_keys(asked);
        }
    }

    fn by_keys(&mut self, asked: &Asked<'_>) {
        let slots = asked.slots();
        match slots[..] {
            [] => self.alone(asked, To::Home, Merge::One),
            [(slot, _)] => self.alone(asked, To::Slot(slot), Merge::One),
            [..] if SPLIT.contains(&asked.name()) => self.split(asked, &slots),
            [..] => {
                let text = "CROSSSLOT Keys in request don't hash to the same slot";
                self.answer(Merge::Ready(reply::error_reply(text)), Vec::new());
            }
        }
    }

    fn answer(&mut self, merge: Merge, parts: Vec<Part>) {
        let first = self.parts.len();
        self.parts.extend(parts);
        let parts = first..self.parts.len();
        self.answers.push(Answer { merge, parts });
    }

    fn alone(&mut self, asked: &Asked<'_>, to: To, merge: Merge) {
        let part = part(asked, asked.request(), to);
        self.answer(merge, vec![part]);
    }

    /// The same command to every primary.
    fn everywhere(&mut self, asked: &Asked<'_>, routes: &Routes, merge: Merge) {
        if !routes.is_whole() {
            return self.alone(asked, To::Everybody, merge);
        }
        let primaries = routes.primaries().iter();
        let parts = primaries.map(|p| part(asked, asked.request(), To::Node(Arc::clone(p))));
        self.answer(merge, parts.collect());
    }

    /// To each slot's node a command with the keys of that slot.
    fn split(&mut self, asked: &Asked<'_>, slots: &[(u16, Vec<usize>)]) {
        let arguments = asked.arguments;
        let with_value = usize::from(asked.name() == "mset");
        let parts = slots.iter().map(|(slot, keys)| {
            let words = keys.iter().flat_map(|key| *key..=*key + with_value);
            let words: Vec<&[u8]> = std::iter::once(0)
                .chain(words)
                .filter_map(|index| arguments.get(index))
                .collect();
            let request = Request::Made(reply::encode(words.iter().copied()));
            part(asked, request, To::Slot(*slot))
        });
        let parts = parts.collect();
        let merge = match asked.name() {
            "mget" => Merge::Places(slots.iter().map(|(_, keys)| keys.clone()).collect()),
            "mset" => Merge::AllSucceeded,
            _ => Merge::Sum,
        };
        self.answer(merge, parts);
    }

    /// `SCAN`: the cursor says which shard is being scanned, unless the client names one.
    fn scan(&mut self, asked: &Asked<'_>, routes: &Routes) {
        if let Some(slot) = command::scanned_slot(asked.arguments) {
            return self.alone(asked, To::Slot(slot.number()), Merge::One);
        }
        if !routes.is_whole() {
            return self.alone(asked, To::Everybody, Merge::One);
        }
        let firsts = routes.first_slots();
        match scan::Cursor::parse(asked.arguments.get(1), firsts.len()) {
            Some(cursor) => {
                let slot = firsts.get(cursor.shard).copied().unwrap_or_default();
                let (inner, named) = (cursor.inner.to_string(), slot.to_string());
                let mut words = vec![&b"SCAN"[..], inner.as_bytes()];
                for word in asked.arguments.from(2) {
                    words.push(word);
                }
                words.extend([&b"SLOT"[..], named.as_bytes()]);
                let request = Request::Made(reply::encode(words.iter().copied()));
                let merge = Merge::Scan {
                    shard: cursor.shard,
                    shards: firsts.len(),
                };
                self.answer(merge, vec![part(asked, request, To::Slot(slot))]);
            }
            None => self.answer(
                Merge::Ready(reply::error_reply("ERR invalid cursor")),
                Vec::new(),
            ),
        }
    }
}

fn part(asked: &Asked<'_>, request: Request, to: To) -> Part {
    Part {
        request,
        to,
        only_reads: asked.has(Flags::READONLY) || asked.spec.is_some_and(harmless),
        waits: asked.has(Flags::BLOCKING).then(|| wait_of(asked.arguments)),
    }
}

/// How long a command is willing to wait, at the longest reading of its words; which are its options only the node has to know.
fn wait_of(arguments: Arguments<'_>) -> Duration {
    let words = 2..arguments.len().saturating_sub(1);
    let named = words.filter(|index| arguments.is(*index, "WAIT"));
    let waits = named.filter_map(|index| u64::try_from(arguments.integer(index + 1).ok()?).ok());
    Duration::from_millis(waits.max().unwrap_or(0).min(MAX_HOLD_MS))
}

/// Without keys and not said to write: it asks about the server.
fn harmless(spec: &'static Spec) -> bool {
    spec.key_specs.is_empty() && !spec.flags.has(Flags::WRITE) && !spec.flags.has(Flags::ADMIN)
}

/// Why a command is not passed on, if it is not.
fn refusal(asked: &Asked<'_>) -> Option<&'static str> {
    let container = asked.name().split('|').next().unwrap_or_default();
    if NO_CLUSTER.contains(&container) {
        return Some("ERR This instance has cluster support disabled");
    }
    match asked.name() {
        "client|reply" if !asked.arguments.is(2, "ON") => {
            Some("ERR CLIENT REPLY OFF and SKIP are not available at a forwarding port")
        }
        "client|tracking" if asked.arguments.is(2, "ON") => {
            Some("ERR client tracking is not available")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
