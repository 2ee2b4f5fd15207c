//! The benchmark's records: the same N on every machine, as API pages, as CSV and as columns. It must not know who loads
//! them. Shared with `examples/page_server.rs`.

use std::thread;
use std::time::Duration;

use bytes::Bytes;

use crate::http::{Request, Response};

const GIVEN: &[&str] = &[
    "Aino", "Bruno", "Chloé", "Dmitri", "Elif", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kaito",
    "Lucía", "Mei", "Noor", "Ottó", "Priya",
];
const FAMILY: &[&str] = &[
    "Almeida",
    "Bauer",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Horvat",
    "Ito",
    "Jensen",
    "Kaya",
    "Lindqvist",
    "Müller",
    "Nowak",
    "Okafor",
    "Papadakis",
];
const TYPES: &[&str] = &["customer", "lead", "partner", "customer"];

/// 2018-01-01T00:00:00Z, in seconds since 1970.
const FIRST_CREATED: u64 = 1_514_764_800;

/// What a source is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Every record is fit, a third of them for review; each comes once; nothing ever changes.
    Clean,
    /// Three records in ten are not fit: by their score, their address or a missing name.
    Rejected,
    /// One record in five is not fit, one in twenty comes twice, and one in ten has changed when it is read again.
    Realistic,
}

/// The first load of a source, or the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    First,
    Next,
}

impl Mix {
    /// Is the record with this number fit?
    pub const fn accepts(self, number: u64) -> bool {
        match self {
            Self::Clean => true,
            Self::Rejected => !matches!(number % 10, 3 | 6 | 9),
            Self::Realistic => number % 5 != 3,
        }
    }

    /// The customer that the record at this place (from 1) is about. One in twenty is about one of the same page.
    const fn customer_at(self, place: u64) -> u64 {
        match self {
            Self::Realistic if place % 20 == 19 => place - 8,
            _ => place,
        }
    }

    /// Different customers among the first so many records: all of them, and those that are fit.
    pub fn distinct(self, records: u64) -> (u64, u64) {
        let mut all: Vec<u64> = (1..=records).map(|place| self.customer_at(place)).collect();
        all.sort_unstable();
        all.dedup();
        let fit = all.iter().filter(|number| self.accepts(**number)).count();
        (all.len() as u64, fit as u64)
    }
}

/// One customer, by default fit, a third of them for review.
#[derive(Debug)]
pub struct Customer {
    pub id: String,
    pub name: String,
    pub email: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub created: u64,
    /// RFC 3339.
    pub created_text: String,
    /// 50 to 100.
    pub score: u8,
    pub kind: &'static str,
}

impl Customer {
    /// The customer with this number, from 1.
    pub fn new(number: u64) -> Self {
        let dice = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
        let given = pick(GIVEN, dice);
        let family = pick(FAMILY, dice >> 4);
        let created = FIRST_CREATED + (dice >> 8) % 220_000_000;
        Self {
            id: format!("CUST-{number:08}"),
            name: format!("{given} {family}"),
            email: format!("customer{number}.{}@mail.example.com", dice % 1_000),
            created,
            created_text: rfc3339(created),
            score: 50 + u8::try_from((dice >> 12) % 51).unwrap_or(0),
            kind: pick(TYPES, dice >> 20),
        }
    }

    /// By the shipped decision: a score below 80 is to be reviewed.
    pub const fn needs_review(&self) -> bool {
        self.score < 80
    }

    pub const fn status(&self) -> &'static str {
        if self.needs_review() {
            "WARNING"
        } else {
            "VALID"
        }
    }

    /// The same customer as a source of some kind has it.
    fn of(number: u64, mix: Mix, edition: Edition) -> Self {
        let mut customer = Self::new(number);
        if !mix.accepts(number) {
            match number / 5 % 4 {
                0 => "no address".clone_into(&mut customer.email),
                1 => customer.name.clear(),
                _ => customer.score = customer.score.saturating_sub(51),
            }
        } else if mix == Mix::Realistic && edition == Edition::Next && number % 10 == 1 {
            customer.name += " (changed)";
        }
        customer
    }

    fn json(&self) -> String {
        format!(
            r#"{{"external_id":"{}","full_name":"{}","contact_email":"{}","created_date":"{}","quality_score":{},"record_type":"{}"}}"#,
            self.id, self.name, self.email, self.created_text, self.score, self.kind,
        )
    }

    /// One line in the order of [`COLUMNS`].
    pub fn csv(&self) -> String {
        format!(
            "{},{},{},{},{},{},{},{}\n",
            self.id,
            self.name,
            self.email,
            self.created_text,
            self.score,
            self.kind,
            self.status(),
            self.needs_review(),
        )
    }
}

/// The columns that hold a customer's content.
pub const COLUMNS: &str = "customer_id, customer_name, email, created_at, quality_score, record_type, validation_status, needs_review";

fn pick(list: &'static [&'static str], number: u64) -> &'static str {
    let length = u64::try_from(list.len()).unwrap_or(1);
    list[usize::try_from(number % length).unwrap_or(0)]
}

/// Seconds since 1970 as RFC 3339 text in UTC.
fn rfc3339(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(String::new, |time| time.to_string())
}

/// All pages of the first `count` customers, rendered once and held in memory (about 190 bytes a record).
#[derive(Debug)]
pub struct Pages {
    pages: Vec<Bytes>,
    past_the_end: Bytes,
}

impl Pages {
    /// `size` customers a page.
    pub fn render(count: u64, size: u64, mix: Mix, edition: Edition) -> Self {
        let total_pages = count.div_ceil(size);
        let envelope = |page: u64, data: &str| {
            let next = if page < total_pages {
                format!("\"/api/v1/data?page={}&page_size={size}\"", page + 1)
            } else {
                "null".to_owned()
            };
            Bytes::from(format!(
                r#"{{"data":[{data}],"page":{page},"page_size":{size},"total":{count},"total_pages":{total_pages},"next":{next}}}"#
            ))
        };
        let render = |page: u64| {
            let mut data = String::new();
            for number in (page - 1) * size + 1..=(page * size).min(count) {
                if !data.is_empty() {
                    data.push(',');
                }
                data.push_str(&Customer::of(mix.customer_at(number), mix, edition).json());
            }
            envelope(page, &data)
        };
        Self {
            pages: (1..=total_pages).map(render).collect(),
            past_the_end: envelope(total_pages + 1, ""),
        }
    }

    /// The page asked for, after the latency of a distant server. The page size is fixed: another is refused.
    pub fn answer(&self, request: &Request, size: u64, latency: Duration) -> Response {
        let number = |name, default| {
            request
                .parameter(name)
                .map_or(Some(default), |text| text.parse::<u64>().ok())
        };
        thread::sleep(latency);
        match (number("page", 1), number("page_size", size)) {
            (Some(page @ 1..), Some(asked)) if asked == size => {
                let page = usize::try_from(page - 1)
                    .ok()
                    .and_then(|index| self.pages.get(index))
                    .unwrap_or(&self.past_the_end);
                Response::new("200 OK", page.clone())
            }
            _ => Response::new(
                "400 Bad Request",
                format!(r#"{{"error":"a page holds {size} records"}}"#),
            ),
        }
    }
}
