use clap::Parser;

use super::*;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: BenchArgs,
}

fn parse(line: &str) -> Result<BenchArgs, String> {
    CommandLine::try_parse_from(std::iter::once("bench").chain(line.split_whitespace()))
        .map(|line| line.args)
        .map_err(|error| error.to_string())
}

#[test]
fn every_workload_reads_back_its_own_name() {
    let names = "set get mixed:80 touch read create hset hgetall fill session hold-contention \
                 hold-contention:commit hold-many expire-wave memory:W1 memory:W2 memory:W3 \
                 memory:W4 memory:W5 memory:W6 memory:W7 memory:W8 growing";
    for name in names.split_whitespace() {
        let workload: Workload = name.parse().expect(name);
        assert_eq!(workload.to_string(), name);
    }
    assert_eq!("commit".parse(), Ok(Workload::Session));
    assert_eq!("memory:growing".parse(), "growing".parse::<Workload>());
    for wrong in [
        "",
        "sets",
        "mixed",
        "mixed:101",
        "memory:W9",
        "memory:",
        "get:1",
    ] {
        assert!(wrong.parse::<Workload>().is_err(), "{wrong}");
    }
}

#[test]
fn the_defaults_are_a_valid_run() {
    let args = parse("").expect("no option is required");
    args.check().expect("the defaults can be run");
    assert_eq!(args.key_names().length(), 37);
    let memory = parse("--workload memory:W3").expect("a workload");
    assert_eq!(memory.key_names().length(), 20);
}

#[test]
fn contradictions_are_refused_with_the_option_named() {
    for (line, named) in [
        ("--requests 5 --seconds 5", "--seconds"),
        ("--rate 10 --expected-interval 5", "--expected-interval"),
        ("--value-size 9-8", "9-8"),
        ("--distribution pareto", "pareto"),
    ] {
        let message = parse(line).expect_err(line);
        assert!(message.contains(named), "{line}: {message}");
    }
    for (line, named) in [
        ("--connections 0", "--connections"),
        ("--threads 2 --connections 1", "--threads"),
        ("--rate 0", "--rate"),
        ("--seconds 0", "--seconds"),
        ("--workload hold-contention --rate 5", "hold-contention"),
        ("--workload hold-contention --depth 2", "--depth"),
    ] {
        let message = parse(line)
            .expect(line)
            .check()
            .expect_err(line)
            .to_string();
        assert!(message.contains(named), "{line}: {message}");
    }
}
