//! Transforms and decides one record: the verdict on it, and the explanation.
//!
//! The pipeline and `validate` both use [`decide`], so what `validate` shows is what a run does.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::decision::{Changeable, Decision, Explanation, Scratch, Verdict};
use crate::model::clock::Micros;
use crate::model::record::{Cell, FieldError, PageText, Rejection};
use crate::transform::{Mapped, Transform};

/// The rules by which a record is decided.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub transform: &'a Transform,
    pub decision: &'a Decision,
}

impl Rules<'_> {
    /// Explains the verdict on a record. It only suggests values that the mapping lets through.
    pub fn explain(&self, mapped: &Mapped<'_>) -> Explanation {
        let record = MappedRecord {
            transform: self.transform,
            mapped,
        };
        self.decision.explain_changeable(&mapped.variables, &record)
    }
}

/// A mapped record. Its values can be changed in the ways in which the source could change them.
struct MappedRecord<'r> {
    transform: &'r Transform,
    mapped: &'r Mapped<'r>,
}

impl Changeable for MappedRecord<'_> {
    fn with_changes(&self, changes: &[(usize, Cell<'static>)]) -> Option<Vec<Cell<'_>>> {
        self.transform.with_changes(self.mapped, changes)
    }
}

/// The class of a verdict that came from rules. Every other class says why no rule decided.
const DECIDED: &str = "decided";

/// The result for a record.
#[derive(Debug)]
pub enum Decided<'a> {
    /// The record is to be written.
    Accepted(Verdict<'a>),
    Refused(Refusal),
}

/// Why a record is not written.
#[derive(Debug)]
pub struct Refusal {
    /// `field_error`, `missing_required`, `decision`, `no_rule`, …
    pub reason: &'static str,
    pub message: String,
    /// True if the message holds no value of the record, so that it may be logged. Only what a table computes can hold one.
    pub loggable: bool,
    pub errors: Vec<FieldError>,
    pub rules: Vec<String>,
    /// A digest of the values that the decision read; none where the decision table was not asked.
    pub decided_on: Option<[u8; 16]>,
}

/// Decides a record that [`Transform::apply`] has mapped. Its errors go into the refusal.
pub fn decide<'a>(rules: Rules<'a>, shaped: &mut Mapped<'_>, scratch: &mut Scratch) -> Decided<'a> {
    if !shaped.errors.is_empty() {
        return Decided::Refused(Refusal::of_fields(std::mem::take(&mut shaped.errors)));
    }
    let verdict = rules.decision.decide(&shaped.variables, scratch);
    let missing: Vec<&str> = shaped
        .missing
        .iter()
        .map(|&field| rules.transform.source_name(usize::from(field)))
        .collect();
    // A record without a key cannot be written, whatever the table says.
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
    /// The refusal of a record with field errors, for which the decision table is not asked.
    pub(super) fn of_fields(errors: Vec<FieldError>) -> Self {
        let mut message = String::new();
        for (place, error) in errors.iter().enumerate() {
            let separator = if place > 0 { "; " } else { "" };
            // Writing into a string cannot fail.
            write!(message, "{separator}{error}").unwrap_or_default();
        }
        Self {
            reason: "field_error",
            message,
            loggable: true,
            errors,
            rules: Vec::new(),
            decided_on: None,
        }
    }

    /// The rejection to be stored.
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
            has_id: id.is_some(),
            payload,
            reason: self.reason,
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

/// The explanation of the decision on a record, from the record's JSON text, as JSON to be stored.
pub(super) fn explain(rules: Rules<'_>, raw: &str) -> Option<String> {
    let mut shaped = Mapped::new();
    rules.transform.apply(raw, &mut shaped);
    serde_json::to_string(&rules.explain(&shaped)).ok()
}
