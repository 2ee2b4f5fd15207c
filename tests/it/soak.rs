//! Kill -9 at random moments: no fetched record is lost or doubled, and the next run needs no clean-up.
//!
//! `DATASYNC_KILLS` says how many (12 in `make test`, 200 in `make soak`), `DATASYNC_SEED` repeats a run that failed.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use fastrand::Rng;

use crate::support::Workplace;
use crate::support::command::finish;
use crate::support::http::Server;
use crate::support::postgres::Cluster;

const RECORDS: usize = 20_000;
const PAGE: usize = 500;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

/// Record `i` in its `generation`th version.
fn text(i: usize, generation: u32) -> String {
    format!(
        r#"{{"external_id":"S-{i:05}","full_name":"Name {i} {generation}","contact_email":"s{i}@example.com","quality_score":90,"record_type":"lead"}}"#
    )
}

#[test]
fn row_55_kill_9_at_random_moments_loses_nothing_and_needs_no_help() {
    let seed = number("DATASYNC_SEED", fastrand::u64(..));
    let kills = number("DATASYNC_KILLS", 12);
    let mut random = Rng::with_seed(seed);
    let cluster = Cluster::new(&[("fsync", "off")], &[]);
    let database = cluster.database();
    let mut generations = vec![0_u32; RECORDS];
    let mut place = Workplace::connected("http://127.0.0.1:1", &database);
    place.edit("mappings.yaml", "size: 100 ", &format!("size: {PAGE} "));
    let pages = RECORDS / PAGE;
    let (mut struck, mut spooled, mut abandoned) = (0, 0, 0);
    for kill in 0..kills {
        for _ in 0..200 {
            generations[random.usize(..RECORDS)] += 1;
        }
        let texts: Vec<String> = generations
            .iter()
            .enumerate()
            .map(|(i, generation)| text(i, *generation))
            .collect();
        let api = Server::new()
            .records(texts)
            .page_size(PAGE)
            .latency(Duration::from_millis(3))
            .start();
        place = place.with_api(api.url());
        // Every fourth time the database is away, so that the kill meets the spool.
        let away = kill % 4 == 3;
        if away {
            cluster.stop("immediate");
        }
        let mut child = place.start(&["sync", "--output", "json"]);
        // The moment is counted in pages that the API was asked for, so that it means the same on
        // every machine; a little later, so that it may fall between two pages, or after the last.
        let asked = random.usize(..=pages);
        while api.requests().len() < asked && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        // A file of the spool is gathered for up to a second before it is sealed.
        let longest = if away { 1_500_000 } else { 20_000 };
        std::thread::sleep(Duration::from_micros(random.u64(..longest)));
        let alive = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        finish(child);
        struck += u64::from(alive);
        if away {
            cluster.start();
        }
        let spool = place.state().join("spool");
        let waiting = std::fs::read_dir(&spool).map_or(0, |files| {
            files
                .filter(|file| {
                    file.as_ref()
                        .unwrap()
                        .path()
                        .extension()
                        .is_some_and(|ext| ext == "spool")
                })
                .count()
        });
        spooled += u64::from(waiting > 0);

        let (finished, report) = place.sync(&[]);
        let place_of = format!("kill {kill}, DATASYNC_SEED={seed}");
        assert_eq!(finished.code, 0, "{place_of}\n{finished}");
        assert_eq!(report["ledger"]["fetched"], RECORDS, "{place_of}");
        let mut client = database.client();
        let rows = client
            .query(
                "SELECT customer_id, customer_name FROM customers ORDER BY customer_id",
                &[],
            )
            .unwrap();
        assert_eq!(rows.len(), RECORDS, "{place_of}");
        for (i, row) in rows.iter().enumerate() {
            let (id, name): (String, String) = (row.get(0), row.get(1));
            assert_eq!(
                (id, name),
                (format!("S-{i:05}"), format!("Name {i} {}", generations[i])),
                "{place_of}"
            );
        }
        assert_eq!(
            database.one("SELECT count(*)::text FROM sync_lease"),
            "0",
            "{place_of}"
        );
        assert_eq!(
            database.one("SELECT count(*)::text FROM sync_log WHERE status = 'RUNNING'"),
            "0",
            "{place_of}"
        );
        assert_eq!(
            std::fs::read_dir(&spool).unwrap().count(),
            0,
            "{place_of}: the spool is empty, temporary files included"
        );
        abandoned = database
            .one("SELECT count(*)::text FROM sync_log WHERE status = 'ABANDONED'")
            .parse()
            .unwrap();
    }
    // What every finished run says is what its batches say.
    assert_eq!(
        database.one(
            "SELECT count(*)::text FROM sync_log l WHERE status = 'SUCCESS' AND (inserted, updated, unchanged) IS DISTINCT FROM \
             (SELECT (sum(b.inserted)::bigint, sum(b.updated)::bigint, sum(b.unchanged)::bigint) FROM sync_batches b WHERE b.run_id = l.sync_id AND l.replayed = 0) \
             AND replayed = 0"
        ),
        "0",
        "DATASYNC_SEED={seed}"
    );
    eprintln!(
        "soak: {kills} kills, {struck} met a running process, {abandoned} log rows were taken over, {spooled} left a spool; seed {seed}"
    );
    assert!(
        struck > kills / 3,
        "the kills came too late to mean anything: {struck} of {kills}, DATASYNC_SEED={seed}"
    );
    assert!(
        kills < 100 || spooled > kills / 20,
        "too few kills met a spool: {spooled} of {kills}, DATASYNC_SEED={seed}"
    );
}
