//! The command table: every command once, in groups.
//!
//! Dispatch, `COMMAND`, `COMMAND DOCS`, the slow log, the statistics, the documentation and the fuzzer's
//! dictionary all read [`TABLE`]. Each group is a slice in a file of its own; they are joined, and the index
//! by name is built, when the crate is compiled. Subcommands (`CLIENT SETNAME`) are entries of the same
//! table, behind all commands, under their full name `client|setname`.

pub mod arguments;
mod cluster;
mod connection;
mod hashes;
mod keys;
mod lookup;
mod server;
mod sessions;
mod spec;
mod strings;

pub use lookup::{Found, find, find_name};
pub use spec::{Access, Begin, Categories, DocFlags, Flags, Group, KeySpec, Keys, Spec};

/// The groups, in the order that they have in the table.
const GROUPS: [&[Spec]; 7] = [
    connection::SPECS,
    server::SPECS,
    cluster::SPECS,
    keys::SPECS,
    strings::SPECS,
    hashes::SPECS,
    sessions::SPECS,
];

/// Commands that are not subcommands: the first ones of [`TABLE`].
pub const COMMANDS: usize = count(false);
const ENTRIES: usize = COMMANDS + count(true);

/// Every command, then every subcommand.
pub static TABLE: [Spec; ENTRIES] = joined();

const fn count(subcommands: bool) -> usize {
    let (mut n, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut i = 0;
        while i < GROUPS[group].len() {
            n += if subcommands {
                GROUPS[group][i].subcommands.len()
            } else {
                1
            };
            i += 1;
        }
        group += 1;
    }
    n
}

const fn joined() -> [Spec; ENTRIES] {
    let mut table = [strings::SPECS[0]; ENTRIES];
    let (mut at, mut sub_at, mut group) = (0, COMMANDS, 0);
    while group < GROUPS.len() {
        let mut i = 0;
        while i < GROUPS[group].len() {
            let spec = GROUPS[group][i];
            table[at] = spec;
            table[at].first_subcommand = sub_at as u16;
            at += 1;
            let mut j = 0;
            while j < spec.subcommands.len() {
                table[sub_at] = spec.subcommands[j];
                sub_at += 1;
                j += 1;
            }
            i += 1;
        }
        group += 1;
    }
    table
}

/// The commands without the subcommands.
pub fn commands() -> &'static [Spec] {
    &TABLE[..COMMANDS]
}

#[cfg(test)]
mod tests;
