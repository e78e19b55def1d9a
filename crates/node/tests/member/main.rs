//! Nodes that are members of a cluster, whole: clients, replicas, stores and files.

mod world;

use world::World;

#[test]
fn a_write_is_redirected_to_its_primary_and_survives_it() {
    let mut world = World::new(3, 4, false);
    for key in 0..40 {
        assert_eq!(world.follow(&format!("SET key:{key} {key}")), "+OK\n");
    }
    world.kill(0);
    world.fail_over(0);
    world.until_served();
    for key in 0..40 {
        let value = key.to_string();
        let expected = format!("${}\n{value}\n", value.len());
        assert_eq!(
            world.follow(&format!("GET key:{key}")),
            expected,
            "key:{key}"
        );
    }
    assert_eq!(world.follow("SET after 1"), "+OK\n");
}
