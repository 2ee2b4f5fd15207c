//! One mapped field, compiled: the raw JSON text of its value becomes a cell, or a reason why not.
//!
//! Owns types and constraints. Knows nothing of paths, records or other fields.

use std::borrow::Cow;

use anyhow::{Context, anyhow, bail, ensure};
use regex::Regex;
use rust_decimal::Decimal;

use super::scan::{Malformed, Scanner, Value, ValueKind};
use super::text::{is_blank, unescape};
use super::{Found, Mapped, email, json, number, text, time};
use crate::config::plan::{Field, Kind, Origin};
use crate::model::record::Cell;

/// A field ready to read values.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one option of a field"
)]
pub(super) struct Compiled {
    /// Its path at the source, dotted.
    pub(super) source: String,
    pub(super) name: String,
    pub(super) required: bool,
    /// The cell used when the source has no value.
    pub(super) default: Option<Cell<'static>>,
    kind: Reader,
    is_key: bool,
    /// Blank text is read as null.
    blank_is_null: bool,
    /// The default is the value of every record.
    pub(super) is_constant: bool,
    trim: bool,
    max_length: Option<usize>,
    pub(super) bounds: Option<(Option<Decimal>, Option<Decimal>)>,
    pub(super) pattern: Option<Regex>,
    pub(super) one_of: Vec<String>,
    /// `one_of` of a number field.
    pub(super) numbers: Vec<Decimal>,
    /// The type in words.
    expected: String,
}

/// A type with what reading it needs.
#[derive(Clone, Debug)]
enum Reader {
    String,
    Integer,
    Decimal,
    Boolean,
    Date(Option<String>),
    DateTime(time::Form),
    Email,
    Uuid,
    Json,
}

/// A value that was refused. In a box, since it is rare and results are handed on for every field.
pub(super) type Refused = Box<Refusal>;

/// Why a value was refused, and what would not have been.
pub(super) struct Refusal {
    expected: Option<String>,
    problem: Cow<'static, str>,
}

impl Refusal {
    /// Of another type than the field.
    #[cold]
    #[expect(clippy::unnecessary_box_returns, reason = "see Refused")]
    fn ill_typed(problem: &'static str) -> Refused {
        Box::new(Self {
            expected: None,
            problem: Cow::Borrowed(problem),
        })
    }

    /// Of the right type, but outside a constraint.
    #[cold]
    #[expect(clippy::unnecessary_box_returns, reason = "see Refused")]
    fn outside(expected: String, problem: impl Into<Cow<'static, str>>) -> Refused {
        Box::new(Self {
            expected: Some(expected),
            problem: problem.into(),
        })
    }
}

impl Compiled {
    /// The type as the mapping has it.
    pub(super) const fn kind(&self) -> Kind {
        match self.kind {
            Reader::String => Kind::String,
            Reader::Integer => Kind::Integer,
            Reader::Decimal => Kind::Decimal,
            Reader::Boolean => Kind::Boolean,
            Reader::Date(_) => Kind::Date,
            Reader::DateTime(_) => Kind::DateTime,
            Reader::Email => Kind::Email,
            Reader::Uuid => Kind::Uuid,
            Reader::Json => Kind::Json,
        }
    }

    pub(super) fn new(field: &Field, is_key: bool) -> anyhow::Result<Self> {
        let (kind, expected) = reader(field)?;
        let is_text = matches!(kind, Reader::String | Reader::Email);
        let is_number = matches!(kind, Reader::Integer | Reader::Decimal);
        ensure!(
            is_number || (field.min.is_none() && field.max.is_none()),
            "min and max bound numbers only"
        );
        if let (Some(min), Some(max)) = (field.min, field.max) {
            ensure!(
                min <= max,
                "min is greater than max: no value could ever pass"
            );
        }
        ensure!(
            is_text || (field.pattern.is_none() && field.max_length.is_none()),
            "pattern and max_length bound text only"
        );
        ensure!(
            is_text || is_number || field.one_of.is_empty(),
            "one_of serves text and numbers only"
        );
        let numbers = if is_number {
            field
                .one_of
                .iter()
                .map(|value| {
                    number::decimal(value).map_err(|_| anyhow!("one_of: `{value}` is no number"))
                })
                .collect::<anyhow::Result<_>>()?
        } else {
            Vec::new()
        };
        let mut compiled = Self {
            source: field.source.join("."),
            name: field.name.clone(),
            required: field.required || is_key,
            default: None,
            kind,
            is_key,
            blank_is_null: field.blank_is_null,
            is_constant: field.origin == Origin::Constant,
            trim: field.trim,
            max_length: field.max_length,
            bounds: (field.min.is_some() || field.max.is_some()).then_some((field.min, field.max)),
            pattern: field.pattern.as_deref().map(whole_pattern).transpose()?,
            one_of: field.one_of.clone(),
            numbers,
            expected,
        };
        if let Some(default) = &field.default {
            compiled.default = compiled.read_default(default)?;
        }
        Ok(compiled)
    }

    fn read_default(&self, default: &str) -> anyhow::Result<Option<Cell<'static>>> {
        let mut scanner = Scanner::new(default);
        let value = scanner.value();
        let value = value.and_then(|value| scanner.finish().map(|()| value));
        let Ok(value) = value else {
            bail!(
                "its default is no JSON value: {}",
                Malformed::explain(default)
            );
        };
        if value.kind == ValueKind::Null {
            return Ok(None);
        }
        let mut cell = Cell::Null;
        match self.convert(value, &mut cell) {
            Ok(()) => Ok(Some(owned(cell))),
            Err(refusal) => bail!("its default does not fit: {}", self.describe(&refusal)),
        }
    }

    /// A refusal in words.
    pub(super) fn describe(&self, refusal: &Refusal) -> String {
        let expected = refusal.expected.as_ref().unwrap_or(&self.expected);
        format!("expected {expected}, found {}", refusal.problem)
    }

    pub(super) fn limit_length(&mut self, characters: usize) -> anyhow::Result<()> {
        if let Some(Cell::Text(default)) = &self.default {
            ensure!(
                default.chars().count() <= characters,
                "field `{}`: its default is longer than the {characters} characters of its column",
                self.name
            );
        }
        let limit = self
            .max_length
            .map_or(characters, |limit| limit.min(characters));
        self.max_length = Some(limit);
        Ok(())
    }

    /// A date as the source writes it.
    pub(super) fn written_date(&self, days: i32) -> Option<String> {
        match &self.kind {
            Reader::Date(format) => time::written_date(days, format.as_deref()),
            _ => None,
        }
    }

    /// A time as JSON, as the source writes it.
    pub(super) fn written_time(&self, at: i64) -> Option<String> {
        match &self.kind {
            Reader::DateTime(form) => form.written(at),
            _ => None,
        }
    }

    /// Reads the value of field number `index` into the record.
    #[inline]
    pub(super) fn read<'p>(&self, index: usize, value: Value<'p>, mapped: &mut Mapped<'p>) {
        if value.kind == ValueKind::Null {
            return;
        }
        // Written in place: moving cells about is what costs most here.
        let outcome = self.convert(value, &mut mapped.variables[index]);
        if self.is_key && outcome.is_ok() {
            mapped.id = key_text(value.raw, &mapped.variables[index]);
        }
        self.note(index, outcome, mapped);
    }

    /// Notes what became of the value of field number `index`.
    #[inline]
    pub(super) fn note(&self, index: usize, outcome: Result<(), Refused>, mapped: &mut Mapped<'_>) {
        match outcome {
            // Blank text that was read as null.
            Ok(()) if matches!(mapped.variables[index], Cell::Null) => {}
            Ok(()) => mapped.found[index] = Found::Value,
            Err(refusal) => self.note_refused(index, *refusal, mapped),
        }
    }

    #[cold]
    fn note_refused(&self, index: usize, refusal: Refusal, mapped: &mut Mapped<'_>) {
        let expected = refusal.expected.unwrap_or_else(|| self.expected.clone());
        mapped.found[index] = Found::Fault;
        mapped.fault(self.source.clone(), expected, refusal.problem);
    }

    /// Sets the cell from text that is no JSON value by itself.
    pub(super) fn convert_text<'p>(
        &self,
        text: Cow<'p, str>,
        cell: &mut Cell<'p>,
    ) -> Result<(), Refused> {
        self.set_from_text(if self.trim { trimmed(text) } else { text }, cell)
    }

    /// Sets the cell, or leaves it as it is and says why.
    pub(super) fn convert<'p>(&self, value: Value<'p>, cell: &mut Cell<'p>) -> Result<(), Refused> {
        let inside = |raw: &'p str| &raw[1..raw.len() - 1];
        match (value.kind, &self.kind) {
            (ValueKind::Text | ValueKind::Escaped, Reader::Json) => {
                self.set_json_text(value.raw, cell)
            }
            (ValueKind::Text, _) if !self.trim => self.set_from_text(inside(value.raw), cell),
            (ValueKind::Text, _) => self.set_from_text(inside(value.raw).trim(), cell),
            (ValueKind::Escaped, _) => {
                let text = unescape(inside(value.raw))
                    .map_err(|fault| Refusal::ill_typed(fault.as_str()))?;
                self.set_from_text(if self.trim { trimmed(text) } else { text }, cell)
            }
            _ => self.set_from_bare(value, cell),
        }
    }

    /// A JSON string, without its quotes and escapes. A text of the page comes as it is, in registers, and not as a `Cow` by
    /// memory.
    fn set_from_text<'p>(
        &self,
        text: impl AsRef<str> + Into<Cow<'p, str>>,
        cell: &mut Cell<'p>,
    ) -> Result<(), Refused> {
        if is_blank(text.as_ref()) {
            // Of a required field this means "missing", like null, and no constraint has a say in that. Elsewhere it is
            // null where `empty` says so, and else text like any other, which is no value of another type.
            return match self.kind {
                _ if self.blank_is_null => Ok(()),
                Reader::String if self.required => {
                    *cell = Cell::Text(text.into());
                    Ok(())
                }
                Reader::String => self.set_text(text, cell),
                _ if self.required => Ok(()),
                _ => Err(Refusal::ill_typed("empty text")),
            };
        }
        *cell = match &self.kind {
            Reader::String => return self.set_text(text, cell),
            Reader::Email if email::is_address(text.as_ref()) => return self.set_text(text, cell),
            Reader::Email => return Err(Refusal::ill_typed("text that is no address")),
            Reader::Integer => return self.set_integer(text.as_ref(), cell),
            Reader::Decimal => return self.set_decimal(text.as_ref(), cell),
            Reader::Boolean => match text.as_ref() {
                "true" => Cell::Boolean(true),
                "false" => Cell::Boolean(false),
                _ => return Err(Refusal::ill_typed("text")),
            },
            Reader::Date(format) => Cell::Date(
                time::date(text.as_ref(), format.as_deref()).map_err(Refusal::ill_typed)?,
            ),
            Reader::DateTime(form) => {
                Cell::DateTime(form.read(text.as_ref()).map_err(Refusal::ill_typed)?)
            }
            Reader::Uuid => Cell::Uuid(
                text::uuid(text.as_ref())
                    .ok_or_else(|| Refusal::ill_typed("text that is no UUID"))?,
            ),
            Reader::Json => return Err(Refusal::ill_typed("text")),
        };
        Ok(())
    }

    /// Anything but a JSON string or null.
    fn set_from_bare<'p>(&self, value: Value<'p>, cell: &mut Cell<'p>) -> Result<(), Refused> {
        let raw = value.raw;
        match (&self.kind, value.kind) {
            (Reader::Json, _) => set_json(raw, cell),
            (Reader::Boolean, ValueKind::Boolean) => {
                *cell = Cell::Boolean(raw == "true");
                Ok(())
            }
            (Reader::Integer, ValueKind::Number) => self.set_integer(raw, cell),
            (Reader::Decimal, ValueKind::Number) => self.set_decimal(raw, cell),
            (Reader::DateTime(form), ValueKind::Number) => {
                *cell = Cell::DateTime(form.count(raw).map_err(Refusal::ill_typed)?);
                Ok(())
            }
            (Reader::String, ValueKind::Number) if self.is_key => {
                if number::is_whole(raw) {
                    let digits = if raw == "-0" { "0" } else { raw };
                    self.set_text(digits, cell)
                } else {
                    Err(Refusal::ill_typed("a number that is not whole"))
                }
            }
            (Reader::String, ValueKind::Number | ValueKind::Boolean) if !self.is_key => {
                self.set_text(raw, cell)
            }
            (_, kind) => Err(Refusal::ill_typed(kind.as_str())),
        }
    }

    /// A JSON string for a field of any JSON.
    fn set_json_text<'p>(&self, raw: &'p str, cell: &mut Cell<'p>) -> Result<(), Refused> {
        if self.blank_is_null && unescape(&raw[1..raw.len() - 1]).is_ok_and(|text| is_blank(&text))
        {
            return Ok(());
        }
        set_json(raw, cell)
    }

    fn set_text<'p>(
        &self,
        text: impl AsRef<str> + Into<Cow<'p, str>>,
        cell: &mut Cell<'p>,
    ) -> Result<(), Refused> {
        self.check_text(text.as_ref())?;
        *cell = Cell::Text(text.into());
        Ok(())
    }

    fn check_text(&self, text: &str) -> Result<(), Refused> {
        // No text has more characters than bytes.
        if let Some(limit) = self.max_length
            && text.len() > limit
        {
            let length = text.chars().count();
            if length > limit {
                return Err(Refusal::outside(
                    format!("at most {limit} characters"),
                    format!("{length} characters"),
                ));
            }
        }
        if let Some(pattern) = &self.pattern
            && !pattern.is_match(text)
        {
            return Err(Refusal::outside(
                format!("text that matches {}", self.pattern_source()),
                "text that does not match",
            ));
        }
        if !self.one_of.is_empty() && !self.one_of.iter().any(|allowed| allowed == text) {
            return Err(self.not_one_of());
        }
        Ok(())
    }

    fn set_integer(&self, text: &str, cell: &mut Cell<'_>) -> Result<(), Refused> {
        let value = number::integer(text).map_err(|fault| Refusal::ill_typed(fault.as_str()))?;
        if self.bounds.is_some() || !self.numbers.is_empty() {
            self.bound(Decimal::from(value))?;
        }
        *cell = Cell::Integer(value);
        Ok(())
    }

    fn set_decimal(&self, text: &str, cell: &mut Cell<'_>) -> Result<(), Refused> {
        let value = number::decimal(text).map_err(|fault| Refusal::ill_typed(fault.as_str()))?;
        self.bound(value)?;
        *cell = Cell::Decimal(value);
        Ok(())
    }

    fn bound(&self, value: Decimal) -> Result<(), Refused> {
        if let Some((min, max)) = &self.bounds {
            let below = min.is_some_and(|min| value < min);
            let above = max.is_some_and(|max| value > max);
            if below || above {
                let expected = match (min, max) {
                    (Some(min), Some(max)) => format!("{} from {min} to {max}", self.expected),
                    (Some(min), None) => format!("{} of at least {min}", self.expected),
                    (None, Some(max)) => format!("{} of at most {max}", self.expected),
                    (None, None) => self.expected.clone(),
                };
                let problem = if below {
                    "a number out of range (below the minimum)"
                } else {
                    "a number out of range (above the maximum)"
                };
                return Err(Refusal::outside(expected, problem));
            }
        }
        if !self.numbers.is_empty() && !self.numbers.contains(&value) {
            return Err(self.not_one_of());
        }
        Ok(())
    }

    #[expect(clippy::unnecessary_box_returns, reason = "see Refused")]
    fn not_one_of(&self) -> Refused {
        Refusal::outside(
            format!("one of {}", self.one_of.join(", ")),
            "another value",
        )
    }

    /// The pattern as the mapping has it.
    fn pattern_source(&self) -> &str {
        let pattern = self.pattern.as_ref().map_or("", Regex::as_str);
        pattern
            .strip_prefix(PATTERN_HEAD)
            .and_then(|rest| rest.strip_suffix(PATTERN_TAIL))
            .unwrap_or(pattern)
    }
}

const PATTERN_HEAD: &str = r"\A(?:";
const PATTERN_TAIL: &str = r")\z";

fn whole_pattern(pattern: &str) -> anyhow::Result<Regex> {
    // Alone first: what is only correct inside our brackets is not correct.
    Regex::new(pattern).with_context(|| format!("pattern `{pattern}`"))?;
    Regex::new(&format!("{PATTERN_HEAD}{pattern}{PATTERN_TAIL}"))
        .with_context(|| format!("pattern `{pattern}`"))
}

fn reader(field: &Field) -> anyhow::Result<(Reader, String)> {
    let format = field.format.as_deref();
    if !matches!(field.kind, Kind::Date | Kind::DateTime) {
        ensure!(format.is_none(), "format serves dates and times only");
    }
    if field.kind != Kind::DateTime {
        ensure!(field.timezone.is_none(), "timezone serves datetimes only");
    }
    let named = |reader: Reader, expected: &str| Ok((reader, expected.to_owned()));
    match field.kind {
        Kind::String => named(Reader::String, "text"),
        Kind::Integer => named(Reader::Integer, "integer"),
        Kind::Decimal => named(Reader::Decimal, "decimal"),
        Kind::Boolean => named(Reader::Boolean, "boolean"),
        Kind::Email => named(Reader::Email, "e-mail address"),
        Kind::Uuid => named(Reader::Uuid, "UUID"),
        Kind::Json => named(Reader::Json, "JSON that jsonb can hold"),
        Kind::Date => {
            if let Some(format) = format {
                time::ensure_format(format)?;
            }
            let shown = format.unwrap_or("YYYY-MM-DD");
            let expected = format!("date ({shown})");
            Ok((Reader::Date(format.map(str::to_owned)), expected))
        }
        Kind::DateTime => {
            let form = time::Form::new(format, field.timezone.as_deref())?;
            let expected = form.expected();
            Ok((Reader::DateTime(form), expected))
        }
    }
}

fn set_json<'p>(raw: &'p str, cell: &mut Cell<'p>) -> Result<(), Refused> {
    json::check(raw).map_err(Refusal::ill_typed)?;
    *cell = Cell::Json(Cow::Borrowed(raw));
    Ok(())
}

/// The key as text: borrowed where the record spells it the one way we do.
fn key_text<'p>(raw: &'p str, cell: &Cell<'p>) -> Option<Cow<'p, str>> {
    match cell {
        Cell::Integer(_) if number::is_whole(raw) && raw != "-0" => Some(Cow::Borrowed(raw)),
        other => spelling(other),
    }
}

/// A cell as the one text that names its value; none for what cannot be a key.
pub(super) fn spelling<'p>(cell: &Cell<'p>) -> Option<Cow<'p, str>> {
    match cell {
        Cell::Text(text) if !is_blank(text) => Some(text.clone()),
        Cell::Integer(value) => Some(Cow::Owned(value.to_string())),
        Cell::Decimal(value) => Some(Cow::Owned(value.normalize().to_string())),
        Cell::Uuid(bytes) => Some(Cow::Owned(
            uuid::Uuid::from_bytes(*bytes).hyphenated().to_string(),
        )),
        Cell::Boolean(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        Cell::DateTime(at) => Some(Cow::Owned(at.to_string())),
        Cell::Date(day) => Some(Cow::Owned(day.to_string())),
        Cell::Text(_) | Cell::Json(_) | Cell::Null => None,
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => {
            let kept = text.trim();
            if kept.len() == text.len() {
                Cow::Owned(text)
            } else {
                Cow::Owned(kept.to_owned())
            }
        }
    }
}

/// The cell with text of its own.
pub(super) fn owned(cell: Cell<'_>) -> Cell<'static> {
    match cell {
        Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
        Cell::Json(text) => Cell::Json(Cow::Owned(text.into_owned())),
        Cell::Null => Cell::Null,
        Cell::Integer(value) => Cell::Integer(value),
        Cell::Decimal(value) => Cell::Decimal(value),
        Cell::Boolean(value) => Cell::Boolean(value),
        Cell::Date(value) => Cell::Date(value),
        Cell::DateTime(value) => Cell::DateTime(value),
        Cell::Uuid(value) => Cell::Uuid(value),
    }
}
