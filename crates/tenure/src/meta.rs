//! `tenure meta`: keeps the cluster map of a cluster on this machine, and nothing else.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use crate::{fail, say};

/// The subcommand.
pub fn command() -> Command {
    Command::new("meta")
        .about("Keep a cluster's map in a file and serve it to the nodes")
        .after_help(
            "Nodes reach it with --meta tenure://ADDR. Its secret, if any, is TENURE_CLUSTER_SECRET, as theirs.\n\
             One copy, no consensus: for development and single machines. With it down, the cluster serves on as it is.",
        )
        .arg(
            Arg::new("file")
                .long("file")
                .value_name("PATH")
                .default_value("metadata.redb")
                .value_parser(clap::value_parser!(PathBuf))
                .help("The file; it is made if it is not there"),
        )
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDR")
                .default_value("127.0.0.1:7390")
                .help("Where nodes connect; port 0 lets the system choose"),
        )
}

/// Runs it, for ever.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let file: &PathBuf = matches.get_one("file").expect("it has a default");
    let listen: &String = matches.get_one("listen").expect("it has a default");
    let Ok(listen) = listen.parse() else {
        return fail(&format_args!("--listen {listen}: expected address:port"));
    };
    let secret = std::env::var("TENURE_CLUSTER_SECRET").unwrap_or_default();
    let ready = |address| say(&format_args!("tenure meta ready on tenure://{address}"));
    match server::keep_metadata(file, listen, &secret, ready) {
        Ok(never) => match never {},
        Err(error) => fail(&error),
    }
}
