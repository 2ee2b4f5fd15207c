//! Input variables given by name, as in tests of a decision table: there is no record, and no score is computed.
//!
//! Each value is read by the field of that name, so that types, formats and limits are those of the mapping.

use rust_decimal::Decimal;

use super::field::owned;
use super::scan::{Scanner, ValueKind};
use super::{HAS_REQUIRED_FIELDS, QUALITY_SCORE, Transform};
use crate::model::record::Cell;
use crate::support::spelling::nearest;

impl Transform {
    /// All input variables, in slot order, with these values (JSON text) by name. Those not named are null, except that
    /// `hasRequiredFields` is true.
    ///
    /// # Errors
    /// A sentence about the first name that is no input variable, or whose value its field does not let through.
    pub fn variables_given(
        &self,
        given: &[(String, String)],
    ) -> Result<Vec<Cell<'static>>, String> {
        let names = self.variable_names();
        let mut cells = vec![Cell::Null; names.len()];
        if let Some(last) = cells.last_mut() {
            *last = Cell::Boolean(true);
        }
        for (name, text) in given {
            let Some(slot) = names.iter().position(|known| known == name) else {
                let hint = match nearest(name, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known: {}", names.join(", ")),
                };
                return Err(format!("there is no input variable `{name}`; {hint}"));
            };
            cells[slot] = self
                .read_given(slot, names[slot], text)
                .map_err(|why| format!("the variable `{name}`: {why}"))?;
        }
        Ok(cells)
    }

    fn read_given(&self, slot: usize, name: &str, text: &str) -> Result<Cell<'static>, String> {
        let value = Scanner::new(text)
            .value()
            .map_err(|_| "it is no JSON value".to_owned())?;
        if value.kind == ValueKind::Null {
            return Ok(Cell::Null);
        }
        if let Some(field) = self.fields.get(slot) {
            let mut cell = Cell::Null;
            field
                .convert(value, &mut cell)
                .map_err(|refused| field.describe(&refused))?;
            return Ok(owned(cell));
        }
        let found = value.kind.as_str();
        let wrong = |expected: &str| format!("expected {expected}, found {found}");
        match name {
            HAS_REQUIRED_FIELDS => match value.raw {
                "true" => Ok(Cell::Boolean(true)),
                "false" => Ok(Cell::Boolean(false)),
                _ => Err(wrong("true or false")),
            },
            QUALITY_SCORE => Decimal::from_str_exact(value.raw)
                .map(Cell::Decimal)
                .map_err(|_| wrong("a number")),
            _ => match serde_json::from_str::<String>(value.raw) {
                Ok(text) => Ok(Cell::Text(text.into())),
                Err(_) => Err(wrong("text")),
            },
        }
    }
}
