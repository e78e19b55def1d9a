use alloc::{collections::BTreeMap, vec, vec::Vec};

use model::{Incarnation, NodeId};

use super::Detector;
use crate::timing::{HEARTBEAT_MS, SUSPICION_MS, TICK_MS};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const FIRST: Incarnation = Incarnation(1);
const SECOND: Incarnation = Incarnation(2);

/// A detector of A and B at 1,000 ms, and a clock that ticks it.
struct Bench {
    detector: Detector,
    now_ms: u64,
}

impl Bench {
    fn new() -> Self {
        let mut detector = Detector::new(1_000);
        detector.set_peers(&BTreeMap::from([(A, FIRST), (B, FIRST)]), 1_000);
        Self {
            detector,
            now_ms: 1_000,
        }
    }

    /// Ticks for so long; those in `alive` are heard in time.
    fn run(&mut self, for_ms: u64, alive: &[NodeId]) {
        for _ in 0..for_ms / TICK_MS {
            self.now_ms += TICK_MS;
            if self.now_ms.is_multiple_of(HEARTBEAT_MS) {
                for &node in alive {
                    self.detector.hear(node, FIRST, self.now_ms);
                }
            }
            self.detector.tick(self.now_ms);
        }
    }

    fn suspects(&self) -> Vec<NodeId> {
        self.detector.suspects().map(|s| s.0).collect()
    }
}

#[test]
fn who_falls_silent_is_suspected_in_time_and_nobody_else() {
    let mut bench = Bench::new();
    bench.run(1_000, &[A, B]);
    bench.run(SUSPICION_MS - 2 * TICK_MS, &[A]);
    assert_eq!(bench.suspects(), vec![]);
    bench.run(2 * TICK_MS, &[A]);
    assert_eq!(bench.suspects(), vec![B]);
    bench.run(HEARTBEAT_MS, &[A, B]);
    assert_eq!(bench.suspects(), vec![]);
}

#[test]
fn a_reset_is_believed_at_once_but_not_twice() {
    let mut bench = Bench::new();
    bench.run(100, &[A, B]);
    bench.detector.on_reset(B, bench.now_ms);
    assert_eq!(bench.suspects(), vec![B]);
    bench.run(HEARTBEAT_MS, &[A, B]);
    bench.detector.on_reset(B, bench.now_ms);
    assert_eq!(bench.suspects(), vec![], "it was the link");
    bench.run(SUSPICION_MS, &[A]);
    assert_eq!(bench.suspects(), vec![B], "silence still counts");
}

#[test]
fn an_observer_that_stood_still_accuses_nobody() {
    let mut bench = Bench::new();
    bench.run(100, &[A, B]);
    for paused_ms in [150, 1_000, 60_000] {
        bench.now_ms += paused_ms;
        // Its peers have given up on it: their resets are the first thing that it finds.
        bench.detector.on_reset(A, bench.now_ms);
        bench.run(TICK_MS, &[]);
        bench.detector.on_reset(B, bench.now_ms);
        assert_eq!(bench.suspects(), vec![], "paused for {paused_ms} ms");
        bench.run(200, &[A, B]);
        assert_eq!(bench.suspects(), vec![], "paused for {paused_ms} ms");
    }
    bench.run(SUSPICION_MS, &[A]);
    assert_eq!(bench.suspects(), vec![B], "it listens again");
}

#[test]
fn what_an_old_incarnation_says_is_no_sign_of_life() {
    let mut bench = Bench::new();
    let peers = BTreeMap::from([(A, FIRST), (B, SECOND)]);
    bench.detector.set_peers(&peers, bench.now_ms);
    bench.run(SUSPICION_MS, &[A, B]);
    assert!(bench.detector.suspects().eq([(B, SECOND)]));
}
