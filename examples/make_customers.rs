//! Writes the customer records of the demo, `fixtures/customers/customers.ndjson`, and what should become of each,
//! `expected.tsv`: the same bytes on every machine and every day, no clock and no random source.
//!
//! `cargo run --example make_customers` rewrites both; the test below (part of `cargo test`) says when they are stale.
//! Most records are ordinary; every tenth is one of the special cases of `make_customers/special.rs`. All names are put
//! together from common given and family names. It must not use anything of the crate: what is expected of a record is said
//! here independently of the code under test.

#[path = "make_customers/names.rs"]
mod names;
#[path = "make_customers/special.rs"]
mod special;

use std::path::Path;
use std::{fmt, fs, io, iter};

/// Ordinary records; with the special ones about 3,000 lines.
const ORDINARY: u64 = 2_700;
/// One special record after this many ordinary ones.
const SPECIAL_EVERY: usize = 9;

/// What should become of a record, by the shipped mapping and decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Written.
    Valid,
    /// Written and flagged for review.
    Warning,
    /// Kept out of the table.
    Rejected,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "valid",
            Self::Warning => "warning",
            Self::Rejected => "rejected",
        })
    }
}

/// A record as JSON members in their order; values are JSON text, so that any oddity can be written.
#[derive(Clone, Debug)]
pub struct Record {
    members: Vec<(&'static str, String)>,
}

impl Record {
    /// Replaces a member's value by this JSON text, or appends the member.
    pub fn set(&mut self, name: &'static str, json: impl Into<String>) -> &mut Self {
        let json = json.into();
        match self.members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, value)) => *value = json,
            None => self.members.push((name, json)),
        }
        self
    }

    /// A member's value as JSON text; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.members
            .iter()
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value.as_str())
    }

    /// Sets a text value, which is quoted and escaped.
    pub fn set_text(&mut self, name: &'static str, text: &str) -> &mut Self {
        self.set(name, quoted(text))
    }

    /// Appends a member even if there is one of that name already.
    pub fn repeat(&mut self, name: &'static str, json: &str) -> &mut Self {
        self.members.push((name, json.to_owned()));
        self
    }

    /// Takes a member away.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.members.retain(|(known, _)| *known != name);
        self
    }

    /// One line of JSON.
    fn to_json(&self) -> String {
        let members: Vec<String> = self
            .members
            .iter()
            .map(|(name, value)| format!("{}:{value}", quoted(name)))
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

/// One line of the fixture.
struct Line {
    json: String,
    case: &'static str,
    expected: Expected,
    /// What later duplicates start from.
    record: Record,
}

/// Text as a JSON string, escaping only what must be.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A well-mixed number for `seed`, always the same.
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// An element of a list that is not empty, chosen by `number`.
pub fn pick<T: Copy>(list: &[T], number: u64) -> T {
    let length = u64::try_from(list.len()).unwrap_or(1);
    list[usize::try_from(number % length).unwrap_or(0)]
}

/// RFC 3339 text of a moment in 2014 to 2024, with the offset and in one of the precisions that real systems send.
pub fn timestamp(number: u64, offset: &str) -> String {
    let (year, month, day) = (
        2014 + number % 11,
        1 + number / 11 % 12,
        1 + number / 132 % 28,
    );
    let (hour, minute, second) = (
        number / 3_360 % 24,
        number / 80_640 % 60,
        number / 4_838_400 % 60,
    );
    let fraction = match number / 290_304_000 % 5 {
        0 => format!(".{:03}", number % 1_000),
        1 => format!(".{:06}", number % 1_000_000),
        _ => String::new(),
    };
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{offset}")
}

/// An ordinary customer: complete, well-formed, with a score that is fine more often than not.
fn ordinary(number: u64) -> (Record, Expected) {
    let dice = mix(number);
    let person = names::person(dice >> 8);
    let offset = pick(person.offsets, dice >> 40);
    let created = timestamp(mix(dice), offset);
    // Updated in the year after it was created at the earliest, so that the order of both is right.
    let updated = format!("{}{}", 2025, &timestamp(mix(dice ^ 1), offset)[4..]);
    let (score, expected) = match dice % 100 {
        0..4 => (mix(dice ^ 2) % 50, Expected::Rejected),
        4..24 => (50 + mix(dice ^ 2) % 30, Expected::Warning),
        _ => (80 + mix(dice ^ 2) % 21, Expected::Valid),
    };
    // Some systems score in tenths; 49.x, 79.x and so on stay on their side of the boundary.
    let tenths = if dice.is_multiple_of(7) && score < 100 {
        format!(".{}", 1 + dice % 9)
    } else {
        String::new()
    };
    let tag = if dice.is_multiple_of(11) { "+news" } else { "" };
    let mut record = Record {
        members: Vec::new(),
    };
    record
        .set_text("external_id", &format!("CUST-{number:06}"))
        .set_text("full_name", &person.full_name)
        .set_text(
            "contact_email",
            &format!(
                "{}{tag}{}@{}",
                person.mailbox,
                number % 97,
                pick(names::MAIL_DOMAINS, dice >> 20)
            ),
        )
        .set_text("created_date", &created)
        .set_text("updated_date", &updated)
        .set("quality_score", format!("{score}{tenths}"))
        .set_text(
            "record_type",
            pick(
                &["customer", "customer", "customer", "lead", "partner"],
                dice >> 30,
            ),
        )
        .set(
            "address",
            format!(
                "{{\"country\":{},\"postal_code\":{}}}",
                quoted(person.country),
                quoted(&format!("{:05}", dice % 99_991))
            ),
        );
    if !dice.is_multiple_of(3) {
        record.set_text(
            "phone",
            &format!("{} 555 {:04}", person.dial, dice % 10_000),
        );
    }
    (record, expected)
}

/// Everything but ASCII written as `\uXXXX`, as many systems send it.
fn escape_non_ascii(json: &str) -> String {
    json.encode_utf16()
        .map(|unit| match u8::try_from(unit) {
            Ok(ascii) if ascii.is_ascii() => char::from(ascii).to_string(),
            _ => format!("\\u{unit:04x}"),
        })
        .collect()
}

/// All lines, in their order.
fn lines() -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut special = special::all().into_iter();
    for number in 1..=ORDINARY {
        let (record, expected) = ordinary(number);
        let json = record.to_json();
        let json = if number.is_multiple_of(40) {
            escape_non_ascii(&json)
        } else {
            json
        };
        lines.push(Line {
            json,
            case: "ordinary",
            expected,
            record,
        });
        if (lines.len() + 1).is_multiple_of(SPECIAL_EVERY + 1)
            && let Some(case) = special.next()
        {
            let line =
                match case.kind {
                    special::Kind::Alter(alter) => {
                        // Above all ordinary numbers, and well-formed but for what the case alters.
                        let own_number = 900_000 + number;
                        let (mut record, _) = ordinary(own_number);
                        record
                            .set("quality_score", "90")
                            .set_text("record_type", "customer");
                        alter(&mut record);
                        Line {
                            json: record.to_json(),
                            case: case.name,
                            expected: case.expected,
                            record,
                        }
                    }
                    special::Kind::Repeat { lines_back, alter } => {
                        // The nearest accepted, ordinary line at that distance, so that only the repetition is special.
                        let start = lines.len().saturating_sub(lines_back);
                        let Some(earlier) = lines[..=start].iter().rev().find(|line| {
                            line.case == "ordinary" && line.expected == Expected::Valid
                        }) else {
                            continue;
                        };
                        let mut record = earlier.record.clone();
                        alter(&mut record);
                        Line {
                            json: record.to_json(),
                            case: case.name,
                            expected: case.expected,
                            record,
                        }
                    }
                };
            lines.push(line);
        }
    }
    lines
}

/// The two files: records, one a line; and line number, expected outcome and case, separated by tabs.
fn render() -> (String, String) {
    let lines = lines();
    let records = lines.iter().map(|line| format!("{}\n", line.json));
    let expected = lines
        .iter()
        .enumerate()
        .map(|(index, line)| format!("{}\t{}\t{}\n", index + 1, line.expected, line.case));
    (
        records.collect(),
        iter::once("line\texpected\tcase\n".to_owned())
            .chain(expected)
            .collect(),
    )
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/customers"))
}

fn main() -> io::Result<()> {
    let (records, expected) = render();
    fs::create_dir_all(folder())?;
    fs::write(folder().join("customers.ndjson"), records)?;
    fs::write(folder().join("expected.tsv"), expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_fixture_is_what_this_program_writes() -> io::Result<()> {
        let (records, expected) = render();
        let hint = "run: cargo run --example make_customers";
        assert!(
            fs::read_to_string(folder().join("customers.ndjson"))? == records,
            "{hint}"
        );
        assert!(
            fs::read_to_string(folder().join("expected.tsv"))? == expected,
            "{hint}"
        );
        Ok(())
    }

    #[test]
    fn nine_records_in_ten_are_fit() {
        let lines = lines();
        let rejected = lines
            .iter()
            .filter(|line| line.expected == Expected::Rejected)
            .count();
        assert!(
            rejected * 10 <= lines.len() * 11 / 10,
            "{rejected} of {}",
            lines.len()
        );
        assert!(
            rejected * 20 >= lines.len(),
            "{rejected} of {}",
            lines.len()
        );
    }
}
