//! Machines that lose their power, as far as processes can show it: the server takes it so if the machine has been started anew since.

use std::path::Path;

use server::survey::Survey;

use super::failover::{read_all, write_all};
use super::rig::Cluster;

/// With `always` a life outlives its machine.
const EVERY_SECOND: &[&str] = &["--sync", "everysec"];

/// The process is killed, and the machine started anew before it starts again.
pub(super) fn lose_power(cluster: &mut Cluster, node: u32) {
    cluster.kill(node);
    let file = cluster.dir(node).join("NODE");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| match line.starts_with("boot ") {
        true => "boot another\n".to_owned(),
        false => format!("{line}\n"),
    });
    std::fs::write(&file, lines.collect::<String>()).unwrap();
}

fn lives(survey: &Survey) -> Vec<(u32, String)> {
    let rows = survey.nodes.iter();
    rows.map(|row| (row.node, row.life.clone())).collect()
}

/// Flips a bit in the middle of the first file of a copy that holds anything.
pub(super) fn damage(dir: &Path) {
    let copies = std::fs::read_dir(dir.join("copies")).unwrap();
    let segments = copies.map(|copy| copy.unwrap().path().join("segments"));
    let folders = segments.filter(|folder| folder.is_dir());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files = files.map(|file| file.unwrap().path());
    for file in files {
        let mut bytes = std::fs::read(&file).unwrap();
        // Behind the header of the segment and that of the first entry, where a file that is used is never all zeros.
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        if used > 4_000 {
            bytes[200] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            return;
        }
    }
    panic!("no file is used");
}

#[test]
fn machines_that_all_lose_their_power_come_back_with_what_they_had_written() {
    let mut cluster = Cluster::start(3, EVERY_SECOND);
    let mut client = cluster.client();
    write_all(&mut client, "kept");
    let before = lives(&cluster.survey());
    for node in 1..=3 {
        lose_power(&mut cluster, node);
    }
    for node in 1..=3 {
        cluster.start_node(node);
    }
    let mut client = cluster.client();
    read_all(&mut client, "kept");
    write_all(&mut client, "more");
    let survey = cluster.until("all is well again", Survey::is_whole);
    let after = lives(&survey);
    let are_over = before.iter().all(|life| !after.contains(life));
    assert!(are_over, "{before:?} {after:?}");
    assert_eq!(survey.losses.len(), 8, "each shard may have lost something");
    let status = cluster.command(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(
        text.contains("had on their disks when their machines stopped"),
        "{text}"
    );
    for shard in 0..8 {
        let done = cluster.command(&["acknowledge", &shard.to_string()]);
        assert!(done.status.success(), "{done:?}");
    }
    cluster.until("nothing is reported any more", |survey| {
        survey.losses.is_empty()
    });
    let again = cluster.command(&["acknowledge", "0"]);
    let text = String::from_utf8_lossy(&again.stderr);
    assert!(
        !again.status.success() && text.contains("on record"),
        "{text}"
    );
    // And what they have now is theirs.
    for node in 1..=3 {
        lose_power(&mut cluster, node);
    }
    for node in 1..=3 {
        cluster.start_node(node);
    }
    let mut client = cluster.client();
    read_all(&mut client, "more");
}

#[test]
fn a_machine_that_loses_its_power_catches_up_from_what_it_had_written() {
    let mut cluster = Cluster::start(3, EVERY_SECOND);
    let mut client = cluster.client();
    write_all(&mut client, "before");
    lose_power(&mut cluster, 2);
    write_all(&mut client, "after");
    cluster.start_node(2);
    cluster.until("it is whole", |survey| {
        survey.is_whole() && survey.nodes.iter().all(|node| node.copies == 8)
    });
    assert_eq!(
        cluster.nodes[&2].metric("tenure_copies_filled_total"),
        0.0,
        "it went on from its files"
    );
    read_all(&mut client, "after");
}

#[test]
fn damage_in_one_machine_does_not_keep_the_others_from_coming_back() {
    let mut cluster = Cluster::start(3, EVERY_SECOND);
    let mut client = cluster.client();
    write_all(&mut client, &"kept".repeat(50));
    for node in 1..=3 {
        lose_power(&mut cluster, node);
    }
    damage(&cluster.dir(1));
    for node in 1..=3 {
        cluster.start_node(node);
    }
    let mut client = cluster.client();
    read_all(&mut client, &"kept".repeat(50));
    cluster.until("all is well again", Survey::is_whole);
    let log = cluster.stop(1);
    assert!(log.contains("the file goes to quarantine"), "{log}");
}
