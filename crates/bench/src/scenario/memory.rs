//! Memory used against bytes alive, as sizes change.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;

use super::Bench;
use crate::args::Churn;
use crate::clock::SECOND_NS;
use crate::engine::Run;
use crate::process;
use crate::report::{Outcome, mebibytes};
use crate::traffic::churn::{Churning, Phase};

/// How long after its deletes a workload that rests is looked at once more.
const REST: Duration = Duration::from_secs(5);

/// Memory at the end of a phase.
#[derive(Clone, Debug, Serialize)]
struct PhaseFigures {
    name: String,
    seconds: f64,
    requests: u64,
    live_objects: u64,
    live_bytes: u64,
    resident_bytes: u64,
    ratio: f64,
}

/// The phases that were measured so far.
#[derive(Debug)]
struct Phases {
    pid: u32,
    empty: u64,
    figures: Vec<PhaseFigures>,
}

impl Bench {
    /// One of the memory workloads, phase by phase. A phase that fails or is interrupted is the last.
    pub fn memory(&self, churn: Churn) -> Result<Outcome> {
        let pid = self.args.server_pid;
        let pid = pid.context("a memory workload needs --server-pid: it measures that process")?;
        ensure!(
            self.args.threads == 1,
            "a memory workload runs in one thread"
        );
        let objects = self.server.connect()?.integer(&["DBSIZE"])?;
        ensure!(
            objects == 0,
            "the server must be empty, and has {objects} keys"
        );
        let mut phases = Phases {
            pid,
            empty: process::memory(pid)?.resident,
            figures: Vec::new(),
        };
        let failure = self.churn(churn, &mut phases)?;
        let json = json!({
            "empty_resident_bytes": phases.empty,
            "peak_bytes": process::memory(pid)?.peak,
            "phases": phases.figures,
        });
        Ok(Outcome {
            failure,
            ..Outcome::new(phases.table(), json)?
        })
    }

    /// Runs the phases; answers why the last one is not complete, if it is not.
    fn churn(&self, churn: Churn, phases: &mut Phases) -> Result<Option<String>> {
        let mut traffic = Churning::new(
            self.args.key_names(),
            churn.largest(),
            self.args.live,
            self.args.connections(),
            self.args.seed,
        );
        for (name, phase) in self.phases(churn) {
            traffic.begin(phase);
            let run = self.run(&self.exhaustive_plan(name), vec![traffic])?;
            let failure = failure(&run, name);
            let seconds = run.elapsed_ns as f64 / SECOND_NS as f64;
            let requests = run.answered;
            let returned = run.traffics.into_iter().next();
            traffic = returned.context("the run has one traffic")?;
            phases.note(name, seconds, requests, &traffic)?;
            if failure.is_some() {
                return Ok(failure);
            }
            if matches!(phase, Phase::Delete { .. }) && churn.is_rested() {
                rest();
                phases.note("5 s after the deletes", REST.as_secs_f64(), 0, &traffic)?;
            }
        }
        Ok(None)
    }

    /// The phases of a workload. A writing phase first fills up to the limit, if there is room, and then
    /// replaces what is alive as many times as the turnovers say.
    fn phases(&self, churn: Churn) -> Vec<(&'static str, Phase)> {
        let live = self.args.live as f64;
        let replaced = (live * self.args.turnovers) as u64;
        let filled_and_replaced = self.args.live + replaced;
        match churn {
            Churn::Shift {
                first,
                deleted,
                last,
                ..
            } => {
                let gap = self.args.live * u64::from(deleted) / 100;
                let write = |sizes, bytes| Phase::Write { sizes, bytes };
                vec![
                    ("first sizes", write(first, filled_and_replaced)),
                    (
                        "deletes",
                        Phase::Delete {
                            percentage: deleted,
                        },
                    ),
                    ("last sizes", write(last, gap + replaced)),
                ]
            }
            Churn::Growing { sizes } => {
                let bytes = filled_and_replaced;
                vec![("growing sizes", Phase::Grow { sizes, bytes })]
            }
        }
    }
}

/// Why a phase does not count, if it does not.
fn failure(run: &Run<Churning>, name: &str) -> Option<String> {
    if run.interrupted {
        return Some(format!("interrupted during the phase '{name}'"));
    }
    let errors = run.tally.error_count();
    let (_, first) = run.tally.errors.first_key_value()?;
    let example = &first.example;
    Some(format!(
        "{errors} requests of the phase '{name}' failed: {example}"
    ))
}

impl Phases {
    /// Notes the memory now, under the name of the phase that has ended.
    fn note(&mut self, name: &str, seconds: f64, requests: u64, traffic: &Churning) -> Result<()> {
        let (live_objects, live_bytes) = traffic.live();
        let resident_bytes = process::memory(self.pid)?.resident;
        let used = resident_bytes.saturating_sub(self.empty);
        self.figures.push(PhaseFigures {
            name: name.to_owned(),
            seconds,
            requests,
            live_objects,
            live_bytes,
            resident_bytes,
            ratio: used as f64 / live_bytes.max(1) as f64,
        });
        Ok(())
    }

    fn table(&self) -> String {
        let mut text = format!(
            "{} resident when empty\n{:24}{:>10}{:>12}{:>14}{:>14}{:>8}\n",
            mebibytes(self.empty),
            "after",
            "seconds",
            "objects",
            "live",
            "resident",
            "ratio"
        );
        for phase in &self.figures {
            text += &format!(
                "{:24}{:>10.1}{:>12}{:>14}{:>14}{:>8.2}\n",
                phase.name,
                phase.seconds,
                phase.live_objects,
                mebibytes(phase.live_bytes),
                mebibytes(phase.resident_bytes),
                phase.ratio
            );
        }
        text
    }
}

/// Lets the server be for a while.
fn rest() {
    let (_sender, receiver) = mpsc::channel::<()>();
    // Nobody sends: this waits for its deadline.
    let _ = receiver.recv_timeout(REST);
}
