//! The bounded queue between shaping and writing. It hands a partition to one writer at a time, in order, so that two
//! versions of one record never race, whatever the number of writers. It knows nothing of what a batch holds.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Work that waits, by partition.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<(u32, T)>,
    /// Bit p is set while a writer holds work of partition p.
    busy: u64,
    closed: bool,
    /// How long `push` has been kept waiting in total: what says that the writers are too few.
    pressed: Duration,
    /// Writers that should retire at their next turn.
    surplus: u32,
}

/// Partitions are numbered below this.
pub(super) const MAX_PARTITIONS: u32 = 64;

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::with_capacity(capacity),
                busy: 0,
                closed: false,
                pressed: Duration::ZERO,
                surplus: 0,
            }),
            changed: Condvar::new(),
            capacity,
        }
    }

    /// A panicking thread cannot leave the state half-changed (no code of others runs under the lock), so a poisoned
    /// lock is taken as it is; the panic itself is reported when the thread is joined.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room and adds work.
    pub(super) fn push(&self, partition: u32, work: T) {
        debug_assert!(partition < MAX_PARTITIONS);
        let mut state = self.lock();
        if state.waiting.len() >= self.capacity {
            let since = Instant::now();
            while state.waiting.len() >= self.capacity {
                state = self.wait(state);
            }
            state.pressed += since.elapsed();
        }
        state.waiting.push_back((partition, work));
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for work whose partition nobody holds. None when the queue is closed and empty, or this writer is
    /// surplus. The partition stays held until [`Queue::done`].
    pub(super) fn take(&self) -> Option<(u32, T)> {
        let mut state = self.lock();
        loop {
            if state.surplus > 0 {
                state.surplus -= 1;
                return None;
            }
            let free = state
                .waiting
                .iter()
                .position(|(partition, _)| state.busy & (1 << partition) == 0);
            if let Some((partition, work)) = free.and_then(|at| state.waiting.remove(at)) {
                state.busy |= 1 << partition;
                drop(state);
                self.changed.notify_all();
                return Some((partition, work));
            }
            if state.closed && state.waiting.is_empty() {
                return None;
            }
            state = self.wait(state);
        }
    }

    /// Gives a partition back.
    pub(super) fn done(&self, partition: u32) {
        self.lock().busy &= !(1 << partition);
        self.changed.notify_all();
    }

    /// No more work will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Sends one writer home.
    pub(super) fn retire_one(&self) {
        self.lock().surplus += 1;
        self.changed.notify_all();
    }

    /// How long pushing has waited since this was last asked.
    pub(super) fn take_pressure(&self) -> Duration {
        std::mem::take(&mut self.lock().pressed)
    }
}

/// Closes the queue when shaping ends, however it ends.
#[derive(Debug)]
pub(super) struct CloseOnDrop<'a, T>(pub(super) &'a Queue<T>);

impl<T> Drop for CloseOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Gives a partition back when its work ends, however it ends.
#[derive(Debug)]
pub(super) struct DoneOnDrop<'a, T>(pub(super) &'a Queue<T>, pub(super) u32);

impl<T> Drop for DoneOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.done(self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_with_one_writer_at_a_time_and_in_order() {
        let queue = Queue::new(8);
        for (partition, work) in [(0, 'a'), (0, 'b'), (1, 'c')] {
            queue.push(partition, work);
        }
        queue.close();
        assert_eq!(queue.take(), Some((0, 'a')));
        // Partition 0 is held, so the next free work is that of partition 1.
        assert_eq!(queue.take(), Some((1, 'c')));
        queue.done(0);
        assert_eq!(queue.take(), Some((0, 'b')));
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn a_surplus_writer_goes_home_and_the_others_stay() {
        let queue = Queue::new(8);
        queue.push(0, 'a');
        queue.retire_one();
        assert_eq!(queue.take(), None);
        assert_eq!(queue.take(), Some((0, 'a')));
    }
}
