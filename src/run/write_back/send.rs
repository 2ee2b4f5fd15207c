//! The threads of write-back: each takes a message, sends it, and hands it back with the answer.
//!
//! Starts and joins these threads. Knows nothing of the outbox.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, unbounded};

use crate::api::{ApiError, Pages, Sender, Sent};
use crate::config::plan::{Api, WriteBack};
use crate::store::outbox::Waiting;

/// One answer, or none: the message was not tried, or the thread that had it is gone.
type Answer = (Waiting, Option<Sent>);

/// Hands its message back when a thread is lost over it, so that nobody waits for ever.
struct Held<'a> {
    message: Option<Waiting>,
    answers: &'a Channel<Answer>,
}

impl Held<'_> {
    fn answer(mut self, sent: Option<Sent>) {
        if let Some(message) = self.message.take() {
            self.answers.send((message, sent)).unwrap_or_default();
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.answers.send((message, None)).unwrap_or_default();
        }
    }
}

/// Where messages are sent to.
#[derive(Clone, Copy)]
pub(super) struct Recipient<'a> {
    pub(super) api: &'a Api,
    pub(super) update: &'a WriteBack,
    pub(super) pages: &'a Pages,
    /// Set when nothing more is to be sent.
    pub(super) stop: &'a AtomicBool,
}

/// The threads, and the channels to and from them.
pub(super) struct Senders<'scope> {
    messages: Channel<Waiting>,
    answers: Receiver<Answer>,
    threads: Vec<ScopedJoinHandle<'scope, Result<(), ApiError>>>,
}

impl<'scope> Senders<'scope> {
    /// Starts so many threads, or as many as can be had. None: not a single one.
    pub(super) fn start<'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        recipient: Recipient<'env>,
        wanted: u64,
    ) -> Result<Self, String> {
        let (messages, to_send) = unbounded::<Waiting>();
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

    pub(super) fn count(&self) -> usize {
        self.threads.len()
    }

    /// Hands over a message. False: all threads are gone.
    pub(super) fn send(&self, message: Waiting) -> bool {
        self.messages.send(message).is_ok()
    }

    /// The next answer, if one comes in time.
    pub(super) fn answer(&self, limit: Duration) -> Result<Answer, RecvTimeoutError> {
        self.answers.recv_timeout(limit)
    }

    /// Waits until all have ended. Why one of them could not do its work, if so.
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

/// One thread: sends until there is nothing left, or sending makes no sense any more.
fn send_some(
    recipient: Recipient<'_>,
    to_send: &Receiver<Waiting>,
    answers: &Channel<Answer>,
) -> Result<(), ApiError> {
    let mut sender: Option<Sender> = None;
    for message in to_send {
        let held = Held {
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
