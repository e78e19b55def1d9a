//! What a copy keeps while it leads: from the moment it is told that it is an epoch's primary until it hears of a later one.

use alloc::vec::Vec;

use model::{Member, Position, ServedSet, ShardConfig};

use crate::Settings;
use crate::lease::Granted;
use crate::peer::Peer;
use crate::wire::Testimony;

/// How far it is.
///
/// ```text
///   Sealing ──RQ have testified, the longest log is here──► Bringing ──WQ of the new set have it──► Publishing ──published──► Serving
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It asks the old set what it has, and fetches what it lacks itself.
    Sealing,
    /// It brings the new set to the log that it has found.
    Bringing,
    /// The metadata store is asked to say "serving".
    Publishing,
    /// It orders writes and answers reads.
    Serving,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Lead {
    pub(crate) config: ShardConfig,
    pub(crate) stage: Stage,
    /// What the epoch begins with.
    pub(crate) base: Position,
    /// The other copies of the set.
    pub(crate) peers: Vec<Peer>,
    /// The set that it recovers from; `None` for a shard that was never served.
    pub(crate) old: Option<OldSet>,
    /// When to ask for the publication again.
    pub(crate) publish_us: u64,
    pub(crate) hand_over: Option<HandOver>,
    /// No batch of it is older.
    pub(crate) floor_ms: u64,
}

/// The set that an epoch is recovered from, and what its members say.
#[derive(Debug)]
pub(crate) struct OldSet {
    pub(crate) set: ServedSet,
    /// By member of the set.
    pub(crate) answers: Vec<Option<Testimony>>,
    /// The last one that has answered.
    pub(crate) resigned: Option<Member>,
    /// When to ask again those who have not answered.
    pub(crate) ask_us: u64,
    /// When to fetch again what has not come.
    pub(crate) fetch_us: u64,
    /// Who is asked for what is lacking here, and since when nothing of it has come.
    pub(crate) fetching: Option<(Member, u64)>,
    /// Who was asked in vain last.
    pub(crate) silent: Option<Member>,
    /// The end of what was fetched: up to there the log here is one of the epoch that served, whoever has testified to it.
    pub(crate) fetched: Position,
    /// Until when it is waited for a member that has what only a copy that was set aside has, of those that have testified.
    pub(crate) holder_us: Option<u64>,
    /// This copy, which was set aside, is being taken back.
    pub(crate) takes_back: bool,
}

/// Writes wait while another member catches up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandOver {
    pub(crate) to: Member,
    pub(crate) until_us: u64,
    pub(crate) told: bool,
}

impl OldSet {
    pub(crate) fn new(set: ServedSet) -> Self {
        Self {
            set,
            answers: set.copies.members().iter().map(|_| None).collect(),
            resigned: None,
            ask_us: 0,
            fetch_us: 0,
            fetching: None,
            silent: None,
            fetched: Position::ZERO,
            holder_us: None,
            takes_back: false,
        }
    }

    pub(crate) fn index(&self, member: Member) -> Option<usize> {
        self.set.copies.members().iter().position(|m| *m == member)
    }

    /// This member is asked for what is lacking here. Who has been for so long, and has sent nothing, is `silent`; where enough others have
    /// testified its testimony is as if it had not been given, and it is asked for it again.
    pub(crate) fn ask_holder(&mut self, holder: Member, now_us: u64, patience_us: u64) {
        let asked = self.fetching.filter(|(member, _)| *member == holder);
        let (_, since_us) = *self.fetching.insert(asked.unwrap_or((holder, now_us)));
        if now_us < since_us + patience_us {
            return;
        }
        self.silent = Some(holder);
        let answered = self.answers.iter().flatten().count();
        if let Some(index) = self.index(holder)
            && answered > self.set.copies.read_quorum()
        {
            (self.answers[index], self.fetching) = (None, None);
        }
    }

    /// Something that was fetched has come, up to here.
    pub(crate) fn on_fetched(&mut self, last: Position) {
        (self.fetched, self.fetching) = (last, None);
    }

    /// Whether the copy of this member may be given up for a snapshot. Nothing that the old set has acknowledged rests on it, or else all
    /// that it has is in a log that ends at `last`.
    pub(crate) fn may_reset(&self, member: Member, last: Position) -> bool {
        let Some(index) = self.index(member) else {
            return true;
        };
        self.answers[index]
            .as_ref()
            .is_some_and(|t| t.synced < self.set.epoch || t.last <= last)
    }
}

impl Lead {
    /// Whether the copy of this member may be given up for a snapshot, when the log here ends at `last`, counts up to `own` and is committed
    /// up to `committed`: never one on which something acknowledged rests.
    pub(crate) fn may_reset(
        &self,
        member: Member,
        last: Position,
        own: Position,
        committed: Position,
    ) -> bool {
        if let Some(old) = &self.old {
            return old.may_reset(member, last);
        }
        let others = self.peers.iter().filter(|p| p.member() != member);
        let have = others.filter(|p| p.acked() >= Some(committed)).count();
        have + usize::from(own >= committed) >= self.config.copies().write_quorum()
            || self.stage != Stage::Serving
    }

    pub(crate) fn next_us(&self, settings: &Settings) -> u64 {
        let peers = self.peers.iter().map(|peer| peer.next_us(settings));
        let hand_over = self.hand_over.iter().map(|h| h.until_us);
        peers.chain(hand_over).min().unwrap_or(u64::MAX)
    }

    /// On the way to serving. Until its vows are saved it only asks the old set.
    pub(crate) fn recovery_next_us(
        &self,
        settings: &Settings,
        granted: &Granted,
        me: Member,
        clock_us: u64,
        is_settled: bool,
    ) -> u64 {
        let old = self.old.iter().flat_map(|old| {
            let own = old.index(me).filter(|i| old.answers[*i].is_none());
            let ends_us = own.map(|_| granted.ends_for_us(me));
            // What has ended waits for something else than time.
            let others = ends_us.into_iter().chain(old.holder_us);
            [old.ask_us]
                .into_iter()
                .chain(others.filter(move |us| *us > clock_us))
        });
        // The old set is asked until there is something to publish.
        let (asking_us, publish_us) = match self.stage {
            Stage::Sealing | Stage::Bringing => (old.min().unwrap_or(u64::MAX), u64::MAX),
            Stage::Publishing => (u64::MAX, self.publish_us),
            Stage::Serving => (u64::MAX, u64::MAX),
        };
        if is_settled {
            self.next_us(settings).min(asking_us).min(publish_us)
        } else {
            asking_us
        }
    }
}
