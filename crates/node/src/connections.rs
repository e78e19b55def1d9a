//! Connections come, send, are sent to, and go.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use command::client::{Client, place};
use model::limits::{
    MAX_OUTPUT_BUFFER_BYTES, MAX_QUERY_BUFFER_BYTES, MAX_QUERY_BUFFER_BYTES_UNAUTHENTICATED,
};
use model::{ConnectionId, Now, Position, Topology};
use resp::Protocol;
use shard::{Attempt, Shard};

use crate::member::Cluster;
use crate::stream::{KEPT_BYTES, State, Stream};
use crate::{CopyId, Node, Outbox};

/// Output buffers that are kept for whoever speaks next.
const SPARE_OUTPUTS: usize = 64;

impl Node {
    pub(crate) fn accept(
        &mut self,
        now: Now,
        address: String,
        local_address: String,
    ) -> Result<ConnectionId, &'static [u8]> {
        if self.draining {
            return Err(b"-ERR the server is shutting down\r\n");
        }
        if self.clients.len() >= self.server.settings.max_clients {
            self.server.stats.rejected_connections += 1;
            return Err(b"-ERR max number of clients reached\r\n");
        }
        self.server.stats.connections += 1;
        let connection = self.clients.add(address, local_address, now.mono_us);
        self.clients.expect(connection).authenticated = self.server.settings.password.is_empty();
        let place = place(connection);
        if self.streams.len() <= place {
            self.streams.resize_with(place + 1, || None);
        }
        let stream = Stream::new(connection, &self.server.settings);
        self.streams[place] = Some(Box::new(stream));
        Ok(connection)
    }

    pub(crate) fn receive(&mut self, now: Now, connection: ConnectionId, bytes: &mut [u8]) {
        let Some(mut stream) = self.take_stream(connection) else {
            return;
        };
        self.server.stats.received_bytes += bytes.len() as u64;
        let client = self.clients.expect(connection);
        client.active_us = now.mono_us;
        if client.closing {
            // What comes after the last command that is answered is not looked at.
        } else if stream.input.is_empty() && stream.may_run() {
            let used = self.run(now, &mut stream, bytes);
            stream.input.extend_from_slice(&bytes[used..]);
            stream.put_back();
        } else {
            stream.input.extend_from_slice(bytes);
            self.run_input(now, &mut stream);
        }
        self.put_stream(stream);
    }

    /// Whether the shell may read from this connection. If not, it will be told in [`Outbox::read`] when it may.
    pub fn accepts_input(&mut self, connection: ConnectionId) -> bool {
        let Some(stream) = self
            .streams
            .get_mut(place(connection))
            .and_then(Option::as_mut)
        else {
            return true;
        };
        stream.unread = !stream.takes_input();
        !stream.unread
    }

    /// What may be sent to the connection now.
    pub fn output(&mut self, connection: ConnectionId) -> &[u8] {
        let committed = committed(&self.shard, self.cluster.as_deref());
        match self
            .streams
            .get_mut(place(connection))
            .and_then(Option::as_mut)
        {
            Some(stream) if stream.connection == connection => stream.sendable(committed),
            Some(_) | None => &[],
        }
    }

    /// Everything that is written to the connection and not sent, whether it may leave or not: for whoever checks a node
    /// from outside. What may be sent is [`Node::output`].
    #[must_use]
    pub fn unsent(&self, connection: ConnectionId) -> &[u8] {
        let stream = self.streams.get(place(connection)).and_then(Option::as_ref);
        match stream {
            Some(stream) if stream.connection == connection => stream.unsent(),
            Some(_) | None => &[],
        }
    }

    pub(crate) fn sent(&mut self, now: Now, connection: ConnectionId, bytes: usize) {
        let Some(mut stream) = self.take_stream(connection) else {
            return;
        };
        self.server.stats.sent_bytes += bytes as u64;
        let was_paused = stream.is_paused();
        stream.sent(bytes);
        if stream.output.is_empty() {
            self.keep_output(core::mem::take(&mut stream.output));
        }
        if was_paused && stream.may_run() {
            self.run_input(now, &mut stream);
        }
        self.put_stream(stream);
    }

    /// Keeps an output buffer that was emptied, unless it has grown large or there are enough.
    fn keep_output(&mut self, buffer: Vec<u8>) {
        if (1..=KEPT_BYTES).contains(&buffer.capacity()) && self.spare.len() < SPARE_OUTPUTS {
            self.spare.push(buffer);
        }
    }

    /// What clients are told of the cluster from now on. Whoever asked for it is pushed what is to leave this node, or has.
    pub fn set_topology(&mut self, topology: Arc<Topology>) {
        let before = self.server.topology.replace(topology);
        let (Some(before), Some(after)) = (&before, &self.server.topology) else {
            return;
        };
        let Some(push) = command::pushes(before, after) else {
            return;
        };
        // Who has gone back to RESP2 cannot be pushed anything.
        let wants = |client: &&Client| client.wants_moves && client.protocol == Protocol::V3;
        let wanting = self.clients.iter().filter(wants);
        let wanting: Vec<ConnectionId> = wanting.map(|client| client.id).collect();
        for connection in wanting {
            if let Some(mut stream) = self.take_stream(connection) {
                stream.output.extend_from_slice(&push);
                self.put_stream(stream);
            }
        }
    }

    /// The other end sends no more.
    pub(crate) fn ended(&mut self, now: Now, connection: ConnectionId) {
        let Some(mut stream) = self.take_stream(connection) else {
            return;
        };
        stream.ended = true;
        self.run_input(now, &mut stream);
        self.put_stream(stream);
    }

    /// The other end sends no more than what was left unread.
    pub(crate) fn ending(&mut self, connection: ConnectionId) {
        if let Some(mut stream) = self.take_stream(connection) {
            stream.ending = true;
            self.put_stream(stream);
        }
    }

    /// Moves the connections that have something to send to `outbox`. Those that wait for a commit stay.
    pub fn take_sendable(&mut self, outbox: &mut Outbox) {
        self.unsent = false;
        let committed = committed(&self.shard, self.cluster.as_deref());
        let (streams, send) = (&mut self.streams, &mut outbox.send);
        self.dirty.retain(|&connection| {
            let Some(stream) = streams[place(connection)]
                .as_mut()
                .filter(|s| s.connection == connection)
            else {
                return false;
            };
            let gated = stream.sendable(&committed).len() < stream.backlog();
            if !stream.sendable(&committed).is_empty() {
                send.push(connection);
            }
            stream.dirty = gated;
            gated
        });
    }

    /// Runs the command that waited like this, and what came behind it. Whoever does not wait like this (any more) is left alone.
    pub(crate) fn resume(
        &mut self,
        now: Now,
        connection: ConnectionId,
        waited: State,
        attempt: Option<Attempt>,
    ) {
        let Some(mut stream) = self.take_stream(connection) else {
            return;
        };
        if stream.state == waited {
            stream.state = State::Ready;
            stream.attempt = attempt.unwrap_or(stream.attempt);
            self.run_input(now, &mut stream);
        }
        self.put_stream(stream);
    }

    /// If the connection's command had waited for its turn, it has not now.
    pub(crate) fn forget_turn(&mut self, connection: ConnectionId) {
        if let Some(mut stream) = self.take_stream(connection) {
            stream.attempt = Attempt::First;
            self.put_stream(stream);
        }
    }

    pub(crate) fn run_woken(&mut self, now: Now) {
        loop {
            let woken = match &mut self.cluster {
                None => self.shard.take_woken(),
                Some(cluster) => cluster.take_woken(),
            };
            if woken.is_empty() {
                return;
            }
            for (connection, attempt) in woken {
                self.resume(now, connection, State::Waiting, Some(attempt));
            }
        }
    }

    fn run_input(&mut self, now: Now, stream: &mut Stream) {
        if !stream.may_run() {
            return;
        }
        let mut input = core::mem::take(&mut stream.input);
        let used = self.run(now, stream, &mut input);
        stream.input = input;
        stream.consume(used);
        stream.put_back();
    }

    fn take_stream(&mut self, connection: ConnectionId) -> Option<Box<Stream>> {
        let slot = self.streams.get_mut(place(connection))?;
        if slot.as_ref()?.connection == connection {
            slot.take()
        } else {
            None
        }
    }

    /// Its command does not go on waiting, nor take from others what they wait for. What came behind it is not looked at.
    fn give_up(&mut self, stream: &mut Stream) {
        self.leave_lines(stream.connection);
        stream.state = State::Ready;
        stream.input.clear();
        let client = self.clients.expect(stream.connection);
        (client.closing, client.waits) = (true, false);
    }

    /// If its command stands in a line, its time is over.
    fn stop_waiting(&mut self, connection: ConnectionId) {
        match &mut self.cluster {
            None => _ = self.shard.stop_waiting(connection),
            Some(cluster) => cluster.stop_waiting(connection),
        }
    }

    /// Nobody is served any more: what is written is sent if it may leave.
    pub(crate) fn end_streams(&mut self) {
        let connections: Vec<_> = self.clients.iter().map(|client| client.id).collect();
        for connection in connections {
            if let Some(mut stream) = self.take_stream(connection) {
                self.give_up(&mut stream);
                self.put_stream(stream);
            }
        }
    }

    /// Puts a stream back, with the node's lists and limits as its new state wants them.
    fn put_stream(&mut self, mut stream: Box<Stream>) {
        let connection = stream.connection;
        if stream.state == State::Waiting {
            if stream.ended || stream.ending {
                // Nobody can tell who has ended from who is gone.
                self.give_up(&mut stream);
            } else if !stream.takes_input() {
                self.stop_waiting(connection);
            }
        }
        let client = self.clients.expect(connection);
        (client.query_bytes, client.output_bytes) = (stream.input.len(), stream.backlog());
        let most = if client.authenticated {
            MAX_QUERY_BUFFER_BYTES
        } else {
            MAX_QUERY_BUFFER_BYTES_UNAUTHENTICATED
        };
        let too_much = client.query_bytes > most || client.output_bytes > MAX_OUTPUT_BUFFER_BYTES;
        let last = client.closing || (stream.ended && stream.state == State::Ready);
        if too_much || (last && client.output_bytes == 0) {
            self.clients.to_close.push(connection);
        }
        self.count_buffers(&mut stream);
        if !stream.dirty && stream.backlog() > 0 {
            stream.dirty = true;
            self.unsent = true;
            self.dirty.push(connection);
        }
        if stream.unread && stream.takes_input() {
            stream.unread = false;
            self.readable.push(connection);
        }
        if stream.state == State::WaitingForLog && !self.waiting_for_log.contains(&connection) {
            self.waiting_for_log.push(connection);
        }
        if stream.state == State::WaitingForCopy
            && let Some(cluster) = &mut self.cluster
        {
            cluster.wait(connection);
        }
        if stream.state == State::Paused && !self.paused.contains(&connection) {
            self.paused.push(connection);
        }
        self.streams[place(connection)] = Some(stream);
    }

    /// Keeps all connections' buffers within their budget: past half of it no empty buffer is kept, past all of it
    /// the connection that has most is closed.
    fn count_buffers(&mut self, stream: &mut Stream) {
        let budget = self.server.settings.buffer_bytes;
        if self.buffered > budget / 2 {
            stream.give_back();
        }
        self.buffered -= stream.counted;
        stream.counted = stream.input.capacity() + stream.output.capacity();
        self.buffered += stream.counted;
        if self.buffered > budget {
            let streams = self.streams.iter().flatten();
            let others = streams.map(|other| (other.counted, other.connection));
            let most = others.fold((stream.counted, stream.connection), core::cmp::max);
            self.server.stats.closed_for_memory += 1;
            self.clients.to_close.push(most.1);
        }
    }

    /// Closes what commands and limits have marked.
    pub(crate) fn close_marked(&mut self, outbox: &mut Outbox) {
        while let Some(connection) = self.clients.to_close.pop() {
            if self.clients.get(connection).is_some() {
                outbox.close.push(connection);
                self.forget(connection);
            }
        }
    }

    /// Marks connections that have been silent for longer than the settings allow.
    pub(crate) fn close_idle(&mut self, now: Now) {
        let timeout_us = self.server.settings.timeout_s * 1_000_000;
        if timeout_us == 0 {
            return;
        }
        let silent = |active_us: u64| now.mono_us.saturating_sub(active_us) > timeout_us;
        let idle: Vec<_> = self
            .clients
            .iter()
            .filter(|c| silent(c.active_us))
            .map(|c| c.id)
            .collect();
        let waits = |id: &ConnectionId| {
            let stream = self.streams[place(*id)].as_ref();
            stream.is_some_and(|stream| stream.state != State::Ready)
        };
        let idle: Vec<_> = idle.into_iter().filter(|id| !waits(id)).collect();
        self.clients.to_close.extend(idle);
    }

    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        if let Some(stream) = self.take_stream(connection) {
            self.buffered -= stream.counted;
            self.clients.remove(connection);
            self.leave_lines(connection);
        }
    }

    /// The connection waits for nothing any more.
    fn leave_lines(&mut self, connection: ConnectionId) {
        match &mut self.cluster {
            None => self.shard.connection_closed(connection),
            Some(cluster) => cluster.connection_closed(connection),
        }
    }
}

/// Up to where each copy is committed.
fn committed<'a>(
    alone: &Shard,
    cluster: Option<&'a Cluster>,
) -> impl Fn(CopyId) -> Position + use<'a> {
    let alone = alone.committed();
    move |copy| cluster.map_or(alone, |cluster| cluster.committed(copy))
}
