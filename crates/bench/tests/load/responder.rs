//! A tiny session server in this process, for the tests of the load generator.
//!
//! It answers the commands that the workloads send, correctly but slowly: one thread a connection, one
//! lock around everything. Holds are granted in the order of asking, fences grow.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the server keeps.
#[derive(Default)]
struct State {
    /// Keys, with the time of their expiry in milliseconds since 1970.
    keys: BTreeMap<String, Option<u128>>,
    /// Sessions that are held, by fence.
    holds: BTreeMap<String, i64>,
    /// Tickets of those who wait for a session, in order.
    lines: BTreeMap<String, VecDeque<u64>>,
    fence: i64,
    ticket: u64,
    /// Requests by command.
    seen: BTreeMap<String, u64>,
}

/// The server.
#[derive(Clone, Default)]
pub struct Responder {
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Responder {
    /// Starts a server on a port of its own; it lives as long as the process.
    pub fn start() -> (Self, SocketAddr) {
        let responder = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let accepting = responder.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, responder) = (stream.expect("accepted"), accepting.clone());
                std::thread::spawn(move || responder.serve(stream));
            }
        });
        (responder, addr)
    }

    /// How often `command` came.
    pub fn seen(&self, command: &str) -> u64 {
        let state = self.state.0.lock().expect("no thread panics");
        state.seen.get(command).copied().unwrap_or(0)
    }

    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).expect("a TCP stream");
        let mut writer = stream.try_clone().expect("a second handle");
        let mut reader = BufReader::new(stream);
        while let Some(request) = read_request(&mut reader) {
            let reply = self.answer(&request);
            if writer.write_all(reply.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &[String]) -> String {
        let argument = |place: usize| request.get(place).map_or("", String::as_str);
        let (command, key) = (argument(0), argument(1).to_owned());
        let mut state = self.state.0.lock().expect("no thread panics");
        *state.seen.entry(command.to_owned()).or_default() += 1;
        match command {
            "PING" => "+PONG\r\n".to_owned(),
            "AUTH" => "+OK\r\n".to_owned(),
            "TIME" => {
                let now = now_ms();
                let (seconds, micros) = (now / 1_000, now % 1_000 * 1_000);
                format!(
                    "*2\r\n{}{}",
                    bulk(&seconds.to_string()),
                    bulk(&micros.to_string())
                )
            }
            "DBSIZE" => {
                state
                    .keys
                    .retain(|_, expiry| expiry.is_none_or(|at| at > now_ms()));
                format!(":{}\r\n", state.keys.len())
            }
            "SET" => {
                let expiry = (argument(3) == "PXAT").then(|| argument(4).parse().expect("a time"));
                state.keys.insert(key, expiry);
                "+OK\r\n".to_owned()
            }
            "GET" if state.keys.contains_key(&key) => bulk("value"),
            "GET" => "$-1\r\n".to_owned(),
            "DEL" => format!(":{}\r\n", u8::from(state.keys.remove(&key).is_some())),
            "HSET" | "EXPIRE" => ":1\r\n".to_owned(),
            "HGETALL" => format!("*2\r\n{}{}", bulk("field0"), bulk("value")),
            "SESSION.CREATE" | "SESSION.READ" => session(&key, 0),
            "SESSION.OPEN" => {
                drop(state);
                self.open(&key, request.iter().any(|option| option == "WAIT"))
            }
            "SESSION.COMMIT" | "SESSION.RELEASE" => {
                let fence: i64 = argument(2).parse().expect("a fence");
                let is_held = state.holds.get(&key) == Some(&fence);
                if is_held {
                    state.holds.remove(&key);
                    self.state.1.notify_all();
                }
                let reply = if is_held {
                    ":1\r\n"
                } else {
                    "-FENCED the hold has passed on\r\n"
                };
                reply.to_owned()
            }
            "SESSION.BREAK" | "SESSION.DESTROY" => {
                state.holds.remove(&key);
                ":0\r\n".to_owned()
            }
            _ => format!("-ERR unknown command '{command}'\r\n"),
        }
    }

    /// Grants the hold, in the order of asking.
    fn open(&self, key: &str, waits: bool) -> String {
        let mut state = self.state.0.lock().expect("no thread panics");
        if state.holds.contains_key(key) && !waits {
            return "-HELD 1000\r\n".to_owned();
        }
        state.ticket += 1;
        let ticket = state.ticket;
        state
            .lines
            .entry(key.to_owned())
            .or_default()
            .push_back(ticket);
        let is_next = |state: &mut State| {
            !state.holds.contains_key(key)
                && state.lines.get(key).and_then(|line| line.front()) == Some(&ticket)
        };
        while !is_next(&mut state) {
            let patience = Duration::from_secs(20);
            let (guard, timeout) = self
                .state
                .1
                .wait_timeout(state, patience)
                .expect("no thread panics");
            assert!(!timeout.timed_out(), "nobody gave {key} back");
            state = guard;
        }
        state.lines.get_mut(key).expect("it has a line").pop_front();
        state.fence += 1;
        let fence = state.fence;
        state.holds.insert(key.to_owned(), fence);
        session(key, fence)
    }
}

/// The reply to SESSION.OPEN and its like.
fn session(id: &str, fence: i64) -> String {
    format!(
        "*14\r\n{}{}{}:1\r\n{}:{fence}\r\n{}:-1\r\n{}:-1\r\n{}$-1\r\n{}*2\r\n{}{}",
        bulk("id"),
        bulk(id),
        bulk("version"),
        bulk("fence"),
        bulk("idle_ms"),
        bulk("max_ms"),
        bulk("user"),
        bulk("fields"),
        bulk("data"),
        bulk("value"),
    )
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn now_ms() -> u128 {
    #[allow(
        clippy::disallowed_methods,
        reason = "a server of tests tells the real time, as its clients expect"
    )]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_millis()
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let count = read_number(reader, b'*')?;
    (0..count).map(|_| read_bulk(reader)).collect()
}

fn read_bulk(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let length = read_number(reader, b'$')?;
    let mut bytes = vec![0; length + 2];
    reader.read_exact(&mut bytes).ok()?;
    bytes.truncate(length);
    String::from_utf8(bytes).ok()
}

fn read_number(reader: &mut BufReader<TcpStream>, mark: u8) -> Option<usize> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    let digits = line.strip_prefix(&[mark])?.trim_ascii_end();
    std::str::from_utf8(digits).ok()?.parse().ok()
}
