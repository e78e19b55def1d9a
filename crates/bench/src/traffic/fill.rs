//! Every key written exactly once.

use super::Traffic;
use super::keyed::field_names;
use crate::args::BenchArgs;
use crate::keys::{KeyNames, ValuePool};
use crate::latency::Kind;
use crate::random::mix;
use crate::reply::Reply;
use crate::request::{Template, append_bulk, append_number};
use crate::size::SizeRange;

/// The write itself.
const WRITE: Kind = 0;
/// The EXPIRE that follows the write of a hash, which cannot be written with a TTL.
const EXPIRE: Kind = 1;
/// Milliseconds over which the deadlines of a wave are spread.
pub const WAVE_MS: u64 = 1_000;

/// What is stored under a key.
#[derive(Clone, Debug)]
enum Body {
    /// A string of the value size.
    Text,
    /// A string that expires at some millisecond of the second from this one on (since 1970).
    Wave { from_ms: u64 },
    /// A hash with these fields, each of the value size.
    Hash { fields: Vec<String> },
}

/// Which keys one worker writes: each `step`th from `next` on, up to but excluding `end`.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    next: u64,
    step: u64,
    end: u64,
}

impl Part {
    /// Worker `worker`'s part, of `workers`, of the keys from `first` up to but excluding `end`.
    pub fn new(first: u64, end: u64, worker: usize, workers: usize) -> Self {
        Self {
            next: first + worker as u64,
            step: workers as u64,
            end,
        }
    }

    /// The next key, if one is left.
    pub fn take(&mut self) -> Option<u64> {
        let key = self.next;
        (key < self.end).then(|| {
            self.next += self.step;
            key
        })
    }
}

/// Writes each key of its part once.
#[derive(Clone, Debug)]
pub struct Fill {
    names: KeyNames,
    pool: ValuePool,
    sizes: SizeRange,
    body: Body,
    part: Part,
    write: Template,
    expire: Option<Template>,
    /// For each connection, the key that still has to get its EXPIRE.
    to_expire: Vec<Option<u64>>,
}

impl Fill {
    /// Strings, with the TTL that the arguments ask for.
    pub fn texts(args: &BenchArgs, part: Part) -> Self {
        let ttl = args.ttl.to_string();
        let expiry: &[&str] = if args.ttl > 0 { &["EX", &ttl] } else { &[] };
        let write = Template::new(&args.key_names(), &["SET"], 1, expiry);
        Self::new(args, part, Body::Text, write, None)
    }

    /// Strings that all expire within the second that begins at `from_ms` since 1970.
    pub fn wave(args: &BenchArgs, part: Part, from_ms: u64) -> Self {
        let write = Template::new(&args.key_names(), &["SET"], 3, &[]);
        Self::new(args, part, Body::Wave { from_ms }, write, None)
    }

    /// Hashes, with the TTL that the arguments ask for.
    pub fn hashes(args: &BenchArgs, part: Part) -> Self {
        let names = args.key_names();
        let fields = field_names(args.fields);
        let write = Template::new(&names, &["HSET"], fields.len() * 2, &[]);
        let ttl = args.ttl.to_string();
        let expire = (args.ttl > 0).then(|| Template::new(&names, &["EXPIRE"], 0, &[&ttl]));
        Self::new(args, part, Body::Hash { fields }, write, expire)
    }

    fn new(
        args: &BenchArgs,
        part: Part,
        body: Body,
        write: Template,
        expire: Option<Template>,
    ) -> Self {
        Self {
            names: args.key_names(),
            pool: ValuePool::new(args.value_size.high, args.seed),
            sizes: args.value_size,
            to_expire: vec![None; args.connections()],
            body,
            part,
            write,
            expire,
        }
    }

    fn write_key(&self, key: u64, out: &mut Vec<u8>) {
        let value = self.pool.value(key, self.sizes.of_key(key));
        self.write.begin(&self.names, key, out);
        match &self.body {
            Body::Text => append_bulk(value, out),
            Body::Wave { from_ms } => {
                append_bulk(value, out);
                append_bulk(b"PXAT", out);
                append_number((from_ms + mix(key) % WAVE_MS) as i64, out);
            }
            Body::Hash { fields } => {
                for field in fields {
                    append_bulk(field.as_bytes(), out);
                    append_bulk(value, out);
                }
            }
        }
        self.write.end(out);
    }
}

impl Traffic for Fill {
    fn kinds(&self) -> &'static [&'static str] {
        &["write", "expire"]
    }

    fn next_request(&mut self, connection: usize, _now: u64, out: &mut Vec<u8>) -> Option<Kind> {
        if let (Some(expire), Some(key)) = (&self.expire, self.to_expire[connection].take()) {
            expire.append(&self.names, key, out);
            return Some(EXPIRE);
        }
        let key = self.part.take()?;
        self.write_key(key, out);
        self.to_expire[connection] = Some(key);
        Some(WRITE)
    }

    fn take_reply(&mut self, _connection: usize, _kind: Kind, _now: u64, _reply: &Reply<'_>) {}
}
