//! Fields made of several values of a record: joined texts, or the first value that is not blank.
//!
//! Their paths are read in the same pass over the record as those of other fields. The values found are kept until the pass
//! is over. A mapping without such fields does no work for them.

use std::borrow::Cow;

use super::field::Compiled;
use super::scan::{Value, ValueKind};
use super::text::{is_blank, unescape};
use super::{Found, Mapped, Transform};
use crate::config::plan::{Field, Origin};

/// One such field.
#[derive(Debug)]
pub(super) struct Combined {
    field: usize,
    /// The range of its values among those that are kept.
    first: usize,
    end: usize,
    /// The separator of joined texts; none if the first value is taken.
    separator: Option<String>,
}

/// All such fields of a mapping, and the paths they are made of, in the order in which the values wait.
pub(super) fn of(fields: &[Field]) -> (Vec<Combined>, Vec<&[String]>) {
    let (mut combined, mut paths) = (Vec::new(), Vec::new());
    for (index, field) in fields.iter().enumerate() {
        let separator = match &field.origin {
            Origin::Joined { separator, .. } => Some(separator.clone()),
            Origin::FirstOf(_) => None,
            Origin::Path | Origin::Constant => continue,
        };
        let first = paths.len();
        paths.extend(field.paths());
        combined.push(Combined {
            field: index,
            first,
            end: paths.len(),
            separator,
        });
    }
    (combined, paths)
}

impl Transform {
    /// Fills the fields that are made of several values.
    pub(super) fn combine<'p>(&'p self, mapped: &mut Mapped<'p>) {
        for combined in &self.combined {
            let field = &self.fields[combined.field];
            match &combined.separator {
                Some(separator) => combined.join(separator, field, mapped),
                None => combined.take_first(field, mapped),
            }
        }
    }
}

impl Combined {
    /// The first value that is present and not blank. If there is none, the first blank text, which the field interprets.
    fn take_first(&self, field: &Compiled, mapped: &mut Mapped<'_>) {
        let mut blank = None;
        for at in self.first..self.end {
            let Some(value) = mapped.parts[at] else {
                continue;
            };
            if value.kind == ValueKind::Null {
                continue;
            }
            if is_blank_text(value) {
                blank = blank.or(Some(value));
                continue;
            }
            return field.read(self.field, value, mapped);
        }
        if let Some(value) = blank {
            field.read(self.field, value, mapped);
        }
    }

    /// Texts, numbers and booleans in the order of the mapping, with the separator between those that are there and not
    /// blank.
    fn join<'p>(&self, separator: &str, field: &Compiled, mapped: &mut Mapped<'p>) {
        let mut joined: Option<Cow<'p, str>> = None;
        for at in self.first..self.end {
            let Some(value) = mapped.parts[at] else {
                continue;
            };
            let text = match value.kind {
                ValueKind::Null => continue,
                ValueKind::Text => Cow::Borrowed(inside(value)),
                ValueKind::Escaped => match unescape(inside(value)) {
                    Ok(text) => text,
                    Err(fault) => return field.refuse(self.field, fault.as_str(), mapped),
                },
                ValueKind::Number | ValueKind::Boolean => Cow::Borrowed(value.raw),
                ValueKind::Array | ValueKind::Object => {
                    return field.refuse(self.field, value.kind.as_str(), mapped);
                }
            };
            if is_blank(&text) {
                continue;
            }
            joined = Some(match joined {
                None => text,
                Some(before) => Cow::Owned(before.into_owned() + separator + &text),
            });
        }
        if let Some(text) = joined {
            field.read_text(self.field, text, mapped);
        }
    }
}

fn inside(value: Value<'_>) -> &str {
    &value.raw[1..value.raw.len() - 1]
}

fn is_blank_text(value: Value<'_>) -> bool {
    match value.kind {
        ValueKind::Text => is_blank(inside(value)),
        ValueKind::Escaped => unescape(inside(value)).is_ok_and(|text| is_blank(&text)),
        _ => false,
    }
}

impl Compiled {
    /// Reads joined text as if the source had it in one value.
    fn read_text<'p>(&self, index: usize, text: Cow<'p, str>, mapped: &mut Mapped<'p>) {
        let outcome = self.convert_text(text, &mut mapped.variables[index]);
        self.note(index, outcome, mapped);
    }

    /// A value that cannot be a part of the field.
    fn refuse(&self, index: usize, problem: &'static str, mapped: &mut Mapped<'_>) {
        mapped.found[index] = Found::Fault;
        mapped.fault(
            self.source.clone(),
            "text, numbers and booleans to join",
            problem,
        );
    }
}
