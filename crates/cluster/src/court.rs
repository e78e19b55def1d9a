//! Who is dead, judged from what several nodes say.
//!
//! ```text
//!            one witness              two witnesses, or one and nobody contradicts for 100 ms
//!   well ───────────────► accused ──────────────────────────────────────► convicted ◄─┐
//!    ▲ ◄─────────────────────┘                                               │        │ accused again:
//!    │        no witness                                          not guilty │        │ one relapse more
//!    │                                                                       ▼        │
//!    └──────────────── steady for 500 ms, doubled with each relapse ──── returning ───┘
//! ```
//!
//! Every node holds court, as every node may have to take the coordinator's role; only the coordinator's verdicts have
//! consequences for others. A statement is the list of suspects in a heartbeat. It counts while it is fresh, and only if its witness does not
//! suspect more than half of those whom it listens to: who hears nobody is most likely the one who is cut off.

use alloc::{collections::BTreeMap, collections::BTreeSet, vec::Vec};

use model::{Incarnation, NodeId};

use crate::{
    detector::Detector,
    timing::{CONFIRM_MS, FORGIVEN_MS, STATEMENT_MS, STEADY_MAX_MS, STEADY_MS},
};

/// What one witness said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// When it was heard.
    pub at_ms: u64,
    /// To how many nodes the witness listens.
    pub listens_to: u16,
    /// How many of them it suspects.
    pub suspect_count: u16,
    /// Those that it suspects, as many as a heartbeat has room for.
    pub suspects: Vec<(NodeId, Incarnation)>,
}

/// Where a node stands before the court.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is held against it.
    Well,
    /// Somebody suspects it; others contradict, or may yet.
    Accused,
    /// It is held to be dead, since this time.
    Convicted {
        /// When the verdict fell.
        since_ms: u64,
    },
    /// It was convicted and is heard again, since this time, but not for long enough.
    Returning {
        /// Since when it is heard.
        since_ms: u64,
    },
}

/// The statements and the verdicts.
#[derive(Clone, Debug, Default)]
pub struct Court {
    statements: BTreeMap<NodeId, Statement>,
    cases: BTreeMap<NodeId, Case>,
    /// Nodes that answered when they were asked directly: not guilty until this time.
    answered: BTreeMap<NodeId, u64>,
    /// Nodes that say that they are about to end.
    leaving: BTreeSet<NodeId>,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    incarnation: Incarnation,
    standing: Standing,
    /// When the present accusation began.
    accused_ms: u64,
    relapses: u32,
    /// When it was last anything but well.
    last_trouble_ms: u64,
}

/// What a session of the court looks at besides the statements.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Whose court this is.
    pub me: NodeId,
    /// Its own opinions.
    pub detector: &'a Detector,
    /// Who listens to whom.
    pub links: &'a BTreeMap<NodeId, BTreeSet<NodeId>>,
    /// Everybody who may be judged, with the incarnation that the map names.
    pub nodes: &'a BTreeMap<NodeId, Incarnation>,
}

impl Court {
    /// A witness speaks.
    pub fn hear(&mut self, witness: NodeId, statement: Statement) {
        self.statements.insert(witness, statement);
    }

    /// A node answered when it was asked directly: it is not guilty until then.
    pub fn exonerate(&mut self, node: NodeId, until_ms: u64) {
        self.answered.insert(node, until_ms);
    }

    /// A node says whether it is about to end.
    pub fn note_leaving(&mut self, node: NodeId, is_leaving: bool) {
        if is_leaving {
            self.leaving.insert(node);
        } else {
            self.leaving.remove(&node);
        }
    }

    /// Whether a node has said that it is about to end, and nothing else since.
    #[must_use]
    pub fn is_leaving(&self, node: NodeId) -> bool {
        self.leaving.contains(&node)
    }

    /// Forgets all statements: this node stood still, and what it was told before is no longer so.
    pub fn adjourn(&mut self) {
        self.statements.clear();
        for case in self.cases.values_mut() {
            if case.standing == Standing::Accused {
                case.standing = Standing::Well;
            }
        }
    }

    /// Judges everybody who is suspected or was.
    pub fn judge(&mut self, evidence: Evidence<'_>, now_ms: u64) {
        if self.is_calm(evidence.detector) {
            return;
        }
        self.statements
            .retain(|node, _| evidence.nodes.contains_key(node));
        self.answered.retain(|_, until_ms| *until_ms > now_ms);
        self.leaving
            .retain(|node| evidence.nodes.contains_key(node));
        self.cases
            .retain(|node, case| evidence.nodes.get(node) == Some(&case.incarnation));
        for (node, incarnation) in self.suspected(evidence, now_ms) {
            self.cases
                .entry(node)
                .or_insert(Case::new(incarnation, now_ms));
        }
        let mut cases = core::mem::take(&mut self.cases);
        cases.retain(|node, case| {
            case.proceed(self.verdict(*node, case, evidence, now_ms), now_ms);
            !case.is_closed(now_ms)
        });
        self.cases = cases;
    }

    /// Whether nobody is suspected, or was.
    fn is_calm(&self, detector: &Detector) -> bool {
        let mut statements = self.statements.values();
        self.cases.is_empty()
            && self.answered.is_empty()
            && self.leaving.is_empty()
            && detector.suspects().next().is_none()
            && statements.all(|statement| statement.suspects.is_empty())
    }

    /// Whom anybody suspects, by the incarnation that the map names.
    fn suspected(&self, evidence: Evidence<'_>, now_ms: u64) -> BTreeSet<(NodeId, Incarnation)> {
        let told = self.statements.values();
        let told = told.filter(|statement| statement.counts(now_ms));
        let told = told.flat_map(|statement| statement.suspects.iter().copied());
        let all = told.chain(evidence.detector.suspects());
        let known = |(node, incarnation): &(NodeId, Incarnation)| {
            *node != evidence.me && evidence.nodes.get(node) == Some(incarnation)
        };
        all.filter(known).collect()
    }

    fn verdict(&self, node: NodeId, case: &Case, evidence: Evidence<'_>, now_ms: u64) -> Verdict {
        if self.answered.contains_key(&node) {
            return Verdict::NotGuilty;
        }
        let accused = (node, case.incarnation);
        let mine = evidence
            .detector
            .suspects()
            .any(|suspect| suspect == accused);
        let others = self.statements.iter();
        let others = others
            .filter(|(w, s)| **w != node && s.counts(now_ms) && s.suspects.contains(&accused));
        match others.count() + usize::from(mine) {
            0 => Verdict::NotGuilty,
            1 if self.is_contradicted(accused, evidence, now_ms) => Verdict::Contested,
            1 => Verdict::Unopposed,
            _ => Verdict::Guilty,
        }
    }

    /// Whether somebody who listens to it says that it is well.
    fn is_contradicted(
        &self,
        accused: (NodeId, Incarnation),
        evidence: Evidence<'_>,
        now_ms: u64,
    ) -> bool {
        if evidence.detector.hears(accused.0) {
            return true;
        }
        let Some(listeners) = evidence.links.get(&accused.0) else {
            return false;
        };
        let statements = listeners.iter().filter_map(|w| self.statements.get(w));
        let mut fresh = statements.filter(|s| s.counts(now_ms));
        fresh.any(|s| s.is_complete() && !s.suspects.contains(&accused))
    }

    /// Where this node stands.
    #[must_use]
    pub fn standing(&self, node: NodeId) -> Standing {
        self.cases
            .get(&node)
            .map_or(Standing::Well, |case| case.standing)
    }

    /// Whether this node is convicted.
    #[must_use]
    pub fn has_convicted(&self, node: NodeId) -> bool {
        match self.standing(node) {
            Standing::Convicted { .. } => true,
            Standing::Well | Standing::Accused | Standing::Returning { .. } => false,
        }
    }

    /// Everybody who is convicted, with the time of the verdict.
    pub fn convicted(&self) -> impl Iterator<Item = (NodeId, Incarnation, u64)> {
        self.cases
            .iter()
            .filter_map(|(&node, case)| match case.standing {
                Standing::Convicted { since_ms } => Some((node, case.incarnation, since_ms)),
                Standing::Well | Standing::Accused | Standing::Returning { .. } => None,
            })
    }
}

/// What the statements say of one node at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    NotGuilty,
    /// One witness, contradicted.
    Contested,
    /// One witness, not contradicted so far.
    Unopposed,
    Guilty,
}

impl Statement {
    fn counts(&self, now_ms: u64) -> bool {
        let fresh = now_ms < self.at_ms + STATEMENT_MS;
        fresh && 2 * self.suspect_count <= self.listens_to
    }

    /// Whether it names all its suspects: only then does silence about a node speak for it.
    fn is_complete(&self) -> bool {
        self.suspects.len() == usize::from(self.suspect_count)
    }
}

impl Case {
    const fn new(incarnation: Incarnation, now_ms: u64) -> Self {
        Self {
            incarnation,
            standing: Standing::Well,
            accused_ms: now_ms,
            relapses: 0,
            last_trouble_ms: now_ms,
        }
    }

    fn proceed(&mut self, verdict: Verdict, now_ms: u64) {
        self.standing = match self.standing {
            Standing::Well => self.open(verdict, now_ms),
            Standing::Accused => self.hear_accusation(verdict, now_ms),
            Standing::Convicted { since_ms } => match verdict {
                Verdict::NotGuilty => Standing::Returning { since_ms: now_ms },
                // One who can still hear it does not outweigh what stands.
                Verdict::Contested | Verdict::Unopposed | Verdict::Guilty => {
                    Standing::Convicted { since_ms }
                }
            },
            Standing::Returning { since_ms } => self.watch_return(since_ms, verdict, now_ms),
        };
        if self.standing != Standing::Well {
            self.last_trouble_ms = now_ms;
        }
    }

    fn open(&mut self, verdict: Verdict, now_ms: u64) -> Standing {
        self.accused_ms = now_ms;
        match verdict {
            Verdict::NotGuilty => Standing::Well,
            Verdict::Contested | Verdict::Unopposed => Standing::Accused,
            Verdict::Guilty => self.convict(now_ms),
        }
    }

    fn hear_accusation(&mut self, verdict: Verdict, now_ms: u64) -> Standing {
        match verdict {
            Verdict::NotGuilty => Standing::Well,
            Verdict::Contested => {
                self.accused_ms = now_ms;
                Standing::Accused
            }
            Verdict::Unopposed if now_ms < self.accused_ms + CONFIRM_MS => Standing::Accused,
            Verdict::Unopposed | Verdict::Guilty => self.convict(now_ms),
        }
    }

    fn watch_return(&mut self, since_ms: u64, verdict: Verdict, now_ms: u64) -> Standing {
        match verdict {
            Verdict::NotGuilty if now_ms >= since_ms + self.steady_ms() => Standing::Well,
            Verdict::NotGuilty | Verdict::Contested => Standing::Returning { since_ms },
            Verdict::Unopposed | Verdict::Guilty => self.convict(now_ms),
        }
    }

    fn convict(&mut self, now_ms: u64) -> Standing {
        self.relapses = self.relapses.saturating_add(1);
        Standing::Convicted { since_ms: now_ms }
    }

    fn steady_ms(&self) -> u64 {
        let doublings = self.relapses.saturating_sub(1).min(16);
        (STEADY_MS << doublings).min(STEADY_MAX_MS)
    }

    fn is_closed(&self, now_ms: u64) -> bool {
        let forgiven = self.relapses == 0 || now_ms >= self.last_trouble_ms + FORGIVEN_MS;
        self.standing == Standing::Well && forgiven
    }
}

#[cfg(test)]
mod tests;
