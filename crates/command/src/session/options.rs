//! Options of `SESSION.*`, in any order.
//!
//! Every option begins with a word, which may be given once. An error names the word that it is about.

use alloc::format;
use alloc::vec::Vec;

use model::Fence;
use model::limits::{MAX_HOLD_MS, MAX_USER_BYTES, MAX_USER_KEY_BYTES};
use model::time::Deadline;
use shard::FieldChange;

use crate::Failure;
use crate::arguments::{Arguments, integer};
use crate::failure::shown;

/// A word that begins an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// `ID id`
    Id,
    /// `USER name`
    User,
    /// `IDLE ms`
    Idle,
    /// `MAX ms`
    Max,
    /// `HOLD ms`
    Hold,
    /// `WAIT ms`
    Wait,
    /// `KEEP ms`
    Keep,
    /// `GRACE ms`
    Grace,
    /// `VERSION v`
    Version,
    /// `FENCE f`
    Fence,
    /// `CREATE`
    Create,
    /// `TOUCH`
    Touch,
    /// `FIELDS n f v ...`
    Fields,
    /// `FIELDS n f ...`
    FieldNames,
    /// `SET n f v ...`
    Set,
    /// `DEL n f ...`
    Del,
    /// `DATA blob`
    Data,
    /// `EXCEPT id`
    Except,
    /// `CURSOR c`
    Cursor,
    /// `COUNT n`
    Count,
}

impl Word {
    const fn text(self) -> &'static str {
        match self {
            Self::Id => "ID",
            Self::User => "USER",
            Self::Idle => "IDLE",
            Self::Max => "MAX",
            Self::Hold => "HOLD",
            Self::Wait => "WAIT",
            Self::Keep => "KEEP",
            Self::Grace => "GRACE",
            Self::Version => "VERSION",
            Self::Fence => "FENCE",
            Self::Create => "CREATE",
            Self::Touch => "TOUCH",
            Self::Fields | Self::FieldNames => "FIELDS",
            Self::Set => "SET",
            Self::Del => "DEL",
            Self::Data => "DATA",
            Self::Except => "EXCEPT",
            Self::Cursor => "CURSOR",
            Self::Count => "COUNT",
        }
    }
}

/// What was given.
#[derive(Default)]
pub(super) struct Options<'a> {
    pub(super) id: Option<&'a [u8]>,
    pub(super) user: Option<&'a [u8]>,
    pub(super) idle_ms: Option<u64>,
    pub(super) max_ms: Option<u64>,
    pub(super) hold_ms: Option<u64>,
    pub(super) wait_ms: Option<u64>,
    pub(super) keep_ms: Option<u64>,
    pub(super) grace_ms: Option<u64>,
    pub(super) version: Option<u64>,
    pub(super) fence: Option<Fence>,
    pub(super) create: bool,
    pub(super) touch: bool,
    /// What `FIELDS` of `CREATE`, `SET` and `DEL` ask for, in the order they were given.
    pub(super) changes: Vec<FieldChange<'a>>,
    pub(super) field_names: Option<Vec<&'a [u8]>>,
    pub(super) data: Option<&'a [u8]>,
    pub(super) except: Option<&'a [u8]>,
    pub(super) cursor: Option<&'a [u8]>,
    pub(super) count: Option<u64>,
}

impl<'a> Options<'a> {
    /// The options from the argument at `from` on, each of them one of `words`.
    pub(super) fn read(
        arguments: Arguments<'a>,
        from: usize,
        words: &[Word],
    ) -> Result<Self, Failure> {
        let mut options = Self::default();
        let (mut rest, mut seen) = (
            Rest {
                arguments,
                at: from,
            },
            0u32,
        );
        while let Some(text) = rest.next() {
            let word = words
                .iter()
                .find(|word| text.eq_ignore_ascii_case(word.text().as_bytes()));
            let Some(&word) = word else {
                return Err(unknown(text, words));
            };
            if seen & 1 << word as u32 != 0 {
                return Err(syntax(&format!("{} is given twice", word.text())));
            }
            seen |= 1 << word as u32;
            options.take(word, &mut rest)?;
        }
        Ok(options)
    }

    fn take(&mut self, word: Word, rest: &mut Rest<'a>) -> Result<(), Failure> {
        let name = word.text();
        match word {
            Word::Id => {
                let id = rest.value(name)?;
                check_id(id)?;
                self.id = Some(id);
            }
            Word::User => self.user = Some(user(rest.value(name)?)?),
            Word::Idle => self.idle_ms = Some(lifetime_ms(name, rest.value(name)?)?),
            Word::Max => self.max_ms = Some(lifetime_ms(name, rest.value(name)?)?),
            Word::Hold => self.hold_ms = Some(hold_ms(name, rest.value(name)?)?),
            Word::Keep => self.keep_ms = Some(hold_ms(name, rest.value(name)?)?),
            Word::Wait => {
                self.wait_ms = Some(milliseconds(name, rest.value(name)?, 0, MAX_HOLD_MS)?)
            }
            Word::Grace => {
                self.grace_ms = Some(milliseconds(name, rest.value(name)?, 0, MAX_HOLD_MS)?);
            }
            Word::Version => self.version = Some(whole(name, rest.value(name)?, 0)?),
            Word::Fence => self.fence = Some(fence(rest.value(name)?)?),
            Word::Create => self.create = true,
            Word::Touch => self.touch = true,
            Word::Fields | Word::Set => {
                for _ in 0..rest.count(name, 2)? {
                    let (field, value) = (rest.value(name)?, rest.value(name)?);
                    self.changes.push(FieldChange::Set(field, value));
                }
            }
            Word::Del => {
                for _ in 0..rest.count(name, 1)? {
                    self.changes.push(FieldChange::Remove(rest.value(name)?));
                }
            }
            Word::FieldNames => {
                let count = rest.count(name, 1)?;
                let names: Result<_, _> = (0..count).map(|_| rest.value(name)).collect();
                self.field_names = Some(names?);
            }
            Word::Data => self.data = Some(rest.value(name)?),
            Word::Except => self.except = Some(rest.value(name)?),
            Word::Cursor => self.cursor = Some(rest.value(name)?),
            Word::Count => self.count = Some(whole(name, rest.value(name)?, 1)?),
        }
        Ok(())
    }
}

/// The arguments that were not read yet.
struct Rest<'a> {
    arguments: Arguments<'a>,
    at: usize,
}

impl<'a> Rest<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let next = self.arguments.get(self.at)?;
        self.at += 1;
        Some(next)
    }

    fn value(&mut self, name: &str) -> Result<&'a [u8], Failure> {
        self.next()
            .ok_or_else(|| syntax(&format!("a value is missing after {name}")))
    }

    /// The number of fields that follow, each of so many arguments, all of which are there.
    fn count(&mut self, name: &str, each: usize) -> Result<usize, Failure> {
        let text = self.value(name)?;
        let count = integer(text).and_then(|count| usize::try_from(count).ok());
        let Some(count) = count else {
            let after = if each == 2 { "name value" } else { "name" };
            return Err(syntax(&format!(
                "{name} begins with the number of fields, as in {name} 1 {after}"
            )));
        };
        let left = self.arguments.len() - self.at;
        if count.checked_mul(each).is_none_or(|words| words > left) {
            return Err(syntax(&format!("{name} has fewer fields than it says")));
        }
        Ok(count)
    }
}

fn syntax(about: &str) -> Failure {
    Failure::Text(format!("ERR syntax error: {about}").into())
}

fn unknown(word: &[u8], known: &[Word]) -> Failure {
    let option = shown(&word[..word.len().min(32)]);
    let known: Vec<&str> = known.iter().map(|word| word.text()).collect();
    let known = known.join(", ");
    syntax(&format!(
        "unknown option '{option}'; the options here are {known}"
    ))
}

/// Whether the id can be that of a session.
pub(super) fn check_id(id: &[u8]) -> Result<(), Failure> {
    if id.is_empty() || id.len() > MAX_USER_KEY_BYTES {
        let text = format!("ERR an id has from 1 to {MAX_USER_KEY_BYTES} bytes");
        return Err(Failure::Text(text.into()));
    }
    Ok(())
}

fn user(name: &[u8]) -> Result<&[u8], Failure> {
    if name.is_empty() || name.len() > MAX_USER_BYTES {
        let text = format!("ERR USER is a name of 1 to {MAX_USER_BYTES} bytes");
        return Err(Failure::Text(text.into()));
    }
    Ok(name)
}

fn whole(name: &str, text: &[u8], least: u64) -> Result<u64, Failure> {
    integer(text)
        .and_then(|value| u64::try_from(value).ok())
        .filter(|value| *value >= least)
        .ok_or_else(|| {
            let most = i64::MAX;
            Failure::Text(
                format!("ERR {name} must be a whole number from {least} to {most}").into(),
            )
        })
}

/// A fence. Zero is one that never proves anything.
pub(super) fn fence(text: &[u8]) -> Result<Fence, Failure> {
    whole("the fence", text, 0).map(Fence)
}

/// How long a hold lasts.
pub(super) fn hold_ms(name: &str, text: &[u8]) -> Result<u64, Failure> {
    milliseconds(name, text, 1, MAX_HOLD_MS)
}

fn lifetime_ms(name: &str, text: &[u8]) -> Result<u64, Failure> {
    milliseconds(name, text, 1, Deadline::LAST.raw())
}

fn milliseconds(name: &str, text: &[u8], least: u64, most: u64) -> Result<u64, Failure> {
    integer(text)
        .and_then(|value| u64::try_from(value).ok())
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| {
            Failure::Text(
                format!("ERR {name} must be a number of milliseconds from {least} to {most}")
                    .into(),
            )
        })
}
