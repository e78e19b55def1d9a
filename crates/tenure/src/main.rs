//! The `tenure` command line.

mod cluster;
mod dev;
mod doctor;
mod http;
mod meta;
mod serve;

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use bench::BenchArgs;
use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};

/// Where a usage error leaves: as `getopt` programs do.
const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  tenure serve                                     on 127.0.0.1:6379, data in ./tenure-data
  tenure serve --memory 2GiB --sync always         acknowledge a write when it is on disk
  TENURE_PASSWORD=... tenure serve --listen 0.0.0.0:6379
  tenure serve --config /etc/tenure.toml --print-config
  tenure dev                                       a cluster of three nodes on this machine
  tenure cluster status                            is a cluster well?
  tenure bench --help                              put load on a server and measure it
";

fn main() -> ExitCode {
    let command = Command::new("tenure")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A session-state server that speaks the Redis protocol, and holds sessions")
        .after_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve::command())
        .subcommand(dev::command())
        .subcommand(doctor::command())
        .subcommand(cluster::command())
        .subcommand(meta::command())
        .subcommand(BenchArgs::augment_args(Command::new("bench")));
    let matches = match command.try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("dev", matches)) => dev::run(matches),
        Some(("doctor", matches)) => doctor::run(matches),
        Some(("cluster", matches)) => cluster::run(matches),
        Some(("meta", matches)) => meta::run(matches),
        Some(("bench", matches)) => run_bench(matches),
        Some(_) | None => unreachable!("clap knows every subcommand and demands one"),
    }
}

fn run_bench(matches: &ArgMatches) -> ExitCode {
    let args = match BenchArgs::from_arg_matches(matches) {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    match bench::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format_args!("{error:#}")),
    }
}

/// Shows what clap has to say: help, version, or what is wrong with the arguments.
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody may be listening, which is no reason for another error.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
}

/// Lines on standard output. Nobody may be listening.
fn say(text: &dyn Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// One line on standard error, and on it goes.
fn warn(why: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "tenure: {why}");
}

/// One line on standard error.
fn fail(error: &dyn Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "tenure: {error}");
    ExitCode::FAILURE
}
