//! What the process uses, as the operating system counts it.

use command::Process;
use rustix::param::{clock_ticks_per_second, page_size};

use crate::limits::machine_memory;

/// What does not change while the process lives.
pub fn identity() -> Process {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    Process {
        id: std::process::id(),
        machine_memory_bytes: machine_memory(),
        executable: std::env::current_exe()
            .map_or_else(|_| String::new(), |path| path.display().to_string()),
        os: format!(
            "{} {} {}",
            text(uname.sysname()),
            text(uname.release()),
            text(uname.machine())
        ),
        ..Process::default()
    }
}

/// Brings the rest up to date.
pub fn refresh(process: &mut Process) {
    let resident = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    process.rss_bytes = resident.map_or(0, |pages| pages * page_size() as u64);
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    (process.cpu_user_us, process.cpu_system_us) = cpu_us(&stat).unwrap_or_default();
}

/// Time in user and in kernel mode. They are the 14th and 15th field, counted after the program's name, which may
/// hold spaces.
fn cpu_us(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next =
        || Some(fields.next()?.parse::<u64>().ok()? * 1_000_000 / clock_ticks_per_second());
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests;
