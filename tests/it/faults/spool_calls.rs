//! Row 55 at each system call of the spool: the program is killed as it enters one after the other, and the next run
//! needs no help. And the order of those calls, without which a power cut would lose what was counted.
//!
//! Needs `strace` and the right to trace one's own children; without them it says so. `DATASYNC_CALLS=all` (as
//! `make soak` has it) kills at every call, else at every fifth.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{count, place, rows, texts};
use crate::support::Workplace;
use crate::support::command::{Finished, finish};
use crate::support::http::Server;
use crate::support::postgres::Database;

/// Calls by which a file comes to be, is filled, made durable, locked, renamed and removed.
const CALLS: [&str; 7] = [
    "openat", "flock", "write", "fsync", "rename", "unlink", "mkdir",
];
const RECORDS: u32 = 60;

/// Records so large that they fill more than one file of the spool.
fn large_texts() -> Vec<String> {
    let note = "x".repeat(100_000);
    let more = format!("{{\"note\":\"{note}\",");
    let texts = texts(RECORDS).into_iter();
    texts.map(|text| text.replacen('{', &more, 1)).collect()
}

fn strace() -> Option<PathBuf> {
    let found = std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join("strace"))
        .find(|file| file.is_file())?;
    let works = Command::new(&found)
        .args(["-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    works.then_some(found)
}

/// `sync` under strace, with its log of calls; the log is empty where strace died of the kill with its child.
fn traced(place: &Workplace, strace: &Path, inject: Option<(&str, &str)>) -> (Finished, String) {
    let inner = place.command(&["sync", "--output", "json"]);
    let log = place.path("calls");
    let mut command = Command::new(strace);
    command
        .args(["-f", "-qq", "-y", "-s", "32", "-o"])
        .arg(&log);
    match inject {
        None => command.arg("-e").arg(format!("trace={}", CALLS.join(","))),
        Some((call, what)) => command
            .arg("-e")
            .arg(format!("trace={call}"))
            .arg("-e")
            .arg(format!("inject={call}:{what}")),
    };
    command
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(inner.get_current_dir().unwrap())
        .env_clear()
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let finished = finish(command.spawn().unwrap());
    let calls = std::fs::read_to_string(log);
    assert!(inject.is_some() || calls.is_ok(), "{finished}");
    (finished, calls.unwrap_or_default())
}

/// The calls of the thread that owns the spool: of the one that the log begins with. A call that was interrupted by a
/// line of another thread is made whole.
fn own_calls(log: &str) -> Vec<String> {
    let thread = log.split_whitespace().next().unwrap();
    let mut calls = Vec::<String>::new();
    for line in log
        .lines()
        .filter_map(|line| line.strip_prefix(thread).map(str::trim_start))
    {
        match (line.split_once(" resumed>"), calls.last_mut()) {
            (Some((_, rest)), Some(last)) => {
                *last = last.replace(" <unfinished ...>", "") + rest;
            }
            _ => calls.push(line.to_owned()),
        }
    }
    calls
}

fn name(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}

/// A workplace whose database is away, and where it is.
fn setting(api: &str, database: &Database) -> (Workplace, String) {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string();
    let place = super::hasty(Workplace::connected(api, database));
    place.edit("mappings.yaml", "max_connections: 10", "max_connections: 2");
    place.edit("mappings.yaml", "size: 100 ", "size: 20 ");
    place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 20 ");
    (place, closed)
}

fn left(place: &Workplace, folder: &str) -> Vec<String> {
    std::fs::read_dir(place.state().join(folder))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn row_55_killed_at_each_system_call_of_the_spool_nothing_is_lost_and_no_help_is_needed() {
    let Some(strace) = strace() else {
        crate::support::not_run("row 55 at each system call, needs strace and the right to trace");
        return;
    };
    let step = if std::env::var("DATASYNC_CALLS").is_ok_and(|v| v == "all") {
        1
    } else {
        5
    };
    let api = Server::new().records(large_texts()).page_size(20).start();
    let (mut kills, mut torn) = (0, 0);
    for replaying in [false, true] {
        let prepare = || {
            let database = Database::new();
            let (place, closed) = setting(api.url(), &database);
            let port = database.port.to_string();
            let mut place = place.env("DB_PORT", closed.clone());
            if replaying {
                place.sync(&[]).0.expect(4);
                assert!(!left(&place, "spool").is_empty());
                place = place.env("DB_PORT", port.clone());
            }
            (place, database, port)
        };
        let (place, ..) = prepare();
        let (finished, log) = traced(&place, &strace, None);
        finished.expect(if replaying { 0 } else { 4 });
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let calls = own_calls(&log);
        for call in &calls {
            *numbers.entry(name(call)).or_default() += 1;
        }
        assert!(numbers["flock"] > 1 && numbers["unlink"] > 0, "{numbers:?}");
        assert!(replaying || numbers["rename"] > 1, "{numbers:?}");
        for (call, times) in numbers {
            // Most files that are opened or written are none of the spool's.
            for nth in (1 + fastrand::usize(..step)..=times).step_by(step) {
                let (place, database, port) = prepare();
                let (killed, _) = traced(
                    &place,
                    &strace,
                    Some((call, &format!("signal=KILL:when={nth}"))),
                );
                let at = format!("replaying: {replaying}, killed at {call} {nth} of {times}");
                if killed.code != -9 {
                    // Another path through the program made fewer of them.
                    continue;
                }
                kills += 1;
                torn += usize::from(
                    left(&place, "spool")
                        .iter()
                        .any(|file| file.strip_suffix(".tmp").is_some()),
                );
                let place = place.env("DB_PORT", port);
                let (finished, report) = place.sync(&[]);
                assert_eq!(finished.code, 0, "{at}\n{finished}");
                assert_eq!(count(&report, "spooled"), 0, "{at}");
                assert_eq!(rows(&database), RECORDS.to_string(), "{at}");
                assert_eq!(left(&place, "spool"), [""; 0], "{at}");
                assert_eq!(left(&place, "quarantine"), [""; 0], "{at}");
            }
        }
    }
    eprintln!("row 55: {kills} kills at system calls, {torn} left a half-written file");
    assert!(kills >= 10, "{kills} kills, too few to mean anything");
}

#[test]
fn a_batch_is_synced_then_renamed_then_its_folder_synced_before_it_counts() {
    let Some(strace) = strace() else {
        crate::support::not_run(
            "the order of the spool's system calls, needs strace and the right to trace",
        );
        return;
    };
    let api = Server::new().records(large_texts()).page_size(20).start();
    let database = Database::new();
    let (place, closed) = setting(api.url(), &database);
    let place = place.env("DB_PORT", closed);
    let (finished, log) = traced(&place, &strace, None);
    finished.expect(4);
    let files = left(&place, "spool");
    assert!(files.len() > 1, "{files:?}");
    let calls = own_calls(&log);
    for file in files {
        let temporary = format!("{file}.0.tmp");
        let about: Vec<(usize, &String)> = calls
            .iter()
            .enumerate()
            .filter(|(_, call)| call.contains(&temporary))
            .collect();
        let mut order: Vec<&str> = about.iter().map(|(_, call)| name(call)).collect();
        order.dedup();
        assert_eq!(
            order,
            ["openat", "flock", "write", "fsync", "rename"],
            "{file}"
        );
        let (renamed, call) = about.last().unwrap();
        assert!(call.ends_with("= 0"), "{call}");
        let then: Vec<&str> = calls[renamed + 1..]
            .iter()
            .take(2)
            .map(|call| name(call))
            .collect();
        assert_eq!(then, ["openat", "fsync"], "the folder after {file}");
        assert!(
            calls[renamed + 2].contains("/spool>"),
            "{}",
            calls[renamed + 2]
        );
    }
}

/// Without the right to mount a full or broken file system: its answers.
#[test]
fn row_57_no_space_and_an_input_output_error_at_each_call_of_the_spool_are_exit_6() {
    let Some(strace) = strace() else {
        crate::support::not_run("row 57 at each system call, needs strace and the right to trace");
        return;
    };
    let api = Server::new().records(large_texts()).page_size(20).start();
    // The first ones make the three new folders durable, and prove that the state directory can be written.
    for (call, first) in [("fsync", 5), ("rename", 1)] {
        for (error, shown) in [("ENOSPC", "No space left"), ("EIO", "Input/output error")] {
            let database = Database::new();
            let (place, closed) = setting(api.url(), &database);
            let place = place.env("DB_PORT", closed);
            let inject = format!("error={error}:when={first}+");
            let (finished, _) = traced(&place, &strace, Some((call, &inject)));
            finished.expect(6).says(shown);
            let report = finished.json();
            crate::support::command::assert_balanced(&report);
            assert_eq!(
                count(&report, "spooled"),
                0,
                "{call} {error}: nothing is claimed"
            );
            assert_eq!(
                left(&place, "spool"),
                [""; 0],
                "{call} {error}: nothing half-written"
            );
            let place = place.env("DB_PORT", database.port.to_string());
            place.run(&["sync"]).expect(0);
            assert_eq!(rows(&database), RECORDS.to_string(), "{call} {error}");
        }
    }
    // A state directory that cannot be proven at the start is a matter of configuration.
    let database = Database::new();
    let (place, _) = setting(api.url(), &database);
    let before = api.requests().len();
    let (finished, _) = traced(&place, &strace, Some(("fsync", "error=EIO:when=1")));
    finished.expect(2).says("--state-dir");
    assert_eq!(api.requests().len(), before, "nothing was fetched");
}

/// What a kill leaves is swept even if nothing is ever spooled again.
#[test]
fn row_55_a_half_written_file_of_a_killed_run_is_gone_after_the_next_run() {
    let database = Database::new();
    let api = Server::new().records(texts(3)).start();
    let place = place(&api, &database);
    place.run(&["sync"]).expect(0);
    for name in [
        "probe-4711.0.tmp",
        "00000000000000000000-x-00000001.spool.0.tmp",
    ] {
        std::fs::write(place.state().join("spool").join(name), "half").unwrap();
    }
    place.run(&["sync"]).expect(0);
    assert_eq!(left(&place, "spool"), [""; 0]);
}
