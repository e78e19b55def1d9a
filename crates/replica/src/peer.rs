//! How a primary brings one standby to where it is itself, and keeps it there: with bounded memory, whatever the standby does.
//!
//! ```text
//!              its end is in the backlog                    its next batch has left the backlog
//!   Probing ────────────────────────────► Streaming ───────────────────────────────────────────┐
//!      │                                      ▲                                                │
//!      ├── it is before it ─► Gathering ──────┤ what has changed since goes as one batch       ▼
//!      ├── it is not: other log, too old ─────┼──────────────────────────────────────────► Joining
//!      │                                      ├── every chunk of a snapshot is installed ───────┤
//!      └── it has more ─► Asking ─ what? ─────┘                                                │
//!                            └── it cannot say ────────────────────────────────────────────────┘
//! ```

mod leaping;
mod mending;

use alloc::vec::Vec;

use model::{Member, Now, Position};

use crate::log::{Batch, Log};
use crate::wire::{Ack, Append, BATCH_HEADER_BYTES, Batches, Body, Chunk};
use crate::{Effect, Outbox, Post, Settings, Want};
use leaping::Leaping;
use mending::Mending;

/// What a primary knows when it turns to a standby.
pub(crate) struct View<'a> {
    pub(crate) now: Now,
    pub(crate) post: Post,
    pub(crate) epoch: u32,
    pub(crate) settings: &'a Settings,
    pub(crate) log: &'a Log,
    pub(crate) base: Position,
    pub(crate) commit: Position,
    /// Whether this standby may be told to give up what it has.
    pub(crate) may_reset: bool,
    /// Whether batches may be proposed.
    pub(crate) serves: bool,
}

/// See the module.
///
/// Invariants: `acked` never goes back; `sent - confirmed` is at most the window and one message.
#[derive(Debug)]
pub(crate) struct Peer {
    member: Member,
    /// Up to where it counts: persisted there; `None` until it is synced to this epoch.
    acked: Option<Position>,
    /// When what it has acknowledged last was sent: from then on its lease counts.
    lease_us: Option<u64>,
    /// The end of its log, as last told.
    have: Position,
    /// Up to where it has said that it has persisted.
    confirmed: Position,
    /// Up to where batches were sent.
    sent: Position,
    /// The latest `sent_us` that it has answered, and which of its answers was the last.
    heard: (u64, u64),
    /// When it was last begun anew from `have`.
    rewound_us: u64,
    /// Since when it owes an answer.
    owing_us: u64,
    /// When it is to hear something, if only a heartbeat.
    beat_us: u64,
    flow: Flow,
    /// Attempts to join, or to be mended, so far.
    attempts: u32,
    /// What it has touched that does not count, and streams until it is whole.
    mending: Option<Mending>,
    /// So often it has said something else since it was asked to be mended.
    unanswered: u32,
    /// What leads from its end to where the backlog goes on.
    leaping: Option<Leaping>,
    /// An end from which the owner cannot say what leads on.
    ungathered: Option<Position>,
}

#[derive(Debug)]
enum Flow {
    Probing,
    /// The owner is asked what has changed behind this, its end.
    Gathering(Position),
    /// It is asked what it has touched behind this, where others have all that is needed of it.
    Asking {
        parting: Position,
        needed: Position,
    },
    Streaming,
    Joining(Joining),
}

#[derive(Debug)]
struct Joining {
    base: Position,
    /// What others have of it that is needed; `None` where that is not known.
    needed: Option<Position>,
    /// It has said that it is empty and waits.
    begun: bool,
    step: u32,
    cursor: u64,
    /// A chunk is being read, or on its way, since then.
    reading_us: Option<u64>,
    /// That chunk, once it is read: whatever is lost, this one is sent again. Read again it might end elsewhere, as the log has gone on, and
    /// which of the two was installed would not be known.
    chunk: Option<Kept>,
}

/// A chunk that is sent until it is installed.
#[derive(Debug)]
struct Kept {
    at: Position,
    bytes: Vec<u8>,
    /// Where to go on behind it; `None` at the end.
    next: Option<u64>,
}

impl Peer {
    pub(crate) fn new(member: Member) -> Self {
        Self {
            member,
            acked: None,
            lease_us: None,
            have: Position::ZERO,
            confirmed: Position::ZERO,
            sent: Position::ZERO,
            heard: (0, 0),
            rewound_us: 0,
            owing_us: 0,
            beat_us: 0,
            flow: Flow::Probing,
            attempts: 0,
            mending: None,
            unanswered: 0,
            leaping: None,
            ungathered: None,
        }
    }

    pub(crate) fn member(&self) -> Member {
        self.member
    }

    /// Whether it has answered in this epoch.
    pub(crate) fn is_heard(&self) -> bool {
        self.heard.1 > 0
    }

    pub(crate) fn heard_us(&self) -> u64 {
        self.heard.0
    }

    pub(crate) fn acked(&self) -> Option<Position> {
        self.acked
    }

    pub(crate) fn lease_us(&self) -> Option<u64> {
        self.lease_us
    }

    pub(crate) fn next_us(&self, settings: &Settings) -> u64 {
        let owed = self.confirmed < self.sent;
        let mending_us = self.mending.as_ref().map_or(u64::MAX, Mending::next_us);
        let due_us = match &self.flow {
            Flow::Streaming if owed => self.beat_us.min(self.owing_us + settings.resend_us),
            Flow::Probing
            | Flow::Gathering(_)
            | Flow::Asking { .. }
            | Flow::Streaming
            | Flow::Joining(_) => self.beat_us,
        };
        due_us.min(mending_us)
    }

    /// Takes an acknowledgement.
    pub(crate) fn on_ack(&mut self, ack: Ack, view: &View<'_>) {
        let order = (ack.echo_us, ack.number);
        if order <= self.heard || ack.attempt > self.attempts {
            return;
        }
        (self.heard, self.have) = (order, ack.have);
        if ack.attempt < self.attempts {
            self.on_ack_before_join(view);
            return;
        }
        if ack.synced {
            self.acked = self.acked.max(Some(ack.persisted.min(view.log.last())));
            self.lease_us = self.lease_us.max(Some(ack.echo_us));
            self.mending = None;
        }
        if ack.persisted > self.confirmed {
            (self.confirmed, self.owing_us) = (ack.persisted, view.now.mono_us);
        }
        let confirmed = self.confirmed;
        self.leaping.take_if(|leap| leap.last <= confirmed);
        let filled = ack.installed || ack.synced;
        let may_gather = ack.whole && ack.leaps && self.may_gather(ack.have, view);
        match &mut self.flow {
            Flow::Probing if ack.whole && view.log.reaches(ack.have) => {
                self.stream_from(ack.have, view);
            }
            Flow::Probing if may_gather => self.flow = Flow::Gathering(ack.have),
            Flow::Probing => self.begin_mending(ack.have, ack.whole, view),
            Flow::Gathering(_) | Flow::Asking { .. } => {}
            Flow::Streaming if !ack.whole && !filled && self.mending.is_none() => {
                self.begin_joining(view);
            }
            // A gap that a message sent before the last new beginning has shown is mended already.
            Flow::Streaming if ack.gap && ack.echo_us > self.rewound_us => self.rewind(view),
            Flow::Streaming => {}
            Flow::Joining(_) if filled => self.stream_from(ack.have, view),
            Flow::Joining(joining) if ack.step < joining.step => self.begin_joining(view),
            Flow::Joining(joining) => joining.on_ack(ack),
        }
    }

    /// It does not know of the last time that it was told to join. Until it does, it counts for nothing: that message may still arrive,
    /// and empty it.
    fn on_ack_before_join(&mut self, view: &View<'_>) {
        if let Flow::Asking { .. } = self.flow {
            return self.on_unanswered(view);
        }
        let knew = match &self.flow {
            Flow::Joining(joining) => joining.begun,
            Flow::Asking { .. } => false,
            Flow::Probing | Flow::Gathering(_) | Flow::Streaming => true,
        };
        // It knew, and has forgotten: it has started again.
        if knew {
            self.begin_joining(view);
        }
    }

    fn stream_from(&mut self, position: Position, view: &View<'_>) {
        self.flow = Flow::Streaming;
        self.sent = position;
        (self.rewound_us, self.owing_us) = (view.now.mono_us, view.now.mono_us);
        self.beat_us = 0;
    }

    /// Begins anew behind what it has.
    fn rewind(&mut self, view: &View<'_>) {
        if view.log.reaches(self.have) || self.may_leap(self.have) {
            self.stream_from(self.have, view);
        } else {
            self.begin_joining(view);
        }
    }

    fn begin_joining(&mut self, view: &View<'_>) {
        (self.mending, self.leaping) = (None, None);
        if !view.may_reset {
            self.flow = Flow::Probing;
            return;
        }
        self.attempts += 1;
        // What it had acknowledged goes with it; WQ others have what is committed.
        self.acked = None;
        let base = view.log.last();
        (self.sent, self.confirmed, self.beat_us) = (base, base, 0);
        self.flow = Flow::Joining(Joining {
            base,
            needed: view.serves.then_some(view.commit),
            begun: false,
            step: 0,
            cursor: 0,
            reading_us: None,
            chunk: None,
        });
    }

    /// Sends what is due.
    pub(crate) fn pump(&mut self, view: &View<'_>, out: &mut Outbox) {
        match &self.flow {
            Flow::Probing => {}
            Flow::Gathering(end) => self.gather(*end, out),
            Flow::Asking { parting, needed } => self.ask_to_mend(*parting, *needed, view, out),
            Flow::Streaming => self.stream(view, out),
            Flow::Joining(joining) if joining.begun => self.fill(view, out),
            Flow::Joining(_) => self.ask_to_join(view, out),
        }
        let prev = match &self.flow {
            Flow::Probing | Flow::Gathering(_) | Flow::Asking { .. } => view.log.last(),
            Flow::Streaming | Flow::Joining(_) => self.sent,
        };
        if view.now.mono_us >= self.beat_us {
            self.append(prev, Batches::default(), view, out);
        }
    }

    fn append(&mut self, prev: Position, batches: Batches<'_>, view: &View<'_>, out: &mut Outbox) {
        self.beat_us = view.now.mono_us + view.settings.heartbeat_us;
        let body = Body::Append(Append {
            sent_us: view.now.mono_us,
            base: view.base,
            commit: view.commit,
            prev,
            batches,
        });
        view.post.send(out, view.epoch, self.member, body);
    }

    fn stream(&mut self, view: &View<'_>, out: &mut Outbox) {
        let owed = self.confirmed < self.sent;
        if owed && view.now.mono_us >= self.owing_us + view.settings.resend_us {
            self.on_overdue(view);
        }
        if matches!(self.flow, Flow::Streaming) && !self.send_window(view, out) {
            self.begin_joining(view);
        }
        self.mend(view, out);
    }

    /// An answer is overdue. Who has answered nothing since all was sent again is not sent it once more: that would be the whole window each
    /// time, to somebody who may stand still. Heartbeats ask him, and what he answers shows what he lacks.
    fn on_overdue(&mut self, view: &View<'_>) {
        if self.heard.0 > self.rewound_us {
            self.rewind(view);
        } else {
            self.owing_us = view.now.mono_us;
        }
    }

    /// Sends batches, as many as may be on their way. Returns whether the next one could still be found.
    fn send_window(&mut self, view: &View<'_>, out: &mut Outbox) -> bool {
        let log = view.log;
        while self.sent < log.last() {
            if self.under_way(log) >= view.settings.window_bytes as u64 {
                break;
            }
            if self.confirmed >= self.sent {
                self.owing_us = view.now.mono_us;
            }
            if self.may_leap(self.sent) {
                self.leap(view, out);
                continue;
            }
            let Some(tail) = log.after(self.sent) else {
                return false;
            };
            let (bytes, last) = written_up_to(tail, view.settings.message_bytes);
            self.append(self.sent, crate::wire::written(&bytes), view, out);
            self.sent = last.expect("there was a batch behind what was sent");
        }
        log.reaches(self.sent)
    }

    /// Bytes that were sent and not yet said to be persisted. Where the log no longer knows how many, it is more than that: who has not answered for so long
    /// is sent nothing more.
    fn under_way(&self, log: &Log) -> u64 {
        if self.confirmed < self.sent && self.confirmed < log.start() {
            return u64::MAX;
        }
        log.bytes_beyond(self.confirmed) - log.bytes_beyond(self.sent.max(self.confirmed))
    }

    fn ask_to_join(&mut self, view: &View<'_>, out: &mut Outbox) {
        if let Flow::Joining(joining) = &self.flow
            && view.now.mono_us >= self.beat_us
        {
            let (base, attempt) = (joining.base, self.attempts);
            let body = Body::Join {
                base,
                time_ms: view.log.time_at(base),
                attempt,
                needed: joining.needed,
            };
            view.post.send(out, view.epoch, self.member, body);
        }
    }

    /// Batches and chunks in turn, one chunk at a time: none of the batches behind it may overtake a chunk.
    fn fill(&mut self, view: &View<'_>, out: &mut Outbox) {
        let Flow::Joining(joining) = &mut self.flow else {
            return;
        };
        let patience_us = 2 * view.settings.resend_us;
        if joining
            .reading_us
            .is_some_and(|since| view.now.mono_us < since + patience_us)
        {
            return;
        }
        joining.reading_us = Some(view.now.mono_us);
        if joining.chunk.is_some() {
            self.send_chunk(view, out);
            return;
        }
        if self.have < self.sent && self.have >= joining.base && view.log.reaches(self.have) {
            self.sent = self.have;
        }
        let want = Want {
            to: self.member,
            attempt: self.attempts,
            step: joining.step,
            cursor: joining.cursor,
        };
        if self.send_window(view, out) {
            out.effects.push(Effect::Read(want));
        } else {
            self.begin_joining(view);
        }
    }

    /// Sends the chunk that was read, unless batches were sent behind it meanwhile.
    pub(crate) fn on_read(
        &mut self,
        want: Want,
        at: Position,
        (bytes, next): (&[u8], Option<u64>),
        view: &View<'_>,
        out: &mut Outbox,
    ) {
        let Flow::Joining(joining) = &mut self.flow else {
            return;
        };
        let asked = joining.reading_us.is_some() && joining.step == want.step;
        let first = joining.chunk.is_none();
        if asked && first && self.attempts == want.attempt && at >= self.sent {
            let bytes = Vec::from(bytes);
            joining.chunk = Some(Kept { at, bytes, next });
            self.send_chunk(view, out);
        }
    }

    fn send_chunk(&self, view: &View<'_>, out: &mut Outbox) {
        let Flow::Joining(Joining {
            step,
            chunk: Some(kept),
            ..
        }) = &self.flow
        else {
            return;
        };
        let body = Body::Chunk(Chunk {
            at: kept.at,
            attempt: self.attempts,
            step: *step,
            is_last: kept.next.is_none(),
            bytes: &kept.bytes,
        });
        view.post.send(out, view.epoch, self.member, body);
    }

    /// Bytes of the leap, or the part of a snapshot, that is kept to be sent again, and of the keys that are to be written once more.
    pub(crate) fn kept_bytes(&self) -> usize {
        let keys = self.mending.as_ref().map_or(0, Mending::bytes);
        let leap = self.leaping.as_ref().map_or(0, Leaping::bytes);
        let chunk = match &self.flow {
            Flow::Joining(joining) => joining.chunk.as_ref().map_or(0, |kept| kept.bytes.len()),
            Flow::Probing | Flow::Gathering(_) | Flow::Asking { .. } | Flow::Streaming => 0,
        };
        keys + leap + chunk
    }

    /// Whether it is filled anew, or mended.
    pub(crate) fn is_made_whole(&self) -> bool {
        match &self.flow {
            Flow::Joining(_) | Flow::Asking { .. } => true,
            Flow::Probing | Flow::Gathering(_) | Flow::Streaming => self.mending.is_some(),
        }
    }
}

impl Joining {
    fn on_ack(&mut self, ack: Ack) {
        self.begun = true;
        if ack.step == self.step + 1
            && let Some(installed) = self.chunk.take()
        {
            self.step += 1;
            self.cursor = installed.next.unwrap_or(self.cursor);
            self.reading_us = None;
        }
    }
}

/// As many batches as go into one message, at least one if there is any, and the last of them.
pub(crate) fn written_up_to<'a>(
    tail: impl Iterator<Item = &'a Batch>,
    most: usize,
) -> (Vec<u8>, Option<Position>) {
    let (mut bytes, mut last) = (Vec::new(), None);
    for batch in tail {
        let size = batch.bytes.len() + BATCH_HEADER_BYTES;
        if !bytes.is_empty() && bytes.len() + size > most {
            break;
        }
        crate::wire::write_batch(&mut bytes, batch);
        last = Some(batch.last);
    }
    (bytes, last)
}
