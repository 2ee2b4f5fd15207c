//! A pgbouncer whose server goes away, or has no connection to spare: what was fetched waits in the spool, as it does without
//! a pooler, and is written by the next run.

use super::{count, patient, place, rows, texts};
use crate::support::bouncer::{self, Bouncer};
use crate::support::command::finish;
use crate::support::http::{Running, Server};
use crate::support::postgres::{Cluster, Database};
use crate::support::{Workplace, not_run, until};

/// Waits that do not keep a test waiting.
const HASTY: &str = "server_login_retry = 1\nserver_connect_timeout = 2\nquery_wait_timeout = 2\n";

/// A server of its own behind a pgbouncer, and a place that talks to it; none where there is no pgbouncer.
fn behind(api: &Running, pool: u32) -> Option<(Cluster, Database, Bouncer, Workplace)> {
    let Some(program) = bouncer::program() else {
        not_run("a server that goes away behind pgbouncer, needs pgbouncer");
        return None;
    };
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let bouncer = Bouncer::start_with(&program, &database.server, pool, HASTY);
    let place = place(api, &database)
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", bouncer.port.to_string());
    Some((cluster, database, bouncer, place))
}

fn connect(database: &Database, bouncer: &Bouncer) -> Result<postgres::Client, postgres::Error> {
    postgres::Config::new()
        .host("127.0.0.1")
        .port(bouncer.port)
        .dbname(&database.name)
        .user(&database.server.user)
        .password(&database.server.password)
        .connect(postgres::NoTls)
}

/// Starts the server again, and waits until pgbouncer has noticed.
fn back(cluster: &Cluster, database: &Database, bouncer: &Bouncer) {
    cluster.start();
    until("pgbouncer has found its server", || {
        connect(database, bouncer).is_ok_and(|mut client| client.simple_query("SELECT 1").is_ok())
    });
}

#[test]
fn row_42_a_server_that_is_away_behind_a_pgbouncer_is_spooled_for_and_replayed() {
    let api = Server::new().records(texts(150)).start();
    let Some((cluster, database, bouncer, place)) = behind(&api, 5) else {
        return;
    };
    cluster.stop("fast");
    let (finished, report) = place.sync(&[]);
    finished.expect(4).says("pgbouncer");
    assert_eq!(count(&report, "spooled"), 150, "{finished}");
    // What waits comes first: nothing is fetched again.
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert_eq!(count(&report, "fetched"), 0, "{finished}");
    back(&cluster, &database, &bouncer);
    place.run(&["retry"]).expect(0);
    assert_eq!(rows(&database), "150");
    let (finished, report) = place.sync(&["--full"]);
    finished.expect(0);
    assert_eq!(count(&report, "unchanged"), 150, "{report}");
}

#[test]
fn row_42_a_server_that_goes_away_behind_a_pgbouncer_in_mid_run_is_spooled_for() {
    let api = Server::new().records(texts(450)).held_after(2).start();
    let Some((cluster, database, bouncer, place)) = behind(&api, 5) else {
        return;
    };
    let place = patient(place);
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let child = place.start(&["sync", "--output", "json"]);
    until("a third request", || api.requests().len() >= 3);
    until("the first rows", || rows(&database) != "0");
    cluster.stop("immediate");
    api.let_go();
    let finished = finish(child);
    finished.expect(4);
    let report = finished.json();
    crate::support::command::assert_balanced(&report);
    assert_eq!(count(&report, "fetched"), 450, "{finished}");
    assert!(count(&report, "spooled") >= 200, "{finished}");
    back(&cluster, &database, &bouncer);
    let (finished, _) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(rows(&database), "450");
    // The case of a cause that has passed is closed.
    assert_eq!(
        database.one("SELECT count(*) FROM sync_cases WHERE status = 'open'"),
        "0"
    );
}

#[test]
fn row_39_a_pool_without_a_free_connection_is_named_and_what_was_fetched_is_written_later() {
    let api = Server::new().records(texts(150)).held_after(1).start();
    let Some((_cluster, database, bouncer, place)) = behind(&api, 1) else {
        return;
    };
    let place = patient(place);
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let child = place.start(&["sync", "--output", "json"]);
    until("a second request", || api.requests().len() >= 2);
    until("the first rows", || rows(&database) == "100");
    // Somebody else takes the only connection of the pool, and keeps it.
    let mut other = connect(&database, &bouncer).unwrap();
    other.batch_execute("BEGIN").unwrap();
    api.let_go();
    let finished = finish(child);
    finished.expect(4).says("default_pool_size");
    let report = finished.json();
    assert_eq!(count(&report, "spooled"), 50, "{finished}");
    other.batch_execute("COMMIT").unwrap();
    place.sync(&[]).0.expect(0);
    assert_eq!(rows(&database), "150");
}
