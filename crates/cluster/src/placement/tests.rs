use alloc::{collections::BTreeMap, vec::Vec};

use model::{NodeId, ShardId, Zone};

use super::{Site, choose, may_move};

/// Numbers from one number, for drawing clusters.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn cluster(zones: u16, nodes_per_zone: u32) -> Vec<Site> {
    let nodes = (0..u32::from(zones) * nodes_per_zone).map(|n| Site {
        node: NodeId(n),
        process: u64::from(n),
        zone: Zone((n % u32::from(zones)) as u16),
        burden: 0,
    });
    nodes.collect()
}

/// Places every shard, one copy after the other, on nodes that carry nothing.
fn place(sites: &mut [Site], shards: u16, copies: usize) -> Vec<Vec<Site>> {
    let mut placed = Vec::new();
    for shard in 0..shards {
        let mut held: Vec<Site> = Vec::new();
        for _ in 0..copies {
            let Some(site) = choose(ShardId(shard), sites, &held) else {
                break;
            };
            held.push(site);
            sites
                .iter_mut()
                .find(|s| s.node == site.node)
                .expect("it was chosen from them")
                .burden += 1;
        }
        placed.push(held);
    }
    placed
}

#[test]
fn burdens_are_even_and_zones_differ() {
    for (zones, per_zone, shards) in [
        (1, 3, 128),
        (3, 1, 128),
        (3, 4, 256),
        (5, 2, 100),
        (4, 25, 1_000),
    ] {
        let mut sites = cluster(zones, per_zone);
        let placed = place(&mut sites, shards, 3);
        for held in &placed {
            assert_eq!(held.len(), 3);
            let mut in_zone: BTreeMap<Zone, usize> = BTreeMap::new();
            held.iter()
                .for_each(|site| *in_zone.entry(site.zone).or_default() += 1);
            let fewest = 3usize.div_ceil(usize::from(zones).min(3));
            assert!(
                in_zone.values().all(|&n| n <= fewest),
                "{zones} zones: {held:?}"
            );
        }
        let burdens: Vec<u64> = sites.iter().map(|s| s.burden).collect();
        let spread = burdens.iter().max().expect("nodes") - burdens.iter().min().expect("nodes");
        assert!(spread <= 2, "{zones} zones of {per_zone}: {burdens:?}");
    }
}

#[test]
fn one_process_never_holds_two_copies() {
    let mut chance = Chance(7);
    for _ in 0..200 {
        let nodes = 1 + chance.below(20) as u32;
        let processes = 1 + chance.below(6);
        let zones = 1 + chance.below(4);
        let mut sites: Vec<Site> = (0..nodes)
            .map(|n| {
                let process = chance.below(processes);
                let zone = Zone((process % zones) as u16);
                Site {
                    node: NodeId(n),
                    process,
                    zone,
                    burden: chance.below(50),
                }
            })
            .collect();
        let distinct = |held: &[Site]| {
            let mut seen: Vec<u64> = held.iter().map(|s| s.process).collect();
            seen.sort_unstable();
            seen.dedup();
            seen.len()
        };
        let most = distinct(&sites).min(3);
        for held in place(&mut sites, 20, 3) {
            assert_eq!(distinct(&held), held.len());
            assert_eq!(held.len(), most, "as many copies as there are processes");
        }
    }
}

#[test]
fn a_lost_node_moves_only_its_own_copies_and_scatters_them() {
    let mut sites = cluster(4, 10);
    let placed = place(&mut sites, 400, 3);
    let dead = NodeId(17);
    sites.retain(|s| s.node != dead);
    let mut receivers: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut lost = 0;
    for (shard, held) in placed.iter().enumerate() {
        let remaining: Vec<Site> = held.iter().filter(|s| s.node != dead).copied().collect();
        if remaining.len() == held.len() {
            continue;
        }
        lost += 1;
        let new = choose(ShardId(shard as u16), &sites, &remaining).expect("39 nodes");
        sites
            .iter_mut()
            .find(|s| s.node == new.node)
            .expect("it was chosen from them")
            .burden += 1;
        *receivers.entry(new.node).or_default() += 1;
    }
    assert_eq!(lost, 30);
    assert!(receivers.len() >= 20, "everybody takes part: {receivers:?}");
    assert!(receivers.values().all(|&n| n <= 2));
}

#[test]
fn a_move_never_crowds_a_zone() {
    let site = |node: u32, process: u64, zone: u16| Site {
        node: NodeId(node),
        process,
        zone: Zone(zone),
        burden: 0,
    };
    let others = [site(1, 1, 1), site(2, 2, 2)];
    let from = site(3, 3, 3);
    assert!(may_move(&from, &site(4, 4, 4), &others));
    assert!(may_move(&from, &site(4, 4, 3), &others));
    assert!(!may_move(&from, &site(4, 4, 1), &others), "two in zone 1");
    assert!(
        !may_move(&from, &site(4, 2, 4), &others),
        "two in process 2"
    );
    assert!(
        !may_move(&from, &site(4, 3, 4), &others),
        "both would be there for a while"
    );
}
