//! Golden scripts: what clients send, and every byte that comes back.
//!
//! Each file `tests/golden/**/*.txt` is one script, run on a node of its own with an immediate disk and a clock
//! that only the script moves. Lines:
//!
//! ```text
//! # a comment
//! > SET k v            connection c1 sends a command (quotes and escapes as in inline commands)
//! +OK                  and this is the reply, byte for byte, each CRLF a line end
//! [b] > GET k          connection b sends
//! [b] < ...            what connection b receives now, after a command of somebody else has run
//! raw "*1\r\n"         connection c1 sends these very bytes; [b] raw "..." for another
//! close                connection c1 closes; [b] close for another
//! @+500ms              time passes (ms or s)
//! restart              the process is killed, and a node starts from the files that it has written;
//! restart after 5s     the same, and so much time passes meanwhile
//! disk waits           nothing is persisted any more: what depends on what comes now must not leave
//! disk goes on         everything that waited is
//! member 1             the node is told that it is number 1 of the cluster of `support/topology.rs`;
//! node leaves          that it is about to end;
//! slots move           and that what it led is node 0's
//! password secret      settings, before the first command; also
//! guard PREFIX [no-resurrection MS] [lock-suffix SUFFIX]
//! user-cap N refuse|oldest
//! sync always
//! ```
//!
//! In a reply, `?name` at the end of a line stands for whatever comes there, and the same again from then on; in a
//! command it stands for what it was (`:?fence`, then `SESSION.RELEASE s ?fence`).
//!
//! A line `…` (or `...`) in an expected reply stands for any number of lines. Run with `GOLDEN=rewrite` to write what
//! came back into the files; then read the diff as you would read code.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use command::Settings;
use model::{ConnectionId, Now, Position, Topology};
use node::{DiskTask, Input, Node, Outbox};
use shard::sessions::{CapPolicy, UserCap};
use shard::{Guard, Shard, ShardSettings};
use store::{DiskOp, SyncMode};

#[path = "support/files.rs"]
mod files;
#[path = "support/topology.rs"]
mod topology;

use files::Files;

/// The time at which every script begins: 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;

struct Stage {
    node: Node,
    now: Now,
    connections: BTreeMap<String, ConnectionId>,
    received: BTreeMap<String, Vec<u8>>,
    closed: Vec<String>,
    settings: (Settings, ShardSettings),
    starts: u32,
    files: Files,
    /// While the disk waits, what it has been asked for.
    waiting: Option<Vec<DiskTask>>,
    /// What `?name` stands for.
    bound: BTreeMap<String, String>,
}

impl Stage {
    fn new(settings: Settings, shard_settings: ShardSettings, sync: SyncMode) -> Self {
        let now = Now {
            unix_ms: START_MS,
            mono_us: 1_000_000,
        };
        let files = Files::new(sync);
        let store = files.empty_store();
        let shard = Shard::new(store, Position::new(1, 1), shard_settings.clone());
        Self {
            node: Node::new(shard, settings.clone(), [7; 32], now),
            now,
            connections: BTreeMap::new(),
            received: BTreeMap::new(),
            closed: Vec::new(),
            settings: (settings, shard_settings),
            starts: 1,
            files,
            waiting: None,
            bound: BTreeMap::new(),
        }
    }

    /// The node is gone, and another takes over what it had written, in a new epoch.
    fn restart(mut self) -> Self {
        self.starts += 1;
        let (settings, shard_settings) = self.settings.clone();
        let next = Position::new(self.starts, 1);
        let mut shard = Shard::new(self.files.restored(self.now), next, shard_settings);
        shard.rebuild(self.now).expect("there is room");
        self.node = Node::new(shard, settings, [self.starts as u8; 32], self.now);
        self.connections.clear();
        self.received.clear();
        self.waiting = None;
        self
    }

    /// The disk does what it was asked for meanwhile.
    fn go_on(&mut self) {
        for task in self.waiting.take().unwrap_or_default() {
            self.files.done(&self.node, &task);
            self.turn(task.done(Ok(())));
        }
        self.turn(Input::EndOfTurn);
    }

    /// One turn of the loop with one input, on a disk that does everything at once, or waits.
    fn turn(&mut self, input: Input<'_>) -> Option<Result<ConnectionId, &'static [u8]>> {
        let mut outbox = Outbox::default();
        self.node.handle(self.now, input, &mut outbox);
        self.node.handle(self.now, Input::EndOfTurn, &mut outbox);
        while !outbox.disk.is_empty() {
            for task in std::mem::take(&mut outbox.disk) {
                // New files are made all the same, so that commands do not wait for them.
                if let Some(waiting) = self.waiting.as_mut()
                    && !matches!(task.op, DiskOp::Create { .. })
                {
                    waiting.push(task);
                    continue;
                }
                self.files.done(&self.node, &task);
                self.node.handle(self.now, task.done(Ok(())), &mut outbox);
            }
            self.node.handle(self.now, Input::EndOfTurn, &mut outbox);
        }
        let accepted = outbox.accepted.take();
        self.node.take_sendable(&mut outbox);
        for connection in std::mem::take(&mut outbox.send) {
            let bytes = self.node.output(connection).to_vec();
            let name = self.name(connection);
            self.received
                .entry(name)
                .or_default()
                .extend_from_slice(&bytes);
            self.node.handle(
                self.now,
                Input::Sent {
                    connection,
                    bytes: bytes.len(),
                },
                &mut outbox,
            );
        }
        for connection in std::mem::take(&mut outbox.close) {
            let name = self.name(connection);
            self.connections.remove(&name);
            self.closed.push(name);
        }
        accepted
    }

    fn pass(&mut self, ms: u64) {
        self.now = Now {
            unix_ms: self.now.unix_ms + ms,
            mono_us: self.now.mono_us + ms * 1000,
        };
    }

    fn name(&self, connection: ConnectionId) -> String {
        let found = self.connections.iter().find(|(_, id)| **id == connection);
        found
            .expect("the node speaks of a connection of the script")
            .0
            .clone()
    }

    fn connection(&mut self, name: &str) -> ConnectionId {
        if let Some(&id) = self.connections.get(name) {
            return id;
        }
        let port = 50_000 + self.connections.len();
        let input = Input::Accepted {
            address: format!("127.0.0.1:{port}"),
            local_address: "127.0.0.1:6379".into(),
        };
        let id = self
            .turn(input)
            .expect("the node answers")
            .expect("the node accepts");
        self.connections.insert(name.to_owned(), id);
        id
    }

    fn send(&mut self, name: &str, mut bytes: Vec<u8>) {
        let connection = self.connection(name);
        self.turn(Input::Received {
            connection,
            bytes: &mut bytes,
        });
    }

    /// What the connection has received since the last time, as lines.
    fn take(&mut self, name: &str) -> Vec<String> {
        let bytes = self.received.remove(name).unwrap_or_default();
        let mut lines: Vec<String> = show(&bytes);
        if let Some(at) = self.closed.iter().position(|closed| closed == name) {
            self.closed.remove(at);
            lines.push("(closed)".into());
        }
        lines
    }
}

/// Replies as lines of text; bytes that are not printable ASCII as `\xHH`.
fn show(bytes: &[u8]) -> Vec<String> {
    let mut text = String::new();
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        match byte {
            b'\r' if tail.first() == Some(&b'\n') => {
                text.push('\n');
                rest = &tail[1..];
                continue;
            }
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            other => write!(text, "\\x{other:02x}").expect("a string takes everything"),
        }
        rest = tail;
    }
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// Splits a line into words as an inline command is split.
fn words(line: &str) -> Vec<Vec<u8>> {
    let mut bytes = format!("{line}\n").into_bytes();
    let (mut from, mut spans) = (0, Vec::new());
    let limits = resp::Limits {
        arguments: 1 << 20,
        bulk_bytes: 1 << 20,
        authenticated: true,
    };
    let command = resp::Parser::default().next(&mut bytes, &mut from, &limits, &mut spans);
    assert!(command.is_ok_and(|c| c.is_some()), "not a command: {line}");
    spans.iter().map(|span| span.of(&bytes).to_vec()).collect()
}

fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// `[name] rest` or `rest`.
fn addressed(line: &str) -> (String, &str) {
    match line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        Some((name, rest)) => (name.to_owned(), rest),
        None => ("c1".to_owned(), line),
    }
}

fn duration_ms(text: &str) -> u64 {
    let number = |suffix: &str| {
        text.strip_suffix(suffix)
            .and_then(|n| n.parse::<u64>().ok())
    };
    number("ms")
        .or_else(|| number("s").map(|s| s * 1000))
        .unwrap_or_else(|| panic!("not a duration: {text}"))
}

fn matches(expected: &[String], got: &[String], bound: &mut BTreeMap<String, String>) -> bool {
    match (expected.first(), got.first()) {
        (None, None) => true,
        (Some(any), _) if any == "…" || any == "..." => {
            (0..=got.len()).any(|skipped| matches(&expected[1..], &got[skipped..], bound))
        }
        (Some(want), Some(have)) => {
            fits(want, have, bound) && matches(&expected[1..], &got[1..], bound)
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether one line is as expected. A `?name` that stands for nothing yet takes what it finds.
fn fits(want: &str, have: &str, bound: &mut BTreeMap<String, String>) -> bool {
    let Some((before, name)) = want.split_once('?').filter(|(_, name)| !name.is_empty()) else {
        return want == have;
    };
    let Some(rest) = have.strip_prefix(before) else {
        return false;
    };
    *bound
        .entry(name.to_owned())
        .or_insert_with(|| rest.to_owned())
        == rest
}

/// A command with what its `?name`s stand for.
fn filled(command: &str, bound: &BTreeMap<String, String>) -> String {
    let words = command.split(' ').map(|word| match word.strip_prefix('?') {
        Some(name) => bound.get(name).map_or(word, |value| value.as_str()),
        None => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Takes note of a line that is a setting.
fn is_setting(
    line: &str,
    settings: &mut Settings,
    shard_settings: &mut ShardSettings,
    sync: &mut SyncMode,
) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["sync", "always"] => *sync = SyncMode::Always,
        ["password", password] => settings.password = password.to_owned(),
        ["user-cap", most, policy] => {
            shard_settings.user_cap = Some(UserCap {
                most: most.parse().expect("user-cap N"),
                policy: match policy {
                    "refuse" => CapPolicy::Refuse,
                    "oldest" => CapPolicy::Oldest,
                    other => panic!("no such policy: {other}"),
                },
            });
        }
        ["guard", prefix, ref what @ ..] => {
            let after = |word| what.iter().position(|w| *w == word).map(|at| what[at + 1]);
            shard_settings.guards.push(Guard {
                prefix: prefix.as_bytes().to_vec(),
                no_resurrection_ms: after("no-resurrection")
                    .map(|ms| ms.parse().expect("a number")),
                lock_suffix: after("lock-suffix").map(|suffix| suffix.as_bytes().to_vec()),
            });
        }
        _ => return false,
    }
    true
}

fn is_step(line: &str) -> bool {
    let (_, rest) = addressed(line);
    rest.starts_with("> ")
        || rest.starts_with("raw ")
        || rest == "close"
        || line.starts_with("restart")
        || line.starts_with("disk ")
        || cluster_told(line).is_some()
        || rest.starts_with('<')
        || line.starts_with("@+")
        || line.starts_with('#')
        || line.is_empty()
}

/// What the node is told of its cluster.
fn cluster_told(line: &str) -> Option<Arc<Topology>> {
    match line {
        "node leaves" => Some(topology::about_to_leave()),
        "slots move" => Some(topology::after_a_move()),
        _ => {
            let me = line.strip_prefix("member ")?;
            Some(topology::seen_by(me.parse().expect("member N")))
        }
    }
}

/// Runs a script. Returns it with what came back in place of what was expected, and the first difference.
fn run(script: &str) -> (String, Option<String>) {
    let mut lines = script.lines().peekable();
    let (mut settings, mut shard_settings) = (Settings::default(), ShardSettings::default());
    let mut sync = SyncMode::EverySecond;
    let mut text = String::new();
    while let Some(setting) = lines.next_if(|l| {
        l.starts_with('#')
            || l.is_empty()
            || is_setting(l, &mut settings, &mut shard_settings, &mut sync)
    }) {
        text.push_str(setting);
        text.push('\n');
    }
    let mut stage = Stage::new(settings, shard_settings, sync);
    let mut difference = None;
    while let Some(line) = lines.next() {
        let line_number = text.lines().count() + 1;
        let (name, rest) = addressed(line);
        let mut answered = true;
        if let Some(command) = rest.strip_prefix("> ") {
            let command = filled(command, &stage.bound);
            stage.send(&name, encode(&words(&command)));
        } else if let Some(raw) = rest.strip_prefix("raw ") {
            stage.send(&name, words(raw).concat());
        } else if rest == "close" {
            let connection = stage.connection(&name);
            stage.connections.remove(&name);
            stage.turn(Input::Closed { connection });
            answered = false;
        } else if let Some(after) = line.strip_prefix("restart") {
            if let Some(passed) = after.strip_prefix(" after ") {
                stage.pass(duration_ms(passed));
            }
            stage = stage.restart();
            answered = false;
        } else if line == "disk waits" {
            stage.waiting = Some(Vec::new());
            answered = false;
        } else if line == "disk goes on" {
            stage.go_on();
            answered = false;
        } else if let Some(told) = cluster_told(line) {
            stage.node.set_topology(told);
            stage.turn(Input::EndOfTurn);
            answered = false;
        } else if let Some(passed) = line.strip_prefix("@+") {
            stage.pass(duration_ms(passed));
            stage.turn(Input::EndOfTurn);
            answered = false;
        } else if !rest.starts_with('<') {
            assert!(is_step(line), "line {line_number} is no step: {line}");
            answered = false;
        }
        let first = rest.strip_prefix('<').map(|r| r.trim_start().to_owned());
        text.push_str(if first.is_some() { "" } else { line });
        text.push_str(if first.is_some() { "" } else { "\n" });
        if !answered {
            continue;
        }
        let mut expected: Vec<String> = first.iter().filter(|f| !f.is_empty()).cloned().collect();
        while let Some(reply) = lines.next_if(|l| !is_step(l)) {
            expected.push(reply.to_owned());
        }
        let got = stage.take(&name);
        let same = matches(&expected, &got, &mut stage.bound);
        let shown = if same { &expected } else { &got };
        if first.is_some() {
            let bracket = if line.starts_with('[') {
                format!("[{name}] <")
            } else {
                "<".to_owned()
            };
            text.push_str(&format!(
                "{bracket} {}\n",
                shown.first().map_or("", String::as_str)
            ));
        }
        for reply in shown.iter().skip(usize::from(first.is_some())) {
            text.push_str(reply);
            text.push('\n');
        }
        if !same && difference.is_none() {
            difference = Some(format!(
                "line {line_number}: {line}\n  expected {expected:#?}\n  got {got:#?}"
            ));
        }
    }
    (text, difference)
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of golden scripts is there") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(scripts(&path));
        } else if path.extension().is_some_and(|e| e == "txt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn golden_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let rewrite = std::env::var("GOLDEN").is_ok_and(|v| v == "rewrite");
    let mut failures = Vec::new();
    let all = scripts(&folder);
    assert!(!all.is_empty(), "no golden scripts in {}", folder.display());
    for path in &all {
        let script = std::fs::read_to_string(path).expect("a readable script");
        let (text, difference) = run(&script);
        if rewrite {
            std::fs::write(path, text).expect("a writable script");
        } else if let Some(difference) = difference {
            failures.push(format!(
                "{}: {difference}",
                path.strip_prefix(&folder).unwrap_or(path).display()
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} scripts differ:\n{}",
        failures.len(),
        all.len(),
        failures.join("\n")
    );
}
