//! One record through transform and decide: the verdict on it, and why.
//!
//! The pipeline and `validate` judge by this one function, so what is shown is what will happen.

use std::borrow::Cow;

use crate::decision::{Decision, Scratch, Verdict};
use crate::record::{Action, FieldError, Rejection, Validation};
use crate::transform::{Shaped, Transform};

/// The rules a record is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub transform: &'a Transform,
    pub decision: &'a Decision,
}

/// What becomes of a record.
#[derive(Debug)]
pub enum Judgement<'a> {
    /// It is written. The second is its key.
    Accepted(Verdict<'a>),
    Refused(Refusal),
}

/// Why a record is not written.
#[derive(Debug)]
pub struct Refusal {
    /// `field_error`, `missing_required`, `decision`, `no_rule`, …
    pub reason: Cow<'static, str>,
    /// One sentence, without values.
    pub message: String,
    pub errors: Vec<FieldError>,
    pub rules: Vec<String>,
    /// The decision table was asked, and its answer can be explained.
    pub decided: bool,
}

/// Judges a record that [`Transform::apply`] has shaped.
pub fn judge<'a>(rules: Rules<'a>, shaped: &Shaped<'_>, scratch: &mut Scratch) -> Judgement<'a> {
    if !shaped.errors.is_empty() {
        let all: Vec<String> = shaped.errors.iter().map(ToString::to_string).collect();
        return Judgement::Refused(Refusal {
            reason: "field_error".into(),
            message: all.join("; "),
            errors: shaped.errors.clone(),
            rules: Vec::new(),
            decided: false,
        });
    }
    let verdict = rules.decision.decide(&shaped.facts, scratch);
    let missing: Vec<&str> =
        shaped.missing.iter().map(|&field| rules.transform.source_name(usize::from(field))).collect();
    let refused = verdict.validation == Validation::Invalid || verdict.action == Action::Reject;
    // Without a key nothing can be written, whatever the table says.
    if !refused && shaped.id.is_some() {
        return Judgement::Accepted(verdict);
    }
    let mut message = if refused { verdict.reason.to_string() } else { "the record has no key".to_owned() };
    if !missing.is_empty() {
        message = format!("{message} (missing: {})", missing.join(", "));
    }
    Judgement::Refused(Refusal {
        reason: if missing.is_empty() { verdict.class.into() } else { "missing_required".into() },
        message,
        errors: Vec::new(),
        rules: verdict.rule_ids().map(str::to_owned).collect(),
        decided: true,
    })
}

impl Refusal {
    /// The rejection to be filed.
    pub fn file(
        self,
        rules: Rules<'_>,
        shaped: &Shaped<'_>,
        raw: &str,
        requested_at: i64,
        sequence: u64,
    ) -> Rejection {
        let id = shaped.id.as_deref();
        let explanation = self.decided.then(|| rules.decision.explain(&shaped.facts));
        Rejection {
            key: id.map_or_else(|| payload_key(raw), str::to_owned),
            record_id: id.map(str::to_owned),
            payload: raw.to_owned(),
            reason: self.reason.into_owned(),
            message: self.message,
            errors: self.errors,
            rules: self.rules,
            explanation: explanation.and_then(|explanation| serde_json::to_string(&explanation).ok()),
            requested_at,
            sequence,
        }
    }
}

/// The key of a record without an id: the hash of its payload, so that the same record is one open rejection.
fn payload_key(raw: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, raw.as_bytes());
    let mut key = "sha256:".to_owned();
    for byte in digest.as_ref() {
        key.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        key.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_record_without_id_is_the_hash_of_its_payload() {
        assert_eq!(payload_key("{}"), "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    }
}
