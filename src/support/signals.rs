//! SIGINT and SIGTERM: the first asks the run to end in order, the second ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

/// A signal that asks the run to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT: somebody pressed Ctrl-C.
    Interrupt,
    /// SIGTERM: the scheduler or the system ends the process.
    Terminate,
}

impl StopSignal {
    /// The number of the signal.
    const fn number(self) -> i32 {
        match self {
            Self::Interrupt => SIGINT,
            Self::Terminate => SIGTERM,
        }
    }

    /// The exit code by which shells know a process that this signal ended.
    pub const fn exit_code(self) -> i32 {
        128 + self.number()
    }
}

/// The signals that have arrived so far.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Set once the run should end.
    pub stop: Arc<AtomicBool>,
    which: Arc<AtomicUsize>,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> io::Result<Self> {
        let signals = Self::default();
        for signal in [StopSignal::Interrupt, StopSignal::Terminate] {
            let number = signal.number();
            // Order matters: the shutdown looks at the flag before this signal sets it.
            flag::register_conditional_shutdown(
                number,
                signal.exit_code(),
                Arc::clone(&signals.stop),
            )?;
            flag::register(number, Arc::clone(&signals.stop))?;
            let value = usize::try_from(number).unwrap_or_default();
            flag::register_usize(number, Arc::clone(&signals.which), value)?;
        }
        // A file that may not grow is an error of that write, not the death of the run.
        flag::register(SIGXFSZ, Arc::default())?;
        Ok(signals)
    }

    /// The signal that asked the run to end, if one did.
    pub fn asked(&self) -> Option<StopSignal> {
        if !self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let interrupt = usize::try_from(SIGINT).unwrap_or_default();
        Some(if self.which.load(Ordering::Relaxed) == interrupt {
            StopSignal::Interrupt
        } else {
            StopSignal::Terminate
        })
    }
}
