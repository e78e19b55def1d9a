//! Waiting for the cluster, with a bar that says how far it is.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use server::survey::Survey;

use super::{Asker, show};
use crate::{say, warn};

/// How often the cluster is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often nothing may change before it is called even.
const CALM_LOOKS: u32 = 12;
/// Looks that may fail in a row: the coordinator may be moving.
const FAILED_LOOKS: u32 = 20;

/// Waits until a node is gone.
pub fn until_drained(asker: &Asker, node: u32) -> Result<bool, String> {
    let left = |survey: &Survey| {
        let row = survey.nodes.iter().find(|row| row.node == node);
        row.map_or(0, |row| row.copies)
    };
    let mut told = None;
    let gone = |survey: &Survey| {
        let why = show::waits_for_room(survey);
        if told != why
            && let Some(why) = &why
        {
            warn(&format_args!("node {node} keeps its copies: {why}"));
        }
        told = why;
        let row = survey.nodes.iter().find(|row| row.node == node);
        row.is_none_or(|row| row.state == "gone")
    };
    watch(asker, "copies to move", left, gone)?;
    if !asker.json {
        say(&format_args!(
            "node {node} holds nothing any more: it can be stopped, and forgotten"
        ));
    }
    Ok(true)
}

/// Waits until all copies are complete and nothing has moved for a while.
pub fn until_even(asker: &Asker) -> Result<bool, String> {
    let left = |survey: &Survey| {
        let copies = show::Copies::count(survey);
        copies.missing + copies.filling
    };
    let mut before = Survey::default();
    let mut calm = 0;
    let even = |survey: &Survey| {
        let epochs = |s: &Survey| s.shards.iter().map(|shard| shard.epoch).collect::<Vec<_>>();
        let same = survey.is_whole() && epochs(survey) == epochs(&before);
        calm = if same { calm + 1 } else { 0 };
        before = survey.clone();
        calm == CALM_LOOKS
    };
    watch(asker, "copies to fill", left, even)?;
    let survey = asker.survey()?;
    say(&show::nodes(&survey).trim_end());
    Ok(true)
}

fn watch(
    asker: &Asker,
    what: &'static str,
    left: impl Fn(&Survey) -> usize,
    mut is_over: impl FnMut(&Survey) -> bool,
) -> Result<(), String> {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}");
    bar.set_style(style.map_err(|error| error.to_string())?);
    bar.set_message(what);
    let (_keeps_open, never) = channel::<()>();
    let mut failed = 0;
    loop {
        match asker.survey() {
            Ok(survey) if is_over(&survey) => break,
            Ok(survey) => {
                failed = 0;
                let left = left(&survey) as u64;
                let most = bar.length().unwrap_or(0).max(left);
                bar.set_length(most);
                bar.set_position(most - left);
            }
            Err(error) => {
                failed += 1;
                if failed == FAILED_LOOKS {
                    return Err(error);
                }
            }
        }
        // Nobody ever says anything here: this is how long to wait.
        match never.recv_timeout(LOOK_EVERY) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
    bar.finish_and_clear();
    Ok(())
}
