//! What the tests stand on: a command builder, a scripted HTTP server, a private PostgreSQL cluster.
#![allow(clippy::expect_used, clippy::unwrap_used, dead_code)]

use std::time::{Duration, Instant};

pub mod bouncer;
pub mod command;
pub mod http;
pub mod postgres;
pub mod promtool;
pub mod proxy;
pub mod server;

pub use command::Workplace;

pub use http::TOKEN;

/// Says that a test could not do what it is for, past the test harness, which would swallow it. With
/// `DATASYNC_TEST_ALL=1` that is a failure.
pub fn not_run(what: &str) {
    use std::io::Write as _;
    assert!(
        std::env::var_os("DATASYNC_TEST_ALL").is_none(),
        "NOT RUN: {what}"
    );
    // The harness swallows what eprintln! writes.
    std::io::stderr()
        .write_all(format!("NOT RUN: {what}\n").as_bytes())
        .unwrap();
}

/// Sends a signal.
#[track_caller]
pub fn signal(signal: rustix::process::Signal, pid: impl std::fmt::Display) {
    let number: i32 = pid.to_string().parse().expect("a process id");
    let pid = rustix::process::Pid::from_raw(number).expect("a process id");
    rustix::process::kill_process(pid, signal).expect("the signal is sent");
}

/// Waits until this is so, for 30 s: a test that waits for ever tells nobody why.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "waited in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
