//! Every connection waits for the same session.
//!
//! Each connection opens the one session with a hold, waiting in line; whoever gets it gives it back at
//! once and queues again. The hand-over latency runs from the moment the holder sends its release to
//! the moment the next holder's reply is read, both seen by one thread with one clock. Fairness is
//! watched too: how often each connection had its turn, and whether anyone was granted the session before
//! somebody who had asked clearly earlier.

use std::collections::VecDeque;

use hdrhistogram::Histogram;

use super::Traffic;
use crate::args::{BenchArgs, Ending};
use crate::keys::KeyNames;
use crate::latency::{Kind, histogram};
use crate::reply::Reply;
use crate::request::{Template, append_bulk, append_number};

/// Asking for the hold.
const OPEN: Kind = 0;
/// Giving it back.
const END: Kind = 1;
/// The one session: its key number.
pub const SESSION: u64 = 0;

/// All connections in line for one session.
#[derive(Clone, Debug)]
pub struct Contention {
    names: KeyNames,
    ending: Ending,
    open: Template,
    end: Template,
    /// The fence of the connection that holds, until it gives back.
    holder: Option<(usize, i64)>,
    released_ns: Option<u64>,
    /// Who waits, in the order of asking, with the time.
    line: VecDeque<(usize, u64)>,
    /// What is reported.
    pub outcome: Fairness,
}

/// What the hand-overs were like.
#[derive(Clone, Debug)]
pub struct Fairness {
    /// From release to the next grant, in nanoseconds.
    pub hand_over: Histogram<u64>,
    /// Grants to each connection.
    pub grants: Vec<u64>,
    /// Grants that came before a request that had been sent earlier.
    pub overtakings: u64,
    /// By how much the worst of these overtook, in nanoseconds. Requests sent within one turn of the
    /// generator reach the server in any order, so small values are not the server's doing.
    pub worst_overtaking_ns: u64,
}

impl Fairness {
    fn new(connections: usize) -> Self {
        Self {
            hand_over: histogram(),
            grants: vec![0; connections],
            overtakings: 0,
            worst_overtaking_ns: 0,
        }
    }
}

impl Contention {
    /// The traffic of the run's only worker.
    pub fn new(args: &BenchArgs, ending: Ending) -> Self {
        let names = args.key_names();
        let (hold, wait) = (args.hold.to_string(), args.wait.to_string());
        let options = ["HOLD", &hold, "WAIT", &wait, "CREATE"];
        let end = match ending {
            Ending::Release => Template::new(&names, &["SESSION.RELEASE"], 1, &[]),
            Ending::Commit => Template::new(&names, &["SESSION.COMMIT"], 5, &[]),
        };
        Self {
            open: Template::new(&names, &["SESSION.OPEN"], 0, &options),
            holder: None,
            released_ns: None,
            line: VecDeque::with_capacity(args.connections()),
            outcome: Fairness::new(args.connections()),
            names,
            ending,
            end,
        }
    }

    fn write_end(&self, fence: i64, out: &mut Vec<u8>) {
        self.end.begin(&self.names, SESSION, out);
        append_number(fence, out);
        if self.ending == Ending::Commit {
            for argument in [b"SET".as_slice(), b"1", b"data", b"changed"] {
                append_bulk(argument, out);
            }
        }
        self.end.end(out);
    }

    /// `connection` has left the line, granted or not; answers how long the first in line had been
    /// waiting before it asked, if that was somebody else.
    fn leave_line(&mut self, connection: usize) -> Option<u64> {
        let place = self.line.iter().position(|(who, _)| *who == connection)?;
        let (_, asked_ns) = self.line.remove(place)?;
        let (_, first_asked_ns) = self.line.front().filter(|_| place > 0)?;
        Some(asked_ns - first_asked_ns)
    }

    fn grant(&mut self, connection: usize, fence: i64, now: u64) {
        self.outcome.grants[connection] += 1;
        if let Some(overtaken_ns) = self.leave_line(connection) {
            self.outcome.overtakings += 1;
            let worst = &mut self.outcome.worst_overtaking_ns;
            *worst = overtaken_ns.max(*worst);
        }
        if let Some(released_ns) = self.released_ns.take() {
            self.outcome
                .hand_over
                .saturating_record((now - released_ns).max(1));
        }
        self.holder = Some((connection, fence));
    }
}

impl Traffic for Contention {
    fn kinds(&self) -> &'static [&'static str] {
        &["open (waiting in line)", "release"]
    }

    fn next_request(&mut self, connection: usize, now: u64, out: &mut Vec<u8>) -> Option<Kind> {
        if let Some((_, fence)) = self.holder.take_if(|(holder, _)| *holder == connection) {
            self.released_ns = Some(now);
            self.write_end(fence, out);
            return Some(END);
        }
        self.line.push_back((connection, now));
        self.open.append(&self.names, SESSION, out);
        Some(OPEN)
    }

    fn take_reply(&mut self, connection: usize, kind: Kind, now: u64, reply: &Reply<'_>) {
        if kind != OPEN {
            return;
        }
        match reply.number {
            Some(fence) => self.grant(connection, fence, now),
            None => drop(self.leave_line(connection)),
        }
    }

    fn is_unfinished(&self, connection: usize) -> bool {
        self.holder.is_some_and(|(holder, _)| holder == connection)
    }

    fn begin_measuring(&mut self) {
        self.outcome = Fairness::new(self.outcome.grants.len());
    }
}
