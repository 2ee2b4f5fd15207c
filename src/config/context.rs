//! What all readers share: the file, the environment, and the collected mistakes. Also writes the message about missing
//! variables.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::environment::Environment;
use super::problem::{ConfigErrors, Problem};
use super::source::{Source, Span};

/// What the program's own variables are for, in the order in which missing ones are listed.
const VARIABLES: [(&str, &str); 8] = [
    (
        "API_BASE_URL",
        "where the API is, such as https://api.example.com",
    ),
    ("API_TOKEN", "the API's bearer token"),
    (
        "DB_HOST",
        "PostgreSQL's host name, address or socket folder",
    ),
    ("DB_PORT", "PostgreSQL's port"),
    ("DB_NAME", "name of the database"),
    ("DB_USER", "who connects to it"),
    (
        "DB_PASSWORD",
        "the password; may be empty, but must be set (PGPASSWORD, PGSERVICE and ~/.pgpass are not read)",
    ),
    (
        "DB_SSLMODE",
        "disable, prefer, require, verify-ca or verify-full",
    ),
];

/// What all readers share: the file, the environment, and the collected mistakes.
pub(super) struct Context<'a> {
    pub source: &'a Source,
    pub environment: &'a Environment,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    /// Name → where mappings.yaml asks for it, and whether the command needs it.
    missing: RefCell<BTreeMap<String, Missing>>,
}

#[derive(Default)]
struct Missing {
    place: Option<Span>,
    needed: bool,
}

impl<'a> Context<'a> {
    pub fn new(source: &'a Source, environment: &'a Environment, problems: Vec<Problem>) -> Self {
        Self {
            source,
            environment,
            problems: RefCell::new(problems),
            warnings: RefCell::default(),
            missing: RefCell::default(),
        }
    }

    pub fn problem(&self, problem: Problem) {
        collect(&self.problems, problem);
    }

    /// Reports a mistake at a place of the file; `path` names it in keys.
    pub fn wrong(
        &self,
        span: Span,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problem(self.source.problem(span, message).on(path).hint(hint));
    }

    /// Are there so many mistakes that no more are collected?
    pub fn is_full(&self) -> bool {
        self.problems.borrow().len() >= MOST_PROBLEMS
    }

    pub fn warn(&self, problem: Problem) {
        collect(&self.warnings, problem);
    }

    /// Reports a mistake if the command needs the value, else a warning.
    pub fn problem_if(&self, needed: bool, problem: Problem) {
        if needed {
            self.problem(problem);
        } else {
            self.warn(problem);
        }
    }

    /// An environment variable that is set and not empty.
    pub fn variable(&self, name: &str, needed: bool) -> Option<String> {
        self.defined(name, needed).filter(|value| !value.is_empty())
    }

    /// An environment variable that is set; its value may be empty.
    pub fn defined(&self, name: &str, needed: bool) -> Option<String> {
        self.environment.get(name).unwrap_or_else(|problem| {
            self.problem_if(needed, problem);
            None
        })
    }

    /// Notes that a variable is needed and has no value.
    pub fn missing(&self, name: &str, place: Option<Span>, needed: bool) {
        // A NAME_FILE that cannot be read has been reported already, with its reason.
        if self.environment.get(name).is_err() {
            return;
        }
        let mut missing = self.missing.borrow_mut();
        let entry = missing.entry(name.to_owned()).or_default();
        entry.place = entry.place.or(place);
        entry.needed |= needed;
    }

    /// The warnings, or all mistakes in the order of the file.
    pub fn finish(self) -> Result<Vec<Problem>, ConfigErrors> {
        let mut problems = self.problems.into_inner();
        problems.truncate(MOST_PROBLEMS);
        let many = problems.len() == MOST_PROBLEMS;
        problems.sort_by_key(|problem| (problem.file.is_none(), problem.line, problem.column));
        let mut warnings = self.warnings.into_inner();
        let missing = self.missing.into_inner();
        problems.extend(missing_variables(self.source, &missing, true));
        warnings.extend(missing_variables(self.source, &missing, false));
        if many {
            let message = format!("only the first {MOST_PROBLEMS} mistakes are shown");
            problems.push(Problem::new(message).in_file(&self.source.name));
        }
        if problems.is_empty() {
            Ok(warnings)
        } else {
            Err(ConfigErrors::new(problems))
        }
    }
}

/// Most mistakes that are reported. More than that have one cause, or the file is not a mappings file.
const MOST_PROBLEMS: usize = 50;

fn collect(list: &RefCell<Vec<Problem>>, problem: Problem) {
    let mut list = list.borrow_mut();
    if list.len() < MOST_PROBLEMS && !list.contains(&problem) {
        list.push(problem);
    }
}

/// One message for all variables without a value.
fn missing_variables(
    source: &Source,
    missing: &BTreeMap<String, Missing>,
    needed: bool,
) -> Option<Problem> {
    let rank = |name: &str| {
        VARIABLES
            .iter()
            .position(|(known, _)| *known == name)
            .unwrap_or(VARIABLES.len())
    };
    let mut names: Vec<_> = missing
        .iter()
        .filter(|(_, missing)| missing.needed == needed)
        .collect();
    names.sort_by_key(|(name, _)| rank(name));
    let widest = names.iter().map(|(name, _)| name.len()).max()?;
    let mut message = match names.len() {
        1 => "an environment variable is missing (not set, or empty):".to_owned(),
        count => format!("{count} environment variables are missing (not set, or empty):"),
    };
    for (name, missing) in names {
        let what = VARIABLES.get(rank(name)).map_or("", |(_, what)| what);
        let place = missing
            .place
            .map(|span| format!("{}:{}:{}", source.name, span.line, span.column))
            .unwrap_or_default();
        let line = match (what, place.as_str()) {
            ("", place) => format!("used in {place}"),
            (what, "") => what.to_owned(),
            (what, place) => format!("{what} ({place})"),
        };
        message = format!("{message}\n   {name:widest$}  {line}");
    }
    Some(Problem::new(message).hint(
        "set them in the environment or in .env; NAME_FILE may name a file that holds the value",
    ))
}
