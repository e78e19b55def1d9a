//! The cluster as tables for people.

use std::fmt::Write as _;

use server::survey::{LossRow, MemberRow, NodeRow, ShardRow, Survey};

/// Whether everything is served, with as many complete copies as there should be, and everybody answers. What is moved by plan is well.
pub fn is_well(survey: &Survey) -> bool {
    survey.is_safe() && survey.store_answers && survey.nodes.iter().all(is_node_well)
}

fn is_node_well(node: &NodeRow) -> bool {
    node.state == "gone" || (node.state != "joining" && node.standing == "well")
}

/// A few lines.
pub fn status(survey: &Survey) -> String {
    let nodes = survey.nodes.iter();
    let well = nodes.filter(|node| is_node_well(node)).count();
    let served = survey
        .shards
        .iter()
        .filter(|shard| shard.phase == "serving")
        .count();
    let Copies {
        missing,
        lost,
        filling,
        unknown,
    } = Copies::count(survey);
    let mut also = String::new();
    for (copies, what) in [
        (lost, "on nodes that do not answer"),
        (unknown, "not yet heard of"),
    ] {
        if copies > 0 {
            let _ = write!(also, ", {copies} {what}");
        }
    }
    let coordinator = survey.coordinator.map_or_else(
        || "nobody yet".into(),
        |node| format!("node {node}, term {}", survey.term),
    );
    let store = if survey.store_answers {
        "answers"
    } else {
        "does not answer: the cluster serves on as it is, without failover"
    };
    let mut text = format!(
        "cluster {}: {}\n\
         nodes        {well} of {} well\n\
         shards       {served} of {} served, {missing} copies missing, {filling} being filled{also}\n\
         coordinator  {coordinator}\n\
         map          {store}\n",
        survey.cluster,
        if is_well(survey) { "well" } else { "NOT WELL" },
        survey.nodes.len(),
        survey.shard_count,
    );
    for node in survey.nodes.iter().filter(|node| !is_node_well(node)) {
        let _ = writeln!(
            text,
            "  node {}: {}, {}",
            node.node, node.state, node.standing
        );
    }
    for node in survey.nodes.iter().filter(|node| is_draining(node)) {
        let _ = writeln!(
            text,
            "  node {}: draining, {} copies left{}",
            node.node,
            node.copies,
            waits_for_room(survey).map_or_else(String::new, |why| format!(": {why}"))
        );
    }
    for shard in survey
        .shards
        .iter()
        .filter(|shard| shard.phase != "serving")
    {
        let _ = writeln!(
            text,
            "  shard {}: {} under node {}",
            shard.shard, shard.phase, shard.primary
        );
    }
    let relics = &survey.behind_by_relics;
    let is_waiting = |shard: &&u16| !relics.contains(shard);
    let waiting: Vec<u16> = survey.behind.iter().filter(is_waiting).copied().collect();
    if !waiting.is_empty() {
        let _ = writeln!(
            text,
            "  shards {waiting:?}: the map has lost what their copies know; each goes on by itself when as many of its members are there as must have a write; \
             if they never will be: tenure cluster recover {} --longest",
            words(&waiting)
        );
    }
    if !relics.is_empty() {
        let _ = writeln!(
            text,
            "  shards {relics:?}: the map has lost them, and all that tell of them have begun a new life (their machines had stopped, or files were damaged), so nobody knows who had copies. Start every node that may have had some; \
             then let them go on from the longest log: tenure cluster recover {} --longest",
            words(relics)
        );
    }
    if !survey.losses.is_empty() {
        let mut shards: Vec<u16> = survey.losses.iter().map(|loss| loss.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        let _ = writeln!(
            text,
            "  losses, until they are seen to: tenure cluster acknowledge {} removes these reports",
            words(&shards)
        );
    }
    for loss in &survey.losses {
        let _ = writeln!(
            text,
            "  shard {}, epoch {}: {}",
            loss.shard,
            loss.epoch,
            what_is_lost(loss)
        );
    }
    text
}

/// Numbers, as a command takes them.
fn words(numbers: &[u16]) -> String {
    let words: Vec<String> = numbers.iter().map(u16::to_string).collect();
    words.join(" ")
}

fn is_draining(node: &NodeRow) -> bool {
    node.state == "draining"
}

/// Why no drain can end, if none can.
pub fn waits_for_room(survey: &Survey) -> Option<String> {
    let (copies, staying) = (usize::from(survey.copies), survey.staying_processes());
    (staying < copies).then(|| {
        format!(
            "each shard has {copies} copies, and {staying} of these nodes stay; add nodes, or undrain"
        )
    })
}

/// What a recovery has gone without.
fn what_is_lost(loss: &LossRow) -> String {
    let (node, missing) = (loss.survivor, &loss.missing);
    if loss.relic {
        format!(
            "recovered from what {missing:?} had on their disks when their machines stopped (node {node} went furthest); what was not synced yet is lost"
        )
    } else if missing.is_empty() {
        format!("recovered from node {node} alone; whether others had more the map does not know")
    } else {
        format!("recovered from node {node} alone; what {missing:?} had more is lost")
    }
}

fn answers(survey: &Survey, node: u32) -> bool {
    let mut nodes = survey.nodes.iter();
    nodes.any(|row| row.node == node && row.standing != "convicted")
}

/// Copies that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies {
    /// Fewer than there should be.
    pub missing: usize,
    /// On nodes that do not answer, or of lives that are over.
    pub lost: usize,
    /// Known not to be complete.
    pub filling: usize,
    /// Of which the shard's primary has not said yet what they are.
    pub unknown: usize,
}

impl Copies {
    pub fn count(survey: &Survey) -> Self {
        let target = usize::from(survey.copies);
        let shards = survey.shards.iter();
        let missing = shards.map(|shard| target.saturating_sub(shard.members.len()));
        let members = survey.shards.iter().flat_map(|shard| &shard.members);
        let (living, lost): (Vec<&MemberRow>, Vec<&MemberRow>) =
            members.partition(|member| member.present && answers(survey, member.node));
        let of = |complete| {
            let members = living.iter();
            members.filter(|member| member.complete == complete).count()
        };
        Self {
            missing: missing.sum(),
            lost: lost.len(),
            filling: of(Some(false)),
            unknown: of(None),
        }
    }
}

/// One line a node.
pub fn nodes(survey: &Survey) -> String {
    let mut text = format!(
        "{:>4}  {:<9} {:<10} {:>5} {:>6} {:>4}  {:<21} {:<21} {}\n",
        "node", "state", "standing", "leads", "copies", "zone", "client", "peer", "admin"
    );
    for node in &survey.nodes {
        let role = if Some(node.node) == survey.coordinator {
            "  coordinator"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "{:>4}  {:<9} {:<10} {:>5} {:>6} {:>4}  {:<21} {:<21} {}{role}",
            node.node,
            node.state,
            node.standing,
            node.primaries,
            node.copies,
            node.zone,
            node.client,
            node.peer,
            node.admin
        );
    }
    text
}

/// One line a shard; `*` marks a copy that is not complete, `-` a member whose life is over, `?` one on a node that does not answer.
pub fn shards(survey: &Survey) -> String {
    let mut text = format!(
        "{:>5}  {:<11} {:>6}  {:<10} {:>7}  {:<16} {:>11} {:>8}\n",
        "shard", "slots", "epoch", "phase", "primary", "copies", "bytes", "writes/s"
    );
    for shard in &survey.shards {
        let slots = format!("{}-{}", shard.first_slot, shard.last_slot);
        let bytes = shard
            .bytes
            .map_or_else(|| "?".into(), |bytes| bytes.to_string());
        let writes = shard
            .writes_per_s
            .map_or_else(|| "?".into(), |writes| writes.to_string());
        let _ = writeln!(
            text,
            "{:>5}  {slots:<11} {:>6}  {:<10} {:>7}  {:<16} {bytes:>11} {writes:>8}",
            shard.shard,
            shard.epoch,
            shard.phase,
            shard.primary,
            members(survey, shard)
        );
    }
    text
}

fn members(survey: &Survey, shard: &ShardRow) -> String {
    let members = shard.members.iter().map(|member| {
        let mark = match member.complete {
            _ if !member.present => "-",
            _ if !answers(survey, member.node) => "?",
            Some(false) => "*",
            Some(true) | None => "",
        };
        format!("{}{mark}", member.node)
    });
    members.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use server::survey::{MemberRow, NodeRow, ShardRow, Survey};

    use super::{is_well, shards, status};

    fn survey() -> Survey {
        let node = |node: u32| NodeRow {
            node,
            process: node.to_string(),
            state: "active".into(),
            standing: "well".into(),
            ..NodeRow::default()
        };
        let member = |node| MemberRow {
            node,
            present: true,
            complete: Some(true),
        };
        Survey {
            cluster: "shop".into(),
            node: 1,
            coordinator: Some(1),
            term: 3,
            store_answers: true,
            copies: 2,
            quorum: 2,
            shard_count: 1,
            nodes: vec![node(1), node(2)],
            shards: vec![ShardRow {
                last_slot: 16_383,
                epoch: 4,
                phase: "serving".into(),
                primary: 1,
                quorum: 2,
                members: vec![member(1), member(2)],
                bytes: Some(7),
                writes_per_s: Some(1),
                ..ShardRow::default()
            }],
            losses: Vec::new(),
            behind: Vec::new(),
            behind_by_relics: Vec::new(),
        }
    }

    #[test]
    fn anything_that_is_wrong_is_not_well_and_is_named() {
        let well = survey();
        assert!(is_well(&well) && status(&well).starts_with("cluster shop: well\n"));
        type Change = fn(&mut Survey);
        let wrong: [(Change, &str); 10] = [
            (
                |s| (s.behind, s.behind_by_relics) = (vec![0, 3], vec![0, 3]),
                "shards [0, 3]: the map has lost them, and all that tell of them have begun a new life (their machines had stopped, or files were damaged), so nobody knows who had copies. Start every node \
                 that may have had some; then let them go on from the longest log: tenure cluster recover 0 3 --longest\n",
            ),
            (
                |s| s.behind = vec![0],
                "the map has lost what their copies know",
            ),
            (|s| s.store_answers = false, "without failover"),
            (
                |s| s.nodes[1].standing = "convicted".into(),
                "node 2: active, convicted",
            ),
            (
                |s| s.shards[0].phase = "recovering".into(),
                "shard 0: recovering under node 1",
            ),
            (
                |s| s.shards[0].members[1].complete = Some(false),
                "1 being filled",
            ),
            (
                |s| s.shards[0].members[1].complete = None,
                "1 not yet heard of",
            ),
            (|s| s.shards[0].members.truncate(1), "1 copies missing"),
            (
                |s| s.nodes[1].standing = "convicted".into(),
                "0 being filled, 1 on nodes that do not answer",
            ),
            (
                |s| {
                    let lost = &mut s.shards[0].members[1];
                    (lost.present, lost.complete) = (false, Some(false));
                },
                "0 being filled, 1 on nodes that do not answer",
            ),
        ];
        for (change, named) in wrong {
            let mut survey = survey();
            change(&mut survey);
            let text = status(&survey);
            assert!(!is_well(&survey) && text.contains("NOT WELL"), "{named}");
            assert!(text.contains(named), "{text}");
        }
    }

    #[test]
    fn a_drain_that_cannot_end_says_why() {
        let mut survey = survey();
        survey.nodes[1].copies = 1;
        survey.nodes[1].state = "draining".into();
        let stuck =
            "node 2: draining, 1 copies left: each shard has 2 copies, and 1 of these nodes stay";
        assert!(status(&survey).contains(stuck), "{}", status(&survey));
        assert!(is_well(&survey), "nothing is in danger");
        let mut third = survey.nodes[0].clone();
        third.node = 3;
        survey.nodes.push(third.clone());
        assert!(status(&survey).contains(stuck), "it shares a process");
        third.process = "another".into();
        survey.nodes.push(third);
        let text = status(&survey);
        assert!(text.contains("node 2: draining, 1 copies left\n"), "{text}");
    }

    #[test]
    fn marks_tell_copies_apart() {
        let mut survey = survey();
        survey.shards[0].members[0].complete = Some(false);
        survey.shards[0].members[1].present = false;
        assert!(shards(&survey).contains(" 1* 2- "), "{}", shards(&survey));
        survey.shards[0].members[1].present = true;
        survey.nodes[1].standing = "convicted".into();
        assert!(shards(&survey).contains(" 1* 2? "), "{}", shards(&survey));
    }
}
