//! Alerts about cases: one when a case opens, one when it closes, and reminders in between.
//!
//! This file decides which alert is due, who gets it, and what it says. `channel` and `post` deliver it; `ping` is the dead
//! man's switch. It knows cases and notification lists, not runs. An alert holds messages and counts of the case, never a
//! record, a value or a secret.

mod channel;
pub mod ping;
mod post;

use std::time::{Duration, Instant};

use serde_json::json;

use crate::config::plan::{Channel, Plan};
use crate::model::cause::Cause;
use crate::reporting::case::{Case, Closing};
use crate::store::lease::host_name;

/// Time for all alerts of a run together. Alerts that are not delivered by then are given up.
const TOTAL: Duration = Duration::from_secs(10);
/// Longer sentences are cut, in characters: chats refuse long messages, and the input of a command must fit into its pipe.
const LONGEST: usize = 2_000;

/// Why an alert is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The case is new, or no alert about it has been sent yet.
    Opened,
    /// The case is still open.
    Reminder,
    /// The case is closed.
    Closed,
}

impl Event {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reminder => "reminder",
            Self::Closed => "closed",
        }
    }
}

/// The result of sending one alert.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// At least one channel has accepted it.
    pub delivered: bool,
    /// The channels that have failed, with the reason and without addresses.
    pub failed: Vec<String>,
}

/// The alert that is due for a case now: for an open case if it had none, for a closed case only if it had one.
pub fn due(case: &Case, reminder: Option<Duration>) -> Option<Event> {
    match (case.is_open(), &case.alerted_at) {
        (true, None) => Some(Event::Opened),
        (false, None) => None,
        (false, Some(_)) => Some(Event::Closed),
        (true, Some(at)) => {
            let at: jiff::Timestamp = at.parse().ok()?;
            let since_last = jiff::Timestamp::now().duration_since(at);
            (since_last >= jiff::SignedDuration::try_from(reminder?).ok()?)
                .then_some(Event::Reminder)
        }
    }
}

/// Sends alerts, each channel on a thread, so that a slow one delays no other. Ends after `limit`, or ten seconds.
pub fn send(
    plan: &Plan,
    run_id: &str,
    alerts: &[(Event, &Case)],
    limit: Option<Duration>,
) -> Vec<Delivery> {
    let deadline = Instant::now() + limit.unwrap_or(TOTAL).min(TOTAL);
    let mut deliveries = vec![Delivery::default(); alerts.len()];
    std::thread::scope(|scope| {
        let mut at_work = Vec::new();
        for (team, channels) in &plan.notifications.teams {
            for (index, channel) in channels.iter().enumerate() {
                let mine: Vec<(usize, String)> = alerts
                    .iter()
                    .enumerate()
                    .filter(|(_, (_, case))| is_notified(plan, team, &case.fingerprint))
                    .map(|(n, (event, case))| (n, body(*event, case, run_id)))
                    .collect();
                if mine.is_empty() {
                    continue;
                }
                let name = format!("{} {} of {team}", channel::kind(channel), index + 1);
                let numbers: Vec<usize> = mine.iter().map(|(n, _)| *n).collect();
                let work = move || deliver_all(channel, mine, deadline);
                let thread = std::thread::Builder::new().spawn_scoped(scope, work);
                at_work.push((name, numbers, thread));
            }
        }
        for (name, numbers, thread) in at_work {
            let failed = |why: &str| numbers.iter().map(|n| (*n, Err(why.to_owned()))).collect();
            let outcomes: Vec<(usize, Result<(), String>)> = match thread {
                Ok(thread) => thread.join().unwrap_or_else(|_| failed("it panicked")),
                Err(_) => failed("no thread could be started"),
            };
            for (n, outcome) in outcomes {
                match outcome {
                    Ok(()) => deliveries[n].delivered = true,
                    Err(why) => deliveries[n].failed.push(format!("{name}: {why}")),
                }
            }
        }
    });
    deliveries
}

fn deliver_all(
    channel: &Channel,
    bodies: Vec<(usize, String)>,
    deadline: Instant,
) -> Vec<(usize, Result<(), String>)> {
    bodies
        .into_iter()
        .map(|(n, body)| (n, channel::deliver(channel, &body, deadline)))
        .collect()
}

/// True if the list of `on_api_failure` or `on_database_failure` (`team`) is notified of this cause. Causes on neither side,
/// such as thresholds, brakes, the state directory and bugs, concern both lists.
fn is_notified(plan: &Plan, team: &str, cause: &Cause) -> bool {
    let is = |name: &Option<String>| name.as_deref() == Some(team);
    let on = &plan.on_failure;
    match cause {
        Cause::Api(_) => is(&on.notify_api),
        Cause::Database(_) => is(&on.notify_database),
        _ => is(&on.notify_api) || is(&on.notify_database),
    }
}

/// The alert as a JSON object. Chats show `text`, and incident tools read the other keys.
fn body(event: Event, case: &Case, run_id: &str) -> String {
    let host = host_name();
    let cause = cut(&case.cause);
    let severity = match (event, case.exit_code) {
        (Event::Closed, _) => "info",
        (_, 0) => "warning",
        _ => "critical",
    };
    let next = case.is_open().then(|| case.next_command());
    json!({
        "text": for_chat(&text(event, case, &host, &cause)),
        "event": event.as_str(),
        "severity": severity,
        "dedup_key": case.id,
        "case_id": case.id,
        "fingerprint": case.fingerprint,
        "cause": cause,
        "exit_code": case.exit_code,
        "occurrences": case.count,
        "opened_at": case.opened_at,
        "closed_at": case.closed_at,
        "closing": case.closing,
        "next": next,
        "run_id": run_id,
        "host": host,
        "version": env!("CARGO_PKG_VERSION"),
    })
    .to_string()
}

fn text(event: Event, case: &Case, host: &str, cause: &str) -> String {
    let id = &case.id;
    let next = case.next_command();
    match event {
        Event::Opened => {
            let exit = match case.exit_code {
                0 => String::new(),
                code => format!("exit {code}, "),
            };
            format!(
                "datasync on {host}: case {id} is open ({exit}{}): {cause}\nNext: {next}",
                case.fingerprint
            )
        }
        Event::Reminder => format!(
            "datasync on {host}: case {id} is still open, since {}, {} × {}: {cause}\nNext: {next}",
            case.opened_at, case.count, case.fingerprint
        ),
        Event::Closed => {
            let how = match case.closing {
                Some(Closing::Resolved) => "a retry succeeded",
                Some(Closing::Recovered) => "a later run succeeded",
                Some(Closing::Merged) => "an older case of the same cause goes on",
                None => "closed",
            };
            format!(
                "datasync on {host}: case {id} is closed ({}): {how}",
                case.fingerprint
            )
        }
    }
}

/// Escapes `&`, `<` and `>`, which chats would read as markup.
fn for_chat(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::reporting::case::{Evidence, Fault};

    fn case() -> Case {
        let fault = Fault {
            cause: Cause::api("status"),
            exit_code: 3,
            sentence: "the API answered <503> & \"no\"".into(),
            transient: true,
            scope: None,
            records: Vec::new(),
        };
        Case::open(&fault, "run-1", Evidence::default())
    }

    #[test]
    fn a_case_is_alerted_once_then_reminded_of_and_then_closed() {
        let hour = Some(Duration::from_hours(1));
        let mut case = case();
        assert_eq!(due(&case, None), Some(Event::Opened));
        case.alerted_at = Some(crate::reporting::case::now());
        assert_eq!(due(&case, hour), None);
        let before = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(61);
        case.alerted_at = Some(format!("{before:.0}"));
        assert_eq!(due(&case, hour), Some(Event::Reminder));
        assert_eq!(due(&case, None), None, "reminders are asked for");
        case.close(Closing::Recovered, "datasync", "run 2 succeeded");
        assert_eq!(due(&case, hour), Some(Event::Closed));
        case.alerted_at = None;
        assert_eq!(due(&case, hour), None, "no alert was sent about it");
    }

    #[test]
    fn the_text_holds_no_markup_of_chats_and_the_cause_is_as_it_is() {
        let case = case();
        let body: serde_json::Value =
            serde_json::from_str(&body(Event::Opened, &case, "run-1")).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(text.contains("&lt;503&gt; &amp; \"no\""), "{text}");
        assert_eq!(body["cause"], "the API answered <503> & \"no\"");
        assert_eq!(body["dedup_key"], body["case_id"]);
    }

    #[test]
    fn a_long_sentence_is_cut_at_a_character() {
        let long = "é".repeat(LONGEST + 5);
        assert_eq!(cut(&long).chars().count(), LONGEST + 1);
        assert_eq!(cut("short"), "short");
    }
}
