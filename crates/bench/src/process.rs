//! What a process uses.
//!
//! CPU time comes from the kernel's CPU clocks, in nanoseconds; `utime` and `stime` in `/proc/<pid>/stat` count whole
//! ticks of 10 ms. Threads that have ended count, a child (a Redis rewriting its file) does not. Memory comes from `/proc`.

use std::fs;

use anyhow::{Context, Result};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use serde::Serialize;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

/// Nanoseconds that the threads of process `pid` have run, those that have ended too.
pub fn cpu_ns(pid: u32) -> Result<u64> {
    let missing = || format!("there is no process {pid}");
    let id = i32::try_from(pid).with_context(missing)?;
    let clock = clock_getcpuclockid(Pid::from_raw(id)).with_context(missing)?;
    elapsed_ns(clock).with_context(missing)
}

/// Nanoseconds that the calling thread has run.
pub fn own_cpu_ns() -> Result<u64> {
    elapsed_ns(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn elapsed_ns(clock: ClockId) -> Result<u64> {
    Ok(u64::try_from(clock.now()?.num_nanoseconds())?)
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
        assert!(cpu_ns(pid).expect("own") > before.0);
        assert!(own_cpu_ns().expect("own") > before.1);
    }

    #[test]
    fn what_ended_threads_have_run_stays_counted() {
        let worked = std::thread::spawn(|| {
            let block = vec![1u8; 16 << 20];
            assert_eq!(
                block.iter().map(|&byte| u64::from(byte)).sum::<u64>(),
                16 << 20
            );
            own_cpu_ns().expect("own")
        });
        let worked_ns = worked.join().expect("it only adds");
        assert!(cpu_ns(std::process::id()).expect("own") >= worked_ns);
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
