//! Sessions held: by many in turn, and many at once.

use anyhow::{Result, ensure};
use serde_json::json;

use super::Bench;
use crate::args::Ending;
use crate::engine::{Plan, Run};
use crate::latency::Latency;
use crate::report::{LoadFigures, Outcome, latency_header, latency_line, mebibytes};
use crate::traffic::contention::{Contention, SESSION};
use crate::traffic::fill::Part;
use crate::traffic::hold_many::{HoldAll, Intrude, ReleaseAll};

/// Held sessions that a stranger tries to open.
const INTRUSIONS: usize = 1_000;

impl Bench {
    /// All connections wait for one session.
    pub fn contention(&self, ending: Ending) -> Result<Outcome> {
        self.remove_contended_session()?;
        let traffic = Contention::new(&self.args, ending);
        let run = self.run(&self.measuring_plan(), vec![traffic])?;
        self.remove_contended_session()?;
        let load = LoadFigures::of(&run, &self.args)?;
        let failure = load.failure();
        let Some(fairness) = run.traffics.into_iter().next().map(|t| t.outcome) else {
            anyhow::bail!("the run has one traffic");
        };
        let latency = Latency::of(&fairness.hand_over);
        let (fewest, most) = (
            fairness.grants.iter().min().copied().unwrap_or(0),
            fairness.grants.iter().max().copied().unwrap_or(0),
        );
        let per_second = latency.count as f64 / load.seconds;
        let worst_us = fairness.worst_overtaking_ns as f64 / 1_000.0;
        let text = format!(
            "{} hand-overs among {} connections: {per_second:.0} a second\n{}\n{}\n\
             grants to a connection: {fewest} to {most}; overtaken: {} times, by at most {worst_us:.0} us\n\
             all requests: {load}",
            latency.count,
            self.args.connections(),
            latency_header(),
            latency_line("hand-over", &latency),
            fairness.overtakings,
        );
        let json = json!({
            "hand_over": latency,
            "hand_overs_per_second": per_second,
            "grants_fewest": fewest,
            "grants_most": most,
            "overtakings": fairness.overtakings,
            "worst_overtaking_us": worst_us,
            "load": load,
        });
        Ok(Outcome {
            failure,
            ..Outcome::new(text, json)?
        })
    }

    /// A hold that an earlier run left behind would keep everybody waiting.
    fn remove_contended_session(&self) -> Result<()> {
        let mut name = Vec::new();
        self.args.key_names().append(SESSION, &mut name);
        let name = String::from_utf8_lossy(&name);
        let mut control = self.server.connect()?;
        // Both answer an error when there is nothing to break or destroy, which is what is wanted.
        control.ask(&["SESSION.BREAK", &name])?;
        control.ask(&["SESSION.DESTROY", &name])?;
        Ok(())
    }

    /// Every key is opened with a hold; then all are released.
    pub fn hold_many(&self) -> Result<Outcome> {
        let workers = self.args.threads;
        let before = self.resident()?;
        let plan = self.exhaustive_plan("hold");
        let parts = (0..workers).map(|worker| Part::new(0, self.args.keys, worker, workers));
        let traffics = parts.map(|part| HoldAll::new(&self.args, part)).collect();
        let holding = self.run(&plan, traffics)?;
        let during = self.resident()?;

        let refused = self.intrude(&plan, &holding)?;
        let held: Vec<Vec<_>> = holding.traffics.iter().map(|t| t.held().to_vec()).collect();
        let held_count: usize = held.iter().map(Vec::len).sum();
        let traffics = held
            .into_iter()
            .map(|held| ReleaseAll::new(&self.args, held));
        let releasing = self.run(&plan, traffics.collect())?;
        let released = releasing.answered - releasing.failed;

        let open = LoadFigures::of(&holding, &self.args)?;
        let release = LoadFigures::of(&releasing, &self.args)?;
        let each = before
            .zip(during)
            .map(|(before, during)| during.saturating_sub(before) as f64 / self.args.keys as f64);
        let tried = INTRUSIONS.min(held_count);
        let mut text = format!(
            "{held_count} sessions held at once; a stranger was refused {refused} of {tried} times; \
             {released} released\n\nopen: {open}\nrelease: {release}"
        );
        if let (Some(each), Some(during)) = (each, during) {
            text += &format!(
                "memory: {each:.0} bytes a held session, {} resident\n",
                mebibytes(during)
            );
        }
        let json = json!({
            "held": held_count,
            "refused": refused,
            "tried": tried,
            "released": released,
            "bytes_per_session": each,
            "open": open,
            "release": release,
        });
        let complete = held_count as u64 == self.args.keys
            && refused == tried as u64
            && released == self.args.keys;
        let failure = open.failure().or_else(|| {
            (!complete).then(|| "not every session was held, guarded and released".to_owned())
        });
        Ok(Outcome {
            failure,
            ..Outcome::new(text, json)?
        })
    }

    /// How many of some held sessions refuse a stranger's OPEN.
    fn intrude(&self, plan: &Plan, holding: &Run<HoldAll>) -> Result<u64> {
        let keys = holding.traffics.iter().flat_map(|t| t.held());
        let keys: Vec<u64> = keys.map(|(key, _)| *key).take(INTRUSIONS).collect();
        let tried = keys.len() as u64;
        let plan = Plan {
            connections: 1,
            ..plan.clone()
        };
        let run = self.run(&plan, vec![Intrude::new(&self.args, keys)])?;
        ensure!(run.answered == tried, "the server stopped answering");
        Ok(run.tally.errors.get("HELD").map_or(0, |error| error.count))
    }
}
