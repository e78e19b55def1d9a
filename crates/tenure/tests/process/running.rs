//! A server process under test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::wire::Client;

/// Longest that anything in these tests may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running `tenure serve`. Killed when dropped.
pub struct Running {
    child: Child,
    /// Where clients connect.
    pub address: String,
    /// Where the admin port is.
    pub admin: String,
    /// The ready line.
    pub ready: String,
    log: Arc<Mutex<String>>,
    log_reader: Option<JoinHandle<()>>,
}

/// The command that starts a server on `dir`: nothing of the environment but what a test adds.
pub fn tenure(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command
        .env_clear()
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--memory", "256MiB", "--dir"])
        .arg(dir)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Running {
    /// Starts a server and waits until it is ready.
    pub fn start(dir: &Path, more: &[&str]) -> Self {
        Self::spawn(&mut tenure(dir, more))
    }

    /// Starts a command that is a server, and waits until it is ready.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the binary runs");
        let log = Arc::new(Mutex::new(String::new()));
        let log_reader = collect(child.stderr.take().expect("piped"), log.clone());
        let mut ready = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut ready).expect("its output can be read");
        if ready.is_empty() {
            let status = child.wait().expect("it can be waited for");
            log_reader.join().expect("the log was read");
            panic!("it did not start ({status}): {}", log.lock().unwrap());
        }
        Self {
            child,
            address: between(&ready, "ready on ", " ").to_owned(),
            admin: between(&ready, "http://", ",").to_owned(),
            ready,
            log,
            log_reader: Some(log_reader),
        }
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(&self.address)
    }

    /// The body and the status line of a page of the admin port.
    pub fn http(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.admin).expect("the admin port answers");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("a whole answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        (
            head.lines().next().unwrap_or_default().to_owned(),
            body.to_owned(),
        )
    }

    /// One sample of the metrics, by its name with labels.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, body) = self.http("/metrics");
        let line = body
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name} in {body}"))
            .parse()
            .expect("a number")
    }

    /// Sends a signal, e.g. `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for its end. Returns how it ended, and its log.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it can be waited for");
        self.log_reader
            .take()
            .expect("joined once")
            .join()
            .expect("the log was read");
        let log = self.log.lock().unwrap().clone();
        (status, log)
    }

    /// Stops it as an operator does, and returns its log.
    pub fn stop(self) -> String {
        self.signal("TERM");
        let (status, log) = self.wait();
        assert!(status.success(), "{status}: {log}");
        log
    }

    /// Kills it, as a fault would.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that shall not become ready. Returns its exit code, its output and its errors.
pub fn fails(command: &mut Command) -> (i32, String, String) {
    let output = command.output().expect("the binary runs");
    (
        output.status.code().expect("it ended by itself"),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn collect(from: impl std::io::Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let line = line.unwrap_or_default();
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    })
}

pub fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no `{before}` in {text}"))
        .1;
    rest.split_once(after)
        .unwrap_or_else(|| panic!("no `{after}` in {text}"))
        .0
}

/// Segment files that were completed, and so cut behind their last entry, the largest first. Files that wait to be used, and the one
/// that says that the end was a clean one, have their full length.
pub fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir.join("segments"))
        .expect("a data directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            let bytes = std::fs::read(path).expect("a segment file");
            bytes.starts_with(b"TENURSEG") && bytes.len() < 8 << 20
        })
        .collect();
    files.sort_by_key(|path| std::cmp::Reverse(path.metadata().map_or(0, |m| m.len())));
    files
}
