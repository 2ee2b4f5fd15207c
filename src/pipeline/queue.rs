//! The bounded queue between shaping and writing. Work is handed out in order, but only when no writer has earlier work with
//! one of its keys, so two versions of one record never race. The bound is on the weight of all work that waits or is with a
//! writer, so memory does not depend on the number of writers. The queue does not know what a batch is.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The keys of a piece of work.
pub(super) trait Claim {
    /// True if both have a key in common.
    fn shares_key_with(&self, other: &Self) -> bool;
}

/// Work that waits, in order, and work that writers have.
#[derive(Debug)]
pub(super) struct Queue<K, T> {
    state: Mutex<State<K, T>>,
    changed: Condvar,
    /// At this weight, in bytes, `push` waits.
    budget: usize,
}

#[derive(Debug)]
struct State<K, T> {
    waiting: VecDeque<(InProgress<K>, T)>,
    out: Vec<InProgress<K>>,
    /// Number of the next piece of work.
    next: u64,
    closed: bool,
    /// How long `push` has waited in total. A long time means too few writers.
    waited: Duration,
    /// Writers that may still take work.
    writers: u32,
    /// How many of them should end when they next ask for work.
    surplus: u32,
}

/// What the queue remembers of a piece of work that a writer has.
#[derive(Debug)]
struct InProgress<K> {
    ticket: u64,
    claim: K,
    weight: usize,
}

/// The answer to a writer that asks for work.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    /// A ticket, and the work.
    Work(u64, T),
    /// The queue is closed and empty.
    Nothing,
    /// This writer is one too many and has to end. It is no longer counted.
    Retired,
}

impl<K, T> State<K, T> {
    fn weight(&self) -> usize {
        let waiting = self.waiting.iter().map(|(entry, _)| entry.weight);
        waiting
            .chain(self.out.iter().map(|entry| entry.weight))
            .sum()
    }
}

impl<K: Claim, T> Queue<K, T> {
    /// A queue with a budget in bytes, for this many writers.
    pub(super) fn new(budget: usize, writers: u32) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                out: Vec::new(),
                next: 0,
                closed: false,
                waited: Duration::ZERO,
                writers,
                surplus: 0,
            }),
            changed: Condvar::new(),
            budget,
        }
    }

    /// A poisoned lock is used as it is: only comparisons run under it, so a panic cannot leave the state half-changed.
    fn lock(&self) -> MutexGuard<'_, State<K, T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<K, T>>) -> MutexGuard<'a, State<K, T>> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The weight a piece of work should have, in bytes, so that each writer has one while one waits and one is being filled.
    pub(super) fn share(&self) -> usize {
        self.budget / (self.lock().writers as usize + 2)
    }

    /// Waits for room and adds work. Work heavier than the budget goes alone. Without writers it stays for
    /// [`Queue::take_rest`].
    pub(super) fn push(&self, claim: K, weight: usize, work: T) {
        let mut state = self.lock();
        let full = |state: &State<K, T>| {
            let others = state.weight();
            others > 0 && others + weight > self.budget
        };
        if full(&state) {
            let since = Instant::now();
            while full(&state) && state.writers > 0 {
                state = self.wait(state);
            }
            state.waited += since.elapsed();
        }
        let ticket = state.next;
        state.next += 1;
        let entry = InProgress {
            ticket,
            claim,
            weight,
        };
        state.waiting.push_back((entry, work));
        drop(state);
        self.changed.notify_all();
    }

    /// Takes the next piece of work, once no writer has work with one of its keys. [`Queue::done`] frees the keys.
    pub(super) fn take(&self) -> Taken<T> {
        let mut state = self.lock();
        loop {
            if state.surplus > 0 {
                state.surplus -= 1;
                // The last writer stays, even if it was asked to end.
                if state.writers > 1 {
                    state.writers -= 1;
                    return Taken::Retired;
                }
            }
            let free = state.waiting.front().is_some_and(|(next, _)| {
                state
                    .out
                    .iter()
                    .all(|out| !out.claim.shares_key_with(&next.claim))
            });
            if free && let Some((entry, work)) = state.waiting.pop_front() {
                let ticket = entry.ticket;
                state.out.push(entry);
                drop(state);
                self.changed.notify_all();
                return Taken::Work(ticket, work);
            }
            if state.closed && state.waiting.is_empty() {
                return Taken::Nothing;
            }
            state = self.wait(state);
        }
    }

    /// A writer that ends returns its work to its old place in the queue. If it was the last writer, it gets the work back.
    fn give_back(&self, ticket: u64, work: T) -> Result<(), T> {
        let mut state = self.lock();
        let at = state.out.iter().position(|entry| entry.ticket == ticket);
        let (Some(at), true) = (at, state.writers > 1) else {
            return Err(work);
        };
        state.writers -= 1;
        let entry = state.out.remove(at);
        state.waiting.push_front((entry, work));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Frees the keys of work whose result has been entered.
    pub(super) fn done(&self, ticket: u64) {
        self.lock().out.retain(|entry| entry.ticket != ticket);
        self.changed.notify_all();
    }

    /// Declares that no more work will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Counts a writer that was started.
    pub(super) fn add_writer(&self) {
        self.lock().writers += 1;
    }

    /// Uncounts a writer that has ended or could not be started, and wakes all threads, so that none waits for it.
    pub(super) fn remove_writer(&self) {
        let mut state = self.lock();
        state.writers = state.writers.saturating_sub(1);
        drop(state);
        self.changed.notify_all();
    }

    /// True if no writer is left although more work may come.
    pub(super) fn has_no_writer(&self) -> bool {
        let state = self.lock();
        state.writers == 0 && !state.closed
    }

    /// The work that no writer has taken, after all of them have ended.
    pub(super) fn take_rest(&self) -> Vec<T> {
        let waiting = std::mem::take(&mut self.lock().waiting);
        waiting.into_iter().map(|(_, work)| work).collect()
    }

    /// Asks one writer to end.
    pub(super) fn retire_one(&self) {
        self.lock().surplus += 1;
        self.changed.notify_all();
    }

    /// How long pushing has waited since the last call.
    pub(super) fn take_wait_time(&self) -> Duration {
        std::mem::take(&mut self.lock().waited)
    }
}

/// Closes the queue when shaping ends, by a panic or not.
#[derive(Debug)]
pub(super) struct CloseOnDrop<'a, K: Claim, T>(pub(super) &'a Queue<K, T>);

impl<K: Claim, T> Drop for CloseOnDrop<'_, K, T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Uncounts a writer when its thread ends, by a panic or not. One that was retired or returned its work is uncounted already.
#[derive(Debug)]
pub(super) struct RemoveWriterOnDrop<'a, K: Claim, T> {
    pub(super) queue: &'a Queue<K, T>,
    pub(super) counted: bool,
}

impl<K: Claim, T> Drop for RemoveWriterOnDrop<'_, K, T> {
    fn drop(&mut self) {
        if self.counted {
            self.queue.remove_writer();
        }
    }
}

/// Frees the keys of a piece of work when its writer is done with it, by a panic or not.
#[derive(Debug)]
pub(super) struct DoneOnDrop<'a, K: Claim, T> {
    queue: &'a Queue<K, T>,
    /// None once the work was returned, because its keys are not claimed then.
    ticket: Option<u64>,
}

impl<'a, K: Claim, T> DoneOnDrop<'a, K, T> {
    /// Guards the work that was taken with this ticket.
    pub(super) const fn new(queue: &'a Queue<K, T>, ticket: u64) -> Self {
        Self {
            queue,
            ticket: Some(ticket),
        }
    }

    /// Returns the work to the queue for other writers. If there are none, the caller gets it back.
    pub(super) fn give_back(&mut self, work: T) -> Result<(), T> {
        let Some(ticket) = self.ticket else {
            return Err(work);
        };
        self.queue.give_back(ticket, work)?;
        self.ticket = None;
        Ok(())
    }
}

impl<K: Claim, T> Drop for DoneOnDrop<'_, K, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.queue.done(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Claim for &str {
        fn shares_key_with(&self, other: &Self) -> bool {
            self.chars().any(|key| other.contains(key))
        }
    }

    fn taken<K: Claim, T>(queue: &Queue<K, T>) -> Option<(u64, T)> {
        match queue.take() {
            Taken::Work(ticket, work) => Some((ticket, work)),
            Taken::Nothing | Taken::Retired => None,
        }
    }

    #[test]
    fn pushing_waits_for_nobody_where_no_writer_is_left() {
        let queue = Queue::new(100, 2);
        queue.push("a", 100, 1);
        queue.remove_writer();
        assert!(!queue.has_no_writer());
        std::thread::scope(|scope| {
            let push = scope.spawn(|| queue.push("b", 100, 2));
            drop(RemoveWriterOnDrop {
                queue: &queue,
                counted: true,
            });
            assert!(push.join().is_ok());
        });
        assert!(queue.has_no_writer());
        assert_eq!(queue.take_rest(), [1, 2]);
        queue.close();
        assert!(!queue.has_no_writer(), "no more work will come");
    }

    #[test]
    fn work_goes_out_in_order_and_not_beside_work_with_the_same_key() {
        let queue = Queue::new(100, 2);
        for (keys, work) in [("ab", 1), ("c", 2), ("bd", 3), ("e", 4)] {
            queue.push(keys, 10, work);
        }
        queue.close();
        let (first, work) = taken(&queue).expect("some work");
        assert_eq!(work, 1);
        let (second, work) = taken(&queue).expect("some work");
        assert_eq!(work, 2);
        std::thread::scope(|scope| {
            let third = scope.spawn(|| taken(&queue).map(|(_, work)| work));
            queue.done(second);
            // Work b is still with the first writer, and the fourth piece must not overtake it.
            assert!(!third.is_finished());
            queue.done(first);
            assert_eq!(third.join().expect("no panic"), Some(3));
        });
        assert_eq!(taken(&queue).map(|(_, work)| work), Some(4));
        assert_eq!(taken(&queue), None);
    }

    #[test]
    fn work_that_is_out_counts_against_the_budget() {
        let queue = Queue::new(100, 2);
        queue.push("a", 60, 1);
        let (ticket, _) = taken(&queue).expect("some work");
        std::thread::scope(|scope| {
            let heavy = scope.spawn(|| queue.push("b", 500, 2));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!heavy.is_finished(), "it waits until it is alone");
            queue.done(ticket);
            heavy.join().expect("no panic");
            let light = scope.spawn(|| queue.push("c", 10, 3));
            let (heavy, work) = taken(&queue).expect("some work");
            assert_eq!(work, 2);
            std::thread::sleep(Duration::from_millis(20));
            assert!(!light.is_finished(), "what is out has its weight");
            queue.done(heavy);
            light.join().expect("no panic");
        });
        assert_eq!(taken(&queue).map(|(_, work)| work), Some(3));
        assert_eq!(queue.share(), 25);
    }

    #[test]
    fn a_surplus_writer_goes_home_and_the_others_stay() {
        let queue = Queue::new(100, 2);
        queue.push("a", 1, 'a');
        queue.retire_one();
        assert_eq!(taken(&queue), None);
        assert_eq!(taken(&queue).map(|(_, work)| work), Some('a'));
    }

    #[test]
    fn work_that_is_given_back_keeps_its_place_and_the_last_writer_keeps_it() {
        let queue = Queue::new(100, 2);
        for (keys, work) in [("a", 1), ("ab", 2)] {
            queue.push(keys, 10, work);
        }
        queue.close();
        let (ticket, work) = taken(&queue).expect("some work");
        assert_eq!(DoneOnDrop::new(&queue, ticket).give_back(work), Ok(()));
        let (ticket, work) = taken(&queue).expect("the same again");
        assert_eq!((ticket, work), (0, 1));
        let mut entry = DoneOnDrop::new(&queue, ticket);
        assert_eq!(entry.give_back(work), Err(1), "nobody else would take it");
        drop(entry);
        assert_eq!(taken(&queue).map(|(_, work)| work), Some(2));
    }
}
