//! Hashes.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Asked, Body, Key, NEVER, Oracle, Value, Verdict};
use crate::reply::Reply;

type Fields = BTreeMap<Vec<u8>, Vec<u8>>;

impl Oracle {
    pub(super) fn hashes(&mut self, name: &str, asked: &mut Asked<'_>) -> Option<Verdict> {
        let judge: fn(&mut Self, &Asked<'_>, Fields, u64) -> Verdict = match name {
            "HSET" => Self::hset,
            "HGET" => Self::hget,
            "HMGET" => Self::hmget,
            "HGETALL" => Self::hgetall,
            "HDEL" => Self::hdel,
            "HLEN" => Self::hlen,
            "HINCRBY" => Self::hincrby,
            _ => return None,
        };
        Some(match self.fields(&asked.key(1)) {
            Ok((fields, deadline_ms)) => judge(self, asked, fields, deadline_ms),
            Err(()) => asked.expect_error("WRONGTYPE"),
        })
    }

    fn fields(&mut self, key: &Key) -> Result<(Fields, u64), ()> {
        match self.look(key) {
            None => Ok((Fields::new(), NEVER)),
            Some(value) => match &value.body {
                Body::Hash(fields) => Ok((fields.clone(), value.deadline_ms)),
                Body::Text(_) => Err(()),
            },
        }
    }

    fn put_fields(&mut self, key: &Key, fields: Fields, deadline_ms: u64) {
        let value = (!fields.is_empty()).then(|| {
            Rc::new(Value {
                body: Body::Hash(fields),
                deadline_ms,
            })
        });
        self.set(key, value);
    }

    fn hset(&mut self, asked: &Asked<'_>, mut fields: Fields, deadline_ms: u64) -> Verdict {
        let mut new = 0;
        for pair in asked.words[2..].chunks_exact(2) {
            new += i64::from(fields.insert(pair[0].clone(), pair[1].clone()).is_none());
        }
        self.put_fields(&asked.key(1), fields, deadline_ms);
        asked.expect_integer(new)
    }

    fn hget(&mut self, asked: &Asked<'_>, fields: Fields, _deadline_ms: u64) -> Verdict {
        let found = fields.get(asked.word(2));
        asked.expect(&found.cloned().map_or(Reply::Null, Reply::Bulk))
    }

    fn hmget(&mut self, asked: &Asked<'_>, fields: Fields, _deadline_ms: u64) -> Verdict {
        let found = asked.words[2..].iter().map(|name| fields.get(name));
        let parts = found.map(|value| value.cloned().map_or(Reply::Null, Reply::Bulk));
        asked.expect(&Reply::Array(parts.collect()))
    }

    fn hgetall(&mut self, asked: &Asked<'_>, fields: Fields, _deadline_ms: u64) -> Verdict {
        match pairs(asked.reply) {
            Some(got) if got == fields => Ok(()),
            Some(_) | None => Err(format!(
                "expected the {} fields {}",
                fields.len(),
                show(&fields)
            )),
        }
    }

    fn hdel(&mut self, asked: &Asked<'_>, mut fields: Fields, deadline_ms: u64) -> Verdict {
        let names = &asked.words[2..];
        let removed = names
            .iter()
            .filter(|name| fields.remove(*name).is_some())
            .count();
        if removed > 0 {
            self.put_fields(&asked.key(1), fields, deadline_ms);
        }
        asked.expect_integer(removed as i64)
    }

    fn hlen(&mut self, asked: &Asked<'_>, fields: Fields, _deadline_ms: u64) -> Verdict {
        asked.expect_integer(fields.len() as i64)
    }

    fn hincrby(&mut self, asked: &Asked<'_>, mut fields: Fields, deadline_ms: u64) -> Verdict {
        let old = fields.get(asked.word(2)).map_or(&b"0"[..], Vec::as_slice);
        let number = std::str::from_utf8(old)
            .ok()
            .and_then(|t| t.parse::<i64>().ok());
        let Some(number) = number else {
            return asked.expect_error("ERR");
        };
        let sum = number + asked.number(3) as i64;
        fields.insert(asked.word(2).to_vec(), sum.to_string().into_bytes());
        self.put_fields(&asked.key(1), fields, deadline_ms);
        asked.expect_integer(sum)
    }
}

/// The fields of a reply that is a map.
pub(super) fn pairs(reply: &Reply) -> Option<Fields> {
    let parts = reply.array()?;
    let pair = |pair: &[Reply]| Some((pair[0].bulk()?.to_vec(), pair[1].bulk()?.to_vec()));
    let fields: Fields = parts.chunks_exact(2).map(pair).collect::<Option<_>>()?;
    (fields.len() * 2 == parts.len()).then_some(fields)
}

pub(super) fn show(fields: &Fields) -> String {
    let shown = fields.iter().take(8);
    let shown: Vec<String> = shown
        .map(|(name, value)| format!("{}={}", super::text(name), super::text(value)))
        .collect();
    format!("{{{}}}", shown.join(", "))
}
