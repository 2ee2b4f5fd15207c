//! SIGINT and SIGTERM: the first asks the run to end in order, the second ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::exit::Exit;

/// What has been asked for so far.
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
        for (signal, exit) in [(SIGINT, Exit::Interrupted), (SIGTERM, Exit::Terminated)] {
            // Order matters: the shutdown looks at the flag before this signal sets it.
            flag::register_conditional_shutdown(
                signal,
                i32::from(exit.code()),
                Arc::clone(&signals.stop),
            )?;
            flag::register(signal, Arc::clone(&signals.stop))?;
            flag::register_usize(signal, Arc::clone(&signals.which), usize::from(exit.code()))?;
        }
        // A file that may not grow is an error of that write, not the death of the run.
        flag::register(SIGXFSZ, Arc::default())?;
        Ok(signals)
    }

    /// How the run was asked to end, if it was.
    pub fn asked(&self) -> Option<Exit> {
        if !self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let interrupted =
            self.which.load(Ordering::Relaxed) == usize::from(Exit::Interrupted.code());
        Some(if interrupted {
            Exit::Interrupted
        } else {
            Exit::Terminated
        })
    }
}
