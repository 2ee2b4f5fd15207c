//! A record's JSON text becomes typed cells, a list of what is wrong with it, and a quality score.
//!
//! Compiled once from the mapping; then one pass over each record's text, which borrows wherever a slice will do. All
//! errors of a record are collected. This module must not know where records come from, what is decided about them,
//! or how they are stored.
//!
//! What is accepted:
//!
//! | type | JSON |
//! |---|---|
//! | string | text; a number or boolean as its JSON text, of which the key takes whole numbers only |
//! | integer | `42`, `42.0`, `4.2e1`, or text that is exactly a JSON number (`"42"`; not `"007"`, `"+1"`, `" 1"`) |
//! | decimal | a number or text that is exactly one; exact, at most 28 significant digits and 28 decimal places |
//! | boolean | `true`, `false`, `"true"`, `"false"` |
//! | date | `"YYYY-MM-DD"`, or only the strptime `format` when there is one; years 1 to 9999 |
//! | datetime | RFC 3339 with an offset; or the strptime `format`, in `timezone` unless the format has an offset; or seconds or milliseconds since 1970; finer than a microsecond is cut off |
//! | email | one `@`, a plausible local part and a domain of two labels or more, any script |
//! | uuid | 32 hexadecimal digits, with the usual four hyphens or without |
//! | json | anything a `jsonb` column holds without loss: kept as written |
//!
//! Absent and null are the same: the default when there is one, else null. A required field (the key always is) that
//! is then null, empty or blank is missing, which the decision judges; anything else wrong is a [`FieldError`]. Empty
//! or blank text in a field of another type than `string` and `json` is null, unless `empty: keep` makes it such an error.

mod combined;
mod email;
mod field;
mod given;
mod identity;
mod json;
mod masked;
mod number;
mod outgoing;
mod paths;
mod possible;
mod scan;
mod score;
mod text;
mod time;
mod together;

use std::borrow::Cow;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::config::plan::{Kind, Mapping, Origin};
use crate::config::show_duration;
use crate::model::clock::Micros;
use crate::model::record::{Cell, FieldError};

use combined::Combined;
use field::Compiled;
use paths::{Keys, Paths};
use scan::{Value, ValueKind};
use score::Score;

pub use identity::Identity;
pub use masked::Mask;
pub use outgoing::Outgoing;
pub use possible::PossibleValues;
pub use together::RecordCheck;

/// Names of the input variables that are not fields.
const RECORD_TYPE: &str = "recordType";
const QUALITY_SCORE: &str = "qualityScore";
const HAS_REQUIRED_FIELDS: &str = "hasRequiredFields";

/// The [`FieldError::field`] of an error that concerns the record as a whole.
pub const WHOLE_RECORD: &str = "record";

/// A compiled mapping. Shared freely between threads.
#[derive(Debug)]
pub struct Transform {
    paths: Paths,
    fields: Vec<Compiled>,
    combined: Vec<Combined>,
    /// How many values the combined fields are made of.
    parts: usize,
    key: usize,
    version: Option<usize>,
    /// How far a version may be ahead of PostgreSQL's clock; one later than `latest_version` is a field error.
    version_max_ahead: Duration,
    latest_version: i64,
    score: Score,
    /// Facts beyond the fields, in slot order.
    extra: Vec<&'static str>,
    /// Slot of the `qualityScore` input variable when that is not the score field itself.
    score_slot: Option<usize>,
    /// How the time of change is written, where it is looked at; see [`Transform::watch`].
    watched: Option<time::Form>,
}

/// One record after mapping. It is made once a page and filled again for every record.
#[derive(Debug, Default)]
pub struct Mapped<'p> {
    /// One cell a slot, in the order of [`Transform::variable_names`]; the first ones are the mapped fields, in file order.
    pub variables: Vec<Cell<'p>>,
    /// Everything wrong with the record. When there is any, the record must be rejected.
    pub errors: Vec<FieldError>,
    /// Indexes of required fields that are absent, null, empty or blank.
    pub missing: Vec<u16>,
    /// The key as text, one spelling a value (`42`, never `42.0`; UUIDs hyphenated and in lower case). None when it is
    /// missing or unusable.
    pub id: Option<Cow<'p, str>>,
    /// The freshness guard: microseconds since 1970-01-01T00:00:00Z, where a version field is mapped and present.
    pub version: Option<i64>,
    /// When the source last changed the record, microseconds since 1970-01-01T00:00:00Z; see [`Transform::watch`].
    pub changed_at: Option<i64>,
    /// What the source has for each field.
    found: Vec<Found>,
    /// The values of which combined fields are made.
    parts: Vec<Option<Value<'p>>>,
    keys: Keys<'p>,
}

/// What the source has for one field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Found {
    /// Absent or null.
    #[default]
    Nothing,
    /// A value that conforms; it may still be blank.
    Value,
    /// A value that does not conform.
    Fault,
}

impl Transform {
    /// Compiles a mapping.
    ///
    /// # Errors
    /// What cannot work for any record: an unknown time zone, a pattern that is no regular expression, a format that
    /// lacks its time zone, a default that its own field refuses, a constraint that does not fit the type.
    pub fn new(mapping: &Mapping) -> anyhow::Result<Self> {
        let count = mapping.fields.len();
        ensure!(
            mapping.key < count,
            "the mapping has no field for the conflict key"
        );
        ensure!(count < usize::from(u16::MAX), "too many mapped fields");
        let fields = mapping
            .fields
            .iter()
            .enumerate()
            .map(|(index, field)| {
                Compiled::new(field, index == mapping.key)
                    .with_context(|| format!("field `{}`", field.name))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        if let Some(version) = mapping.version {
            let field = mapping
                .fields
                .get(version)
                .context("the version field is not mapped")?;
            ensure!(
                field.kind == crate::config::plan::Kind::DateTime,
                "version_field `{}` must be of type datetime",
                field.name
            );
        }
        let named = |name: &str| mapping.fields.iter().any(|field| field.name == name);
        ensure!(
            !named(HAS_REQUIRED_FIELDS),
            "`{HAS_REQUIRED_FIELDS}` is computed: no field can be called so"
        );
        let score = Score::new(mapping)?;
        let (combined, parts) = combined::of(&mapping.fields);
        let mut extra: Vec<_> = [RECORD_TYPE, QUALITY_SCORE]
            .into_iter()
            .filter(|name| !named(name))
            .collect();
        extra.push(HAS_REQUIRED_FIELDS);
        let score_slot = extra
            .iter()
            .position(|name| *name == QUALITY_SCORE)
            .map(|at| count + at);
        Ok(Self {
            paths: Paths::new(numbered_paths(mapping))?,
            fields,
            parts: parts.len(),
            combined,
            key: mapping.key,
            version: mapping.version,
            version_max_ahead: mapping.version_max_ahead,
            latest_version: i64::MAX,
            score,
            extra,
            score_slot,
            watched: None,
        })
    }

    /// Also reads, from every record, the time at this path of the source (the watermark is made of it). It is read as
    /// the mapped field of this path is, RFC 3339 where none is mapped; what cannot be read is no fault of the record.
    ///
    /// # Errors
    /// When the field is mapped as another type than datetime.
    pub fn watch(&mut self, path: &[String], mapping: &Mapping) -> anyhow::Result<()> {
        let mapped = mapping.fields.iter().find(|field| field.is_at(path));
        let (format, timezone) = match mapped {
            Some(field) => {
                ensure!(
                    field.kind == crate::config::plan::Kind::DateTime,
                    "incremental.field `{}` must be of type datetime",
                    path.join(".")
                );
                (field.format.as_deref(), field.timezone.as_deref())
            }
            None => (None, None),
        };
        self.watched = Some(time::Form::new(format, timezone)?);
        let watched = (self.read_values(), path);
        self.paths = Paths::new(numbered_paths(mapping).chain([watched]))?;
        Ok(())
    }

    /// Bounds the text of a field by the width of its column, in characters; a tighter `max_length` stays.
    ///
    /// # Errors
    /// When the field's own default is longer.
    pub fn limit_length(&mut self, field: usize, characters: usize) -> anyhow::Result<()> {
        let field = self.fields.get_mut(field).context("no such field")?;
        field.limit_length(characters)
    }

    /// What says which data of a record is newer: the mapped version; the time of its request where none is mapped. None: it is
    /// mapped, and the record has none.
    pub fn version_of(&self, mapped: &Mapped<'_>, requested_at: Micros) -> Option<Micros> {
        if self.version.is_none() {
            return Some(requested_at);
        }
        mapped.version.map(Micros)
    }

    /// Refuses records whose version is too far ahead of `now`: nothing that comes later would ever replace them.
    pub fn refuse_versions_ahead_of(&mut self, now: Micros) {
        self.latest_version = now.after(self.version_max_ahead).0;
    }

    /// Names of the input variables, in slot order: every internal field name, then `recordType` and `qualityScore` where no
    /// field is called so, then `hasRequiredFields`.
    pub fn variable_names(&self) -> Vec<&str> {
        let fields = self.fields.iter().map(|field| field.name.as_str());
        fields.chain(self.extra.iter().copied()).collect()
    }

    /// The types of the input variables, in slot order; none where nothing is known of them.
    pub fn variable_kinds(&self) -> Vec<Option<Kind>> {
        let of_field = |field: &Compiled| Some(field.kind());
        let of_extra = |name: &&str| match *name {
            HAS_REQUIRED_FIELDS => Some(Kind::Boolean),
            QUALITY_SCORE => match self.score.field {
                Some(field) => Some(self.fields[field].kind()),
                None => Some(Kind::Decimal),
            },
            _ => None,
        };
        let fields = self.fields.iter().map(of_field);
        fields.chain(self.extra.iter().map(of_extra)).collect()
    }

    /// Is the input variable a field that every complete record has?
    pub fn is_required(&self, slot: usize) -> bool {
        self.fields.get(slot).is_some_and(|field| field.required)
    }

    /// The field's path at the source, as messages show it.
    pub fn source_name(&self, field: usize) -> &str {
        self.fields
            .get(field)
            .map_or(WHOLE_RECORD, |field| &field.source)
    }

    /// Maps one record, given as JSON text. Replaces whatever `mapped` held before.
    pub fn apply<'p>(&'p self, raw: &'p str, mapped: &mut Mapped<'p>) {
        mapped.reset(self);
        if let Err(problem) = paths::read(self, raw, mapped) {
            mapped.reset(self);
            mapped.fault(WHOLE_RECORD, "a JSON object", problem);
            if let Some(last) = mapped.variables.last_mut() {
                *last = Cell::Boolean(false);
            }
            return;
        }
        self.combine(mapped);
        for (index, field) in self.fields.iter().enumerate() {
            if mapped.found[index] == Found::Nothing
                && let Some(default) = &field.default
            {
                mapped.variables[index] = borrowed(default);
            }
            if field.required
                && mapped.found[index] != Found::Fault
                && mapped.variables[index].is_blank()
            {
                #[expect(clippy::cast_possible_truncation, reason = "new() bounds the number")]
                mapped.missing.push(index as u16);
            }
        }
        self.conclude(mapped);
    }

    /// How many values are read from a record: those of fields, and those of which fields are made.
    fn read_values(&self) -> usize {
        self.fields.len() + self.parts
    }

    /// Takes a value that is of no field alone: a part of one, or the time of change.
    fn read_beyond<'p>(&self, number: usize, value: Value<'p>, mapped: &mut Mapped<'p>) {
        match mapped.parts.get_mut(number - self.fields.len()) {
            Some(part) => *part = Some(value),
            None => mapped.changed_at = self.time_of_change(value),
        }
    }

    fn time_of_change(&self, value: Value<'_>) -> Option<i64> {
        let form = self.watched.as_ref()?;
        match value.kind {
            ValueKind::Text | ValueKind::Escaped => {
                let inner = &value.raw[1..value.raw.len() - 1];
                form.read(text::unescape(inner).ok()?.trim()).ok()
            }
            ValueKind::Number => form.count(value.raw).ok(),
            _ => None,
        }
    }

    /// Fills in what follows from the cells: id, version, score and `hasRequiredFields`.
    fn conclude(&self, mapped: &mut Mapped<'_>) {
        if mapped.id.is_none() && mapped.found[self.key] != Found::Fault {
            mapped.id = field::spelling(&mapped.variables[self.key]);
        }
        mapped.version = match self.version.map(|index| &mapped.variables[index]) {
            Some(Cell::DateTime(at)) => Some(*at),
            _ => None,
        };
        if let Some(field) = self.version.map(|index| &self.fields[index])
            && mapped.version.is_some_and(|at| at > self.latest_version)
        {
            let expected = format!(
                "a time at most {} ahead of PostgreSQL's clock (`version_max_ahead`), since `version_field` says which data is newer",
                show_duration(self.version_max_ahead)
            );
            mapped.fault(field.source.clone(), expected, "a later time");
        }
        if let Some(field) = self.score.field
            && matches!(mapped.variables[field], Cell::Null)
        {
            mapped.variables[field] = self.score.computed(&mapped.variables, &mapped.found);
        }
        if let Some(slot) = self.score_slot {
            mapped.variables[slot] = match self.score.field {
                Some(field) => mapped.variables[field].clone(),
                None => self.score.computed(&mapped.variables, &mapped.found),
            };
        }
        let complete = mapped.missing.is_empty();
        if let Some(last) = mapped.variables.last_mut() {
            *last = Cell::Boolean(complete);
        }
    }
}

impl Mapped<'_> {
    /// An empty one; it grows to the mapping at the first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// True when nothing is wrong with any field; required ones may still be missing.
    pub fn is_well_formed(&self) -> bool {
        self.errors.is_empty()
    }

    fn reset(&mut self, transform: &Transform) {
        let fields = transform.fields.len();
        for variable in &mut self.variables {
            *variable = Cell::Null;
        }
        self.variables
            .resize_with(fields + transform.extra.len(), Cell::default);
        self.found.clear();
        self.found.resize(fields, Found::Nothing);
        self.parts.clear();
        self.parts.resize(transform.parts, None);
        self.errors.clear();
        self.missing.clear();
        self.id = None;
        self.version = None;
        self.changed_at = None;
        self.keys.reset(&transform.paths);
    }

    fn fault(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        expected: impl Into<Cow<'static, str>>,
        problem: impl Into<Cow<'static, str>>,
    ) {
        self.errors.push(FieldError {
            field: field.into(),
            expected: expected.into(),
            problem: problem.into(),
        });
    }
}

/// The paths that are read, each with the number of its field; those of which fields are made come after all fields.
fn numbered_paths(mapping: &Mapping) -> impl Iterator<Item = (usize, &[String])> {
    let alone = mapping.fields.iter().enumerate();
    let alone = alone.filter(|(_, field)| field.origin == Origin::Path);
    let parts = combined::of(&mapping.fields).1.into_iter();
    alone
        .map(|(number, field)| (number, field.source.as_slice()))
        .chain((mapping.fields.len()..).zip(parts))
}

/// A cell that lends its text instead of copying it.
fn borrowed<'a>(cell: &'a Cell<'static>) -> Cell<'a> {
    match cell {
        Cell::Text(text) => Cell::Text(Cow::Borrowed(text)),
        Cell::Json(text) => Cell::Json(Cow::Borrowed(text)),
        other => other.clone(),
    }
}
