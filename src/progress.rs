//! The progress bar: on a terminal only, on stderr, never in a log.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What a run shows of itself while it goes on.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar when `wanted` and stderr is a terminal, else nothing at all.
    pub fn new(wanted: bool) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(unknown_length());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// The source has announced how many records there are.
    pub fn announce(&self, total: u64) {
        if self.0.length() != Some(total) {
            self.0.set_length(total);
            self.0.set_style(known_length());
        }
    }

    /// Records whose fate is known, and a word on them.
    pub fn update(&self, accounted: u64, rejected: u64) {
        self.0.set_position(accounted);
        if rejected > 0 {
            self.0.set_message(format!("{rejected} rejected"));
        }
    }

    /// Prints through the bar, so that a log line does not tear it.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}

fn known_length() -> ProgressStyle {
    ProgressStyle::with_template(
        "{bar:30} {human_pos}/{human_len} records  {per_sec}  {eta} left  {msg}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn unknown_length() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {human_pos} records  {per_sec}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}
