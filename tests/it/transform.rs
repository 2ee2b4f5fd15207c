//! The mapping applied to records: what every type accepts and refuses, and what follows for the whole record.
#![allow(clippy::unwrap_used)]

mod combined;
mod constraints;
mod properties;
mod records;
mod times;
mod types;

use std::borrow::Cow;

use datasync::config::plan::{Field, KeyChoice, Kind, Mapping, Origin, QualityScore};
use datasync::model::record::{Cell, FieldError};
use datasync::transform::{Mapped, Transform};
use rust_decimal::Decimal;

/// A field of a test mapping: `a.b` is a path of two keys.
fn field(source: &str, kind: Kind) -> Field {
    Field {
        source: source.split('.').map(str::to_owned).collect(),
        origin: Origin::Path,
        name: source.replace('.', "_"),
        column: None,
        kind,
        required: false,
        default: None,
        format: None,
        timezone: None,
        max_length: None,
        trim: false,
        blank_is_null: !matches!(kind, Kind::String | Kind::Json),
        min: None,
        max: None,
        pattern: None,
        one_of: Vec::new(),
        weight: Decimal::ONE,
    }
}

/// A mapping whose key is the field `id`, added in front of the others.
fn mapping(fields: impl IntoIterator<Item = Field>) -> Mapping {
    let mut all = vec![field("id", Kind::String)];
    all.extend(fields);
    Mapping {
        fields: all,
        key: 0,
        key_choice: KeyChoice::Settled,
        version: None,
        version_max_ahead: std::time::Duration::from_hours(24),
        quality_score: QualityScore {
            field: None,
            fallback_completeness: true,
        },
    }
}

/// The customer mapping of the documentation.
fn customers() -> Mapping {
    let mut fields = vec![
        field("external_id", Kind::String),
        field("full_name", Kind::String),
        field("contact_email", Kind::Email),
        field("created_date", Kind::DateTime),
        field("quality_score", Kind::Decimal),
        field("record_type", Kind::String),
        field("address.country", Kind::String),
    ];
    let names = [
        "customerId",
        "customerName",
        "email",
        "createdAt",
        "qualityScore",
        "recordType",
        "country",
    ];
    for (field, name) in fields.iter_mut().zip(names) {
        name.clone_into(&mut field.name);
    }
    fields[0].required = true;
    fields[0].max_length = Some(100);
    fields[1].required = true;
    fields[4].min = Some(Decimal::ZERO);
    fields[4].max = Some(Decimal::ONE_HUNDRED);
    fields[5].default = Some("\"customer\"".to_owned());
    Mapping {
        fields,
        key: 0,
        key_choice: KeyChoice::Settled,
        version: Some(3),
        version_max_ahead: std::time::Duration::from_hours(24),
        quality_score: QualityScore {
            field: Some(4),
            fallback_completeness: true,
        },
    }
}

/// What came of one record, free of borrows.
#[derive(Debug)]
struct Outcome {
    variables: Vec<Cell<'static>>,
    errors: Vec<FieldError>,
    missing: Vec<u16>,
    id: Option<String>,
    version: Option<i64>,
}

impl Outcome {
    fn messages(&self) -> Vec<String> {
        self.errors.iter().map(ToString::to_string).collect()
    }
}

fn shape(transform: &Transform, raw: &str) -> Outcome {
    let mut mapped = Mapped::new();
    transform.apply(raw, &mut mapped);
    Outcome {
        variables: mapped.variables.iter().map(owned).collect(),
        errors: mapped.errors,
        missing: mapped.missing,
        id: mapped.id.map(Cow::into_owned),
        version: mapped.version,
    }
}

fn owned(cell: &Cell<'_>) -> Cell<'static> {
    match cell.clone() {
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

fn outcome(mapping: &Mapping, raw: &str) -> Outcome {
    shape(&Transform::new(mapping).unwrap(), raw)
}

/// The cell or the problem of one value of one field.
fn convert(field: &Field, value: &str) -> Result<Cell<'static>, String> {
    let mut field = field.clone();
    field.source = vec!["x".to_owned()];
    "x".clone_into(&mut field.name);
    let transform = Transform::new(&mapping([field])).unwrap();
    let raw = format!("{{\"id\":\"k\",\"x\":{value}}}");
    let mut outcome = shape(&transform, &raw);
    match outcome.errors.pop() {
        None => Ok(outcome.variables.swap_remove(1)),
        Some(error) => {
            assert!(outcome.errors.is_empty(), "one value, one error");
            assert_eq!(
                outcome.variables[1],
                Cell::Null,
                "an unusable value leaves nothing"
            );
            Err(format!("{}: {}", error.expected, error.problem))
        }
    }
}

#[track_caller]
fn accepts(field: &Field, cases: &[(&str, Cell<'static>)]) {
    for (value, cell) in cases {
        assert_eq!(convert(field, value), Ok(cell.clone()), "value {value}");
    }
}

#[track_caller]
fn refuses(field: &Field, cases: &[(&str, &str)]) {
    for (value, problem) in cases {
        assert_eq!(
            convert(field, value),
            Err((*problem).to_owned()),
            "value {value}"
        );
    }
}

fn text(value: &str) -> Cell<'static> {
    Cell::Text(Cow::Owned(value.to_owned()))
}

fn decimal(value: &str) -> Cell<'static> {
    Cell::Decimal(Decimal::from_str_exact(value).unwrap())
}

/// Microseconds since 1970, by jiff: our own reading of times has no part in it.
fn at(time: &str) -> Cell<'static> {
    Cell::DateTime(time.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}
