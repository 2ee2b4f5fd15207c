//! A crash leaves no core file: it would hold the token, the password and customers' records.
#![allow(clippy::unwrap_used)]

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use crate::support::command::program;
use crate::support::http::Server;
use crate::support::postgres::Database;
use crate::support::{Workplace, until};

#[test]
fn a_crash_in_mid_run_dumps_no_core() {
    let api = Server::new().held_after(0).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    // The shell allows core files of any size, as a machine that collects them does.
    let run = place.command(&["sync"]);
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -c unlimited && exec \"$0\" sync"])
        .arg(program())
        .current_dir(place.path(""))
        .env_clear();
    for (name, value) in run.get_envs() {
        command.env(name, value.unwrap());
    }
    let mut child = command.spawn().unwrap();
    until("a request arrived", || !api.requests().is_empty());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id()));
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::ABORT,
    )
    .unwrap();
    let status = child.wait().unwrap();
    assert_eq!(
        status.signal(),
        Some(rustix::process::Signal::ABORT.as_raw())
    );
    assert!(!status.core_dumped(), "the crash left a core file");
    if let Ok(limits) = limits {
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .unwrap();
        let values: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
        assert_eq!(values, ["0", "0"], "soft and hard limit: {core}");
    }
}
