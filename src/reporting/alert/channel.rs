//! One alert to one channel: a webhook or a command, tried again within bounds.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::post::{Trouble, post};
use crate::config::plan::Channel;

/// Pauses between the tries.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1500)];
/// Longest single try.
const TRY: Duration = Duration::from_secs(4);
/// How often a command is looked at.
const TICK: Duration = Duration::from_millis(10);
/// Credentials of the run that a command does not inherit.
const WITHHELD: [&str; 3] = ["API_TOKEN", "DB_PASSWORD", "DATABASE_URL"];

pub(super) const fn kind(channel: &Channel) -> &'static str {
    match channel {
        Channel::Webhook(_) => "webhook",
        Channel::Command(_) => "command",
    }
}

/// Delivers, or says why not; it is over at the deadline.
pub(super) fn deliver(channel: &Channel, body: &str, deadline: Instant) -> Result<(), String> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("no time was left".to_owned());
        }
        let trouble = match once(channel, body, left.min(TRY)) {
            Ok(()) => return Ok(()),
            Err(trouble) => trouble,
        };
        match pauses.next() {
            Some(pause) if trouble.again && Instant::now() + pause < deadline => {
                std::thread::sleep(pause);
            }
            _ => return Err(trouble.why),
        }
    }
}

fn once(channel: &Channel, body: &str, limit: Duration) -> Result<(), Trouble> {
    match channel {
        Channel::Webhook(address) => {
            let url = reqwest::Url::parse(address.expose())
                .map_err(|_| Trouble::new("its address is not one", false))?;
            post(&url, "application/json", body.to_owned(), limit)
        }
        Channel::Command(words) => run(words, body, limit),
    }
}

/// Runs a command, without a shell, with the alert on its standard input. What it starts is in its group and ends with
/// it when the time is over.
fn run(words: &[String], body: &str, limit: Duration) -> Result<(), Trouble> {
    let begun = Instant::now();
    let Some((program, arguments)) = words.split_first() else {
        return Err(Trouble::new("there is no program", false));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    for name in WITHHELD {
        command.env_remove(name);
    }
    let mut child = command
        .spawn()
        .map_err(|error| Trouble::new(format!("it cannot be started: {error}"), false))?;
    if let Some(mut input) = child.stdin.take() {
        // It fits into the pipe, so nobody waits. A command that does not read it may still be right.
        input.write_all(body.as_bytes()).unwrap_or_default();
    }
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(Trouble::new(format!("it ended with {status}"), true)),
            Ok(None) if begun.elapsed() < limit => std::thread::sleep(TICK),
            Ok(None) => {
                end(&mut child);
                let why = format!("it did not end within {:.1} s", limit.as_secs_f64());
                return Err(Trouble::new(why, false));
            }
            Err(error) => {
                end(&mut child);
                return Err(Trouble::new(error.to_string(), false));
            }
        }
    }
}

fn end(child: &mut Child) {
    let group = rustix::process::Pid::from_child(child);
    // Gone already, all of it: fine.
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap_or_default();
    drop(child.wait());
}
