//! Recognises the JSON text of a record by its key in the table, or by the id that the source gave it.

use anyhow::Result;
use serde_json::{Value, json};

use super::outgoing::text_at;
use super::{Mapped, Transform};
use crate::config::plan::Mapping;

/// Tells whether a text is the record with some id.
#[derive(Debug)]
pub struct Identity {
    transform: Transform,
    /// Where the source has the id.
    path: Vec<String>,
}

impl Identity {
    /// # Errors
    /// The mapping does not compile.
    pub fn new(mapping: &Mapping) -> Result<Self> {
        Ok(Self {
            transform: Transform::new(mapping)?,
            path: mapping.fields[mapping.key].source.clone(),
        })
    }

    /// The key in the table for this id at the source, as text; none if the id is not a valid key.
    pub fn key_of(&self, id: &str) -> Option<String> {
        let mut record = Value::from(id);
        for name in self.path.iter().rev() {
            record = json!({ name.as_str(): record });
        }
        let raw = record.to_string();
        let mut mapped = Mapped::new();
        self.transform.apply(&raw, &mut mapped);
        mapped.id.as_deref().map(str::to_owned)
    }

    /// Is it the record with this id, as the source wrote it or as the table has it?
    pub fn is(&self, raw: &str, id: &str) -> bool {
        if text_at(raw, &self.path).as_deref() == Some(id) {
            return true;
        }
        let mut mapped = Mapped::new();
        self.transform.apply(raw, &mut mapped);
        mapped.id.as_deref() == Some(id)
    }
}
