//! The configuration in the terms of those who use it.

use command::Settings;
use ring::hmac;
use shard::ShardSettings;
use shard::sessions::{CapPolicy, UserCap};
use store::StoreConfig;

use crate::clock::nanoseconds;
use crate::config::{Cap, Config, Guard};

/// Memory of the process that is not the store's: code, stacks, buffers that all connections share, the allocator's
/// own. Measured with an idle server.
const OVERHEAD_BYTES: u64 = 12 << 20;
/// Of the rest, the share that is kept for the connections' buffers, as one part in so many, but at least so much.
const BUFFERS_PART: u64 = 32;
const LEAST_BUFFERS_BYTES: u64 = 16 << 20;

/// Of a member, the share that is kept for what waits to be sent to other nodes.
const LINKS_PART: u64 = 32;
const LEAST_LINKS_BYTES: u64 = 8 << 20;
/// Of a member's memory, one part in so many may be one copy's batches that are kept to be sent again: that part is the store's, but with
/// little memory it shall not be most of it.
const BACKLOG_PART: u64 = 64;
const LEAST_BACKLOG_BYTES: u64 = 1 << 20;

/// Bytes that the connections' buffers may take together.
fn buffer_bytes(config: &Config) -> u64 {
    ((config.memory_bytes - OVERHEAD_BYTES) / BUFFERS_PART).max(LEAST_BUFFERS_BYTES)
}

/// Bytes that the buffers of links may take together; none without a cluster.
pub fn link_bytes(config: &Config) -> u64 {
    let least = ((config.memory_bytes - OVERHEAD_BYTES) / LINKS_PART).max(LEAST_LINKS_BYTES);
    config.cluster.meta.as_ref().map_or(0, |_| least)
}

/// Bytes that the buffers of the forwarding port's clients may take together; none without one.
pub fn forward_bytes(config: &Config) -> u64 {
    config.cluster.forward.map_or(0, |_| buffer_bytes(config))
}

/// Secret of the indexes' hashes of a member: known to all nodes of its cluster and to nobody else, and the same after a restart, so that a cursor of
/// `SCAN` means the same to whoever leads a shard next. Of a cluster without a secret anybody can know it.
pub fn index_secret(config: &Config) -> u64 {
    let cluster = &config.cluster;
    let key = hmac::Key::new(hmac::HMAC_SHA256, cluster.secret.as_bytes());
    let name = [b"tenure index ", cluster.name.as_bytes()].concat();
    let tag = hmac::sign(&key, &name);
    let first = tag.as_ref().first_chunk().expect("there are 32 bytes");
    u64::from_le_bytes(*first)
}

/// For the store. It keeps to its part of the memory; the rest of the process needs the remainder.
pub fn of_store(config: &Config, seed: u64) -> StoreConfig {
    let buffers = buffer_bytes(config) + link_bytes(config) + forward_bytes(config);
    StoreConfig {
        memory_bytes: (config.memory_bytes - OVERHEAD_BYTES - buffers) as usize,
        sync: config.sync,
        seed,
    }
}

/// For the copies of a member. What they keep counts towards the store's part.
pub fn of_replica(config: &Config) -> replica::Settings {
    let usual = replica::Settings::default();
    let most = (config.memory_bytes / BACKLOG_PART).max(LEAST_BACKLOG_BYTES) as usize;
    let backlog_bytes = usual.backlog_bytes.min(most);
    replica::Settings {
        backlog_bytes,
        uncommitted_bytes: usual.uncommitted_bytes.min(backlog_bytes),
        ..usual
    }
}

/// For the shard.
pub fn of_shard(config: &Config, seed: u64) -> ShardSettings {
    ShardSettings {
        max_value_bytes: config.max_value_bytes as usize,
        guards: config.guards.iter().map(guard).collect(),
        user_cap: (config.user_cap > 0).then_some(UserCap {
            most: config.user_cap as usize,
            policy: match config.user_cap_policy {
                Cap::Refuse => CapPolicy::Refuse,
                Cap::Oldest => CapPolicy::Oldest,
            },
        }),
        gone_ms: config.rotated_gone_ms,
        seed,
        ..ShardSettings::default()
    }
}

fn guard(guard: &Guard) -> shard::Guard {
    shard::Guard {
        prefix: guard.prefix.clone().into_bytes(),
        no_resurrection_ms: (guard.no_resurrection_ms > 0).then_some(guard.no_resurrection_ms),
        lock_suffix: (!guard.lock_suffix.is_empty())
            .then(|| guard.lock_suffix.clone().into_bytes()),
    }
}

/// For the commands. `max_clients` is what the system allows of the configured number, `listen` where the server
/// really listens.
pub fn of_commands(config: &Config, max_clients: usize, listen: String) -> Settings {
    Settings {
        password: config.password.clone(),
        max_clients,
        buffer_bytes: buffer_bytes(config) as usize,
        timeout_s: config.timeout_s,
        keepalive_s: config.tcp_keepalive_s,
        slowlog_slower_than_us: config.slowlog_slower_than_us,
        slowlog_max_len: config.slowlog_max_len as usize,
        listen,
        dir: config.dir_name(),
        stopwatch: Some(nanoseconds),
        ..Settings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::index_secret;
    use crate::config::Config;

    #[test]
    fn the_nodes_of_a_cluster_have_one_secret_for_their_indexes_and_no_other_cluster_has_it() {
        let secret_of = |secret: &str, name: &str, node| {
            let mut config = Config::default();
            config.cluster.secret = secret.into();
            config.cluster.name = name.into();
            config.cluster.node = Some(node);
            index_secret(&config)
        };
        let one = secret_of("s3cret", "shop", 1);
        assert_eq!(one, secret_of("s3cret", "shop", 2));
        assert_ne!(one, secret_of("s3cret", "games", 1));
        assert_ne!(one, secret_of("other", "shop", 1));
    }
}
