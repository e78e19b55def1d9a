//! `tenure dev`, as a developer uses it from two terminals.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::wire::{Client, Reply};

struct Dev {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Dev {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tenure"))
            .env_clear()
            .args(["dev", "--port", "0", "--memory", "128MiB"])
            .args(["--shards", "4", "--dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let said = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, said }
    }

    fn until(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            let read = self.said.read_line(&mut all).unwrap();
            assert!(read > 0, "it ended: {all}");
        }
        all
    }

    fn interrupt(mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Its processes die with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn other_terminal(dir: &Path, words: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .env_clear()
        .arg("dev")
        .args(words)
        .arg("--dir")
        .arg(dir)
        .output()
        .unwrap();
    let text = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn is_running(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn one_command_runs_a_cluster_and_another_terminal_hurts_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(dir.path());
    let said = dev.until("shards are served");
    assert!(said.contains("node 3"), "{said}");
    let state = std::fs::read_to_string(dir.path().join("dev.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let nodes = state["nodes"].as_array().unwrap();
    let first = nodes[0]["address"].as_str().unwrap();
    let reply = Client::connect(first).run("SET {a}b c");
    let moved = reply
        .error()
        .is_some_and(|error| error.starts_with("MOVED "));
    assert!(reply.is_ok() || moved, "{reply:?}");

    let (ok, said) = other_terminal(dir.path(), &["kill", "2"]);
    assert!(ok && said.contains("not running"), "{said}");
    let (ok, said) = other_terminal(dir.path(), &["kill", "2"]);
    assert!(!ok && said.contains("node 2 does not run"), "{said}");
    let (ok, said) = other_terminal(dir.path(), &["start", "7"]);
    assert!(
        !ok && said.contains("expected meta, or a node from 1 to 3"),
        "{said}"
    );
    let (ok, said) = other_terminal(dir.path(), &["start", "2"]);
    assert!(ok && !said.contains("not running"), "{said}");
    assert!(
        said.contains(nodes[1]["address"].as_str().unwrap()),
        "{said}"
    );
    let (ok, said) = other_terminal(dir.path(), &["pause", "3"]);
    assert!(ok && said.contains("paused"), "{said}");
    let (ok, _) = other_terminal(dir.path(), &["resume", "3"]);
    assert!(ok);

    let state = std::fs::read_to_string(dir.path().join("dev.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let pids = state["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["pid"].as_u64().unwrap());
    let pids: Vec<u64> = pids
        .chain([state["meta"]["pid"].as_u64().unwrap()])
        .collect();
    assert!(pids.iter().all(|&pid| is_running(pid)));
    assert!(dev.interrupt().success());
    assert!(
        !pids.into_iter().any(is_running),
        "something is left running"
    );
    let (ok, said) = other_terminal(dir.path(), &["status"]);
    assert!(!ok && said.contains("no `tenure dev` answers"), "{said}");
}

#[test]
fn a_port_that_was_asked_for_is_not_replaced_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let somebody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Of node 2 the forwarding port.
    let taken = somebody.local_addr().unwrap().port();
    let first = (taken - 101).to_string();
    let (ok, said) = other_terminal(dir.path(), &["--port", &first, "--nodes", "1000"]);
    assert!(!ok && said.contains("1000 is not in 1..=64"), "{said}");
    let (ok, said) = other_terminal(dir.path(), &["--port", &first, "--nodes", "64"]);
    assert!(
        !ok && said.contains("somebody listens on 127.0.0.1:"),
        "{said}"
    );
    assert!(said.contains("choose another --port"), "{said}");
}

#[test]
fn the_processes_of_a_killed_one_die_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(dir.path());
    dev.until("shards are served");
    let state = std::fs::read_to_string(dir.path().join("dev.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let addresses = state["nodes"].as_array().unwrap().iter();
    let addresses: Vec<String> = addresses
        .map(|node| node["address"].as_str().unwrap().to_owned())
        .collect();
    drop(dev);
    for address in addresses {
        while Client::try_connect(&address).is_ok_and(|mut client| {
            client
                .call(&[b"PING"])
                .is_ok_and(|reply| reply == Reply::Status("PONG".into()))
        }) {}
    }
}
