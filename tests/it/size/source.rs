//! A source that can be changed while it is read, and that knows how to answer `updated_since`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;

use crate::support::Workplace;
use crate::support::http::{Request, Server};
use crate::support::postgres::Database;

pub const SECOND: i64 = 1_000_000;
/// A score that the rules refuse.
const REFUSED: u32 = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub generation: u32,
    /// Microseconds since 1970-01-01T00:00:00Z, by the source's clock.
    pub changed_at: i64,
    pub score: u32,
}

/// How pages are told apart, always in the order of ids, which never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Numbers, with totals.
    Page,
    /// Numbers, nothing announced.
    Bare,
    /// The cursor is the last id.
    Cursor,
}

#[derive(Debug)]
pub struct State {
    pub records: BTreeMap<u32, Record>,
    /// The source's clock less the real one, microseconds.
    pub skew: i64,
    /// `updated_since` of every request so far.
    pub asked: Vec<Option<String>>,
}

impl State {
    /// Changes a record, or adds it, now.
    pub fn change(&mut self, id: u32) {
        let now = Timestamp::now().as_microsecond() + self.skew;
        self.change_at(id, now);
    }

    pub fn change_at(&mut self, id: u32, changed_at: i64) {
        let known = self.records.get(&id);
        let generation = known.map_or(0, |known| known.generation + 1);
        self.records.insert(
            id,
            Record {
                generation,
                changed_at,
                score: 90,
            },
        );
    }

    /// Changes a record to something that the rules refuse.
    pub fn spoil(&mut self, id: u32) {
        self.change(id);
        self.records.get_mut(&id).unwrap().score = REFUSED;
    }
}

#[derive(Clone, Debug)]
pub struct Source(Arc<Mutex<State>>);

impl Source {
    /// Records 10, 20, … `count` × 10, changed a day ago, a second apart.
    pub fn new(count: u32) -> Self {
        let mut state = State {
            records: BTreeMap::new(),
            skew: 0,
            asked: Vec::new(),
        };
        let yesterday = day_ago();
        for id in 1..=count {
            state.change_at(id * 10, yesterday + i64::from(id) * SECOND);
        }
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A server for it. `then` is called after each page was made, and may change what comes.
    pub fn serve(
        &self,
        style: Style,
        then: impl Fn(&Request, &mut State) + Send + Sync + 'static,
    ) -> Server {
        let source = self.clone();
        Server::new().rewrite(move |request, _| {
            let mut state = source.lock();
            let since = request.param("updated_since");
            state.asked.push(since.map(str::to_owned));
            let body = answer(&state, style, request);
            then(request, &mut state);
            body
        })
    }
}

/// A day before now, on a whole second.
pub fn day_ago() -> i64 {
    (Timestamp::now().as_second() - 86_400) * SECOND
}

pub fn time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).unwrap().to_string()
}

pub fn micros(mark: &str) -> i64 {
    mark.parse::<Timestamp>().unwrap().as_microsecond()
}

fn name(id: u32, record: &Record) -> String {
    format!("Name {id} {}", record.generation)
}

fn key(id: u32) -> String {
    format!("M-{id:06}")
}

fn text(id: u32, record: &Record) -> String {
    format!(
        r#"{{"external_id":"{}","full_name":"{}","contact_email":"m{id}@example.com","quality_score":{},"record_type":"lead","updated_date":"{}"}}"#,
        key(id),
        name(id, record),
        record.score,
        time(record.changed_at)
    )
}

/// One page of it.
pub fn answer(state: &State, style: Style, request: &Request) -> String {
    let since = request.param("updated_since").map_or(i64::MIN, micros);
    let all: Vec<(&u32, &Record)> = state
        .records
        .iter()
        .filter(|(_, record)| record.changed_at >= since)
        .collect();
    let number = |name: &str| {
        request
            .param(name)
            .and_then(|text| text.parse::<usize>().ok())
    };
    let size = number("page_size").unwrap();
    let from = match style {
        Style::Page | Style::Bare => (number("page").unwrap() - 1) * size,
        Style::Cursor => {
            let last = u32::try_from(number("cursor").unwrap_or(0)).unwrap();
            all.iter().take_while(|(id, _)| **id <= last).count()
        }
    };
    let to = (from + size).min(all.len());
    let page = all.get(from..to).unwrap_or_default();
    let texts: Vec<String> = page.iter().map(|(id, record)| text(**id, record)).collect();
    let data = texts.join(",");
    match style {
        Style::Page => format!(
            r#"{{"data":[{data}],"total":{},"total_pages":{}}}"#,
            all.len(),
            all.len().div_ceil(size)
        ),
        Style::Bare => format!(r#"{{"data":[{data}]}}"#),
        Style::Cursor => {
            let last = page
                .last()
                .filter(|_| to < all.len())
                .map(|(id, _)| id.to_string());
            let next = serde_json::to_string(&last).unwrap();
            format!(r#"{{"data":[{data}],"next_cursor":{next}}}"#)
        }
    }
}

/// A workplace whose runs are incremental, with this overlap.
pub fn incremental(url: &str, database: &Database, overlap: &str) -> Workplace {
    let place = Workplace::connected(url, database);
    place.edit("mappings.yaml", "# incremental:", "incremental:");
    place.edit(
        "mappings.yaml",
        "overlap: 5m",
        &format!("overlap: {overlap}"),
    );
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place.edit("mappings.yaml", "max: 30s ", "max: 40ms ");
    place
}

/// The watermark in `sync_state`; empty when there is none.
pub fn stored(database: &Database) -> String {
    let sql = "SELECT coalesce(max(value), '') FROM sync_state WHERE name LIKE 'watermark %' AND name NOT LIKE '%/%'";
    database.one(sql)
}

/// What is in the table, by key.
pub fn table(database: &Database) -> BTreeMap<String, String> {
    let rows = database
        .client()
        .query("SELECT customer_id, customer_name FROM customers", &[])
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Every record of the source as it is now is in the table, or among the rejections, or lies at or after what the next
/// run asks for.
#[track_caller]
pub fn assert_nothing_lost(source: &Source, database: &Database, next_since: i64, place: &str) {
    let table = table(database);
    let sql = "SELECT key, payload FROM sync_rejections WHERE resolved_at IS NULL";
    let refused: BTreeMap<String, String> = database
        .client()
        .query(sql, &[])
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    for (id, record) in &source.lock().records {
        let name = name(*id, record);
        let is_there = if record.score == REFUSED {
            let payload = refused.get(&key(*id));
            payload.is_some_and(|payload| payload.contains(&format!("\"{name}\"")))
        } else {
            table.get(&key(*id)) == Some(&name)
        };
        assert!(
            is_there || record.changed_at >= next_since,
            "{place}: {name}, changed at {}, is lost; the table has {:?}",
            time(record.changed_at),
            table.get(&key(*id))
        );
    }
}

/// What a report says: `mode`, and the watermark before and after.
pub fn marks(report: &serde_json::Value) -> (String, String, String) {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mark = &report["watermark"];
    (
        text(&report["mode"]),
        text(&mark["before"]),
        text(&mark["after"]),
    )
}
