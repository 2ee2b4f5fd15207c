//! `error_handling`, `alerts`, `brakes`, `notifications`, `metrics`, `spool` and `retention`: how the program is operated.

use std::path::PathBuf;
use std::time::Duration;

use super::plan::{
    AlertCommand, Alerts, Brakes, Channel, KeepPayload, Notifications, OnFailure, Rejections,
};
use super::reader::Section;
use super::secret::Secret;
use super::values::is_variable_name;
use crate::support::spelling::nearest;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// `error_handling` without the retries of the API, which [`api_retries`] reads.
pub(super) fn on_failure(root: &Section<'_>, notifications: &Notifications) -> OnFailure {
    let section = error_handling(root);
    let api = on_api_failure(&section);
    let database = section.section(
        "on_database_failure",
        &["strategy", "notification", "log_level", "max_retries"],
    );
    let validation = section.section(
        "on_validation_failure",
        &["strategy", "notification", "log_level"],
    );
    let _ = api.choice("strategy", &[("retry_with_backoff", ())]);
    let _ = validation.choice("strategy", &[("reject_record", ())]);
    for (section, key) in [(&api, "log_level"), (&database, "log_level")] {
        section.ignore(key, "failures are always logged as errors");
    }
    database.ignore(
        "max_retries",
        "a batch is retried once on a new connection, then kept in the spool",
    );
    validation.ignore(
        "notification",
        "rejections are counted by the alert `rejection_rate`",
    );
    let levels = [
        ("error", log::Level::Error),
        ("warning", log::Level::Warn),
        ("warn", log::Level::Warn),
        ("info", log::Level::Info),
        ("debug", log::Level::Debug),
    ];
    OnFailure {
        continue_on_database_failure: database
            .choice("strategy", &[("log_and_continue", true), ("stop", false)])
            .unwrap_or(true),
        notify_api: team(&api, notifications),
        notify_database: team(&database, notifications),
        rejection_log_level: validation
            .choice("log_level", &levels)
            .unwrap_or(log::Level::Warn),
    }
}

/// `error_handling.on_api_failure.max_retries`, which an endpoint's own `retry` overrides.
pub(super) fn api_retries(root: &Section<'_>) -> Option<u32> {
    on_api_failure(&error_handling(root)).number("max_retries", 0..=20)
}

fn error_handling<'a>(root: &Section<'a>) -> Section<'a> {
    root.section(
        "error_handling",
        &[
            "on_api_failure",
            "on_database_failure",
            "on_validation_failure",
        ],
    )
}

fn on_api_failure<'a>(section: &Section<'a>) -> Section<'a> {
    section.section(
        "on_api_failure",
        &["strategy", "max_retries", "notification", "log_level"],
    )
}

/// The team that a failure is reported to. An unknown name is a mistake if `notifications` describes teams. If it describes
/// none, the name is a warning, since files in the plain convention name a team without describing it.
fn team(section: &Section<'_>, notifications: &Notifications) -> Option<String> {
    let name = section.text("notification")?;
    let known = || notifications.teams.iter().map(|(team, _)| team.as_str());
    if known().any(|team| team == name) {
        return Some(name);
    }
    if notifications.teams.is_empty() {
        section.warn(
            "notification",
            format!("nobody is told: there is no `notifications.{name}`"),
        );
    } else {
        let hint = match nearest(&name, known()) {
            Some(team) => format!("did you mean `{team}`?"),
            None => format!("known: {}", known().collect::<Vec<_>>().join(", ")),
        };
        section.wrong(
            "notification",
            format!("there is no `{name}` in notifications"),
            hint,
        );
    }
    None
}

pub(super) fn alerts(root: &Section<'_>) -> Alerts {
    let section = root.section(
        "alerts",
        &[
            "sync_failure_rate",
            "api_response_time",
            "rejection_rate",
            "pool_exhaustion",
            "spool_age",
            "quarantine_age",
            "reminder",
        ],
    );
    Alerts {
        sync_failure_rate: section.share("sync_failure_rate").unwrap_or(0.05),
        rejection_rate: section.share("rejection_rate").unwrap_or(0.20),
        api_response_time: section
            .duration("api_response_time", Duration::from_millis(1), DAY)
            .unwrap_or(SECOND * 10),
        pool_exhaustion: section.flag("pool_exhaustion").unwrap_or(true),
        spool_age: section
            .duration("spool_age", SECOND, DAY * 36_600)
            .unwrap_or(DAY),
        quarantine_age: section
            .duration("quarantine_age", SECOND, DAY * 36_600)
            .unwrap_or(DAY * 30),
        reminder: section.duration("reminder", SECOND * 60, DAY * 366),
    }
}

pub(super) fn brakes(root: &Section<'_>) -> Brakes {
    let section = root.section("brakes", &["zero_records", "max_drop", "max_rejection"]);
    let share_or_off = |key: &str| {
        section.parse(
            key,
            "a share from 0 to 1, written `50%` or `0.5`, or `off`",
            |text| match text {
                "off" | "false" => Some(None),
                _ => super::values::parse_share(text).map(Some),
            },
        )
    };
    Brakes {
        zero_records: section
            .choice("zero_records", &[("stop", true), ("allow", false)])
            .unwrap_or(true),
        max_drop: share_or_off("max_drop").unwrap_or(Some(0.5)),
        max_rejection: share_or_off("max_rejection").unwrap_or(None),
    }
}

pub(super) fn notifications(root: &Section<'_>) -> Notifications {
    let section = root.names("notifications");
    let mut result = Notifications::default();
    for entry in section.entries() {
        if entry.key == "ping" {
            result.ping = address(&section, "ping");
            continue;
        }
        let mut channels = Vec::new();
        for (item, path) in section.items(&entry.key) {
            let channel = Section::open(
                section.context(),
                item,
                &path,
                &["webhook", "command", "env"],
                section.is_needed(),
            );
            match (
                channel.entry("webhook").is_some(),
                channel.entry("command").is_some(),
            ) {
                (true, false) => {
                    if channel.entry("env").is_some() {
                        channel.wrong(
                            "env",
                            "a webhook has no environment",
                            "`env` belongs to a `command`",
                        );
                    }
                    channels.extend(address(&channel, "webhook").map(Channel::Webhook));
                }
                (false, true) => {
                    let words: Vec<String> = channel
                        .values("command")
                        .into_iter()
                        .map(|word| word.text)
                        .collect();
                    if words.is_empty() {
                        channel.wrong(
                            "command",
                            "expected a program and its arguments",
                            "write `command: [/usr/local/bin/page-ops]`",
                        );
                    } else {
                        channels.push(Channel::Command(AlertCommand {
                            words,
                            env: variables(&channel),
                        }));
                    }
                }
                (true, true) => channel.wrong(
                    "command",
                    "a channel is either a webhook or a command",
                    "write two list items",
                ),
                (false, false) => {
                    if channel.entries().iter().all(|entry| entry.key == "env") {
                        channel.absent_key(
                            "webhook",
                            "write `- webhook: https://…` or `- command: [program, argument]`",
                        );
                    }
                }
            }
        }
        result.teams.push((entry.key.clone(), channels));
    }
    result
}

/// The variables that an alert command gets by name.
fn variables(channel: &Section<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for value in channel.values("env") {
        if is_variable_name(&value.text) && !value.expanded {
            names.push(value.text);
        } else {
            channel.wrong(
                "env",
                "expected names of variables",
                "write `env: [PAGER_KEY]`: the command gets the variable as it is",
            );
        }
    }
    names
}

/// A secret address; nothing when it is empty, which turns it off.
fn address(section: &Section<'_>, key: &str) -> Option<Secret> {
    let value = section.value_or_empty(key)?;
    let text = value.text.trim();
    if text.is_empty() {
        return None;
    }
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Some(Secret::new(text.to_owned())),
        _ => {
            section.wrong(
                key,
                "expected an http or https address",
                "the value is a secret and is not shown; empty turns it off",
            );
            None
        }
    }
}

/// `metrics.textfile`, unless a flag or a variable names the file.
pub(super) fn metrics_textfile(root: &Section<'_>, overridden: Option<PathBuf>) -> Option<PathBuf> {
    let section = root.section("metrics", &["textfile"]);
    overridden.or_else(|| {
        let value = section.value_or_empty("textfile")?;
        (!value.text.trim().is_empty()).then(|| PathBuf::from(value.text.trim()))
    })
}

/// Bytes the spool may take.
pub(super) fn spool_max_bytes(root: &Section<'_>) -> u64 {
    root.section("spool", &["max_bytes"])
        .size("max_bytes", 1 << 20)
        .unwrap_or(1 << 30)
}

pub(super) fn rejections(root: &Section<'_>) -> Rejections {
    let section = root.section("rejections", &["retention", "keep_payload"]);
    let is_off = section.entry("retention").is_some_and(|_| {
        section
            .value("retention")
            .is_some_and(|value| value.text == "off")
    });
    let choices = [KeepPayload::Full, KeepPayload::Masked, KeepPayload::None];
    let choices = choices.map(|choice| (choice.as_str(), choice));
    Rejections {
        retention: (!is_off).then(|| {
            section
                .duration("retention", DAY, DAY * 36_600)
                .unwrap_or(DAY * 90)
        }),
        keep_payload: section.choice("keep_payload", &choices).unwrap_or_default(),
    }
}

pub(super) fn retention(root: &Section<'_>) -> Duration {
    root.duration("retention", DAY, DAY * 36_600)
        .unwrap_or(DAY * 90)
}
