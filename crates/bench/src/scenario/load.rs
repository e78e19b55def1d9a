//! Plain load: independent requests, sessions opened and committed, and the fill.

use anyhow::{Result, ensure};
use serde_json::json;

use super::Bench;
use crate::args::{Confirm, Operation, Workload};
use crate::engine::share;
use crate::process;
use crate::report::{LoadFigures, Outcome, mebibytes};
use crate::traffic::Traffic;
use crate::traffic::confirmed::Confirmed;
use crate::traffic::fill::{Fill, Part};
use crate::traffic::keyed::Keyed;
use crate::traffic::session::Sessions;

impl Bench {
    /// Independent requests on drawn keys.
    pub fn keyed(&self, operation: Operation) -> Result<Outcome> {
        self.load_if_asked()?;
        let traffic = |worker| Keyed::new(&self.args, operation, worker);
        self.measure((0..self.args.threads).map(traffic).collect())
    }

    /// Writes that wait for a second server to have them.
    pub fn confirmed(&self, confirm: Confirm) -> Result<Outcome> {
        self.load_if_asked()?;
        let traffic = |worker| Confirmed::new(&self.args, confirm, worker);
        self.measure((0..self.args.threads).map(traffic).collect())
    }

    /// Sessions opened and committed.
    pub fn sessions(&self) -> Result<Outcome> {
        let (depth, connections) = (self.args.depth(), self.args.connections());
        let enough = depth == 1 || self.args.keys >= (depth * connections) as u64;
        ensure!(
            enough,
            "--keys must be at least --connections times --depth, so that no connection waits for itself"
        );
        self.load_if_asked()?;
        let threads = self.args.threads;
        let mut first_connection = 0;
        let mut traffics = Vec::with_capacity(threads);
        for worker in 0..threads {
            traffics.push(Sessions::new(&self.args, worker, first_connection));
            first_connection += share(connections, threads, worker);
        }
        self.measure(traffics)
    }

    fn measure<T: Traffic + Send>(&self, traffics: Vec<T>) -> Result<Outcome> {
        let run = self.run(&self.measuring_plan(), traffics)?;
        let figures = LoadFigures::of(&run, &self.args)?;
        let failure = figures.failure();
        Ok(Outcome {
            failure,
            ..Outcome::new(&figures, &figures)?
        })
    }

    /// Writes every key once and reports the memory that they take.
    pub fn fill(&self) -> Result<Outcome> {
        let empty = self.resident()?;
        let traffics = self.fills(Fill::texts);
        let run = self.run(&self.exhaustive_plan("fill"), traffics)?;
        let figures = LoadFigures::of(&run, &self.args)?;
        let failure = figures.failure();
        let live = self.live_bytes();
        let mut text = figures.to_string();
        let mut json = json!({ "load": figures, "live_bytes": live });
        if let (Some(empty), Some(full)) = (empty, self.resident()?) {
            let used = full.saturating_sub(empty);
            let ratio = used as f64 / live as f64;
            let each = used as f64 / self.args.keys as f64;
            text += &format!(
                "memory: {} for {} of keys and values: {ratio:.3} times, {each:.0} bytes a key\n",
                mebibytes(used),
                mebibytes(live)
            );
            json["empty_resident_bytes"] = empty.into();
            json["resident_bytes"] = full.into();
            json["ratio"] = ratio.into();
            json["bytes_per_key"] = each.into();
        }
        Ok(Outcome {
            failure,
            ..Outcome::new(text, json)?
        })
    }

    /// Bytes of keys and values after a fill.
    fn live_bytes(&self) -> u64 {
        let args = &self.args;
        let values: u64 = if args.value_size.low == args.value_size.high {
            args.keys * args.value_size.low
        } else {
            (0..args.keys).map(|key| args.value_size.of_key(key)).sum()
        };
        values + args.keys * args.key_names().length() as u64
    }

    fn load_if_asked(&self) -> Result<()> {
        if !self.args.load {
            return Ok(());
        }
        let is_hash = matches!(
            self.args.workload,
            Workload::Keyed(Operation::Hset | Operation::Hgetall | Operation::Read)
                | Workload::Session
        );
        let fill = if is_hash { Fill::hashes } else { Fill::texts };
        let run = self.run(&self.exhaustive_plan("load"), self.fills(fill))?;
        let errors = run.tally.error_count();
        let first = run.tally.errors.values().next();
        let example = first.map_or("", |error| &error.example);
        ensure!(
            errors == 0,
            "loading the keys failed {errors} times: {example}"
        );
        Ok(())
    }

    fn fills(&self, fill: impl Fn(&crate::args::BenchArgs, Part) -> Fill) -> Vec<Fill> {
        let workers = self.args.threads;
        (0..workers)
            .map(|worker| Part::new(0, self.args.keys, worker, workers))
            .map(|part| fill(&self.args, part))
            .collect()
    }

    /// The server's resident bytes, if its process is known.
    pub(super) fn resident(&self) -> Result<Option<u64>> {
        let pid = self.args.server_pid;
        pid.map(|pid| Ok(process::memory(pid)?.resident))
            .transpose()
    }
}
