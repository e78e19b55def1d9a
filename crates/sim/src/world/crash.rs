//! The process dies; another one starts from what the disk kept; everything is looked at.

use std::collections::BTreeMap;
use std::rc::Rc;

use model::ConnectionId;
use model::time::SteadyClock;
use node::{Input, Outbox};
use store::{RestoreReport, SegmentId, SyncMode};

use super::{World, boot};
use crate::disk::{Crash, Image};
use crate::oracle::sessions::{HOLDS, VERSION};
use crate::oracle::{Body, Key, NEVER, Promise, State, Value};
use crate::rare::Rare;
use crate::reply::Reply;
use crate::workload::encode;

const SECOND_US: u64 = 1_000_000;
/// What a turn may add to the second of `everysec`, in microseconds.
const TURN_US: u64 = 5_000;

impl World {
    /// The process dies, and another starts on what the disk has kept.
    pub(super) fn restart(&mut self, how: Crash) -> Result<(), String> {
        self.fuse = None;
        self.trace.line(|| format!("CRASH: {how:?}"));
        let promise = self.promise(how);
        self.lag_over_the_restart(how);
        self.disk.crash(how, &mut self.counts);
        self.forget_links();
        let damaged = self.flip_bits();
        self.time_without_the_process();
        self.start_again(damaged, how)?;
        self.recover(
            how,
            if damaged.is_some() {
                Promise::Nothing
            } else {
                promise
            },
        )
    }

    /// What must survive a crash at this instant.
    fn promise(&mut self, how: Crash) -> Promise {
        let now_us = self.now.mono_us;
        let kept_all = how == Crash::Process || self.plan.sync == SyncMode::Always;
        if kept_all {
            return Promise::ShownUntil(now_us);
        }
        if self.plan.sync == SyncMode::None {
            return Promise::ShownUntil(0);
        }
        let busy_since = self.disk.oldest_issued_us().unwrap_or(now_us);
        let since = busy_since.min(self.lagging_since_us());
        Promise::ShownUntil(since.saturating_sub(SECOND_US + self.slowness_us() + TURN_US))
    }

    /// What the node's second takes longer than one. A clock that is set back goes on at half speed, and the second of
    /// `everysec` is one of the node's clock.
    fn slowness_us(&self) -> u64 {
        let slow = self.slow_clock_us > 0 && self.now.mono_us < self.slow_clock_us + 2 * SECOND_US;
        if slow { SECOND_US } else { 0 }
    }

    /// Nobody syncs while the process is dead. What the power has left is durable.
    fn lag_over_the_restart(&mut self, how: Crash) {
        let since = self.disk.oldest_issued_us().unwrap_or(self.now.mono_us);
        self.lagging_since_us = match how {
            Crash::Process => {
                let since = self.lagging_since_us().min(since);
                Some(since.saturating_sub(self.slowness_us()))
            }
            Crash::Power => None,
        };
        self.well_since_us = None;
    }

    fn forget_links(&mut self) {
        for link in self.links.iter_mut().filter_map(Option::take) {
            self.oracle.closed(link.id);
        }
        self.later.clear();
    }

    /// Flips a bit in a file that nobody was writing. Returns where, if it did.
    fn flip_bits(&mut self) -> Option<(SegmentId, usize)> {
        if self.calm || !self.chance.chance(self.plan.bit_flip) {
            return None;
        }
        let rotten = self.disk.rot(&mut self.chance);
        if let Some((segment, at)) = rotten {
            self.trace
                .line(|| format!("a bit flips in segment {} at {at}", segment.0));
        }
        rotten
    }

    /// It takes a while until the process is started again; the clock may be another one by then.
    fn time_without_the_process(&mut self) {
        let us = self.chance.extreme(1_000, 100_000_000);
        self.now.mono_us += us;
        self.now.unix_ms += us / 1000;
        self.stood_still_us = self.now.mono_us;
    }

    fn start_again(
        &mut self,
        damaged: Option<(SegmentId, usize)>,
        how: Crash,
    ) -> Result<(), String> {
        self.epoch += 1;
        self.restarts += 1;
        self.restarted_us = self.now.mono_us;
        self.restarted_turn = self.turn;
        let mut images: Vec<Image<'_>> = self.disk.images().collect();
        for index in (1..images.len()).rev() {
            images.swap(index, self.chance.index(index + 1));
        }
        for image in &images {
            self.trace.numbers(&[image.segment.0, image.len as u64]);
            self.trace.fold(image.written);
        }
        let (node, report) = boot::again(&self.plan, &images, self.epoch, self.now)?;
        self.node = node;
        self.clock = SteadyClock::new(self.now.not_before(report.latest_ms));
        self.trace.line(|| format!("restarted: {report:?}"));
        self.judge_report(&report, damaged, how)
    }

    fn judge_report(
        &mut self,
        report: &RestoreReport,
        damaged: Option<(SegmentId, usize)>,
        how: Crash,
    ) -> Result<(), String> {
        let whole = report.is_whole();
        // A loss of power may have torn that very piece.
        let torn = |(segment, at): (SegmentId, usize)| {
            let mut torn = report.torn.iter();
            torn.any(|range| {
                range.segment == segment && (range.offset..range.offset + range.len).contains(&at)
            })
        };
        if whole && damaged.is_some_and(|place| !torn(place)) {
            return Err(format!("a flipped bit was not noticed: {report:?}"));
        }
        // A loss of power may keep a later piece of an unsynced file and lose an earlier one: that looks like damage, and is
        // met again until the file was replaced. So does a write that failed before one that did not.
        self.disk_hurt |=
            damaged.is_some() || how == Crash::Power || std::mem::take(&mut self.disk.has_failed);
        if whole {
            // What is left of a torn tail may look like damage when the write that ends it is torn, too.
            self.disk_hurt = !report.torn.is_empty();
        } else if !self.disk_hurt {
            return Err(format!(
                "damage is reported where there is none: {report:?}"
            ));
        }
        if damaged.is_some() {
            self.counts.note(Rare::DamagedSegment);
        }
        if !report.torn.is_empty() {
            self.counts.note(Rare::TornTail);
        }
        self.node.shard().store().check();
        Ok(())
    }

    fn recover(&mut self, how: Crash, promise: Promise) -> Result<(), String> {
        let found = self.audit()?;
        for (key, state) in found.iter().filter(|(_, state)| state.is_some()) {
            let (name, state) = (crate::oracle::text(&key.1), crate::oracle::shown(state));
            self.trace
                .line(|| format!("found {}:{name} {state}", key.0));
        }
        let kept = self
            .oracle
            .recovered(self.node_ms(), how, promise, &found)?;
        (0..kept.unshown_kept).for_each(|_| self.counts.note(Rare::SurvivedUnshown));
        (0..kept.unshown_lost).for_each(|_| self.counts.note(Rare::ForgottenUnshown));
        Ok(())
    }

    /// Reads every key there is, over a connection of its own.
    pub(super) fn audit(&mut self) -> Result<Vec<(Key, State)>, String> {
        let mut outbox = Outbox::default();
        let accepted = Input::Accepted {
            address: "10.0.0.254:1".into(),
            local_address: "10.0.0.255:6379".into(),
        };
        // It reads nothing of what it is told: here all of it is looked at.
        self.node.server_mut().settings.output_pause_bytes = usize::MAX;
        self.node.handle(self.now, accepted, &mut outbox);
        self.node.server_mut().settings.output_pause_bytes = self.plan.output_pause_bytes;
        let Some(Ok(auditor)) = outbox.accepted else {
            return Err("the auditor was not accepted".into());
        };
        let keys: Vec<Key> = self.oracle.known().cloned().collect();
        let mut found = Vec::new();
        for key in keys {
            let state = self.find(auditor, &key)?;
            found.push((key, state));
        }
        let closed = Input::Closed {
            connection: auditor,
        };
        self.node.handle(self.now, closed, &mut outbox);
        Ok(found)
    }

    fn find(&mut self, auditor: ConnectionId, key: &Key) -> Result<State, String> {
        if key.0 == HOLDS {
            return self.find_hold(auditor, &key.1);
        }
        self.question(auditor, &[b"SELECT", key.0.to_string().as_bytes()])?;
        let body = match self.question(auditor, &[b"GET", &key.1])? {
            Reply::Null => return Ok(None),
            Reply::Bulk(text) => Body::Text(text),
            Reply::Error(_) => {
                let all = self.question(auditor, &[b"HGETALL", &key.1])?;
                let mut found = fields(&all).ok_or("HGETALL of a hash that is there")?;
                if key.1.first() == Some(&b's') {
                    let info = self.question(auditor, &[b"SESSION.INFO", &key.1])?;
                    let version = info.under("version").and_then(Reply::integer).unwrap_or(0);
                    found.insert(VERSION.to_vec(), version.to_string().into_bytes());
                }
                Body::Hash(found)
            }
            other @ (Reply::Simple(_) | Reply::Integer(_) | Reply::Array(_)) => {
                return Err(format!("GET answers {other:?}"));
            }
        };
        let deadline = self.question(auditor, &[b"PEXPIRETIME", &key.1])?.integer();
        let deadline_ms = match deadline {
            Some(-1) => NEVER,
            Some(ms) if ms > 0 => ms as u64,
            other => return Err(format!("PEXPIRETIME answers {other:?}")),
        };
        Ok(Some(Rc::new(Value { body, deadline_ms })))
    }

    fn find_hold(&mut self, auditor: ConnectionId, id: &[u8]) -> Result<State, String> {
        self.question(auditor, &[b"SELECT", b"0"])?;
        let info = self.question(auditor, &[b"SESSION.INFO", id])?;
        let number = |name: &str| info.under(name).and_then(Reply::integer).unwrap_or(0);
        if number("held") == 0 || number("fence") == 0 {
            return Ok(None);
        }
        let body = Body::Text(number("fence").to_string().into_bytes());
        let deadline_ms = self.node_ms() + number("hold_ms") as u64;
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
        self.clock.tell(self.now);
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
