//! Keys whatever their type, deadlines, and whole databases.

use std::rc::Rc;

use super::{Asked, Body, Key, NEVER, Oracle, Value, Verdict};
use crate::reply::Reply;

impl Oracle {
    pub(super) fn keys(&mut self, name: &str, asked: &mut Asked<'_>) -> Option<Verdict> {
        Some(match name {
            "DEL" | "UNLINK" => self.del(asked),
            "EXISTS" => self.exists(asked),
            "TYPE" => self.type_of(asked),
            "PEXPIRE" => self.pexpire(asked),
            "PEXPIREAT" => self.expire_at(asked, asked.number(2)),
            "PERSIST" => self.persist(asked),
            "PTTL" => self.pttl(asked),
            "PEXPIRETIME" => self.pexpiretime(asked),
            "RENAME" => self.rename(asked),
            "COPY" => self.copy(asked),
            "FLUSHDB" => self.flush(asked, Some(asked.db)),
            "FLUSHALL" => self.flush(asked, None),
            "SWAPDB" => self.swap(asked),
            _ => return None,
        })
    }

    fn del(&mut self, asked: &Asked<'_>) -> Verdict {
        let mut removed = 0;
        for index in 1..asked.words.len() {
            let key = asked.key(index);
            if self.look(&key).is_some() {
                self.set(&key, None);
                removed += 1;
            }
        }
        asked.expect_integer(removed)
    }

    fn exists(&mut self, asked: &Asked<'_>) -> Verdict {
        let keys: Vec<Key> = (1..asked.words.len()).map(|i| asked.key(i)).collect();
        let present = keys.iter().filter(|key| self.look(key).is_some()).count();
        asked.expect_integer(present as i64)
    }

    fn type_of(&mut self, asked: &Asked<'_>) -> Verdict {
        let name = match self.look(&asked.key(1)).as_ref().map(|value| &value.body) {
            None => "none",
            Some(Body::Text(_)) => "string",
            Some(Body::Hash(_)) => "hash",
        };
        asked.expect(&Reply::Simple(name.into()))
    }

    fn pexpire(&mut self, asked: &Asked<'_>) -> Verdict {
        self.expire_at(asked, self.now_ms + asked.number(2))
    }

    fn expire_at(&mut self, asked: &Asked<'_>, at_ms: u64) -> Verdict {
        let (key, options) = (asked.key(1), asked.options(3));
        let Some(value) = self.look(&key) else {
            return asked.expect_integer(0);
        };
        let old = value.deadline_ms;
        let allowed = match options.first().map(String::as_str) {
            Some("NX") => old == NEVER,
            Some("XX") => old != NEVER,
            Some("GT") => old != NEVER && at_ms > old,
            Some("LT") => at_ms < old,
            Some(_) | None => true,
        };
        if allowed {
            self.set_deadline(&key, &value, at_ms);
        }
        asked.expect_integer(i64::from(allowed))
    }

    fn set_deadline(&mut self, key: &Key, value: &Rc<Value>, deadline_ms: u64) {
        let body = value.body.clone();
        self.set(key, Some(Rc::new(Value { body, deadline_ms })));
    }

    fn persist(&mut self, asked: &Asked<'_>) -> Verdict {
        let key = asked.key(1);
        match self.look(&key) {
            Some(value) if value.deadline_ms != NEVER => {
                self.set_deadline(&key, &value, NEVER);
                asked.expect_integer(1)
            }
            Some(_) | None => asked.expect_integer(0),
        }
    }

    fn pttl(&mut self, asked: &Asked<'_>) -> Verdict {
        let now_ms = self.now_ms;
        self.deadline(asked, |deadline_ms| deadline_ms - now_ms)
    }

    fn pexpiretime(&mut self, asked: &Asked<'_>) -> Verdict {
        self.deadline(asked, |deadline_ms| deadline_ms)
    }

    fn deadline(&mut self, asked: &Asked<'_>, shown: impl FnOnce(u64) -> u64) -> Verdict {
        match self.look(&asked.key(1)) {
            None => asked.expect_integer(-2),
            Some(value) if value.deadline_ms == NEVER => asked.expect_integer(-1),
            Some(value) => asked.expect_integer(shown(value.deadline_ms) as i64),
        }
    }

    fn rename(&mut self, asked: &Asked<'_>) -> Verdict {
        let (from, to) = (asked.key(1), asked.key(2));
        let Some(value) = self.look(&from) else {
            return asked.expect_error("ERR");
        };
        if from != to {
            self.set(&from, None);
            self.set(&to, Some(value));
        }
        asked.expect(&Reply::ok())
    }

    fn copy(&mut self, asked: &Asked<'_>) -> Verdict {
        let (from, to) = (asked.key(1), asked.key(2));
        if from == to {
            return asked.expect_error("ERR");
        }
        let replace = asked.options(3).iter().any(|option| option == "REPLACE");
        let Some(value) = self.look(&from) else {
            return asked.expect_integer(0);
        };
        if self.look(&to).is_some() && !replace {
            return asked.expect_integer(0);
        }
        self.set(&to, Some(value));
        asked.expect_integer(1)
    }

    fn flush(&mut self, asked: &Asked<'_>, db: Option<u8>) -> Verdict {
        let keys: Vec<Key> = self.lives.keys().cloned().collect();
        for key in keys {
            if db.is_none_or(|db| db == key.0) {
                self.set(&key, None);
            }
        }
        asked.expect(&Reply::ok())
    }

    /// Both databases' keys change places.
    fn swap(&mut self, asked: &Asked<'_>) -> Verdict {
        let (a, b) = (asked.number(1) as u8, asked.number(2) as u8);
        if a == b {
            return asked.expect(&Reply::ok());
        }
        let of = |key: &&Key| key.0 == a || key.0 == b;
        let names: std::collections::BTreeSet<Vec<u8>> = self
            .lives
            .keys()
            .filter(of)
            .map(|key| key.1.clone())
            .collect();
        for name in names {
            let (in_a, in_b) = ((a, name.clone()), (b, name));
            let (from_a, from_b) = (self.look(&in_a), self.look(&in_b));
            self.set(&in_a, from_b);
            self.set(&in_b, from_a);
        }
        asked.expect(&Reply::ok())
    }
}
