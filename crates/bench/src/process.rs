//! What a process uses, from `/proc`.
//!
//! CPU time is the sum over the threads of `/proc/<pid>/task/*/schedstat`, whose first number is the
//! nanoseconds the thread has run; `utime` and `stime` in `/proc/<pid>/stat` count whole ticks of 10 ms.
//! A thread that ends takes its count away, and a child (a Redis rewriting its file) is not counted.

use std::fs;
use std::io;

use anyhow::{Context, Result};
use serde::Serialize;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

/// Nanoseconds that all threads of process `pid` have run.
pub fn cpu_ns(pid: u32) -> Result<u64> {
    let tasks = format!("/proc/{pid}/task");
    let mut total = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("there is no process {pid}"))? {
        let path = task.context("cannot list the threads")?.path();
        // A thread may end between the listing and the reading.
        if let Ok(text) = fs::read_to_string(path.join("schedstat")) {
            total += run_ns(&text).with_context(|| format!("{tasks} has an unknown form"))?;
        }
    }
    Ok(total)
}

/// Nanoseconds that the calling thread has run.
pub fn own_cpu_ns() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    run_ns(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn run_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// The memory of process `pid`.
pub fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("there is no process {pid}"))?;
    let field = |name| field_bytes(&status, name);
    field("VmRSS:")
        .zip(field("VmHWM:"))
        .map(|(resident, peak)| Memory { resident, peak })
        .with_context(|| format!("process {pid} has no memory of its own"))
}

/// The value in bytes of a line such as `VmRSS:   9112 kB`.
fn field_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_measured() {
        let pid = std::process::id();
        let before = (cpu_ns(pid).expect("own"), own_cpu_ns().expect("own"));
        let block = vec![1u8; 64 << 20];
        let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
        assert_eq!(sum, 64 << 20);
        let memory = memory(pid).expect("own");
        assert!(memory.peak >= 64 << 20, "{memory:?}");
        // The count moves on at the next tick or switch at the latest.
        while cpu_ns(pid).expect("own") <= before.0 || own_cpu_ns().expect("own") <= before.1 {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_missing_process_is_said_so() {
        let message = cpu_ns(u32::MAX).expect_err("no such process").to_string();
        assert!(message.contains("no process"), "{message}");
        assert!(memory(u32::MAX).is_err());
    }

    #[test]
    fn status_lines_are_in_kilobytes() {
        let status = "Name:\tx\nVmHWM:\t    12 kB\nVmRSS:\t     9 kB\n";
        assert_eq!(field_bytes(status, "VmRSS:"), Some(9 * 1024));
        assert_eq!(field_bytes(status, "VmSwap:"), None);
    }
}
