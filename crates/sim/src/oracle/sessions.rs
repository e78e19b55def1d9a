//! Sessions: holds, fences, versions.
//!
//! Session ids begin with `s` and are used by these commands only. A hold is a life of its own beside the record's (in a
//! database that nobody can select), so that crashes are judged as for any record: its text is the fence, its deadline the hold's.
//! The version stands in the record's body under a name that no field has.

use std::collections::BTreeMap;
use std::rc::Rc;

use model::ConnectionId;

use super::{Asked, Body, Key, NEVER, Oracle, Value, Verdict};
use crate::reply::Reply;

/// Where holds are kept.
pub const HOLDS: u8 = 254;
/// The name of the version among the fields.
pub const VERSION: &[u8] = b"\0version";

type Fields = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is known of holds besides their lives.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders {
    /// The connection that took the hold, since the last restart.
    owners: BTreeMap<Vec<u8>, ConnectionId>,
    /// When each hold that there ever was ends, by id.
    ends: BTreeMap<Vec<u8>, Vec<u64>>,
    /// The highest fence that was ever given out.
    highest_fence: u64,
    /// Versions that commits made, by id and fence.
    committed: BTreeMap<(Vec<u8>, u64), u64>,
    /// A restart may have taken back what `committed` says.
    restarted: bool,
}

impl Holders {
    pub(super) fn restart(&mut self) {
        self.owners.clear();
        self.restarted = true;
    }
}

/// A hold: its fence, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    fence: u64,
    until_ms: u64,
}

impl Oracle {
    pub(super) fn sessions(&mut self, name: &str, asked: &mut Asked<'_>) -> Option<Verdict> {
        let is_session = asked
            .words
            .get(1)
            .is_some_and(|key| key.first() == Some(&b's'));
        Some(match name {
            "SESSION.CREATE" => self.create(asked),
            "SESSION.OPEN" => self.open(asked),
            "SESSION.READ" => self.read(asked),
            "SESSION.COMMIT" => self.commit(asked),
            "SESSION.RELEASE" => self.release(asked),
            "SESSION.RENEW" => self.renew(asked),
            "SESSION.DESTROY" => self.destroy(asked),
            "SESSION.BREAK" => self.break_hold(asked),
            "HSET" if is_session => self.plain_write(asked),
            "HGETALL" if is_session => self.plain_read(asked),
            _ => return None,
        })
    }

    fn session(&mut self, key: &Key) -> Option<Fields> {
        match &self.look(key)?.body {
            Body::Hash(fields) => Some(fields.clone()),
            Body::Text(_) => None,
        }
    }

    fn hold(&mut self, id: &[u8]) -> Option<Hold> {
        let value = self.look(&(HOLDS, id.to_vec()))?;
        let Body::Text(fence) = &value.body else {
            return None;
        };
        let fence = std::str::from_utf8(fence).ok()?.parse().ok()?;
        let until_ms = value.deadline_ms;
        Some(Hold { fence, until_ms })
    }

    fn put_session(&mut self, key: &Key, fields: Fields) {
        let body = Body::Hash(fields);
        let deadline_ms = NEVER;
        self.set(key, Some(Rc::new(Value { body, deadline_ms })));
    }

    fn put_hold(&mut self, id: &[u8], hold: Option<Hold>) {
        let ends = self.holders.ends.entry(id.to_vec()).or_default();
        ends.extend(hold.map(|hold| hold.until_ms));
        let value = hold.map(|hold| {
            Rc::new(Value {
                body: Body::Text(hold.fence.to_string().into_bytes()),
                deadline_ms: hold.until_ms,
            })
        });
        self.set(&(HOLDS, id.to_vec()), value);
    }

    /// Whether a hold of this id that had expired may be there again: the clock was set back over a restart, and the log did
    /// not know how late it had been. Nothing shows it if the session is gone.
    fn hold_may_be_back(&self, id: &[u8]) -> bool {
        let ends = self.holders.ends.get(id).into_iter().flatten();
        let mut back = ends.filter(|&&end_ms| end_ms <= self.latest_ms && end_ms > self.now_ms);
        self.holders.restarted && back.next().is_some()
    }

    /// The reply to whoever took a hold proves it with a fence above all before.
    fn granted(&mut self, asked: &Asked<'_>, hold_ms: u64) -> Verdict {
        let id = asked.session();
        let fence = asked
            .reply
            .under("fence")
            .and_then(Reply::integer)
            .unwrap_or(0) as u64;
        if fence <= self.holders.highest_fence {
            return Err(format!(
                "the fence {fence} is not above {}",
                self.holders.highest_fence
            ));
        }
        self.holders.highest_fence = fence;
        self.holders.owners.insert(id.clone(), asked.connection);
        let until_ms = self.now_ms + hold_ms;
        self.put_hold(&id, Some(Hold { fence, until_ms }));
        Ok(())
    }

    fn create(&mut self, asked: &Asked<'_>) -> Verdict {
        let id = asked.session();
        let key = (asked.db, id.clone());
        if self.session(&key).is_some() {
            return asked.expect_error("EXISTS");
        }
        let orphan = asked.reply.code() == Some("HELD") && self.hold_may_be_back(&id);
        if self.hold(&id).is_some() || orphan || asked.is_refused_for_a_turn() {
            return asked.expect_error("HELD");
        }
        let fields = asked.fields_after("FIELDS");
        self.make(asked, &key, fields)
    }

    fn make(&mut self, asked: &Asked<'_>, key: &Key, mut fields: Fields) -> Verdict {
        fields.insert(VERSION.to_vec(), b"1".to_vec());
        self.put_session(key, fields.clone());
        match asked.option("HOLD") {
            Some(hold_ms) => self.granted(asked, hold_ms)?,
            None => asked.expect_under("fence", 0)?,
        }
        asked.expect_session(&fields)
    }

    fn open(&mut self, asked: &Asked<'_>) -> Verdict {
        let id = asked.session();
        let key = (asked.db, id.clone());
        let waits = asked.option("WAIT").is_some();
        if waits && (*asked.reply == Reply::Null || asked.is_refused_for_a_turn()) {
            // Destroyed while it waited; it may be there again by now. Or its time was over and nobody holds it.
            return Ok(());
        }
        if self.holders.restarted
            && asked.reply.code() == Some("HELD")
            && self.session(&key).is_none()
        {
            return Ok(());
        }
        let Some(fields) = self.session(&key) else {
            return if asked.has("CREATE") {
                self.make(asked, &key, Fields::new())
            } else {
                asked.expect(&Reply::Null)
            };
        };
        let Some(hold_ms) = asked.option("HOLD") else {
            asked.expect_under("fence", 0)?;
            return asked.expect_session(&fields);
        };
        if asked.is_refused_for_a_turn() {
            return Ok(());
        }
        if let Some(hold) = self.hold(&id) {
            let left = hold.until_ms - self.now_ms;
            return asked.expect(&Reply::Error(format!("HELD {left}")));
        }
        asked.expect_session(&fields)?;
        self.granted(asked, hold_ms)
    }

    fn read(&mut self, asked: &Asked<'_>) -> Verdict {
        match self.session(&asked.key(1)) {
            None => asked.expect(&Reply::Null),
            Some(fields) => asked.expect_session(&fields),
        }
    }

    /// Whether the fence proves the hold. If not, the reply must say so.
    fn holds(&mut self, asked: &Asked<'_>) -> Result<bool, String> {
        let id = asked.session();
        let held = self.session(&asked.key(1)).is_some()
            && self
                .hold(&id)
                .is_some_and(|hold| hold.fence == asked.number(2));
        if !held {
            asked.expect_error("FENCED")?;
        }
        Ok(held)
    }

    fn commit(&mut self, asked: &Asked<'_>) -> Verdict {
        let (id, key, fence) = (asked.session(), asked.key(1), asked.number(2));
        let repeated = self.holders.committed.get(&(id.clone(), fence)).copied();
        // A crash may have taken the commit back: then it is made anew.
        let current = self.session(&key).map_or(0, |fields| version_of(&fields));
        let repeated = repeated.filter(|repeated| *repeated <= current);
        let version = asked.reply.integer().map(|version| version as u64);
        // What a crash has taken back of a commit, a destruction after it included, is not known here.
        let brought_back =
            self.holders.restarted && version.is_some_and(|version| version <= current);
        if brought_back && self.session(&key).is_some() {
            return Ok(());
        }
        if version.is_some() && version == repeated && self.session(&key).is_some() {
            return Ok(());
        }
        if repeated.is_some()
            && self.session(&key).is_some()
            && !self.holders.restarted
            && version.is_some()
        {
            return Err(format!("this commit has made version {repeated:?} before"));
        }
        if !self.holds(asked)? {
            return Ok(());
        }
        let mut fields = self.session(&key).unwrap_or_default();
        fields.extend(asked.fields_after("SET"));
        let version = next_version(&mut fields);
        self.put_session(&key, fields);
        self.put_hold(&id, None);
        self.holders.committed.insert((id, fence), version);
        asked.expect_integer(version as i64)
    }

    fn release(&mut self, asked: &Asked<'_>) -> Verdict {
        if self.holds(asked)? {
            self.put_hold(&asked.session(), None);
            return asked.expect(&Reply::ok());
        }
        Ok(())
    }

    fn renew(&mut self, asked: &Asked<'_>) -> Verdict {
        if !self.holds(asked)? {
            return Ok(());
        }
        let (fence, until_ms) = (asked.number(2), self.now_ms + asked.number(3));
        self.put_hold(&asked.session(), Some(Hold { fence, until_ms }));
        match asked.reply.code() {
            None => Ok(()),
            Some(_) => Err("the hold is there to be renewed".into()),
        }
    }

    fn destroy(&mut self, asked: &Asked<'_>) -> Verdict {
        let (id, key) = (asked.session(), asked.key(1));
        let was = self.session(&key).is_some();
        if was {
            if self.hold(&id).is_some() {
                self.put_hold(&id, None);
            }
            self.set(&key, None);
            self.holders.committed.retain(|(other, _), _| *other != id);
        }
        asked.expect_integer(i64::from(was))
    }

    fn break_hold(&mut self, asked: &Asked<'_>) -> Verdict {
        let id = asked.session();
        let orphan = self.holders.restarted && self.session(&asked.key(1)).is_none();
        self.seen.clear();
        let held = self.hold(&id).is_some() || (orphan && *asked.reply == Reply::Integer(1));
        if held {
            self.put_hold(&id, None);
        }
        asked.expect_integer(i64::from(held))
    }

    fn plain_write(&mut self, asked: &Asked<'_>) -> Verdict {
        let (id, key) = (asked.session(), asked.key(1));
        let owner = self.holders.owners.get(&id) == Some(&asked.connection);
        if asked.is_refused_for_a_turn() {
            return Ok(());
        }
        let orphan = self.holders.restarted && asked.reply.code() == Some("HELD");
        if orphan && self.session(&key).is_none() {
            return Ok(());
        }
        if self.hold(&id).is_some() && !owner {
            return asked.expect_error("HELD");
        }
        let mut fields = self.session(&key).unwrap_or_default();
        let new = fields
            .insert(asked.words[2].clone(), asked.words[3].clone())
            .is_none();
        next_version(&mut fields);
        self.put_session(&key, fields);
        asked.expect_integer(i64::from(new))
    }

    fn plain_read(&mut self, asked: &Asked<'_>) -> Verdict {
        let mut fields = self.session(&asked.key(1)).unwrap_or_default();
        fields.remove(VERSION);
        match super::hashes::pairs(asked.reply) {
            Some(got) if got == fields => Ok(()),
            Some(_) | None => Err(format!("expected {}", super::hashes::show(&fields))),
        }
    }
}

fn version_of(fields: &Fields) -> u64 {
    let text = fields.get(VERSION).map_or(&b"0"[..], Vec::as_slice);
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.parse().unwrap_or(0)
}

fn next_version(fields: &mut Fields) -> u64 {
    let version = version_of(fields) + 1;
    fields.insert(VERSION.to_vec(), version.to_string().into_bytes());
    version
}

impl Asked<'_> {
    /// The session that the command names.
    fn session(&self) -> Vec<u8> {
        let named = self
            .words
            .iter()
            .position(|word| word == b"ID")
            .map(|at| at + 1);
        self.words[named.unwrap_or(1)].clone()
    }

    fn has(&self, name: &str) -> bool {
        self.words[2..].iter().any(|word| word == name.as_bytes())
    }

    fn option(&self, name: &str) -> Option<u64> {
        let at = self.words.iter().position(|word| word == name.as_bytes())?;
        Some(self.number(at + 1))
    }

    fn fields_after(&self, name: &str) -> Fields {
        let at = self.words.iter().position(|word| word == name.as_bytes());
        let words = at.map_or(&[][..], |at| &self.words[at + 2..]);
        words
            .chunks_exact(2)
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect()
    }

    /// It is the turn of someone who has been woken and has not run yet.
    fn is_refused_for_a_turn(&self) -> bool {
        *self.reply == Reply::Error("HELD 0".into())
    }

    fn expect_under(&self, name: &str, expected: i64) -> Verdict {
        match self.reply.under(name) {
            Some(Reply::Integer(n)) if *n == expected => Ok(()),
            Some(_) | None => Err(format!("expected {name} {expected}")),
        }
    }

    fn expect_session(&self, fields: &Fields) -> Verdict {
        self.expect_under("version", version_of(fields) as i64)?;
        let mut fields = fields.clone();
        fields.remove(VERSION);
        let got = self.reply.under("fields").and_then(super::hashes::pairs);
        if got.as_ref() == Some(&fields) {
            Ok(())
        } else {
            Err(format!(
                "expected the fields {}",
                super::hashes::show(&fields)
            ))
        }
    }
}
