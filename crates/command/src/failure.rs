//! Why a command fails, and how it says so: the texts that clients match.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use shard::sessions::{Denied, Fenced};
use shard::{Unchanged, Unwritable, WrongType};
use store::{DiskError, Refused};

/// An error reply. Its `Display` is the text after the `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The key holds another type.
    WrongType,
    /// Not a whole number, or too large a one.
    NotAnInteger,
    /// Not a number.
    NotAFloat,
    /// Options that do not go together, or are not known.
    Syntax,
    /// `RENAME` and its kin on an absent key.
    NoSuchKey,
    /// The batch was refused by the store; nothing happened.
    Refused(Refused),
    /// The key may not be written by this connection now.
    Unwritable(Unwritable),
    /// A `SESSION.*` command was refused.
    Denied(Denied),
    /// Anything else: code and message.
    Text(Cow<'static, str>),
}

impl Failure {
    /// A fixed text, code included.
    #[must_use]
    pub const fn text(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<WrongType> for Failure {
    fn from(WrongType: WrongType) -> Self {
        Self::WrongType
    }
}

impl From<Unchanged> for Failure {
    fn from(unchanged: Unchanged) -> Self {
        match unchanged {
            Unchanged::WrongType => Self::WrongType,
            Unchanged::Refused(refused) => Self::Refused(refused),
        }
    }
}

impl From<Unwritable> for Failure {
    fn from(unwritable: Unwritable) -> Self {
        Self::Unwritable(unwritable)
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused(refused) => Self::Refused(refused),
            Denied::Unwritable(unwritable) => Self::Unwritable(unwritable),
            Denied::WrongType => Self::WrongType,
            Denied::Exists
            | Denied::Fenced(_)
            | Denied::Version(_)
            | Denied::UserCap(_)
            | Denied::LineFull => Self::Denied(denied),
        }
    }
}

/// A client's word as a message repeats it: as text, whatever its bytes are, and up to a NUL, where Redis's strings end.
#[must_use]
pub fn shown(word: &[u8]) -> Cow<'_, str> {
    let end = word.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&word[..end.unwrap_or(word.len())])
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongType => {
                f.write_str("WRONGTYPE Operation against a key holding the wrong kind of value")
            }
            Self::NotAnInteger => f.write_str("ERR value is not an integer or out of range"),
            Self::NotAFloat => f.write_str("ERR value is not a valid float"),
            Self::Syntax => f.write_str("ERR syntax error"),
            Self::NoSuchKey => f.write_str("ERR no such key"),
            Self::Refused(refused) => refused_text(f, *refused),
            Self::Unwritable(unwritable) => unwritable_text(f, *unwritable),
            Self::Denied(denied) => denied_text(f, *denied),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// After `-HELD` what is left of the hold, in milliseconds; -1 if it has no end.
fn unwritable_text(f: &mut fmt::Formatter<'_>, unwritable: Unwritable) -> fmt::Result {
    match unwritable {
        Unwritable::Held {
            remaining_ms: Some(remaining_ms),
        } => write!(f, "HELD {remaining_ms}"),
        Unwritable::Held { remaining_ms: None } => f.write_str("HELD -1"),
        Unwritable::Lapsed => {
            f.write_str("FENCED the lock that this connection had on the key has passed on")
        }
        Unwritable::Gone => f.write_str(
            "GONE this id was destroyed, was rotated or has expired, and may not be written for a while",
        ),
    }
}

fn denied_text(f: &mut fmt::Formatter<'_>, denied: Denied) -> fmt::Result {
    match denied {
        Denied::Exists => f.write_str("EXISTS there is a session with this id"),
        Denied::Fenced(Fenced::NoSession) => {
            f.write_str("FENCED there is no such session any more")
        }
        Denied::Fenced(Fenced::NotHeld) => {
            f.write_str("FENCED the hold has expired, was released or was broken")
        }
        Denied::Fenced(Fenced::HeldByAnother) => {
            f.write_str("FENCED the session is held under another fence")
        }
        Denied::Version(current) => write!(f, "VERSION {current}"),
        Denied::UserCap(most) => write!(
            f,
            "USERCAP the user has {most} sessions, as many as allowed"
        ),
        Denied::LineFull => f.write_str("ERR too many connections wait for this session"),
        Denied::Unwritable(unwritable) => unwritable_text(f, unwritable),
        Denied::Refused(refused) => refused_text(f, refused),
        Denied::WrongType => fmt::Display::fmt(&Failure::WrongType, f),
    }
}

fn refused_text(f: &mut fmt::Formatter<'_>, refused: Refused) -> fmt::Result {
    match refused {
        Refused::OutOfMemory => f.write_str(
            "OOM command not allowed when used memory > 'maxmemory'. Nothing was evicted: delete or expire sessions, or raise --memory",
        ),
        Refused::LogBusy => f.write_str("BUSY the log's next file is being made"),
        Refused::LogUnavailable(DiskError::NoSpace) => f.write_str(
            "MISCONF Errors writing to the log: no space left on device. Reads go on; writes resume by themselves when there is space again",
        ),
        Refused::LogUnavailable(DiskError::Io(number)) => write!(
            f,
            "MISCONF Errors writing to the log: I/O error {number}. Reads go on; writes resume by themselves when the disk works again"
        ),
        Refused::BatchTooLarge => f.write_str("ERR the command changes too much at once for one batch"),
    }
}
