//! The process dies; another one starts from what the disk kept; everything is looked at.

use std::collections::BTreeMap;
use std::rc::Rc;

use model::ConnectionId;
use node::{Input, Outbox};

use super::World;
use crate::disk::Crash;
use crate::oracle::{Body, Key, NEVER, State, Value};
use crate::reply::Reply;
use crate::workload::encode;

impl World {
    pub(super) fn restart(&mut self, _how: Crash) -> Result<(), String> {
        // The reference store keeps nothing: nothing to restart from.
        self.fuse = None;
        Ok(())
    }

    /// Reads every key there is, over a connection of its own.
    pub(super) fn audit(&mut self) -> Result<Vec<(Key, State)>, String> {
        let mut outbox = Outbox::default();
        let accepted = Input::Accepted {
            address: "10.0.0.254:1".into(),
            local_address: "10.0.0.255:6379".into(),
        };
        self.node.handle(self.now, accepted, &mut outbox);
        let Some(Ok(auditor)) = outbox.accepted else {
            return Err("the auditor was not accepted".into());
        };
        let keys: Vec<Key> = self.oracle.known().cloned().collect();
        let mut found = Vec::new();
        for key in keys {
            let state = self.find(auditor, &key)?;
            found.push((key, state));
        }
        let closed = Input::Closed { connection: auditor };
        self.node.handle(self.now, closed, &mut outbox);
        Ok(found)
    }

    fn find(&mut self, auditor: ConnectionId, key: &Key) -> Result<State, String> {
        self.question(auditor, &[b"SELECT", key.0.to_string().as_bytes()])?;
        let kind = self.question(auditor, &[b"TYPE", &key.1])?;
        let body = match kind {
            Reply::Simple(kind) if kind == "none" => return Ok(None),
            Reply::Simple(kind) if kind == "string" => {
                let text = self.question(auditor, &[b"GET", &key.1])?;
                Body::Text(text.bulk().ok_or("GET of a string that is there")?.to_vec())
            }
            Reply::Simple(_) => {
                let all = self.question(auditor, &[b"HGETALL", &key.1])?;
                Body::Hash(fields(&all).ok_or("HGETALL of a hash that is there")?)
            }
            other => return Err(format!("TYPE answers {other:?}")),
        };
        let deadline = self.question(auditor, &[b"PEXPIRETIME", &key.1])?.integer();
        let deadline_ms = match deadline {
            Some(-1) => NEVER,
            Some(ms) if ms > 0 => ms as u64,
            other => return Err(format!("PEXPIRETIME answers {other:?}")),
        };
        Ok(Some(Rc::new(Value { body, deadline_ms })))
    }

    fn question(&mut self, auditor: ConnectionId, words: &[&[u8]]) -> Result<Reply, String> {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        let before = self.node.unsent(auditor).len();
        let mut bytes = encode(&words);
        let received = Input::Received {
            connection: auditor,
            bytes: &mut bytes,
        };
        self.floor_ms = self.node_ms();
        self.node.handle(self.now, received, &mut Outbox::default());
        let reply = &self.node.unsent(auditor)[before..];
        let (reply, len) = Reply::parse(reply)?.ok_or("the auditor was not answered")?;
        if before + len == self.node.unsent(auditor).len() {
            Ok(reply)
        } else {
            Err("the auditor was answered twice".into())
        }
    }
}

fn fields(reply: &Reply) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let pair = |pair: &[Reply]| Some((pair[0].bulk()?.to_vec(), pair[1].bulk()?.to_vec()));
    reply.array()?.chunks_exact(2).map(pair).collect()
}
