//! A machine that gives no more threads (`RLIMIT_NPROC`, the pids limit of a container): a run warns, or ends with exit 1,
//! and never hangs.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::count;
use crate::support::Workplace;
use crate::support::command::{Finished, assert_balanced, finish, program};
use crate::support::http::{Paging, Running, Server};
use crate::support::postgres::Database;

/// Users that have no other process, one a test, so that the limit counts the threads of the run alone.
const FROM_THE_START: u32 = 54_321;
const IN_MID_RUN: u32 = 54_322;

/// Can a user be chosen, and limited?
fn can_limit() -> bool {
    let root = rustix::process::getuid().is_root();
    let tools = ["setpriv", "prlimit"].map(|tool| Command::new(tool).arg("--version").output());
    if root && tools.iter().all(Result::is_ok) {
        return true;
    }
    crate::support::not_run("limits on threads, need root, setpriv and prlimit (util-linux)");
    false
}

/// `sync` as this user, who may have so many threads.
fn start(place: &Workplace, user: u32, threads: u32) -> Child {
    let copy: PathBuf = place.path("datasync");
    if !copy.exists() {
        std::fs::copy(program(), &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir_all(place.state()).unwrap();
        for path in [place.path(""), place.state(), copy.clone()] {
            std::os::unix::fs::chown(path, Some(user), Some(user)).unwrap();
        }
    }
    let inner = place.command(&[]);
    Command::new("setpriv")
        .args([
            &format!("--reuid={user}"),
            &format!("--regid={user}"),
            "--clear-groups",
            "prlimit",
            &format!("--nproc={threads}"),
        ])
        .arg(copy)
        .args(["sync", "--output", "json"])
        .current_dir(place.path(""))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for a run that must not hang.
#[track_caller]
fn ended(mut child: Child, threads: u32) -> Finished {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_mins(1) {
            child.kill().unwrap();
            panic!("with {threads} threads the run hangs:\n{}", finish(child));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    finish(child)
}

/// Records, and how much each holds that is not mapped, bytes: together more than the queue to the writers may hold.
const RECORDS: u64 = 600;
const PADDING: usize = 100_000;

fn api() -> Running {
    let padding = "x".repeat(PADDING);
    let texts = (0..RECORDS).map(|i| {
        format!(
            r#"{{"external_id":"T-{i:05}","full_name":"Name {i}","contact_email":"t{i}@example.com","quality_score":90,"record_type":"lead","padding":"{padding}"}}"#
        )
    });
    Server::new()
        .records(texts)
        .paging(Paging::Page)
        .max_page_size(20)
        .page_size(20)
        .start()
}

#[test]
fn row_80_a_thread_that_cannot_be_started_is_a_warning_or_an_internal_error_and_never_a_hang() {
    if !can_limit() {
        return;
    }
    let api = api();
    let mut codes = Vec::new();
    for threads in 1..=12 {
        let database = Database::new();
        let place = Workplace::connected(api.url(), &database);
        let finished = ended(start(&place, FROM_THE_START, threads), threads);
        assert!(
            matches!(finished.code, 0 | 1),
            "with {threads} threads\n{finished}"
        );
        let report = finished.json();
        if report.get("ledger").is_some() {
            assert_balanced(&report);
            if finished.code == 0 {
                assert_eq!(count(&report, "fetched"), RECORDS, "with {threads} threads");
            } else {
                assert!(
                    report["case_id"].is_string(),
                    "with {threads} threads: {report}"
                );
                let status = database.one("SELECT status FROM sync_log");
                assert_ne!(status, "RUNNING", "with {threads} threads");
            }
        }
        codes.push(finished.code);
    }
    assert_eq!(codes[0], 1, "{codes:?}");
    assert_eq!(codes[11], 0, "{codes:?}");
}

#[test]
fn row_80_a_limit_that_bites_later_keeps_the_pool_small_and_the_run_going() {
    if !can_limit() {
        return;
    }
    // Enough threads to begin with, and none for the pool to grow.
    let api = api();
    let database = Database::new();
    // Every batch takes a while, so that batches wait and the pool is too small.
    database.run(
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END $$;
         CREATE TRIGGER slowly BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION slowly()",
    );
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 2");
    let finished = ended(start(&place, IN_MID_RUN, 9), 9);
    finished.expect(0);
    assert_eq!(count(&finished.json(), "fetched"), RECORDS);
}
