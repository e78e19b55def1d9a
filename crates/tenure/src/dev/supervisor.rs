//! Starts the processes, does to them what is asked, ends them. It starts nothing again by itself.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::Signal;
use server::survey::Survey;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::child::{self, Started, between};
use super::control::{self, Reply, Request, Verb};
use super::state::{Process, State};
use crate::{http, say};

/// How often is looked whether a process has ended, and whether the cluster serves.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Copies of a shard, where there are so many nodes.
const COPIES: u32 = 3;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes.
    pub nodes: u32,
    /// Where node 1 listens; `None`: the system chooses all ports.
    pub port: Option<u16>,
    /// Memory of each.
    pub memory: String,
    /// Into how many shards the slots are divided.
    pub shards: String,
    /// The folder.
    pub dir: PathBuf,
    /// Further options of each node.
    pub more: Vec<String>,
}

/// What the supervisor waits for.
#[derive(Debug)]
pub enum Happening {
    /// Another terminal asks for something.
    Request(Request, Sender<Reply>),
    /// Ctrl-C, or SIGTERM.
    Interrupted,
}

/// Ports that people type. Those of one kind lie [`DOOR_STEP`] apart from those of the next.
#[derive(Clone, Copy, Debug)]
enum Door {
    Client,
    Forward,
    Sentinel,
    Admin,
}

impl Door {
    const ALL: [Self; 4] = [Self::Client, Self::Forward, Self::Sentinel, Self::Admin];
}

/// More than there can be nodes.
const DOOR_STEP: u32 = 100;

/// Where node `number` listens if node 1 has port `first` for clients.
fn door_of(first: u16, number: u32, door: Door) -> String {
    let port = u32::from(first) + DOOR_STEP * door as u32 + number - 1;
    format!("127.0.0.1:{port}")
}

/// The first address, of all that so many nodes would take, which somebody has.
pub fn taken(first: u16, nodes: u32) -> Option<String> {
    let doors = Door::ALL.into_iter();
    let mut addresses =
        doors.flat_map(|door| (1..=nodes).map(move |number| door_of(first, number, door)));
    addresses.find(|address| TcpListener::bind(address).is_err())
}

/// Runs until Ctrl-C.
///
/// # Errors
/// Something cannot be started.
pub fn run(plan: Plan) -> Result<(), String> {
    let (sender, happenings) = channel();
    let failed = |what: &str, error: &io::Error| format!("cannot {what}: {error}");
    std::fs::create_dir_all(&plan.dir)
        .map_err(|error| failed(&format!("make {}", plan.dir.display()), &error))?;
    control::listen(&plan.dir, sender.clone()).map_err(|error| failed("listen", &error))?;
    mind_signals(sender).map_err(|error| failed("mind signals", &error))?;
    let dir = plan.dir.clone();
    let mut supervisor = Supervisor::new(plan);
    let result = supervisor.start_all().map(|()| {
        supervisor.greet();
        supervisor.turn(&happenings);
    });
    supervisor.end_all();
    control::leave(&dir);
    result
}

/// The first signal ends everything well, the second at once: the processes die with this one.
fn mind_signals(happenings: Sender<Happening>) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for (count, _) in signals.forever().enumerate() {
                if count > 0 || happenings.send(Happening::Interrupted).is_err() {
                    std::process::exit(1);
                }
            }
        })
        .map(drop)
}

struct Supervisor {
    plan: Plan,
    state: State,
    /// The running processes by node; 0 is the cluster map.
    children: std::collections::BTreeMap<u32, Child>,
    /// Whether it was said that everything is served.
    announced: bool,
}

/// The number of the process that keeps the cluster map.
const META: u32 = 0;

impl Supervisor {
    fn new(plan: Plan) -> Self {
        let state = State {
            pid: std::process::id(),
            ..State::default()
        };
        Self {
            plan,
            state,
            children: std::collections::BTreeMap::new(),
            announced: false,
        }
    }

    fn start_all(&mut self) -> Result<(), String> {
        for number in META..=self.plan.nodes {
            self.start(number)?;
        }
        Ok(())
    }

    fn greet(&self) {
        let dir = self.plan.dir.display();
        let first = self
            .state
            .nodes
            .first()
            .map_or("", |node| node.address.as_str());
        let port = first.rsplit(':').next().unwrap_or_default();
        let node = self.state.nodes.first().cloned().unwrap_or_default();
        let forward = node.forward.rsplit(':').next().unwrap_or_default();
        let sentinel = node.sentinel;
        say(&format_args!(
            "{}\ncluster clients:        redis-cli -c -p {port}\n\
             all others:             redis-cli -p {forward}, or Sentinel at {sentinel} (mymaster)\n\
             from another terminal:  tenure dev status | kill N | stop N | start N  --dir {dir}\n\
             Ctrl-C ends all.",
            self.state
        ));
    }

    fn turn(&mut self, happenings: &Receiver<Happening>) {
        loop {
            match happenings.recv_timeout(LOOK_EVERY) {
                Ok(Happening::Interrupted) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Happening::Request(request, reply)) => {
                    let result = self.obey(&request).map(|()| self.state.clone());
                    // Whoever asked may have given up.
                    let _ = reply.send(result);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.reap();
                    self.announce();
                }
            }
        }
    }

    /// Says once that all shards are served.
    fn announce(&mut self) {
        if self.announced {
            return;
        }
        let admin = self.state.nodes.first().map(|node| node.admin.clone());
        let survey = admin.and_then(|admin| http::ask("GET", &admin, "/cluster", "").ok());
        let survey = survey.and_then(|answer| serde_json::from_str::<Survey>(&answer.body).ok());
        if let Some(survey) = survey.filter(Survey::is_served) {
            self.announced = true;
            say(&format_args!(
                "ready: {} shards are served",
                survey.shards.len()
            ));
        }
    }
}

/// Processes.
impl Supervisor {
    fn process(&mut self, number: u32) -> &mut Process {
        if number == META {
            return &mut self.state.meta;
        }
        let nodes = &mut self.state.nodes;
        let at = match nodes.binary_search_by_key(&number, |node| node.node) {
            Ok(at) => at,
            Err(at) => {
                let node = Process {
                    node: number,
                    ..Process::default()
                };
                nodes.insert(at, node);
                at
            }
        };
        &mut nodes[at]
    }

    fn start(&mut self, number: u32) -> Result<(), String> {
        let name = name(number);
        let (command, log) = match number {
            META => self.meta_command(),
            _ => self.node_command(number),
        };
        let started = command.and_then(|command| {
            if let Some(dir) = log.parent() {
                std::fs::create_dir_all(dir)?;
            }
            child::start(command, &log)
        });
        let started = started.map_err(|error| format!("{name}: {error}"))?;
        self.note(number, &started, log.display().to_string());
        self.children.insert(number, started.child);
        self.write_state();
        Ok(())
    }

    fn note(&mut self, number: u32, started: &Started, log: String) {
        let line = &started.ready;
        let find = |before: &str| {
            let found = between(line, before, &[' ', ',', ')', '\n']);
            found.unwrap_or_default().to_owned()
        };
        let address = match number {
            META => find("tenure://"),
            _ => find("ready on "),
        };
        *self.process(number) = Process {
            node: number,
            pid: Some(started.child.id()),
            is_paused: false,
            address,
            admin: find("http://"),
            peer: find("peer "),
            forward: find("forward "),
            sentinel: find("sentinel "),
            log,
        };
    }

    fn meta_command(&mut self) -> (io::Result<Command>, PathBuf) {
        let dir = &self.plan.dir;
        let listen = or_any(&self.state.meta.address);
        let command = std::env::current_exe().map(|binary| {
            let mut command = Command::new(binary);
            command
                .args(["meta", "--listen", &listen, "--file"])
                .arg(dir.join("metadata.redb"));
            command
        });
        (command, dir.join("meta.log"))
    }

    /// A node comes back to the addresses that it had.
    fn node_command(&mut self, number: u32) -> (io::Result<Command>, PathBuf) {
        let meta = format!("tenure://{}", self.state.meta.address);
        let known = self.process(number).clone();
        let listen = |known: &str, door| match self.plan.port {
            Some(first) if known.is_empty() => door_of(first, number, door),
            Some(_) | None => or_any(known),
        };
        let folder = self.plan.dir.join(format!("node-{number}"));
        let copies = self.plan.nodes.min(COPIES).to_string();
        let command = std::env::current_exe().map(|binary| {
            let mut command = Command::new(binary);
            command
                .args(["serve", "--cluster", "dev", "--meta", &meta])
                .args(["--node", &number.to_string()])
                .args(["--listen", &listen(&known.address, Door::Client)])
                .args(["--forward", &listen(&known.forward, Door::Forward)])
                .args(["--sentinel", &listen(&known.sentinel, Door::Sentinel)])
                .args(["--admin", &listen(&known.admin, Door::Admin)])
                .args(["--peer", &or_any(&known.peer)])
                .args(["--memory", &self.plan.memory, "--shards", &self.plan.shards])
                .args(["--copies", &copies, "--dir"])
                .arg(folder.join("data"))
                .args(&self.plan.more);
            command
        });
        (command, folder.join("log"))
    }

    /// Takes note of processes that have ended.
    fn reap(&mut self) {
        let ended = self.children.extract_if(.., |_, child| {
            matches!(child.try_wait(), Ok(Some(_)) | Err(_))
        });
        let ended: Vec<u32> = ended.map(|(number, _)| number).collect();
        for number in &ended {
            say(&format_args!("{} has ended", name(*number)));
            self.forget(*number);
        }
    }

    fn forget(&mut self, number: u32) {
        let process = self.process(number);
        (process.pid, process.is_paused) = (None, false);
        self.write_state();
    }

    /// Scripts read it; people ask. Without it the cluster works all the same.
    fn write_state(&self) {
        if let Err(error) = self.state.write(&self.plan.dir) {
            say(&format_args!(
                "cannot write {}: {error}",
                super::state::FILE
            ));
        }
    }
}

/// What others ask for.
impl Supervisor {
    fn obey(&mut self, request: &Request) -> Result<(), String> {
        self.reap();
        if request.verb == Verb::Status {
            return Ok(());
        }
        let number = self.number(&request.who)?;
        match request.verb {
            Verb::Status => Ok(()),
            Verb::Start if self.children.contains_key(&number) => {
                Err(format!("{} runs already", name(number)))
            }
            Verb::Start => self.start(number),
            Verb::Kill => self.end(number, Signal::KILL),
            Verb::Stop => self.end(number, Signal::TERM),
            Verb::Pause => self.pause(number, Signal::STOP),
            Verb::Resume => self.pause(number, Signal::CONT),
        }
    }

    /// A node that there is, or one more.
    fn number(&self, who: &str) -> Result<u32, String> {
        let last = self.state.nodes.last().map_or(0, |node| node.node);
        let number = match who {
            "meta" => Some(META),
            number => number.parse().ok().filter(|n| (1..=last + 1).contains(n)),
        };
        number.ok_or_else(|| {
            format!(
                "`{who}`: expected meta, or a node from 1 to {last}; {} to start one more",
                last + 1
            )
        })
    }

    fn child(&mut self, number: u32) -> Result<&mut Child, String> {
        let child = self.children.get_mut(&number);
        child.ok_or_else(|| format!("{} does not run", name(number)))
    }

    fn end(&mut self, number: u32, signal: Signal) -> Result<(), String> {
        let child = self.child(number)?;
        let ended = child::signal(child, signal).and_then(|()| child.wait());
        ended.map_err(|error| format!("{}: {error}", name(number)))?;
        self.children.remove(&number);
        self.forget(number);
        Ok(())
    }

    fn pause(&mut self, number: u32, signal: Signal) -> Result<(), String> {
        let sent = child::signal(self.child(number)?, signal);
        sent.map_err(|error| format!("{}: {error}", name(number)))?;
        self.process(number).is_paused = signal == Signal::STOP;
        self.write_state();
        Ok(())
    }

    /// Ends the nodes together, and then the cluster map.
    fn end_all(&mut self) {
        let numbers: Vec<u32> = self.children.keys().copied().collect();
        for number in numbers.iter().filter(|number| **number != META) {
            let child = &self.children[number];
            // It may have ended by itself; one that is paused takes the first signal when it goes on.
            let _ = child::signal(child, Signal::TERM);
            let _ = child::signal(child, Signal::CONT);
        }
        for number in numbers.into_iter().rev() {
            if let Some(mut child) = self.children.remove(&number) {
                if number == META {
                    let _ = child::signal(&child, Signal::TERM);
                }
                // What cannot be waited for is gone.
                let _ = child.wait();
                self.forget(number);
            }
        }
    }
}

fn name(number: u32) -> String {
    match number {
        META => "the cluster map".into(),
        number => format!("node {number}"),
    }
}

/// The address that it had, or one that the system chooses.
fn or_any(address: &str) -> String {
    if address.is_empty() {
        "127.0.0.1:0".into()
    } else {
        address.to_owned()
    }
}
