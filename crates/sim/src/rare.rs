//! Events that a batch of runs must reach: a simulation that never meets them proves nothing about them.

/// Defines `Rare`, the events of a simulation with what they are in words, and `Counts`, how often each has happened.
#[macro_export]
macro_rules! rare {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// One such event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rare { $(#[doc = $text] #[doc = ""] $(#[$doc])* $name,)* }

        impl Rare {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What has happened, in words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
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
                self.note_times(event, 1);
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

            /// Each event in words, and how often it has happened.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                let all = Rare::ALL.iter();
                all.map(|&event| (event.text(), self.of(event))).collect()
            }
        }
    };
}

rare! {
    /// The process died.
    ProcessKill = "process killed",
    /// The machine lost power.
    PowerLoss = "power lost",
    /// A write was cut in its middle by the end of the process.
    TornWrite = "write torn by a kill",
    /// A power loss took something that was written and not synced.
    LostUnsynced = "unsynced data lost with the power",
    /// An executed command was forgotten by a crash, as it may be when nobody saw its reply.
    ForgottenUnshown = "executed, unseen command forgotten",
    /// An executed command whose reply nobody saw survived a crash.
    SurvivedUnshown = "executed, unseen command survived",
    /// A restart dropped the unfinished end of a segment.
    TornTail = "restart dropped a torn tail",
    /// A restart met a damaged segment.
    DamagedSegment = "restart met a damaged segment",
    /// A write to disk failed.
    WriteFailed = "disk write failed",
    /// A sync failed.
    SyncFailed = "disk sync failed",
    /// A file could not be made for want of space.
    NoSpace = "no space for a file",
    /// A write was refused because the log could take none.
    LogUnavailable = "write refused, log unavailable",
    /// The log took writes again after it could take none.
    LogRecovered = "log recovered without a restart",
    /// A write was refused because memory was full.
    OutOfMemory = "write refused, memory full",
    /// A reply had to wait for its commit.
    GatedReply = "reply waited for its commit",
    /// The wall clock was set back.
    ClockBack = "clock set back",
    /// The process stood still for a while.
    Pause = "process paused",
    /// A connection ended in the middle of a command.
    CutCommand = "connection cut within a command",
    /// A client did not read what it was sent.
    SlowReader = "client slow to read",
    /// A client that sent much behind a command that waited was left unread.
    LeftUnread = "connection left unread",
    /// The node asked for what it had left unread.
    ReadAgain = "connection read again",
    /// A key was found gone because its deadline had passed.
    Expired = "read met an expired key",
    /// Bytes were found in the store's own count: the cleaner moved entries.
    CleanerMoved = "cleaner moved entries",
    /// Memory compaction freed or shrank segments.
    Compacted = "memory compacted",
    /// Segments were freed whole because everything in them had expired.
    ExpiredWhole = "segments expired whole",
}
