//! The life of a server process, from its configuration to its end.

use std::fmt;
use std::io::{self, Write as _};

use mio::Poll;
use model::limits::SEGMENT_BYTES;
use model::position::{MAX_EPOCH, MAX_SEQUENCE};
use model::{Now, Position};
use node::{Node, Outbox};
use shard::Shard;
use store::{Restore, Store, StoreConfig, Tuning};
use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::accept::Listener;
use crate::admin::{self, Admin};
use crate::clock::Clock;
use crate::config::units::size_rounded;
use crate::config::{Config, sync_name};
use crate::directory::{Directory, Folders};
use crate::disk::Disk;
use crate::limits::raise_open_files;
use crate::logs;
use crate::membership::{self, Candidate};
use crate::message::Mailbox;
use crate::pages::MappedPages;
use crate::phase::{Phase, SharedPhase};
use crate::process;
use crate::restore;
use crate::settings;
use crate::sockets::Sockets;
use crate::turns::{LoopState, MESSAGES, Shell};

/// Why a server does not start, or ended: one line, with what to do.
#[derive(Debug)]
pub struct StartError(String);

impl StartError {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// Runs one node until it is told to stop.
///
/// # Errors
/// It cannot start.
pub fn serve_one(config: &Config) -> Result<(), StartError> {
    logs::start(config.log_format, config.log_level);
    let max_clients = max_clients(config);
    let clock = Clock::start();
    let directory = config.dir.as_deref().map(Directory::open).transpose();
    let directory = directory.map_err(|error| StartError(error.to_string()))?;
    let poll = Poll::new().map_err(|error| system("make a poller", &error))?;
    let (mailbox, inbox) =
        Mailbox::new(&poll, MESSAGES).map_err(|error| system("make a mailbox", &error))?;
    let phase = SharedPhase::new();
    let listeners = bind_all(config)?;
    let (admin_address, runtime) = start_admin(config, &mailbox, &phase)?;
    let client = listeners[0].address;
    let mut candidate = match &config.cluster.meta {
        Some(_) => {
            let directory = directory.as_ref();
            let new = Candidate::new(config, directory, client, admin_address, &runtime, clock);
            Some(new?)
        }
        None => None,
    };
    let me = match &candidate {
        Some(candidate) => Some(candidate.settle(config, directory.as_ref(), &runtime)?),
        None => None,
    };
    let disk = start_disk(config, directory.as_ref(), me.is_some(), &mailbox, clock)?;
    let held = me.zip(candidate.as_mut().map(Candidate::take_copies));
    let node = match held {
        Some(held) => {
            membership::start_node(config, held, directory.as_ref(), max_clients, client, clock)?
        }
        None => start_node(config, max_clients, directory.as_ref(), &listeners, clock)?,
    };
    let about = candidate
        .as_ref()
        .zip(me)
        .map_or_else(String::new, |(candidate, me)| candidate.about(config, me));
    let plane = match candidate.zip(me) {
        Some((candidate, me)) => {
            let client = (mailbox, max_clients, listeners[0].address);
            Some(candidate.join(config, me, clock.now(), client, &runtime)?)
        }
        None => None,
    };
    let mut shell = Shell {
        node,
        plane: plane.map(Box::new),
        clock,
        poll,
        listeners,
        inbox,
        disk,
        phase,
        sockets: Sockets::default(),
        outbox: Outbox::default(),
        state: LoopState::default(),
        now: clock.now(),
    };
    shell
        .listen()
        .map_err(|error| address_error("listen", &shell.addresses(), &error))?;
    shell.phase.set(Phase::Serving);
    say_ready(config, &shell, admin_address, &about);
    shell
        .run()
        .map_err(|error| system("wait for events", &error))?;
    // Other nodes are to see an end now, not silence for as long as clients of the ports take to theirs.
    let outside = shell.plane.take().map(|plane| plane.into_outside());
    if let Some(directory) = directory {
        finish(&mut shell, &directory)?;
    }
    if let Some(outside) = outside {
        outside.end();
    }
    info!("stopped");
    Ok(())
}

fn start_disk(
    config: &Config,
    directory: Option<&Directory>,
    is_member: bool,
    mailbox: &Mailbox,
    clock: Clock,
) -> Result<Disk, StartError> {
    let Some(directory) = directory else {
        return Ok(Disk::nowhere());
    };
    let copies = is_member.then(|| membership::terms_of_stores(config, Some(directory)));
    let segment_bytes = copies.map_or(SEGMENT_BYTES, |(_, tuning)| tuning.segment_bytes);
    let folders = Folders::of(directory);
    Disk::start(folders, segment_bytes, copies, mailbox.clone(), clock)
        .map_err(|error| system("start the disk thread", &error))
}

/// Ends the log, so that the next start need not look for unfinished ends.
fn finish(shell: &mut Shell, directory: &Directory) -> Result<(), StartError> {
    if !shell.seal() {
        warn!(
            "the disk has not taken the end of the log: the data directory is not marked as clean"
        );
        return Ok(());
    }
    Folders::of(directory)
        .sync_notes()
        .and_then(|()| directory.mark_clean())
        .map_err(|error| system("mark the data directory as clean", &error))
}

fn max_clients(config: &Config) -> usize {
    let fit = raise_open_files();
    if fit < config.max_clients {
        warn!(
            max_clients = fit,
            configured = config.max_clients,
            "fewer connections than configured: the limit of open files (ulimit -n, LimitNOFILE) allows no more"
        );
    }
    fit.min(config.max_clients) as usize
}

fn bind_all(config: &Config) -> Result<Vec<Listener>, StartError> {
    let bind = |&address: &std::net::SocketAddr| {
        Listener::bind(address)
            .map_err(|error| address_error("listen", &address.to_string(), &error))
    };
    config.listen.iter().map(bind).collect()
}

fn start_admin(
    config: &Config,
    mailbox: &Mailbox,
    phase: &SharedPhase,
) -> Result<(Option<std::net::SocketAddr>, Handle), StartError> {
    let listener = match config.admin {
        Some(address) => {
            let bound = admin::bind(address);
            Some(bound.map_err(|error| address_error("admin", &address.to_string(), &error))?)
        }
        None => None,
    };
    let address = listener.as_ref().and_then(|l| l.local_addr().ok());
    let admin = Admin {
        mailbox: mailbox.clone(),
        phase: phase.clone(),
        secret: config.cluster.secret.clone(),
        is_member: config.cluster.meta.is_some(),
        is_private: address.is_none_or(|address| address.ip().is_loopback()),
    };
    let runtime =
        admin::start(admin, listener).map_err(|error| system("start the admin thread", &error))?;
    Ok((address, runtime))
}

fn start_node(
    config: &Config,
    max_clients: usize,
    directory: Option<&Directory>,
    listeners: &[Listener],
    clock: Clock,
) -> Result<Node, StartError> {
    // That of the directory lets a `SCAN` go on after a restart.
    let secret = match directory {
        Some(directory) => directory.id,
        None => u64::from_le_bytes(random()?),
    };
    let store_config = settings::of_store(config, secret);
    let start = match directory {
        Some(directory) => restore_store(config, store_config, directory, clock)?,
        None => Start {
            store: Store::with(store_config, in_memory(), Box::new(MappedPages)),
            position: position_of_time(clock.now())?,
            latest_ms: 0,
        },
    };
    let now = clock.now().not_before(start.latest_ms);
    let shard_settings = settings::of_shard(config, u64::from_le_bytes(random()?));
    let mut shard = Shard::new(start.store, start.position, shard_settings);
    let broken = shard.rebuild(now).map_err(|refused| {
        StartError(format!(
            "dir {}: cannot remove what the disk has lost a part of: {refused:?}; give it more memory (--memory): all that is there is kept",
            config.dir_name()
        ))
    })?;
    if broken > 0 {
        warn!(
            hashes = broken,
            "removed hashes of which the disk has lost a part; their sessions begin anew"
        );
    }
    let listen = listeners
        .first()
        .map_or_else(String::new, |l| l.address.to_string());
    let settings = settings::of_commands(config, max_clients, listen);
    let mut node = Node::new(shard, settings, random()?, now);
    node.server_mut().process = process::identity();
    Ok(node)
}

fn in_memory() -> Tuning {
    Tuning {
        files: false,
        ..Tuning::default()
    }
}

/// What a node begins with.
struct Start {
    store: Store,
    /// Of its first entry: past that of every earlier start.
    position: Position,
    /// The latest time that an earlier start is known to have seen.
    latest_ms: u64,
}

/// Where positions begin when no directory remembers the last start: at the time, so that fences grow from one start to the
/// next as the machine's clock does. An epoch is four minutes of it, and a start may use a million positions a millisecond.
///
/// # Errors
/// The clock is so far off that there is no such epoch.
fn position_of_time(now: Now) -> Result<Position, StartError> {
    const FIRST_MS: u64 = 1_767_225_600_000; // 2026-01-01
    const EPOCH_MS: u64 = 240_000;
    const POSITIONS_A_MS: u64 = 1 << 20;
    const { assert!(EPOCH_MS * POSITIONS_A_MS <= MAX_SEQUENCE) };
    let since_ms = now.unix_ms.checked_sub(FIRST_MS);
    let epoch = since_ms.and_then(|ms| u32::try_from(ms / EPOCH_MS).ok());
    match (since_ms, epoch.filter(|&epoch| epoch < MAX_EPOCH)) {
        (Some(ms), Some(epoch)) => Ok(Position::new(
            epoch + 1,
            ms % EPOCH_MS * POSITIONS_A_MS + 1,
        )),
        (_, _) => Err(StartError(
            "the machine's clock does not stand between 2026 and 2057; with dir = off it decides which fences come next: set it"
                .into(),
        )),
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| system("get random numbers from the system", &error))?;
    Ok(bytes)
}

fn restore_store(
    config: &Config,
    store_config: StoreConfig,
    directory: &Directory,
    clock: Clock,
) -> Result<Start, StartError> {
    let tuning = Tuning {
        directory: directory.id,
        ..Tuning::default()
    };
    let restore = Restore::new(store_config, tuning, Box::new(MappedPages));
    let threads = restore::threads(config);
    if !directory.was_clean {
        info!(
            "the last server on this directory did not shut down: its last writes may be unfinished"
        );
    }
    directory
        .begin()
        .map_err(|error| system("write in the data directory", &error))?;
    let restored = restore::restore(restore, &directory.segments_path(), threads, clock);
    let (store, report) = restored.map_err(|error| {
        StartError(format!(
            "dir {}: cannot restore: {error}; nothing was changed, so it can be tried again",
            config.dir_name()
        ))
    })?;
    let epoch = directory.last_epoch.max(report.newest.epoch()) + 1;
    directory
        .record_epoch(epoch)
        .map_err(|error| system("record the epoch in the data directory", &error))?;
    Ok(Start {
        store,
        position: Position::new(epoch, 1),
        latest_ms: report.latest_ms,
    })
}

/// The one line on standard output, for scripts and people.
fn say_ready(config: &Config, shell: &Shell, admin: Option<std::net::SocketAddr>, about: &str) {
    let admin = admin.map_or_else(|| "off".to_owned(), |address| format!("http://{address}"));
    let line = format!(
        "tenure ready on {} (admin {admin}, data {}, memory {}, sync {}{about})\n",
        shell.addresses(),
        config.dir_name(),
        size_rounded(config.memory_bytes),
        sync_name(config.sync),
    );
    let mut out = io::stdout().lock();
    // Whoever started the server may not be listening.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

pub(crate) fn system(what: &str, error: &dyn fmt::Display) -> StartError {
    StartError(format!("cannot {what}: {error}"))
}

pub(crate) fn address_error(key: &str, address: &str, error: &io::Error) -> StartError {
    let hints = [
        (
            io::ErrorKind::AddrInUse,
            "another process uses it (`ss -ltnp` shows which); stop that one, or give another address; port 0 lets the system choose",
        ),
        (
            io::ErrorKind::AddrNotAvailable,
            "this machine has no such address",
        ),
        (
            io::ErrorKind::PermissionDenied,
            "this user may not use it; give a port above 1023",
        ),
    ];
    let hint = hints.iter().find(|(kind, _)| *kind == error.kind());
    let hint = hint.map_or("give another address", |(_, hint)| hint);
    StartError(format!("{key} {address}: {error}: {hint} (--{key})"))
}
