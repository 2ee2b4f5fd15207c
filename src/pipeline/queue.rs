//! The bounded queue between shaping and writing. Work is handed out in order, and only when no writer has earlier work with
//! one of its keys: two versions of one record never race, whatever the number of writers. The bound is on the weight of all
//! work that waits or is with a writer, so memory does not depend on the number of writers. It does not know what a batch
//! holds.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The keys of a piece of work.
pub(super) trait Claim {
    /// Do both have a key in common?
    fn meets(&self, other: &Self) -> bool;
}

/// Work that waits, in order, and work that writers have.
#[derive(Debug)]
pub(super) struct Queue<K, T> {
    state: Mutex<State<K, T>>,
    changed: Condvar,
    /// Weight at which pushing waits, bytes.
    budget: usize,
}

#[derive(Debug)]
struct State<K, T> {
    waiting: VecDeque<(Held<K>, T)>,
    out: Vec<Held<K>>,
    /// Number of the next piece of work.
    next: u64,
    closed: bool,
    /// How long `push` has waited in total. A long time means that there are too few writers.
    pressed: Duration,
    /// Writers that may still take work.
    writers: u32,
    /// Those of them that should end when they next ask for work.
    surplus: u32,
}

/// What the queue keeps of a piece of work while a writer has it.
#[derive(Debug)]
struct Held<K> {
    ticket: u64,
    claim: K,
    weight: usize,
}

/// What a writer gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    /// A ticket, and work.
    Work(u64, T),
    /// The queue is closed and empty.
    Nothing,
    /// This writer is one too many and has to end; it is not counted any more.
    Retired,
}

impl<K, T> State<K, T> {
    fn weight(&self) -> usize {
        let waiting = self.waiting.iter().map(|(held, _)| held.weight);
        waiting.chain(self.out.iter().map(|held| held.weight)).sum()
    }
}

impl<K: Claim, T> Queue<K, T> {
    pub(super) fn new(budget: usize, writers: u32) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                out: Vec::new(),
                next: 0,
                closed: false,
                pressed: Duration::ZERO,
                writers,
                surplus: 0,
            }),
            changed: Condvar::new(),
            budget,
        }
    }

    /// A panic cannot leave the state half-changed, since only comparisons run while it is locked. So a poisoned lock is used as it
    /// is. The panic is reported when the thread is joined.
    fn lock(&self) -> MutexGuard<'_, State<K, T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<K, T>>) -> MutexGuard<'a, State<K, T>> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The weight a piece of work should have, bytes: there is room for one with every writer, one that waits and one that is being
    /// filled.
    pub(super) fn share(&self) -> usize {
        self.budget / (self.lock().writers as usize + 2)
    }

    /// Waits for room and adds work. What is heavier than the budget goes alone. Where no writer is left nobody makes room:
    /// the work is added at once, and waits for [`Queue::take_rest`].
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
            state.pressed += since.elapsed();
        }
        let ticket = state.next;
        state.next += 1;
        let held = Held {
            ticket,
            claim,
            weight,
        };
        state.waiting.push_back((held, work));
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until no writer has work with a key of the next one, and takes it. Its keys stay claimed until [`Queue::done`] with the
    /// ticket.
    pub(super) fn take(&self) -> Taken<T> {
        let mut state = self.lock();
        loop {
            if state.surplus > 0 {
                state.surplus -= 1;
                // The last one stays, whatever others have done meanwhile.
                if state.writers > 1 {
                    state.writers -= 1;
                    return Taken::Retired;
                }
            }
            let free = state
                .waiting
                .front()
                .is_some_and(|(next, _)| state.out.iter().all(|out| !out.claim.meets(&next.claim)));
            if free && let Some((held, work)) = state.waiting.pop_front() {
                let ticket = held.ticket;
                state.out.push(held);
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

    /// A writer that ends puts its work back in its old place, for the other writers. Where there are no others, it gets the work
    /// back.
    fn give_back(&self, ticket: u64, work: T) -> Result<(), T> {
        let mut state = self.lock();
        let at = state.out.iter().position(|held| held.ticket == ticket);
        let (Some(at), true) = (at, state.writers > 1) else {
            return Err(work);
        };
        state.writers -= 1;
        let held = state.out.remove(at);
        state.waiting.push_front((held, work));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// The result of the work has been entered: its keys are free.
    pub(super) fn done(&self, ticket: u64) {
        self.lock().out.retain(|held| held.ticket != ticket);
        self.changed.notify_all();
    }

    /// No more work will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// One more writer is at work.
    pub(super) fn welcome_one(&self) {
        self.lock().writers += 1;
    }

    /// A writer that was counted could not be started, or has ended. Wakes all who wait, so that nobody waits for it.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.writers = state.writers.saturating_sub(1);
        drop(state);
        self.changed.notify_all();
    }

    /// No writer is left, although more work may come.
    pub(super) fn is_deserted(&self) -> bool {
        let state = self.lock();
        state.writers == 0 && !state.closed
    }

    /// What no writer has taken, once all of them have ended.
    pub(super) fn take_rest(&self) -> Vec<T> {
        let waiting = std::mem::take(&mut self.lock().waiting);
        waiting.into_iter().map(|(_, work)| work).collect()
    }

    /// Tells one writer to end.
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
pub(super) struct CloseOnDrop<'a, K: Claim, T>(pub(super) &'a Queue<K, T>);

impl<K: Claim, T> Drop for CloseOnDrop<'_, K, T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Subtracts a writer when its thread ends, however it ends. The queue itself has subtracted one that was told to end or gave its
/// work back.
#[derive(Debug)]
pub(super) struct LeaveOnDrop<'a, K: Claim, T> {
    pub(super) queue: &'a Queue<K, T>,
    pub(super) counted: bool,
}

impl<K: Claim, T> Drop for LeaveOnDrop<'_, K, T> {
    fn drop(&mut self) {
        if self.counted {
            self.queue.leave();
        }
    }
}

/// Frees the keys of a piece of work when its writer is done with it, however that ends.
#[derive(Debug)]
pub(super) struct DoneOnDrop<'a, K: Claim, T> {
    queue: &'a Queue<K, T>,
    /// None: the work has gone back, and its claim with it.
    ticket: Option<u64>,
}

impl<'a, K: Claim, T> DoneOnDrop<'a, K, T> {
    pub(super) const fn new(queue: &'a Queue<K, T>, ticket: u64) -> Self {
        Self {
            queue,
            ticket: Some(ticket),
        }
    }

    /// Puts the work back for other writers. Where there are no others, the work is returned.
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
        fn meets(&self, other: &Self) -> bool {
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
        queue.leave();
        assert!(!queue.is_deserted());
        std::thread::scope(|scope| {
            let push = scope.spawn(|| queue.push("b", 100, 2));
            drop(LeaveOnDrop {
                queue: &queue,
                counted: true,
            });
            assert!(push.join().is_ok());
        });
        assert!(queue.is_deserted());
        assert_eq!(queue.take_rest(), [1, 2]);
        queue.close();
        assert!(!queue.is_deserted(), "no more work will come");
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
            // b is still out with the first, and the fourth does not overtake.
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
        let mut held = DoneOnDrop::new(&queue, ticket);
        assert_eq!(held.give_back(work), Err(1), "nobody else would take it");
        drop(held);
        assert_eq!(taken(&queue).map(|(_, work)| work), Some(2));
    }
}
