//! The dead man's switch: a service that raises an alarm when no ping comes. It follows the convention of healthchecks.io:
//! POST to `…/start`, then to `…` for exit 0 or to `…/<exit code>`, with a few lines of log as the body.
//!
//! A ping that does not arrive is only logged, since the service notices that by itself.

use std::time::Duration;

use super::post::post;
use crate::config::plan::Notifications;
use crate::exit::Exit;

/// Longest body, in bytes.
const LONGEST: usize = 10_000;
/// Time limit of a single try.
const LIMIT: Duration = Duration::from_secs(3);
/// The same after a signal, when the run has to end soon.
const LIMIT_AFTER_SIGNAL: Duration = Duration::from_secs(1);

/// Reports that a run has begun.
pub fn start(notifications: &Notifications) {
    send(notifications, Some("start"), "", &[LIMIT]);
}

/// Reports that a run has ended. The body is `text`, of which only the end is sent if it is too long.
pub fn end(notifications: &Notifications, exit: Exit, text: &str) {
    let code = exit.code().to_string();
    // A missing ping raises an alarm, so there is a second try.
    let tries: &[Duration] = match exit {
        Exit::Interrupted | Exit::Terminated | Exit::HungUp => &[LIMIT_AFTER_SIGNAL],
        _ => &[LIMIT, LIMIT],
    };
    let suffix = (exit != Exit::Success).then_some(code.as_str());
    send(notifications, suffix, tail(text), tries);
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
        log::warn!("the dead man's switch was not pinged: its address is not valid");
        return;
    };
    let mut why = String::new();
    for limit in tries {
        match post(&url, "text/plain; charset=utf-8", body.to_owned(), *limit) {
            Ok(()) => return,
            Err(error) => why = error.reason,
        }
    }
    log::warn!("the dead man's switch was not pinged: {why}");
}

/// The end of a text, starting at the beginning of a line.
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
