//! A server made of random habits: how it pages, how large its pages are, what it announces, how it ends, and one fault.
//!
//! It knows which of its faults leave no trace at all: such a combination is not made, since nobody could notice it.

use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::http::{Reply, Request};

pub const PATH: &str = "/v1/customers";

/// How a page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `page`, from this number.
    Page(usize),
    /// `offset`
    Offset,
    /// `cursor`, from `next_cursor` of the page before.
    Cursor,
    /// `after`, the id of the last record.
    LastId,
    /// An address, written in one of the forms of RFC 3986.
    Link(Form),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Absolute,
    /// `HTTP://…`
    Loud,
    /// `//host/path?query`
    Network,
    /// `/path?query`
    Path,
    /// `name?query`
    Name,
    /// `?query`
    Query,
    /// A `Link` header.
    Header,
}

/// What stands where the next cursor or link was, on the last page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    Null,
    Absent,
    Blank,
}

/// A flag beside the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    None,
    /// `has_more`
    More,
    /// `done`
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    Absent,
    Honest,
    /// The number of records on the page.
    OfThePage,
    TooLarge,
    TooSmall,
    Zero,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    Empty,
    Null,
    Status(u16),
    LastPage,
}

/// Records a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    AsAsked,
    AtMost(usize),
    Always(usize),
}

/// What goes wrong with one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    Status(u16),
    /// 200 with an error, beside no records or none at all.
    ErrorInSuccess(bool),
    /// A page without records, but with everything else.
    Empty,
    /// An empty array and nothing beside it.
    Bare,
    /// No array where the records should be.
    Null,
    /// 204
    NoContent,
    /// Half of the body.
    Cut,
    /// The page before it.
    PageBefore,
    /// The page says that it is the last.
    EndsEarly,
    /// A record comes in at the front of the source.
    Inserted,
}

/// See the file's head.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub struct Source {
    pub all: usize,
    pub way: Way,
    /// Page size of the client's choice.
    pub asked: usize,
    pub size: Size,
    pub last: Last,
    pub flag: Flag,
    pub total: Total,
    pub total_in_header: bool,
    pub beyond: Beyond,
    /// Refuses parameters that it does not know.
    pub strict: bool,
    pub fault: Fault,
    /// Page that the fault strikes, from 0, and how often.
    pub struck: usize,
    pub times: usize,
    pub auto: bool,
    /// Keys of mappings.yaml that say where flag and total are.
    pub named: bool,
    pub concurrency: usize,
    pub strikes: AtomicUsize,
}

const FOR_EVER: usize = usize::MAX;

fn pick<T: Copy>(random: &mut Rng, of: &[T]) -> T {
    of[random.usize(..of.len())]
}

impl Source {
    pub fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let forms = [
            Form::Absolute,
            Form::Loud,
            Form::Network,
            Form::Path,
            Form::Name,
            Form::Query,
            Form::Header,
        ];
        let way = match random.u8(..9) {
            0..=2 => Way::Page(usize::from(random.u8(..4) > 0)),
            3 | 4 => Way::Offset,
            5 => Way::Cursor,
            6 => Way::LastId,
            _ => Way::Link(pick(&mut random, &forms)),
        };
        let asked = random.usize(2..12);
        let other = random.usize(2..12);
        let size = match random.u8(..6) {
            0 => Size::AtMost(other),
            1 => Size::Always(other),
            _ => Size::AsAsked,
        };
        // Around the borders of pages more often than not.
        let all = match random.u8(..4) {
            0 => random.usize(..4),
            1 => asked * random.usize(1..5),
            _ => random.usize(..60),
        };
        let totals = [
            Total::Absent,
            Total::Absent,
            Total::Honest,
            Total::Honest,
            Total::OfThePage,
            Total::TooLarge,
            Total::TooSmall,
            Total::Zero,
        ];
        let statuses = [204, 400, 404, 404, 416, 422];
        let beyond = match random.u8(..8) {
            0..=2 => Beyond::Empty,
            3 => Beyond::Null,
            4 | 5 => Beyond::Status(pick(&mut random, &statuses)),
            _ => Beyond::LastPage,
        };
        let faults = [
            Fault::Status(400),
            Fault::Status(404),
            Fault::Status(500),
            Fault::Status(503),
            Fault::ErrorInSuccess(false),
            Fault::ErrorInSuccess(true),
            Fault::Empty,
            Fault::Bare,
            Fault::Null,
            Fault::NoContent,
            Fault::Cut,
            Fault::PageBefore,
            Fault::EndsEarly,
            Fault::Inserted,
        ];
        let mut source = Self {
            all,
            way,
            asked,
            size,
            last: pick(&mut random, &[Last::Null, Last::Absent, Last::Blank]),
            flag: pick(
                &mut random,
                &[Flag::None, Flag::None, Flag::More, Flag::Done],
            ),
            total: pick(&mut random, &totals),
            total_in_header: random.bool(),
            beyond,
            strict: random.u8(..4) == 0,
            fault: Fault::None,
            struck: 0,
            times: pick(&mut random, &[1, 1, FOR_EVER]),
            auto: random.u8(..3) == 0,
            named: random.bool(),
            concurrency: pick(&mut random, &[1, 1, 2, 4]),
            strikes: AtomicUsize::new(0),
        };
        if random.u8(..3) > 0 {
            source.fault = pick(&mut random, &faults);
            source.struck = random.usize(..source.pages().max(1));
        }
        source.leave_traces();
        source
    }

    /// Takes back what nobody could notice.
    fn leave_traces(&mut self) {
        // Where no page names the next one, the end is found by asking beyond it.
        let numbered = self.is_numbered() || self.way == Way::LastId;
        // Too small a total is noticed only where the source itself says that it goes on.
        if self.total == Total::TooSmall && numbered {
            self.total = Total::Absent;
        }
        // A total that is not larger than the first page may be that of the page.
        let is_told = self.total == Total::Honest && self.all > self.page_size();
        let is_hidden = match self.fault {
            // Asking again shows it, if that brings the page.
            // The page itself says that it is the last then.
            Fault::Empty if self.way == Way::LastId && self.flag != Flag::None => true,
            Fault::Bare => self.times == FOR_EVER || self.struck == 0,
            Fault::Status(404) | Fault::Null | Fault::NoContent => {
                self.times == FOR_EVER && self.struck > 0 && numbered
            }
            Fault::Empty => !numbered || self.times == FOR_EVER || self.struck == 0,
            Fault::PageBefore | Fault::EndsEarly => true,
            _ => false,
        };
        // Without a next link or cursor such an answer looks like the last page.
        let is_hidden = is_hidden
            || (!numbered
                && self.times == FOR_EVER
                && matches!(self.fault, Fault::Null | Fault::NoContent));
        // The first page is all that is known of the total then.
        let tells =
            is_told && (self.struck > 0 || !matches!(self.fault, Fault::Empty | Fault::Bare));
        if is_hidden && !tells {
            self.fault = Fault::None;
        }
        if matches!(self.fault, Fault::PageBefore) && self.struck == 0 {
            self.fault = Fault::None;
        }
        // What comes in at the front moves no record behind another.
        if self.way == Way::LastId && self.fault == Fault::Inserted {
            self.fault = Fault::None;
        }
        // `auto` cannot know a parameter that nothing hints at; where it is ignored, that looks like a source of one page.
        if self.auto && self.way == Way::Offset {
            self.strict = true;
        }
    }

    pub fn is_numbered(&self) -> bool {
        matches!(self.way, Way::Page(_) | Way::Offset)
    }

    /// Records of a page when the client asks for the size of its choice; `auto` asks for none.
    pub fn page_size(&self) -> usize {
        self.size_of(if self.auto { None } else { Some(self.asked) })
    }

    fn size_of(&self, asked: Option<usize>) -> usize {
        let asked = asked.unwrap_or(10);
        match self.size {
            Size::AsAsked => asked,
            Size::AtMost(most) => asked.min(most),
            Size::Always(size) => size,
        }
    }

    fn pages(&self) -> usize {
        self.all.div_ceil(self.page_size())
    }

    /// `pagination` of mappings.yaml.
    pub fn lines(&self) -> String {
        let mut lines = if self.auto {
            "style: auto".to_owned()
        } else {
            let size = self.asked;
            match self.way {
                Way::Page(first) => format!("style: page, first: {first}, size: {size}"),
                Way::Offset => format!("style: offset, size_param: page_size, size: {size}"),
                Way::Cursor => format!("style: cursor, size: {size}"),
                Way::LastId => format!(
                    "style: cursor, cursor_param: after, cursor_path: id, cursor_in: last_record, size: {size}"
                ),
                Way::Link(_) => format!("style: link, size: {size}"),
            }
        };
        if self.is_numbered() && !self.auto {
            lines += &format!(", concurrency: {}", self.concurrency);
        }
        if self.named && !self.auto {
            match self.flag {
                Flag::None => {}
                Flag::More => lines += ", more_path: has_more",
                Flag::Done => lines += ", done_path: done",
            }
            if matches!(self.total, Total::Honest) {
                lines += if self.total_in_header {
                    ", total_header: X-Total-Count"
                } else {
                    ", total_path: total"
                };
            }
        }
        lines
    }

    /// Nothing goes wrong, nothing lies, and one of the proofs is there: the run has to be complete.
    pub fn must_be_complete(&self) -> bool {
        let honest = matches!(self.total, Total::Absent | Total::Honest);
        if self.auto || self.fault != Fault::None || !honest {
            return false;
        }
        let size = self.page_size();
        if self.all == 0
            || self.flag != Flag::None
            || (self.total == Total::Honest && self.all > size)
        {
            return true;
        }
        if self.way == Way::LastId {
            return !matches!(self.beyond, Beyond::Status(400 | 416 | 422));
        }
        if self.is_numbered() {
            return match self.beyond {
                Beyond::Status(400 | 416 | 422) => {
                    self.all > size && !self.all.is_multiple_of(size)
                }
                // One record again may be another that reads the same. The only page again may be a server that does not know the
                // parameter, unless a smaller page shows that it does.
                Beyond::LastPage => {
                    self.all > 1 && (self.all > size || !matches!(self.size, Size::Always(_)))
                }
                _ => true,
            };
        }
        let single = self.size == Size::AsAsked && self.all < size;
        // Where a Link header has no other relations, its absence is all there is.
        let absent = self.last == Last::Absent || matches!(self.way, Way::Link(Form::Header));
        !absent || self.all > size || single
    }

    pub fn texts(&self) -> Vec<String> {
        (1..=self.all).map(|at| record(at).to_string()).collect()
    }

    pub fn reply(&self, request: &Request) -> Reply {
        let bad =
            |status: u16| Reply::Instead(status, Vec::new(), r#"{"message":"refused"}"#.to_owned());
        let name = match self.way {
            Way::Page(_) => "page",
            Way::Offset => "offset",
            Way::LastId => "after",
            Way::Cursor | Way::Link(_) => "cursor",
        };
        if request.path != PATH {
            return bad(404);
        }
        if self.strict
            && request
                .query
                .iter()
                .any(|(key, _)| key != name && key != "page_size")
        {
            return bad(400);
        }
        let number = |text: &str| text.parse::<usize>().ok();
        let size = self.size_of(request.param("page_size").and_then(number));
        let from = match (request.param(name), self.way) {
            (None, _) => Some(0),
            (Some(text), Way::Page(first)) => {
                number(text).map(|number| number.saturating_sub(first) * size)
            }
            (Some(text), Way::Offset) => number(text),
            (Some(text), Way::LastId) => text.strip_prefix('R').and_then(number),
            (Some(text), _) => text.strip_prefix('c').and_then(number),
        };
        let Some(from) = from else { return bad(400) };
        self.page(request, from, size)
    }

    fn page(&self, request: &Request, from: usize, size: usize) -> Reply {
        let text = |status: u16, text: &str| Reply::Instead(status, Vec::new(), text.to_owned());
        let mut from = from;
        let mut inserted = 0;
        let mut ends_early = false;
        let mut is_empty = false;
        let mut is_cut = false;
        if self.fault == Fault::Inserted {
            // Counts pages with records, whoever asks for them.
            let served = self.strikes.fetch_add(1, Ordering::SeqCst);
            inserted = usize::from(served > self.struck);
        } else if self.fault != Fault::None
            && from / size == self.struck
            && from < self.all.max(1)
            && self.strikes.fetch_add(1, Ordering::SeqCst) < self.times
        {
            match self.fault {
                Fault::Status(status) => return text(status, r#"{"message":"scripted"}"#),
                Fault::ErrorInSuccess(true) => {
                    return text(200, r#"{"data":[],"success":false,"code":"OVERLOADED"}"#);
                }
                Fault::ErrorInSuccess(false) => {
                    return text(200, r#"{"error":{"code":"rate_limited"}}"#);
                }
                Fault::Bare => return text(200, r#"{"data":[]}"#),
                Fault::Null => return text(200, r#"{"data":null}"#),
                Fault::NoContent => return text(204, ""),
                Fault::PageBefore => from = from.saturating_sub(size),
                Fault::Empty => is_empty = true,
                Fault::EndsEarly => ends_early = true,
                Fault::Cut => is_cut = true,
                Fault::None | Fault::Inserted => {}
            }
        }
        let all = self.all + inserted;
        if from >= all && from > 0 {
            match self.beyond {
                Beyond::Null => return text(200, r#"{"data":null}"#),
                Beyond::Status(204) => return text(204, ""),
                Beyond::Status(status) => return text(status, r#"{"message":"no such page"}"#),
                Beyond::LastPage if self.is_numbered() => {
                    from = all.saturating_sub(1) / size * size;
                }
                Beyond::Empty | Beyond::LastPage => {}
            }
        }
        let to = (from + size).min(all).max(from);
        let items: Vec<Value> = (from..to).map(|at| record(at + 1 - inserted)).collect();
        let more = to < all && !ends_early;
        let mut page = json!({ "data": if is_empty { Vec::new() } else { items.clone() } });
        match self.flag {
            Flag::None => {}
            Flag::More => page["has_more"] = json!(more),
            Flag::Done => page["done"] = json!(!more),
        }
        let mut headers = Vec::new();
        let total = match self.total {
            Total::Absent => None,
            Total::Honest => Some(all),
            Total::OfThePage => Some(items.len()),
            Total::TooLarge => Some(all + 7),
            Total::TooSmall => Some(all / 2),
            Total::Zero => Some(0),
        };
        match total {
            None => {}
            Some(total) if self.total_in_header => {
                headers.push(("X-Total-Count", total.to_string()));
            }
            Some(total) => page["total"] = json!(total),
        }
        let value = match self.way {
            Way::Page(_) | Way::Offset | Way::LastId => None,
            Way::Cursor => Some(("next_cursor", format!("c{to}"))),
            Way::Link(form) => Some(("next", link(form, request, to))),
        };
        match (self.way, value) {
            (Way::Link(Form::Header), Some((_, link))) => {
                if more {
                    headers.push(("Link", format!("<{link}>; rel=\"next\"")));
                }
            }
            (_, Some((key, value))) => match self.last {
                _ if more => page[key] = json!(value),
                Last::Null => page[key] = Value::Null,
                Last::Blank => page[key] = json!(""),
                Last::Absent => {}
            },
            (_, None) => {}
        }
        let mut text = page.to_string();
        if is_cut {
            text.truncate(text.len() / 2);
        }
        Reply::Instead(200, headers, text)
    }
}

/// The record of this number, from 1; 0 is the one that came in at the front.
fn record(number: usize) -> Value {
    json!({ "id": format!("R{number:04}"), "name": format!("Name {number}") })
}

/// The next page's address. The size travels with it.
fn link(form: Form, request: &Request, to: usize) -> String {
    let host = &request.headers["host"];
    let size = request
        .param("page_size")
        .map_or(String::new(), |size| format!("&page_size={size}"));
    let query = format!("?cursor=c{to}{size}");
    match form {
        Form::Absolute => format!("http://{host}{PATH}{query}"),
        Form::Loud => format!("HTTP://{host}{PATH}{query}"),
        Form::Network => format!("//{host}{PATH}{query}"),
        Form::Path | Form::Header => format!("{PATH}{query}"),
        Form::Name => format!("customers{query}"),
        Form::Query => query,
    }
}
