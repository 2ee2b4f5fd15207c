//! Which values of several input variables can occur in one record: a computed score depends on the fields that are
//! present, and `hasRequiredFields` on those that are missing.
//!
//! Used by the lint and its examples, never while records are synced.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::field::Compiled;
use super::score::Score;
use super::{HAS_REQUIRED_FIELDS, QUALITY_SCORE, Transform};
use crate::model::record::Cell;

/// Most combinations that are told apart. Beyond them every value counts as possible.
const MAX_COMBINATIONS: usize = 50_000;

/// What a source can do with one field: the weight that it then adds to the score, and whether a required field is missing.
type Choices = Vec<(i128, bool)>;

/// What it takes to tell that, apart from the mapping it was made of.
#[derive(Clone, Debug)]
pub struct RecordCheck {
    fields: Vec<Compiled>,
    score: Score,
    extra: Vec<&'static str>,
}

impl Transform {
    /// Tells which values one record can bring.
    pub fn record_check(&self) -> RecordCheck {
        RecordCheck {
            fields: self.fields.clone(),
            score: self.score.clone(),
            extra: self.extra.clone(),
        }
    }
}

impl RecordCheck {
    /// Can these values, each by the slot of its input variable, occur in one record? Each by itself is possible.
    pub fn can_bring(&self, wanted: &[(usize, Cell<'_>)]) -> bool {
        let value_of = |slot: Option<usize>| {
            let found = wanted.iter().find(|(known, _)| Some(*known) == slot);
            found.map(|(_, cell)| cell)
        };
        let extra = |name: &str| {
            let at = self.extra.iter().position(|known| *known == name);
            value_of(at.map(|at| self.fields.len() + at))
        };
        let mirrored = (extra(QUALITY_SCORE), value_of(self.score.field));
        let score = match mirrored {
            (Some(one), Some(other)) if number(one) != number(other) => return false,
            (one, other) => one.or(other),
        };
        let complete = match extra(HAS_REQUIRED_FIELDS) {
            Some(Cell::Boolean(complete)) => Some(*complete),
            _ => None,
        };
        let sent = score.is_none_or(|score| self.source_sends_score(score));
        let computed = score.filter(|_| !sent || self.score.field.is_none());
        let mut states = BTreeSet::from([(0_i128, false)]);
        for (index, field) in self.fields.iter().enumerate() {
            let is_score = self.score.field == Some(index);
            let choices = if is_score && computed.is_some() {
                // The score is computed, since the source has none.
                vec![(0, field.required)]
            } else if is_score {
                field.choices(score, 0)
            } else {
                let weights = self.score.weights.as_ref();
                let weight = weights.map_or(0, |weights| weights[index]);
                field.choices(value_of(Some(index)), weight)
            };
            states = states
                .iter()
                .flat_map(|(sum, missing)| {
                    choices
                        .iter()
                        .map(move |(weight, lacks)| (sum + weight, *missing || *lacks))
                })
                .collect();
            if states.len() > MAX_COMBINATIONS {
                return true;
            }
        }
        states.iter().any(|(sum, missing)| {
            complete.is_none_or(|complete| complete != *missing)
                && computed.is_none_or(|score| {
                    self.score.weights.is_some() && number(&self.score.of(*sum)) == number(score)
                })
        })
    }

    /// Can this score come from the source or a default, so that none is computed?
    fn source_sends_score(&self, score: &Cell<'_>) -> bool {
        let Some(field) = self.score.field.map(|index| &self.fields[index]) else {
            return false;
        };
        match score {
            Cell::Null => self.score.weights.is_none() && field.possible_values().null,
            score => field.lets_through(score) || field.is_default(score),
        }
    }
}

impl Compiled {
    /// What the source can do so that the field has this value, or any value where none is wanted.
    fn choices(&self, wanted: Option<&Cell<'_>>, weight: i128) -> Choices {
        let absent = (0, self.required && self.default.is_none());
        match wanted {
            None => vec![(weight, false), absent],
            Some(cell) if cell.is_blank() => vec![(0, self.required)],
            // A default does not make a field present.
            Some(cell) if self.is_default(cell) => vec![(weight, false), (0, false)],
            Some(_) => vec![(weight, false)],
        }
    }

    fn is_default(&self, cell: &Cell<'_>) -> bool {
        self.default.as_ref().is_some_and(|default| {
            default == cell || (number(default).is_some() && number(default) == number(cell))
        })
    }
}

fn number(cell: &Cell<'_>) -> Option<Decimal> {
    match cell {
        Cell::Decimal(number) => Some(*number),
        Cell::Integer(number) => Some((*number).into()),
        _ => None,
    }
}
