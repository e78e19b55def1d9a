//! What the table says about a command's arguments, for `COMMAND DOCS` and the documentation.

use alloc::string::String;
use alloc::vec::Vec;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// Any bytes.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Double,
    /// A key: the index of its key spec.
    Key(u8),
    /// A glob pattern.
    Pattern,
    /// A time in seconds or milliseconds since 1970.
    UnixTime,
    /// A fixed word.
    PureToken,
    /// One of the arguments within.
    OneOf,
    /// All of the arguments within.
    Block,
}

impl ArgumentKind {
    /// The name that `COMMAND DOCS` shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Key(_) => "key",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

/// One argument.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: ArgumentKind,
    /// The word that stands before it (or is it); empty for none.
    pub token: &'static str,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated.
    pub multiple: bool,
    /// The arguments within.
    pub within: &'static [Argument],
}

impl Argument {
    const fn new(name: &'static str, kind: ArgumentKind) -> Self {
        Self {
            name,
            kind,
            token: "",
            optional: false,
            multiple: false,
            within: &[],
        }
    }

    /// Preceded by this word.
    #[must_use]
    pub const fn after(mut self, token: &'static str) -> Self {
        self.token = token;
        self
    }

    /// May be left out.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// May be repeated.
    #[must_use]
    pub const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }
}

/// The command's key, or keys, of its first key spec.
pub const KEY: Argument = key("key", 0);

/// A key of the key spec with this index.
#[must_use]
pub const fn key(name: &'static str, spec: u8) -> Argument {
    Argument::new(name, ArgumentKind::Key(spec))
}

/// Any bytes.
#[must_use]
pub const fn string(name: &'static str) -> Argument {
    Argument::new(name, ArgumentKind::String)
}

/// A whole number.
#[must_use]
pub const fn integer(name: &'static str) -> Argument {
    Argument::new(name, ArgumentKind::Integer)
}

/// A number.
#[must_use]
pub const fn double(name: &'static str) -> Argument {
    Argument::new(name, ArgumentKind::Double)
}

/// A glob pattern.
#[must_use]
pub const fn pattern(name: &'static str) -> Argument {
    Argument::new(name, ArgumentKind::Pattern)
}

/// A point in time.
#[must_use]
pub const fn unix_time(name: &'static str) -> Argument {
    Argument::new(name, ArgumentKind::UnixTime)
}

/// A fixed word.
#[must_use]
pub const fn word(name: &'static str, token: &'static str) -> Argument {
    Argument::new(name, ArgumentKind::PureToken).after(token)
}

/// One of these.
#[must_use]
pub const fn one_of(name: &'static str, within: &'static [Argument]) -> Argument {
    let mut argument = Argument::new(name, ArgumentKind::OneOf);
    argument.within = within;
    argument
}

/// All of these, in this order.
#[must_use]
pub const fn block(name: &'static str, within: &'static [Argument]) -> Argument {
    let mut argument = Argument::new(name, ArgumentKind::Block);
    argument.within = within;
    argument
}

/// How the arguments are written, as in a manual: `[NX | XX] [EX seconds]`.
#[must_use]
pub fn syntax(arguments: &[Argument]) -> String {
    let parts: Vec<String> = arguments.iter().map(one).collect();
    parts.join(" ")
}

fn one(argument: &Argument) -> String {
    let within = |separator: &str| {
        let parts: Vec<String> = argument.within.iter().map(one).collect();
        parts.join(separator)
    };
    let bare = match argument.kind {
        ArgumentKind::PureToken => String::new(),
        ArgumentKind::OneOf => alloc::format!("<{}>", within(" | ")),
        ArgumentKind::Block => within(" "),
        ArgumentKind::String
        | ArgumentKind::Integer
        | ArgumentKind::Double
        | ArgumentKind::Key(_)
        | ArgumentKind::Pattern
        | ArgumentKind::UnixTime => String::from(argument.name),
    };
    let once = [argument.token, &bare].join(" ");
    let once = once.trim();
    match (argument.optional, argument.multiple) {
        (false, false) => String::from(once),
        (false, true) => alloc::format!("{once} [{once} ...]"),
        (true, false) => alloc::format!("[{}]", unbraced(once)),
        (true, true) => alloc::format!("[{} ...]", unbraced(once)),
    }
}

/// Optional alternatives need no braces within their brackets.
fn unbraced(text: &str) -> &str {
    text.strip_prefix('<')
        .and_then(|inner| inner.strip_suffix('>'))
        .unwrap_or(text)
}
