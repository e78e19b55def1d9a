//! One worker: a single-threaded readiness loop over its connections.
//!
//! It shares a small machine with the server, so each request should cost little more than the two
//! system calls that carry it: one `send` with all the requests a connection may have, one `recv` with
//! all the replies there are, one clock reading for both. Sockets are registered once, edge-triggered,
//! for reading and writing; a `recv` that fills less than the buffer has emptied the socket, so no call
//! is spent on learning that there is no more.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, Waiting};
use super::{Limit, Pace, Phase, Plan, Shared, share};
use crate::clock::{Clock, MILLISECOND_NS};
use crate::latency::Tally;
use crate::process;
use crate::random::Random;
use crate::reply::ReplyKind;
use crate::schedule::Schedule;
use crate::traffic::Traffic;

/// Bytes that one `recv` may bring.
const BUFFER_BYTES: usize = 256 * 1024;
/// Events taken from one poll.
const EVENTS: usize = 1024;
/// The longest sleep, so that a new phase is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);
/// Connections up to which spinning reads the sockets directly, without asking the poll first.
const DIRECT_READS: usize = 4;

/// What a worker hands back.
#[derive(Debug)]
pub struct Finished<T> {
    pub index: usize,
    pub traffic: T,
    pub tally: Tally,
    /// When the last reply came.
    pub at_ns: u64,
    /// CPU time of the worker since measuring began, in nanoseconds.
    pub cpu_ns: u64,
    /// Connections that broke.
    pub lost: usize,
}

/// A thread's connections and what it sends on them.
///
/// Invariants: `in_flight` is the sum of the connections' `waiting`; in an open loop a connection
/// stands in `free` once for each request that it could still carry.
#[derive(Debug)]
pub struct Worker<'a, T> {
    plan: &'a Plan,
    clock: Clock,
    shared: &'a Shared,
    index: usize,
    poll: Poll,
    connections: Vec<Connection>,
    traffic: T,
    tally: Tally,
    buffer: Box<[u8]>,
    request: Vec<u8>,
    /// The open loop's clockwork; `None` in a closed one.
    schedule: Option<Schedule>,
    free: VecDeque<usize>,
    /// Whether requests are due that no connection was free for.
    behind: bool,
    phase: Phase,
    /// Requests that may still be sent.
    left: u64,
    in_flight: usize,
    answered: u64,
    failed: u64,
    lost: usize,
    measured_from_ns: u64,
    stopped_ns: u64,
    last_reply_ns: u64,
    cpu_start_ns: u64,
}

impl<'a, T: Traffic> Worker<'a, T> {
    /// A worker over connected `streams`.
    pub fn new(
        plan: &'a Plan,
        clock: Clock,
        shared: &'a Shared,
        index: usize,
        traffic: T,
        streams: Vec<std::net::TcpStream>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(streams.len());
        for (token, stream) in streams.into_iter().enumerate() {
            let mut connection = Connection::new(stream, plan.depth)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut connection.stream, Token(token), interest)?;
            connections.push(connection);
        }
        let free = (0..plan.depth).flat_map(|_| 0..connections.len()).collect();
        Ok(Self {
            plan,
            clock,
            shared,
            index,
            poll,
            connections,
            tally: Tally::new(traffic.kinds().len()),
            traffic,
            buffer: vec![0; BUFFER_BYTES].into(),
            request: Vec::with_capacity(BUFFER_BYTES),
            schedule: None,
            free,
            behind: false,
            phase: shared.phase(),
            left: u64::MAX,
            in_flight: 0,
            answered: 0,
            failed: 0,
            lost: 0,
            measured_from_ns: 0,
            stopped_ns: 0,
            last_reply_ns: 0,
            cpu_start_ns: 0,
        })
    }

    /// Sends and receives until the phase or the traffic ends.
    pub fn run(mut self) -> Finished<T> {
        self.start();
        let mut events = Events::with_capacity(EVENTS);
        while !self.is_finished() {
            self.take_phase();
            self.send_due();
            self.publish();
            self.serve(&mut events);
        }
        self.publish();
        self.count_unanswered();
        Finished {
            index: self.index,
            cpu_ns: own_cpu_ns().saturating_sub(self.cpu_start_ns),
            at_ns: self.last_reply_ns,
            lost: self.lost,
            traffic: self.traffic,
            tally: self.tally,
        }
    }

    fn start(&mut self) {
        let now = self.clock.now_ns();
        if self.phase == Phase::Measure {
            self.begin_measuring(now);
        }
        match self.plan.pace {
            Pace::Closed => (0..self.connections.len()).for_each(|index| self.refill(index, now)),
            Pace::Open {
                per_second,
                arrivals,
            } => {
                let workers = self.shared.counters.len();
                let random = Random::stream(self.plan.seed, self.index as u64);
                let rate = per_second / workers as f64;
                self.schedule = Some(Schedule::new(rate, arrivals, now, random));
            }
        }
    }

    fn begin_measuring(&mut self, now: u64) {
        self.measured_from_ns = now;
        self.tally = Tally::new(self.traffic.kinds().len());
        self.traffic.begin_measuring();
        self.cpu_start_ns = own_cpu_ns();
        if let Limit::Requests(total) = self.plan.limit {
            let total = usize::try_from(total).unwrap_or(usize::MAX);
            self.left = share(total, self.shared.counters.len(), self.index) as u64;
        }
    }

    fn take_phase(&mut self) {
        let phase = self.shared.phase();
        if phase == self.phase {
            return;
        }
        self.phase = phase;
        let now = self.clock.now_ns();
        match phase {
            Phase::Warmup => {}
            Phase::Measure => self.begin_measuring(now),
            Phase::Stop => self.stopped_ns = now,
        }
    }

    fn is_finished(&self) -> bool {
        if self.phase == Phase::Stop {
            let over = self.clock.now_ns() > self.stopped_ns + self.plan.drain_ns;
            return over || (self.in_flight == 0 && !self.is_due(self.stopped_ns));
        }
        let more_to_come = self.schedule.is_some() && self.left > 0;
        self.lost == self.connections.len() || (self.in_flight == 0 && !more_to_come)
    }

    /// Whether the schedule has a request that was due by `time_ns`.
    fn is_due(&self, time_ns: u64) -> bool {
        let due = |schedule: &Schedule| schedule.due_ns() <= time_ns;
        self.left > 0
            && self.lost < self.connections.len()
            && self.schedule.as_ref().is_some_and(due)
    }

    /// Sends what the schedule says is due. After the end, that is what was due before it.
    fn send_due(&mut self) {
        if self.schedule.is_none() {
            return;
        }
        let now = self.clock.now_ns();
        let until = if self.phase == Phase::Stop {
            self.stopped_ns
        } else {
            now
        };
        let on_time = !self.behind;
        self.behind = false;
        while self.is_due(until) {
            let Some(index) = self.free.pop_front() else {
                self.behind = true;
                return;
            };
            if self.connections[index].open {
                self.send_scheduled(index, until, now, on_time);
            }
        }
    }

    /// Sends one due request on this connection, and with it the following ones if they are due too
    /// and the same connection is the next free one.
    fn send_scheduled(&mut self, index: usize, until: u64, now: u64, on_time: bool) {
        self.request.clear();
        while let Some(due) = self.schedule.as_ref().map(Schedule::due_ns) {
            if on_time && due >= self.measured_from_ns {
                self.tally
                    .lag
                    .saturating_record(now.saturating_sub(due).max(1));
            }
            if !self.write_request(index, due) {
                self.left = 0;
                break;
            }
            if let Some(schedule) = &mut self.schedule {
                schedule.advance();
            }
            if self.free.front() != Some(&index) || !self.is_due(until) {
                break;
            }
            self.free.pop_front();
        }
        self.send(index);
    }

    /// Closed loop: sends a connection's next requests, up to its depth.
    fn refill(&mut self, index: usize, now: u64) {
        if !self.connections[index].open {
            return;
        }
        self.request.clear();
        for _ in 0..self.plan.depth {
            if !self.write_request(index, now) {
                break;
            }
        }
        self.send(index);
    }

    /// Writes the connection's next request into the buffer, if there is one.
    fn write_request(&mut self, index: usize, due_ns: u64) -> bool {
        let is_over = self.left == 0 || (self.phase == Phase::Stop && self.schedule.is_none());
        if is_over && !self.traffic.is_unfinished(index) {
            return false;
        }
        let next = self.traffic.next_request(index, due_ns, &mut self.request);
        let Some(kind) = next else {
            return false;
        };
        self.left = self.left.saturating_sub(1);
        self.in_flight += 1;
        let waiting = &mut self.connections[index].waiting;
        waiting.push_back(Waiting { due_ns, kind });
        true
    }

    fn send(&mut self, index: usize) {
        if self.request.is_empty() {
            return;
        }
        if let Err(error) = self.connections[index].send(&self.request) {
            self.lose(index, &error.to_string());
        }
    }

    /// Waits for something to happen and takes it in.
    fn serve(&mut self, events: &mut Events) {
        if self.plan.spin && self.connections.len() <= DIRECT_READS {
            (0..self.connections.len()).for_each(|index| self.receive(index, false));
            return;
        }
        let timeout = self.timeout();
        match self.poll.poll(events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            Err(error) => self.lose_all(&error.to_string()),
        }
        for event in events.iter() {
            let index = event.token().0;
            if event.is_writable() {
                self.flush(index);
            }
            if event.is_readable() {
                self.receive(index, event.is_read_closed());
            }
        }
    }

    /// How long the poll may sleep. It counts in milliseconds, so the last one before a request is due
    /// is spent polling: waking late would look like the server's latency.
    fn timeout(&self) -> Duration {
        let Some(schedule) = &self.schedule else {
            return if self.plan.spin {
                Duration::ZERO
            } else {
                LONGEST_SLEEP
            };
        };
        if self.plan.spin {
            return Duration::ZERO;
        }
        if self.behind || self.left == 0 || self.phase == Phase::Stop {
            return Duration::from_millis(1);
        }
        let wait_ms = schedule.due_ns().saturating_sub(self.clock.now_ns()) / MILLISECOND_NS;
        Duration::from_millis(wait_ms.saturating_sub(1)).min(LONGEST_SLEEP)
    }

    fn flush(&mut self, index: usize) {
        if self.connections[index].open
            && let Err(error) = self.connections[index].flush()
        {
            self.lose(index, &error.to_string());
        }
    }

    /// Reads what there is. A read that leaves room in the buffer has emptied the socket, unless the
    /// server has closed: then the end is still to be read, and no further event will say so.
    fn receive(&mut self, index: usize, is_closed: bool) {
        while self.connections[index].open {
            match self.connections[index].stream.read(&mut self.buffer) {
                Ok(0) => self.lose(index, "the server closed the connection"),
                Ok(length) => {
                    self.take_replies(index, length);
                    if length < self.buffer.len() && !is_closed {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.lose(index, &error.to_string()),
            }
        }
    }

    /// Parses what the buffer holds, then sends what the replies make room for.
    fn take_replies(&mut self, index: usize, length: usize) {
        let now = self.clock.now_ns();
        let Connection {
            reader, waiting, ..
        } = &mut self.connections[index];
        let (tally, traffic, free) = (&mut self.tally, &mut self.traffic, &mut self.free);
        let (mut answered, mut failed, mut unexpected) = (0, 0, false);
        let from = self.measured_from_ns;
        let is_open_loop = self.schedule.is_some();
        let parsed = reader.feed(&self.buffer[..length], |reply| {
            let Some(Waiting { due_ns, kind }) = waiting.pop_front() else {
                unexpected = true;
                return;
            };
            answered += 1;
            if reply.kind == ReplyKind::Error {
                failed += 1;
                tally.count_error(reply.error);
            } else if due_ns >= from {
                tally.record(kind, now - due_ns);
                tally.nils += u64::from(reply.kind == ReplyKind::Nil);
            }
            traffic.take_reply(index, kind, now, reply);
            if is_open_loop {
                free.push_back(index);
            }
        });
        self.answered += answered;
        self.failed += failed;
        self.in_flight -= answered as usize;
        self.last_reply_ns = now;
        if parsed.is_err() || unexpected {
            self.lose(index, "the server's bytes are not replies");
        } else if !is_open_loop && self.connections[index].waiting.is_empty() {
            self.refill(index, now);
        }
    }

    fn lose_all(&mut self, reason: &str) {
        for index in 0..self.connections.len() {
            if self.connections[index].open {
                self.lose(index, reason);
            }
        }
    }

    /// A connection is of no more use.
    fn lose(&mut self, index: usize, reason: &str) {
        self.tally
            .count_error(format!("CONNECTION lost: {reason}").as_bytes());
        self.lost += 1;
        self.connections[index].open = false;
        self.count_unanswered_of(index);
    }

    /// Open loop: what was due before the end counts with its age, sent or not, so that a server cannot
    /// improve its figures by not answering.
    fn count_unanswered(&mut self) {
        if self.schedule.is_none() {
            return;
        }
        (0..self.connections.len()).for_each(|index| self.count_unanswered_of(index));
        let until = if self.phase == Phase::Stop {
            self.stopped_ns
        } else {
            0
        };
        let now = self.clock.now_ns();
        while let Some(schedule) = &mut self.schedule
            && self.left > 0
            && schedule.due_ns() <= until
        {
            let due = schedule.due_ns();
            schedule.advance();
            self.request.clear();
            let Some(kind) = self.traffic.next_request(0, due, &mut self.request) else {
                return;
            };
            self.left -= 1;
            if due >= self.measured_from_ns {
                self.tally.unanswered += 1;
                self.tally.record(kind, now.saturating_sub(due));
            }
        }
    }

    /// Requests without a reply have waited at least until now.
    fn count_unanswered_of(&mut self, index: usize) {
        let now = self.clock.now_ns();
        let waiting = std::mem::take(&mut self.connections[index].waiting);
        self.in_flight -= waiting.len();
        for request in waiting {
            if request.due_ns >= self.measured_from_ns {
                self.tally.unanswered += 1;
                self.tally
                    .record(request.kind, now.saturating_sub(request.due_ns));
            }
        }
    }

    fn publish(&self) {
        let counters = &self.shared.counters[self.index];
        counters.answered.store(self.answered, Ordering::Relaxed);
        counters.failed.store(self.failed, Ordering::Relaxed);
    }
}

/// CPU time of this thread, or 0 where the system does not tell: then the report says 0 too.
fn own_cpu_ns() -> u64 {
    process::own_cpu_ns().unwrap_or(0)
}
