//! The command table.

use crate::strings;
use crate::{Call, Ran};

/// What is special about a command. A set of these, or-ed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// Changes data.
    pub const WRITE: Self = Self(1);
    /// Only looks.
    pub const READONLY: Self = Self(1 << 1);
    /// May need memory.
    pub const DENYOOM: Self = Self(1 << 2);
    /// Constant or logarithmic time.
    pub const FAST: Self = Self(1 << 3);
    /// Allowed before authentication.
    pub const NO_AUTH: Self = Self(1 << 4);
    /// For operators.
    pub const ADMIN: Self = Self(1 << 5);
    /// Checks holds itself: the `SESSION.*` commands.
    pub const HOLDS: Self = Self(1 << 6);

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are in this set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Which arguments are keys: the first, the last (negative: from the end), and the step between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Index of the first key; 0 for no keys.
    pub first: i8,
    /// Index of the last key.
    pub last: i8,
    /// Distance of two keys.
    pub step: i8,
}

impl Keys {
    /// No keys.
    pub const NONE: Self = Self {
        first: 0,
        last: 0,
        step: 0,
    };
    /// Only the first argument after the name.
    pub const ONE: Self = Self {
        first: 1,
        last: 1,
        step: 1,
    };
    /// All arguments.
    pub const ALL: Self = Self {
        first: 1,
        last: -1,
        step: 1,
    };
}

/// One command.
pub struct Spec {
    /// Its name, in lower case.
    pub name: &'static str,
    /// Number of words, the name included; negative for at least that many.
    pub arity: i8,
    /// What is special about it.
    pub flags: Flags,
    /// Which arguments are keys.
    pub keys: Keys,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What runs it.
    pub handler: fn(&mut Call<'_>) -> Ran,
}

/// Every command, in the order of their groups.
pub static TABLE: &[Spec] = &[
    Spec {
        name: "get",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::ONE,
        summary: "Returns the string value of a key.",
        handler: strings::get,
    },
    Spec {
        name: "set",
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::ONE,
        summary: "Sets the string value of a key.",
        handler: strings::set,
    },
];

/// The command with this name, in any case; its index in [`TABLE`].
#[must_use]
pub fn find(name: &[u8]) -> Option<usize> {
    TABLE
        .iter()
        .position(|spec| name.eq_ignore_ascii_case(spec.name.as_bytes()))
}
