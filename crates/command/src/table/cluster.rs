//! Commands of clients of Redis Cluster.

use super::arguments::{Argument, block, integer, one_of, string, word};
use super::spec::{Categories, Flags, Group, Spec};
use crate::{Call, Ran, cluster, connection};

type Handler = fn(&mut Call<'_>) -> Ran;

const VOLATILE: &[&str] = &["nondeterministic_output"];

const fn question(name: &'static str, arity: i8, handler: Handler) -> Spec {
    Spec::new(name, arity, Group::Cluster, handler).flags(&[Flags::STALE])
}

const fn for_operators(name: &'static str, arity: i8, handler: Handler) -> Spec {
    question(name, arity, handler).flags(&[Flags::ADMIN])
}

/// What shapes a Redis Cluster by hand.
const fn by_hand(name: &'static str, arity: i8, since: &'static str) -> Spec {
    for_operators(name, arity, cluster::by_hand).doc(
        since,
        "O(1)",
        "Refused: the coordinator shapes the cluster; the error names the command that does it.",
    )
}

const fn of_connection(name: &'static str, handler: Handler) -> Spec {
    question(name, 1, handler)
        .flags(&[Flags::LOADING, Flags::FAST])
        .category(Categories::CONNECTION)
}

const NODE: &[Argument] = &[string("node-id")];
const SLOTS: &[Argument] = &[integer("slot").multiple()];
const SLOT_RANGES: &[Argument] =
    &[block("range", &[integer("start-slot"), integer("end-slot")]).multiple()];

const CLUSTER: &[Spec] = &[
    by_hand("cluster|addslots", -3, "3.0.0").arguments(SLOTS),
    by_hand("cluster|addslotsrange", -4, "7.0.0").arguments(SLOT_RANGES),
    by_hand("cluster|bumpepoch", 2, "3.0.0").tips(VOLATILE),
    for_operators("cluster|count-failure-reports", 3, cluster::count_failure_reports)
        .tips(VOLATILE)
        .doc(
            "3.0.0",
            "O(1)",
            "1 for a node that is believed to be dead, else 0: the coordinator's court decides, reports are not kept.",
        )
        .arguments(NODE),
    question("cluster|countkeysinslot", 3, cluster::count_keys_in_slot)
        .doc(
            "3.0.0",
            "O(N) in keys of the node",
            "How many keys of the connection's database a slot has, counted one by one.",
        )
        .arguments(&[integer("slot")]),
    by_hand("cluster|delslots", -3, "3.0.0").arguments(SLOTS),
    by_hand("cluster|delslotsrange", -4, "7.0.0").arguments(SLOT_RANGES),
    by_hand("cluster|failover", -2, "3.0.0").arguments(&[one_of(
        "options",
        &[word("force", "FORCE"), word("takeover", "TAKEOVER")],
    )
    .optional()]),
    by_hand("cluster|flushslots", 2, "3.0.0"),
    by_hand("cluster|forget", 3, "3.0.0").arguments(NODE),
    question("cluster|getkeysinslot", 4, cluster::get_keys_in_slot)
        .tips(VOLATILE)
        .doc(
            "3.0.0",
            "O(N) in keys of the node",
            "Some keys of a slot, looked for one by one.",
        )
        .arguments(&[integer("slot"), integer("count")]),
    Spec::new("cluster|help", 2, Group::Cluster, cluster::help)
        .flags(&[Flags::LOADING, Flags::STALE])
        .doc("5.0.0", "O(1)", "These lines."),
    question("cluster|info", 2, cluster::info)
        .tips(VOLATILE)
        .doc("3.0.0", "O(N) in shards", "Whether all slots are served, and some numbers."),
    question("cluster|keyslot", 3, cluster::keyslot)
        .doc("3.0.0", "O(N) in bytes", "The slot of a key.")
        .arguments(&[string("key")]),
    question("cluster|links", 2, cluster::links)
        .tips(VOLATILE)
        .doc(
            "7.0.0",
            "O(N) in nodes",
            "The links to other nodes; their buffers are not measured.",
        ),
    by_hand("cluster|meet", -4, "3.0.0").arguments(&[
        string("ip"),
        integer("port"),
        integer("cluster-bus-port").optional(),
    ]),
    question("cluster|myid", 2, cluster::myid).doc("3.0.0", "O(1)", "The number of this node."),
    question("cluster|myshardid", 2, cluster::myid).doc(
        "7.2.0",
        "O(1)",
        "The number of this node: a shard is a range of slots here, and a node holds many.",
    ),
    question("cluster|nodes", 2, cluster::nodes)
        .tips(VOLATILE)
        .doc("3.0.0", "O(N) in shards and nodes", "The nodes, and which slots they lead."),
    for_operators("cluster|replicas", 3, cluster::replicas)
        .tips(VOLATILE)
        .doc(
            "5.0.0",
            "O(N) in shards and nodes",
            "The nodes that lead nothing and stand by for this one.",
        )
        .arguments(NODE),
    by_hand("cluster|replicate", 3, "3.0.0").arguments(NODE),
    by_hand("cluster|reset", -2, "3.0.0")
        .flags(&[Flags::NOSCRIPT])
        .arguments(&[one_of(
            "reset-type",
            &[word("hard", "HARD"), word("soft", "SOFT")],
        )
        .optional()]),
    by_hand("cluster|saveconfig", 2, "3.0.0"),
    by_hand("cluster|set-config-epoch", 3, "3.0.0").arguments(&[integer("config-epoch")]),
    by_hand("cluster|setslot", -4, "3.0.0").arguments(&[
        integer("slot"),
        one_of(
            "subcommand",
            &[
                string("importing").after("IMPORTING"),
                string("migrating").after("MIGRATING"),
                string("node").after("NODE"),
                word("stable", "STABLE"),
            ],
        ),
    ]),
    question("cluster|shards", 2, cluster::shards)
        .tips(VOLATILE)
        .doc("7.0.0", "O(N) in shards", "Ranges of slots, with the nodes that hold them."),
    for_operators("cluster|slaves", 3, cluster::replicas)
        .tips(VOLATILE)
        .doc(
            "3.0.0",
            "O(N) in shards and nodes",
            "The nodes that lead nothing and stand by for this one.",
        )
        .deprecated("CLUSTER REPLICAS")
        .arguments(NODE),
    question("cluster|slots", 2, cluster::slots)
        .tips(VOLATILE)
        .doc(
            "3.0.0",
            "O(N) in shards",
            "Ranges of slots: who leads each, who stands by.",
        ),
];

pub(super) const SPECS: &[Spec] = &[
    Spec::new("asking", 1, Group::Cluster, cluster::acknowledge)
        .flags(&[Flags::FAST])
        .category(Categories::CONNECTION)
        .doc(
            "3.0.0",
            "O(1)",
            "Accepted: no node of ours answers ASK, so there is nothing to allow.",
        ),
    Spec::new("cluster", -2, Group::Cluster, connection::container)
        .doc("3.0.0", "Depends on subcommand.", "The cluster.")
        .subcommands(CLUSTER),
    of_connection("readonly", cluster::acknowledge).doc(
        "3.0.0",
        "O(1)",
        "Accepted: reads are answered by primaries only, so the others go on to answer MOVED.",
    ),
    of_connection("readwrite", cluster::acknowledge).doc(
        "3.0.0",
        "O(1)",
        "Accepted: see READONLY.",
    ),
];
