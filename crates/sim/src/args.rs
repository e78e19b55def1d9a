//! The command line.

/// What `tenure-sim` understands.
pub const USAGE: &str = "usage: tenure-sim --seed N | --seeds A..B \
[--trace] [--from TURN] [--turns TURN] [--plan] [--twice] [--jobs N] [--keep-going] [--no-rare]";

/// Which seeds to run.
#[derive(Clone, Copy, Debug)]
pub enum Seeds {
    /// One, in detail.
    One(u64),
    /// From the first up to, not including, the second.
    Many(u64, u64),
}

/// The command line, understood.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Which seeds.
    pub seeds: Seeds,
    /// How much of each.
    pub options: sim::Options,
    /// Print what the seed has drawn.
    pub plan: bool,
    /// Run each seed twice and compare.
    pub twice: bool,
    /// Threads.
    pub jobs: usize,
    /// Go on after a failure.
    pub keep_going: bool,
    /// Do not fail for rare events that never happened.
    pub no_rare: bool,
}

impl Args {
    /// Reads the words after the program's name.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut seeds = None;
        let mut args = Self {
            seeds: Seeds::One(0),
            options: sim::Options::default(),
            plan: false,
            twice: false,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            keep_going: false,
            no_rare: false,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seed" => seeds = Some(Seeds::One(number(&word, words.next())?)),
                "--seeds" => seeds = Some(range(words.next())?),
                "--trace" => args.options.trace = true,
                "--from" => args.options.trace_from = number(&word, words.next())?,
                "--turns" | "--steps" => args.options.turns = Some(number(&word, words.next())?),
                "--plan" => args.plan = true,
                "--twice" => args.twice = true,
                "--jobs" => args.jobs = number(&word, words.next())?.max(1) as usize,
                "--keep-going" => args.keep_going = true,
                "--no-rare" => args.no_rare = true,
                other => return Err(format!("unknown option {other}")),
            }
        }
        args.seeds = seeds.ok_or("which seeds?")?;
        Ok(args)
    }
}

fn number(option: &str, word: Option<String>) -> Result<u64, String> {
    let word = word.ok_or_else(|| format!("{option} needs a number"))?;
    word.parse()
        .map_err(|_| format!("{option} needs a number, not {word}"))
}

fn range(word: Option<String>) -> Result<Seeds, String> {
    let word = word.ok_or("--seeds needs a range such as 0..1000")?;
    let ends = word.split_once("..");
    let ends = ends.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let (from, to) = ends.ok_or_else(|| format!("{word} is no range such as 0..1000"))?;
    Ok(Seeds::Many(from, to))
}
