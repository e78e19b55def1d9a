//! Memory used against bytes alive, as sizes change.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;

use super::Bench;
use crate::args::Churn;
use crate::clock::SECOND_NS;
use crate::process;
use crate::report::{Outcome, mebibytes};
use crate::traffic::churn::{Churning, Phase};

/// The paper's workload whose memory is also looked at some time after its deletes.
const RESTED_WORKLOAD: u8 = 3;
/// That time.
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

impl Bench {
    /// One of the memory workloads, phase by phase.
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

        let empty = process::memory(pid)?.resident;
        let mut traffic = Churning::new(
            self.args.key_names(),
            churn.largest(),
            self.args.live,
            self.args.connections(),
            self.args.seed,
        );
        let mut figures = Vec::new();
        for (name, phase) in self.phases(churn) {
            let begun_ns = self.clock.now_ns();
            let requests;
            (traffic, requests) = self.churn_phase(traffic, name, phase)?;
            let seconds = (self.clock.now_ns() - begun_ns) as f64 / SECOND_NS as f64;
            figures.push(phase_figures(
                name, seconds, requests, &traffic, pid, empty,
            )?);
            let rests = matches!(
                (churn, phase),
                (
                    Churn::Shift {
                        number: RESTED_WORKLOAD,
                        ..
                    },
                    Phase::Delete { .. }
                )
            );
            if rests {
                rest();
                let name = "5 s after the deletes";
                figures.push(phase_figures(
                    name,
                    REST.as_secs_f64(),
                    0,
                    &traffic,
                    pid,
                    empty,
                )?);
            }
        }
        let json = json!({
            "empty_resident_bytes": empty,
            "peak_bytes": process::memory(pid)?.peak,
            "phases": figures,
        });
        Outcome::new(table(empty, &figures), json)
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

    fn churn_phase(
        &self,
        mut traffic: Churning,
        name: &str,
        phase: Phase,
    ) -> Result<(Churning, u64)> {
        traffic.begin(phase);
        let run = self.run(&self.exhaustive_plan(name), vec![traffic])?;
        ensure!(!run.interrupted, "interrupted during the phase '{name}'");
        let errors = run.tally.error_count();
        let first = run.tally.errors.values().next();
        let example = first.map_or("", |error| &error.example);
        ensure!(
            errors == 0,
            "{errors} requests of the phase '{name}' failed: {example}"
        );
        let requests = run.answered;
        let traffic = run.traffics.into_iter().next();
        Ok((traffic.context("the run has one traffic")?, requests))
    }
}

fn phase_figures(
    name: &str,
    seconds: f64,
    requests: u64,
    traffic: &Churning,
    pid: u32,
    empty: u64,
) -> Result<PhaseFigures> {
    let (live_objects, live_bytes) = traffic.live();
    let resident_bytes = process::memory(pid)?.resident;
    Ok(PhaseFigures {
        name: name.to_owned(),
        seconds,
        requests,
        live_objects,
        live_bytes,
        resident_bytes,
        ratio: resident_bytes.saturating_sub(empty) as f64 / live_bytes.max(1) as f64,
    })
}

/// Lets the server be for a while.
fn rest() {
    let (_sender, receiver) = mpsc::channel::<()>();
    // Nobody sends: this waits for its deadline.
    let _ = receiver.recv_timeout(REST);
}

fn table(empty: u64, figures: &[PhaseFigures]) -> String {
    let mut text = format!(
        "{} resident when empty\n{:24}{:>10}{:>12}{:>14}{:>14}{:>8}\n",
        mebibytes(empty),
        "after",
        "seconds",
        "objects",
        "live",
        "resident",
        "ratio"
    );
    for phase in figures {
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
