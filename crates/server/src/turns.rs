//! The loop of the node's thread.
//!
//! A turn drains everything that is ready, hands each piece to the node, and then flushes once: one write per
//! log head and one per connection that has a reply. The poller reports changes only (edge-triggered) and is
//! told of a connection once, so a request of a busy connection costs one read and one write, and a share of
//! one poll.

mod member;

use std::io;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use model::{ConnectionId, Now};
use node::{Input, Node, Outbox};
use tracing::{debug, info, warn};

use crate::accept::{Accepted, Listener};
use crate::admin::Snapshot;
use crate::clock::Clock;
use crate::disk::Disk;
use crate::links;
use crate::message::Message;
use crate::phase::SharedPhase;
use crate::plane::Plane;
use crate::process;
use crate::sockets::Sockets;
use crate::spin::{SPIN_US, Spin};

/// The token of messages. Connections have their numbers as tokens, which stay far below.
pub const MESSAGES: Token = Token(usize::MAX);
/// Tokens of listeners: from here upwards.
const LISTENERS: usize = usize::MAX - 1024;
/// Bytes of the buffer that all connections are read into.
const SCRATCH_BYTES: usize = 256 << 10;
/// What has arrived of a connection and is no longer than this waits for what others have sent, so that the memory that it
/// will touch is fetched while theirs runs.
const GATHERED_BYTES: usize = 32 << 10;
/// No more than this waits: the rest of the buffer is room for one more read.
const MOST_GATHERED_BYTES: usize = 128 << 10;
/// Full buffers that one connection may hand in per turn before the others have theirs.
const READS_PER_TURN: usize = 4;
/// Connections accepted per turn.
const ACCEPTS_PER_TURN: usize = 256;
/// Longest sleep: some duties come by the second.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long a shutdown waits for connections that still have work.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// How long a start or a shutdown waits for the disk.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// A node with its sockets and its disk.
pub struct Shell {
    pub node: Node,
    pub clock: Clock,
    pub poll: Poll,
    pub listeners: Vec<Listener>,
    pub inbox: Receiver<Message>,
    pub disk: Disk,
    pub phase: SharedPhase,
    pub sockets: Sockets,
    /// There for a member of a cluster.
    pub plane: Option<Box<Plane>>,
    pub outbox: Outbox,
    pub state: LoopState,
    /// The time, as of when the last events came or the last flush began.
    pub now: Now,
}

/// What the loop remembers between turns.
pub struct LoopState {
    scratch: Box<[u8]>,
    /// What stands at the beginning of `scratch` and is not handed in yet: of whom, and how much.
    gathered: Vec<(ConnectionId, usize)>,
    gathered_bytes: usize,
    spin: Spin,
    /// Connections that may have more to read, and no event will say so.
    again: Vec<ConnectionId>,
    turns: u64,
    /// When the process is looked at next.
    look_at: Duration,
    /// When the shutdown gives up waiting.
    drain_until: Option<Duration>,
}

impl Default for LoopState {
    fn default() -> Self {
        Self {
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            gathered: Vec::with_capacity(node::BATCH),
            gathered_bytes: 0,
            spin: Spin::default(),
            again: Vec::new(),
            turns: 0,
            look_at: Duration::ZERO,
            drain_until: None,
        }
    }
}

impl Shell {
    /// Begins to listen.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(&mut self) -> io::Result<()> {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            listener.listen(self.poll.registry(), Token(LISTENERS + index))?;
        }
        match &mut self.plane {
            Some(plane) => plane.links.listen(self.poll.registry()),
            None => Ok(()),
        }
    }

    /// Turns until the node is drained.
    ///
    /// # Errors
    /// The poller fails, which leaves nothing to do.
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.is_over() {
            let waited_us = self.wait(&mut events)?;
            self.now = self.clock.now();
            for event in &events {
                self.event(event);
            }
            self.hand_in();
            self.read_again();
            self.read_links_again();
            self.retry_accepting();
            self.tick_plane();
            self.flush();
            self.look_at_process();
            self.state.spin.turned(self.state.turns, waited_us);
            self.state.turns += 1;
        }
        Ok(())
    }

    /// Once a second, takes note of what the process uses, and gives back what it does not need.
    fn look_at_process(&mut self) {
        let now = self.clock.elapsed();
        if now >= self.state.look_at {
            self.state.look_at = now + LONGEST_WAIT;
            process::refresh(&mut self.node.server_mut().process);
            self.node.give_back_ends();
        }
    }

    /// Waits for events, and returns for how long, in microseconds.
    fn wait(&mut self, events: &mut Events) -> io::Result<u64> {
        let began = self.clock.elapsed();
        let timeout = self.timeout();
        let mut waited_us = 0;
        if timeout > Duration::ZERO && self.state.spin.is_worth_it() {
            while waited_us < SPIN_US {
                poll(&mut self.poll, events, Duration::ZERO)?;
                waited_us = (self.clock.elapsed() - began).as_micros() as u64;
                if !events.is_empty() {
                    return Ok(waited_us);
                }
                std::thread::yield_now();
            }
        }
        poll(&mut self.poll, events, timeout)?;
        Ok((self.clock.elapsed() - began).as_micros() as u64)
    }

    /// How long there is nothing to do unless an event comes.
    fn timeout(&self) -> Duration {
        if self.node.is_busy() || !self.state.again.is_empty() {
            return Duration::ZERO;
        }
        let mut timeout = self.timeout_of_member();
        if let Some(deadline_ms) = self.node.next_deadline_ms() {
            let ms = deadline_ms.saturating_sub(self.clock.now().unix_ms);
            timeout = timeout.min(Duration::from_millis(ms));
        }
        let retries = self.listeners.iter().filter_map(Listener::retry_at_us);
        if let Some(retry_us) = retries.min() {
            let now_us = self.clock.elapsed().as_micros() as u64;
            timeout = timeout.min(Duration::from_micros(retry_us.saturating_sub(now_us)));
        }
        timeout
    }

    fn event(&mut self, event: &Event) {
        let token = event.token();
        if token == MESSAGES {
            self.read_messages();
        } else if token.0 >= links::FIRST_TOKEN {
            if token == links::LISTENER || token.0 < LISTENERS {
                self.link_event(event);
            } else {
                self.accept(token.0 - LISTENERS);
            }
        } else {
            let connection = ConnectionId(token.0 as u64);
            if event.is_writable() {
                self.writable(connection);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                let ending = event.is_read_closed() || event.is_error();
                self.readable(connection, ending);
            }
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input, &mut self.outbox);
    }
}

/// Accepting.
impl Shell {
    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let now_us = self.clock.elapsed().as_micros() as u64;
            let Some(listener) = self.listeners.get_mut(index) else {
                return;
            };
            match listener.accept(now_us) {
                Accepted::Connection(stream, address) => self.greet(stream, &address.to_string()),
                Accepted::Nobody => return,
                Accepted::Refused(error) => {
                    warn!(%error, "cannot accept a connection; trying again in 100 ms");
                    return;
                }
            }
        }
        // The rest of the queue causes no further event.
        self.listeners[index].try_again();
    }

    /// Tries the queues that were left alone for a while.
    fn retry_accepting(&mut self) {
        if self.listeners.iter().all(|l| l.retry_at_us().is_none()) {
            return;
        }
        let now_us = self.clock.elapsed().as_micros() as u64;
        for index in 0..self.listeners.len() {
            if self.listeners[index]
                .retry_at_us()
                .is_some_and(|at| at <= now_us)
            {
                self.accept(index);
            }
        }
    }

    /// Introduces a new connection to the node, and keeps its socket or tells it why not.
    fn greet(&mut self, mut stream: TcpStream, address: &str) {
        // Replies are written whole, so there is nothing to wait for. A failure costs only time.
        let _ = stream.set_nodelay(true);
        forward::spare_congestion_control(&stream);
        let keepalive_s = self.node.server().settings.keepalive_s;
        forward::keep_alive(&stream, Duration::from_secs(keepalive_s));
        let local_address = stream
            .local_addr()
            .map_or_else(|_| String::new(), |a| a.to_string());
        self.handle(Input::Accepted {
            address: address.to_owned(),
            local_address,
        });
        match self.outbox.accepted.take() {
            Some(Ok(connection)) => self.keep(connection, stream, address),
            Some(Err(refusal)) => {
                // It is the first thing in an empty buffer: it fits or nobody reads it.
                let _ = io::Write::write(&mut stream, refusal);
            }
            None => unreachable!("the node answers to each Accepted"),
        }
    }

    fn keep(&mut self, connection: ConnectionId, mut stream: TcpStream, address: &str) {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Token(connection.0 as usize);
        if let Err(error) = self.poll.registry().register(&mut stream, token, interest) {
            warn!(%error, "cannot watch a connection; it is closed");
            self.handle(Input::Closed { connection });
            return;
        }
        debug!(connection = connection.0, address, "accepted");
        self.sockets.insert(connection, stream);
    }
}

/// Reading.
impl Shell {
    fn readable(&mut self, connection: ConnectionId, ending: bool) {
        if let Some(socket) = self.sockets.get(connection) {
            socket.ending |= ending;
            self.read(connection);
        }
    }

    /// Reads until nothing is left, the node wants no more, or others should have their turn.
    fn read(&mut self, connection: ConnectionId) {
        let window = Spin::window(self.state.turns);
        for reads in 0.. {
            let Some(socket) = self.sockets.get(connection) else {
                return;
            };
            if !self.node.accepts_input(connection) {
                // The node will say when it does. It has to know at once that nobody may be there any more.
                if socket.ending {
                    self.handle(Input::Ending { connection });
                }
                return;
            }
            if reads == READS_PER_TURN {
                self.state.again.push(connection);
                return;
            }
            let ending = socket.ending;
            let from = self.state.gathered_bytes;
            match socket.read(&mut self.state.scratch[from..]) {
                Ok(Some(0)) => return self.handle(Input::Ended { connection }),
                Ok(Some(count)) => {
                    if std::mem::replace(&mut socket.window, window) != window {
                        self.state.spin.first_active();
                    }
                    // A read that was not filled has emptied the kernel's buffer; what comes later causes an event.
                    let emptied = from + count < SCRATCH_BYTES && !ending;
                    if emptied && count <= GATHERED_BYTES {
                        return self.gather(connection, count);
                    }
                    self.hand_in_if_gathered(connection);
                    self.received(connection, from, count);
                    if emptied {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    debug!(connection = connection.0, %error, "the connection broke");
                    return self.broken(connection);
                }
            }
        }
    }

    fn received(&mut self, connection: ConnectionId, from: usize, count: usize) {
        if self.plane.is_some() {
            // A right to read that holds now held when the question was there.
            self.now = self.clock.now();
        }
        let bytes = &mut self.state.scratch[from..from + count];
        let input = Input::Received { connection, bytes };
        self.node.handle(self.now, input, &mut self.outbox);
    }

    /// Who is read again, because it had its share of a turn and because the node wants it, is read twice: what was gathered comes first.
    fn hand_in_if_gathered(&mut self, connection: ConnectionId) {
        let mut gathered = self.state.gathered.iter();
        if gathered.any(|(of, _)| *of == connection) {
            self.hand_in();
        }
    }

    /// Lets what was read wait for what others have sent.
    fn gather(&mut self, connection: ConnectionId, count: usize) {
        self.state.gathered.push((connection, count));
        self.state.gathered_bytes += count;
        let is_full = self.state.gathered_bytes > MOST_GATHERED_BYTES - GATHERED_BYTES;
        if is_full || self.state.gathered.len() == node::BATCH {
            self.hand_in();
        }
    }

    /// Hands in what was gathered.
    fn hand_in(&mut self) {
        let gathered = std::mem::take(&mut self.state.gathered);
        self.state.gathered_bytes = 0;
        if gathered.len() > 1 {
            let mut rest = &self.state.scratch[..];
            let pieces = gathered.iter().map(|&(connection, count)| {
                let (piece, behind) = rest.split_at(count);
                rest = behind;
                (connection, piece)
            });
            self.node.look_ahead(pieces);
        }
        let mut from = 0;
        for &(connection, count) in &gathered {
            self.node.begin_piece();
            self.received(connection, from, count);
            from += count;
        }
        self.node.end_ahead();
        self.state.gathered = gathered;
        self.state.gathered.clear();
    }

    /// Reads the connections that were left with something to read.
    fn read_again(&mut self) {
        for connection in std::mem::take(&mut self.state.again) {
            self.read(connection);
        }
        self.hand_in();
    }

    fn broken(&mut self, connection: ConnectionId) {
        self.handle(Input::Closed { connection });
        self.sockets.remove(connection);
    }
}

/// Flushing.
impl Shell {
    /// Ends the turn: has the disk do what the node wants, sends what may be sent, closes what is to be closed. Returns whether the
    /// disk was asked for anything.
    fn flush(&mut self) -> bool {
        self.now = self.clock.now();
        self.handle(Input::EndOfTurn);
        for task in std::mem::take(&mut self.outbox.files) {
            self.disk.tend_folder(task);
        }
        for copy in std::mem::take(&mut self.outbox.restore) {
            self.disk.restore(copy);
        }
        let tasks = std::mem::take(&mut self.outbox.disk);
        let asked = !tasks.is_empty();
        for task in tasks {
            let done = self.disk.perform(task, self.node.segment_bytes(&task));
            if let Some(event) = done {
                self.handle(task.done(event.result));
            }
        }
        self.flush_links();
        self.node.take_sendable(&mut self.outbox);
        let mut send = std::mem::take(&mut self.outbox.send);
        for connection in send.drain(..) {
            self.send(connection);
        }
        self.outbox.send = send;
        self.state.again.append(&mut self.outbox.read);
        while let Some(connection) = self.outbox.close.pop() {
            if let Some(socket) = self.sockets.remove(connection) {
                debug!(connection = connection.0, "closed");
                socket.close(&mut self.state.scratch);
            }
        }
        asked
    }

    fn send(&mut self, connection: ConnectionId) {
        let Some(socket) = self.sockets.get(connection) else {
            return;
        };
        let bytes = self.node.output(connection);
        if socket.blocked || bytes.is_empty() {
            return;
        }
        match socket.write(bytes) {
            Ok(0) => {}
            Ok(bytes) => {
                self.handle(Input::Sent { connection, bytes });
            }
            Err(error) => {
                debug!(connection = connection.0, %error, "the connection broke");
                self.broken(connection);
            }
        }
    }

    fn writable(&mut self, connection: ConnectionId) {
        if let Some(socket) = self.sockets.get(connection)
            && socket.blocked
        {
            socket.blocked = false;
            self.send(connection);
        }
    }
}

/// Messages, and the end.
impl Shell {
    fn read_messages(&mut self) {
        while let Ok(message) = self.inbox.try_recv() {
            match message {
                Message::Disk(done, took) => {
                    if let Some(input) = self.disk.done(done, took) {
                        self.handle(input);
                    }
                }
                Message::Observe(answer) => {
                    // Whoever asked may have given up.
                    let _ = answer.send(self.snapshot());
                }
                Message::Answered(ask, answer) => {
                    self.tell_agent(cluster::agent::Input::Answered(ask, answer));
                }
                Message::Operate(command, answer) => {
                    let now = self.now;
                    self.with_plane(|plane| plane.operate(now, command, answer));
                }
                Message::Survey(answer) => {
                    if let Some(plane) = &self.plane {
                        // As above.
                        let _ = answer.send(plane.survey());
                    }
                }
                Message::Drain => self.leave(),
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        let plane = self.plane.as_deref();
        let turns = self.state.turns;
        Snapshot::of(&self.node, &self.disk, plane, turns, self.clock.now())
    }

    fn drain(&mut self) {
        info!("draining: nobody is accepted any more");
        self.listeners.clear();
        self.node.drain();
        self.state.drain_until = Some(self.clock.elapsed() + DRAIN_LIMIT);
    }

    /// Ends the log, and has the disk finish it.
    ///
    /// Returns whether everything is on disk, its end last. An error that was got over before is none.
    pub fn seal(&mut self) -> bool {
        let errors = self.disk.stats.errors;
        // Twice: see `Store::seal`.
        let sealed = (0..2).all(|_| {
            self.node.seal();
            self.settle()
        });
        let is_written = self.disk.stats.errors == errors && self.node.is_all_synced();
        sealed && is_written && self.node.is_sealed()
    }

    /// Has the disk do what the node wants, without serving anybody: before the first connection, and after
    /// the last. Returns whether it was done in time.
    pub fn settle(&mut self) -> bool {
        let mut events = Events::with_capacity(16);
        let until = self.clock.elapsed() + SETTLE_LIMIT;
        loop {
            // What is done at once may let the node ask for more.
            let asked = self.flush();
            if !asked && self.disk.is_quiet() {
                return true;
            }
            if self.clock.elapsed() > until {
                return false;
            }
            if self.disk.is_quiet() {
                continue;
            }
            // A failing poller would only make this a busy loop until the limit.
            let _ = poll(&mut self.poll, &mut events, Duration::from_millis(10));
            self.read_messages();
        }
    }

    /// The addresses that are listened on, for people.
    pub fn addresses(&self) -> String {
        let addresses: Vec<_> = self
            .listeners
            .iter()
            .map(|l| l.address.to_string())
            .collect();
        addresses.join(", ")
    }

    fn is_over(&self) -> bool {
        let Some(until) = self.state.drain_until else {
            return false;
        };
        self.node.is_drained() || self.clock.elapsed() > until
    }
}

#[cfg(test)]
mod tests;

fn poll(poll: &mut Poll, events: &mut Events, timeout: Duration) -> io::Result<()> {
    match poll.poll(events, Some(timeout)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        result => result,
    }
}
