//! How a primary mends a standby whose log has parted from its own, rather than fill it anew: what the standby has touched behind the
//! parting is proposed once more, as ordinary batches, and when the standby has those it is as if it had never strayed.
//!
//! It is tried once in an epoch. Whatever goes wrong on the way, the standby is filled.

use alloc::vec::Vec;

use model::Position;

use super::{Flow, Peer, View};
use crate::wire::{Body, Mend};
use crate::{Effect, Outbox, Rewritten};

/// So often what clients wrote, and waits for its quorum, leaves no room; then what is to be written once more need not leave them any: the
/// quorum may be what they wait for, and this standby part of it.
const MOST_YIELDS: u32 = 2;

/// So often nothing of what is to be written once more could be proposed: there is no room for it.
const MOST_REFUSALS: u32 = 40;

/// So often a standby has said something else since it was asked: it does not know what is wanted, or its disk does not let it answer.
const MOST_UNANSWERED: u32 = 40;

/// See the module.
#[derive(Debug)]
pub(super) struct Mending {
    parting: Position,
    needed: Position,
    /// What it has touched, and how much of that is written once more.
    keys: Vec<u8>,
    used: usize,
    /// The owner is at it.
    is_asked: bool,
    yields: u32,
    refusals: u32,
    /// Where it is whole, once all is written.
    need: Option<Position>,
    /// When the owner is to be asked again, or the standby to be told again.
    due_us: u64,
}

impl Mending {
    pub(super) fn next_us(&self) -> u64 {
        self.due_us
    }

    pub(super) fn bytes(&self) -> usize {
        self.keys.len()
    }
}

impl Peer {
    /// Its log does not end in this one: it is mended, where it has more than this one had, and filled anew otherwise.
    pub(super) fn begin_mending(&mut self, end: Position, is_whole: bool, view: &View<'_>) {
        let parting = view.log.parting(end);
        match parting {
            Some(parting) if is_whole && view.serves && view.may_reset && self.attempts == 0 => {
                self.attempts = 1;
                self.beat_us = 0;
                self.flow = Flow::Asking {
                    parting,
                    needed: view.commit,
                };
            }
            Some(_) | None => self.begin_joining(view),
        }
    }

    pub(super) fn ask_to_mend(
        &self,
        parting: Position,
        needed: Position,
        view: &View<'_>,
        out: &mut Outbox,
    ) {
        if view.now.mono_us >= self.beat_us {
            self.send_mend((parting, None), needed, view, out);
        }
    }

    pub(super) fn on_unanswered(&mut self, view: &View<'_>) {
        self.unanswered += 1;
        if self.unanswered > MOST_UNANSWERED {
            self.begin_joining(view);
        }
    }

    fn send_mend(
        &self,
        (parting, need): (Position, Option<Position>),
        needed: Position,
        view: &View<'_>,
        out: &mut Outbox,
    ) {
        let body = Body::Mend(Mend {
            parting,
            time_ms: view.log.time_at(parting),
            need,
            needed,
            attempt: self.attempts,
        });
        view.post.send(out, view.epoch, self.member, body);
    }

    /// It has said what it has touched, and goes on from the parting.
    pub(crate) fn on_touched(&mut self, attempt: u32, keys: Option<&[u8]>, view: &View<'_>) {
        let Flow::Asking { parting, needed } = self.flow else {
            return;
        };
        if attempt != self.attempts {
            return;
        }
        let Some(keys) = keys.filter(|_| view.log.reaches(parting)) else {
            return self.begin_joining(view);
        };
        self.mending = Some(Mending {
            parting,
            needed,
            keys: Vec::from(keys),
            used: 0,
            is_asked: false,
            yields: 0,
            refusals: 0,
            need: None,
            due_us: 0,
        });
        self.confirmed = parting;
        self.stream_from(parting, view);
    }

    /// Has written once more what is still to be, or tells the standby where it is whole.
    pub(super) fn mend(&mut self, view: &View<'_>, out: &mut Outbox) {
        let (to, attempt) = (self.member, self.attempts);
        let Some(mending) = &mut self.mending else {
            return;
        };
        if view.now.mono_us < mending.due_us {
            return;
        }
        mending.due_us = view.now.mono_us + view.settings.resend_us;
        if let Some(need) = mending.need {
            let (parting, needed) = (mending.parting, mending.needed);
            self.send_mend((parting, Some(need)), needed, view, out);
        } else if !mending.is_asked && mending.yields < MOST_YIELDS && !has_room(view) {
            mending.yields += 1;
        } else if !mending.is_asked {
            mending.is_asked = true;
            let keys = Vec::from(&mending.keys[mending.used..]);
            out.effects.push(Effect::Rewrite { to, attempt, keys });
        }
    }

    /// Whether the owner writes at this moment what need not leave room for clients.
    pub(crate) fn has_priority(&self) -> bool {
        let mending = self.mending.as_ref();
        mending.is_some_and(|mending| mending.is_asked && mending.yields == MOST_YIELDS)
    }

    pub(crate) fn on_rewritten(&mut self, rewritten: Rewritten, view: &View<'_>) {
        let attempts = self.attempts;
        let Some(mending) = &mut self.mending else {
            return;
        };
        if !mending.is_asked || rewritten.attempt != attempts {
            return;
        }
        mending.is_asked = false;
        mending.used += rewritten.used;
        mending.need = rewritten.end;
        if rewritten.end.is_some() {
            (mending.keys, mending.used) = (Vec::new(), 0);
        }
        if rewritten.used > 0 || rewritten.end.is_some() {
            (mending.due_us, mending.refusals, mending.yields) = (0, 0, 0);
        } else {
            mending.refusals += 1;
        }
        if mending.refusals > MOST_REFUSALS {
            self.begin_joining(view);
        }
    }
}

/// Whether as much waits for its quorum that clients find room as well.
fn has_room(view: &View<'_>) -> bool {
    let waiting = view.log.bytes_beyond(view.commit);
    waiting * 2 <= view.settings.uncommitted_bytes as u64
}
