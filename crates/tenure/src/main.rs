//! The `tenure` command line.

mod serve;

use std::process::ExitCode;

use clap::Command;

/// Where a usage error leaves: as `getopt` programs do.
const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  tenure serve                                     on 127.0.0.1:6379, data in ./tenure-data
  tenure serve --memory 2GiB --sync always         acknowledge a write when it is on disk
  TENURE_PASSWORD=... tenure serve --listen 0.0.0.0:6379
  tenure serve --config /etc/tenure.toml --print-config
";

fn main() -> ExitCode {
    let command = Command::new("tenure")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A session-state server that speaks the Redis protocol, and holds sessions")
        .after_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve::command());
    let matches = match command.try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // Nobody may be listening, which is no reason for another error.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(_) | None => unreachable!("clap knows every subcommand and demands one"),
    }
}
