//! The threads of write-back: each takes a message, sends it, and returns it with the answer.
//!
//! This file starts and joins these threads. It knows nothing of the outbox.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, unbounded};

use crate::api::{ApiError, Pages, SendOutcome, Sender};
use crate::config::plan::{Api, WriteBack};
use crate::store::outbox::QueuedMessage;

/// A message and its answer. None: it was not tried, or its thread has ended.
type Answer = (QueuedMessage, Option<SendOutcome>);

/// Returns its message if the thread panics, since the receiver would otherwise wait for ever.
struct ReturnOnDrop<'a> {
    message: Option<QueuedMessage>,
    answers: &'a Channel<Answer>,
}

impl ReturnOnDrop<'_> {
    fn answer(mut self, sent: Option<SendOutcome>) {
        if let Some(message) = self.message.take() {
            self.answers.send((message, sent)).unwrap_or_default();
        }
    }
}

impl Drop for ReturnOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.answers.send((message, None)).unwrap_or_default();
        }
    }
}

/// Where messages are sent.
#[derive(Clone, Copy)]
pub(super) struct Recipient<'a> {
    pub(super) api: &'a Api,
    pub(super) update: &'a WriteBack,
    pub(super) pages: &'a Pages,
    /// Set when no further message is to be sent.
    pub(super) stop: &'a AtomicBool,
}

/// The threads, and the channels to and from them.
pub(super) struct Senders<'scope> {
    messages: Channel<QueuedMessage>,
    answers: Receiver<Answer>,
    threads: Vec<ScopedJoinHandle<'scope, Result<(), ApiError>>>,
}

impl<'scope> Senders<'scope> {
    /// Starts this many threads, or as many as the system allows. None if not a single one could be started.
    pub(super) fn start<'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        recipient: Recipient<'env>,
        wanted: u64,
    ) -> Result<Self, String> {
        let (messages, to_send) = unbounded::<QueuedMessage>();
        let (answered, answers) = unbounded::<Answer>();
        let mut threads = Vec::new();
        for number in 0..wanted {
            let (to_send, answered) = (to_send.clone(), answered.clone());
            let work = move || send_some(recipient, &to_send, &answered);
            let thread = std::thread::Builder::new()
                .name(format!("write-back-{number}"))
                .spawn_scoped(scope, work);
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) if number == 0 => {
                    return Err(format!("cannot start a thread of write-back: {error}"));
                }
                Err(error) => {
                    log::warn!("{number} threads send instead of {wanted}: {error}");
                    break;
                }
            }
        }
        Ok(Self {
            messages,
            answers,
            threads,
        })
    }

    /// How many threads there are.
    pub(super) fn count(&self) -> usize {
        self.threads.len()
    }

    /// Passes a message to a thread. False if all threads have ended.
    pub(super) fn send(&self, message: QueuedMessage) -> bool {
        self.messages.send(message).is_ok()
    }

    /// The next answer, if one comes within `limit`.
    pub(super) fn answer(&self, limit: Duration) -> Result<Answer, RecvTimeoutError> {
        self.answers.recv_timeout(limit)
    }

    /// Waits until all threads have ended. Returns why one of them failed, if one did.
    pub(super) fn join(self) -> Option<String> {
        drop(self.messages);
        let mut broken = None;
        for thread in self.threads {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    broken.get_or_insert(error.to_string());
                }
                Err(_) => {
                    broken.get_or_insert("a thread of write-back panicked".to_owned());
                }
            }
        }
        broken
    }
}

/// The work of one thread: it sends messages until there are no more, or until sending is stopped.
fn send_some(
    recipient: Recipient<'_>,
    to_send: &Receiver<QueuedMessage>,
    answers: &Channel<Answer>,
) -> Result<(), ApiError> {
    let mut sender: Option<Sender> = None;
    for message in to_send {
        let held = ReturnOnDrop {
            message: Some(message),
            answers,
        };
        if recipient.stop.load(Ordering::Relaxed) {
            held.answer(None);
            continue;
        }
        let ready = match sender.take() {
            Some(ready) => ready,
            None => Sender::new(recipient.api, recipient.update, recipient.pages)?,
        };
        let sent = held
            .message
            .as_ref()
            .map(|waiting| ready.send(&waiting.message));
        held.answer(sent);
        sender = Some(ready);
    }
    Ok(())
}
