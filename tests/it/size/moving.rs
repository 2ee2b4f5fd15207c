//! A source that moves while it is read, random runs and faults, and after each of them a look at the table: every record
//! as the source has it is stored or refused, or the next run asks for it.
//!
//! `DATASYNC_ROUNDS` says how many rounds (24 in `make test`, 600 in `make soak`), `DATASYNC_SEED` repeats a run.

use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;

use super::source::{SECOND, Source, State, Style, assert_nothing_lost, incremental, stored};
use crate::support::command::{assert_balanced, finish};
use crate::support::http::{Fault, Request};
use crate::support::postgres::Cluster;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

/// Somebody is at work at the source: records change, and new ones come in between.
fn churn(state: &mut State, random: &mut Rng) {
    for _ in 0..random.u32(0..4) {
        match random.u32(..12) {
            0 => state.spoil(random.u32(1..=400) * 10),
            1..=3 => state.change(random.u32(1..4_000)),
            _ => state.change(random.u32(1..=400) * 10),
        }
    }
}

#[test]
fn whatever_moves_and_whatever_fails_every_record_is_stored_or_asked_for_again() {
    let seed = number("DATASYNC_SEED", fastrand::u64(..1 << 40));
    let rounds = number("DATASYNC_ROUNDS", 24);
    let lanes = [Style::Page, Style::Bare, Style::Cursor];
    std::thread::scope(|scope| {
        for (lane, style) in (0..).zip(lanes) {
            scope.spawn(move || schedule(seed + lane, style, rounds.div_ceil(3)));
        }
    });
    eprintln!("moving: {rounds} rounds from seed {seed}");
}

fn schedule(seed: u64, style: Style, rounds: u64) {
    let mut random = Rng::with_seed(seed);
    let source = Source::new(400);
    // A server that is stopped at once must not forget what it has confirmed.
    let cluster = Cluster::new(&[("synchronous_commit", "on")], &[]);
    let database = cluster.database();
    // The source's clock may be an hour behind: its Date header tells.
    let skew = if random.bool() { -3_600 } else { 0 };
    source.lock().skew = skew * SECOND;
    let its_time = |seconds: i64| {
        Timestamp::from_second(Timestamp::now().as_second() + skew + seconds).unwrap()
    };
    let mut place = incremental("http://127.0.0.1:1", &database, "0s");
    place.edit("mappings.yaml", "size: 100 ", "size: 25 ");
    if style == Style::Cursor {
        place.edit("mappings.yaml", "style: page ", "style: cursor ");
    }
    if random.bool() {
        place.edit("mappings.yaml", "# updated_date:", "updated_date:");
        place.edit("mappings.yaml", "# version_field:", "version_field:");
    }
    for round in 0..=rounds {
        let last = round == rounds;
        let noise = Mutex::new(Rng::with_seed(random.u64(..)));
        // A source that moved while it was read is read again: in every second round nobody is at work.
        let quiet = last || round % 2 == 1;
        let then = move |_: &Request, state: &mut State| {
            if !quiet {
                churn(state, &mut noise.lock().unwrap());
            }
        };
        let kind = if last || round == 1 {
            0
        } else {
            random.u32(..13)
        };
        let date = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&its_time(0))
            .unwrap();
        let mut server = source
            .serve(style, then)
            .latency(Duration::from_millis(random.u64(10..80)))
            .fault(1, Fault::Headers(vec![("Date", date)]));
        if kind == 5 {
            for request in random.usize(2..12)..200 {
                server = server.fault(request, Fault::Status(500));
            }
        }
        let api = server.start();
        place = place.with_api(api.url());
        let backfill = its_time(-1).to_string();
        let arguments: &[&str] = match kind {
            6 => &["--full"],
            7 => &["--limit", "30"],
            8 => &["--since", &backfill],
            9 => &["--dry-run"],
            _ => &[],
        };
        let away = kind == 10;
        if away {
            cluster.stop("immediate");
        }
        let mut child = place.start(&[&["sync", "--output", "json"], arguments].concat());
        let killed = kind >= 11 || (away && random.bool());
        if killed {
            std::thread::sleep(Duration::from_millis(random.u64(..1_500)));
            child.kill().unwrap();
        }
        let finished = finish(child);
        if away {
            cluster.start();
        }
        let here = format!(
            "{style:?}, round {round} of kind {kind} {arguments:?}, DATASYNC_SEED={seed}\n{finished}"
        );
        if !killed {
            assert_balanced(&finished.json());
            let expected = match kind {
                5 => &[0, 3, 5][..],
                10 => &[4],
                // Of a few changes one refused is more than a fifth.
                _ => &[0, 5],
            };
            assert!(expected.contains(&finished.code), "{here}");
        }
        // What the next run asks for: whole seconds.
        let next = stored(&database)
            .parse::<Timestamp>()
            .map_or(i64::MIN, |mark| mark.as_second() * SECOND);
        assert_nothing_lost(&source, &database, next, &here);
        if last {
            assert_nothing_lost(&source, &database, i64::MAX, &here);
        }
    }
    assert_eq!(database.one("SELECT count(*)::text FROM sync_lease"), "0");
    let moved: u64 = database
        .one("SELECT count(DISTINCT watermark_after)::text FROM sync_log")
        .parse()
        .unwrap();
    assert!(moved > 1, "the watermark never moved: DATASYNC_SEED={seed}");
}
