//! Several nodes in one process: one for each core that data shall have.
//!
//! Each is a whole server on a thread of its own, with addresses, a folder and an admin port of its own, and shares nothing with the
//! others but the process: which the cluster map knows, so that no two copies of a shard come into one. Where ports are given the
//! first node has them, and each further one the next.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::config::cluster::Meta;
use crate::directory::replace;
use crate::serve::{StartError, random, serve_one, system};

/// The file with the number of the process, in the folder that the nodes' folders are in.
const FILE: &str = "PROCESS";

/// Runs all nodes of the configuration until they are told to stop.
///
/// # Errors
/// One cannot start, or has failed. The process should end then, and the others with it.
pub fn serve(config: &Config) -> Result<(), StartError> {
    let count = config.cluster.nodes;
    if count == 1 {
        return serve_one(config);
    }
    let process = process(config.dir.as_deref())?;
    let (ended, ends) = std::sync::mpsc::channel();
    for at in 0..count {
        let (config, ended) = (of(config, at, process), ended.clone());
        let name = format!("tenure-node-{}", at + 1);
        let thread = std::thread::Builder::new().name(name);
        let work = move || _ = ended.send(serve_one(&config));
        thread
            .spawn(work)
            .map_err(|error| system("start a node's thread", &error))?;
    }
    drop(ended);
    ends.iter().collect()
}

/// What one of them is configured with.
fn of(all: &Config, at: u16, process: u64) -> Config {
    let mut config = all.clone();
    let node = all.cluster.node.map(|node| node + u32::from(at));
    for listen in &mut config.listen {
        *listen = next(*listen, at);
    }
    config.admin = all.admin.map(|admin| next(admin, at));
    config.dir = all.dir.as_ref().map(|dir| folder(dir, at));
    config.memory_bytes = all.memory_bytes / u64::from(all.cluster.nodes);
    config.cluster.peer = next(all.cluster.peer, at);
    (config.cluster.node, config.cluster.process) = (node, Some(process));
    if at > 0 && all.cluster.meta == Some(Meta::Embedded) {
        // The first one keeps it.
        config.cluster.meta = Some(Meta::Tenure(all.cluster.meta_listen.to_string()));
    }
    config
}

fn next(mut address: SocketAddr, at: u16) -> SocketAddr {
    if address.port() > 0 {
        address.set_port(address.port().wrapping_add(at));
    }
    address
}

fn folder(dir: &Path, at: u16) -> PathBuf {
    dir.join(format!("node-{}", at + 1))
}

/// A number for the process: the same at each start, or nodes that were registered at different ones would not seem to share it.
fn process(dir: Option<&Path>) -> Result<u64, StartError> {
    let new = u64::from_le_bytes(random()?);
    let Some(dir) = dir else {
        return Ok(new);
    };
    let known = std::fs::read_to_string(dir.join(FILE)).ok();
    if let Some(known) = known.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()) {
        return Ok(known);
    }
    std::fs::create_dir_all(dir)
        .and_then(|()| replace(dir, FILE, &format!("{new:016x}\n")))
        .map_err(|error| system("write in the data directory", &error))?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{of, process};
    use crate::config::cluster::Meta;
    use crate::config::{Config, Sources};

    fn config(options: &[(&str, &str)]) -> Result<Config, String> {
        let flag = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let sources = Sources {
            flags: options.iter().map(flag).collect(),
            ..Sources::default()
        };
        Config::load(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn each_node_has_ports_a_folder_and_a_share_of_memory_of_its_own() {
        let all = config(&[
            ("meta", "embedded"),
            ("nodes", "3"),
            ("node", "4"),
            ("dir", "/data"),
            ("memory", "768MiB"),
            ("listen", "127.0.0.1:7000,127.0.0.1:0"),
        ])
        .unwrap();
        let third = of(&all, 2, 9);
        let listen: Vec<String> = third.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["127.0.0.1:7002", "127.0.0.1:0"]);
        assert_eq!(third.cluster.peer.port(), all.cluster.peer.port() + 2);
        assert_eq!(third.dir.as_deref(), Some(Path::new("/data/node-3")));
        assert_eq!(
            (third.cluster.node, third.memory_bytes),
            (Some(6), 256 << 20)
        );
        let map = all.cluster.meta_listen.to_string();
        assert_eq!(third.cluster.meta, Some(Meta::Tenure(map)));
        assert_eq!(of(&all, 0, 9).cluster.meta, Some(Meta::Embedded));
    }

    #[test]
    fn several_nodes_need_a_cluster_a_known_map_and_memory_for_each() {
        let refused = |options: &[(&str, &str)]| config(options).unwrap_err();
        assert!(refused(&[("nodes", "2")]).contains("meta"));
        let map = [
            ("nodes", "2"),
            ("meta", "embedded"),
            ("meta-listen", "127.0.0.1:0"),
        ];
        assert!(refused(&map).contains("meta-listen"));
        let memory = [("nodes", "8"), ("meta", "embedded"), ("memory", "512MiB")];
        assert!(refused(&memory).contains("memory"));
    }

    #[test]
    fn a_process_keeps_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let first = process(Some(dir.path())).unwrap();
        assert_eq!(process(Some(dir.path())).unwrap(), first);
        assert_ne!(process(None).unwrap(), first);
    }
}
