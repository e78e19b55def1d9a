//! What can be set, and how the numbers depend on each other.

/// Times and sizes. All copies of a shard must have the same `lease_us` and `rate_error_ppm`.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// For how long a standby's acknowledgement binds it to its primary, in microseconds of its own clock.
    pub lease_us: u64,
    /// By how much the rate of a clock may be wrong, in parts of a million.
    pub rate_error_ppm: u64,
    /// How often a primary is heard at least, in microseconds.
    pub heartbeat_us: u64,
    /// After how long without an answer something is sent again, in microseconds.
    pub resend_us: u64,
    /// For how long a primary that hands over keeps writes waiting before it goes on by itself, in microseconds.
    pub hand_over_us: u64,
    /// By how much a reply's time may be later than that of the last committed batch, in milliseconds. A primary that is asked little tells
    /// the time in a batch of its own about as often.
    pub time_step_ms: u64,
    /// Bytes that may be on their way to one standby.
    pub window_bytes: usize,
    /// Bytes of batches that a copy keeps, to send them again.
    pub backlog_bytes: usize,
    /// Bytes of batches that may wait for their quorum.
    pub uncommitted_bytes: usize,
    /// Bytes of batches in one message, unless a single batch is longer.
    pub message_bytes: usize,
    /// Whether the owner can set aside what a copy has, and take it back: where it has files.
    pub sets_aside: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_us: 300_000,
            rate_error_ppm: 20_000,
            heartbeat_us: 50_000,
            resend_us: 100_000,
            hand_over_us: 500_000,
            time_step_ms: 100,
            window_bytes: 1 << 20,
            backlog_bytes: 8 << 20,
            uncommitted_bytes: 4 << 20,
            message_bytes: 256 << 10,
            sets_aside: true,
        }
    }
}

impl Settings {
    /// For how long the primary may count on a lease, from when it sent what was acknowledged, by its own clock: whatever the two clocks'
    /// rates are, within their error, it ends here before it ends there.
    #[must_use]
    pub fn counted_lease_us(&self) -> u64 {
        let error = self.rate_error_ppm;
        self.lease_us * (1_000_000 - error) / (1_000_000 + error)
    }

    /// # Panics
    /// If the numbers do not fit together.
    pub(crate) fn check(&self) {
        assert!(self.rate_error_ppm < 500_000);
        assert!(
            self.heartbeat_us * 2 <= self.counted_lease_us(),
            "a lost heartbeat must not cost the lease"
        );
        assert!(self.uncommitted_bytes <= self.backlog_bytes);
        assert!(self.message_bytes > 0 && self.window_bytes > 0);
    }
}
