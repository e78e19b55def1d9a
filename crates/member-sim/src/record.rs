//! What clients asked and were told.

use model::slot::Slot;

/// What a client asks of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `INCR`: the count is the version.
    Increment,
    /// `GET` of a counter.
    Count,
    /// `SESSION.CREATE` with this value.
    Create(String),
    /// `SESSION.READ`
    Read,
    /// `SESSION.WRITE` of this value, if the version is this one.
    Write(u64, String),
    /// `SESSION.OPEN` with a hold of so many milliseconds, waiting for it for so many.
    Open(u64, u64),
    /// `SESSION.COMMIT` under this fence, of this value, on top of this version.
    Commit(u64, u64, String),
    /// `SESSION.RELEASE` of this fence.
    Release(u64),
    /// `SESSION.RENEW` of this fence, for so many milliseconds.
    Renew(u64, u64),
    /// `SET` with a time to live in milliseconds, of a key that nobody else writes.
    Put(String, u64),
    /// `GET` of such a key.
    Get,
    /// `SET ... NX PX` of the key's lock, with this token, for so many milliseconds.
    Lock(String, u64),
    /// `SET` of a number, under the lock, over the connection that has it: the number is the version.
    Under(u64),
    /// `DELIFEQ` of the lock, if it has this token.
    Unlock(String),
    /// `SET` of an id that is gone, and is guarded for so many milliseconds; if it is refused, so many times more.
    Raise(u64, u32),
    /// `SESSION.CREATE` with this value, for this user, of a session that nobody else knows.
    Bear(String, String),
    /// `SESSION.ROTATE` with so many milliseconds in which the old id still leads to it.
    Rotate(u64),
    /// `SESSION.READ` under its last id.
    ReadOld,
    /// `SESSION.DESTROY`
    Destroy,
    /// `SESSION.REVOKE` of its user, at the node where it was found.
    Revoke(String),
    /// `SESSION.LIST` of its user, there.
    List(String),
    /// `KEYS` of its id alone, there.
    Keys,
    /// `SESSION.CREATE` of a session that ends when nobody uses it for so many milliseconds, and after so many whatever happens.
    Arise(u64, u64),
    /// `SESSION.TOUCH`, with another idle time in milliseconds, perhaps.
    Touch(Option<u64>),
    /// `SESSION.READ ... TOUCH`
    ReadTouch,
    /// `SESSION.OPEN` without a hold.
    Use,
    /// `PEXPIRE`
    Expire(u64),
    /// `PTTL`
    Left,
    /// `MSET` of the key's two halves, which are in one slot, with this value.
    Pair(String),
    /// `MGET` of both.
    Both,
    /// `FLUSHALL` at some node.
    Flush,
    /// `SCAN` of its slot's shard for its id, page by page, whoever leads the shard meanwhile.
    Walk(Walk),
}

/// How far a walk over a shard's keys has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Where it goes on; empty at its beginning.
    pub cursor: String,
    /// Pages so far, all together one request.
    pub pages: u32,
    /// What was on them.
    pub found: Vec<String>,
    /// Who answered last.
    pub by: Option<u32>,
}

impl Walk {
    /// How much of the index the next page is to cover: little at first, so that others may take over between pages.
    fn count(&self) -> &'static str {
        match self.pages {
            0..8 => "1",
            8..16 => "16",
            _ => "4096",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A write made this version, or a counter has it.
    Version(u64),
    /// What is there; version 0 is nothing.
    State {
        /// Its version.
        version: u64,
        /// Its value.
        value: Option<String>,
        /// The fence, if a hold was granted; else 0.
        fence: u64,
    },
    /// The value of a key that is there.
    Value(Option<String>),
    /// It is done.
    Done,
    /// The new id of a session.
    Renamed(String),
    /// So many sessions were ended.
    Ended(u64),
    /// What the two halves of a pair have; `None`: nothing.
    Halves(Option<String>, Option<String>),
    /// The ids of sessions.
    Ids(Vec<String>),
    /// So many milliseconds are left to a session, if it is there.
    Left(Option<u64>),
    /// Everything is gone of the slots that the node has led since before it was asked: the first and the last of each range.
    Flushed(Vec<(u16, u16)>),
    /// It was not done, for certain.
    Refused,
    /// Nobody can tell.
    Unknown,
}

/// One request and what came of it. Times are those of the world, in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who asked.
    pub client: usize,
    /// About what: a key, or a session whatever its id is.
    pub key: String,
    /// When it was sent first.
    pub sent_us: u64,
    /// When its client knew what came of it.
    pub ended_us: u64,
    /// What was asked.
    pub ask: Ask,
    /// What came of it.
    pub answer: Answer,
    /// By the map, whoever has answered has led the key's shard since before it was asked.
    pub is_led: bool,
}

/// What is behind a key in the name of its lock.
pub const LOCK_SUFFIX: &str = "_LOCK";

fn lock_of(key: &str) -> String {
    format!("{key}{LOCK_SUFFIX}")
}

fn halves_of(key: &str) -> [String; 2] {
    ["a", "b"].map(|half| format!("{key}.{half}"))
}

/// The words of a command.
#[must_use]
pub fn words(key: &str, ask: &Ask) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let text = |number: &u64| number.to_string();
    match ask {
        Ask::Increment => texts(&["INCR", key]),
        Ask::Lock(token, ms) => texts(&["SET", &lock_of(key), token, "NX", "PX", &text(ms)]),
        Ask::Under(version) => texts(&["SET", key, &text(version)]),
        Ask::Unlock(token) => texts(&["DELIFEQ", &lock_of(key), token]),
        Ask::Raise(..) => texts(&["SET", key, "raised"]),
        Ask::Count | Ask::Get => texts(&["GET", key]),
        Ask::Create(value) => texts(&["SESSION.CREATE", "ID", key, "FIELDS", "1", "v", value]),
        Ask::Read | Ask::ReadOld => texts(&["SESSION.READ", key]),
        Ask::Bear(value, user) => texts(&[
            "SESSION.CREATE",
            "ID",
            key,
            "USER",
            user,
            "FIELDS",
            "1",
            "v",
            value,
        ]),
        Ask::Arise(idle_ms, max_ms) => texts(&[
            "SESSION.CREATE",
            "ID",
            key,
            "IDLE",
            &text(idle_ms),
            "MAX",
            &text(max_ms),
        ]),
        Ask::Touch(None) => texts(&["SESSION.TOUCH", key]),
        Ask::Touch(Some(ms)) => texts(&["SESSION.TOUCH", key, "IDLE", &text(ms)]),
        Ask::ReadTouch => texts(&["SESSION.READ", key, "TOUCH"]),
        Ask::Use => texts(&["SESSION.OPEN", key]),
        Ask::Expire(ms) => texts(&["PEXPIRE", key, &text(ms)]),
        Ask::Left => texts(&["PTTL", key]),
        Ask::Pair(value) => {
            let [one, other] = halves_of(key);
            texts(&["MSET", &one, value, &other, value])
        }
        Ask::Both => {
            let [one, other] = halves_of(key);
            texts(&["MGET", &one, &other])
        }
        Ask::Flush => texts(&["FLUSHALL"]),
        Ask::Rotate(grace_ms) => texts(&["SESSION.ROTATE", key, "GRACE", &text(grace_ms)]),
        Ask::Destroy => texts(&["SESSION.DESTROY", key]),
        Ask::Revoke(user) => texts(&["SESSION.REVOKE", "USER", user]),
        Ask::Keys => texts(&["KEYS", key]),
        Ask::Walk(walk) => {
            let slot = Slot::of(key.as_bytes()).number().to_string();
            let cursor = if walk.pages == 0 { "0" } else { &walk.cursor };
            let count = walk.count();
            texts(&["SCAN", cursor, "MATCH", key, "COUNT", count, "SLOT", &slot])
        }
        Ask::List(user) => texts(&["SESSION.LIST", "USER", user]),
        Ask::Write(version, value) => {
            let version = text(version);
            texts(&[
                "SESSION.WRITE",
                key,
                "VERSION",
                &version,
                "SET",
                "1",
                "v",
                value,
            ])
        }
        Ask::Open(hold_ms, wait_ms) => {
            let (hold, wait) = (text(hold_ms), text(wait_ms));
            texts(&["SESSION.OPEN", key, "HOLD", &hold, "WAIT", &wait])
        }
        Ask::Commit(fence, _, value) => {
            texts(&["SESSION.COMMIT", key, &text(fence), "SET", "1", "v", value])
        }
        Ask::Release(fence) => texts(&["SESSION.RELEASE", key, &text(fence)]),
        Ask::Renew(fence, ms) => texts(&["SESSION.RENEW", key, &text(fence), &text(ms)]),
        Ask::Put(value, ttl_ms) => texts(&["SET", key, value, "PX", &text(ttl_ms)]),
    }
}

/// A value that says of itself whose it is and how long, filled up to that length: one that was cut or mixed is known at once.
#[must_use]
pub fn value(client: usize, number: u64, len: u64) -> String {
    let filling = char::from(b'a' + (number % 26) as u8);
    let filling = filling.to_string().repeat(len as usize);
    format!("{client}.{number}.{len}:{filling}")
}

/// What a value says of itself, if it is whole.
#[must_use]
pub fn head_of(text: &str) -> Option<&str> {
    let (head, _) = text.split_once(':')?;
    let mut parts = head.split('.').map(str::parse::<u64>);
    let (Some(Ok(client)), Some(Ok(number)), Some(Ok(len))) =
        (parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    (value(client as usize, number, len) == text).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::{head_of, value};

    #[test]
    fn a_value_that_was_cut_or_mixed_is_known() {
        let text = value(3, 7, 20);
        assert_eq!(head_of(&text), Some("3.7.20"));
        assert_eq!(head_of(&text[..text.len() - 1]), None);
        assert_eq!(head_of(&text.replace("hhhh", "hhih")), None);
        assert_eq!(head_of(""), None);
    }
}
