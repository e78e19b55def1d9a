//! `tenure cluster`: what the cluster looks like, and what an operator may ask of it, over the admin port of any node.

mod show;
mod wait;

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Deserialize;
use server::survey::Survey;

use crate::{fail, http, say};

const EXAMPLES: &str = "\
Examples:
  tenure cluster status                          is it well? exit code 1 if not
  tenure cluster status --admin a:7380,b:7380    of the first of these nodes that answers
  tenure cluster shards --json | jq .            for scripts
  tenure cluster drain 3                         move everything away from node 3; shows how far it is
  tenure cluster forget 3                        remove a node that is gone
  tenure cluster recover 7 --longest             give up what nobody alive has of shard 7; writes a loss report
  tenure cluster acknowledge 7 8                 those losses are seen to: status need not report them any more
Any node can be asked (--admin); commands go to the one that coordinates. TENURE_CLUSTER_SECRET is shown to it.
";

/// The subcommand.
pub fn command() -> Command {
    let number = |value: &'static str| {
        Arg::new("number")
            .value_name(value)
            .required(true)
            .value_parser(clap::value_parser!(u32))
    };
    let shards = || number("SHARD").num_args(1..);
    let no_wait = || {
        Arg::new("no-wait")
            .long("no-wait")
            .action(ArgAction::SetTrue)
            .help("Do not wait until it is done")
    };
    Command::new("cluster")
        .about("Look at a cluster, and command it")
        .after_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            Arg::new("admin")
                .long("admin")
                .value_name("ADDR")
                .global(true)
                .value_delimiter(',')
                .default_value("127.0.0.1:7380")
                .help("The admin port of any node of the cluster; of several (A,B,C) the first that answers is asked"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .global(true)
                .help("One JSON object instead of a table"),
        )
        .subcommand(Command::new("status").about("Whether it is well, in a few lines"))
        .subcommand(Command::new("nodes").about("The nodes"))
        .subcommand(Command::new("shards").about("The shards, and who holds them"))
        .subcommand(
            Command::new("drain")
                .about("Move everything away from a node, so that it can go for good")
                .arg(number("NODE"))
                .arg(no_wait()),
        )
        .subcommand(
            Command::new("undrain")
                .about("Let a node have shards again after all")
                .arg(number("NODE")),
        )
        .subcommand(
            Command::new("rebalance")
                .about("Wait until every copy is complete and nodes carry alike; the cluster sees to it by itself"),
        )
        .subcommand(
            Command::new("forget")
                .about("Remove a node that holds nothing and does not answer")
                .arg(number("NODE")),
        )
        .subcommand(
            Command::new("recover")
                .about("Let shards go on with the longest logs that anybody alive has; what more was acknowledged is lost")
                .arg(shards())
                .arg(
                    Arg::new("longest")
                        .long("longest")
                        .action(ArgAction::SetTrue)
                        .required(true)
                        .help("Says that it is meant: acknowledged writes may be lost"),
                ),
        )
        .subcommand(
            Command::new("acknowledge")
                .about("Remove the reports of what recoveries of shards may have lost, when somebody has seen to it")
                .arg(shards()),
        )
}

/// Runs it.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let Some((name, inner)) = matches.subcommand() else {
        unreachable!("clap demands a subcommand");
    };
    let asker = Asker {
        admins: inner
            .get_many::<String>("admin")
            .expect("it has a default")
            .cloned()
            .collect(),
        json: inner.get_flag("json"),
        secret: std::env::var("TENURE_CLUSTER_SECRET").unwrap_or_default(),
    };
    let number = || *inner.get_one::<u32>("number").expect("it is required");
    let result = match name {
        "status" => asker.show(show::status),
        "nodes" => asker.show(show::nodes).map(|_| true),
        "shards" => asker.show(show::shards).map(|_| true),
        "rebalance" => wait::until_even(&asker),
        "drain" => asker.command("drain", number()).and_then(|done| {
            if inner.get_flag("no-wait") {
                return Ok(done);
            }
            wait::until_drained(&asker, number())
        }),
        "undrain" => asker.command("undrain", number()),
        "forget" => asker.command("forget", number()),
        "recover" | "acknowledge" => {
            let shards = inner.get_many("number").expect("it is required");
            asker.commands(name, shards.copied())
        }
        _ => unreachable!("clap knows every subcommand"),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// Whom to ask, and how to show what he says.
struct Asker {
    /// Asked in this order, until one answers.
    admins: Vec<String>,
    json: bool,
    secret: String,
}

/// The answer to a command, as the admin port writes it.
#[derive(Deserialize)]
struct Answer {
    error: String,
    admin: Option<String>,
}

/// So often a command follows the coordinator's role to another node.
const MOST_MOVES: usize = 3;

/// What has become of a command that was sent to a node.
enum Sent {
    Done,
    /// Another coordinates: its admin port.
    Elsewhere(String),
    /// Why not.
    Refused(String),
}

impl Asker {
    /// What the first says that answers; why none does.
    fn first_of<T>(&self, ask: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
        let mut silent = Vec::new();
        for admin in &self.admins {
            match ask(admin) {
                Ok(said) => return Ok(said),
                Err(error) => silent.push(error),
            }
        }
        Err(silent.join("; "))
    }

    /// The cluster as the coordinator knows it, as only that is told of all copies; as the node that was asked knows it, if the
    /// coordinator does not answer.
    fn survey(&self) -> Result<Survey, String> {
        let survey = self.first_of(|admin| self.survey_of(admin))?;
        let coordinator = survey
            .nodes
            .iter()
            .find(|node| Some(node.node) == survey.coordinator && node.node != survey.node);
        match coordinator {
            Some(node) if !node.admin.is_empty() => {
                Ok(self.survey_of(&node.admin).unwrap_or(survey))
            }
            Some(_) | None => Ok(survey),
        }
    }

    fn survey_of(&self, admin: &str) -> Result<Survey, String> {
        let answer = http::ask("GET", admin, "/cluster", &self.secret)
            .map_err(|error| format!("{admin}: {error} (--admin: the admin port of any node)"))?;
        if answer.status != 200 {
            return Err(format!("{admin}: {}", reason(&answer.body)));
        }
        serde_json::from_str(&answer.body).map_err(|error| format!("{admin}: {error}"))
    }

    /// Shows the cluster. Whether it is well.
    fn show(&self, table: fn(&Survey) -> String) -> Result<bool, String> {
        let survey = self.survey()?;
        if self.json {
            say(&serde_json::to_string(&survey).map_err(|error| error.to_string())?);
        } else {
            say(&table(&survey).trim_end());
        }
        Ok(show::is_well(&survey))
    }

    /// Has the coordinator do something about each of these, also where it refuses another.
    fn commands(&self, command: &str, numbers: impl Iterator<Item = u32>) -> Result<bool, String> {
        let refused = numbers.filter_map(|number| self.command(command, number).err());
        let refused: Vec<String> = refused.collect();
        if refused.is_empty() {
            Ok(true)
        } else {
            Err(refused.join("\n"))
        }
    }

    /// Has the coordinator do something, whoever it is.
    fn command(&self, command: &str, number: u32) -> Result<bool, String> {
        let path = format!("/cluster/{command}/{number}");
        let mut sent = self.first_of(|admin| self.send(admin, &path))?;
        // The role may move while it is asked for.
        for _ in 0..MOST_MOVES {
            if let Sent::Elsewhere(admin) = sent {
                sent = self.send(&admin, &path)?;
            }
        }
        let why = match sent {
            Sent::Done => {
                self.done(command, number);
                return Ok(true);
            }
            Sent::Elsewhere(_) => "the coordinator's role keeps moving; try again".to_owned(),
            Sent::Refused(why) => why,
        };
        Err(format!("{command} {number}: {why}"))
    }

    /// `Err`: it does not answer.
    fn send(&self, admin: &str, path: &str) -> Result<Sent, String> {
        let answer = http::ask("POST", admin, path, &self.secret)
            .map_err(|error| format!("{admin}: {error} (--admin: the admin port of any node)"))?;
        if answer.status == 200 {
            return Ok(Sent::Done);
        }
        let next = serde_json::from_str::<Answer>(&answer.body).ok();
        let next = next.and_then(|answer| answer.admin);
        Ok(match next.filter(|next| !next.is_empty()) {
            Some(next) if answer.status == 421 => Sent::Elsewhere(next),
            Some(_) | None => Sent::Refused(reason(&answer.body)),
        })
    }

    fn done(&self, command: &str, number: u32) {
        if self.json {
            say(&format_args!("{{\"{command}\":{number}}}"));
        } else {
            say(&format_args!(
                "{command} {number}: taken in the cluster map"
            ));
        }
    }
}

fn reason(body: &str) -> String {
    let answer = serde_json::from_str::<Answer>(body);
    answer.map_or_else(|_| body.trim().to_owned(), |answer| answer.error)
}
