//! Commands on keys of any type.

use super::arguments::{Argument, KEY, integer, key, one_of, pattern, string, unix_time, word};
use super::spec::{Access, Categories, Flags, Group, KeySpec, Keys, Spec};
use crate::keys::expiry;
use crate::{Call, Ran, administration, connection, keys};

type Handler = fn(&mut Call<'_>) -> Ran;

const READ: &[Flags] = &[Flags::READONLY];
const FAST_READ: &[Flags] = &[Flags::READONLY, Flags::FAST];
const WRITE: &[Flags] = &[Flags::WRITE];
const FAST_WRITE: &[Flags] = &[Flags::WRITE, Flags::FAST];

const LOOKS: &[KeySpec] = &[KeySpec::one(1, Access::RO)];
const READS: &[KeySpec] = &[KeySpec::one(1, Access::RO.and(Access::ACCESS))];
const UPDATES: &[KeySpec] = &[KeySpec::one(1, Access::RW.and(Access::UPDATE))];
const EXCHANGES: &[KeySpec] = &[KeySpec::one(
    1,
    Access::RW.and(Access::ACCESS).and(Access::UPDATE),
)];
const MOVES_AWAY: Access = Access::RW.and(Access::ACCESS).and(Access::DELETE);
const REMOVES: &[KeySpec] = &[KeySpec::range(1, -1, 1, Access::RM.and(Access::DELETE))];
const LOOKS_AT_ALL: &[KeySpec] = &[KeySpec::range(1, -1, 1, Access::RO)];
const LOOKS_AT_SECOND: &[KeySpec] = &[KeySpec::one(2, Access::RO)];

const fn command(name: &'static str, arity: i8, handler: Handler) -> Spec {
    Spec::new(name, arity, Group::Generic, handler)
}

const CONDITION: Argument = one_of(
    "condition",
    &[
        word("nx", "NX"),
        word("xx", "XX"),
        word("gt", "GT"),
        word("lt", "LT"),
    ],
)
.optional();

const fn object(name: &'static str, handler: Handler) -> Spec {
    command(name, 3, handler)
        .flags(READ)
        .keys(Keys::SECOND, LOOKS_AT_SECOND)
        .tips(&["nondeterministic_output"])
        .arguments(&[KEY])
}

const OBJECT: &[Spec] = &[
    object("object|encoding", keys::encoding).doc(
        "2.2.3",
        "O(N) in fields",
        "The name of the layout that Redis would use.",
    ),
    object("object|freq", keys::freq).doc(
        "4.0.0",
        "O(1)",
        "Refused: nothing is evicted, so no uses are counted.",
    ),
    command("object|help", 2, connection::help)
        .flags(&[Flags::LOADING, Flags::STALE])
        .doc("6.2.0", "O(1)", "These lines."),
    object("object|idletime", keys::idletime).doc(
        "2.2.3",
        "O(1)",
        "Seconds since a session with an idle deadline was used.",
    ),
    object("object|refcount", keys::refcount).doc(
        "2.2.3",
        "O(1)",
        "How many share the value: one.",
    ),
];

pub(super) const SPECS: &[Spec] = &[
    command("copy", -3, keys::copy)
        .flags(&[Flags::WRITE, Flags::DENYOOM])
        .keys(
            Keys::TWO,
            &[
                KeySpec::one(1, Access::RO.and(Access::ACCESS)),
                KeySpec::one(2, Access::OW.and(Access::UPDATE)),
            ],
        )
        .doc(
            "6.2.0",
            "O(N) in the size",
            "Copies a value and its time to live to another key.",
        )
        .arguments(&[
            key("source", 0),
            key("destination", 1),
            integer("destination-db").after("DB").optional(),
            word("replace", "REPLACE").optional(),
        ]),
    command("del", -2, keys::del)
        .flags(WRITE)
        .keys(Keys::ALL, REMOVES)
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("1.0.0", "O(N) in keys", "Removes keys.")
        .arguments(&[KEY.multiple()]),
    command("exists", -2, keys::exists)
        .flags(FAST_READ)
        .keys(Keys::ALL, LOOKS_AT_ALL)
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("1.0.0", "O(N) in keys", "How many of the keys are there.")
        .arguments(&[KEY.multiple()]),
    command("expire", -3, expiry::expire)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, UPDATES)
        .doc("1.0.0", "O(1)", "Lets a key live for some seconds.")
        .arguments(&[KEY, integer("seconds"), CONDITION]),
    command("expireat", -3, expiry::expireat)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, UPDATES)
        .doc("1.2.0", "O(1)", "Lets a key live until a second.")
        .arguments(&[KEY, unix_time("unix-time-seconds"), CONDITION]),
    command("expiretime", 2, expiry::expiretime)
        .flags(FAST_READ)
        .keys(Keys::ONE, READS)
        .doc(
            "7.0.0",
            "O(1)",
            "The second at which a key ceases to exist.",
        )
        .arguments(&[KEY]),
    command("keys", 2, keys::keys)
        .flags(READ)
        .category(Categories::DANGEROUS)
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .doc(
            "1.0.0",
            "O(N) in the database",
            "All keys that match a pattern.",
        )
        .arguments(&[pattern("pattern")]),
    command("move", 3, keys::r#move)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, EXCHANGES)
        .doc(
            "1.0.0",
            "O(N) in the size",
            "Moves a key to another database.",
        )
        .arguments(&[KEY, integer("db")]),
    command("object", -2, connection::container)
        .only_categories(Categories::NONE)
        .doc("2.2.3", "Depends on subcommand.", "How values are kept.")
        .subcommands(OBJECT),
    command("persist", 2, expiry::persist)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, UPDATES)
        .doc("2.2.0", "O(1)", "Lets a key live until it is removed.")
        .arguments(&[KEY]),
    command("pexpire", -3, expiry::pexpire)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, UPDATES)
        .doc("2.6.0", "O(1)", "Lets a key live for some milliseconds.")
        .arguments(&[KEY, integer("milliseconds"), CONDITION]),
    command("pexpireat", -3, expiry::pexpireat)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, UPDATES)
        .doc("2.6.0", "O(1)", "Lets a key live until a millisecond.")
        .arguments(&[KEY, unix_time("unix-time-milliseconds"), CONDITION]),
    command("pexpiretime", 2, expiry::pexpiretime)
        .flags(FAST_READ)
        .keys(Keys::ONE, READS)
        .doc(
            "7.0.0",
            "O(1)",
            "The millisecond at which a key ceases to exist.",
        )
        .arguments(&[KEY]),
    command("pttl", 2, expiry::pttl)
        .flags(FAST_READ)
        .keys(Keys::ONE, READS)
        .tips(&["nondeterministic_output"])
        .doc("2.6.0", "O(1)", "How many milliseconds a key has left.")
        .arguments(&[KEY]),
    command("randomkey", 1, keys::randomkey)
        .flags(READ)
        .tips(&["request_policy:all_shards", "nondeterministic_output"])
        .doc("1.0.0", "O(1)", "Some key.")
        .arguments(&[]),
    command("rename", 3, keys::rename)
        .flags(WRITE)
        .keys(
            Keys::TWO,
            &[
                KeySpec::one(1, MOVES_AWAY),
                KeySpec::one(2, Access::OW.and(Access::UPDATE)),
            ],
        )
        .doc(
            "1.0.0",
            "O(N) in the size",
            "Moves a key to another name, whatever was there.",
        )
        .arguments(&[key("key", 0), key("newkey", 1)]),
    command("renamenx", 3, keys::renamenx)
        .flags(FAST_WRITE)
        .keys(
            Keys::TWO,
            &[
                KeySpec::one(1, MOVES_AWAY),
                KeySpec::one(2, Access::OW.and(Access::INSERT)),
            ],
        )
        .doc(
            "1.0.0",
            "O(N) in the size",
            "Moves a key to another name, if that is free.",
        )
        .arguments(&[key("key", 0), key("newkey", 1)]),
    command("scan", -2, keys::scan)
        .flags(READ)
        .tips(&["nondeterministic_output", "request_policy:special"])
        .doc(
            "2.8.0",
            "O(1) a call, O(N) for all",
            "Goes through the keys step by step.",
        )
        .arguments(&[
            integer("cursor"),
            pattern("pattern").after("MATCH").optional(),
            integer("count").after("COUNT").optional(),
            string("type").after("TYPE").optional(),
            integer("slot").after("SLOT").optional(),
        ]),
    command("touch", -2, keys::exists)
        .flags(FAST_READ)
        .keys(Keys::ALL, LOOKS_AT_ALL)
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("3.2.1", "O(N) in keys", "How many of the keys are there.")
        .arguments(&[KEY.multiple()]),
    command("ttl", 2, expiry::ttl)
        .flags(FAST_READ)
        .keys(Keys::ONE, READS)
        .tips(&["nondeterministic_output"])
        .doc("1.0.0", "O(1)", "How many seconds a key has left.")
        .arguments(&[KEY]),
    command("type", 2, keys::r#type)
        .flags(FAST_READ)
        .keys(Keys::ONE, LOOKS)
        .doc("1.0.0", "O(1)", "What a key holds.")
        .arguments(&[KEY]),
    command("unlink", -2, keys::del)
        .flags(FAST_WRITE)
        .keys(Keys::ALL, REMOVES)
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc("4.0.0", "O(N) in keys", "Removes keys.")
        .arguments(&[KEY.multiple()]),
    command("wait", 3, administration::wait)
        .flags(&[Flags::NOSCRIPT])
        .only_categories(Categories::CONNECTION)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .doc(
            "3.0.0",
            "O(1)",
            "How many standbys have all writes of this connection that were answered: none, on one node.",
        )
        .arguments(&[integer("numreplicas"), integer("timeout")]),
    command("waitaof", 4, administration::waitaof)
        .flags(&[Flags::NOSCRIPT])
        .only_categories(Categories::CONNECTION)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .doc(
            "7.2.0",
            "O(1)",
            "On how many disks all writes of this connection are that were answered, here and at standbys: known with sync always.",
        )
        .arguments(&[
            integer("numlocal"),
            integer("numreplicas"),
            integer("timeout"),
        ]),
];
