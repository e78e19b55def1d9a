use alloc::{collections::BTreeMap, collections::BTreeSet, vec, vec::Vec};

use model::{Incarnation, NodeId};

use super::{Court, Evidence, Standing, Statement};
use crate::{
    brake::{Brake, Braking, believable},
    detector::Detector,
    timing::{BRAKE_MS, CONFIRM_MS, FORGIVEN_MS, STATEMENT_MS, STEADY_MS},
};

const LIFE: Incarnation = Incarnation(1);
const ME: NodeId = NodeId(0);

/// The court of node 0 in a cluster where everybody listens to everybody.
struct Bench {
    court: Court,
    detector: Detector,
    links: BTreeMap<NodeId, BTreeSet<NodeId>>,
    nodes: BTreeMap<NodeId, Incarnation>,
    now_ms: u64,
}

impl Bench {
    fn new(nodes: u32) -> Self {
        let all: BTreeSet<NodeId> = (0..nodes).map(NodeId).collect();
        let others = |node: &NodeId| all.iter().filter(|n| *n != node).copied().collect();
        let peers: BTreeMap<_, _> = all
            .iter()
            .filter(|n| **n != ME)
            .map(|n| (*n, LIFE))
            .collect();
        let mut detector = Detector::new(1_000);
        detector.set_peers(&peers, 1_000);
        Self {
            court: Court::default(),
            detector,
            links: all.iter().map(|node| (*node, others(node))).collect(),
            nodes: all.iter().map(|node| (*node, LIFE)).collect(),
            now_ms: 1_000,
        }
    }

    /// `witness` suspects exactly these.
    fn say(&mut self, witness: u32, suspects: &[u32]) {
        let statement = Statement {
            at_ms: self.now_ms,
            listens_to: self.nodes.len() as u16 - 1,
            suspect_count: suspects.len() as u16,
            suspects: suspects.iter().map(|&n| (NodeId(n), LIFE)).collect(),
        };
        self.court.hear(NodeId(witness), statement);
    }

    /// For so long every witness repeats what it says, every 50 ms; the court sits every 10.
    fn run(&mut self, for_ms: u64, says: &[(u32, &[u32])]) {
        for step in 0..for_ms / 10 {
            if step % 5 == 0 {
                says.iter()
                    .for_each(|(witness, suspects)| self.say(*witness, suspects));
            }
            self.judge();
            self.now_ms += 10;
        }
        self.judge();
    }

    fn judge(&mut self) {
        let evidence = Evidence {
            me: ME,
            detector: &self.detector,
            links: &self.links,
            nodes: &self.nodes,
        };
        self.court.judge(evidence, self.now_ms);
    }

    fn is_convicted(&self, node: u32) -> bool {
        matches!(
            self.court.standing(NodeId(node)),
            Standing::Convicted { .. }
        )
    }
}

#[test]
fn two_witnesses_convict_at_once() {
    let mut bench = Bench::new(5);
    bench.say(1, &[4]);
    bench.judge();
    assert_eq!(bench.court.standing(NodeId(4)), Standing::Accused);
    bench.say(2, &[4]);
    bench.judge();
    assert!(bench.is_convicted(4));
}

#[test]
fn one_witness_convicts_only_if_nobody_contradicts() {
    let mut bench = Bench::new(5);
    bench.run(1_000, &[(1, &[4]), (2, &[])]);
    assert_eq!(bench.court.standing(NodeId(4)), Standing::Accused);
    let mut bench = Bench::new(3);
    // Node 0 listens to node 2 itself and has nothing against it, so its own reset counts as the only accusation.
    bench.detector.on_reset(NodeId(2), 1_000);
    bench.run(CONFIRM_MS - 10, &[]);
    assert_eq!(bench.court.standing(NodeId(2)), Standing::Accused);
    bench.run(20, &[]);
    assert!(bench.is_convicted(2));
}

#[test]
fn who_hears_nobody_is_no_witness() {
    let mut bench = Bench::new(6);
    bench.run(500, &[(1, &[2, 3, 4]), (5, &[2, 3, 4])]);
    for node in 2..5 {
        assert_eq!(bench.court.standing(NodeId(node)), Standing::Well);
    }
}

#[test]
fn a_statement_does_not_count_for_ever() {
    let mut bench = Bench::new(5);
    bench.say(1, &[4]);
    bench.now_ms += STATEMENT_MS;
    bench.say(2, &[4]);
    bench.judge();
    assert_eq!(
        bench.court.standing(NodeId(4)),
        Standing::Accused,
        "one fresh witness"
    );
}

#[test]
fn a_new_life_is_not_judged_for_the_old_one() {
    let mut bench = Bench::new(5);
    bench.run(100, &[(1, &[4]), (2, &[4])]);
    assert!(bench.is_convicted(4));
    bench.nodes.insert(NodeId(4), Incarnation(2));
    bench.run(100, &[(1, &[4]), (2, &[4])]);
    assert_eq!(bench.court.standing(NodeId(4)), Standing::Well);
}

#[test]
fn a_flapping_node_waits_longer_each_time() {
    let mut bench = Bench::new(5);
    let accuse: &[(u32, &[u32])] = &[(1, &[4]), (2, &[4])];
    let speak_well: &[(u32, &[u32])] = &[(1, &[]), (2, &[])];
    for relapse in 0..3 {
        bench.run(100, accuse);
        assert!(bench.is_convicted(4), "relapse {relapse}");
        let steady_ms = STEADY_MS << relapse;
        bench.run(steady_ms - 20, speak_well);
        let standing = bench.court.standing(NodeId(4));
        assert!(
            matches!(standing, Standing::Returning { .. }),
            "relapse {relapse}: {standing:?}"
        );
        bench.run(100, speak_well);
        assert_eq!(
            bench.court.standing(NodeId(4)),
            Standing::Well,
            "relapse {relapse}"
        );
    }
    bench.run(FORGIVEN_MS, speak_well);
    bench.run(100, accuse);
    bench.run(STEADY_MS + 200, speak_well);
    assert_eq!(
        bench.court.standing(NodeId(4)),
        Standing::Well,
        "it was forgiven"
    );
}

/// Everything that a brake lets through of a court that convicts these at this time.
fn believed(brake: &mut Brake, bench: &mut Bench, nodes: &[u32]) -> (Braking, Vec<u32>) {
    bench.run(10, &[(1, nodes), (2, nodes)]);
    let braking = brake.update(&bench.court, bench.nodes.len(), bench.now_ms);
    let dead = nodes
        .iter()
        .filter(|n| brake.dead_since(NodeId(**n), LIFE).is_some());
    (braking, dead.copied().collect())
}

#[test]
fn few_are_believed_at_once_many_only_when_they_stay_silent() {
    assert_eq!(
        [1, 4, 5, 9, 10, 1_000].map(believable),
        [1, 1, 1, 1, 2, 200]
    );
    let (mut bench, mut brake) = (Bench::new(10), Brake::default());
    assert_eq!(
        believed(&mut brake, &mut bench, &[8, 9]),
        (Braking::Free, vec![8, 9])
    );
    let (mut bench, mut brake) = (Bench::new(10), Brake::default());
    let asked = Braking::Pulled(vec![NodeId(7), NodeId(8), NodeId(9)]);
    assert_eq!(
        believed(&mut brake, &mut bench, &[7, 8, 9]),
        (asked, vec![])
    );
    // One of them answers, a little after it was asked.
    bench
        .court
        .exonerate(NodeId(7), bench.now_ms + BRAKE_MS + 50);
    assert_eq!(
        believed(&mut brake, &mut bench, &[7, 8, 9]),
        (Braking::Held, vec![])
    );
    bench.run(BRAKE_MS - 10, &[(1, &[7, 8, 9]), (2, &[7, 8, 9])]);
    assert_eq!(believed(&mut brake, &mut bench, &[7, 8, 9]).1, vec![8, 9]);
}

#[test]
fn deaths_that_follow_each_other_closely_count_together() {
    let (mut bench, mut brake) = (Bench::new(10), Brake::default());
    assert_eq!(
        believed(&mut brake, &mut bench, &[8, 9]),
        (Braking::Free, vec![8, 9])
    );
    assert_eq!(
        believed(&mut brake, &mut bench, &[7, 8, 9]),
        (Braking::Pulled(vec![NodeId(7)]), vec![8, 9])
    );
}
