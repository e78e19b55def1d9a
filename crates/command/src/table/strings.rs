//! Commands on strings.

use super::arguments::{KEY, string};
use super::spec::{Flags, Group, KeySpec, Keys, Spec};
use super::{Access, Begin};
use crate::strings;

const READS: &[KeySpec] = &[KeySpec {
    begin: Begin::Index(1),
    last: 0,
    step: 1,
    access: Access::RO.and(Access::ACCESS),
}];
const UPDATES: &[KeySpec] = &[KeySpec {
    begin: Begin::Index(1),
    last: 0,
    step: 1,
    access: Access::RW.and(Access::ACCESS).and(Access::UPDATE),
}];

pub(super) const SPECS: &[Spec] = &[
    Spec::new("get", 2, Group::String, strings::get)
        .flags(&[Flags::READONLY, Flags::FAST])
        .keys(Keys::ONE, READS)
        .doc("1.0.0", "O(1)", "The value of a string.")
        .arguments(&[KEY]),
    Spec::new("set", -3, Group::String, strings::set)
        .flags(&[Flags::WRITE, Flags::DENYOOM])
        .keys(Keys::ONE, UPDATES)
        .doc("1.0.0", "O(1)", "Makes a key a string with this value.")
        .arguments(&[KEY, string("value")]),
];
