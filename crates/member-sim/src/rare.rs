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
    Killed = "a process was killed",
    PowerLost = "a machine lost its power",
    Paused = "a process stood still",
    Limped = "a node was slow for a while",
    CutOneWay = "a link was cut one way",
    CutBothWays = "a link was cut both ways",
    Isolated = "a node was cut off from all others",
    CutFromStore = "a node was cut off from the metadata store",
    MessageLost = "a message between nodes was lost",
    MessageTwice = "a message between nodes came twice",
    MessageOvertook = "a message between nodes overtook another",
    StoreDown = "the metadata store was down",
    StorePaused = "the metadata store stood still",
    StoreUnknown = "a transaction's outcome was not told",
    StoreConflict = "the metadata store refused a transaction",
    WatchLost = "a watch was lost",
    ClockSetBack = "a wall clock was set back",
    ClockSetForward = "a wall clock was set forward",
    DiskFull = "a disk was full",
    WriteTorn = "a write was torn",
    UnsyncedLost = "a loss of power took what was not synced",
    WriteFailed = "a write or a sync failed",
    RestartSameLife = "a node went on with the life that it had",
    RestartNewLife = "a node began a new life",
    RestartDamaged = "a node found damage and began a new life",
    FolderReturned = "a removed copy's folder was back after a loss of power",
    RoleTaken = "the coordinator's role changed hands",
    TwoCoordinators = "two nodes took themselves for the coordinator",
    Braked = "many nodes at once were not believed to be dead",
    StoodStill = "a node noticed that it had stood still",
    Failover = "a shard was led by another after a failure",
    HandOver = "a shard was handed over",
    Replaced = "a lost copy was replaced",
    Grown = "a set grew",
    Shrunk = "a set shrank",
    RecoveryOvertaken = "an epoch ended before it served",
    TwoRecoverers = "two nodes recovered one shard at once",
    TwoPrimaries = "two nodes took themselves for a shard's primary",
    LeaseRanOut = "a primary was without the right to read",
    Sealed = "a serving primary was sealed by a higher epoch",
    Resigned = "a primary could not lead and said so",
    Drained = "a node was drained and gone",
    Left = "a node left as it should and came back",
    Redirected = "a client was redirected",
    NoQuorum = "a client was told that there is no quorum",
    TryAgain = "a client was told to try again",
    Unknown = "a client does not know what came of its request",
    Held = "a client was told that another holds",
    Fenced = "a late holder was refused",
    Waited = "a hold was granted after waiting in line",
    Expired = "a read met an expired key",
    Rotated = "a session got a new id",
    Destroyed = "a session was destroyed",
    Revoked = "all sessions of a user were ended at a node",
    LongValue = "a value of more than half of the limit was written",
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

    /// It has happened so many times.
    pub fn note_times(&mut self, event: Rare, times: u64) {
        self.0[event as usize] += times;
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
