//! Delivers one alert over one channel, a webhook or a command, with a bounded number of tries.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::post::{DeliveryError, post};
use crate::config::plan::{AlertCommand, Channel};

/// Pauses between the tries.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1500)];
/// Time limit of a single try.
const TRY: Duration = Duration::from_secs(4);
/// How often it is checked whether a command has ended.
const TICK: Duration = Duration::from_millis(10);
/// Environment variables that every command inherits. Others may hold secrets of the run.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];
/// Variables with this prefix are inherited, too.
const OWN: &str = "DATASYNC_";

/// The kind of a channel, for messages.
pub(super) const fn kind(channel: &Channel) -> &'static str {
    match channel {
        Channel::Webhook(_) => "webhook",
        Channel::Command(_) => "command",
    }
}

/// Delivers the alert before the deadline, or returns why it could not.
pub(super) fn deliver(channel: &Channel, body: &str, deadline: Instant) -> Result<(), String> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("no time was left".to_owned());
        }
        let error = match once(channel, body, left.min(TRY)) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match pauses.next() {
            Some(pause) if error.retryable && Instant::now() + pause < deadline => {
                std::thread::sleep(pause);
            }
            _ => return Err(error.reason),
        }
    }
}

fn once(channel: &Channel, body: &str, limit: Duration) -> Result<(), DeliveryError> {
    match channel {
        Channel::Webhook(address) => {
            let url = reqwest::Url::parse(address.expose())
                .map_err(|_| DeliveryError::new("its address is not valid", false))?;
            post(&url, "application/json", body.to_owned(), limit)
        }
        Channel::Command(wanted) => run(wanted, body, limit),
    }
}

/// Runs a command, without a shell, with the alert on its standard input. Kills its process group when the time is over.
fn run(wanted: &AlertCommand, body: &str, limit: Duration) -> Result<(), DeliveryError> {
    let begun = Instant::now();
    let Some((program, arguments)) = wanted.words.split_first() else {
        return Err(DeliveryError::new("it names no program", false));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command.env_clear().envs(inherited(&wanted.env));
    let mut child = command
        .spawn()
        .map_err(|error| DeliveryError::new(format!("it cannot be started: {error}"), false))?;
    if let Some(mut input) = child.stdin.take() {
        // The alert fits into the pipe, so this does not wait. A command may ignore its input, so an error is no failure.
        input.write_all(body.as_bytes()).unwrap_or_default();
    }
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => {
                return Err(DeliveryError::new(format!("it ended with {status}"), true));
            }
            Ok(None) if begun.elapsed() < limit => std::thread::sleep(TICK),
            Ok(None) => {
                end(&mut child);
                let why = format!("it did not end within {:.1} s", limit.as_secs_f64());
                return Err(DeliveryError::new(why, false));
            }
            Err(error) => {
                end(&mut child);
                return Err(DeliveryError::new(error.to_string(), false));
            }
        }
    }
}

/// The environment of a command: the usual variables, and those that its configuration names.
fn inherited(named: &[String]) -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| {
            INHERITED.contains(&name) || name.starts_with(OWN) || named.iter().any(|n| n == name)
        })
    })
}

fn end(child: &mut Child) {
    let group = rustix::process::Pid::from_child(child);
    // An error means that all processes of the group have ended already.
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap_or_default();
    drop(child.wait());
}
