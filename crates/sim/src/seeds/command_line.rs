//! The command line of a simulator.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write as _;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::{ArgGroup, Parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Batch, How, SEED, Simulator, Sum, range};

/// The words after the program's name. What is simulated stands above them.
#[derive(Clone, Debug, Parser)]
#[command(group(ArgGroup::new("which").required(true)))]
struct Words {
    /// One seed, in detail
    #[arg(long, value_name = "N", group = "which")]
    seed: Option<u64>,
    /// Many seeds, on all processors, with a progress bar
    #[arg(long, value_name = "A..B", group = "which", value_parser = range)]
    seeds: Option<std::ops::Range<u64>>,
    /// Print every event of the seed
    #[arg(long, conflicts_with = "seeds")]
    trace: bool,
    /// Print only from this step on
    #[arg(long, value_name = "STEP", default_value_t = 0)]
    from: u64,
    /// Stop after so many steps
    #[arg(long, value_name = "STEPS", visible_alias = "turns")]
    steps: Option<u64>,
    /// Print what the seed has drawn
    #[arg(long, conflicts_with = "seeds")]
    plan: bool,
    /// Run each seed twice: same seed, same history, byte for byte
    #[arg(long)]
    twice: bool,
    /// Threads; one for each processor unless given
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Go on after a seed that fails
    #[arg(long)]
    keep_going: bool,
    /// Do not fail if a rare event was never met
    #[arg(long)]
    no_rare: bool,
}

/// Does what the command line asks for. 0: all is well; 1: a seed fails, or a rare event was never met; 2: the words make no sense.
#[must_use]
pub fn main(simulator: &Simulator) -> ExitCode {
    let words = match Words::try_parse_and_describe(simulator) {
        Ok(words) => words,
        Err(wrong) => wrong.exit(),
    };
    say_the_seed_when_it_panics(*simulator);
    match (words.seed, &words.seeds) {
        (Some(seed), _) if words.twice => many(simulator, seed..seed + 1, &words),
        (Some(seed), _) => one(simulator, seed, &words),
        (None, Some(seeds)) => many(simulator, seeds.clone(), &words),
        (None, None) => unreachable!("one of them is required"),
    }
}

impl Words {
    fn try_parse_and_describe(simulator: &Simulator) -> Result<Self, clap::Error> {
        use clap::{CommandFactory as _, FromArgMatches as _};
        let mut command = Self::command().about(simulator.about);
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        Self::from_arg_matches(&matches).map_err(|wrong| wrong.format(&mut command))
    }
}

/// Where a panic ends the process nobody else would say it.
fn say_the_seed_when_it_panics(simulator: Simulator) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if let Some(seed) = SEED.get() {
            eprintln!("\nseed {seed} panics. Replay: {}", simulator.replay(seed));
        }
        usual(info);
    }));
}

fn one(simulator: &Simulator, seed: u64, words: &Words) -> ExitCode {
    if words.plan {
        println!("{}", (simulator.plan)(seed));
    }
    SEED.set(Some(seed));
    let how = How {
        trace: words.trace,
        from: words.from,
        steps: words.steps,
        compared: false,
    };
    let outcome = (simulator.run)(seed, how);
    println!(
        "seed {seed}: {}, {:.1} s simulated{}, digest {:016x}",
        numbers(&outcome.tallies),
        outcome.simulated_us as f64 / 1e6,
        way_back(outcome.healed_us),
        outcome.digest
    );
    match simulator.failure(seed, &outcome) {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn many(simulator: &Simulator, seeds: std::ops::Range<u64>, words: &Words) -> ExitCode {
    let bar = bar(seeds.end - seeds.start);
    let batch = Batch {
        twice: words.twice,
        jobs: words
            .jobs
            .unwrap_or_else(|| available_parallelism().map_or(1, usize::from))
            .max(1),
        keep_going: words.keep_going,
        seeds,
    };
    let sum = simulator.run_many(&batch, &|sum, failure| {
        if let Some(failure) = failure {
            bar.suspend(|| tell(failure));
        }
        bar.set_position(sum.runs);
        bar.set_message(format!("{} failed", sum.failures.len()));
    });
    bar.finish_and_clear();
    conclude(&sum, words.no_rare)
}

/// Where nobody looks there is no bar.
fn bar(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(seeds), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("[{bar:40}] {pos}/{len} seeds, {msg}, {eta} left")
        .expect("the template is valid");
    bar.set_style(style.progress_chars("=> "));
    bar
}

/// At once, also where the output goes to a file that somebody watches.
fn tell(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}

fn conclude(sum: &Sum, no_rare: bool) -> ExitCode {
    for (event, times) in &sum.rare {
        println!("{times:10} {event}");
    }
    println!(
        "{} seeds, {}, {:.1} h simulated{}, {} failed",
        sum.runs,
        numbers(&sum.tallies),
        sum.simulated_us as f64 / 3.6e9,
        way_back(sum.healed_us),
        sum.failures.len()
    );
    let missing: Vec<&str> = sum.missing().collect();
    let incomplete = !missing.is_empty() && !no_rare;
    if incomplete {
        println!("NEVER REACHED: {missing:?}");
    }
    if sum.failures.is_empty() && !incomplete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn numbers(tallies: &[(&str, u64)]) -> String {
    let each = tallies
        .iter()
        .map(|(name, number)| format!("{number} {name}"));
    each.collect::<Vec<_>>().join(", ")
}

fn way_back(healed_us: u64) -> String {
    if healed_us == 0 {
        return String::new();
    }
    let seconds = healed_us as f64 / 1e6;
    format!(", well {seconds:.1} s after the last fault at the latest")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::Words;

    fn parse(line: &str) -> Result<Words, String> {
        let words = ["simulator"].into_iter().chain(line.split_whitespace());
        Words::try_parse_from(words).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn seeds_are_asked_for_in_one_of_two_ways() {
        assert_eq!(parse("--seed 7 --trace --from 3").map(|w| w.from), Ok(3));
        let many = parse("--seeds 2..9 --keep-going").map(|w| w.seeds);
        assert_eq!(many, Ok(Some(2..9)));
        assert_eq!(parse("--seed 7 --turns 5").map(|w| w.steps), Ok(Some(5)));
        for (line, named) in [
            ("", "--seed"),
            ("--seed 1 --seeds 0..2", "cannot be used with"),
            ("--seeds 9..2", "is no range such as"),
            ("--seeds 0..2 --trace", "cannot be used with"),
            ("--sed 1", "--seed"),
        ] {
            let wrong = parse(line).expect_err(line);
            assert!(wrong.contains(named), "{line}: {wrong}");
        }
    }
}
