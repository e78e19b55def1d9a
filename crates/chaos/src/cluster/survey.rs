//! Which nodes have which copies, as a node of Tenure tells its operators: `CLUSTER SLOTS` names the primaries only.

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
    primary: u32,
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    node: u32,
    present: bool,
}

impl Survey {
    /// What the node with this admin port says, if it does in time.
    pub fn ask(admin: SocketAddr, timeout: Duration) -> Option<Self> {
        let answer = get(admin, timeout).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let is_well = head.starts_with("HTTP/1.1 200");
        serde_json::from_str(body).ok().filter(|_| is_well)
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

fn get(admin: SocketAddr, timeout: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(b"GET /cluster HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_comes_first_and_a_lost_life_does_not_count() {
        let text = r#"{"shards": [{"first_slot": 5, "primary": 3, "more": 1, "members": [
            {"node": 1, "present": true}, {"node": 2, "present": false}, {"node": 3, "present": true}]}]}"#;
        let survey: Survey = serde_json::from_str(text).expect("as nodes write it");
        assert_eq!(survey.copies(5), [3, 1]);
        assert_eq!(survey.copies(6), [0; 0]);
    }
}
