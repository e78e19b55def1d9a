//! `COMMAND`: the table, told to clients.

use alloc::string::String;
use alloc::vec::Vec;

use crate::glob::matches_any_case;
use crate::table::arguments::{Argument, ArgumentKind};
use crate::table::{
    Access, Begin, Categories, Found, KeySpec, Spec, TABLE, commands, find, find_name,
};
use crate::{Arguments, Call, Failure, Flow, Ran};

/// `COMMAND`
pub fn all(call: &mut Call<'_>) -> Ran {
    call.reply.array(commands().len());
    for spec in commands() {
        describe(call, spec);
    }
    Ok(Flow::Done)
}

/// `COMMAND COUNT`
pub fn count(call: &mut Call<'_>) -> Ran {
    call.reply.integer(commands().len() as i64);
    Ok(Flow::Done)
}

/// `COMMAND INFO [name ...]`
pub fn info(call: &mut Call<'_>) -> Ran {
    if call.arguments.len() == 2 {
        return all(call);
    }
    let names = call.arguments.from(2);
    call.reply.array(names.len());
    for name in names {
        match named(name) {
            Some(spec) => describe(call, spec),
            None => call.reply.null_array(),
        }
    }
    Ok(Flow::Done)
}

/// A command or, written `container|name`, a subcommand.
fn named(name: &[u8]) -> Option<&'static Spec> {
    let split = name.iter().position(|&byte| byte == b'|');
    let found = match split {
        None => find_name(name).map_or(Found::Unknown, Found::Entry),
        Some(split) => find(&name[..split], Some(&name[split + 1..])),
    };
    match found {
        Found::Entry(index) => Some(&TABLE[usize::from(index)]),
        Found::UnknownSubcommand(_) | Found::Unknown => None,
    }
}

/// The ten elements of a command, as routers want them.
fn describe(call: &mut Call<'_>, spec: &Spec) {
    let reply = &mut call.reply;
    reply.array(10);
    reply.bulk_str(spec.name);
    reply.integer(i64::from(spec.arity));
    simple_set(call, spec.flags.names());
    let reply = &mut call.reply;
    for number in [spec.keys.first, spec.keys.last, spec.keys.step] {
        reply.integer(i64::from(number));
    }
    simple_set(call, spec.all_categories().names());
    let reply = &mut call.reply;
    reply.set(spec.tips.len());
    for tip in spec.tips {
        reply.bulk_str(tip);
    }
    reply.set(spec.key_specs.len());
    for key_spec in spec.key_specs {
        describe_keys(call, key_spec);
    }
    call.reply.set(spec.subcommands.len());
    for subcommand in spec.subcommands {
        describe(call, subcommand);
    }
}

fn simple_set(call: &mut Call<'_>, names: impl Iterator<Item = &'static str>) {
    let names: Vec<_> = names.collect();
    call.reply.array(names.len());
    for name in names {
        call.reply.simple(name);
    }
}

fn describe_keys(call: &mut Call<'_>, spec: &KeySpec) {
    call.reply.map(3);
    call.reply.bulk_str("flags");
    simple_set(call, spec.access.names());
    let reply = &mut call.reply;
    reply.bulk_str("begin_search");
    reply.map(2);
    reply.bulk_str("type");
    match spec.begin {
        Begin::Index(index) => {
            reply.bulk_str("index");
            reply.bulk_str("spec");
            reply.map(1);
            reply.bulk_str("index");
            reply.integer(i64::from(index));
        }
        Begin::Keyword(word, from) => {
            reply.bulk_str("keyword");
            reply.bulk_str("spec");
            reply.map(2);
            reply.bulk_str("keyword");
            reply.bulk_str(word);
            reply.bulk_str("startfrom");
            reply.integer(i64::from(from));
        }
    }
    reply.bulk_str("find_keys");
    reply.map(2);
    reply.bulk_str("type");
    reply.bulk_str("range");
    reply.bulk_str("spec");
    reply.map(3);
    for (name, number) in [
        ("lastkey", i64::from(spec.last)),
        ("keystep", i64::from(spec.step)),
        ("limit", 0),
    ] {
        reply.bulk_str(name);
        reply.integer(number);
    }
}

/// `COMMAND DOCS [name ...]`
pub fn docs(call: &mut Call<'_>) -> Ran {
    let specs: Vec<&Spec> = if call.arguments.len() == 2 {
        commands().iter().collect()
    } else {
        call.arguments.from(2).filter_map(named).collect()
    };
    call.reply.map(specs.len());
    for spec in specs {
        document(call, spec);
    }
    Ok(Flow::Done)
}

fn document(call: &mut Call<'_>, spec: &Spec) {
    let doc_flags: Vec<_> = spec.doc_flags.names().collect();
    let optional = [
        !doc_flags.is_empty(),
        !spec.replaced_by.is_empty(),
        !spec.arguments.is_empty(),
        !spec.subcommands.is_empty(),
    ];
    let reply = &mut call.reply;
    reply.bulk_str(spec.name);
    reply.map(4 + optional.iter().filter(|is| **is).count());
    for (name, text) in [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.name()),
        ("complexity", spec.complexity),
    ] {
        reply.bulk_str(name);
        reply.bulk_str(text);
    }
    if !doc_flags.is_empty() {
        reply.bulk_str("doc_flags");
        simple_set(call, spec.doc_flags.names());
    }
    if !spec.replaced_by.is_empty() {
        call.reply.bulk_str("replaced_by");
        call.reply.bulk_str(spec.replaced_by);
    }
    if !spec.arguments.is_empty() {
        call.reply.bulk_str("arguments");
        document_arguments(call, spec.arguments);
    }
    if !spec.subcommands.is_empty() {
        call.reply.bulk_str("subcommands");
        call.reply.map(spec.subcommands.len());
        for subcommand in spec.subcommands {
            document(call, subcommand);
        }
    }
}

fn document_arguments(call: &mut Call<'_>, arguments: &[Argument]) {
    call.reply.array(arguments.len());
    for argument in arguments {
        let flags: Vec<&str> = [
            (argument.optional, "optional"),
            (argument.multiple, "multiple"),
        ]
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| *name)
        .collect();
        let key = match argument.kind {
            ArgumentKind::Key(index) => Some(index),
            ArgumentKind::String
            | ArgumentKind::Integer
            | ArgumentKind::Double
            | ArgumentKind::Pattern
            | ArgumentKind::UnixTime
            | ArgumentKind::PureToken
            | ArgumentKind::OneOf
            | ArgumentKind::Block => None,
        };
        let optional = [
            key.is_some(),
            !argument.token.is_empty(),
            !flags.is_empty(),
            !argument.within.is_empty(),
        ];
        let reply = &mut call.reply;
        reply.map(2 + optional.iter().filter(|is| **is).count());
        reply.bulk_str("name");
        reply.bulk_str(argument.name);
        reply.bulk_str("type");
        reply.bulk_str(argument.kind.name());
        if let Some(index) = key {
            reply.bulk_str("key_spec_index");
            reply.integer(i64::from(index));
        }
        if !argument.token.is_empty() {
            reply.bulk_str("token");
            reply.bulk_str(argument.token);
        }
        if !flags.is_empty() {
            reply.bulk_str("flags");
            reply.set(flags.len());
            for flag in &flags {
                reply.simple(flag);
            }
        }
        if !argument.within.is_empty() {
            reply.bulk_str("arguments");
            document_arguments(call, argument.within);
        }
    }
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
pub fn list(call: &mut Call<'_>) -> Ran {
    let arguments = call.arguments;
    let names: Vec<&str> = match arguments.len() {
        2 => commands().iter().map(|spec| spec.name).collect(),
        5 if arguments.is(2, "FILTERBY") && arguments.is(3, "MODULE") => Vec::new(),
        5 if arguments.is(2, "FILTERBY") && arguments.is(3, "ACLCAT") => {
            in_category(arguments.at(4))
        }
        5 if arguments.is(2, "FILTERBY") && arguments.is(3, "PATTERN") => TABLE
            .iter()
            .map(|spec| spec.name)
            .filter(|name| matches_any_case(arguments.at(4), name.as_bytes()))
            .collect(),
        _ => return Err(Failure::Syntax),
    };
    call.reply.set(names.len());
    for name in names {
        call.reply.bulk_str(name);
    }
    Ok(Flow::Done)
}

fn in_category(name: &[u8]) -> Vec<&'static str> {
    let category = Categories::ALL
        .iter()
        .find(|(_, text)| name.eq_ignore_ascii_case(&text.as_bytes()[1..]));
    let Some((category, _)) = category else {
        return Vec::new();
    };
    let specs = TABLE.iter();
    specs
        .filter(|spec| spec.all_categories().has(*category))
        .map(|spec| spec.name)
        .collect()
}

/// `COMMAND GETKEYS command [arg ...]`
pub fn getkeys(call: &mut Call<'_>) -> Ran {
    let keys = keys_of(call)?;
    call.reply.array(keys.len());
    for (key, _) in keys {
        call.reply.bulk(key);
    }
    Ok(Flow::Done)
}

/// `COMMAND GETKEYSANDFLAGS command [arg ...]`
pub fn getkeysandflags(call: &mut Call<'_>) -> Ran {
    let keys = keys_of(call)?;
    call.reply.array(keys.len());
    for (key, access) in keys {
        call.reply.array(2);
        call.reply.bulk(key);
        simple_set(call, access.names());
    }
    Ok(Flow::Done)
}

/// The keys of the command in the arguments after the subcommand.
fn keys_of<'a>(call: &Call<'a>) -> Result<Vec<(&'a [u8], Access)>, Failure> {
    let inner = call.arguments.skip(2);
    let Found::Entry(index) = find(inner.at(0), inner.get(1)) else {
        return Err(Failure::text("ERR Invalid command specified"));
    };
    let spec = &TABLE[usize::from(index)];
    if spec.key_specs.is_empty() {
        return Err(Failure::text("ERR The command has no key arguments"));
    }
    if !crate::dispatch::arity_fits(spec.arity, inner.len()) {
        return Err(Failure::text(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let keys: Vec<_> = spec
        .key_specs
        .iter()
        .flat_map(|key_spec| {
            key_spec
                .indices(inner)
                .map(move |index| (inner.at(index), key_spec.access))
        })
        .collect();
    if keys.is_empty() {
        return Err(Failure::text("ERR Invalid arguments specified for command"));
    }
    Ok(keys)
}

impl KeySpec {
    /// The indices of these keys in a command.
    pub fn indices(&self, arguments: Arguments<'_>) -> impl Iterator<Item = usize> + use<> {
        let words = arguments.len();
        let first = match self.begin {
            Begin::Index(index) => usize::from(index),
            Begin::Keyword(word, from) => (usize::from(from)..words)
                .find(|&index| arguments.is(index, word))
                .map_or(words, |index| index + 1),
        };
        let last = if self.last >= 0 {
            first + self.last as usize
        } else {
            words.saturating_sub(self.last.unsigned_abs().into())
        };
        (first..words.min(last + 1)).step_by(usize::from(self.step).max(1))
    }
}

/// The documentation of all commands, a list with a heading for each group: what `docs/commands.md` is made of.
#[must_use]
pub fn manual() -> String {
    let (mut page, mut group) = (String::new(), None);
    for spec in commands() {
        if group != Some(spec.group) {
            let space = if group.is_some() { "\n" } else { "" };
            page.push_str(&alloc::format!("{space}## {}\n\n", spec.group.name()));
            group = Some(spec.group);
        }
        let name = spec.name.to_ascii_uppercase();
        page.push_str(&manual_line("", &name, spec));
        for sub in spec.subcommands {
            let name = alloc::format!("{name} {}", sub.own_name().to_ascii_uppercase());
            page.push_str(&manual_line("  ", &name, sub));
        }
    }
    page
}

fn manual_line(indent: &str, name: &str, spec: &Spec) -> String {
    let syntax = crate::table::arguments::syntax(spec.arguments);
    let whole = alloc::format!("{name} {syntax}");
    let deprecated = if spec.replaced_by.is_empty() {
        String::new()
    } else {
        alloc::format!(" Old; use {}.", spec.replaced_by)
    };
    alloc::format!(
        "{indent}- `{}`: {}{deprecated}\n",
        whole.trim_end(),
        spec.summary
    )
}
