//! The masked form of a rejected record (`keep_payload: masked`): the mapped fields with the kind of each value, and the
//! value itself only of fields that were wrong.

use serde_json::{Map, Value};

use crate::config::path;
use crate::config::plan::Mapping;
use crate::model::record::{FieldError, MASKED};

/// The fields of the mapping, by their paths at the source.
#[derive(Clone, Debug)]
pub struct Mask {
    fields: Vec<(String, Vec<String>)>,
}

impl Mask {
    pub fn new(mapping: &Mapping) -> Self {
        let fields = mapping.fields.iter();
        Self {
            fields: fields
                .map(|field| (field.name.clone(), field.source.clone()))
                .collect(),
        }
    }

    /// The masked record. It begins with [`MASKED`], so that nothing reads it as the record itself.
    pub fn apply(&self, raw: &str, errors: &[FieldError]) -> String {
        let record: Value = serde_json::from_str(raw).unwrap_or_default();
        let masked = self.masked(&record, &mut Vec::new(), errors);
        format!("{MASKED}{masked}")
    }

    fn masked(&self, value: &Value, at: &mut Vec<String>, errors: &[FieldError]) -> Value {
        let mut fields = self.fields.iter().filter(|(_, path)| path.starts_with(at));
        if let Some((name, _)) = fields.clone().find(|(_, path)| path == at) {
            let shown = path::text(at);
            let is_wrong = |error: &FieldError| error.field == shown || error.field == *name;
            return if errors.iter().any(is_wrong) {
                value.clone()
            } else {
                Value::from(kind(value))
            };
        }
        match value {
            // A key that is not mapped may be a value itself: an object can be keyed by addresses.
            Value::Object(members) if fields.next().is_some() => {
                let mut kept = Map::new();
                for (name, value) in members {
                    at.push(name.clone());
                    if self.fields.iter().any(|(_, path)| path.starts_with(at)) {
                        kept.insert(name.clone(), self.masked(value, at, errors));
                    }
                    at.pop();
                }
                Value::Object(kept)
            }
            Value::Array(list) if fields.next().is_some() => {
                let masked = list.iter().enumerate().map(|(index, value)| {
                    at.push(index.to_string());
                    let masked = self.masked(value, at, errors);
                    at.pop();
                    masked
                });
                Value::Array(masked.collect())
            }
            value => Value::from(kind(value)),
        }
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_gone_but_for_the_field_that_was_wrong() {
        let field = |name: &str, path: &[&str]| {
            (
                name.to_owned(),
                path.iter().map(|&part| part.to_owned()).collect(),
            )
        };
        let mask = Mask {
            fields: vec![
                field("customerId", &["id"]),
                field("country", &["address", "country"]),
                field("mail", &["mails", "0", "value"]),
                field("extra", &["extra"]),
            ],
        };
        let raw = r#"{"id":7,"address":{"country":"Zoeland","street":"Zoe"},"zoe@example.com":1,
            "mails":[{"value":"zoe@example.com"},{"value":"zoe"}],"extra":{"zoe":1},"other":"zoe"}"#;
        let wrong = FieldError {
            field: "address.country".into(),
            expected: "".into(),
            problem: "".into(),
        };
        assert_eq!(
            mask.apply(raw, &[wrong]),
            r#"masked:{"address":{"country":"Zoeland"},"extra":"object","id":"number","mails":[{"value":"string"},"object"]}"#
        );
        assert_eq!(mask.apply("nonsense", &[]), r#"masked:"null""#);
        assert_eq!(
            mask.apply(r#""zoe@example.com""#, &[]),
            r#"masked:"string""#
        );
    }
}
