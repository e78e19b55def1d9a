//! Many keys that expire within one second, while others are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;

use super::Bench;
use crate::args::BenchArgs;
use crate::clock::{MILLISECOND_NS, SECOND_NS};
use crate::control::Control;
use crate::engine::{Limit, Pace, Plan, Tick, Verdict};
use crate::latency::Latency;
use crate::report::{LoadFigures, Outcome, latency_header, latency_line, mebibytes};
use crate::traffic::fill::{Fill, Part, WAVE_MS};
use crate::traffic::wave::{AFTER, BEFORE, Background, DURING, Stage};

/// Keys written a second that a server is trusted to manage while the wave is prepared.
const FILL_PER_SECOND: u64 = 100_000;
/// Time for the fill in any case, in milliseconds.
const FILL_LEAST_MS: u64 = 2_000;
/// Undisturbed reads before the wave, in milliseconds.
const CALM_MS: u64 = 4_000;
/// Reads after the last key is gone, in nanoseconds.
const AFTERMATH_NS: u64 = 2 * SECOND_NS;
/// How long the wave's keys may linger before the run gives up, in nanoseconds.
const PATIENCE_NS: u64 = 60 * SECOND_NS;
/// Between two looks at DBSIZE, in nanoseconds.
const LOOK_NS: u64 = 10 * MILLISECOND_NS;
/// Requests a second of the background when nothing else is said.
const BACKGROUND_RATE: f64 = 10_000.0;
/// Connections of the background.
const BACKGROUND_CONNECTIONS: usize = 8;

/// What was seen of the wave.
#[derive(Clone, Debug, Serialize)]
struct WaveFigures {
    /// Seconds from the first deadline until DBSIZE was down to the other keys; none if never.
    gone_after_first_deadline_s: Option<f64>,
    /// The same from the last deadline.
    gone_after_last_deadline_s: Option<f64>,
    /// Keys still counted one second after the last deadline.
    left_after_one_second: Option<i64>,
    before: Latency,
    during: Latency,
    after: Latency,
    /// p99 during, divided by p99 before.
    p99_ratio: f64,
    resident_before_bytes: Option<u64>,
    resident_after_bytes: Option<u64>,
}

/// Watches DBSIZE and tells the background what stage the wave is in.
struct Watch {
    control: Control,
    stage: Stage,
    /// The first deadline on the run's clock.
    begins_ns: u64,
    rest: i64,
    gone_ns: Option<u64>,
    left_after_one_second: Option<i64>,
}

impl Bench {
    /// Fills, waits for the wave, and reports how it went.
    pub fn expiry_wave(&self) -> Result<Outcome> {
        let mut control = self.server.connect()?;
        let before = control.integer(&["DBSIZE"])?;
        ensure!(
            before == 0,
            "the server must be empty, and has {before} keys"
        );
        let background_keys = self.args.background_keys;
        self.fill_part("other keys", (0, background_keys), Fill::texts)?;

        let fill_ms = FILL_LEAST_MS.max(self.args.keys * 1_000 / FILL_PER_SECOND);
        let from_ms = control.server_time_ms()? + fill_ms + CALM_MS;
        let keys = (background_keys, background_keys + self.args.keys);
        self.fill_part("keys of the wave", keys, |args, part| {
            Fill::wave(args, part, from_ms)
        })?;

        let now_ms = control.server_time_ms()?;
        let begins_ns = self.clock.now_ns() + from_ms.saturating_sub(now_ms) * MILLISECOND_NS;
        let calm = from_ms
            .checked_sub(now_ms)
            .filter(|&calm| calm >= CALM_MS / 2);
        calm.context(
            "the fill took longer than expected, and the wave has begun: use fewer --keys",
        )?;
        let resident_before = self.resident()?;

        let stage: Stage = Arc::new(AtomicU8::new(BEFORE));
        let mut watch = Watch {
            rest: i64::try_from(background_keys).context("too many --background-keys")?,
            stage: stage.clone(),
            gone_ns: None,
            left_after_one_second: None,
            begins_ns,
            control,
        };
        let plan = self.background_plan();
        let traffic = vec![Background::new(&self.args, 0, stage)];
        let run = self.run_observed(&plan, traffic, |tick| watch.look(tick))?;
        let load = LoadFigures::of(&run, &self.args)?;
        let [before, during, after] = run.tally.latencies.as_slice() else {
            anyhow::bail!("the background has three stages");
        };
        let (before, during) = (Latency::of(before), Latency::of(during));
        let seconds = |from_ns: u64| {
            let since = |gone_ns: u64| gone_ns as f64 - from_ns as f64;
            watch
                .gone_ns
                .map(|gone_ns| since(gone_ns) / SECOND_NS as f64)
        };
        let figures = WaveFigures {
            gone_after_first_deadline_s: seconds(begins_ns),
            gone_after_last_deadline_s: seconds(begins_ns + WAVE_MS * MILLISECOND_NS),
            left_after_one_second: watch.left_after_one_second,
            after: Latency::of(after),
            p99_ratio: during.p99_us / before.p99_us,
            before,
            during,
            resident_before_bytes: resident_before,
            resident_after_bytes: self.resident()?,
        };
        let gave_up = watch.gone_ns.is_none() && !run.interrupted;
        let patience = PATIENCE_NS / SECOND_NS;
        let failure = load.failure().or_else(|| {
            gave_up
                .then(|| format!("the keys were still counted {patience} s after the wave began"))
        });
        let json = json!({ "wave": figures, "load": load });
        Ok(Outcome {
            failure,
            ..Outcome::new(self.wave_text(&figures), json)?
        })
    }

    fn fill_part(
        &self,
        title: &str,
        (first, end): (u64, u64),
        fill: impl Fn(&BenchArgs, Part) -> Fill,
    ) -> Result<()> {
        let traffic = fill(&self.args, Part::new(first, end, 0, 1));
        let run = self.run(&self.exhaustive_plan(title), vec![traffic])?;
        let error = run.tally.errors.values().next();
        ensure!(!run.interrupted, "interrupted while writing the {title}");
        ensure!(
            error.is_none(),
            "writing the {title} failed: {}",
            error.map_or("", |error| &error.example)
        );
        Ok(())
    }

    fn background_plan(&self) -> Plan {
        Plan {
            connections: BACKGROUND_CONNECTIONS,
            depth: 1,
            pace: Pace::Open {
                per_second: self.args.rate.unwrap_or(BACKGROUND_RATE),
                arrivals: self.args.arrivals,
            },
            limit: Limit::Time(u64::MAX / 4),
            tick_ns: LOOK_NS,
            drain_ns: super::OPEN_DRAIN_NS,
            ..self.exhaustive_plan("wave")
        }
    }

    fn wave_text(&self, figures: &WaveFigures) -> String {
        let seconds = |time: Option<f64>| {
            time.map_or_else(|| "never".to_owned(), |time| format!("{time:.2} s"))
        };
        let mut text = format!(
            "{} keys expired within one second: all gone {} after the first deadline, {} after the last\n",
            self.args.keys,
            seconds(figures.gone_after_first_deadline_s),
            seconds(figures.gone_after_last_deadline_s)
        );
        text += &format!("{}\n", latency_header());
        for (name, latency) in [
            ("reads before", &figures.before),
            ("reads during", &figures.during),
            ("reads after", &figures.after),
        ] {
            text += &format!("{}\n", latency_line(name, latency));
        }
        text += &format!("p99 during / before: {:.2}\n", figures.p99_ratio);
        if let (Some(before), Some(after)) =
            (figures.resident_before_bytes, figures.resident_after_bytes)
        {
            let (before, after) = (mebibytes(before), mebibytes(after));
            text += &format!("memory: {before} resident before, {after} after\n");
        }
        text
    }
}

impl Watch {
    fn look(&mut self, tick: Tick) -> Verdict {
        if tick.now_ns < self.begins_ns {
            return Verdict::Continue;
        }
        let least_ns = self.begins_ns + 2 * WAVE_MS * MILLISECOND_NS;
        match self.gone_ns {
            None => self.count(tick.now_ns),
            Some(gone_ns) if tick.now_ns >= gone_ns.max(least_ns) => {
                self.stage.store(AFTER, Ordering::Relaxed);
                let over = tick.now_ns >= gone_ns.max(least_ns) + AFTERMATH_NS;
                if over {
                    Verdict::Stop
                } else {
                    Verdict::Continue
                }
            }
            Some(_) => Verdict::Continue,
        }
    }

    fn count(&mut self, now_ns: u64) -> Verdict {
        self.stage.store(DURING, Ordering::Relaxed);
        let Ok(keys) = self.control.integer(&["DBSIZE"]) else {
            return Verdict::Stop;
        };
        if keys <= self.rest {
            self.gone_ns = Some(now_ns);
        }
        let last_deadline_ns = self.begins_ns + WAVE_MS * MILLISECOND_NS;
        if now_ns >= last_deadline_ns + SECOND_NS && self.left_after_one_second.is_none() {
            self.left_after_one_second = Some(keys - self.rest);
        }
        if now_ns > self.begins_ns + PATIENCE_NS {
            return Verdict::Stop;
        }
        Verdict::Continue
    }
}
