//! Commands on strings.

use super::arguments::{
    Argument, KEY, block, double, integer, key, one_of, string, unix_time, word,
};
use super::spec::{Access, Flags, Group, KeySpec, Keys, Spec};
use crate::{Call, Ran, strings};

type Handler = fn(&mut Call<'_>) -> Ran;

const READ: &[Flags] = &[Flags::READONLY];
const FAST_READ: &[Flags] = &[Flags::READONLY, Flags::FAST];
const WRITE: &[Flags] = &[Flags::WRITE, Flags::DENYOOM];
const FAST_WRITE: &[Flags] = &[Flags::WRITE, Flags::DENYOOM, Flags::FAST];

const READS: Access = Access::RO.and(Access::ACCESS);
const UPDATES: Access = Access::RW.and(Access::UPDATE);
const EXCHANGES: Access = Access::RW.and(Access::ACCESS).and(Access::UPDATE);
const SETS: Access = Access::OW.and(Access::UPDATE);

const READS_ONE: &[KeySpec] = &[KeySpec::one(1, READS)];
const UPDATES_ONE: &[KeySpec] = &[KeySpec::one(1, UPDATES)];
const EXCHANGES_ONE: &[KeySpec] = &[KeySpec::one(1, EXCHANGES)];
const SETS_ONE: &[KeySpec] = &[KeySpec::one(1, SETS)];

const fn command(name: &'static str, arity: i8, handler: Handler) -> Spec {
    Spec::new(name, arity, Group::String, handler)
}

const SECONDS: Argument = integer("seconds").after("EX");
const MILLISECONDS: Argument = integer("milliseconds").after("PX");
const AT_SECONDS: Argument = unix_time("unix-time-seconds").after("EXAT");
const AT_MILLISECONDS: Argument = unix_time("unix-time-milliseconds").after("PXAT");

const SET_ARGUMENTS: &[Argument] = &[
    KEY,
    string("value"),
    one_of(
        "condition",
        &[
            word("nx", "NX"),
            word("xx", "XX"),
            string("comparison-value").after("IFEQ"),
        ],
    )
    .optional(),
    word("get", "GET").optional(),
    one_of(
        "expiration",
        &[
            SECONDS,
            MILLISECONDS,
            AT_SECONDS,
            AT_MILLISECONDS,
            word("keepttl", "KEEPTTL"),
        ],
    )
    .optional(),
];

const PAIRS: &[Argument] = &[block("data", &[KEY, string("value")]).multiple()];

pub(super) const SPECS: &[Spec] = &[
    command("append", 3, strings::append)
        .flags(FAST_WRITE)
        .keys(
            Keys::ONE,
            &[KeySpec::one(1, Access::RW.and(Access::INSERT))],
        )
        .doc(
            "2.0.0",
            "O(N) in the length",
            "Adds to the end of a string.",
        )
        .arguments(&[KEY, string("value")]),
    command("decr", 2, strings::decr)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, EXCHANGES_ONE)
        .doc("1.0.0", "O(1)", "Subtracts one from a number.")
        .arguments(&[KEY]),
    command("decrby", 3, strings::decrby)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, EXCHANGES_ONE)
        .doc("1.0.0", "O(1)", "Subtracts from a number.")
        .arguments(&[KEY, integer("decrement")]),
    command("delifeq", 3, strings::delifeq)
        .flags(&[Flags::WRITE, Flags::FAST])
        .keys(
            Keys::ONE,
            &[KeySpec::one(1, Access::RM.and(Access::DELETE))],
        )
        .doc("9.0.0", "O(1)", "Removes a string if it has this value.")
        .arguments(&[KEY, string("value")]),
    command("get", 2, strings::get)
        .flags(FAST_READ)
        .keys(Keys::ONE, READS_ONE)
        .doc("1.0.0", "O(1)", "The value of a string.")
        .arguments(&[KEY]),
    command("getdel", 2, strings::getdel)
        .flags(&[Flags::WRITE, Flags::FAST])
        .keys(
            Keys::ONE,
            &[KeySpec::one(
                1,
                Access::RW.and(Access::ACCESS).and(Access::DELETE),
            )],
        )
        .doc("6.2.0", "O(1)", "The value of a string, which is removed.")
        .arguments(&[KEY]),
    command("getex", -2, strings::getex)
        .flags(&[Flags::WRITE, Flags::FAST])
        .keys(Keys::ONE, EXCHANGES_ONE)
        .doc(
            "6.2.0",
            "O(1)",
            "The value of a string, which gets another deadline.",
        )
        .arguments(&[
            KEY,
            one_of(
                "expiration",
                &[
                    SECONDS,
                    MILLISECONDS,
                    AT_SECONDS,
                    AT_MILLISECONDS,
                    word("persist", "PERSIST"),
                ],
            )
            .optional(),
        ]),
    command("getrange", 4, strings::getrange)
        .flags(READ)
        .keys(Keys::ONE, READS_ONE)
        .doc("2.4.0", "O(N) in the length", "A part of a string.")
        .arguments(&[KEY, integer("start"), integer("end")]),
    command("getset", 3, strings::getset)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, EXCHANGES_ONE)
        .doc(
            "1.0.0",
            "O(1)",
            "The value of a string, which gets another.",
        )
        .deprecated("`SET` with the `GET` argument")
        .arguments(&[KEY, string("value")]),
    command("incr", 2, strings::incr)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, EXCHANGES_ONE)
        .doc("1.0.0", "O(1)", "Adds one to a number.")
        .arguments(&[KEY]),
    command("incrby", 3, strings::incrby)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, EXCHANGES_ONE)
        .doc("1.0.0", "O(1)", "Adds to a number.")
        .arguments(&[KEY, integer("increment")]),
    command("incrbyfloat", 3, strings::incrbyfloat)
        .flags(FAST_WRITE)
        .keys(Keys::ONE, EXCHANGES_ONE)
        .doc("2.6.0", "O(1)", "Adds to a number that need not be whole.")
        .arguments(&[KEY, double("increment")]),
    command("lcs", -3, strings::lcs)
        .flags(READ)
        .keys(Keys::TWO, &[KeySpec::range(1, 1, 1, READS)])
        .doc(
            "7.0.0",
            "O(N*M) in the lengths",
            "The longest common subsequence of two strings.",
        )
        .arguments(&[
            key("key1", 0),
            key("key2", 0),
            word("len", "LEN").optional(),
            word("idx", "IDX").optional(),
            integer("min-match-len").after("MINMATCHLEN").optional(),
            word("withmatchlen", "WITHMATCHLEN").optional(),
        ]),
    command("mget", -2, strings::mget)
        .flags(FAST_READ)
        .keys(Keys::ALL, &[KeySpec::range(1, -1, 1, READS)])
        .tips(&["request_policy:multi_shard"])
        .doc("1.0.0", "O(N) in keys", "The values of several strings.")
        .arguments(&[KEY.multiple()]),
    command("mset", -3, strings::mset)
        .flags(WRITE)
        .keys(Keys::PAIRS, &[KeySpec::range(1, -1, 2, SETS)])
        .tips(&[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ])
        .doc(
            "1.0.1",
            "O(N) in keys",
            "Makes several strings, all at once.",
        )
        .arguments(PAIRS),
    command("msetnx", -3, strings::msetnx)
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .flags(WRITE)
        .keys(
            Keys::PAIRS,
            &[KeySpec::range(1, -1, 2, Access::OW.and(Access::INSERT))],
        )
        .doc(
            "1.0.1",
            "O(N) in keys",
            "Makes several strings, if none of the keys is there.",
        )
        .arguments(PAIRS),
    command("psetex", 4, strings::psetex)
        .flags(WRITE)
        .keys(Keys::ONE, SETS_ONE)
        .doc(
            "2.6.0",
            "O(1)",
            "Makes a string that lives for some milliseconds.",
        )
        .deprecated("`SET` with the `PX` argument")
        .arguments(&[KEY, integer("milliseconds"), string("value")]),
    command("set", -3, strings::set)
        .flags(WRITE)
        .keys(
            Keys::ONE,
            &[KeySpec::one(1, EXCHANGES.and(Access::VARIABLE_FLAGS))],
        )
        .doc("1.0.0", "O(1)", "Makes a string, whatever was there.")
        .arguments(SET_ARGUMENTS),
    command("setex", 4, strings::setex)
        .flags(WRITE)
        .keys(Keys::ONE, SETS_ONE)
        .doc(
            "2.0.0",
            "O(1)",
            "Makes a string that lives for some seconds.",
        )
        .deprecated("`SET` with the `EX` argument")
        .arguments(&[KEY, integer("seconds"), string("value")]),
    command("setnx", 3, strings::setnx)
        .flags(FAST_WRITE)
        .keys(
            Keys::ONE,
            &[KeySpec::one(1, Access::OW.and(Access::INSERT))],
        )
        .doc("1.0.0", "O(1)", "Makes a string, if the key is not there.")
        .deprecated("`SET` with the `NX` argument")
        .arguments(&[KEY, string("value")]),
    command("setrange", 4, strings::setrange)
        .flags(WRITE)
        .keys(Keys::ONE, UPDATES_ONE)
        .doc(
            "2.2.0",
            "O(N) in the length",
            "Replaces a part of a string.",
        )
        .arguments(&[KEY, integer("offset"), string("value")]),
    command("strlen", 2, strings::strlen)
        .flags(FAST_READ)
        .keys(Keys::ONE, &[KeySpec::one(1, Access::RO)])
        .doc("2.2.0", "O(1)", "The length of a string.")
        .arguments(&[KEY]),
    command("substr", 4, strings::getrange)
        .flags(READ)
        .keys(Keys::ONE, READS_ONE)
        .doc("1.0.0", "O(N) in the length", "A part of a string.")
        .deprecated("`GETRANGE`")
        .arguments(&[KEY, integer("start"), integer("end")]),
];
