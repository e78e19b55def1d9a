//! Commands on hashes.

use super::arguments::{Argument, KEY, block, double, integer, pattern, string, word};
use super::spec::{Access, Flags, Group, KeySpec, Keys, Spec};
use crate::{Call, Ran, hashes};

type Handler = fn(&mut Call<'_>) -> Ran;

const READ: &[Flags] = &[Flags::READONLY];
const FAST_READ: &[Flags] = &[Flags::READONLY, Flags::FAST];
const FAST_WRITE: &[Flags] = &[Flags::WRITE, Flags::DENYOOM, Flags::FAST];

const LOOKS: &[KeySpec] = &[KeySpec::one(1, Access::RO)];
const READS: &[KeySpec] = &[KeySpec::one(1, Access::RO.and(Access::ACCESS))];
const UPDATES: &[KeySpec] = &[KeySpec::one(1, Access::RW.and(Access::UPDATE))];
const EXCHANGES: &[KeySpec] = &[KeySpec::one(
    1,
    Access::RW.and(Access::ACCESS).and(Access::UPDATE),
)];

const fn command(name: &'static str, arity: i8, handler: Handler) -> Spec {
    Spec::new(name, arity, Group::Hash, handler)
}

const FIELD: Argument = string("field");
const FIELD_AND_VALUE: &[Argument] = &[KEY, block("data", &[FIELD, string("value")]).multiple()];

pub(super) const SPECS: &[Spec] = &[
    command("hdel", -3, hashes::hdel)
        .flags(&[Flags::WRITE, Flags::FAST])
        .keys(
            Keys::ONE,
            &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
        )
        .doc("2.0.0", "O(N) in fields", "Removes fields.")
        .arguments(&[KEY, FIELD.multiple()]),
    command("hexists", 3, hashes::hexists)
        .flags(FAST_READ)
        .keys(Keys::ONE, LOOKS)
        .doc("2.0.0", "O(1)", "Whether there is such a field.")
        .arguments(&[KEY, FIELD]),
    command("hget", 3, hashes::hget)
        .flags(FAST_READ)
        .keys(Keys::ONE, READS)
        .doc("2.0.0", "O(1)", "The value of a field.")
        .arguments(&[KEY, FIELD]),
    command("hgetall", 2, hashes::hgetall)
        .flags(READ)
        .keys(Keys::ONE, READS)
        .tips(&["nondeterministic_output_order"])
        .doc("2.0.0", "O(N) in the size", "All fields with their values.")
        .arguments(&[KEY]),
    command("hincrby", 4, hashes::hincrby)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, EXCHANGES)
        .doc("2.0.0", "O(1)", "Adds to a field that is a number.")
        .arguments(&[KEY, FIELD, integer("increment")]),
    command("hincrbyfloat", 4, hashes::hincrbyfloat)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, EXCHANGES)
        .doc(
            "2.6.0",
            "O(1)",
            "Adds to a field that is a number and need not be whole.",
        )
        .arguments(&[KEY, FIELD, double("increment")]),
    command("hkeys", 2, hashes::hkeys)
        .flags(READ)
        .keys(Keys::ONE, READS)
        .tips(&["nondeterministic_output_order"])
        .doc("2.0.0", "O(N) in the size", "All fields.")
        .arguments(&[KEY]),
    command("hlen", 2, hashes::hlen)
        .flags(FAST_READ)
        .keys(Keys::ONE, LOOKS)
        .doc("2.0.0", "O(1)", "The number of fields.")
        .arguments(&[KEY]),
    command("hmget", -3, hashes::hmget)
        .flags(FAST_READ)
        .keys(Keys::ONE, READS)
        .doc("2.0.0", "O(N) in fields", "The values of several fields.")
        .arguments(&[KEY, FIELD.multiple()]),
    command("hmset", -4, hashes::hmset)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, UPDATES)
        .doc("2.0.0", "O(N) in fields", "Gives fields values.")
        .deprecated("`HSET` with multiple field-value pairs")
        .arguments(FIELD_AND_VALUE),
    command("hrandfield", -2, hashes::hrandfield)
        .flags(READ)
        .keys(Keys::ONE, READS)
        .tips(&["nondeterministic_output"])
        .doc(
            "6.2.0",
            "O(N) in what is returned",
            "Fields that are drawn by lot.",
        )
        .arguments(&[
            KEY,
            block(
                "options",
                &[
                    integer("count"),
                    word("withvalues", "WITHVALUES").optional(),
                ],
            )
            .optional(),
        ]),
    command("hscan", -3, hashes::hscan)
        .flags(READ)
        .keys(Keys::ONE, READS)
        .tips(&["nondeterministic_output"])
        .doc(
            "2.8.0",
            "O(1) a call, O(N) for all",
            "Goes through the fields step by step.",
        )
        .arguments(&[
            KEY,
            integer("cursor"),
            pattern("pattern").after("MATCH").optional(),
            integer("count").after("COUNT").optional(),
            word("novalues", "NOVALUES").optional(),
        ]),
    command("hset", -4, hashes::hset)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, UPDATES)
        .doc("2.0.0", "O(N) in fields", "Gives fields values.")
        .arguments(FIELD_AND_VALUE),
    command("hsetnx", 4, hashes::hsetnx)
        .flags(FAST_WRITE)
        .keys(
            Keys::ONE,
            &[KeySpec::one(1, Access::RW.and(Access::INSERT))],
        )
        .doc(
            "2.0.0",
            "O(1)",
            "Gives a field a value, if it is not there.",
        )
        .arguments(&[KEY, FIELD, string("value")]),
    command("hstrlen", 3, hashes::hstrlen)
        .flags(FAST_READ)
        .keys(Keys::ONE, LOOKS)
        .doc("3.2.0", "O(1)", "The length of a field's value.")
        .arguments(&[KEY, FIELD]),
    command("hvals", 2, hashes::hvals)
        .flags(READ)
        .keys(Keys::ONE, READS)
        .tips(&["nondeterministic_output_order"])
        .doc("2.0.0", "O(N) in the size", "All values.")
        .arguments(&[KEY]),
];
