//! `tenure doctor`: shows what will get in a server's way.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::{fail, say, serve};

/// The subcommand. It takes what `serve` takes, and looks at what that would meet.
pub fn command() -> Command {
    serve::with_options(Command::new("doctor"))
        .about("Check this machine, and the metadata store, for what will get in a server's way")
        .after_help("Takes the options, the file and the environment of `tenure serve`. Exit code 1 if anything should be changed.")
}

/// Runs it.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let config = match serve::load(matches) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    let mut is_well = true;
    for finding in server::doctor::examine(&config) {
        let mark = if finding.advice.is_some() { "!" } else { "ok" };
        say(&format_args!(
            "{mark:<2} {:<26} {}",
            finding.what, finding.found
        ));
        if let Some(advice) = finding.advice {
            is_well = false;
            say(&format_args!("   {advice}"));
        }
    }
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
