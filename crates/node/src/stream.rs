//! The bytes of one connection: what has come and is not yet run, what is written and not yet sent.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use command::Settings;
use model::{ConnectionId, Position};
use resp::Parser;
use shard::Attempt;

use crate::CopyId;

/// Whether a connection's next command may run.
///
/// ```text
///   Ready ──command waits──► Waiting ──woken, or nobody is there any more──► Ready
///     ├──log is busy──► WaitingForLog ──disk event──► Ready
///     ├──copy is not able to answer──► WaitingForCopy ──something has happened, or now and then──► Ready
///     └──CLIENT PAUSE──► Paused ──pause is over──► Ready
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Yes.
    Ready,
    /// No: the first command of `input` waits for the shard.
    Waiting,
    /// No: the first command of `input` waits for the log.
    WaitingForLog,
    /// No: the first command of `input` waits for a copy that does not answer at the moment.
    WaitingForCopy,
    /// No: clients are paused.
    Paused,
}

/// Buffers above this are given back when they are empty.
pub(crate) const KEPT_BYTES: usize = 64 << 10;

/// See the module.
///
/// Invariants: `sent <= output.len()`; `gates` ascend, those of one copy in position too.
pub(crate) struct Stream {
    pub(crate) connection: ConnectionId,
    pub(crate) parser: Parser,
    /// Received, not yet run; begins with the command that waits, if one does.
    pub(crate) input: Vec<u8>,
    /// A command that waits and was taken out of what was received, to be put before it again.
    pub(crate) kept: Vec<u8>,
    pub(crate) output: Vec<u8>,
    sent: usize,
    /// Output from this byte on may leave when this position of this copy is committed.
    gates: VecDeque<(usize, CopyId, Position)>,
    pub(crate) state: State,
    /// How the first command of `input` runs.
    pub(crate) attempt: Attempt,
    /// Since when it waits for a copy, by the monotonic clock.
    pub(crate) waits_since_us: Option<u64>,
    /// On the node's list of connections that may have something to send.
    pub(crate) dirty: bool,
    /// The shell was told not to read, and not yet that it may.
    pub(crate) unread: bool,
    /// Nothing more will come.
    pub(crate) ended: bool,
    /// What has not come yet is all that will.
    pub(crate) ending: bool,
    /// See [`Settings::read_ahead_bytes`], [`Settings::line_ahead_bytes`] and [`Settings::output_pause_bytes`].
    read_ahead_bytes: usize,
    line_ahead_bytes: usize,
    output_pause_bytes: usize,
    /// Bytes of its buffers, as the node has counted them.
    pub(crate) counted: usize,
}

impl Stream {
    pub(crate) fn new(connection: ConnectionId, settings: &Settings) -> Self {
        Self {
            connection,
            parser: Parser::default(),
            input: Vec::new(),
            kept: Vec::new(),
            output: Vec::new(),
            sent: 0,
            gates: VecDeque::new(),
            state: State::Ready,
            attempt: Attempt::First,
            waits_since_us: None,
            dirty: false,
            unread: false,
            ended: false,
            ending: false,
            read_ahead_bytes: settings.read_ahead_bytes,
            line_ahead_bytes: settings.line_ahead_bytes,
            output_pause_bytes: settings.output_pause_bytes,
            counted: 0,
        }
    }

    /// Bytes that are written and not yet sent.
    pub(crate) fn backlog(&self) -> usize {
        self.output.len() - self.sent
    }

    /// The bytes that [`Stream::backlog`] counts.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// Whether so much is left unread that further commands wait.
    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        self.backlog() > self.output_pause_bytes
    }

    /// Whether its next command may run. One that was waited for runs whatever is left unread: it may have a turn for which others wait.
    pub(crate) fn may_run(&self) -> bool {
        self.state == State::Ready && (!self.is_paused() || self.attempt != Attempt::First)
    }

    /// Whether more may be received: as long as commands run, or few bytes wait for one that does not. More of them behind one that stands in a line: its
    /// place is not kept for somebody whose end could not be seen.
    pub(crate) fn takes_input(&self) -> bool {
        let most = match self.state {
            State::Waiting => self.line_ahead_bytes,
            State::Ready | State::WaitingForLog | State::WaitingForCopy | State::Paused => {
                self.read_ahead_bytes
            }
        };
        self.may_run() || self.input.len() < most
    }

    /// Nothing to send, and nothing to run that does not wait for others.
    pub(crate) fn is_quiet(&self) -> bool {
        let has_work = match self.state {
            State::Ready => !self.input.is_empty(),
            State::WaitingForLog | State::WaitingForCopy => true,
            State::Waiting | State::Paused => false,
        };
        self.backlog() == 0 && !has_work
    }

    /// Output from byte `start` on depends on `position`.
    #[inline]
    pub(crate) fn gate(&mut self, start: usize, copy: CopyId, position: Position) {
        let later =
            |&(_, gated, last): &(usize, CopyId, Position)| gated != copy || last < position;
        if self.gates.back().is_none_or(later) {
            self.gates.push_back((start, copy, position));
        }
    }

    /// Whether anything that is written waits for what this copy has behind a position.
    pub(crate) fn waits_for(&self, copy: CopyId, behind: Position) -> bool {
        let mut gates = self.gates.iter();
        gates.any(|&(_, gated, at)| gated == copy && at > behind)
    }

    /// What may be sent now.
    #[inline]
    pub(crate) fn sendable(&mut self, committed: impl Fn(CopyId) -> Position) -> &[u8] {
        while self
            .gates
            .front()
            .is_some_and(|&(_, copy, position)| position <= committed(copy))
        {
            self.gates.pop_front();
        }
        let end = self
            .gates
            .front()
            .map_or(self.output.len(), |&(start, ..)| start.max(self.sent));
        &self.output[self.sent..end]
    }

    /// The first `bytes` of what was sendable are sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        assert!(self.sent <= self.output.len(), "more was sent than written");
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
            // What is gated lies before the end, and everything before the end was sent.
            assert!(self.gates.is_empty(), "sent what was not committed");
        }
    }

    /// Forgets the first `bytes` of the input.
    pub(crate) fn consume(&mut self, bytes: usize) {
        if bytes == self.input.len() {
            self.input.clear();
            if self.input.capacity() > KEPT_BYTES {
                self.input = Vec::new();
            }
        } else {
            self.input.drain(..bytes);
        }
    }

    /// Gives empty buffers back.
    pub(crate) fn give_back(&mut self) {
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        if self.output.is_empty() {
            self.output = Vec::new();
        }
    }

    /// Puts the command that was taken out back before the input.
    pub(crate) fn put_back(&mut self) {
        if !self.kept.is_empty() {
            let mut input = core::mem::take(&mut self.kept);
            input.append(&mut self.input);
            self.input = input;
        }
    }
}
