//! Questions that are under way, and transactions whose effect the map does not show yet.

use alloc::{collections::BTreeMap, vec::Vec};

use model::Member;

use super::AskId;
use crate::{
    keys::Place,
    metadata::{RequestId, Revision},
    timing::STORE_TIMEOUT_MS,
};

/// What a question is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The whole map.
    List,
    /// Changes from then on.
    Watch,
    /// This node's own record.
    Register,
    /// The coordinator's role.
    TakeRole,
    /// The coordinator's proposals. An operator's command waits for one.
    Propose(Option<u64>),
    /// Shards that this node has recovered.
    Publish,
}

/// A question, or what is left of it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) purpose: Purpose,
    /// The places that it writes.
    pub(super) places: Vec<Place>,
    pub(super) request: RequestId,
    pub(super) asked_ms: u64,
}

/// How a transaction was answered; the map will show the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// By a change at this revision, or by a list that is asked for later.
    At(Revision),
    /// Only by a list that is asked for later.
    ByList,
}

#[derive(Debug)]
pub(super) struct Asks {
    me: Member,
    next: u64,
    open: BTreeMap<AskId, Asked>,
    settling: Vec<(AskId, Shown, Asked)>,
}

impl Asks {
    pub(super) const fn new(me: Member) -> Self {
        Self {
            me,
            next: 1,
            open: BTreeMap::new(),
            settling: Vec::new(),
        }
    }

    /// A number for the next question, and the name of its transaction.
    ///
    /// Lives are 128 random bits, so two of them count through the same names only if they lie within a few billion of each other.
    pub(super) fn name(&mut self) -> (AskId, RequestId) {
        let id = self.next;
        self.next += 1;
        let life = self.me.incarnation.0;
        (AskId(id), RequestId(life.wrapping_add(u128::from(id))))
    }

    pub(super) fn open(&mut self, ask: AskId, asked: Asked) {
        self.open.insert(ask, asked);
    }

    /// The question that this answers, if it still waits for one.
    pub(super) fn close(&mut self, ask: AskId) -> Option<Asked> {
        self.open.remove(&ask)
    }

    /// Whether a transaction for this purpose is under way or its effect not shown yet.
    pub(super) fn is_busy(&self, purpose: &Purpose) -> bool {
        let settling = self.settling.iter().map(|(_, _, asked)| asked);
        let mut all = self.open.values().chain(settling);
        all.any(|asked| asked.purpose == *purpose)
    }

    /// Takes out every question that was not answered in time. The watch goes on for ever.
    pub(super) fn take_overdue(&mut self, now_ms: u64) -> Vec<(AskId, Asked)> {
        let late = |asked: &Asked| {
            asked.purpose != Purpose::Watch && now_ms >= asked.asked_ms + STORE_TIMEOUT_MS
        };
        self.open.extract_if(.., |_, asked| late(asked)).collect()
    }

    /// This transaction is over; the map is yet to show what came of it.
    pub(super) fn settle_later(&mut self, shown: Shown, asked: Asked) {
        self.settling.push((AskId(self.next), shown, asked));
    }

    /// Whether only a list can tell what became of some transaction, or a change is late.
    pub(super) fn needs_list(&self, now_ms: u64) -> bool {
        self.settling.iter().any(|(_, shown, asked)| match shown {
            Shown::ByList => true,
            Shown::At(_) => now_ms >= asked.asked_ms + 2 * STORE_TIMEOUT_MS,
        })
    }

    /// Takes out what the map shows now that it has followed changes up to this revision.
    pub(super) fn take_settled_at(&mut self, revision: Revision) -> Vec<Asked> {
        let shown = |shown: Shown| matches!(shown, Shown::At(at) if at <= revision);
        let settled = self.settling.extract_if(.., |(_, s, _)| shown(*s));
        settled.map(|(_, _, asked)| asked).collect()
    }

    /// Takes out what the map shows now that it is what this list said.
    pub(super) fn take_settled_by(&mut self, list: AskId) -> Vec<Asked> {
        let settled = self.settling.extract_if(.., |(since, ..)| *since <= list);
        settled.map(|(_, _, asked)| asked).collect()
    }
}
