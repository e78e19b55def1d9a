//! `tenure doctor`: what of this machine, and of what the configuration names, will get in a server's way.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use meta::MetaStore as _;
use rustix::process::{Resource, getrlimit};

use crate::clock::Clock;
use crate::config::Config;
use crate::config::cluster::{ClusterConfig, Meta};
use crate::config::units::size_rounded;
use crate::metadata::{self, Store};

/// Files that a server has open besides its connections: segments, links, and some.
const FILES_BESIDES: u64 = 1_024;
/// Connections that the kernel should keep until they are accepted.
const BACKLOG: u64 = 4_096;
/// A sync that takes longer makes writes with `sync = always`, and the metadata store, slow.
const SLOW_SYNC: Duration = Duration::from_millis(10);
/// Syncs that are timed; the median counts.
const SYNCS: usize = 11;
/// Reads of the clock that are timed together, and how often: the quickest counts, as others use the processor too.
const CLOCK_READS: u32 = 1_000;
const CLOCK_ROUNDS: usize = 20;
/// A read that takes longer comes from a clock source that asks the hypervisor each time.
const SLOW_CLOCK: Duration = Duration::from_nanos(300);
/// An answer of the metadata store that takes longer makes each failover longer.
const SLOW_STORE: Duration = Duration::from_millis(50);

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// What should be done about it; `None` if it is well.
    pub advice: Option<String>,
}

impl Finding {
    fn new(what: &'static str, found: String, advice: Option<&str>) -> Self {
        Self {
            what,
            found,
            advice: advice.map(str::to_owned),
        }
    }
}

/// Looks at everything.
#[must_use]
pub fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        open_files(config.max_clients),
        backlog(),
        memory(config.memory_bytes),
        swap(),
        clock_source(),
        clock_speed(),
    ];
    if let Some(dir) = &config.dir {
        findings.push(disk_space(dir, config.memory_bytes));
        findings.push(sync_speed(dir));
    }
    if config.cluster.meta.is_some() {
        findings.push(store(config));
    }
    findings
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn open_files(max_clients: u64) -> Finding {
    let wanted = max_clients + FILES_BESIDES;
    let limit = getrlimit(Resource::Nofile).maximum;
    let enough = limit.is_none_or(|limit| limit >= wanted);
    let found = limit.map_or_else(|| "unlimited".into(), |limit| limit.to_string());
    let advice = format!(
        "{max_clients} clients need {wanted}: raise LimitNOFILE or `ulimit -Hn`, or lower max-clients"
    );
    Finding::new("open files", found, (!enough).then_some(&advice))
}

fn backlog() -> Finding {
    let found = read("/proc/sys/net/core/somaxconn");
    let few = found.parse::<u64>().is_ok_and(|most| most < BACKLOG);
    let advice = "many clients that connect at once will wait: sysctl net.core.somaxconn=4096";
    Finding::new("connections that may wait", found, few.then_some(advice))
}

fn memory(wanted: u64) -> Finding {
    let machine = crate::limits::machine_memory();
    let found = format!("{} of {}", size_rounded(wanted), size_rounded(machine));
    let too_much = wanted > machine / 10 * 9;
    let strict = read("/proc/sys/vm/overcommit_memory") == "2";
    let advice = match (too_much, strict) {
        (true, _) => Some("nothing is left for the system: lower memory"),
        (false, true) => {
            Some("vm.overcommit_memory = 2 counts address space that is not used: set it to 0 or 1")
        }
        (false, false) => None,
    };
    Finding::new("memory", found, advice)
}

fn swap() -> Finding {
    let swaps = read("/proc/swaps").lines().count().saturating_sub(1);
    let advice =
        "a node that swaps stands still and is held to be dead: swapoff, or MemorySwapMax=0";
    Finding::new(
        "swap areas",
        swaps.to_string(),
        (swaps > 0).then_some(advice),
    )
}

fn clock_source() -> Finding {
    let found = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let slow = ["hpet", "acpi_pm", "jiffies"].contains(&found.as_str());
    let advice = "this one is slow or coarse: use tsc, or what the hypervisor offers";
    Finding::new("clock source", found, slow.then_some(advice))
}

fn clock_speed() -> Finding {
    let clock = Clock::start();
    let round = || {
        let began = clock.elapsed();
        let mut last = began;
        for _ in 0..CLOCK_READS {
            last = clock.elapsed();
        }
        (last - began) / CLOCK_READS
    };
    let rounds = (0..CLOCK_ROUNDS).map(|_| round());
    let each = rounds.min().unwrap_or_default();
    let advice =
        "reading the clock asks the kernel or the hypervisor each time: look at the clock source";
    let slow = each > SLOW_CLOCK;
    Finding::new(
        "reading the clock",
        format!("{each:?}"),
        slow.then_some(advice),
    )
}

fn disk_space(dir: &Path, memory: u64) -> Finding {
    // The directory may not be there yet: what it will be in is.
    let there = dir
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("."));
    let Ok(space) = rustix::fs::statvfs(there) else {
        return Finding::new("disk space", "unknown".into(), None);
    };
    let free = space.f_bavail * space.f_frsize;
    let advice = "the log needs about twice the memory limit: make room, or lower memory";
    let little = free < 2 * memory;
    Finding::new("disk space", size_rounded(free), little.then_some(advice))
}

fn sync_speed(dir: &Path) -> Finding {
    let there = dir
        .ancestors()
        .find(|path| path.is_dir())
        .unwrap_or(Path::new("."));
    match time_syncs(there) {
        Ok(median) => {
            let advice = "with sync = always a write waits for this; an embedded map and etcd do too: use a disk with a write cache that survives power loss";
            let slow = median > SLOW_SYNC;
            Finding::new("disk sync", format!("{median:.1?}"), slow.then_some(advice))
        }
        Err(error) => {
            let advice = format!(
                "{}: {error}: this user has to be able to write there",
                there.display()
            );
            Finding::new("disk sync", "failed".into(), Some(&advice))
        }
    }
}

/// How long writing and syncing 4 KiB takes, at the median.
fn time_syncs(dir: &Path) -> io::Result<Duration> {
    let path = dir.join(format!("tenure-doctor.{}", std::process::id()));
    let timed = time_syncs_of(&mut File::create(&path)?);
    fs::remove_file(&path)?;
    timed
}

fn time_syncs_of(file: &mut File) -> io::Result<Duration> {
    let clock = Clock::start();
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let began = clock.elapsed();
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        times.push(clock.elapsed() - began);
    }
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}

fn store(config: &Config) -> Finding {
    const WHAT: &str = "metadata store";
    if config.cluster.meta == Some(Meta::Embedded) {
        return Finding::new(WHAT, "kept by this server".into(), None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let asked = runtime.and_then(|runtime| runtime.block_on(ask(config)));
    match asked {
        Ok(answer) => answer,
        Err(error) => {
            let advice = format!("{error}: a new node cannot join without it");
            Finding::new(WHAT, "does not answer".into(), Some(&advice))
        }
    }
}

async fn ask(config: &Config) -> io::Result<Finding> {
    let store = metadata::connect(&config.cluster, None)?;
    let clock = Clock::start();
    if store.list().await.is_none() {
        let why = store.trouble();
        return Err(io::Error::other(
            why.unwrap_or_else(|| "no answer in time".into()),
        ));
    }
    let took = clock.elapsed();
    let (kind, advice) = match &store {
        Store::Tenure(_) => ("tenure meta".to_owned(), None),
        Store::Etcd(etcd) => {
            let version = etcd.version().await.map_err(io::Error::other)?;
            let advice = trouble_with(&version);
            let by = way_to_etcd(&config.cluster);
            (format!("etcd {version} {by}"), advice)
        }
    };
    let slow = (took > SLOW_STORE).then_some("it is slow: each failover waits for it");
    let found = format!("{kind}, answers in {took:.1?}");
    Ok(Finding::new("metadata store", found, advice.or(slow)))
}

/// How etcd is reached.
fn way_to_etcd(cluster: &ClusterConfig) -> String {
    let tls = match (&cluster.meta_ca, &cluster.meta_cert) {
        (None, _) => "in plain text",
        (Some(_), None) => "over TLS",
        (Some(_), Some(_)) => "over TLS with a certificate",
    };
    match cluster.meta_user.as_str() {
        "" => format!("{tls}, as no user"),
        user => format!("{tls}, as user {user}"),
    }
}

/// What is known against a version of etcd.
fn trouble_with(version: &str) -> Option<&'static str> {
    let mut numbers = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    match (next(), next(), next()) {
        (0..=2, ..) | (3, 0..=3, _) => Some("too old: 3.4 or later is needed"),
        (3, 5, 0..=2) => Some("3.5.0 to 3.5.2 can lose data when they are killed: update etcd"),
        (..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{examine, trouble_with};
    use crate::config::Config;

    #[test]
    fn versions_of_etcd_with_known_trouble_are_named() {
        assert!(trouble_with("3.3.25").is_some());
        assert!(trouble_with("3.5.1").is_some());
        assert!(trouble_with("3.4.23").is_none());
        assert!(trouble_with("3.5.17").is_none());
        assert!(trouble_with("3.6.0").is_none());
    }

    #[test]
    fn too_many_clients_and_too_much_memory_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            max_clients: u64::MAX / 2,
            memory_bytes: u64::MAX / 4,
            dir: Some(dir.path().join("not-yet")),
            ..Config::default()
        };
        let findings = examine(&config);
        let advised: Vec<_> = findings
            .iter()
            .filter(|f| f.advice.is_some())
            .map(|f| f.what)
            .collect();
        assert!(
            advised.contains(&"memory") && advised.contains(&"disk space"),
            "{advised:?}"
        );
        assert!(
            findings
                .iter()
                .any(|f| f.what == "disk sync" && f.found != "failed")
        );
        let left = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 0, "nothing is left behind");
    }
}
