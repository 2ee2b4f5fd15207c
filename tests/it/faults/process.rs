//! Rows 55 to 62: the process, its files and its clock. Row 55, kill -9, is in `soak.rs`.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{count, hasty, patient, place, rows, signal, texts};
use crate::support::command::{Finished, finish};
use crate::support::http::Server;
use crate::support::postgres::{Cluster, Database};
use crate::support::{Workplace, until};

/// Runs the program through `sh -c`, so that limits and redirections apply.
fn through_shell(place: &Workplace, script: &str) -> Finished {
    let inner = place.command(&[]);
    let mut shell = std::process::Command::new("sh");
    shell
        .arg("-c")
        .arg(script)
        .arg(inner.get_program())
        .current_dir(inner.get_current_dir().unwrap())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    finish(shell.spawn().unwrap())
}

#[test]
fn row_56_a_signal_ends_the_run_in_order_and_opens_no_case() {
    for (name, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let api = Server::new().records(texts(2_000)).held_after(3).start();
        let database = Database::new();
        let place = patient(place(&api, &database));
        place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
        let child = place.start(&["sync", "--output", "json"]);
        until("a fourth request", || api.requests().len() >= 4);
        let asked = Instant::now();
        signal(name, child.id());
        let finished = finish(child);
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}",
            asked.elapsed()
        );
        finished.expect(code);
        let report = finished.json();
        crate::support::command::assert_balanced(&report);
        assert_eq!(count(&report, "fetched"), 300, "{report}");
        assert_eq!(
            report["case_id"],
            serde_json::Value::Null,
            "somebody meant it"
        );
        let log = database
            .one("SELECT concat_ws(' ', status, exit_code, records_processed) FROM sync_log");
        assert_eq!(log, format!("PARTIAL {code} {}", count(&report, "fetched")));
        assert_eq!(rows(&database), count(&report, "inserted").to_string());
        assert_eq!(database.one("SELECT count(*)::text FROM sync_lease"), "0");
        place.edit("mappings.yaml", "concurrency: 1", "concurrency: 4");
        api.let_go();
        place.run(&["sync"]).expect(0);
        assert_eq!(rows(&database), "2000");
    }
}

#[test]
fn row_56_a_second_signal_ends_at_once() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    // A lock keeps the writers, so the first signal alone would take its time.
    let api = Server::new().records(texts(50)).start();
    let place = place(&api, &database);
    let mut holder = database.client();
    holder
        .batch_execute("BEGIN; LOCK customers IN ACCESS EXCLUSIVE MODE")
        .unwrap();
    let child = place.start(&["sync"]);
    until("a statement that waits for the lock", || {
        database.one("SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'datasync' AND wait_event_type = 'Lock'") != "0"
    });
    for _ in 0..2 {
        signal(Signal::TERM, child.id());
        std::thread::sleep(Duration::from_millis(300));
    }
    let asked = Instant::now();
    finish(child).expect(143);
    assert!(asked.elapsed() < Duration::from_secs(2));
}

#[test]
fn row_56_a_signal_is_obeyed_within_ten_seconds_even_by_a_run_whose_database_has_gone_silent() {
    let database = Database::new();
    let proxy = crate::support::proxy::Proxy::start(database.port);
    let api = Server::new()
        .records(texts(3_000))
        .latency(Duration::from_millis(100))
        .start();
    // The shipped timeouts: 60 s for a statement, 5 s to connect.
    let place = place(&api, &database)
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", proxy.port.to_string());
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let child = place.start(&["sync", "--output", "json"]);
    until("the first rows", || rows(&database) != "0");
    proxy.set(crate::support::proxy::Mode::BlackHole);
    // The heartbeat comes every 5 s: let it be stuck as well.
    std::thread::sleep(Duration::from_secs(6));
    let asked = Instant::now();
    signal(Signal::TERM, child.id());
    let finished = finish(child);
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}\n{finished}",
        asked.elapsed()
    );
    finished.expect(143);
    let report = finished.json();
    crate::support::command::assert_balanced(&report);
    assert!(count(&report, "spooled") > 0, "{report}");
    assert_eq!(report["case_id"], serde_json::Value::Null);
    proxy.set(crate::support::proxy::Mode::Forward);
    // A killed link leaves its back end in a transaction until the server notices.
    database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'datasync' AND datname = current_database()",
    );
    place.run(&["sync"]).expect(0);
    assert_eq!(rows(&database), "3000");
    assert_eq!(
        database.list("SELECT concat_ws(' ', status, exit_code) FROM sync_log ORDER BY started_at"),
        ["PARTIAL 143", "SUCCESS 0"],
        "the log row of the first run was kept and moved"
    );
}

#[test]
fn row_56_a_run_that_waits_for_its_turn_obeys_a_signal_at_once() {
    let database = Database::new();
    let api = Server::new().records(texts(50)).start();
    let place = place(&api, &database);
    database.run(
        "INSERT INTO sync_lease (target, run_id, who, host, process, started_at, heartbeat_at, expires_at) \
         SELECT 'public.customers', gen_random_uuid(), 'somebody', 'elsewhere', '', now(), now(), now() + interval '1 hour'",
    );
    let child = place.start(&["sync", "--wait", "5m"]);
    until("it asks for the lease", || {
        database.one("SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'datasync' AND query ~ 'FROM .*sync_lease'") != "0"
    });
    let asked = Instant::now();
    signal(Signal::INT, child.id());
    finish(child).expect(130);
    assert!(asked.elapsed() < Duration::from_secs(3));
    assert!(api.requests().is_empty(), "nothing was fetched");
    assert_eq!(rows(&database), "0");
}

#[test]
fn row_57_a_spool_without_space_is_exit_6_and_nothing_is_claimed() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new().records(texts(9_000)).start();
    let place = place(&api, &database);
    place.edit(
        "mappings.yaml",
        "spool: { max_bytes: 1GiB }",
        "spool: { max_bytes: 1MiB }",
    );
    place.edit("mappings.yaml", "size: 100 ", "size: 1000 ");
    cluster.stop("fast");
    let (finished, report) = place.sync(&[]);
    finished.expect(6).says("the spool is full");
    assert!(
        report["problems"]
            .to_string()
            .contains("could not be kept; the next run fetches them again"),
        "{report}"
    );
    let bytes: u64 = std::fs::read_dir(place.state().join("spool"))
        .unwrap()
        .map(|f| f.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= 1 << 20, "{bytes}");
    cluster.start();
    place.run(&["retry"]).expect(0);
    place.run(&["sync"]).expect(0);
    assert_eq!(rows(&database), "9000");
}

#[test]
fn row_57_a_full_file_system_under_the_spool_is_exit_6() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new().records(texts(9_000)).page_size(1_000).start();
    let place = place(&api, &database);
    std::fs::create_dir_all(place.state()).unwrap();
    let mount = place.state().display().to_string();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=400k,mode=0700", "tmpfs", &mount])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        crate::support::not_run("row 57 on a full file system, needs the right to mount one");
        return;
    }
    cluster.stop("fast");
    let (finished, report) = place.sync(&[]);
    let left: Vec<_> = std::fs::read_dir(place.state().join("spool"))
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    finished.expect(6);
    assert!(count(&report, "spooled") < 9_000);
    assert!(
        left.iter()
            .all(|path| path.extension().is_some_and(|ext| ext == "spool")),
        "no half-written file: {left:?}"
    );
    cluster.start();
    place.run(&["sync"]).expect(0);
    assert_eq!(rows(&database), "9000");
    std::process::Command::new("umount")
        .arg(&mount)
        .status()
        .unwrap();
}

#[test]
fn row_58_a_file_size_limit_is_exit_6_and_no_death_by_signal() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new().records(texts(3_000)).start();
    let place = place(&api, &database);
    cluster.stop("fast");
    // In blocks of 512 or 1,024 bytes: a batch of 300 records and more does not fit.
    let finished = through_shell(&place, "ulimit -f 20; exec \"$0\" sync");
    finished.expect(6);
    cluster.start();
    place.run(&["sync"]).expect(0);
    assert_eq!(rows(&database), "3000");
}

#[test]
fn row_59_a_stdout_that_is_full_or_closed_changes_nothing() {
    for redirection in ["> /dev/full", "| head -c 0", ">&-"] {
        let api = Server::new().records(texts(100)).start();
        let database = Database::new();
        let place = place(&api, &database);
        let finished = through_shell(&place, &format!("\"$0\" sync --output json {redirection}"));
        finished.expect(0);
        assert_eq!(rows(&database), "100", "{redirection}");
        assert_eq!(database.one("SELECT status FROM sync_log"), "SUCCESS");
    }
}

#[test]
fn row_60_a_torn_or_flipped_spool_file_is_quarantined_and_reported() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    // So large that they fill several files.
    let note = "x".repeat(40_000);
    let more = format!("{{\"note\":\"{note}\",");
    let texts = texts(400).into_iter();
    let api = Server::new()
        .records(texts.map(|text| text.replacen('{', &more, 1)))
        .start();
    let place = place(&api, &database);
    place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 100 ");
    cluster.stop("fast");
    place.sync(&[]).0.expect(4);
    let mut files: Vec<_> = std::fs::read_dir(place.state().join("spool"))
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 3);
    let torn = std::fs::read(&files[0]).unwrap();
    std::fs::write(&files[0], &torn[..torn.len() / 2]).unwrap();
    let mut flipped = std::fs::read(&files[1]).unwrap();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 4;
    std::fs::write(&files[1], &flipped).unwrap();
    cluster.start();
    let finished = place.run(&["sync", "--output", "json"]);
    finished.expect(6).says("quarantine");
    let aside: Vec<_> = std::fs::read_dir(place.state().join("quarantine"))
        .unwrap()
        .collect();
    assert_eq!(aside.len(), 2, "moved, not deleted");
    // The whole files were replayed, and the fetch brought the rest again.
    assert_eq!(rows(&database), "400");
    assert!(finished.json()["case_id"].is_string());
}

#[test]
fn row_61_a_state_directory_that_cannot_be_written_is_told_before_fetching() {
    let api = Server::new().records(texts(50)).start();
    let database = Database::new();
    let place = place(&api, &database);
    // A file where the folder should be: not even root can write there.
    std::fs::write(place.state(), "in the way").unwrap();
    place.run(&["sync"]).expect(2).says("--state-dir");
    assert!(api.requests().is_empty());
}

#[test]
fn row_61_a_state_directory_that_stops_being_writable_during_the_run_is_exit_6() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new()
        .records(texts(2_000))
        .latency(Duration::from_millis(100))
        .start();
    let place = place(&api, &database);
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 100 ");
    cluster.stop("fast");
    let child = place.start(&["sync", "--output", "json"]);
    let spooled = || {
        std::fs::read_dir(place.state().join("spool"))
            .into_iter()
            .flatten()
            .flatten()
            .filter(|file| file.path().extension().is_some_and(|ext| ext == "spool"))
            .count()
    };
    until("the first file in the spool", || spooled() > 0);
    // Not even root can write below a file.
    let aside = place.path("aside");
    std::fs::rename(place.state(), &aside).unwrap();
    std::fs::write(place.state(), "in the way").unwrap();
    let finished = finish(child);
    finished
        .expect(6)
        .says("could not be kept; the next run fetches them again");
    let report = finished.json();
    crate::support::command::assert_balanced(&report);
    assert!(
        count(&report, "spooled") > 0 && count(&report, "spooled") < 2_000,
        "{report}"
    );
    // What was counted as spooled is there, and all the rest comes again.
    std::fs::remove_file(place.state()).unwrap();
    std::fs::rename(&aside, place.state()).unwrap();
    cluster.start();
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert!(report["replayed"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(rows(&database), "2000");
}

#[test]
fn row_62_a_clock_set_back_orders_nothing() {
    let faketime = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    ]
    .into_iter()
    .find(|path| std::path::Path::new(path).exists());
    let Some(library) = faketime else {
        crate::support::not_run("row 62, needs libfaketime (Debian: apt-get install faketime)");
        return;
    };
    let database = Database::new();
    let changed: Vec<String> = texts(50)
        .iter()
        .map(|text| text.replace("\"lead\"", "\"partner\""))
        .collect();
    let (first, second) = (
        Server::new().records(texts(50)).start(),
        Server::new().records(changed).start(),
    );
    hasty(Workplace::connected(first.url(), &database))
        .sync(&[])
        .0
        .expect(0);
    // A day behind: without PostgreSQL's clock these pages would look older than what is stored.
    let late = hasty(Workplace::connected(second.url(), &database))
        .env("LD_PRELOAD", library)
        .env("FAKETIME", "-1d");
    let (finished, report) = late.sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "updated"), 50, "{report}");
}

#[test]
fn row_74_state_files_are_private_and_a_readable_env_file_is_warned_of() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new().records(texts(50)).start();
    let place = place(&api, &database);
    cluster.stop("fast");
    place.sync(&[]).0.expect(4);
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.state()), 0o700);
    for folder in ["spool", "cases", "log"] {
        let folder = place.state().join(folder);
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for file in std::fs::read_dir(&folder).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }
    place.write(".env", "API_TOKEN=in-the-file\n");
    std::fs::set_permissions(place.path(".env"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let finished = place.run(&["validate"]);
    finished.expect(0).says(".env");
    assert!(!format!("{finished}").contains("in-the-file"));
}
