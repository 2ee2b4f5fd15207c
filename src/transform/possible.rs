//! Which values records can have, because the mapping accepts them: for the lint and for suggestions.
//!
//! To find out whether a value is accepted, it is written as the source would and read back by the mapping, so that no rule
//! of the mapping is written here a second time. Never used while records are synced. Knows nothing of decisions.

use std::collections::BTreeSet;

use regex_syntax::hir::{Class, Hir, HirKind};
use rust_decimal::Decimal;

use super::field::{Compiled, owned};
use super::scan::Scanner;
use super::score::Score;
use super::{Found, HAS_REQUIRED_FIELDS, Mapped, QUALITY_SCORE, Transform};
use crate::config::plan::Kind;
use crate::model::record::Cell;

/// Most different computed scores that are listed.
const MAX_SCORES: usize = 5_000;

/// The values that the mapping lets through for one input variable.
#[derive(Clone, Debug, Default)]
pub struct PossibleValues {
    /// Numbers are whole.
    pub whole: bool,
    /// Least number.
    pub min: Option<Decimal>,
    /// Greatest number.
    pub max: Option<Decimal>,
    /// The only values, null aside.
    pub one_of: Option<Vec<Cell<'static>>>,
    /// Further values that a record can have although its field would not accept them: computed scores.
    pub computed: Vec<Cell<'static>>,
    /// Some texts of the form that the field asks for.
    pub examples: Vec<String>,
    /// Its value if the source has none.
    pub default: Option<Cell<'static>>,
    /// Can it be null?
    pub null: bool,
}

impl Transform {
    /// The values of the input variable in this slot.
    pub fn possible_values(&self, slot: usize) -> PossibleValues {
        let mut possible = match self.fields.get(slot) {
            Some(field) => field.possible_values(),
            None => self.possible_values_of_extra(slot - self.fields.len()),
        };
        if self.score.field == Some(slot) && self.score.is_computed() {
            possible.null = false;
            possible.computed = self.score.possible().unwrap_or_default();
        }
        possible
    }

    fn possible_values_of_extra(&self, index: usize) -> PossibleValues {
        match self.extra.get(index).copied() {
            Some(HAS_REQUIRED_FIELDS) => PossibleValues::default(),
            Some(QUALITY_SCORE) => match self.score.field {
                Some(field) => self.possible_values(field),
                None => PossibleValues {
                    min: Some(Decimal::ZERO),
                    max: Some(Decimal::ONE_HUNDRED),
                    one_of: self.score.possible(),
                    ..PossibleValues::default()
                },
            },
            // Without a field of this name it is always null.
            _ => PossibleValues {
                one_of: Some(Vec::new()),
                null: true,
                ..PossibleValues::default()
            },
        }
    }

    /// A function that tells whether the field of a slot lets a value through; none for variables that are no fields.
    pub fn checker(
        &self,
        slot: usize,
    ) -> Option<impl Fn(&Cell<'_>) -> bool + Send + Sync + 'static> {
        let field = self.fields.get(slot)?.clone();
        Some(move |cell: &Cell<'_>| field.lets_through(cell))
    }

    /// All values of the record after some of them have changed at the source. The score and `hasRequiredFields` are computed
    /// again. None if the mapping does not accept a change, or if a value is not that of a field.
    pub fn with_changes(
        &self,
        mapped: &Mapped<'_>,
        changes: &[(usize, Cell<'static>)],
    ) -> Option<Vec<Cell<'static>>> {
        let mut changed = Mapped::new();
        changed.reset(self);
        changed.variables = mapped.variables.iter().cloned().map(owned).collect();
        changed.found.clone_from(&mapped.found);
        if let Some(field) = self.score.field
            && changed.found[field] == Found::Nothing
        {
            // The value is the default, or was computed and may change with the others.
            let default = self.fields[field].default.clone();
            changed.variables[field] = default.unwrap_or_default();
        }
        for (slot, cell) in changes {
            let field = self.fields.get(*slot)?;
            if matches!(cell, Cell::Null) {
                if !field.possible_values().null {
                    return None;
                }
            } else if !field.lets_through(cell) {
                return None;
            }
            changed.found[*slot] = match cell {
                Cell::Null => Found::Nothing,
                _ => Found::Value,
            };
            changed.variables[*slot] = cell.clone();
        }
        // A record without a key is never written, whatever the decision.
        if changed.variables[self.key].is_blank() {
            return None;
        }
        for (index, field) in self.fields.iter().enumerate() {
            if field.required && changed.variables[index].is_blank() {
                changed.missing.push(u16::try_from(index).ok()?);
            }
        }
        self.conclude(&mut changed);
        Some(std::mem::take(&mut changed.variables))
    }
}

impl Mapped<'_> {
    /// Which fields the source has given, one letter a field: together with the variables that a table reads, all that
    /// an explanation depends on.
    pub fn presence(&self) -> String {
        let letter = |index: usize, found: &Found| match found {
            _ if self.variables[index].is_blank() => '-',
            Found::Nothing => 'd',
            Found::Value | Found::Fault => 'v',
        };
        self.found
            .iter()
            .enumerate()
            .map(|(index, found)| letter(index, found))
            .collect()
    }
}

impl Compiled {
    pub(super) fn possible_values(&self) -> PossibleValues {
        let (min, max) = self.bounds.unwrap_or_default();
        let whole = self.kind() == Kind::Integer;
        let text = |text: &String| Cell::Text(text.clone().into());
        let constant = self.default.as_ref().filter(|_| self.is_constant);
        let one_of = if let Some(constant) = constant {
            Some(vec![constant.clone()])
        } else if self.one_of.is_empty() {
            None
        } else if self.numbers.is_empty() {
            Some(self.one_of.iter().map(text).collect())
        } else {
            Some(self.numbers.iter().copied().map(Cell::Decimal).collect())
        };
        PossibleValues {
            whole,
            min: min.or(whole.then(|| i64::MIN.into())),
            max: max.or(whole.then(|| i64::MAX.into())),
            one_of,
            computed: Vec::new(),
            examples: self.examples(),
            default: self.default.clone(),
            null: self.default.is_none(),
        }
    }

    /// Texts that the field lets through.
    fn examples(&self) -> Vec<String> {
        let mut texts: Vec<String> = match self.kind() {
            Kind::Email => [
                "name@example.org",
                "other@example.com",
                "a@b.example",
                "zoe@z.example",
                "0@example.net",
            ]
            .map(str::to_owned)
            .to_vec(),
            Kind::Uuid => [
                "00000000-0000-4000-8000-000000000000",
                "7d444840-9dc0-11d1-b245-5ffdce74fad2",
                "ffffffff-ffff-4fff-bfff-ffffffffffff",
            ]
            .map(str::to_owned)
            .to_vec(),
            Kind::String => Vec::new(),
            _ => return Vec::new(),
        };
        if let Some(pattern) = &self.pattern {
            texts.extend(texts_of_pattern(pattern.as_str()));
        }
        if let Some(Cell::Text(default)) = &self.default {
            texts.push(default.to_string());
        }
        texts.retain(|text| self.lets_through(&Cell::Text(text.as_str().into())));
        texts
    }

    /// True when the source can send this value: written as JSON, the field reads it as what it is.
    pub(super) fn lets_through(&self, cell: &Cell<'_>) -> bool {
        let Some(text) = self.written(cell) else {
            return false;
        };
        if self.is_constant && self.default.as_ref() != Some(cell) {
            return false;
        }
        let mut read = Cell::Null;
        let Ok(value) = Scanner::new(&text).value() else {
            return false;
        };
        if self.convert(value, &mut read).is_err() {
            return false;
        }
        match (&read, cell) {
            (Cell::Integer(read), Cell::Decimal(cell)) => Decimal::from(*read) == *cell,
            (Cell::Uuid(bytes), Cell::Text(text)) => {
                uuid::Uuid::from_bytes(*bytes).hyphenated().to_string() == **text
            }
            (read, cell) => read == cell,
        }
    }

    /// The value as JSON, in the form that the field expects.
    fn written(&self, cell: &Cell<'_>) -> Option<String> {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match (self.kind(), cell) {
            (Kind::String | Kind::Email | Kind::Uuid, Cell::Text(text)) => Some(quoted(text)),
            (Kind::Integer | Kind::Decimal, Cell::Decimal(number)) => {
                Some(number.normalize().to_string())
            }
            (Kind::Integer | Kind::Decimal, Cell::Integer(number)) => Some(number.to_string()),
            (Kind::Boolean, Cell::Boolean(truth)) => Some(truth.to_string()),
            (Kind::Date, Cell::Date(days)) => self.written_date(*days).map(|text| quoted(&text)),
            (Kind::DateTime, Cell::DateTime(at)) => self.written_time(*at),
            (Kind::Json, Cell::Json(text)) => Some(text.to_string()),
            _ => None,
        }
    }
}

impl Score {
    /// Are scores computed where the source has none?
    fn is_computed(&self) -> bool {
        self.weights.is_some()
    }

    /// The scores that can be computed, in order; none when no score is computed, or they are too many.
    fn possible(&self) -> Option<Vec<Cell<'static>>> {
        let weights = self.weights.as_ref()?;
        let mut sums = BTreeSet::from([0_i128]);
        for weight in weights.iter().filter(|weight| **weight > 0) {
            let more: Vec<i128> = sums.iter().map(|sum| sum + weight).collect();
            sums.extend(more);
            if sums.len() > MAX_SCORES {
                return None;
            }
        }
        let mut scores: Vec<Cell<'static>> = sums.into_iter().map(|sum| self.of(sum)).collect();
        scores.dedup();
        Some(scores)
    }
}

/// Texts that match a regular expression, as short and plain as it allows: each takes other branches and other counts.
fn texts_of_pattern(pattern: &str) -> Vec<String> {
    let Ok(hir) = regex_syntax::parse(pattern) else {
        return Vec::new();
    };
    let mut texts = BTreeSet::new();
    for choice in 0..8 {
        let mut text = String::new();
        if write_match(&hir, choice, &mut text).is_some() {
            texts.insert(text);
        }
    }
    texts.into_iter().collect()
}

fn write_match(hir: &Hir, choice: usize, text: &mut String) -> Option<()> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges();
            let range = ranges.get(choice % ranges.len().max(1))?;
            let readable = ['a', 'A', '0', '_'];
            let plain = readable.into_iter().find(|c| {
                choice == 0
                    && ranges
                        .iter()
                        .any(|range| range.start() <= *c && *c <= range.end())
            });
            text.push(plain.unwrap_or(range.start()));
        }
        HirKind::Class(Class::Bytes(_)) => return None,
        HirKind::Repetition(repetition) => {
            let extra = u32::try_from(choice % 3).ok()?;
            let most = repetition.max.unwrap_or(u32::MAX);
            for _ in 0..repetition.min.saturating_add(extra).min(most).min(1_000) {
                write_match(&repetition.sub, choice, text)?;
            }
        }
        HirKind::Capture(capture) => write_match(&capture.sub, choice, text)?,
        HirKind::Concat(parts) => {
            for part in parts {
                write_match(part, choice, text)?;
            }
        }
        HirKind::Alternation(branches) => {
            write_match(branches.get(choice % branches.len().max(1))?, choice, text)?;
        }
    }
    (text.len() < 10_000).then_some(())
}
