//! One reply of several.

use resp::{Protocol, Reply};

use crate::reply::{self, elements, integer, is_null, string};
use crate::scan::Cursor;

/// How the replies to a command's parts become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// There is one; it is passed on as it comes.
    One,
    /// There is none: this is the reply.
    Ready(Vec<u8>),
    /// Integers are added.
    Sum,
    /// The first one, if none is an error.
    AllSucceeded,
    /// The elements of all, one after the other.
    Concatenate,
    /// The first one that is not nothing.
    FirstThere,
    /// The elements of each belong to these places: indices of keys, which begin at 1.
    Places(Vec<Vec<usize>>),
    /// `SCAN` of one of so many shards.
    Scan {
        /// Which.
        shard: usize,
        /// How many.
        shards: usize,
    },
    /// `SESSION.LIST`: ids in order, so many at most.
    List {
        /// How many.
        count: usize,
    },
    /// `INFO`, as a server that is no cluster has it.
    Info,
}

/// What a node answered is not what such a command is answered with.
const ODD: &str = "ERR a node answered something else than expected";

/// What in `INFO` depends on the cluster, as one server has it.
const INFO_LINES: &[(&str, &str)] = &[
    ("redis_mode:", "standalone"),
    ("role:", "master"),
    ("cluster_enabled:", "0"),
    ("connected_slaves:", "0"),
];

impl Merge {
    /// The reply, made of those of all parts, in order. An error among them is the reply.
    pub fn merge(&self, mut replies: Vec<Vec<u8>>) -> Vec<u8> {
        if replies.len() == 1 && matches!(self, Self::One | Self::AllSucceeded) {
            return replies.remove(0);
        }
        self.of(&replies)
    }

    fn of(&self, replies: &[Vec<u8>]) -> Vec<u8> {
        if let Some(error) = replies.iter().find(|raw| raw.starts_with(b"-")) {
            return error.clone();
        }
        let merged = match self {
            Self::Ready(raw) => Some(raw.clone()),
            Self::One | Self::AllSucceeded => replies.first().cloned(),
            Self::Sum => sum(replies),
            Self::Concatenate => concatenate(replies),
            Self::FirstThere => {
                let there = replies.iter().find(|raw| !is_null(raw));
                there.or(replies.first()).cloned()
            }
            Self::Places(places) => in_places(places, replies),
            Self::Scan { shard, shards } => scanned(replies, *shard, *shards),
            Self::List { count } => listed(replies, *count),
            Self::Info => replies.first().and_then(|raw| info(raw)),
        };
        merged.unwrap_or_else(|| reply::error_reply(ODD))
    }
}

/// Writes an array of elements that are replies already.
fn array(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    // Arrays and strings are written alike in both versions.
    let mut reply = Reply::new(&mut out, Protocol::V2);
    reply.array(parts.len());
    for part in parts {
        reply.raw(part);
    }
    out
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Reply::new(&mut out, Protocol::V2).bulk(bytes);
    out
}

fn sum(replies: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut numbers = replies.iter().map(|raw| integer(raw));
    let sum = numbers.try_fold(0, |sum: i64, number| sum.checked_add(number?))?;
    let mut out = Vec::new();
    Reply::new(&mut out, Protocol::V2).integer(sum);
    Some(out)
}

fn concatenate(replies: &[Vec<u8>]) -> Option<Vec<u8>> {
    let parts: Option<Vec<_>> = replies.iter().map(|raw| elements(raw)).collect();
    Some(array(&parts?.concat()))
}

fn in_places(places: &[Vec<usize>], replies: &[Vec<u8>]) -> Option<Vec<u8>> {
    let count = places.iter().map(Vec::len).sum();
    let mut all: Vec<&[u8]> = vec![b"_\r\n"; count];
    for (places, raw) in places.iter().zip(replies) {
        let found = elements(raw)?;
        if found.len() != places.len() {
            return None;
        }
        for (place, element) in places.iter().zip(found) {
            *all.get_mut(place - 1)? = element;
        }
    }
    Some(array(&all))
}

/// The same keys with a cursor of ours.
fn scanned(replies: &[Vec<u8>], shard: usize, shards: usize) -> Option<Vec<u8>> {
    let found = elements(replies.first()?)?;
    let [cursor, keys] = found[..] else {
        return None;
    };
    let inner = std::str::from_utf8(string(cursor)?).ok()?.parse().ok()?;
    let next = Cursor::next(shard, shards, inner)?.to_string();
    Some(array(&[&bulk(next.as_bytes()), keys]))
}

/// Each node lists in order from the same id on, so what all of them have up to the last id taken is complete.
fn listed(replies: &[Vec<u8>], count: usize) -> Option<Vec<u8>> {
    let (mut ids, mut more) = (Vec::new(), false);
    for raw in replies {
        let found = elements(raw)?;
        let [cursor, listed] = found[..] else {
            return None;
        };
        more |= string(cursor)? != b"0";
        ids.extend(elements(listed)?);
    }
    ids.sort_by_key(|id| string(id));
    more |= ids.len() > count;
    ids.truncate(count);
    let cursor = match ids.last().and_then(|id| string(id)) {
        Some(last) if more => bulk(&[b"+", last].concat()),
        Some(_) | None => bulk(b"0"),
    };
    Some(array(&[&cursor, &array(&ids)]))
}

fn info(raw: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(string(raw)?).into_owned();
    let mut mended = String::with_capacity(text.len());
    for line in text.split_inclusive("\r\n") {
        let known = INFO_LINES.iter().find(|(name, _)| line.starts_with(name));
        match known {
            Some((name, value)) => mended.extend([name, value, "\r\n"]),
            None => mended.push_str(line),
        }
    }
    let protocol = if raw.starts_with(b"=") {
        Protocol::V3
    } else {
        Protocol::V2
    };
    let mut out = Vec::new();
    Reply::new(&mut out, protocol).verbatim(mended.as_bytes());
    Some(out)
}

/// The reply to `HELLO`, as a server that is no cluster gives it.
pub fn hello(raw: &[u8]) -> Option<Vec<u8>> {
    let found = elements(raw).filter(|found| found.len().is_multiple_of(2))?;
    let mut out = raw
        .get(..raw.windows(2).position(|pair| pair == b"\r\n")? + 2)?
        .to_vec();
    for pair in found.chunks_exact(2) {
        out.extend_from_slice(pair[0]);
        match string(pair[0])? {
            b"mode" => out.extend(bulk(b"standalone")),
            b"role" => out.extend(bulk(b"master")),
            _ => out.extend_from_slice(pair[1]),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{Merge, hello};

    fn merged(merge: &Merge, replies: &[&str]) -> String {
        let replies: Vec<Vec<u8>> = replies.iter().map(|r| r.as_bytes().to_vec()).collect();
        String::from_utf8(merge.merge(replies)).expect("text")
    }

    #[test]
    fn replies_become_one() {
        assert_eq!(merged(&Merge::Sum, &[":2\r\n", ":3\r\n"]), ":5\r\n");
        assert_eq!(merged(&Merge::Sum, &[":2\r\n", "-ERR x\r\n"]), "-ERR x\r\n");
        assert_eq!(
            merged(
                &Merge::Concatenate,
                &["*1\r\n$1\r\na\r\n", "*0\r\n", "*1\r\n$1\r\nb\r\n"]
            ),
            "*2\r\n$1\r\na\r\n$1\r\nb\r\n"
        );
        assert_eq!(
            merged(&Merge::FirstThere, &["_\r\n", "$1\r\na\r\n"]),
            "$1\r\na\r\n"
        );
        assert_eq!(merged(&Merge::FirstThere, &["$-1\r\n"]), "$-1\r\n");
        let places = Merge::Places(vec![vec![1, 3], vec![2]]);
        assert_eq!(
            merged(&places, &["*2\r\n:1\r\n:3\r\n", "*1\r\n:2\r\n"]),
            "*3\r\n:1\r\n:2\r\n:3\r\n"
        );
        assert!(merged(&Merge::Sum, &["+odd\r\n"]).starts_with("-ERR"));
    }

    #[test]
    fn a_scan_goes_on_with_the_next_shard() {
        let scan = Merge::Scan {
            shard: 0,
            shards: 2,
        };
        let ended = "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n";
        assert_eq!(
            merged(&scan, &[ended]),
            "*2\r\n$1\r\n1\r\n*1\r\n$1\r\na\r\n"
        );
    }

    #[test]
    fn ids_of_all_nodes_are_listed_in_order() {
        let list = Merge::List { count: 2 };
        let one = "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\nd\r\n";
        let other = "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n";
        assert_eq!(
            merged(&list, &[one, other]),
            "*2\r\n$2\r\n+b\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"
        );
    }

    #[test]
    fn a_node_is_shown_as_one_server() {
        let info = "$47\r\n# Replication\r\nrole:slave\r\ncluster_enabled:1\r\n\r\n";
        assert!(merged(&Merge::Info, &[info]).contains("role:master\r\ncluster_enabled:0\r\n"));
        let said = hello(b"%2\r\n$4\r\nmode\r\n$7\r\ncluster\r\n$4\r\nrole\r\n$7\r\nreplica\r\n");
        assert_eq!(
            said.as_deref(),
            Some(&b"%2\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"[..])
        );
    }
}
