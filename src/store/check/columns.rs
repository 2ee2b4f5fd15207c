//! What `check-db` says about columns that fit: long texts, times without a zone, and values that PostgreSQL converts.

use super::super::encode::Wire;
use super::super::finding::{StepResult, bad, well};
use super::super::schema::{Layout, LayoutColumn};
use super::super::{quote, quote_table};
use crate::config::plan::{Database, Field, Kind, Mapping};

/// Compares the longest text that the mapping lets through with the length of its column.
pub(super) fn lengths(layout: &Layout, db: &Database, mapping: &Mapping) -> StepResult {
    let (mut problems, mut remedies) = (Vec::new(), Vec::new());
    let mut bounded = 0;
    for field in &mapping.fields {
        let Some(column) = &field.column else {
            continue;
        };
        let Some(holds) = layout.max_characters(column) else {
            continue;
        };
        bounded += 1;
        if let Some(allowed) = field.max_length
            && allowed > holds
        {
            problems.push(format!(
                "field {}: max_length is {allowed}, column {column} holds {holds} characters; longer texts are rejected",
                field.name
            ));
            remedies.push(format!(
                "set max_length: {holds}, or type: ALTER TABLE {} ALTER COLUMN {} TYPE varchar({allowed})",
                quote_table(&db.schema, &db.table),
                quote(column)
            ));
        }
    }
    if problems.is_empty() {
        well(format!(
            "no max_length exceeds its column ({bounded} columns bound their text)"
        ))
    } else {
        bad(problems.join("\n"), remedies.join("\n"))
    }
}

/// How values become those of their columns: directly, or converted by PostgreSQL, which takes longer. This never fails.
#[allow(clippy::unnecessary_wraps, reason = "what a step returns")]
pub(super) fn types(layout: &Layout, mapping: &Mapping) -> StepResult {
    let (mut details, mut remedies) = (Vec::new(), Vec::new());
    let converted: Vec<&LayoutColumn> = layout
        .columns()
        .iter()
        .filter(|column| !column.takes_wire)
        .collect();
    if converted.is_empty() {
        details.push("every column takes its values directly: rows are written by COPY".to_owned());
    }
    let field_of = |column: &LayoutColumn| {
        mapping
            .fields
            .iter()
            .find(|field| field.column.as_deref() == Some(&column.name))
    };
    for column in converted {
        details.push(format!(
            "column {} ({}) has its values converted by PostgreSQL, so no row is written by COPY and unchanged rows are sent",
            column.name, column.type_name
        ));
        remedies.extend(field_of(column).and_then(|field| other_type(field, column)));
    }
    for column in layout.columns() {
        let Some(field) = field_of(column).filter(|field| field.kind == Kind::DateTime) else {
            continue;
        };
        let what = match column.wire() {
            Wire::Timestamp => "date and time",
            Wire::Date => "date",
            _ => continue,
        };
        details.push(format!(
            "column {} ({}) has no time zone: it gets the {what} of {}",
            column.name,
            column.type_name,
            field.timezone.as_deref().unwrap_or("UTC")
        ));
    }
    let hint = (!remedies.is_empty()).then(|| remedies.join("\n"));
    Ok((details.join("\n"), hint))
}

/// The type a text field should have in the mapping, so that its column takes the values directly.
fn other_type(field: &Field, column: &LayoutColumn) -> Option<String> {
    if !matches!(field.kind, Kind::String | Kind::Email) {
        return None;
    }
    let name = match column.ty.name.as_str() {
        "numeric" => "decimal",
        "date" => "date",
        "timestamp" | "timestamptz" => "datetime",
        _ => return None,
    };
    Some(format!(
        "give field {} `type: {name}` in mappings.yaml",
        field.name
    ))
}
