//! Work that can be abandoned when the program is asked to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How often the waiting thread looks at the stop flag.
const TICK: Duration = Duration::from_millis(100);

/// Does the work on a thread of its own and waits for it. Returns None if `stop` was set first: then the thread is abandoned,
/// which is safe, because it holds no lock. If no thread can be started, the work is done on the calling thread.
pub fn run_unless<T: Send + 'static>(
    stop: &AtomicBool,
    work: impl FnOnce() -> T + Clone + Send + 'static,
) -> Option<T> {
    let (done, result) = channel();
    let on_thread = work.clone();
    let started = std::thread::Builder::new()
        .name("detached".to_owned())
        .spawn(move || done.send(on_thread()).unwrap_or_default());
    if let Err(error) = started {
        log::debug!("no thread for work that may be left behind: {error}");
        return Some(work());
    }
    loop {
        match result.recv_timeout(TICK) {
            Ok(result) => return Some(result),
            Err(RecvTimeoutError::Timeout) if !stop.load(Ordering::Relaxed) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_waited_for_until_it_is_done_or_the_flag_is_set() {
        let stop = AtomicBool::new(false);
        assert_eq!(run_unless(&stop, || 1), Some(1));
        stop.store(true, Ordering::Relaxed);
        let slow = || std::thread::sleep(Duration::from_secs(5));
        assert_eq!(run_unless(&stop, slow), None);
    }
}
