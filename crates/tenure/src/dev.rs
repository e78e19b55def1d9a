//! `tenure dev`: a cluster on this machine, nothing to install; and, from another terminal, what one does to it.
//!
//! ```text
//!   tenure dev ──► tenure meta                 the cluster map
//!       │     ├──► tenure serve --node 1       each in a process of its own, with a folder of its own
//!       │     └──► tenure serve --node 2 ...
//!       ▼
//!   DIR/dev.sock ◄── tenure dev kill 2         one line of JSON asks, one answers
//!   DIR/dev.json                               who runs where, for scripts
//! ```

mod child;
mod control;
mod state;
mod supervisor;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::{fail, say};
use control::{Request, Verb};
use supervisor::Plan;

/// So that the doors of a hundred nodes are ports.
const MAX_PORT: i64 = 65_000;

const EXAMPLES: &str = "\
Examples:
  tenure dev                           three nodes; prints their addresses; Ctrl-C ends all
  tenure dev --nodes 5 --memory 1GiB -- --sync always
                                       what stands behind -- is given to each `tenure serve`
From another terminal (with the same --dir):
  tenure dev status                    who runs where
  tenure dev kill 2                    kill -9; stop 2 (as SIGTERM), pause 2, resume 2, start 2
  tenure dev start 4                   one node more
  tenure dev kill meta                 the cluster map; the nodes serve on
";

/// The subcommand.
pub fn command() -> Command {
    let verbs = Verb::ALL.map(|verb| {
        Command::new(verb.name())
            .about(verb.about())
            .arg(Arg::new("who").value_name("NODE|meta").required(true))
            .arg(dir())
    });
    Command::new("dev")
        .about("Run a cluster on this machine, for development")
        .after_help(EXAMPLES)
        .arg(
            number("nodes", "N", "How many nodes")
                .default_value("3")
                .value_parser(clap::value_parser!(u32).range(1..=64)),
        )
        .arg(
            number(
                "port",
                "P",
                "Where node 1 listens, node 2 on the next port, and so on; the forwarding ports are 100 above, those of \
                 Sentinel 200, those for administration 300; 0: the system chooses",
            )
            .value_parser(clap::value_parser!(u16).range(0..=MAX_PORT))
            .default_value("7001"),
        )
        .arg(number("memory", "SIZE", "Memory of each node").default_value("256MiB"))
        .arg(number("shards", "N", "Into how many shards the slots are divided").default_value("16"))
        .arg(dir())
        .arg(
            Arg::new("more")
                .value_name("OPTIONS")
                .num_args(0..)
                .last(true)
                .help("Further options of each `tenure serve`"),
        )
        .subcommand(Command::new("status").about("Show who runs where").arg(dir()))
        .subcommands(verbs)
}

fn number(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn dir() -> Arg {
    Arg::new("dir")
        .long("dir")
        .value_name("PATH")
        .default_value("./tenure-dev")
        .value_parser(clap::value_parser!(PathBuf))
        .help("The cluster's folder; it is made if it is not there")
}

/// Runs it.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let (verb, inner) = match matches.subcommand() {
        Some(("status", inner)) => (Verb::Status, inner),
        Some((name, inner)) => match Verb::ALL.into_iter().find(|verb| verb.name() == name) {
            Some(verb) => (verb, inner),
            None => unreachable!("clap knows every subcommand"),
        },
        None => return supervise(matches),
    };
    let who = match verb {
        Verb::Status => String::new(),
        Verb::Kill | Verb::Stop | Verb::Start | Verb::Pause | Verb::Resume => {
            inner.get_one::<String>("who").cloned().unwrap_or_default()
        }
    };
    let dir: &PathBuf = inner.get_one("dir").expect("it has a default");
    match control::ask(dir, &Request { verb, who }) {
        Ok(state) => {
            say(&state);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// The first port, or `None` if the system is to choose. What was not asked for by name yields to others on this machine.
fn port(matches: &ArgMatches, nodes: u32) -> Result<Option<u16>, String> {
    let first: u16 = *matches.get_one("port").expect("it has a default");
    if first == 0 {
        return Ok(None);
    }
    let Some(taken) = supervisor::taken(first, nodes) else {
        return Ok(Some(first));
    };
    if matches.value_source("port") == Some(ValueSource::CommandLine) {
        return Err(format!(
            "somebody listens on {taken}: choose another --port, or 0 for any that are free"
        ));
    }
    say(&format_args!(
        "somebody listens on {taken}, so the system chooses the ports"
    ));
    Ok(None)
}

fn supervise(matches: &ArgMatches) -> ExitCode {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let nodes = *matches.get_one("nodes").expect("it has a default");
    let port = match port(matches, nodes) {
        Ok(port) => port,
        Err(error) => return fail(&error),
    };
    let plan = Plan {
        nodes,
        port,
        memory: text("memory").expect("it has a default"),
        shards: text("shards").expect("it has a default"),
        dir: matches
            .get_one::<PathBuf>("dir")
            .cloned()
            .expect("it has a default"),
        more: matches
            .get_many("more")
            .into_iter()
            .flatten()
            .cloned()
            .collect(),
    };
    match supervisor::run(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}
