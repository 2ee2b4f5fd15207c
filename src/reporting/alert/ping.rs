//! The dead man's switch: a service that complains when it hears nothing. The convention is that of healthchecks.io:
//! POST to `…/start`, then to `…` when all is well, else to `…/<exit code>`, with a few lines of log as the body.
//!
//! A ping that does not arrive is logged and nothing else: its absence is what the service is for.

use std::time::Duration;

use super::post::post;
use crate::config::plan::Notifications;
use crate::exit::Exit;

/// Longest body, bytes.
const LONGEST: usize = 10_000;
const LIMIT: Duration = Duration::from_secs(3);
/// Whoever ended the run by a signal is waiting.
const IN_HASTE: Duration = Duration::from_secs(1);

/// A run has begun its work.
pub fn start(notifications: &Notifications) {
    send(notifications, Some("start"), "", &[LIMIT]);
}

/// A run has ended; `said` is what it says of itself, the end of which matters most.
pub fn end(notifications: &Notifications, exit: Exit, said: &str) {
    let code = exit.code().to_string();
    // Twice, since a ping that is missing wakes somebody.
    let tries: &[Duration] = match exit {
        Exit::Interrupted | Exit::Terminated | Exit::HungUp => &[IN_HASTE],
        _ => &[LIMIT, LIMIT],
    };
    let suffix = (exit != Exit::Success).then_some(code.as_str());
    send(notifications, suffix, tail(said), tries);
}

fn send(notifications: &Notifications, suffix: Option<&str>, body: &str, tries: &[Duration]) {
    let Some(address) = notifications.ping.as_ref().filter(|ping| !ping.is_empty()) else {
        return;
    };
    let url = reqwest::Url::parse(address.expose())
        .ok()
        .and_then(|mut url| {
            if let Some(suffix) = suffix {
                url.path_segments_mut().ok()?.pop_if_empty().push(suffix);
            }
            Some(url)
        });
    let Some(url) = url else {
        log::warn!("the dead man's switch was not pinged: its address is not one");
        return;
    };
    let mut why = String::new();
    for limit in tries {
        match post(&url, "text/plain; charset=utf-8", body.to_owned(), *limit) {
            Ok(()) => return,
            Err(trouble) => why = trouble.why,
        }
    }
    log::warn!("the dead man's switch was not pinged: {why}");
}

/// The end of a text, from the beginning of a line.
fn tail(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    let mut from = text.len() - LONGEST;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let rest = &text[from..];
    rest.split_once('\n').map_or(rest, |(_, lines)| lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_text_the_last_lines_are_sent() {
        let text: String = (0..3_000)
            .flat_map(|n| ["Zeile ü ".to_owned(), n.to_string(), "\n".to_owned()])
            .collect();
        let end = tail(&text);
        assert!(end.len() <= LONGEST && end.starts_with("Zeile ") && end.ends_with(" 2999\n"));
        assert_eq!(tail("short\n"), "short\n");
    }
}
