//! The network between the sites of an arena: one thread that carries every packet, late, or not at all.
//!
//! Each network namespace has a TUN device whose other end is a file of this process. So every link, in each direction, can be cut
//! or slowed without the kernel's help (`netem` is a module that many kernels lack), neither end is told, and connections behave as over a
//! network that has failed: packets vanish.
//!
//! ```text
//!   site 2 ── tun ──┐                     ┌── tun ── site 3
//!                   ├── Switch: links[a][b] ┤
//!   clients ─ tun ──┘    open | cut | late └── tun ── site 4
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bench::clock::{Clock, MILLISECOND_NS};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

/// Largest packet: what the devices' MTU allows.
pub const MTU: usize = 65_000;
/// How long the thread sleeps when nothing is there; new devices are noticed then.
const IDLE: Duration = Duration::from_millis(20);

/// The last byte of a site's address.
pub type Port = u8;

/// What happens to packets in one direction between two sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// They arrive.
    #[default]
    Open,
    /// They vanish.
    Cut,
    /// They arrive so many milliseconds later.
    Late(u64),
}

#[derive(Debug, Default)]
struct State {
    links: BTreeMap<(Port, Port), Link>,
    new: Vec<(Port, File)>,
    ended: bool,
}

/// A handle on the network: links are changed through it. The network ends with the last one.
#[derive(Debug)]
pub struct Switch {
    state: Arc<Mutex<State>>,
}

impl Switch {
    /// A network without sites.
    #[must_use]
    pub fn start(clock: Clock) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        std::thread::spawn(move || Carrier::run(&shared, clock));
        Self { state }
    }

    /// Makes a device; its packets belong to the site of this number. It may be moved into a namespace afterwards.
    ///
    /// # Errors
    /// Those of the system: without the right to do so, or without TUN in the kernel.
    pub fn plug(&self, port: Port, name: &str) -> Result<()> {
        let file = open_device(name).context("cannot make a TUN device")?;
        self.lock().new.push((port, file));
        Ok(())
    }

    /// Changes one direction of a link.
    pub fn set(&self, from: Port, to: Port, link: Link) {
        self.lock().links.insert((from, to), link);
    }

    /// Opens all links.
    pub fn heal(&self) {
        self.lock().links.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.lock().ended = true;
    }
}

/// A packet under way, by when it is due.
type Late = Reverse<(u64, u64, Port, Vec<u8>)>;

/// The thread's own.
struct Carrier {
    devices: BTreeMap<Port, File>,
    late: BinaryHeap<Late>,
    carried: u64,
    clock: Clock,
}

impl Carrier {
    fn run(state: &Mutex<State>, clock: Clock) {
        let mut carrier = Self {
            devices: BTreeMap::new(),
            late: BinaryHeap::new(),
            carried: 0,
            clock,
        };
        // A network that breaks down would be taken for the failure of what is examined.
        carrier.carry(state).expect("the switch carries packets");
    }

    fn carry(&mut self, state: &Mutex<State>) -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(64);
        loop {
            {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.ended {
                    return Ok(());
                }
                for (port, file) in state.new.drain(..) {
                    let token = Token(usize::from(port));
                    poll.registry().register(
                        &mut SourceFd(&file.as_raw_fd()),
                        token,
                        Interest::READABLE,
                    )?;
                    self.devices.insert(port, file);
                }
            }
            match poll.poll(&mut events, Some(self.until_due())) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                let port = Port::try_from(event.token().0).expect("tokens are ports");
                self.drain(port, state);
            }
            self.deliver_due();
        }
    }

    fn until_due(&self) -> Duration {
        let Some(Reverse((due, ..))) = self.late.peek() else {
            return IDLE;
        };
        // Rounded up, as a wait of nothing would spin.
        let left = due.saturating_sub(self.clock.now_ns());
        IDLE.min(Duration::from_millis(left.div_ceil(MILLISECOND_NS)))
    }

    /// Takes all packets of one device.
    fn drain(&mut self, from: Port, state: &Mutex<State>) {
        let mut packet = [0; MTU + 64];
        loop {
            let Some(mut device) = self.devices.get(&from) else {
                return;
            };
            // Until there is none; a device that is down has none either.
            let Ok(length) = device.read(&mut packet) else {
                return;
            };
            let Some(to) = destination(&packet[..length]) else {
                continue;
            };
            let links = &state.lock().unwrap_or_else(PoisonError::into_inner).links;
            match links.get(&(from, to)).copied().unwrap_or_default() {
                Link::Open => self.deliver(to, &packet[..length]),
                Link::Cut => {}
                Link::Late(ms) => {
                    let due = self.clock.now_ns() + ms * MILLISECOND_NS;
                    self.carried += 1;
                    let packet = packet[..length].to_vec();
                    self.late.push(Reverse((due, self.carried, to, packet)));
                }
            }
        }
    }

    fn deliver_due(&mut self) {
        let now = self.clock.now_ns();
        while let Some(Reverse((due, ..))) = self.late.peek()
            && *due <= now
        {
            let Some(Reverse((_, _, to, packet))) = self.late.pop() else {
                return;
            };
            self.deliver(to, &packet);
        }
    }

    /// A device that does not take a packet loses it, as networks do.
    fn deliver(&self, to: Port, packet: &[u8]) {
        if let Some(mut device) = self.devices.get(&to) {
            let _ = device.write(packet);
        }
    }
}

/// The last byte of an IPv4 packet's destination; others are dropped.
fn destination(packet: &[u8]) -> Option<Port> {
    let is_ipv4 = packet.first()? >> 4 == 4;
    is_ipv4.then(|| packet.get(19).copied()).flatten()
}

/// `TUNSETIFF`, of `linux/if_tun.h`.
const TUNSETIFF: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<u32>(b'T', 202);
/// `IFF_TUN | IFF_NO_PI`: packets without Ethernet, and nothing before them.
const FLAGS: u16 = 0x0001 | 0x1000;

/// `struct ifreq`: a name, and here flags.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

fn open_device(name: &str) -> io::Result<File> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nonblocking.cast_signed())
        .open("/dev/net/tun")?;
    let mut request = Request {
        name: [0; 16],
        flags: FLAGS,
        rest: [0; 22],
    };
    // One byte is left for the end of the name.
    let place = request.name[..15].get_mut(..name.len());
    let place = place.ok_or(io::ErrorKind::InvalidInput)?;
    place.copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF takes a pointer to a `struct ifreq`, 40 bytes that it reads and writes, which is what `Request` is laid out
    // as; it lives until the call returns.
    unsafe {
        let call = rustix::ioctl::Updater::<TUNSETIFF, Request>::new(&mut request);
        rustix::ioctl::ioctl(&file, call)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_the_size_of_the_kernels() {
        assert_eq!(size_of::<Request>(), 40);
        assert_eq!(TUNSETIFF, 0x4004_54ca);
    }

    #[test]
    fn only_ipv4_is_carried() {
        let mut packet = [0; 40];
        packet[0] = 0x45;
        packet[19] = 7;
        assert_eq!(destination(&packet), Some(7));
        packet[0] = 0x60;
        assert_eq!(destination(&packet), None);
        assert_eq!(destination(&[]), None);
    }
}
