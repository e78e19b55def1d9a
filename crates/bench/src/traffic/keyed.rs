//! Independent requests on drawn keys: GET, SET, EXPIRE, HSET, HGETALL, SESSION.READ, SESSION.CREATE.

use super::Traffic;
use crate::args::{BenchArgs, Operation};
use crate::distribution::Distribution;
use crate::keys::{KeyNames, ValuePool};
use crate::latency::Kind;
use crate::random::Random;
use crate::reply::Reply;
use crate::request::{Template, append_bulk, append_command};
use crate::size::SizeRange;

/// Kinds of a mixed load; the others have one.
const READ: Kind = 0;
/// See [`READ`].
const WRITE: Kind = 1;
/// The idle time or TTL where the workload needs one and none was given: half an hour.
const DEFAULT_TTL_SECONDS: u64 = 1_800;

/// One form of request.
#[derive(Clone, Debug)]
enum Form {
    /// Nothing but a key.
    Key(Template),
    /// A key and a value.
    Value(Template),
    /// A key, a field and a value.
    Field(Template),
    /// No key: the bytes before the value.
    Keyless(Vec<u8>),
}

/// Requests that do not depend on one another.
#[derive(Clone, Debug)]
pub struct Keyed {
    operation: Operation,
    names: KeyNames,
    pool: ValuePool,
    sizes: SizeRange,
    distribution: Distribution,
    random: Random,
    fields: Vec<String>,
    read: Form,
    write: Form,
}

impl Keyed {
    /// The traffic of worker `worker`.
    pub fn new(args: &BenchArgs, operation: Operation, worker: usize) -> Self {
        let names = args.key_names();
        let (read, write) = forms(args, operation, &names);
        Self {
            operation,
            pool: ValuePool::new(args.value_size.high, args.seed),
            sizes: args.value_size,
            distribution: Distribution::new(args.distribution, args.keys),
            random: Random::stream(args.seed, worker as u64),
            fields: field_names(args.fields),
            names,
            read,
            write,
        }
    }

    fn is_read(&mut self) -> bool {
        match self.operation {
            Operation::Mixed(percentage) => self.random.below(100) < u64::from(percentage),
            Operation::Get | Operation::Read | Operation::Hgetall => true,
            Operation::Set | Operation::Touch | Operation::Create | Operation::Hset => false,
        }
    }

    fn write_form(&mut self, is_read: bool, key: u64, out: &mut Vec<u8>) {
        let form = if is_read { &self.read } else { &self.write };
        let value = || self.pool.value(key, self.sizes.of_key(key));
        match form {
            Form::Key(template) => template.append(&self.names, key, out),
            Form::Value(template) => {
                template.begin(&self.names, key, out);
                append_bulk(value(), out);
                template.end(out);
            }
            Form::Field(template) => {
                let field = self.random.below(self.fields.len() as u64) as usize;
                template.begin(&self.names, key, out);
                append_bulk(self.fields[field].as_bytes(), out);
                append_bulk(value(), out);
                template.end(out);
            }
            Form::Keyless(head) => {
                out.extend_from_slice(head);
                append_bulk(value(), out);
            }
        }
    }
}

impl Traffic for Keyed {
    fn kinds(&self) -> &'static [&'static str] {
        match self.operation {
            Operation::Set => &["set"],
            Operation::Get => &["get"],
            Operation::Mixed(_) => &["get", "set"],
            Operation::Touch => &["touch"],
            Operation::Read => &["read"],
            Operation::Create => &["create"],
            Operation::Hset => &["hset"],
            Operation::Hgetall => &["hgetall"],
        }
    }

    fn next_request(&mut self, _connection: usize, _now: u64, out: &mut Vec<u8>) -> Option<Kind> {
        let is_read = self.is_read();
        let key = self.distribution.draw(&mut self.random);
        self.write_form(is_read, key, out);
        let is_second_kind = matches!(self.operation, Operation::Mixed(_)) && !is_read;
        Some(if is_second_kind { WRITE } else { READ })
    }

    fn take_reply(&mut self, _connection: usize, _kind: Kind, _now: u64, _reply: &Reply<'_>) {}
}

/// The read and the write of an operation; where it has only one of them, the other is never sent.
fn forms(args: &BenchArgs, operation: Operation, names: &KeyNames) -> (Form, Form) {
    let ttl = args.ttl.to_string();
    let expiry: &[&str] = if args.ttl > 0 { &["EX", &ttl] } else { &[] };
    let set = Form::Value(Template::new(names, &["SET"], 1, expiry));
    let get = Form::Key(Template::new(names, &["GET"], 0, &[]));
    match operation {
        Operation::Set | Operation::Get | Operation::Mixed(_) => (get, set),
        Operation::Touch => {
            let seconds = args.ttl_or(DEFAULT_TTL_SECONDS).to_string();
            let touch = Template::new(names, &["EXPIRE"], 0, &[&seconds]);
            (get, Form::Key(touch))
        }
        Operation::Read => {
            let read = Template::new(names, &["SESSION.READ"], 0, &[]);
            (Form::Key(read), set)
        }
        Operation::Create => (get, Form::Keyless(create_head(args))),
        Operation::Hset | Operation::Hgetall => {
            let hset = Template::new(names, &["HSET"], 2, &[]);
            let hgetall = Template::new(names, &["HGETALL"], 0, &[]);
            (Form::Key(hgetall), Form::Field(hset))
        }
    }
}

/// `SESSION.CREATE IDLE ms FIELDS 1 data`, the value to follow.
fn create_head(args: &BenchArgs) -> Vec<u8> {
    let idle_ms = (args.ttl_or(DEFAULT_TTL_SECONDS) * 1_000).to_string();
    let arguments: [&[u8]; 7] = [
        b"SESSION.CREATE",
        b"IDLE",
        idle_ms.as_bytes(),
        b"FIELDS",
        b"1",
        b"data",
        b"",
    ];
    let mut head = Vec::new();
    append_command(&arguments, &mut head);
    head.truncate(head.len() - b"$0\r\n\r\n".len());
    head
}

/// The names of a hash's fields.
pub fn field_names(count: u64) -> Vec<String> {
    (0..count).map(|number| format!("field{number}")).collect()
}
