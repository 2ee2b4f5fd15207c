//! SIGINT, SIGTERM, SIGHUP: the first asks the run to end in order, the second ends it at once. SIGUSR1 asks for progress.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::flag;

/// A signal that asks the run to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT: somebody pressed Ctrl-C.
    Interrupt,
    /// SIGTERM: the scheduler or the system ends the process.
    Terminate,
    /// SIGHUP: the terminal was closed.
    HangUp,
}

impl StopSignal {
    const ALL: [Self; 3] = [Self::Interrupt, Self::Terminate, Self::HangUp];

    /// The number of the signal.
    const fn number(self) -> i32 {
        match self {
            Self::Interrupt => SIGINT,
            Self::Terminate => SIGTERM,
            Self::HangUp => SIGHUP,
        }
    }

    /// The exit code that shells give to a process which this signal has ended.
    pub const fn exit_code(self) -> i32 {
        128 + self.number()
    }
}

/// The signals that have arrived so far.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Set once the run should end.
    pub stop: Arc<AtomicBool>,
    /// Set by SIGUSR1: the run should log how far it is.
    pub progress_wanted: Arc<AtomicBool>,
    which: Arc<AtomicUsize>,
}

impl Signals {
    /// Registers the signals.
    pub fn listen() -> io::Result<Self> {
        let signals = Self::default();
        for signal in StopSignal::ALL {
            let number = signal.number();
            if signal == StopSignal::HangUp && is_ignored(SIGHUP) {
                // The process was started by nohup, so closing its terminal must not end it.
                continue;
            }
            // In this order: the first looks at the flag before the second sets it, so only a second signal exits at once.
            flag::register_conditional_shutdown(
                number,
                signal.exit_code(),
                Arc::clone(&signals.stop),
            )?;
            flag::register(number, Arc::clone(&signals.stop))?;
            let value = usize::try_from(number).unwrap_or_default();
            flag::register_usize(number, Arc::clone(&signals.which), value)?;
        }
        flag::register(SIGUSR1, Arc::clone(&signals.progress_wanted))?;
        // With this registered, a file that exceeds the limit on file sizes fails that write instead of ending the process.
        flag::register(SIGXFSZ, Arc::default())?;
        Ok(signals)
    }

    /// The signal that asked the run to end, if one did.
    pub fn asked(&self) -> Option<StopSignal> {
        if !self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.which.load(Ordering::Relaxed);
        let signal = StopSignal::ALL
            .into_iter()
            .find(|signal| usize::try_from(signal.number()) == Ok(number));
        Some(signal.unwrap_or(StopSignal::Terminate))
    }
}

/// True if this process was started with the signal ignored. False where the system does not say.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
