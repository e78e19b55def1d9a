//! Which nodes have which copies, and how many bytes, as a node of Tenure tells its operators: `CLUSTER SLOTS` names the primaries only.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Deserialize;

/// What `GET /cluster` says of shards.
#[derive(Debug, Deserialize)]
pub struct Survey {
    shards: Vec<Shard>,
}

#[derive(Debug, Deserialize)]
struct Shard {
    first_slot: u16,
    phase: String,
    primary: u32,
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    node: u32,
    present: bool,
    complete: Option<bool>,
}

impl Survey {
    /// What the node with this admin port says, if it does in time.
    pub fn ask(admin: SocketAddr, timeout: Duration) -> Option<Self> {
        serde_json::from_str(&get(admin, "/cluster", timeout)?).ok()
    }

    /// Whether every shard serves and has so many copies that have everything. Only the coordinator can tell.
    pub fn is_complete(&self, copies: usize) -> bool {
        let has_all = |member: &Member| member.present && member.complete == Some(true);
        let is_whole = |shard: &Shard| {
            let members = &shard.members;
            shard.phase == "serving" && members.len() == copies && members.iter().all(has_all)
        };
        !self.shards.is_empty() && self.shards.iter().all(is_whole)
    }

    /// The numbers of the nodes, from 1 on, that have the shard which begins with this slot: its primary first.
    pub fn copies(&self, first_slot: u16) -> Vec<u32> {
        let shard = self.shards.iter().find(|s| s.first_slot == first_slot);
        let Some(shard) = shard else {
            return Vec::new();
        };
        let present = shard.members.iter().filter(|member| member.present);
        let mut copies: Vec<u32> = present.map(|member| member.node).collect();
        copies.sort_by_key(|node| *node != shard.primary);
        copies
    }
}

/// Bytes of current entries in all copies of a node.
pub fn live_bytes(admin: SocketAddr, timeout: Duration) -> Option<u64> {
    let metrics = get(admin, "/metrics", timeout)?;
    let mut values = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("tenure_memory_live_bytes "));
    values.next()?.trim().parse().ok()
}

/// The body of what is answered, if all is well and it is answered in time.
fn get(admin: SocketAddr, path: &str, timeout: Duration) -> Option<String> {
    let answer = fetch(admin, path, timeout).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

fn fetch(admin: SocketAddr, path: &str, timeout: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"shards": [{"first_slot": 5, "phase": "serving", "primary": 3, "more": 1, "members": [
        {"node": 1, "present": true, "complete": true}, {"node": 2, "present": false, "complete": null},
        {"node": 3, "present": true, "complete": true}]}]}"#;

    #[test]
    fn the_primary_comes_first_and_a_lost_life_does_not_count() {
        let survey: Survey = serde_json::from_str(TEXT).expect("as nodes write it");
        assert_eq!(survey.copies(5), [3, 1]);
        assert_eq!(survey.copies(6), [0; 0]);
    }

    #[test]
    fn a_copy_that_nobody_vouches_for_is_not_complete() {
        let complete = |text: &str| {
            let survey: Survey = serde_json::from_str(text).expect("as nodes write it");
            survey.is_complete(3)
        };
        assert!(!complete(TEXT));
        let all = TEXT.replace("false, \"complete\": null", "true, \"complete\": true");
        assert!(complete(&all));
        assert!(!complete(&all.replace("serving", "recovering")));
        assert!(!complete(r#"{"shards": []}"#));
    }
}
