//! Strings.

use std::rc::Rc;

use super::{Asked, Body, Key, NEVER, Oracle, State, Value, Verdict};
use crate::reply::Reply;

fn bulk(text: Option<Vec<u8>>) -> Reply {
    text.map_or(Reply::Null, Reply::Bulk)
}

/// The deadline that `SET` and `GETEX` options ask for.
fn deadline(options: &[String], now_ms: u64) -> Option<u64> {
    let after = |name: &str| {
        let at = options.iter().position(|option| option == name)?;
        options.get(at + 1)?.parse::<u64>().ok()
    };
    let relative = after("EX").map(|s| s * 1000).or_else(|| after("PX"));
    relative.map(|ms| now_ms + ms).or_else(|| after("PXAT"))
}

impl Oracle {
    pub(super) fn strings(&mut self, name: &str, asked: &mut Asked<'_>) -> Option<Verdict> {
        Some(match name {
            "GET" => self.get(asked),
            "SET" => self.set_string(asked),
            "GETDEL" => self.getdel(asked),
            "GETEX" => self.getex(asked),
            "APPEND" => self.append(asked),
            "INCRBY" => self.incrby(asked),
            "STRLEN" => self.strlen(asked),
            "MGET" => self.mget(asked),
            "MSET" => self.mset(asked),
            "MSETNX" => self.msetnx(asked),
            _ => return None,
        })
    }

    /// The string at the key: `Err` for another type.
    fn string(&mut self, key: &Key) -> Result<Option<(Vec<u8>, u64)>, ()> {
        match self.look(key) {
            None => Ok(None),
            Some(value) => match &value.body {
                Body::Text(text) => Ok(Some((text.clone(), value.deadline_ms))),
                Body::Hash(_) => Err(()),
            },
        }
    }

    fn put_string(&mut self, key: &Key, text: Vec<u8>, deadline_ms: u64) {
        let body = Body::Text(text);
        self.set(key, Some(Rc::new(Value { body, deadline_ms })));
    }

    fn get(&mut self, asked: &Asked<'_>) -> Verdict {
        match self.string(&asked.key(1)) {
            Ok(text) => asked.expect(&bulk(text.map(|(text, _)| text))),
            Err(()) => asked.expect_error("WRONGTYPE"),
        }
    }

    fn set_string(&mut self, asked: &Asked<'_>) -> Verdict {
        let (key, options) = (asked.key(1), asked.options(3));
        let has = |name: &str| options.iter().any(|option| option == name);
        let old: State = self.look(&key);
        let old_text = match old.as_ref().map(|value| &value.body) {
            None => None,
            Some(Body::Text(text)) => Some(text.clone()),
            Some(Body::Hash(_)) if has("GET") => return asked.expect_error("WRONGTYPE"),
            Some(Body::Hash(_)) => None,
        };
        let refused = (has("NX") && old.is_some()) || (has("XX") && old.is_none());
        if !refused {
            let kept = old.as_ref().map_or(NEVER, |value| value.deadline_ms);
            let until = if has("KEEPTTL") {
                kept
            } else {
                deadline(&options, self.now_ms).unwrap_or(NEVER)
            };
            self.put_string(&key, asked.word(2).to_vec(), until);
        }
        if has("GET") {
            asked.expect(&bulk(old_text))
        } else if refused {
            asked.expect(&Reply::Null)
        } else {
            asked.expect(&Reply::ok())
        }
    }

    fn getdel(&mut self, asked: &Asked<'_>) -> Verdict {
        let key = asked.key(1);
        match self.string(&key) {
            Ok(text) => {
                if text.is_some() {
                    self.set(&key, None);
                }
                asked.expect(&bulk(text.map(|(text, _)| text)))
            }
            Err(()) => asked.expect_error("WRONGTYPE"),
        }
    }

    fn getex(&mut self, asked: &Asked<'_>) -> Verdict {
        let (key, options) = (asked.key(1), asked.options(2));
        match self.string(&key) {
            Ok(None) => asked.expect(&Reply::Null),
            Ok(Some((text, kept))) => {
                let until = if options.first().is_some_and(|option| option == "PERSIST") {
                    NEVER
                } else {
                    deadline(&options, self.now_ms).unwrap_or(kept)
                };
                if until != kept {
                    self.put_string(&key, text.clone(), until);
                }
                asked.expect(&Reply::Bulk(text))
            }
            Err(()) => asked.expect_error("WRONGTYPE"),
        }
    }

    fn append(&mut self, asked: &Asked<'_>) -> Verdict {
        let key = asked.key(1);
        match self.string(&key) {
            Ok(old) => {
                let (mut text, until) = old.unwrap_or((Vec::new(), NEVER));
                text.extend_from_slice(asked.word(2));
                let len = text.len() as i64;
                self.put_string(&key, text, until);
                asked.expect_integer(len)
            }
            Err(()) => asked.expect_error("WRONGTYPE"),
        }
    }

    fn incrby(&mut self, asked: &Asked<'_>) -> Verdict {
        let key = asked.key(1);
        match self.string(&key) {
            Ok(old) => {
                let (text, until) = old.unwrap_or((b"0".to_vec(), NEVER));
                let number = std::str::from_utf8(&text).ok();
                let Some(number) = number.and_then(|text| text.parse::<i64>().ok()) else {
                    return asked.expect_error("ERR");
                };
                let sum = number + asked.number(2) as i64;
                self.put_string(&key, sum.to_string().into_bytes(), until);
                asked.expect_integer(sum)
            }
            Err(()) => asked.expect_error("WRONGTYPE"),
        }
    }

    fn strlen(&mut self, asked: &Asked<'_>) -> Verdict {
        match self.string(&asked.key(1)) {
            Ok(text) => asked.expect_integer(text.map_or(0, |(text, _)| text.len() as i64)),
            Err(()) => asked.expect_error("WRONGTYPE"),
        }
    }

    fn mget(&mut self, asked: &Asked<'_>) -> Verdict {
        let mut parts = Vec::new();
        for index in 1..asked.words.len() {
            let found = self.string(&asked.key(index)).unwrap_or_default();
            parts.push(bulk(found.map(|(text, _)| text)));
        }
        asked.expect(&Reply::Array(parts))
    }

    fn mset(&mut self, asked: &Asked<'_>) -> Verdict {
        for index in (1..asked.words.len()).step_by(2) {
            self.put_string(&asked.key(index), asked.word(index + 1).to_vec(), NEVER);
        }
        asked.expect(&Reply::ok())
    }

    fn msetnx(&mut self, asked: &Asked<'_>) -> Verdict {
        let keys: Vec<Key> = (1..asked.words.len())
            .step_by(2)
            .map(|i| asked.key(i))
            .collect();
        let present = keys.iter().filter(|key| self.look(key).is_some()).count();
        if present > 0 {
            return asked.expect_integer(0);
        }
        for index in (1..asked.words.len()).step_by(2) {
            self.put_string(&asked.key(index), asked.word(index + 1).to_vec(), NEVER);
        }
        asked.expect_integer(1)
    }
}
