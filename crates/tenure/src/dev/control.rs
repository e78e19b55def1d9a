//! What another terminal asks of a running `tenure dev`: one line of JSON each way, over a socket in its folder.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::Sender;

use serde::{Deserialize, Serialize};

use super::state::State;
use super::supervisor::Happening;

/// The socket.
const SOCKET: &str = "dev.sock";
/// Longest request.
const MAX_REQUEST_BYTES: u64 = 1 << 10;

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    /// Only to see.
    Status,
    /// SIGKILL.
    Kill,
    /// SIGTERM, and wait.
    Stop,
    /// Start it again, or one node more.
    Start,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
}

impl Verb {
    /// Those that are about one process.
    pub const ALL: [Self; 5] = [
        Self::Kill,
        Self::Stop,
        Self::Start,
        Self::Pause,
        Self::Resume,
    ];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    /// What it does.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Status => "Show who runs where",
            Self::Kill => "Kill a node as a fault would (SIGKILL)",
            Self::Stop => "Stop a node as an operator would (SIGTERM), and wait for its end",
            Self::Start => "Start a node again, or one more",
            Self::Pause => "Make a node stand still (SIGSTOP)",
            Self::Resume => "Let it go on (SIGCONT)",
        }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What to do.
    pub verb: Verb,
    /// To whom: a node's number, or `meta`.
    pub who: String,
}

/// The answer: how things are then, or why not.
pub type Reply = Result<State, String>;

/// Asks a running `tenure dev`.
///
/// # Errors
/// There is none, or it does not do it.
pub fn ask(dir: &Path, request: &Request) -> Result<State, String> {
    let path = dir.join(SOCKET);
    let exchange = || -> io::Result<String> {
        let mut stream = UnixStream::connect(&path)?;
        writeln!(stream, "{}", serde_json::to_string(request)?)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    };
    let line = exchange().map_err(|error| {
        format!(
            "no `tenure dev` answers in {}: {error}; start one, or name its folder with --dir",
            dir.display()
        )
    })?;
    let reply: Reply = serde_json::from_str(&line)
        .map_err(|error| format!("`tenure dev` in {} broke off: {error}", dir.display()))?;
    reply
}

/// Begins to listen in this folder. Requests go to `happenings`.
///
/// # Errors
/// Another `tenure dev` has the folder, or the socket cannot be made.
pub fn listen(dir: &Path, happenings: Sender<Happening>) -> io::Result<()> {
    let path = dir.join(SOCKET);
    if UnixStream::connect(&path).is_ok() {
        let text = format!(
            "another `tenure dev` runs in {}: use that one, or give --dir another folder",
            dir.display()
        );
        return Err(io::Error::other(text));
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                if answer(stream, &happenings).is_none() {
                    return;
                }
            }
        })
        .map(drop)
}

/// Takes the socket away.
pub fn leave(dir: &Path) {
    // It may be gone already.
    let _ = std::fs::remove_file(dir.join(SOCKET));
}

/// `None` when nobody is there to do anything any more.
fn answer(stream: UnixStream, happenings: &Sender<Happening>) -> Option<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(io::Read::take(&stream, MAX_REQUEST_BYTES));
    let request = reader
        .read_line(&mut line)
        .ok()
        .and_then(|_| serde_json::from_str(&line).ok());
    let Some(request) = request else {
        return Some(());
    };
    let (replies, replied) = std::sync::mpsc::channel();
    happenings.send(Happening::Request(request, replies)).ok()?;
    let reply: Reply = replied.recv().ok()?;
    let text = serde_json::to_string(&reply).unwrap_or_default();
    // Whoever asked may have given up.
    let _ = writeln!(&stream, "{text}");
    Some(())
}
