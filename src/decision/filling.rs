//! Suggestions that fill in missing fields of a record, since a computed score rises with every field that is present.

use super::compiled::Decision;
use super::feel::value::Value;
use super::input_variable::Role;
use super::nearest::{Change, Nearest, Seen};
use crate::model::record::Validation;

/// Most fields that are filled in.
const MAX_FILLED: usize = 40;

impl Decision {
    /// The fewest missing values, filled in one after the other, with which the record gets the wanted verdict.
    pub(super) fn nearest_by_filling(
        &self,
        seen: &Seen<'_>,
        wanted: Validation,
    ) -> Option<Nearest> {
        let missing: Vec<(usize, Change)> = self
            .variables
            .iter()
            .enumerate()
            // Without a mapping nobody knows which values a field can have.
            .filter(|(_, variable)| {
                variable.role != Role::Complete && variable.values.nullable == Some(true)
            })
            .filter_map(|(slot, variable)| {
                let from = Value::of_cell(seen.variables.get(slot)?);
                let change = Change {
                    input: variable.name.to_string(),
                    to: variable.any_value().filter(|_| from.is_blank())?,
                    from,
                    accepts: "not(null)".to_owned(),
                };
                seen.record
                    .with_changes(&[(slot, change.to.to_cell()?)])
                    .map(|_| (slot, change))
            })
            .take(MAX_FILLED)
            .collect();
        let single = missing
            .iter()
            .find_map(|one| self.proposal(seen, vec![one.clone()], wanted));
        single.or_else(|| {
            let mut numbers = 2..=missing.len();
            numbers.find_map(|number| self.proposal(seen, missing[..number].to_vec(), wanted))
        })
    }
}
