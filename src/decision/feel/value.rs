//! The values of FEEL and how they compare.
//!
//! Owns the value type, equality and order in the three-valued sense of the standard (`None` is "cannot be said"). Knows
//! nothing of expressions, tables or records, apart from how a record's cell becomes a value.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use jiff::civil;
use rust_decimal::Decimal;

use super::duration;
use super::temporal::{self, DateTime, Time};
use crate::model::record::Cell;

/// One FEEL value. Cheap to clone: everything long is shared.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Nothing, or "cannot be computed": FEEL makes no difference.
    #[default]
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// An exact decimal.
    Number(Decimal),
    /// Text.
    Text(Arc<str>),
    /// A calendar date.
    Date(civil::Date),
    /// A time of day.
    Time(Time),
    /// A date and time.
    DateTime(DateTime),
    /// A days-and-time duration, in nanoseconds.
    Duration(i128),
    /// A years-and-months duration, in months.
    Months(i64),
    /// A list.
    List(Arc<[Value]>),
    /// Named entries, in the order they were written.
    Context(Arc<[(Arc<str>, Value)]>),
    /// An interval.
    Range(Arc<Range>),
}

/// An interval. A null end is open towards infinity.
#[derive(Clone, Debug)]
pub struct Range {
    /// Lower end, or null.
    pub low: Value,
    /// Does the lower end belong to it?
    pub low_included: bool,
    /// Upper end, or null.
    pub high: Value,
    /// Does the upper end belong to it?
    pub high_included: bool,
}

/// The types of FEEL as far as a table can name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing is known of the type.
    Any,
    /// `boolean`
    Boolean,
    /// `number`
    Number,
    /// `string`
    Text,
    /// `date`
    Date,
    /// `time`
    Time,
    /// `date and time`
    DateTime,
    /// `days and time duration`
    Duration,
    /// `years and months duration`
    Months,
    /// A list.
    List,
    /// A context.
    Context,
    /// A range.
    Range,
}

impl Kind {
    /// The name as the standard spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "Any",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Text => "string",
            Self::Date => "date",
            Self::Time => "time",
            Self::DateTime => "date and time",
            Self::Duration => "days and time duration",
            Self::Months => "years and months duration",
            Self::List => "list",
            Self::Context => "context",
            Self::Range => "range",
        }
    }

    /// Understands the `typeRef` spellings of all versions and modelers: `feel:number`, `dateTime`, `integer`, …
    /// `None` is a type of the file's own (an item definition) or an unknown one.
    pub fn of_type_ref(name: &str) -> Option<Self> {
        let local = name.rsplit([':', '}']).next().unwrap_or(name).trim();
        Some(match local {
            "Any" | "any" => Self::Any,
            "boolean" => Self::Boolean,
            "number" | "integer" | "long" | "double" | "decimal" => Self::Number,
            "string" => Self::Text,
            "date" => Self::Date,
            "time" => Self::Time,
            "dateTime" | "date and time" | "dateAndTime" => Self::DateTime,
            "dayTimeDuration" | "days and time duration" => Self::Duration,
            "yearMonthDuration" | "years and months duration" => Self::Months,
            "list" => Self::List,
            "context" => Self::Context,
            _ => return None,
        })
    }

    /// Do values of this type have an order?
    pub const fn is_ordered(self) -> bool {
        !matches!(
            self,
            Self::Any | Self::Boolean | Self::List | Self::Context | Self::Range
        )
    }
}

impl Value {
    /// How much there is of it, counted no further than `most`: what is shared counts as often as it occurs.
    pub fn weight(&self, most: usize) -> usize {
        let sum = |values: &mut dyn Iterator<Item = &Self>| {
            let mut weight = 1_usize;
            for value in values {
                if weight >= most {
                    break;
                }
                weight = weight.saturating_add(value.weight(most - weight));
            }
            weight
        };
        match self {
            Self::Text(text) => 1 + text.len() / 16,
            Self::List(items) => sum(&mut items.iter()),
            Self::Context(entries) => sum(&mut entries.iter().map(|(_, value)| value)),
            _ => 1,
        }
    }

    /// Text.
    pub fn text(text: &str) -> Self {
        Self::Text(Arc::from(text))
    }

    /// A whole number.
    pub fn integer(number: i64) -> Self {
        Self::Number(Decimal::from(number))
    }

    /// A list.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::from(items))
    }

    /// The type of the value; [`Kind::Any`] for null.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Any,
            Self::Boolean(_) => Kind::Boolean,
            Self::Number(_) => Kind::Number,
            Self::Text(_) => Kind::Text,
            Self::Date(_) => Kind::Date,
            Self::Time(_) => Kind::Time,
            Self::DateTime(_) => Kind::DateTime,
            Self::Duration(_) => Kind::Duration,
            Self::Months(_) => Kind::Months,
            Self::List(_) => Kind::List,
            Self::Context(_) => Kind::Context,
            Self::Range(_) => Kind::Range,
        }
    }

    /// The type's name for messages; `null` for null.
    pub const fn kind_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            other => other.kind().name(),
        }
    }

    /// Is it null?
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Is it null, or text that is empty or white space only? That is "missing" for a required field.
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }

    /// `Some(true)`/`Some(false)` for booleans, `None` for everything else.
    pub const fn truth(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// A boolean, or null when it cannot be said.
    pub fn from_truth(truth: Option<bool>) -> Self {
        truth.map_or(Self::Null, Self::Boolean)
    }

    /// The entry of a context.
    pub fn entry(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Context(entries) => entries
                .iter()
                .find(|(key, _)| &**key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// A cell of a record as FEEL sees it.
    pub fn of_cell(cell: &Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Text(text) => Self::Text(Arc::from(text.as_ref())),
            Cell::Integer(number) => Self::integer(*number),
            Cell::Decimal(number) => Self::Number(*number),
            Cell::Boolean(value) => Self::Boolean(*value),
            Cell::Date(days) => temporal::date_of_days(*days).map_or(Self::Null, Self::Date),
            Cell::DateTime(micros) => {
                DateTime::of_micros(*micros).map_or(Self::Null, Self::DateTime)
            }
            Cell::Uuid(bytes) => Self::text(&uuid::Uuid::from_bytes(*bytes).to_string()),
            Cell::Json(text) => serde_json::from_str::<serde_json::Value>(text)
                .map_or(Self::Null, |json| Self::of_json(&json)),
        }
    }

    /// The value as a cell of a record, where a record can hold it.
    pub fn to_cell(&self) -> Option<Cell<'static>> {
        Some(match self {
            Self::Null => Cell::Null,
            Self::Boolean(truth) => Cell::Boolean(*truth),
            Self::Number(number) => Cell::Decimal(*number),
            Self::Text(text) => Cell::Text(text.to_string().into()),
            Self::Date(date) => Cell::Date(temporal::days_of_date(*date)),
            Self::DateTime(moment) => Cell::DateTime(i64::try_from(moment.instant() / 1000).ok()?),
            _ => return None,
        })
    }

    /// JSON as FEEL sees it: objects are contexts, arrays lists.
    pub fn of_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Boolean(*value),
            serde_json::Value::Number(number) => {
                let text = number.to_string();
                text.parse::<Decimal>()
                    .or_else(|_| Decimal::from_scientific(&text))
                    .map_or(Self::Null, Self::Number)
            }
            serde_json::Value::String(text) => Self::text(text),
            serde_json::Value::Array(items) => {
                Self::list(items.iter().map(Self::of_json).collect())
            }
            serde_json::Value::Object(entries) => Self::Context(
                entries
                    .iter()
                    .map(|(key, value)| (Arc::from(key.as_str()), Self::of_json(value)))
                    .collect(),
            ),
        }
    }
}

/// `a = b` of FEEL: null equals only null, different types cannot be compared.
pub fn equal(a: &Value, b: &Value) -> Option<bool> {
    match (a, b) {
        (Value::Null, Value::Null) => Some(true),
        (Value::Null, _) | (_, Value::Null) => Some(false),
        (Value::Boolean(a), Value::Boolean(b)) => Some(a == b),
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Some(false);
            }
            all(a.iter().zip(b.iter()).map(|(a, b)| equal(a, b)))
        }
        (Value::Context(a), Value::Context(b)) => {
            if a.len() != b.len() {
                return Some(false);
            }
            all(a.iter().map(|(key, value)| {
                b.iter()
                    .find(|(other, _)| other == key)
                    .map_or(Some(false), |(_, other)| equal(value, other))
            }))
        }
        (Value::Range(a), Value::Range(b)) => {
            if a.low_included != b.low_included || a.high_included != b.high_included {
                return Some(false);
            }
            all([equal(&a.low, &b.low), equal(&a.high, &b.high)].into_iter())
        }
        _ => order(a, b).map(|order| order == Ordering::Equal),
    }
}

fn all(mut results: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut unknown = false;
    let differs = results.any(|result| {
        unknown |= result.is_none();
        result == Some(false)
    });
    if differs {
        return Some(false);
    }
    (!unknown).then_some(true)
}

/// The order of two values of one ordered type; `None` when they have none.
pub fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b)) => a.order(b),
        (Value::DateTime(a), Value::DateTime(b)) => a.order(b),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Months(a), Value::Months(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

impl Range {
    /// Does it hold the value?
    pub fn contains(&self, value: &Value) -> Option<bool> {
        let above = match &self.low {
            Value::Null => Some(true),
            low => order(value, low).map(|order| {
                order == Ordering::Greater || (self.low_included && order == Ordering::Equal)
            }),
        };
        let below = match &self.high {
            Value::Null => Some(true),
            high => order(value, high).map(|order| {
                order == Ordering::Less || (self.high_included && order == Ordering::Equal)
            }),
        };
        match (above, below) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }
}

/// The value as `string(…)` writes it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            other => other.write_literal(f),
        }
    }
}

impl Value {
    fn write_literal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{}", number.normalize()),
            Self::Text(text) => {
                write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            }
            Self::Date(date) => f.write_str(&temporal::date_text(*date)),
            Self::Time(time) => write!(f, "{time}"),
            Self::DateTime(moment) => write!(f, "{moment}"),
            Self::Duration(nanos) => f.write_str(&duration::duration_text(*nanos)),
            Self::Months(months) => f.write_str(&duration::months_text(*months)),
            Self::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    item.write_literal(f)?;
                }
                f.write_str("]")
            }
            Self::Context(entries) => {
                f.write_str("{")?;
                for (i, (key, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{key}: ")?;
                    value.write_literal(f)?;
                }
                f.write_str("}")
            }
            Self::Range(range) => {
                f.write_str(if range.low_included { "[" } else { "(" })?;
                range.low.write_literal(f)?;
                f.write_str("..")?;
                range.high.write_literal(f)?;
                f.write_str(if range.high_included { "]" } else { ")" })
            }
        }
    }

    /// The value as it would be written in a cell: text in quotes, dates as `date("…")`.
    pub fn literal(&self) -> String {
        struct Literal<'a>(&'a Value);
        impl fmt::Display for Literal<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write_literal(f)
            }
        }
        let text = Literal(self).to_string();
        match self {
            Self::Date(_) => format!("date(\"{text}\")"),
            Self::Time(_) => format!("time(\"{text}\")"),
            Self::DateTime(_) => format!("date and time(\"{text}\")"),
            Self::Duration(_) | Self::Months(_) => format!("duration(\"{text}\")"),
            _ => text,
        }
    }
}

/// A temporal value as JSON is its ISO 8601 text.
impl serde::Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{SerializeMap, SerializeSeq};
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Number(number) => {
                let text = number.normalize().to_string();
                match serde_json::value::RawValue::from_string(text) {
                    Ok(raw) => raw.serialize(serializer),
                    Err(_) => serializer.serialize_unit(),
                }
            }
            Self::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items.iter() {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Context(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries.iter() {
                    map.serialize_entry(&**key, value)?;
                }
                map.end()
            }
            other => serializer.serialize_str(&other.to_string()),
        }
    }
}
