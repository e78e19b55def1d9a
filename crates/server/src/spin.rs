//! When to ask for events again and again instead of going to sleep.
//!
//! Going to sleep and being woken costs a lone connection more than its requests do: asking again for some
//! tens of microseconds more than doubles its rate. With many connections the requests of the others fill
//! that time, and asking would only burn what they need; an idle server must not burn anything. So: ask again
//! only while few connections are served and the last waits were short.

/// Longest time to keep asking, in microseconds, before going to sleep.
pub const SPIN_US: u64 = 50;
/// With more connections than this in one turn, others fill the time.
const FEW_CONNECTIONS: usize = 4;
/// Short waits in a row before it is worth asking.
const SHORT_WAITS: u32 = 8;

/// See the module.
#[derive(Debug, Default)]
pub struct Spin {
    short_waits: u32,
}

impl Spin {
    /// A wait took so long and brought requests of so many connections.
    pub fn waited(&mut self, waited_us: u64, connections: usize) {
        let short = waited_us <= SPIN_US && (1..=FEW_CONNECTIONS).contains(&connections);
        self.short_waits = if short {
            (self.short_waits + 1).min(SHORT_WAITS)
        } else {
            0
        };
    }

    /// Whether to keep asking for [`SPIN_US`].
    pub fn is_worth_it(&self) -> bool {
        self.short_waits >= SHORT_WAITS
    }
}
