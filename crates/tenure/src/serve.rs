//! `tenure serve`: the options are the configuration's keys.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::fail;
use clap::{Arg, ArgAction, ArgMatches, Command};
use server::config::{Config, ConfigError, KEYS, Key, Sources};

const AFTER: &str = "\
Each option can also be a line of the file given with --config (`memory = \"2GiB\"`) or an environment variable
(TENURE_MEMORY=2GiB). Later wins: defaults, file, environment, options. docs/configuration.md explains each key.

Examples:
  tenure serve --listen 127.0.0.1:0                let the system choose a port; the ready line says which
  tenure serve --dir /var/lib/tenure --memory 75%
  tenure serve --config tenure.toml --print-config show what would be used, and where it differs from the defaults
";

/// The subcommand.
pub fn command() -> Command {
    let print = Arg::new("print-config")
        .long("print-config")
        .action(ArgAction::SetTrue)
        .help("Print the configuration that would be used, as a file, and exit");
    with_options(Command::new("serve"))
        .about("Run a server")
        .after_help(AFTER)
        .arg(print)
}

/// Adds an option for each key, and one for the file.
pub fn with_options(command: Command) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Configuration file (TOML); also TENURE_CONFIG");
    command.args(KEYS.iter().map(option)).arg(config)
}

fn option(key: &'static Key) -> Arg {
    let help = if key.default.is_empty() {
        key.summary.to_owned()
    } else {
        format!("{} [default: {}]", key.summary, key.default)
    };
    let option = Arg::new(key.name)
        .long(key.name)
        .value_name(key.value)
        .help(help)
        .allow_hyphen_values(true)
        .overrides_with(key.name);
    if key.value == "true|false" {
        option.num_args(0..=1).default_missing_value("true")
    } else {
        option
    }
}

/// The configuration that these options, the file and the environment give.
pub fn load(matches: &ArgMatches) -> Result<Config, ConfigError> {
    let flag = |key: &Key| {
        let value: &String = matches.get_one(key.name)?;
        Some((key.name.to_owned(), value.clone()))
    };
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Config::load(&Sources {
        file: matches.get_one("config").cloned(),
        environment: std::env::vars_os().filter_map(text).collect(),
        flags: KEYS.iter().filter_map(flag).collect(),
    })
}

/// Runs it. The exit code is 0 after a shutdown, 1 if the server cannot start.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let config = match load(matches) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    if matches.get_flag("print-config") {
        // A closed pipe is no error worth a word.
        let _ = std::io::stdout().write_all(config.to_toml().as_bytes());
        return ExitCode::SUCCESS;
    }
    match server::serve(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}
