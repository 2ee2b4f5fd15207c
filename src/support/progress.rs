//! The progress bar: on a terminal only, on stderr, never in a log.

use std::fmt::Write;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{
    HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, WeakProgressBar,
};

/// The bar on the terminal. Whoever prints on stderr hides it first.
static SHOWN: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Prints on stderr while the bar is hidden, so that neither is torn.
pub fn beside<T>(print: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shown.and_then(|bar| bar.upgrade()) {
        // After a panic within the bar its lock is held: then print without hiding it.
        Some(bar) if !std::thread::panicking() => bar.suspend(print),
        _ => print(),
    }
}

/// The progress of a run, shown while it goes on.
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
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
        Self(bar)
    }

    /// The source has announced how many records there are.
    pub fn announce(&self, total: u64) {
        if self.0.length() != Some(total) {
            self.0.set_length(total);
            self.0.set_style(known_length());
        }
    }

    /// Shows how many records are done, and a remark.
    pub fn update(&self, accounted: u64, rejected: u64) {
        self.0.set_position(accounted);
        if rejected > 0 {
            self.0.set_message(format!("{rejected} rejected"));
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}

fn known_length() -> ProgressStyle {
    let style = "{bar:30} {human_pos}/{human_len} records  {rate}  {left}  {msg}";
    ProgressStyle::with_template(style)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
        .with_key("left", left)
}

fn unknown_length() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {human_pos} records  {rate}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("rate", rate)
}

fn rate(state: &ProgressState, out: &mut dyn Write) {
    write!(out, "{:.0}/s", state.per_sec()).unwrap_or_default();
}

/// The remaining time is unknown until something is done.
fn left(state: &ProgressState, out: &mut dyn Write) {
    if state.pos() > 0 {
        write!(out, "{:#} left", HumanDuration(state.eta())).unwrap_or_default();
    }
}
