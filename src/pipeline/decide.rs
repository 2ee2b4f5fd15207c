//! One record through transform and decide: the verdict on it, and why.
//!
//! The pipeline and `validate` judge by this one function, so what is shown is what will happen.

use std::borrow::Cow;

use crate::decision::{Changeable, Decision, Explanation, Scratch, Verdict};
use crate::model::clock::Micros;
use crate::model::record::{Cell, FieldError, PageText, Rejection};
use crate::transform::{Mapped, Transform};

/// The rules a record is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub transform: &'a Transform,
    pub decision: &'a Decision,
}

impl Rules<'_> {
    /// Explains the verdict on a record; what it suggests is let through by the mapping.
    pub fn explain(&self, mapped: &Mapped<'_>) -> Explanation {
        let record = MappedRecord {
            transform: self.transform,
            mapped,
        };
        self.decision.explain_changeable(&mapped.variables, &record)
    }
}

/// A mapped record whose values can be changed as its source could change them.
struct MappedRecord<'r> {
    transform: &'r Transform,
    mapped: &'r Mapped<'r>,
}

impl Changeable for MappedRecord<'_> {
    fn with_changes(&self, changes: &[(usize, Cell<'static>)]) -> Option<Vec<Cell<'_>>> {
        self.transform.with_changes(self.mapped, changes)
    }
}

/// The class of a verdict that rules gave. All other classes say why no rule did.
const DECIDED: &str = "decided";

/// What becomes of a record.
#[derive(Debug)]
pub enum Decided<'a> {
    /// It is written.
    Accepted(Verdict<'a>),
    Refused(Refusal),
}

/// Why a record is not written.
#[derive(Debug)]
pub struct Refusal {
    /// `field_error`, `missing_required`, `decision`, `no_rule`, …
    pub reason: &'static str,
    pub message: String,
    /// The message holds no value of the record: only what a table computes can.
    pub loggable: bool,
    pub errors: Vec<FieldError>,
    pub rules: Vec<String>,
    /// Names the values that the decision read; none = the decision table was not asked.
    pub decided_on: Option<[u8; 16]>,
}

/// Judges a record that [`Transform::apply`] has shaped.
pub fn decide<'a>(rules: Rules<'a>, shaped: &Mapped<'_>, scratch: &mut Scratch) -> Decided<'a> {
    if !shaped.errors.is_empty() {
        return Decided::Refused(Refusal::of_fields(shaped.errors.clone()));
    }
    let verdict = rules.decision.decide(&shaped.variables, scratch);
    let missing: Vec<&str> = shaped
        .missing
        .iter()
        .map(|&field| rules.transform.source_name(usize::from(field)))
        .collect();
    // Without a key nothing can be written, whatever the table says.
    if verdict.passes() && shaped.id.is_some() {
        return Decided::Accepted(verdict);
    }
    let loggable = matches!(verdict.reason, Cow::Borrowed(_)) || verdict.class != DECIDED;
    let mut message = if verdict.passes() {
        "the record has no key".to_owned()
    } else {
        verdict.reason.to_string()
    };
    if !missing.is_empty() {
        message = format!("{message} (missing: {})", missing.join(", "));
    }
    Decided::Refused(Refusal {
        reason: match verdict.class {
            _ if !missing.is_empty() => "missing_required",
            DECIDED => "decision",
            other => other,
        },
        message,
        loggable,
        errors: Vec::new(),
        rules: verdict
            .rules
            .as_slice()
            .iter()
            .map(|&id| id.to_owned())
            .collect(),
        decided_on: Some(
            rules
                .decision
                .variables_read(&shaped.variables, &shaped.presence()),
        ),
    })
}

impl Refusal {
    /// Fields that are not what they should be: nothing is decided.
    pub(super) fn of_fields(errors: Vec<FieldError>) -> Self {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Self {
            reason: "field_error",
            message: all.join("; "),
            loggable: true,
            errors,
            rules: Vec::new(),
            decided_on: None,
        }
    }

    /// The rejection to be filed.
    pub fn file(
        self,
        shaped: &Mapped<'_>,
        payload: PageText,
        requested_at: Micros,
        sequence: u64,
    ) -> Rejection {
        let id = shaped.id.as_deref();
        Rejection {
            key: id.map_or_else(|| crate::support::digest::key_of(&payload), str::to_owned),
            record_id: id.map(str::to_owned),
            payload,
            reason: self.reason.to_owned(),
            message: self.message,
            loggable: self.loggable,
            errors: self.errors,
            rules: self.rules,
            decided_on: self.decided_on,
            requested_at: requested_at.0,
            sequence,
        }
    }
}

/// How the decision on a record came about, as JSON to be stored, by the record's JSON text.
pub(super) fn explain(rules: Rules<'_>, raw: &str) -> Option<String> {
    let mut shaped = Mapped::new();
    rules.transform.apply(raw, &mut shaped);
    serde_json::to_string(&rules.explain(&shaped)).ok()
}
