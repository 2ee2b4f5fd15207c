//! The progress bar: it is shown on stderr if that is a terminal, and never in a log.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{
    HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, WeakProgressBar,
};

use super::terminal;

/// The bar on the terminal. It is hidden before anything else is printed on stderr.
static SHOWN: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Prints on stderr while the bar is hidden, so that their lines do not mix.
pub fn suspended<T>(print: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shown.and_then(|bar| bar.upgrade()) {
        // If the bar itself panicked, its lock is still held, and hiding it would wait for ever: print without hiding it.
        Some(bar) if !std::thread::panicking() => bar.suspend(print),
        _ => print(),
    }
}

/// On a terminal with fewer columns the bar is short, and rate and rejections are left out.
const BROAD: usize = 96;

/// The progress of a run, shown while it goes on.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    broad: bool,
}

impl Progress {
    /// A bar where `wanted` and stderr is a terminal; otherwise nothing is shown.
    pub fn new(wanted: bool) -> Self {
        let columns = terminal::columns(std::io::stderr());
        let Some(columns) = columns.filter(|_| wanted) else {
            return Self {
                bar: ProgressBar::hidden(),
                broad: false,
            };
        };
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let broad = columns >= BROAD;
        bar.set_style(style(if broad {
            "{spinner} {human_pos} records  {rate}  {msg}"
        } else {
            "{spinner} {human_pos} records {rate}"
        }));
        bar.enable_steady_tick(Duration::from_millis(120));
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
        Self { bar, broad }
    }

    /// Sets how many records the source has announced.
    pub fn announce(&self, total: u64) {
        if self.bar.length() != Some(total) {
            self.bar.set_length(total);
            self.bar.set_style(style(if self.broad {
                "{bar:30} {human_pos}/{human_len} records  {rate}  {left}  {msg}"
            } else {
                "{bar:8} {human_pos}/{human_len} {left}"
            }));
        }
    }

    /// Shows how many records are done, and how many were rejected.
    pub fn update(&self, accounted: u64, rejected: u64) {
        self.bar.set_position(accounted);
        if rejected > 0 {
            self.bar.set_message(format!("{rejected} rejected"));
        }
    }

    /// Removes the bar from the terminal.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
        .with_key("left", left)
}

fn rate(state: &ProgressState, out: &mut dyn Write) {
    write!(out, "{:.0}/s", state.per_sec()).unwrap_or_default();
}

/// Writes the remaining time, which is unknown until a record is done.
fn left(state: &ProgressState, out: &mut dyn Write) {
    if state.pos() > 0 {
        write!(out, "{:#} left", HumanDuration(state.eta())).unwrap_or_default();
    }
}
