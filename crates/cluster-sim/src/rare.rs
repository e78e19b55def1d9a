//! Events that a batch of runs must reach: a simulation that never meets them proves nothing about them.

macro_rules! rare {
    ($($name:ident = $text:literal,)*) => {
        /// One such event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rare { $(#[doc = $text] $name,)* }

        impl Rare {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What has happened, in words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

rare! {
    Failover = "a later epoch served",
    FailoverOfTail = "a new primary fetched what it lacked",
    LateTail = "a new primary took in a longer log that was told late",
    Resigned = "a copy resigned in favour of one with a longer log",
    RecoveryFailed = "an epoch ended before it served",
    TestimonyWaited = "a testimony waited for a lease to end",
    TestimonyOfDiscarded = "a copy testified to what it had given up",
    Unknown = "a member that is no more was asked",
    Refused = "an epoch that is over was refused",
    Joined = "a copy was filled from a snapshot",
    JoinedAnew = "a copy was told to join again",
    Reset = "a copy was given up",
    ResetUncommitted = "a tail that nobody acknowledged was given up",
    TailSurvived = "a write was acknowledged by its old primary after the next epoch had served",
    NoQuorum = "a primary was without its quorum",
    ReadRefused = "a read was refused for want of a lease",
    ReadWaited = "a read waited for what it had seen to be committed",
    WriteFull = "a write was refused because too much waited",
    WriteHandingOver = "a write was refused during a hand-over",
    HandedOver = "a primary was handed over",
    CasConflict = "the metadata store refused a change",
    PublishRefused = "the metadata store refused to let an epoch serve",
    RestartSameLife = "a node went on with the life that it had",
    RestartNewLife = "a node began a new life",
    UnsyncedLost = "a crash took what was not persisted",
    ClockHeldBack = "a reply's time was held at what leases bound",
    Indeterminate = "a client does not know whether its write was done",
    CasFailed = "a compare-and-set met another version",
    VowLost = "a process was about to die before its vows were saved",
    LeaseJustOver = "an old primary's right to read was just over when the next epoch asked to serve",
    LeaseRanOut = "a lease ended while a reply waited",
    TwoRecoverers = "two copies were on their way to be primary",
    Outbid = "a recovery met a member that had promised a later epoch",
    SealedAfterRestart = "a copy that had just started again waited for a lease that it might have granted",
    ReleaseOfAnother = "one member had resigned, and the lease to another kept a copy waiting",
    SealedUnpersisted = "a copy was asked to testify before all it had was persisted",
    ChunkOvertaken = "a part of a snapshot came later than what it lacked",
    ServedWide = "a set served of which more must testify than must have a write",
    Gap = "a standby found a gap",
    AbsentRead = "a read found a key deleted",
}

/// How often each event has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(Vec<u64>);

impl Default for Counts {
    fn default() -> Self {
        Self(vec![0; Rare::ALL.len()])
    }
}

impl Counts {
    /// It has happened.
    pub fn note(&mut self, event: Rare) {
        self.0[event as usize] += 1;
    }

    /// How often it has happened.
    #[must_use]
    pub fn of(&self, event: Rare) -> u64 {
        self.0[event as usize]
    }

    /// Adds what another run has counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }

    /// The events that never happened.
    #[must_use]
    pub fn missing(&self) -> Vec<Rare> {
        let all = Rare::ALL.iter().copied();
        all.filter(|&event| self.of(event) == 0).collect()
    }
}
