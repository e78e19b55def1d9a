//! One process of a `tenure dev`.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// A process that has said that it is ready.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    /// The line in which it said so.
    pub ready: String,
}

/// Starts a process whose log lines are appended to a file, and waits until it is ready. It dies with the thread that calls this.
///
/// # Errors
/// It cannot be started, or ends before it is ready.
pub fn start(mut command: Command, log: &Path) -> io::Result<Started> {
    let lines = OpenOptions::new().create(true).append(true).open(log)?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(lines)
        // Ctrl-C goes to everybody in the terminal's group: it is for us to pass on.
        .process_group(0);
    // SAFETY: between fork and exec only a system call is made, which allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let mut child = command.spawn()?;
    let mut ready = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut ready)?;
    }
    if ready.is_empty() {
        let status = child.wait()?;
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let last = text.lines().next_back().unwrap_or_default();
        return Err(io::Error::other(format!(
            "it did not start ({status}): {last} ({})",
            log.display()
        )));
    }
    Ok(Started { child, ready })
}

/// Sends a signal.
///
/// # Errors
/// The process is gone.
pub fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    Ok(kill_process(Pid::from_child(child), signal)?)
}

/// What stands in a ready line between two texts.
pub fn between<'a>(line: &'a str, before: &str, after: &[char]) -> Option<&'a str> {
    let (_, rest) = line.split_once(before)?;
    let end = rest.find(after).unwrap_or(rest.len());
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn addresses_are_found_in_a_ready_line() {
        let line = "tenure ready on 127.0.0.1:1 (admin http://127.0.0.1:2, data x, node 3, peer 127.0.0.1:4)\n";
        assert_eq!(between(line, "ready on ", &[' ']), Some("127.0.0.1:1"));
        assert_eq!(between(line, "http://", &[',']), Some("127.0.0.1:2"));
        assert_eq!(between(line, "peer ", &[',', ')']), Some("127.0.0.1:4"));
        assert_eq!(between(line, "meta ", &[',']), None);
    }
}
