//! The progress bar, on the standard error and only when that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use crate::clock::{MILLISECOND_NS, SECOND_NS};
use crate::engine::Limit;

/// A bar that fills with time or with requests, as the run's limit says.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    by_time: bool,
}

impl Progress {
    /// The bar of a run.
    pub fn new(title: &str, limit: Limit) -> Self {
        let (bar, template) = match limit {
            Limit::Time(measured_ns) => (
                ProgressBar::new(measured_ns / MILLISECOND_NS),
                "{prefix} {wide_bar} {percent:>3} %  {msg}",
            ),
            Limit::Requests(total) => (
                ProgressBar::new(total),
                "{prefix} {wide_bar} {human_pos} of {human_len}  {msg}",
            ),
            Limit::Exhausted => (
                ProgressBar::new_spinner(),
                "{prefix} {spinner} {human_pos} requests  {msg}",
            ),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(title.to_owned());
        Self {
            bar,
            by_time: matches!(limit, Limit::Time(_)),
        }
    }

    /// Shows how far the run is.
    pub fn show(&self, answered: u64, elapsed_ns: u64) {
        let per_second = answered as f64 * SECOND_NS as f64 / elapsed_ns.max(1) as f64;
        self.bar.set_message(format!("{per_second:.0}/s"));
        self.bar.set_position(if self.by_time {
            elapsed_ns / MILLISECOND_NS
        } else {
            answered
        });
    }

    /// Takes the bar away, so that the results stand alone.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
