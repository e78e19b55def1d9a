//! What the table says about one command.

use super::arguments::Argument;
use crate::{Call, Ran};

/// A set of things that are true of a command, or-ed.
macro_rules! set_type {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $bit:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub u32);

        impl $name {
            /// The empty set.
            pub const NONE: Self = Self(0);
            $($(#[$item_doc])* pub const $item: Self = Self(1 << $bit);)*

            /// Every member with the name that `COMMAND` shows; an empty name is not shown.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$item, $text)),*];

            /// Both sets.
            #[must_use]
            pub const fn and(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether all of `other` are in this set.
            #[inline]
            #[must_use]
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The names of the members that have one, in order.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                let members = Self::ALL.iter().filter(move |(member, _)| self.has(*member));
                members.map(|(_, name)| *name).filter(|name| !name.is_empty())
            }
        }
    };
}

set_type! {
    /// What is special about a command.
    Flags {
        /// Changes data.
        WRITE = 0, "write";
        /// Only looks.
        READONLY = 1, "readonly";
        /// May need memory.
        DENYOOM = 2, "denyoom";
        /// Constant or logarithmic time.
        FAST = 3, "fast";
        /// Allowed before authentication.
        NO_AUTH = 4, "no_auth";
        /// For operators.
        ADMIN = 5, "admin";
        /// Checks holds itself: the `SESSION.*` commands.
        HOLDS = 6, "";
        /// Not from scripts.
        NOSCRIPT = 7, "noscript";
        /// Answered while the log is being read.
        LOADING = 8, "loading";
        /// Answered by a copy that is behind.
        STALE = 9, "stale";
        /// May wait.
        BLOCKING = 10, "blocking";
        /// Not in a transaction.
        NO_MULTI = 11, "no_multi";
        /// Not kept in the slow log: its arguments are secret.
        SKIP_SLOWLOG = 12, "";
        /// The table alone does not tell which arguments are keys.
        MOVABLE_KEYS = 13, "movablekeys";
        /// Runs although clients are paused.
        ALLOW_BUSY = 14, "allow_busy";
    }
}

set_type! {
    /// Access categories, besides the ones that follow from the flags.
    Categories {
        /// Keys of any type.
        KEYSPACE = 0, "@keyspace";
        /// Reads; follows from the flags.
        READ = 1, "@read";
        /// Writes; follows from the flags.
        WRITE = 2, "@write";
        /// Hashes.
        HASH = 3, "@hash";
        /// Strings.
        STRING = 4, "@string";
        /// Sessions.
        SESSION = 5, "@session";
        /// For operators; follows from the flags.
        ADMIN = 6, "@admin";
        /// Fast; follows from the flags.
        FAST = 7, "@fast";
        /// Not fast; follows from the flags.
        SLOW = 8, "@slow";
        /// May wait; follows from the flags.
        BLOCKING = 9, "@blocking";
        /// Able to harm.
        DANGEROUS = 10, "@dangerous";
        /// About the connection.
        CONNECTION = 11, "@connection";
    }
}

set_type! {
    /// Remarks of the documentation.
    DocFlags {
        /// Another command does the same.
        DEPRECATED = 0, "deprecated";
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
    pub const NONE: Self = Self::range(0, 0, 0);
    /// Only the first argument after the name.
    pub const ONE: Self = Self::range(1, 1, 1);
    /// Only the second argument after the name: the first one of a subcommand.
    pub const SECOND: Self = Self::range(2, 2, 1);
    /// The first two arguments after the name.
    pub const TWO: Self = Self::range(1, 2, 1);
    /// All arguments.
    pub const ALL: Self = Self::range(1, -1, 1);
    /// Every other argument, beginning with the first.
    pub const PAIRS: Self = Self::range(1, -1, 2);

    /// From `first` to `last` in steps.
    #[must_use]
    pub const fn range(first: i8, last: i8, step: i8) -> Self {
        Self { first, last, step }
    }
}

set_type! {
    /// What a command does with the keys of a [`KeySpec`].
    Access {
        /// Reads and writes.
        RW = 0, "RW";
        /// Only reads.
        RO = 1, "RO";
        /// Replaces without reading.
        OW = 2, "OW";
        /// Removes.
        RM = 3, "RM";
        /// Returns or copies what the key holds.
        ACCESS = 4, "access";
        /// Changes what the key holds, depending on it.
        UPDATE = 5, "update";
        /// Adds without changing what is there.
        INSERT = 6, "insert";
        /// Deletes what the key holds.
        DELETE = 7, "delete";
        /// What the keys are may depend on other arguments.
        VARIABLE_FLAGS = 8, "variable_flags";
    }
}

/// Where the keys of a [`KeySpec`] begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this index.
    Index(u8),
    /// After this word, looked for from this index on.
    Keyword(&'static str, u8),
}

/// Some of a command's keys, and what it does with them.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Where they begin.
    pub begin: Begin,
    /// The last one, relative to the first; negative from the end of the command.
    pub last: i8,
    /// Distance of two keys.
    pub step: u8,
    /// What is done with them.
    pub access: Access,
}

impl KeySpec {
    /// One key at this index.
    #[must_use]
    pub const fn one(index: u8, access: Access) -> Self {
        Self::range(index, 0, 1, access)
    }

    /// Keys from this index in steps to `last`, which is relative to it or, negative, from the end.
    #[must_use]
    pub const fn range(index: u8, last: i8, step: u8, access: Access) -> Self {
        Self {
            begin: Begin::Index(index),
            last,
            step,
            access,
        }
    }
}

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The connection that it arrives on.
    Connection,
    /// The server.
    Server,
    /// The cluster.
    Cluster,
    /// Keys of any type.
    Generic,
    /// Strings.
    String,
    /// Hashes.
    Hash,
    /// Sessions.
    Session,
}

impl Group {
    /// The name that `COMMAND DOCS` shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Cluster => "cluster",
            Self::Generic => "generic",
            Self::String => "string",
            Self::Hash => "hash",
            Self::Session => "session",
        }
    }
}

const fn is_constant(complexity: &str) -> bool {
    matches!(complexity.as_bytes(), b"O(1)")
}

/// One command.
#[derive(Clone, Copy)]
pub struct Spec {
    /// Its name, in lower case; of a subcommand `container|subcommand`.
    pub name: &'static str,
    /// Number of words, the name (of a subcommand both) included; negative for at least that many.
    pub arity: i8,
    /// What is special about it.
    pub flags: Flags,
    /// Access categories that do not follow from the flags. See [`Spec::all_categories`].
    pub categories: Categories,
    /// Which arguments are keys.
    pub keys: Keys,
    /// The same in detail, for clients that route by it.
    pub key_specs: &'static [KeySpec],
    /// What it is about.
    pub group: Group,
    /// The version of Redis (or, for our own, of Tenure) that has had it first.
    pub since: &'static str,
    /// Its cost.
    pub complexity: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Its arguments, for people.
    pub arguments: &'static [Argument],
    /// Remarks for clients that send it to many nodes.
    pub tips: &'static [&'static str],
    /// Remarks of the documentation.
    pub doc_flags: DocFlags,
    /// Whether it may take long, so that each call is timed: its cost is not constant.
    pub may_take_long: bool,
    /// What does the same, if deprecated.
    pub replaced_by: &'static str,
    /// Its subcommands, if it is a container.
    pub subcommands: &'static [Spec],
    /// Where its subcommands begin in the table.
    pub(super) first_subcommand: u16,
    /// What runs it.
    pub handler: fn(&mut Call<'_>) -> Ran,
}

impl Spec {
    /// Whether a command of so many words can be this one.
    #[must_use]
    pub fn fits(&self, words: usize) -> bool {
        crate::dispatch::arity_fits(self.arity, words)
    }

    /// Whether it is about what is stored, and not only about the connection, the table or the process.
    #[must_use]
    pub fn is_about_data(&self) -> bool {
        match self.group {
            Group::Connection => self.name == "client|unblock",
            Group::Cluster => self.name.ends_with("keysinslot"),
            Group::Server | Group::Generic | Group::String | Group::Hash | Group::Session => true,
        }
    }

    /// Whether it reads or changes what is stored under keys. Without keys of its own it is about all of them, and says something wrong if it
    /// leaves some out.
    #[must_use]
    pub const fn uses_keys(&self) -> bool {
        self.flags.has(Flags::READONLY) || self.flags.has(Flags::WRITE)
    }

    /// Whether it reads its keys and changes none.
    #[must_use]
    pub const fn only_reads(&self) -> bool {
        self.flags.has(Flags::READONLY)
    }

    /// A command of this group, to be completed by the methods below.
    #[must_use]
    pub const fn new(
        name: &'static str,
        arity: i8,
        group: Group,
        handler: fn(&mut Call<'_>) -> Ran,
    ) -> Self {
        let categories = match group {
            Group::Connection => Categories::CONNECTION,
            Group::Server | Group::Cluster => Categories::NONE,
            Group::Generic => Categories::KEYSPACE,
            Group::String => Categories::STRING,
            Group::Hash => Categories::HASH,
            Group::Session => Categories::SESSION,
        };
        Self {
            name,
            arity,
            flags: Flags::NONE,
            categories,
            keys: Keys::NONE,
            key_specs: &[],
            group,
            since: "1.0.0",
            complexity: "O(1)",
            summary: "",
            arguments: &[],
            tips: &[],
            doc_flags: DocFlags::NONE,
            may_take_long: false,
            replaced_by: "",
            subcommands: &[],
            first_subcommand: 0,
            handler,
        }
    }

    /// With these flags.
    #[must_use]
    pub const fn flags(mut self, flags: &[Flags]) -> Self {
        let mut i = 0;
        while i < flags.len() {
            self.flags = self.flags.and(flags[i]);
            i += 1;
        }
        self
    }

    /// With this category too.
    #[must_use]
    pub const fn category(mut self, category: Categories) -> Self {
        self.categories = self.categories.and(category);
        self
    }

    /// In no category but those that follow from its flags, and in these.
    #[must_use]
    pub const fn only_categories(mut self, categories: Categories) -> Self {
        self.categories = categories;
        self
    }

    /// With these keys.
    #[must_use]
    pub const fn keys(mut self, keys: Keys, specs: &'static [KeySpec]) -> Self {
        self.keys = keys;
        self.key_specs = specs;
        self
    }

    /// Since when there is such a command, what it costs, what it does.
    #[must_use]
    pub const fn doc(
        mut self,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        self.since = since;
        self.complexity = complexity;
        self.may_take_long = !is_constant(complexity);
        self.summary = summary;
        self
    }

    /// With these arguments.
    #[must_use]
    pub const fn arguments(mut self, arguments: &'static [Argument]) -> Self {
        self.arguments = arguments;
        self
    }

    /// With these tips.
    #[must_use]
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// Kept for old clients; `other` does the same.
    #[must_use]
    pub const fn deprecated(mut self, other: &'static str) -> Self {
        self.doc_flags = self.doc_flags.and(DocFlags::DEPRECATED);
        self.replaced_by = other;
        self
    }

    /// A container of these subcommands.
    #[must_use]
    pub const fn subcommands(mut self, subcommands: &'static [Self]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// All access categories.
    #[must_use]
    pub fn all_categories(&self) -> Categories {
        let follows = [
            (Flags::READONLY, Categories::READ),
            (Flags::WRITE, Categories::WRITE),
            (Flags::ADMIN, Categories::ADMIN.and(Categories::DANGEROUS)),
            (Flags::BLOCKING, Categories::BLOCKING),
        ];
        let speed = if self.flags.has(Flags::FAST) {
            Categories::FAST
        } else {
            Categories::SLOW
        };
        follows
            .iter()
            .filter(|(flag, _)| self.flags.has(*flag))
            .fold(self.categories.and(speed), |all, (_, more)| all.and(*more))
    }

    /// Where its subcommands stand in the table.
    #[must_use]
    pub fn subcommand_indices(&self) -> core::ops::Range<usize> {
        let first = usize::from(self.first_subcommand);
        first..first + self.subcommands.len()
    }

    /// The last word of its name: of a subcommand, the name without the container's.
    #[must_use]
    pub fn own_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, own)| own)
    }
}
