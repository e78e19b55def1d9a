//! A copy that is given up before its epoch serves, by real stores: it stands in its files until it is whole again, and is taken back if nobody else has
//! what it had.

use cluster::message::Resigned;
use replica::How;

use crate::world::World;
use crate::{assert_all, set_all};

/// A node that was away for the last writes, one that has set its copy aside, and one that was filling it and has just lost everything.
struct Bereft {
    world: World,
    deaf: usize,
    keeper: usize,
    lost: usize,
}

fn bereft() -> Bereft {
    let mut bereft = set_aside();
    bereft.world.kill(bereft.lost);
    bereft.world.start(bereft.deaf);
    bereft.world.start_anew(bereft.lost);
    bereft
}

/// The same while that one still fills it.
fn set_aside() -> Bereft {
    let mut world = World::new(3, 1, true);
    let primary = world.primary(0);
    let (deaf, keeper) = ((primary + 1) % 3, (primary + 2) % 3);
    set_all(&mut world, 0..20);
    world.kill(deaf);
    set_all(&mut world, 20..40);
    world.pass(200);
    world.kill(keeper);
    // What no log can say to whoever has missed it.
    let client = world.connect(primary);
    world.tell(client, "FLUSHALL");
    world.pass(50);
    world.kill(primary);
    world.start(primary);
    world.start(keeper);
    world.decide(0, &[0, 1, 2], primary);
    world.until("it is given up", |world| vows(world, keeper).kept);
    let had = world.node(keeper).copy_ids();
    world.until("another is filled in its place", |world| {
        world.node(keeper).copy_ids() != had
    });
    assert!(vows(&world, keeper).kept);
    Bereft {
        world,
        deaf,
        keeper,
        lost: primary,
    }
}

fn vows(world: &World, node: usize) -> replica::Vows {
    let mut shards = world.node(node).shards();
    shards.next().expect("its copy").1.replica().vows()
}

fn resigned(world: &mut World, node: usize) -> Resigned {
    world.copies(node)[0].resigned
}

impl Bereft {
    /// What was acknowledged is there, and what nobody has acknowledged is not.
    fn finds_all(mut self) {
        self.world.decide(0, &[0, 1, 2], self.keeper);
        self.world.until_served();
        assert_all(&mut self.world, 0..40);
        let all = |world: &mut World| world.copies(self.keeper)[0].complete == 0b111;
        self.world.until("all copies are whole", all);
        // One of them goes once more.
        self.world.kill(self.keeper);
        self.world.decide(0, &[0, 1, 2], self.lost);
        self.world.until_served();
        assert_all(&mut self.world, 0..40);
    }
}

#[test]
fn what_was_set_aside_is_taken_back_while_the_node_runs() {
    let mut bereft = bereft();
    let (deaf, keeper) = (bereft.deaf, bereft.keeper);
    let world = &mut bereft.world;
    world.whole.clear();
    world.decide(0, &[0, 1, 2], deaf);
    let favoured = Resigned::InFavourOf(world.member(keeper).node);
    world.until("it cannot lead", |world| resigned(world, deaf) == favoured);
    world.decide(0, &[0, 1, 2], keeper);
    world.until("it is taken back", |world| {
        world.whole.contains(&(keeper, How::TakenBack))
    });
    assert_eq!(vows(world, keeper).discarded, None);
    bereft.finds_all();
}

#[test]
fn what_was_set_aside_is_taken_back_by_a_start() {
    let mut bereft = bereft();
    bereft.world.kill(bereft.keeper);
    bereft.world.start(bereft.keeper);
    assert_eq!(vows(&bereft.world, bereft.keeper).discarded, None);
    bereft.finds_all();
}

/// The primary does not die: what was set aside goes when the copy is filled.
#[test]
fn what_was_set_aside_goes_when_the_copy_is_whole() {
    let Bereft {
        mut world, keeper, ..
    } = set_aside();
    assert_eq!(world.folders(keeper), 2);
    world.until("it is filled", |world| !vows(world, keeper).kept);
    world.pass(50);
    assert_eq!(world.folders(keeper), 1);
}
