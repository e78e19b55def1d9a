//! Commands on the server.

use super::arguments::{Argument, KEY, block, integer, one_of, pattern, string, word};
use super::spec::{Access, Categories, Flags, Group, KeySpec, Keys, Spec};
use crate::{
    Call, Ran, administration, config, connection, info, introspection, latency, memory, slowlog,
};

type Handler = fn(&mut Call<'_>) -> Ran;

const fn server(name: &'static str, arity: i8, handler: Handler) -> Spec {
    Spec::new(name, arity, Group::Server, handler)
}

const ALIVE: &[Flags] = &[Flags::LOADING, Flags::STALE];
const OPERATOR: &[Flags] = &[Flags::ADMIN, Flags::NOSCRIPT, Flags::LOADING, Flags::STALE];

const fn command(name: &'static str, arity: i8, handler: Handler) -> Spec {
    server(name, arity, handler)
        .flags(ALIVE)
        .category(Categories::CONNECTION)
}

const fn config(name: &'static str, arity: i8, handler: Handler) -> Spec {
    server(name, arity, handler).flags(OPERATOR)
}

const fn log(name: &'static str, arity: i8, handler: Handler) -> Spec {
    server(name, arity, handler).flags(&[Flags::ADMIN, Flags::LOADING, Flags::STALE])
}

const FLUSH: &[Argument] = &[one_of(
    "flush-type",
    &[word("async", "ASYNC"), word("sync", "SYNC")],
)
.optional()];
const FULL_COMMAND: &[Argument] = &[string("command"), string("arg").optional().multiple()];
const COMMAND_NAMES: &[Argument] = &[string("command-name").optional().multiple()];
const ONE_SECOND: &[KeySpec] = &[KeySpec::one(2, Access::RO)];

const COMMAND: &[Spec] = &[
    command("command|count", 2, introspection::count).doc(
        "2.8.13",
        "O(1)",
        "How many commands there are.",
    ),
    command("command|docs", -2, introspection::docs)
        .tips(&["nondeterministic_output_order"])
        .doc("7.0.0", "O(N) in commands", "What commands are for.")
        .arguments(COMMAND_NAMES),
    command("command|getkeys", -4, introspection::getkeys)
        .doc("2.8.13", "O(N) in arguments", "The keys of a command.")
        .arguments(FULL_COMMAND),
    command(
        "command|getkeysandflags",
        -4,
        introspection::getkeysandflags,
    )
    .doc(
        "7.0.0",
        "O(N) in arguments",
        "The keys of a command, and what it does with each.",
    )
    .arguments(FULL_COMMAND),
    command("command|help", 2, connection::help).doc("5.0.0", "O(1)", "These lines."),
    command("command|info", -2, introspection::info)
        .tips(&["nondeterministic_output_order"])
        .doc(
            "2.8.13",
            "O(N) in commands",
            "What routers need to know about commands.",
        )
        .arguments(COMMAND_NAMES),
    command("command|list", -2, introspection::list)
        .tips(&["nondeterministic_output_order"])
        .doc("7.0.0", "O(N) in commands", "The names of the commands.")
        .arguments(&[one_of(
            "filterby",
            &[
                string("module-name").after("MODULE"),
                string("category").after("ACLCAT"),
                pattern("pattern").after("PATTERN"),
            ],
        )
        .after("FILTERBY")
        .optional()]),
];

const CONFIG: &[Spec] = &[
    config("config|get", -3, config::get)
        .doc("2.0.0", "O(N) in settings", "Settings whose names match.")
        .arguments(&[pattern("parameter").multiple()]),
    server("config|help", 2, connection::help)
        .flags(ALIVE)
        .doc("5.0.0", "O(1)", "These lines."),
    config("config|resetstat", 2, config::resetstat).doc(
        "2.0.0",
        "O(1)",
        "Sets all counters to zero.",
    ),
    config("config|rewrite", 2, config::rewrite).doc(
        "2.8.0",
        "O(1)",
        "Refused: the server never writes its configuration file.",
    ),
    config("config|set", -4, config::set)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .doc(
            "2.0.0",
            "O(N) in settings",
            "Changes settings of the running server, all or none.",
        )
        .arguments(&[block("data", &[string("parameter"), string("value")]).multiple()]),
];

const LATENCY: &[Spec] = &[
    config("latency|doctor", 2, latency::doctor)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_nodes",
            "response_policy:special",
        ])
        .doc("2.8.13", "O(1)", "What the latencies look like, in words."),
    config("latency|graph", 3, latency::graph)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_nodes",
            "response_policy:special",
        ])
        .doc("2.8.13", "O(1)", "Refused: latency events are not sampled.")
        .arguments(&[string("event")]),
    server("latency|help", 2, connection::help)
        .flags(ALIVE)
        .doc("2.8.13", "O(1)", "These lines."),
    config("latency|histogram", -2, latency::histogram)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_nodes",
            "response_policy:special",
        ])
        .doc("7.0.0", "O(N) in commands", "How long commands have taken.")
        .arguments(&[string("command").optional().multiple()]),
    config("latency|history", 3, latency::history)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_nodes",
            "response_policy:special",
        ])
        .doc(
            "2.8.13",
            "O(1)",
            "Samples of an event: none, see HISTOGRAM.",
        )
        .arguments(&[string("event")]),
    config("latency|latest", 2, latency::latest)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_nodes",
            "response_policy:special",
        ])
        .doc("2.8.13", "O(1)", "Latest samples: none, see HISTOGRAM."),
    config("latency|reset", -2, latency::reset)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .doc(
            "2.8.13",
            "O(1)",
            "Accepted: there are no samples to reset; see CONFIG RESETSTAT.",
        )
        .arguments(&[string("event").optional().multiple()]),
];

const MEMORY: &[Spec] = &[
    server("memory|doctor", 2, memory::doctor)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .doc("4.0.0", "O(1)", "What the memory looks like, in words."),
    server("memory|help", 2, connection::help)
        .flags(ALIVE)
        .doc("4.0.0", "O(1)", "These lines."),
    server("memory|malloc-stats", 2, memory::malloc_stats)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .doc("4.0.0", "O(1)", "What the log-structured memory has done."),
    server("memory|purge", 2, memory::purge)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc(
            "4.0.0",
            "O(1)",
            "Accepted: free memory is given back all the time.",
        ),
    server("memory|stats", 2, memory::stats)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .doc("4.0.0", "O(1)", "What the memory is used for."),
    server("memory|usage", -3, memory::usage)
        .flags(&[Flags::READONLY])
        .keys(Keys::SECOND, ONE_SECOND)
        .doc(
            "4.0.0",
            "O(N) in chunks",
            "Bytes that a key and its value take, headers and index included.",
        )
        .arguments(&[KEY, integer("count").after("SAMPLES").optional()]),
];

const SLOWLOG: &[Spec] = &[
    log("slowlog|get", -2, slowlog::get)
        .tips(&["nondeterministic_output", "request_policy:all_nodes"])
        .doc("2.2.12", "O(N) in entries", "Commands that took long.")
        .arguments(&[integer("count").optional()]),
    server("slowlog|help", 2, connection::help)
        .flags(ALIVE)
        .doc("6.2.0", "O(1)", "These lines."),
    log("slowlog|len", 2, slowlog::len)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_nodes",
            "response_policy:agg_sum",
        ])
        .doc("2.2.12", "O(1)", "How many commands are kept."),
    log("slowlog|reset", 2, slowlog::reset)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .doc("2.2.12", "O(N) in entries", "Forgets them."),
];

pub(super) const SPECS: &[Spec] = &[
    command("command", -1, introspection::all)
        .tips(&["nondeterministic_output_order"])
        .doc(
            "2.8.13",
            "O(N) in commands",
            "What routers need to know about all commands.",
        )
        .subcommands(COMMAND),
    server("config", -2, connection::container)
        .doc(
            "2.0.0",
            "Depends on subcommand.",
            "Settings of the running server.",
        )
        .subcommands(CONFIG),
    server("dbsize", 1, administration::dbsize)
        .flags(&[Flags::READONLY, Flags::FAST])
        .category(Categories::KEYSPACE)
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .doc("1.0.0", "O(1)", "How many keys the database has."),
    server("flushall", -1, administration::flushall)
        .flags(&[Flags::WRITE])
        .category(Categories::KEYSPACE.and(Categories::DANGEROUS))
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc("1.0.0", "O(1)", "Removes all keys of all databases.")
        .arguments(FLUSH),
    server("flushdb", -1, administration::flushdb)
        .flags(&[Flags::WRITE])
        .category(Categories::KEYSPACE.and(Categories::DANGEROUS))
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc("1.0.0", "O(1)", "Removes all keys of the database.")
        .arguments(FLUSH),
    server("info", -1, info::info)
        .flags(ALIVE)
        .category(Categories::DANGEROUS)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .doc("1.0.0", "O(1)", "The state of the server, in sections.")
        .arguments(&[string("section").optional().multiple()]),
    server("latency", -2, connection::container)
        .doc(
            "2.8.13",
            "Depends on subcommand.",
            "How long commands take.",
        )
        .subcommands(LATENCY),
    server("memory", -2, connection::container)
        .doc(
            "4.0.0",
            "Depends on subcommand.",
            "What memory is used for.",
        )
        .subcommands(MEMORY),
    server("role", 1, administration::role)
        .flags(&[Flags::NOSCRIPT, Flags::LOADING, Flags::STALE, Flags::FAST])
        .category(Categories::ADMIN.and(Categories::DANGEROUS))
        .doc(
            "2.8.12",
            "O(1)",
            "Whether this node orders writes, and who copies them.",
        ),
    server("shutdown", -1, administration::shutdown)
        .flags(&[
            Flags::ADMIN,
            Flags::NOSCRIPT,
            Flags::LOADING,
            Flags::STALE,
            Flags::NO_MULTI,
            Flags::ALLOW_BUSY,
        ])
        .doc(
            "1.0.0",
            "O(1)",
            "Refused: the process is stopped by a signal, and drains.",
        )
        .arguments(&[
            one_of(
                "save-selector",
                &[word("nosave", "NOSAVE"), word("save", "SAVE")],
            )
            .optional(),
            word("now", "NOW").optional(),
            word("force", "FORCE").optional(),
            word("abort", "ABORT").optional(),
        ]),
    server("slowlog", -2, connection::container)
        .doc(
            "2.2.12",
            "Depends on subcommand.",
            "Commands that took long.",
        )
        .subcommands(SLOWLOG),
    server("swapdb", 3, administration::swapdb)
        .flags(&[Flags::WRITE, Flags::FAST])
        .category(Categories::KEYSPACE.and(Categories::DANGEROUS))
        .doc("4.0.0", "O(1)", "Lets two databases change places.")
        .arguments(&[integer("index1"), integer("index2")]),
    server("time", 1, administration::time)
        .flags(&[Flags::LOADING, Flags::STALE, Flags::FAST])
        .tips(&["nondeterministic_output"])
        .doc("2.6.0", "O(1)", "The time, in seconds and microseconds."),
];
