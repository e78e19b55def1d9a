//! When to ask for events again and again instead of going to sleep.
//!
//! Going to sleep and being woken costs a lone connection more than its requests do: asking again for some
//! tens of microseconds, or a hundred, more than doubles its rate. With many connections the requests of the others fill
//! that time, and asking would only burn what they need; an idle server must not burn anything. So: ask again
//! only while few connections were active lately and the last waits were short.

/// Longest time to keep asking, in microseconds, before going to sleep. Where being woken takes a client 90 us, as on some virtual machines, less would
/// never be enough.
pub const SPIN_US: u64 = 120;
/// A wait that is shorter than this would have been worth asking through, sleeping and waking included.
const SHORT_US: u64 = 200;
/// With more connections than this, others fill the time.
const FEW_CONNECTIONS: u32 = 4;
/// Turns over which active connections are counted.
const WINDOW_TURNS: u64 = 64;
/// Short waits in a row before it is worth asking.
const SHORT_WAITS: u32 = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Spin {
    short_waits: u32,
    /// Connections that were active in this window, and in the one before.
    active: [u32; 2],
}

impl Spin {
    /// The window of a turn: a connection that is active in it is counted once.
    pub fn window(turn: u64) -> u64 {
        turn / WINDOW_TURNS + 1
    }

    /// A connection is active for the first time in this window.
    pub fn first_active(&mut self) {
        self.active[0] += 1;
    }

    /// A turn is over; before it, the loop waited so long.
    pub fn turned(&mut self, turn: u64, waited_us: u64) {
        if waited_us > SHORT_US {
            self.short_waits = 0;
        } else if waited_us > SPIN_US {
            // Asking this long was in vain: the rate is on the edge.
            self.short_waits /= 2;
        } else {
            self.short_waits = (self.short_waits + 1).min(SHORT_WAITS);
        }
        if (turn + 1).is_multiple_of(WINDOW_TURNS) {
            self.active = [0, self.active[0]];
        }
    }

    /// Whether to keep asking for [`SPIN_US`].
    pub fn is_worth_it(&self) -> bool {
        let few = |active: u32| active <= FEW_CONNECTIONS;
        self.short_waits == SHORT_WAITS && few(self.active[0]) && few(self.active[1])
    }
}

#[cfg(test)]
mod tests;
