//! The progress bar, on the standard error and only when that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of so many steps.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// At the beginning.
    #[must_use]
    pub fn new(title: &str, steps: usize) -> Self {
        let bar = ProgressBar::new(steps as u64);
        if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(title.to_owned());
        Self { bar }
    }

    /// One more step is done.
    pub fn show(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.bar.inc(1);
    }

    /// Takes the bar away, so that the results stand alone.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
