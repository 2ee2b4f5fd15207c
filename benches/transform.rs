//! How long the mapping takes a record, on one thread, from its JSON text to typed cells: `cargo bench --bench transform`.
//!
//! Prints, for each shape of record, the best and the median of many short passes. The machine's other work disturbs the
//! median, hardly the best, a pass being shorter than a time slice.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use datasync::config::plan::{Field, KeyChoice, Kind, Mapping, QualityScore};
use datasync::transform::{Mapped, Transform};
use rust_decimal::Decimal;
use serde::de::IgnoredAny;

/// Records of one pass and of one page.
const RECORDS: usize = 5_000;
const PAGE: usize = 1_000;
const PASSES: usize = 400;

fn field(source: &str, name: &str, kind: Kind) -> Field {
    Field {
        source: source.split('.').map(str::to_owned).collect(),
        name: name.to_owned(),
        column: None,
        kind,
        required: false,
        default: None,
        format: None,
        timezone: None,
        max_length: matches!(kind, Kind::String | Kind::Email).then_some(255),
        trim: false,
        blank_is_null: false,
        origin: datasync::config::plan::Origin::Path,
        min: None,
        max: None,
        pattern: None,
        one_of: Vec::new(),
        weight: Decimal::ONE,
    }
}

/// The customer mapping of the documentation.
fn customers() -> Mapping {
    let mut fields = vec![
        field("external_id", "customerId", Kind::String),
        field("full_name", "customerName", Kind::String),
        field("contact_email", "email", Kind::Email),
        field("created_date", "createdAt", Kind::DateTime),
        field("quality_score", "qualityScore", Kind::Decimal),
        field("record_type", "recordType", Kind::String),
    ];
    fields[0].required = true;
    fields[1].required = true;
    fields[4].min = Some(Decimal::ZERO);
    fields[4].max = Some(Decimal::ONE_HUNDRED);
    Mapping {
        fields,
        key: 0,
        key_choice: KeyChoice::Settled,
        version: None,
        version_max_ahead: Duration::from_hours(24),
        quality_score: QualityScore {
            field: Some(4),
            fallback_completeness: true,
        },
    }
}

/// The six mapped fields, 185 bytes or a few more.
fn plain(number: usize) -> String {
    format!(
        r#"{{"external_id":"CUST-{number:08}","full_name":"Customer {number:08}","contact_email":"customer{number}@example.com","created_date":"2024-{:02}-{:02}T12:34:56Z","quality_score":{},"record_type":"customer"}}"#,
        number % 12 + 1,
        number % 28 + 1,
        number % 101
    )
}

/// Twenty unmapped fields besides, nested ones among them.
fn wide(number: usize) -> String {
    let mut record = plain(number);
    record.pop();
    for other in 0..18 {
        write!(record, r#","attribute_{other}":"value {number}""#).unwrap();
    }
    record.push_str(r#","address":{"street":"Main Street 1","city":"Lund","geo":[55.7,13.19]},"tags":["a","b","c"]}"#);
    record
}

/// No score at the source, and escapes in the text.
fn computed(number: usize) -> String {
    plain(number)
        .replace("\"quality_score\":", "\"quality\":")
        .replace("Customer ", "Ren\\u00e9 \\\"Cust\\\" ")
}

fn main() {
    let transform = Transform::new(&customers()).unwrap();
    let mut apply = |page: &[String]| {
        let mut mapped = Mapped::new();
        for raw in page {
            transform.apply(black_box(raw), &mut mapped);
            assert!(black_box(&mapped).is_well_formed());
        }
    };
    measure("plain", plain, &mut apply);
    measure("wide", wide, &mut apply);
    measure("computed", computed, &mut apply);
    // Yardsticks: what the parser alone takes, to step over a record and to read the six fields unconverted.
    measure("skipped", plain, |page| {
        for raw in page {
            black_box(serde_json::from_str::<IgnoredAny>(black_box(raw)).unwrap());
        }
    });
    measure("typed", plain, |page| {
        for raw in page {
            black_box(serde_json::from_str::<Typed<'_>>(black_box(raw)).unwrap());
        }
    });
}

/// The six fields as a general parser reads them, all but the score unconverted.
#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "only parsed")]
struct Typed<'a> {
    external_id: &'a str,
    full_name: &'a str,
    contact_email: &'a str,
    created_date: &'a str,
    quality_score: f64,
    record_type: &'a str,
}

/// Times one way to go through a page of records.
fn measure(name: &str, record: fn(usize) -> String, mut page_by: impl FnMut(&[String])) {
    let page: Vec<String> = (0..PAGE).map(record).collect();
    let bytes: usize = page.iter().map(String::len).sum();
    let mut times: Vec<Duration> = (0..PASSES)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..RECORDS / PAGE {
                page_by(&page);
            }
            started.elapsed()
        })
        .collect();
    times.sort();
    let figure = |time: Duration| {
        let seconds = time.as_secs_f64();
        let speed = bytes as f64 * (RECORDS / PAGE) as f64 / seconds / 1e6;
        format!(
            "{:.3} µs a record ({speed:.0} MB/s)",
            seconds * 1e6 / RECORDS as f64
        )
    };
    println!(
        "{name:<9} {:>4} bytes   best {}   median {}",
        bytes / PAGE,
        figure(times[0]),
        figure(times[PASSES / 2])
    );
}
