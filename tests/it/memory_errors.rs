//! Leaked memory does not grow with the number of records. This needs valgrind, so it is part of `make memcheck`; elsewhere
//! the test says that it was not run.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use crate::support::Workplace;
use crate::support::command::{Finished, finish, program, wrapper};
use crate::support::http::Server;
use crate::support::postgres::Database;

/// What valgrind says at the end.
#[derive(Debug)]
struct Summary {
    /// Bytes that nothing points to any more, and what could be reached from them only.
    lost: u64,
    /// Bytes that were not given back, wherever they are.
    in_use: u64,
}

/// The number after this text; valgrind writes 12,345.
fn figure(text: &str, name: &str) -> u64 {
    let rest = text.split_once(name).map_or("", |(_, rest)| rest);
    rest.trim_start()
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == ',')
        .filter(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .unwrap_or_else(|_| panic!("no {name} in\n{text}"))
}

fn sync(valgrind: &str, records: u32) -> Summary {
    let texts = (0..records).map(|i| {
        let score = if i % 10 == 0 { 10 } else { 90 };
        format!(
            r#"{{"external_id":"L-{i:05}","full_name":"Name {i}","contact_email":"l{i}@example.com","quality_score":{score},"record_type":"lead"}}"#
        )
    });
    let (api, database) = (Server::new().records(texts).start(), Database::new());
    let place = Workplace::connected(api.url(), &database);
    let log = place.path("valgrind.log");
    let plain = place.command(&["sync", "--output", "json"]);
    let mut command = Command::new(valgrind);
    command
        .args(["--leak-check=full", "--fair-sched=try"])
        .arg(format!("--log-file={}", log.display()))
        .arg(program())
        .args(["sync", "--output", "json"])
        .current_dir(place.path(""))
        .env_clear()
        .envs(
            plain
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let finished: Finished = finish(command.spawn().unwrap());
    finished.expect(0);
    assert_eq!(finished.json()["ledger"]["fetched"], records);
    let said = std::fs::read_to_string(log).unwrap();
    if said.contains("no leaks are possible") {
        return Summary { lost: 0, in_use: 0 };
    }
    Summary {
        lost: figure(&said, "definitely lost:") + figure(&said, "indirectly lost:"),
        in_use: figure(&said, "in use at exit:"),
    }
}

#[test]
fn ten_times_the_records_lose_no_more_memory() {
    let wrapper = wrapper();
    let Some(valgrind) = wrapper.first().filter(|first| first.ends_with("valgrind")) else {
        eprintln!("left out: only make memcheck runs the program under valgrind");
        return;
    };
    let (few, many) = (sync(valgrind, 300), sync(valgrind, 3_000));
    eprintln!("300 records: {few:?}; 3,000 records: {many:?}");
    assert_eq!(few.lost, 0, "{few:?}");
    assert_eq!(many.lost, 0, "{many:?}");
    // A list that somebody still holds at the end would have 2,700 records more, of more than 100 bytes each.
    assert!(
        many.in_use < few.in_use + 100_000,
        "{few:?} with 300 records, {many:?} with 3,000"
    );
}
