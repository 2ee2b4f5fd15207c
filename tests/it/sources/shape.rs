//! How one product or framework pages: a small server as data, and what is expected of a run against it.
//!
//! A shape says how a request names a page, how large pages are, what an answer looks like, and what comes beyond the
//! last page. The facts are from the public documentation of each product; names and texts in the answers are ours. It
//! knows nothing of how the program reads it.

use serde_json::{Value, json};

use crate::support::http::{Reply, Request, Server};

/// See the file's head.
#[derive(Clone)]
pub struct Shape {
    /// As docs/sources.md has it.
    pub name: &'static str,
    pub path: &'static str,
    /// `records` of mappings.yaml; empty: the program finds the array by itself.
    pub records: &'static str,
    /// Where a record's id and name are, for mappings.yaml.
    pub fields: [&'static str; 2],
    /// The record of this number, from 1.
    pub record: fn(usize) -> Value,
    pub asked: Asked,
    /// Name of the parameter for the page size; empty: there is none.
    pub size_param: &'static str,
    /// Records a page when no size is asked for, and the most there can be.
    pub default_size: usize,
    pub max_size: usize,
    pub answer: fn(&Shown<'_>) -> Answer,
    pub beyond: Beyond,
    /// Other parameters are refused by this status; 0: they are ignored.
    pub refuses_unknown: u16,
    /// Proofs by `style: auto`; see [`Proofs`].
    pub auto: Proofs,
    /// What the message of an unproven end must name, where `auto` cannot know.
    pub says: &'static [&'static str],
    /// `pagination` of mappings.yaml that reads it whole, without the braces.
    pub lines: &'static str,
    /// Proofs by these lines.
    pub configured: Proofs,
}

/// The proof that ends a run: for a source without records, with fewer than a page, with exactly one page, with more.
/// `|` separates proofs that are equally right, `-` is an end that cannot be proven.
pub type Proofs = [&'static str; 4];

/// How a request says which page it wants.
#[derive(Clone, Copy)]
pub enum Asked {
    /// By its number: the name of the parameter, and the number of the first page.
    Page(&'static str, usize),
    /// By the number of records before it.
    Offset(&'static str),
    /// By a text that only the server understands.
    Cursor(&'static str),
    /// By the id of the last record before it.
    LastId(&'static str),
    /// Not at all: everything comes at once.
    Everything,
}

/// What the server answers to a page beyond the last one.
#[derive(Clone, Copy)]
pub enum Beyond {
    /// A page without records.
    Empty,
    /// This status and body.
    Refused(u16, &'static str),
    /// The last page again.
    LastPage,
}

/// An answer before it is sent.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

impl Answer {
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// A `Link` header of those relations that there are.
    pub fn links(self, links: &[(&str, Option<String>)]) -> Self {
        let links: Vec<String> = links
            .iter()
            .filter_map(|(relation, target)| {
                Some(format!("<{}>; rel=\"{relation}\"", target.as_ref()?))
            })
            .collect();
        if links.is_empty() {
            self
        } else {
            self.header("Link", links.join(", "))
        }
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// 200 with this body.
pub fn body(body: Value) -> Answer {
    Answer {
        status: 200,
        headers: Vec::new(),
        body,
    }
}

/// The part of the source that an answer shows.
pub struct Shown<'a> {
    pub shape: &'a Shape,
    pub request: &'a Request,
    /// Records in all, those before this page, and the size of pages.
    pub all: usize,
    pub from: usize,
    pub size: usize,
    pub items: Vec<Value>,
}

impl Shown<'_> {
    pub fn records(&self) -> Value {
        Value::Array(self.items.clone())
    }

    pub fn count(&self) -> usize {
        self.items.len()
    }

    pub fn to(&self) -> usize {
        self.from + self.count()
    }

    pub fn more(&self) -> bool {
        self.to() < self.all
    }

    pub fn pages(&self) -> usize {
        self.all.div_ceil(self.size)
    }

    /// Number of this page as the server counts.
    pub fn number(&self) -> usize {
        self.from / self.size + self.first()
    }

    pub fn next_number(&self) -> Option<usize> {
        self.more().then(|| self.number() + 1)
    }

    pub fn previous_number(&self) -> Option<usize> {
        (self.from > 0).then(|| self.number() - 1)
    }

    fn first(&self) -> usize {
        match self.shape.asked {
            Asked::Page(_, first) => first,
            _ => 0,
        }
    }

    /// `http://127.0.0.1:PORT`, as the client knows it.
    pub fn origin(&self) -> String {
        format!("http://{}", self.request.headers["host"])
    }

    /// The cursor of the next page.
    pub fn cursor(&self) -> Option<String> {
        self.more().then(|| cursor_of(self.to()))
    }

    /// The same request for the page that begins after so many records, without scheme and host.
    pub fn path_at(&self, from: usize) -> String {
        let (name, value) = match self.shape.asked {
            Asked::Page(name, first) => (name, (from / self.size + first).to_string()),
            Asked::Offset(name) => (name, from.to_string()),
            Asked::Cursor(name) => (name, cursor_of(from)),
            Asked::LastId(name) => (name, id(from)),
            Asked::Everything => return self.request.path.clone(),
        };
        let mut query = url::form();
        for (key, other) in self.request.query.iter().filter(|(key, _)| key != name) {
            query.append(key, other);
        }
        query.append(name, &value);
        format!("{}?{}", self.request.path, query.finish())
    }

    pub fn next_path(&self) -> Option<String> {
        self.more().then(|| self.path_at(self.to()))
    }

    pub fn previous_path(&self) -> Option<String> {
        (self.from > 0).then(|| self.path_at(self.from.saturating_sub(self.size)))
    }

    pub fn next_url(&self) -> Option<String> {
        Some(self.origin() + &self.next_path()?)
    }

    pub fn previous_url(&self) -> Option<String> {
        Some(self.origin() + &self.previous_path()?)
    }

    pub fn first_url(&self) -> String {
        self.origin() + &self.path_at(0)
    }

    pub fn last_url(&self) -> String {
        self.origin() + &self.path_at(self.pages().saturating_sub(1) * self.size)
    }

    pub fn self_url(&self) -> String {
        self.origin() + &self.path_at(self.from)
    }
}

/// Query strings as browsers write them.
mod url {
    pub struct Form(reqwest::Url);

    pub fn form() -> Form {
        Form("http://form".parse().unwrap())
    }

    impl Form {
        pub fn append(&mut self, name: &str, value: &str) {
            self.0.query_pairs_mut().append_pair(name, value);
        }

        pub fn finish(self) -> String {
            self.0.query().unwrap_or_default().to_owned()
        }
    }
}

fn cursor_of(from: usize) -> String {
    format!("c{from:x}")
}

/// Id of the record of this number.
pub fn id(number: usize) -> String {
    format!("C{number:05}")
}

/// A flat record.
pub fn flat(number: usize) -> Value {
    json!({ "id": id(number), "name": format!("Zoë {number}") })
}

/// Without paging, for `..PLAIN`.
pub const PLAIN: Shape = Shape {
    name: "",
    path: "/api/customers",
    records: "",
    fields: ["id", "name"],
    record: flat,
    asked: Asked::Everything,
    size_param: "",
    default_size: 10,
    max_size: 100,
    answer: |shown| body(shown.records()),
    beyond: Beyond::Empty,
    refuses_unknown: 0,
    auto: ["-"; 4],
    says: &[],
    lines: "",
    configured: ["-"; 4],
};

impl Shape {
    /// A server of this shape over so many records.
    pub fn serve(&self, all: usize) -> Server {
        let shape = self.clone();
        Server::new().script(move |request| Some(shape.reply(request, all)))
    }

    /// The text of every record, as the server writes it.
    pub fn texts(&self, all: usize) -> Vec<String> {
        (1..=all).map(|at| (self.record)(at).to_string()).collect()
    }

    /// Numbers of records around a page size: none, fewer than a page, one short, a page, one more, several, a multiple.
    pub fn sizes(size: usize) -> [usize; 7] {
        // A server with pages of a million shows everything at once.
        let size = if size > 1000 { 20 } else { size };
        [0, 3, size - 1, size, size + 1, 3 * size + 7, 4 * size]
    }

    /// Records a page has by the lines of `pagination`.
    pub fn configured_size(&self) -> usize {
        let size = self
            .lines
            .split(", ")
            .find_map(|line| line.strip_prefix("size: ")?.parse::<usize>().ok());
        match size {
            Some(size)
                if !self.size_param.is_empty() && !self.lines.contains("size_param: none") =>
            {
                size.min(self.max_size)
            }
            _ => self.default_size,
        }
    }

    /// Which of the [`Proofs`] is meant, for pages of this size.
    pub fn class(all: usize, size: usize) -> usize {
        match all {
            0 => 0,
            _ if all < size => 1,
            _ if all == size => 2,
            _ => 3,
        }
    }

    pub fn reply(&self, request: &Request, all: usize) -> Reply {
        match self.answer_to(request, all) {
            Ok(answer) => {
                let text = if answer.body.is_null() && answer.status == 204 {
                    String::new()
                } else {
                    answer.body.to_string()
                };
                Reply::Instead(answer.status, answer.headers, text)
            }
            Err((status, text)) => Reply::Instead(status, Vec::new(), text.to_owned()),
        }
    }

    fn answer_to(&self, request: &Request, all: usize) -> Result<Answer, (u16, &'static str)> {
        const NO_SUCH_PATH: (u16, &str) = (404, r#"{"message":"No such path"}"#);
        const BAD_REQUEST: (u16, &str) = (400, r#"{"message":"Bad parameter"}"#);
        if request.path != self.path {
            return Err(NO_SUCH_PATH);
        }
        let param = match self.asked {
            Asked::Page(name, _)
            | Asked::Offset(name)
            | Asked::Cursor(name)
            | Asked::LastId(name) => name,
            Asked::Everything => "",
        };
        let is_unknown = |name: &str| name != param && name != self.size_param;
        if self.refuses_unknown > 0 && request.query.iter().any(|(name, _)| is_unknown(name)) {
            return Err((self.refuses_unknown, r#"{"message":"Unknown parameter"}"#));
        }
        let size = match request.param(self.size_param) {
            Some(text) => text.parse::<usize>().map_err(|_| BAD_REQUEST)?,
            None => self.default_size,
        };
        let size = size.clamp(1, self.max_size);
        let from = match (request.param(param), self.asked) {
            (_, Asked::Everything) | (None, _) => 0,
            (Some(text), Asked::Page(_, first)) => {
                let number = text.parse::<usize>().map_err(|_| BAD_REQUEST)?;
                number.saturating_sub(first) * size
            }
            (Some(text), Asked::Offset(_)) => text.parse().map_err(|_| BAD_REQUEST)?,
            (Some(text), Asked::Cursor(_)) => text
                .strip_prefix('c')
                .and_then(|text| usize::from_str_radix(text, 16).ok())
                .ok_or(BAD_REQUEST)?,
            (Some(text), Asked::LastId(_)) => text
                .trim_start_matches(|c: char| !c.is_ascii_digit())
                .parse()
                .map_err(|_| BAD_REQUEST)?,
        };
        let from = match self.beyond {
            Beyond::Refused(status, text) if from >= all.max(1) => return Err((status, text)),
            Beyond::LastPage if from >= all => all.saturating_sub(1) / size * size,
            _ => from,
        };
        let size = if matches!(self.asked, Asked::Everything) {
            all.max(1)
        } else {
            size
        };
        let items = (from + 1..=(from + size).min(all))
            .map(self.record)
            .collect();
        Ok((self.answer)(&Shown {
            shape: self,
            request,
            all,
            from,
            size,
            items,
        }))
    }
}
