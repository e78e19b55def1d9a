//! Everything that a decision looks at, in one place, as of one moment.

use alloc::{collections::BTreeMap, collections::BTreeSet, vec::Vec};

use model::{CopySet, Member, NodeId, Phase, ShardId, limits};

use crate::{
    brake::Brake,
    court::{Court, Standing},
    map::ClusterMap,
    placement::Site,
    record::{NodeState, Settings, ShardRecord},
    reports::Reports,
};

/// How a member is, as far as anything may follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing is held against it.
    Well,
    /// Suspected, not yet steady again, or held back by the brake: alive, but nothing new is given to it.
    Doubtful,
    /// It does not answer, since this time. It may come back with all that it had.
    Dead {
        /// When that was believed.
        since_ms: u64,
    },
    /// This life of the node is over: what it had in it is gone.
    Over,
}

/// What a decision looks at.
#[derive(Debug)]
pub struct Situation<'a> {
    /// The cluster map.
    pub map: &'a ClusterMap,
    /// Its settings.
    pub settings: Settings,
    /// Verdicts.
    pub court: &'a Court,
    /// Which of them are believed.
    pub brake: &'a Brake,
    /// What the copies are like.
    pub reports: &'a Reports,
    /// The time.
    pub now_ms: u64,
    /// Mean bytes and writes per second of a shard, and no less than [`LEAST`].
    means: (u64, u64),
    burdens: BTreeMap<NodeId, Burden>,
    /// Nodes whose disk takes no more of the log.
    diskless: BTreeSet<NodeId>,
}

/// What a node carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Burden {
    /// Weights of its copies: see [`Situation::weight`].
    pub weight: u64,
    /// How many primaries it has.
    pub primaries: u64,
    /// Copies that it is receiving.
    pub receiving: usize,
    /// Copies that its primaries are sending.
    pub sending: usize,
}

/// The weight of a copy of which nothing is known; bytes and writes of an average shard add as much each.
pub const UNIT: u64 = 1_000;
/// What bytes or writes can add at most: a giant shard cannot make everything else seem nothing.
const MOST: u64 = 100 * UNIT;

impl<'a> Situation<'a> {
    /// Looks around. `None` before the cluster was created.
    #[must_use]
    pub fn new(
        map: &'a ClusterMap,
        court: &'a Court,
        brake: &'a Brake,
        reports: &'a Reports,
        now_ms: u64,
    ) -> Option<Self> {
        let settings = map.settings()?;
        let means = means(map, reports, now_ms);
        let burdens = BTreeMap::new();
        let mut situation = Self {
            map,
            settings,
            court,
            brake,
            reports,
            now_ms,
            means,
            burdens,
            diskless: BTreeSet::new(),
        };
        situation.diskless = situation.find_diskless();
        situation.burdens = situation.weigh();
        Some(situation)
    }

    fn find_diskless(&self) -> BTreeSet<NodeId> {
        let shards = self.map.shards().iter();
        let members = shards.flat_map(|(shard, record)| {
            let members = record.config.copies().members().iter();
            members.map(|member| (*shard, *member))
        });
        let fails = |(shard, member): &(ShardId, Member)| {
            self.reports.disk_fails(*shard, *member, self.now_ms)
        };
        members
            .filter(fails)
            .map(|(_, member)| member.node)
            .collect()
    }

    fn weigh(&self) -> BTreeMap<NodeId, Burden> {
        let mut burdens: BTreeMap<NodeId, Burden> = BTreeMap::new();
        for (&shard, record) in self.map.shards() {
            let weight = self.weight(shard);
            let primary = record.config.primary();
            for &member in record.config.copies().members() {
                let burden = burdens.entry(member.node).or_default();
                burden.weight += weight;
                burden.primaries += u64::from(member == primary);
                // Where nobody leads nothing is sent.
                let moves = self.is_alive(primary) && self.is_alive(member);
                if moves && !self.is_complete(shard, record, member) {
                    burden.receiving += 1;
                    burdens.entry(primary.node).or_default().sending += 1;
                }
            }
        }
        burdens
    }

    /// What a copy of this shard weighs: [`UNIT`], and as much again for each of bytes and writes if it has the mean of all shards.
    #[must_use]
    pub fn weight(&self, shard: ShardId) -> u64 {
        let (bytes, writes) = self.reports.size(shard, self.now_ms);
        let share = |part: u64, mean: u64| (part.saturating_mul(UNIT) / mean).min(MOST);
        UNIT + share(bytes, self.means.0) + share(u64::from(writes), self.means.1)
    }

    /// What this node carries.
    #[must_use]
    pub fn burden(&self, node: NodeId) -> Burden {
        self.burdens.get(&node).copied().unwrap_or_default()
    }

    /// How this member is.
    #[must_use]
    pub fn health(&self, member: Member) -> Health {
        if !self.map.is_present(member) {
            return Health::Over;
        }
        if let Some(since_ms) = self.brake.dead_since(member.node, member.incarnation) {
            return Health::Dead { since_ms };
        }
        match self.court.standing(member.node) {
            Standing::Well => Health::Well,
            Standing::Accused | Standing::Convicted { .. } | Standing::Returning { .. } => {
                Health::Doubtful
            }
        }
    }

    /// Whether it may be expected to answer.
    #[must_use]
    pub fn is_alive(&self, member: Member) -> bool {
        matches!(self.health(member), Health::Well | Health::Doubtful)
    }

    /// How many of a set may be expected to answer.
    #[must_use]
    pub fn alive_of(&self, set: &CopySet) -> usize {
        set.members().iter().filter(|m| self.is_alive(**m)).count()
    }

    /// Whether the node of this member is being drained.
    #[must_use]
    pub fn is_draining(&self, member: Member) -> bool {
        let node = self.map.nodes().get(&member.node);
        node.is_some_and(|node| node.state == NodeState::Draining)
    }

    /// Whether the node of this member is about to end.
    #[must_use]
    pub fn is_leaving(&self, member: Member) -> bool {
        self.court.is_leaving(member.node)
    }

    /// Whether the disk of this member's node takes no more of the log: it cannot persist what it would have to acknowledge.
    #[must_use]
    pub fn is_diskless(&self, member: Member) -> bool {
        self.diskless.contains(&member.node)
    }

    /// Whether this member should lead nothing new.
    #[must_use]
    pub fn should_not_lead(&self, member: Member) -> bool {
        self.is_draining(member) || self.is_leaving(member) || self.is_diskless(member)
    }

    /// Whether this member has everything, as its primary says.
    #[must_use]
    pub fn is_complete(&self, shard: ShardId, record: &ShardRecord, member: Member) -> bool {
        let at = record
            .config
            .copies()
            .members()
            .iter()
            .position(|m| *m == member);
        let complete = self.reports.complete(shard, record, self.now_ms);
        at.is_some_and(|at| complete & (1 << at) != 0)
    }

    /// The set from which this shard's next configuration has to be recovered; `None` if it never served.
    #[must_use]
    pub fn source(record: &ShardRecord) -> Option<CopySet> {
        match record.config.phase() {
            Phase::Recovering { from } => from.map(|from| from.copies),
            Phase::Serving => Some(*record.config.copies()),
        }
    }

    /// Whether enough members of that set answer to prove that nothing acknowledged is missing.
    #[must_use]
    pub fn is_provable(&self, record: &ShardRecord) -> bool {
        Self::source(record).is_none_or(|set| self.alive_of(&set) >= set.read_quorum())
    }

    /// A node as placement sees it.
    #[must_use]
    pub fn site(&self, node: NodeId) -> Option<Site> {
        let record = self.map.nodes().get(&node)?;
        let Burden { weight: burden, .. } = self.burden(node);
        Some(Site {
            node,
            process: record.process,
            zone: record.zone,
            burden,
        })
    }

    /// The nodes that may be given a copy: active and well, with a disk that works.
    #[must_use]
    pub fn steady_sites(&self) -> Vec<Site> {
        self.sites_in(&[NodeState::Active])
    }

    /// Where a copy may go if it would be missing otherwise: also to nodes that should get no more.
    #[must_use]
    pub fn last_resorts(&self) -> Vec<Site> {
        self.sites_in(&[NodeState::Active, NodeState::Draining])
    }

    fn sites_in(&self, states: &[NodeState]) -> Vec<Site> {
        let nodes = self.map.nodes().iter();
        let steady = nodes.filter(|(node, record)| {
            let well = self.health(record.member(**node)) == Health::Well;
            let ends = self.court.is_leaving(**node) || self.diskless.contains(node);
            states.contains(&record.state) && well && !ends
        });
        steady.filter_map(|(&node, _)| self.site(node)).collect()
    }

    /// The nodes that may be given a copy now.
    #[must_use]
    pub fn free_sites(&self) -> Vec<Site> {
        self.free_of(self.steady_sites())
    }

    /// Those that are not already receiving as many as they may.
    #[must_use]
    pub fn free_of(&self, mut sites: Vec<Site>) -> Vec<Site> {
        sites.retain(|site| self.burden(site.node).receiving < limits::MAX_REPAIRS_PER_NODE);
        sites
    }
}

/// Of what is next to nothing, a multiple is nothing either: the means are no less than this.
const LEAST: (u64, u64) = (1 << 20, 100);

fn means(map: &ClusterMap, reports: &Reports, now_ms: u64) -> (u64, u64) {
    let shards = map.shards().len().max(1) as u64;
    let sizes = map
        .shards()
        .keys()
        .map(|&shard| reports.size(shard, now_ms));
    let (bytes, writes) = sizes.fold((0, 0), |(b, w), (bytes, writes)| {
        (b + bytes, w + u64::from(writes))
    });
    (
        (bytes / shards).max(LEAST.0),
        (writes / shards).max(LEAST.1),
    )
}
