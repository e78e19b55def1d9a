//! Commands on the connection that they arrive on.

use super::arguments::{Argument, block, integer, one_of, string, word};
use super::spec::{Categories, Flags, Group, Spec};
use crate::{Call, Ran, clients, connection};

type Handler = fn(&mut Call<'_>) -> Ran;

const ALWAYS: &[Flags] = &[Flags::NOSCRIPT, Flags::LOADING, Flags::STALE];
const ON_OR_OFF: Argument = one_of("enabled", &[word("on", "ON"), word("off", "OFF")]);
const CREDENTIALS: Argument =
    block("auth", &[string("username"), string("password")]).after("AUTH");

const fn client(name: &'static str, arity: i8, handler: Handler) -> Spec {
    Spec::new(name, arity, Group::Connection, handler).flags(ALWAYS)
}

const fn for_operators(spec: Spec) -> Spec {
    spec.flags(&[Flags::ADMIN])
}

const CLIENT_FILTERS: &[Argument] = &[
    integer("client-id").after("ID").optional(),
    one_of(
        "client-type",
        &[
            word("normal", "NORMAL"),
            word("master", "MASTER"),
            word("slave", "SLAVE"),
            word("replica", "REPLICA"),
            word("pubsub", "PUBSUB"),
        ],
    )
    .after("TYPE")
    .optional(),
    string("username").after("USER").optional(),
    string("ip:port").after("ADDR").optional(),
    string("ip:port").after("LADDR").optional(),
    one_of("skipme", &[word("yes", "YES"), word("no", "NO")])
        .after("SKIPME")
        .optional(),
    integer("maxage").after("MAXAGE").optional(),
];

const CLIENT: &[Spec] = &[
    client("client|caching", 3, clients::caching)
        .doc(
            "6.0.0",
            "O(1)",
            "Refused: the server tracks no keys for clients.",
        )
        .arguments(&[one_of("mode", &[word("yes", "YES"), word("no", "NO")])]),
    client("client|getname", 2, clients::getname).doc(
        "2.6.9",
        "O(1)",
        "The name of this connection.",
    ),
    client("client|getredir", 2, clients::getredir).doc(
        "6.0.0",
        "O(1)",
        "Where invalidations of this connection go: nowhere.",
    ),
    Spec::new("client|help", 2, Group::Connection, connection::help)
        .flags(&[Flags::LOADING, Flags::STALE])
        .doc("5.0.0", "O(1)", "These lines."),
    client("client|id", 2, clients::id).doc("5.0.0", "O(1)", "The number of this connection."),
    client("client|info", 2, clients::info)
        .tips(&["nondeterministic_output"])
        .doc(
            "6.2.0",
            "O(1)",
            "What CLIENT LIST says about this connection.",
        ),
    for_operators(client("client|kill", -3, clients::kill))
        .doc("2.4.0", "O(N) in connections", "Closes connections.")
        .arguments(&[one_of(
            "filter",
            &[
                string("ip:port"),
                block("new-format", CLIENT_FILTERS).multiple(),
            ],
        )]),
    for_operators(client("client|list", -2, clients::list))
        .tips(&["nondeterministic_output"])
        .doc(
            "2.4.0",
            "O(N) in connections",
            "All connections, a line each.",
        )
        .arguments(&[
            one_of(
                "client-type",
                &[
                    word("normal", "NORMAL"),
                    word("master", "MASTER"),
                    word("replica", "REPLICA"),
                    word("pubsub", "PUBSUB"),
                ],
            )
            .after("TYPE")
            .optional(),
            integer("client-id").after("ID").optional().multiple(),
        ]),
    client(
        "client|maint_notifications",
        -3,
        clients::maint_notifications,
    )
    .doc(
        "0.1.0",
        "O(1)",
        "Whether this connection is pushed what is planned with the node, and what has moved, in a cluster.",
    )
    .arguments(&[
        ON_OR_OFF,
        string("type").after("MOVING-ENDPOINT-TYPE").optional(),
    ]),
    for_operators(client("client|no-evict", 3, clients::no_evict))
        .doc(
            "7.0.0",
            "O(1)",
            "Accepted: no connection is ever closed to save memory for others.",
        )
        .arguments(&[ON_OR_OFF]),
    client("client|no-touch", 3, clients::no_touch)
        .doc(
            "7.2.0",
            "O(1)",
            "Accepted: nothing is evicted, so no reads are counted.",
        )
        .arguments(&[ON_OR_OFF]),
    for_operators(client("client|pause", -3, clients::pause))
        .doc(
            "3.0.0",
            "O(1)",
            "Lets commands of all connections wait for a while.",
        )
        .arguments(&[
            integer("timeout"),
            one_of("mode", &[word("write", "WRITE"), word("all", "ALL")]).optional(),
        ]),
    client("client|reply", 3, clients::reply)
        .doc("3.2.0", "O(1)", "Whether this connection is sent replies.")
        .arguments(&[one_of(
            "action",
            &[word("on", "ON"), word("off", "OFF"), word("skip", "SKIP")],
        )]),
    client("client|setinfo", 4, clients::setinfo)
        .doc("7.2.0", "O(1)", "Names the library of this connection.")
        .arguments(&[one_of(
            "attr",
            &[
                string("libname").after("LIB-NAME"),
                string("libver").after("LIB-VER"),
            ],
        )]),
    client("client|setname", 3, clients::setname)
        .doc("2.6.9", "O(1)", "Names this connection.")
        .arguments(&[string("connection-name")]),
    client("client|tracking", -3, clients::tracking)
        .doc(
            "6.0.0",
            "O(1)",
            "OFF is accepted; ON is refused: the server tracks no keys for clients.",
        )
        .arguments(&[ON_OR_OFF]),
    client("client|trackinginfo", 2, clients::trackinginfo).doc(
        "6.2.0",
        "O(1)",
        "What is tracked for this connection: nothing.",
    ),
    for_operators(client("client|unblock", -3, clients::unblock))
        .doc("5.0.0", "O(1)", "Ends the wait of a connection's command.")
        .arguments(&[
            integer("client-id"),
            one_of(
                "unblock-type",
                &[word("timeout", "TIMEOUT"), word("error", "ERROR")],
            )
            .optional(),
        ]),
    for_operators(client("client|unpause", 2, clients::unpause)).doc(
        "6.2.0",
        "O(N) in waiting connections",
        "Ends a pause.",
    ),
];

pub(super) const SPECS: &[Spec] = &[
    Spec::new("auth", -2, Group::Connection, connection::auth)
        .flags(ALWAYS)
        .flags(&[
            Flags::FAST,
            Flags::NO_AUTH,
            Flags::ALLOW_BUSY,
            Flags::SKIP_SLOWLOG,
        ])
        .doc(
            "1.0.0",
            "O(1)",
            "Proves that the connection may run commands.",
        )
        .arguments(&[string("username").optional(), string("password")]),
    Spec::new("client", -2, Group::Connection, connection::container)
        .only_categories(Categories::NONE)
        .doc("2.4.0", "Depends on subcommand.", "Connections.")
        .subcommands(CLIENT),
    Spec::new("echo", 2, Group::Connection, connection::echo)
        .flags(&[Flags::LOADING, Flags::STALE, Flags::FAST])
        .doc("1.0.0", "O(1)", "The message that was sent.")
        .arguments(&[string("message")]),
    Spec::new("hello", -1, Group::Connection, connection::hello)
        .flags(ALWAYS)
        .flags(&[
            Flags::FAST,
            Flags::NO_AUTH,
            Flags::ALLOW_BUSY,
            Flags::SKIP_SLOWLOG,
        ])
        .doc(
            "6.0.0",
            "O(1)",
            "Agrees on the protocol, and who talks to whom.",
        )
        .arguments(&[block(
            "arguments",
            &[
                integer("protover"),
                CREDENTIALS.optional(),
                string("clientname").after("SETNAME").optional(),
            ],
        )
        .optional()]),
    Spec::new("ping", -1, Group::Connection, connection::ping)
        .flags(&[Flags::FAST])
        .doc("1.0.0", "O(1)", "PONG, or the message that was sent.")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .arguments(&[string("message").optional()]),
    Spec::new("quit", -1, Group::Connection, connection::quit)
        .flags(ALWAYS)
        .flags(&[Flags::FAST, Flags::NO_AUTH, Flags::ALLOW_BUSY])
        .doc("1.0.0", "O(1)", "Closes the connection after its replies."),
    Spec::new("reset", 1, Group::Connection, connection::reset)
        .flags(ALWAYS)
        .flags(&[Flags::FAST, Flags::NO_AUTH, Flags::ALLOW_BUSY])
        .doc("6.2.0", "O(1)", "Makes the connection as if it were new."),
    Spec::new("select", 2, Group::Connection, connection::select)
        .flags(&[Flags::LOADING, Flags::STALE, Flags::FAST])
        .doc("1.0.0", "O(1)", "Chooses the database of the connection.")
        .arguments(&[integer("index")]),
];
