//! Clients and their connections.

use node::Input;

use super::{Arrival, Event, World};
use crate::host::Line;
use crate::rare::Rare;
use crate::record::Answer;

/// Bytes of a client that come in two pieces, in parts of ten thousand.
const SPLIT: u32 = 500;
/// How often a client looks at how long it has waited, in parts of its patience.
const LOOKS: u64 = 2;

impl World {
    /// A client asks something, unless it waits for an answer.
    pub(super) fn think(&mut self, number: usize) {
        let sent = self.clients[number].send(&self.plan, self.now_us, &mut self.counts);
        let Some((to, bytes)) = sent else {
            return;
        };
        let is_new = self.go_to(number, to);
        let line = (number, self.clients[number].line);
        let mut pieces = vec![bytes];
        if self.random.chance(SPLIT) {
            let cut = self.random.index(pieces[0].len());
            let behind = pieces[0].split_off(cut);
            pieces.push(behind);
        }
        let mut delay_us = self.random.between(1, self.plan.delay_us);
        if is_new {
            self.after(
                delay_us,
                Event::To(to, self.run_of(to), Arrival::Connect(line)),
            );
        }
        for piece in pieces {
            let bytes = Arrival::Bytes(line, piece);
            self.after(delay_us, Event::To(to, self.run_of(to), bytes));
            delay_us += self.random.below(2_000);
        }
        self.look_later(number);
    }

    /// It looks at how long it has waited, some time.
    fn look_later(&mut self, number: usize) {
        let is_looking = &mut self.clients[number].is_looking;
        if !std::mem::replace(is_looking, true) {
            self.after(self.plan.patience_us / LOOKS, Event::Patience(number));
        }
    }

    /// The client uses a connection with this node. Returns whether it is to be made.
    fn go_to(&mut self, number: usize, to: u32) -> bool {
        let client = &mut self.clients[number];
        if let Some(at) = client.at.filter(|at| *at != to) {
            let hangup = Arrival::Hangup((number, client.line));
            client.line += 1;
            let run = self.hosts[at as usize].run;
            self.after(self.plan.delay_us, Event::To(at, run, hangup));
        }
        self.clients[number].at.replace(to) != Some(to)
    }

    /// A client has waited too long, or looks again later.
    pub(super) fn lose_patience(&mut self, number: usize) {
        let since_us = self.now_us.saturating_sub(self.plan.patience_us);
        let client = &mut self.clients[number];
        client.is_looking = false;
        if !client.is_waiting() {
            return;
        }
        if !client.is_impatient(since_us) {
            return self.look_later(number);
        }
        if let Some(at) = client.at {
            let hangup = Arrival::Hangup((number, client.line));
            let run = self.hosts[at as usize].run;
            self.after(self.plan.delay_us, Event::To(at, run, hangup));
        }
        self.give_up(number);
    }

    fn give_up(&mut self, number: usize) {
        let unknown = self.clients[number].give_up(self.now_us, &mut self.counts);
        self.operations.extend(unknown);
        self.think_later(number);
    }

    fn think_later(&mut self, number: usize) {
        let think_us = self.clients[number].think_us(self.plan.think_us);
        self.after(think_us, Event::Think(number));
    }

    /// A connection is over, and its client notices.
    pub(super) fn hung_up(&mut self, (number, line): Line) {
        if self.clients[number].line == line {
            self.give_up(number);
        }
    }

    /// Replies have come.
    pub(super) fn told(&mut self, (number, line): Line, bytes: &[u8]) -> Result<(), String> {
        if self.clients[number].line != line {
            return Ok(());
        }
        let client = &mut self.clients[number];
        let by = client.at;
        let told = client.receive(&self.plan, bytes, self.now_us, &mut self.counts);
        let mut told = told.map_err(|wrong| format!("client {number}: {wrong}"))?;
        for operation in &mut told {
            let (key, since_us) = (&operation.key, operation.sent_us);
            let is_by = |by| self.led.is_by(by, self.service.map(), key, since_us);
            operation.is_led = by.is_some_and(is_by);
            if let (Answer::Flushed(ranges), Some(by)) = (&mut operation.answer, by) {
                *ranges = self.led.ranges(by, self.service.map(), since_us);
                self.counts.note_times(Rare::Flushed, ranges.len() as u64);
            }
            self.trace
                .line(|| format!("client {number}: {operation:?}"));
        }
        self.operations.extend(told);
        if !self.clients[number].is_waiting() {
            self.think_later(number);
        }
        Ok(())
    }

    /// A client connects.
    pub(super) fn accept(&mut self, number: u32, line: Line) {
        let accepted = Input::Accepted {
            address: format!("client-{}:1", line.0),
            local_address: format!("{number}:6379"),
        };
        self.give(number, accepted);
        let Some(process) = self.hosts[number as usize].process.as_mut() else {
            return;
        };
        if let Some(Ok(connection)) = process.outbox.accepted.take() {
            process.lines.insert(line, connection);
            process.connections.insert(connection, line);
        }
    }

    /// A client's bytes have reached a node.
    pub(super) fn read_client(&mut self, number: u32, line: Line, mut bytes: Vec<u8>) {
        let process = self.hosts[number as usize].process.as_ref();
        let connection = process.and_then(|process| process.lines.get(&line).copied());
        let Some(connection) = connection else {
            return self.after(self.plan.delay_us, Event::Hangup(line));
        };
        self.trace.fold(&bytes);
        let bytes = &mut bytes;
        self.give(number, Input::Received { connection, bytes });
        self.turn_soon(number);
    }

    /// A client has closed its connection.
    pub(super) fn client_gone(&mut self, number: u32, line: Line) {
        let Some(process) = self.hosts[number as usize].process.as_mut() else {
            return;
        };
        if let Some(connection) = process.lines.remove(&line) {
            process.connections.remove(&connection);
            self.give(number, Input::Closed { connection });
            self.turn_soon(number);
        }
    }

    /// Sends what may leave, and closes what is over.
    pub(super) fn flush_clients(&mut self, number: u32) {
        let now_us = self.now_us;
        let host = &mut self.hosts[number as usize];
        let now = host.clock.now(now_us);
        let Some(process) = &mut host.process else {
            return;
        };
        process.node.take_sendable(&mut process.outbox);
        let mut told = Vec::new();
        for connection in std::mem::take(&mut process.outbox.send) {
            let bytes = process.node.output(connection).to_vec();
            let sent = Input::Sent {
                connection,
                bytes: bytes.len(),
            };
            process.node.handle(now, sent, &mut process.outbox);
            if let Some(line) = process.connections.get(&connection) {
                told.push((*line, bytes));
            }
        }
        let mut closed = Vec::new();
        for connection in std::mem::take(&mut process.outbox.close) {
            if let Some(line) = process.connections.remove(&connection) {
                process.lines.remove(&line);
                closed.push(line);
            }
        }
        self.deliver(told, closed);
    }

    /// In order: nothing of a connection comes after its end.
    fn deliver(&mut self, told: Vec<(Line, Vec<u8>)>, closed: Vec<Line>) {
        for (line, bytes) in told {
            self.trace.fold(&bytes);
            self.after(self.plan.delay_us, Event::Told(line, bytes));
        }
        for line in closed {
            self.after(self.plan.delay_us, Event::Hangup(line));
        }
    }
}
