//! Commands on sessions.

use super::arguments::{Argument, KEY, block, integer, string, word};
use super::spec::{Access, Begin, Categories, Flags, Group, KeySpec, Keys, Spec};
use crate::session;

const fn key_spec(access: Access) -> KeySpec {
    KeySpec {
        begin: Begin::Index(1),
        last: 0,
        step: 1,
        access,
    }
}

const READS: &[KeySpec] = &[key_spec(Access::RO.and(Access::ACCESS))];
const UPDATES: &[KeySpec] = &[key_spec(Access::RW.and(Access::ACCESS).and(Access::UPDATE))];
const REMOVES: &[KeySpec] = &[key_spec(Access::RM.and(Access::DELETE))];
/// The id that `CREATE` may be given.
const NEW_ID: &[KeySpec] = &[KeySpec {
    begin: Begin::Keyword("ID", 1),
    last: 0,
    step: 1,
    access: Access::OW.and(Access::INSERT),
}];

const USER: Argument = string("user").after("USER").optional();
const IDLE: Argument = integer("idle-ms").after("IDLE").optional();
const MAX: Argument = integer("max-ms").after("MAX").optional();
const PAIRS: Argument = block("pair", &[string("field"), string("value")]).multiple();
const FIELDS: Argument = string("field").multiple();
const SET: Argument = block("set", &[integer("numfields"), PAIRS])
    .after("SET")
    .optional();
const DEL: Argument = block("del", &[integer("numfields"), FIELDS])
    .after("DEL")
    .optional();
const DATA: Argument = string("blob").after("DATA").optional();
const FENCE: Argument = integer("fence").after("FENCE").optional();

/// All of them write, if only a deadline, and all of them check holds themselves.
const fn spec(
    name: &'static str,
    arity: i8,
    handler: fn(&mut crate::Call<'_>) -> crate::Ran,
) -> Spec {
    Spec::new(name, arity, Group::Session, handler).flags(&[Flags::WRITE, Flags::HOLDS])
}

pub(super) const SPECS: &[Spec] = &[
    spec("session.create", -1, session::create)
        .flags(&[Flags::DENYOOM, Flags::MOVABLE_KEYS])
        .keys(Keys::NONE, NEW_ID)
        .doc(
            "0.1.0",
            "O(N) for N fields",
            "Makes a session, with an id of the server's if none is given.",
        )
        .arguments(&[
            super::arguments::key("id", 0).after("ID").optional(),
            USER,
            IDLE,
            MAX,
            integer("hold-ms").after("HOLD").optional(),
            block("fields", &[integer("numfields"), PAIRS])
                .after("FIELDS")
                .optional(),
        ]),
    spec("session.open", -2, session::open)
        .flags(&[Flags::DENYOOM, Flags::BLOCKING])
        .keys(Keys::ONE, UPDATES)
        .doc(
            "0.1.0",
            "O(N) for N fields",
            "Opens a session, exclusively with HOLD, and moves its idle deadline.",
        )
        .arguments(&[
            KEY,
            block(
                "hold",
                &[
                    integer("hold-ms").after("HOLD"),
                    integer("wait-ms").after("WAIT").optional(),
                ],
            )
            .optional(),
            word("create", "CREATE").optional(),
            USER,
            IDLE,
            MAX,
        ]),
    spec("session.read", -2, session::read)
        .keys(Keys::ONE, READS)
        .doc(
            "0.1.0",
            "O(N) for N fields",
            "Reads a session, held or not.",
        )
        .arguments(&[
            KEY,
            block("fields", &[integer("numfields"), FIELDS])
                .after("FIELDS")
                .optional(),
            word("touch", "TOUCH").optional(),
        ]),
    spec("session.commit", -3, session::commit)
        .flags(&[Flags::DENYOOM])
        .keys(Keys::ONE, UPDATES)
        .doc(
            "0.1.0",
            "O(N) for N fields",
            "Changes a session under a hold and, unless it is kept, ends the hold. Safe to repeat.",
        )
        .arguments(&[
            KEY,
            integer("fence"),
            SET,
            DEL,
            DATA,
            IDLE,
            integer("keep-ms").after("KEEP").optional(),
        ]),
    spec("session.write", -4, session::write)
        .flags(&[Flags::DENYOOM])
        .keys(Keys::ONE, UPDATES)
        .doc(
            "0.1.0",
            "O(N) for N fields",
            "Changes a session that nobody holds, if it still has this version.",
        )
        .arguments(&[KEY, integer("version").after("VERSION"), SET, DEL, DATA]),
    spec("session.renew", 4, session::renew)
        .flags(&[Flags::FAST])
        .keys(Keys::ONE, UPDATES)
        .doc(
            "0.1.0",
            "O(log N) for N holds",
            "Lets a hold last for so long from now.",
        )
        .arguments(&[KEY, integer("fence"), integer("hold-ms")]),
    spec("session.release", 3, session::release)
        .flags(&[Flags::FAST])
        .keys(Keys::ONE, UPDATES)
        .doc(
            "0.1.0",
            "O(log N) for N holds",
            "Ends a hold without changing the session.",
        )
        .arguments(&[KEY, integer("fence")]),
    spec("session.touch", -2, session::touch)
        .flags(&[Flags::FAST])
        .keys(Keys::ONE, UPDATES)
        .doc("0.1.0", "O(1)", "Moves a session's idle deadline.")
        .arguments(&[KEY, IDLE]),
    spec("session.break", 2, session::r#break)
        .flags(&[Flags::ADMIN, Flags::FAST])
        .category(Categories::DANGEROUS)
        .keys(Keys::ONE, UPDATES)
        .doc(
            "0.1.0",
            "O(log N) for N holds",
            "Ends a hold, whoever has it; the next in line gets it.",
        )
        .arguments(&[KEY]),
    spec("session.destroy", -2, session::destroy)
        .keys(Keys::ONE, REMOVES)
        .doc(
            "0.1.0",
            "O(N) for N chunks of a large session, and those who wait for it",
            "Destroys a session, whoever holds it.",
        )
        .arguments(&[KEY, FENCE]),
    spec("session.rotate", -2, session::rotate)
        .flags(&[Flags::DENYOOM])
        .keys(Keys::ONE, UPDATES)
        .doc(
            "0.1.0",
            "O(N) for N bytes",
            "Gives a session another id; the old one answers for a grace period.",
        )
        .arguments(&[KEY, FENCE, integer("grace-ms").after("GRACE").optional()]),
    Spec::new("session.info", 2, Group::Session, session::info)
        .flags(&[Flags::READONLY, Flags::FAST])
        .keys(Keys::ONE, READS)
        .doc(
            "0.1.0",
            "O(1)",
            "What there is to know of a session besides its value.",
        )
        .arguments(&[KEY]),
    Spec::new("session.list", -3, Group::Session, session::list)
        .flags(&[Flags::READONLY])
        .doc(
            "0.1.0",
            "O(log M + N) for N of M sessions",
            "Ids of a user's sessions.",
        )
        .arguments(&[
            string("user").after("USER"),
            string("cursor").after("CURSOR").optional(),
            integer("count").after("COUNT").optional(),
        ]),
    spec("session.revoke", -3, session::revoke)
        .doc(
            "0.1.0",
            "O(N) for N sessions",
            "Destroys all sessions of a user, except one if it is named.",
        )
        .arguments(&[
            string("user").after("USER"),
            string("except").after("EXCEPT").optional(),
        ]),
];
