//! Where the processes of a run live: each at a *site* of its own, with an address that nobody else has.
//!
//! With the right to (root), the whole run moves into namespaces of its own before it begins: what it mounts, the devices and networks that it
//! makes, and the processes that it starts are gone with it, however it ends, also by SIGKILL. Each site is a network namespace, and
//! a [`Switch`] is the network between them.
//!
//! Without that right the sites share the loopback device: processes can be killed and stopped, links cannot be cut. The run says so.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use bench::clock::Clock;
use tempfile::TempDir;

use crate::switch::{Link, MTU, Port, Switch};

/// Says to a run that it is in namespaces of its own already.
pub const INSIDE: &str = "--inside";
/// Where a run in namespaces keeps its files: a tmpfs that only it sees. Debian has the directory.
const PRIVATE: &str = "/mnt";
/// The harness's own site.
const HERE: Port = 1;

/// One site.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its number, from 2.
    pub port: Port,
    /// Where its process listens.
    pub address: Ipv4Addr,
    namespace: Option<String>,
}

/// Where the sites are.
#[derive(Debug)]
enum Ground {
    Namespaces(Switch),
    Loopback,
}

/// All sites of a run and the network between them.
#[derive(Debug)]
pub struct Arena {
    ground: Ground,
    sites: Port,
    files: PathBuf,
    // Removes the files, where no namespace does.
    _made: Option<TempDir>,
}

/// Why a run stays on the loopback device.
#[derive(Debug)]
pub struct NotAllowed(String);

impl fmt::Display for NotAllowed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "no namespaces ({}): everything is on the loopback device, and links cannot be cut or slowed nor disks filled; run as root for that",
            self.0
        )
    }
}

/// Begins this program anew in namespaces of its own, with [`INSIDE`] as its first argument. Returns only if that is not possible.
#[must_use]
pub fn enter() -> NotAllowed {
    // First without consequences: what this does there is what a run will do.
    let trial = "ip link set lo up && mount -t tmpfs none /mnt && ip tuntap add trial mode tun && ip netns list";
    let tried = Command::new("unshare")
        .args(NAMESPACES)
        .args(["sh", "-c", trial])
        .output();
    match tried {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            return NotAllowed(
                String::from_utf8_lossy(&output.stderr)
                    .trim()
                    .replace('\n', "; "),
            );
        }
        Err(error) => return NotAllowed(format!("unshare: {error}")),
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return NotAllowed(format!("which program is this? {error}")),
    };
    let mut command = Command::new("unshare");
    command
        .args(NAMESPACES)
        .arg(program)
        .arg(INSIDE)
        .args(std::env::args_os().skip(1));
    NotAllowed(command.exec().to_string())
}

const NAMESPACES: [&str; 7] = [
    "--mount",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--",
];

impl Arena {
    /// An arena without sites. `inside`: in namespaces of its own. `files`: a directory for the data, instead of memory.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(inside: bool, files: Option<&Path>, clock: Clock) -> Result<Self> {
        let ground = if inside {
            Ground::Namespaces(prepare(clock)?)
        } else {
            Ground::Loopback
        };
        let made = match (files, inside) {
            (None, true) => None,
            (None, false) => Some(tempfile::tempdir()?),
            (Some(files), _) => Some(tempfile::tempdir_in(files)?),
        };
        let files = made.as_ref().map_or(Path::new(PRIVATE), TempDir::path);
        Ok(Self {
            ground,
            sites: HERE,
            files: files.to_path_buf(),
            _made: made,
        })
    }

    /// A new site.
    ///
    /// # Errors
    /// Those of the system.
    pub fn site(&mut self) -> Result<Site> {
        self.sites += 1;
        let port = self.sites;
        let Ground::Namespaces(switch) = &self.ground else {
            let address = Ipv4Addr::LOCALHOST;
            return Ok(Site {
                port,
                address,
                namespace: None,
            });
        };
        let (namespace, device) = (format!("site{port}"), format!("net{port}"));
        run("ip", &["netns", "add", &namespace])?;
        run("ip", &["-n", &namespace, "link", "set", "lo", "up"])?;
        switch.plug(port, &device)?;
        run("ip", &["link", "set", &device, "netns", &namespace])?;
        up(Some(&namespace), &device, address(port))?;
        Ok(Site {
            port,
            address: address(port),
            namespace: Some(namespace),
        })
    }

    /// Whether links can be cut and slowed.
    #[must_use]
    pub fn has_network(&self) -> bool {
        matches!(self.ground, Ground::Namespaces(_))
    }

    /// Cuts or slows everything between these two sites, in both directions.
    ///
    /// # Panics
    /// On the loopback device: ask [`Arena::has_network`] first.
    pub fn link(&self, one: Port, other: Port, link: Link) {
        let Ground::Namespaces(switch) = &self.ground else {
            panic!("there are no links on the loopback device");
        };
        switch.set(one, other, link);
        switch.set(other, one, link);
    }

    /// Cuts or slows everything between this site and all others, the clients' too.
    pub fn isolate(&self, site: Port, link: Link) {
        for other in HERE..=self.sites {
            self.link(site, other, link);
        }
    }

    /// Opens all links.
    pub fn heal(&self) {
        match &self.ground {
            Ground::Namespaces(switch) => switch.heal(),
            Ground::Loopback => {}
        }
    }

    /// Packets that the network has lost without being told to: it could not keep up. Each may have cost whoever sent it a second.
    ///
    /// # Errors
    /// Those of the system.
    pub fn lost_packets(&self) -> Result<u64> {
        if !self.has_network() {
            return Ok(0);
        }
        let mut lost = dropped(None, "clients")?;
        for port in HERE + 1..=self.sites {
            lost += dropped(Some(&format!("site{port}")), &format!("net{port}"))?;
        }
        Ok(lost)
    }

    /// A directory that is there and empty.
    ///
    /// # Errors
    /// Those of the system.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.files.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// The same, on a disk of its own that has so many MiB.
    ///
    /// # Errors
    /// Those of the system.
    pub fn small_disk(&self, name: &str, mib: u64) -> Result<PathBuf> {
        let path = self.directory(name)?;
        let size = format!("size={mib}m");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &size, "none", &path.to_string_lossy()],
        )?;
        Ok(path)
    }
}

/// The network of a run whose namespaces are still empty.
fn prepare(clock: Clock) -> Result<Switch> {
    run("ip", &["link", "set", "lo", "up"])?;
    run("mount", &["-t", "tmpfs", "none", PRIVATE])?;
    // `ip netns` keeps its names here; these are nobody else's business.
    std::fs::create_dir_all("/run/netns")?;
    run("mount", &["-t", "tmpfs", "none", "/run/netns"])?;
    let switch = Switch::start(clock);
    switch.plug(HERE, "clients")?;
    up(None, "clients", address(HERE))?;
    Ok(switch)
}

fn address(port: Port) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, port)
}

/// Packets that wait for the switch when others have the processor: as many as come in a second, or a network without faults would
/// lose some.
const QUEUE: &str = "20000";

fn up(namespace: Option<&str>, device: &str, address: Ipv4Addr) -> Result<()> {
    let ip = |arguments: &[&str]| run("ip", &[&within(namespace)[..], arguments].concat());
    ip(&["addr", "add", &format!("{address}/24"), "dev", device])?;
    ip(&["link", "set", device, "txqueuelen", QUEUE])?;
    ip(&["link", "set", device, "mtu", &MTU.to_string(), "up"])?;
    Ok(())
}

fn within(namespace: Option<&str>) -> Vec<&str> {
    namespace.map(|name| vec!["-n", name]).unwrap_or_default()
}

/// Packets that a device has dropped, in either direction.
fn dropped(namespace: Option<&str>, device: &str) -> Result<u64> {
    let show = ["-s", "-j", "link", "show", device];
    let said = run("ip", &[&within(namespace)[..], &show].concat())?;
    let all: serde_json::Value = serde_json::from_str(&said)?;
    let stats = &all[0]["stats64"];
    let of = |direction: &str| stats[direction]["dropped"].as_u64();
    Ok(of("tx").context("no statistics of a device")? + of("rx").unwrap_or_default())
}

impl Site {
    /// The command that runs `program` here.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let Some(namespace) = &self.namespace else {
            return Command::new(program);
        };
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{namespace}"))
            .arg(program);
        command
    }

    /// A port here that nobody else gets: `wanted` in a network of our own, below the range that the system gives away.
    ///
    /// # Errors
    /// Those of the system.
    pub fn free_port(&self, wanted: u16) -> Result<SocketAddr> {
        match self.namespace {
            // Nobody else is here.
            Some(_) => Ok(SocketAddr::from((self.address, wanted))),
            None => Ok(ports::reserve_at(self.address.into())?),
        }
    }
}

/// Runs a program of the system to its end. Returns what it printed.
///
/// # Errors
/// With what it said.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
