//! The control plane: some hundred seeds with every fault, and single faults with the time that they cost.

use model::{NodeId, Phase};
use sim::control::{ControlPlan, ControlWorld, SIMULATOR};
use sim::seeds::asked_for;

/// `CONTROL_SEEDS=from..to` runs others than every change is tested with.
#[test]
fn nothing_is_wrong_in_any_seed() {
    SIMULATOR.test(asked_for("CONTROL_SEEDS", 0..120), &[]);
}

#[test]
fn one_seed_is_one_history() {
    SIMULATOR.test_twice(0..6);
}

/// A cluster of five nodes with three copies of 32 shards that has come to rest.
fn calm() -> ControlWorld {
    let mut world = ControlWorld::new(ControlPlan::calm(5, 3, 32), false);
    world.run_for(60_000).expect("a calm cluster");
    assert!(is_serving(&world, 32));
    world
}

fn is_serving(world: &ControlWorld, shards: usize) -> bool {
    let map = world.map();
    map.shards().len() == shards
        && map
            .shards()
            .values()
            .all(|r| r.config.phase() == Phase::Serving)
}

/// How long until no shard is led by `node` and all of them serve.
fn until_led_by_others(world: &mut ControlWorld, node: u32) -> u64 {
    let from_ms = world.now_ms();
    loop {
        let mut shards = world.map().shards().values();
        let led = shards.any(|r| r.config.primary().node == NodeId(node));
        if !led && is_serving(world, 32) {
            return world.now_ms() - from_ms;
        }
        assert!(world.now_ms() < from_ms + 10_000, "node {node} still leads");
        world.run_for(5).expect("nothing is wrong");
    }
}

fn someone_who_does_not_lead(world: &ControlWorld) -> u32 {
    let leader = world.leader().expect("somebody leads");
    (0..5).find(|node| *node != leader).expect("five nodes")
}

#[test]
fn a_killed_node_is_replaced_in_a_tenth_of_a_second() {
    let mut world = calm();
    let node = someone_who_does_not_lead(&world);
    world.kill(node);
    let took_ms = until_led_by_others(&mut world, node);
    assert!(took_ms <= 100, "{took_ms} ms");
}

#[test]
fn a_stopped_node_is_replaced_within_half_a_second() {
    let mut world = calm();
    let node = someone_who_does_not_lead(&world);
    world.pause(node);
    let took_ms = until_led_by_others(&mut world, node);
    assert!(took_ms <= 400, "{took_ms} ms");
}

#[test]
fn the_role_passes_within_the_same_half_second() {
    for stop in [ControlWorld::kill, ControlWorld::pause] {
        let mut world = calm();
        let leader = world.leader().expect("somebody leads");
        stop(&mut world, leader);
        let took_ms = until_led_by_others(&mut world, leader);
        assert!(took_ms <= 500, "{took_ms} ms");
        assert_ne!(world.leader(), Some(leader));
    }
}

/// The observer stops and goes on: it takes nothing from anybody.
#[test]
fn an_observer_that_stood_still_takes_nothing_from_anybody() {
    for paused_ms in [120, 150, 180] {
        let mut world = calm();
        let leader = world.leader().expect("somebody leads");
        let before = world.counts().reasons;
        world.pause(leader);
        world.run_for(paused_ms).expect("nothing is wrong");
        world.resume(leader).expect("nothing is wrong");
        world.run_for(5_000).expect("nothing is wrong");
        assert_eq!(world.counts().reasons, before, "stopped for {paused_ms} ms");
    }
}

/// Stopped for longer, it rightly loses what it led; what others lead they keep.
#[test]
fn an_observer_that_others_gave_up_takes_nothing_from_them() {
    for paused_ms in [1_000, 5_000] {
        let mut world = calm();
        let leader = world.leader().expect("somebody leads");
        let shards = world.map().shards().values();
        let led = shards
            .filter(|r| r.config.primary().node == NodeId(leader))
            .count() as u64;
        let (before, terms) = (world.counts().reasons, world.counts().terms);
        world.pause(leader);
        world.run_for(paused_ms).expect("nothing is wrong");
        world.resume(leader).expect("nothing is wrong");
        world.run_for(5_000).expect("nothing is wrong");
        assert_eq!(
            world.counts().reasons[0] - before[0],
            led,
            "stopped for {paused_ms} ms"
        );
        assert_eq!(world.counts().terms, terms + 1);
    }
}

/// All nodes stop at once, as when the machine that they run on is suspended.
#[test]
fn when_everybody_stood_still_nothing_happens() {
    let mut world = calm();
    let (before, terms) = (world.counts().reasons, world.counts().terms);
    (0..5).for_each(|node| world.pause(node));
    world.run_for(30_000).expect("nothing is wrong");
    for node in 0..5 {
        world.resume(node).expect("nothing is wrong");
    }
    world.run_for(5_000).expect("nothing is wrong");
    assert_eq!(
        (world.counts().reasons, world.counts().terms),
        (before, terms)
    );
}

#[test]
fn two_at_once_wait_for_the_brake_and_are_believed_after_it() {
    let mut world = calm();
    let node = someone_who_does_not_lead(&world);
    let other = (0..5)
        .rev()
        .find(|n| *n != node && Some(*n) != world.leader())
        .expect("five nodes");
    let braked = world.counts().braked;
    world.pause(node);
    world.pause(other);
    world.run_for(700).expect("nothing is wrong");
    assert!(world.counts().braked > braked);
    world.run_for(2_000).expect("nothing is wrong");
    let led = |node: u32| {
        world
            .map()
            .shards()
            .values()
            .filter(|r| r.config.primary().node == NodeId(node))
            .count()
    };
    // Shards with two of their three members gone cannot prove what was acknowledged, and wait.
    let waiting = world.map().shards().values().filter(|r| {
        let members = r.config.copies().members();
        members
            .iter()
            .filter(|m| [node, other].contains(&m.node.0))
            .count()
            == 2
    });
    assert!(led(node) + led(other) <= waiting.count());
}
