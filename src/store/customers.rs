//! Reads stored records back, as JSON text by internal field name, so that rules can be tried on them.

use std::ops::ControlFlow;

use super::answer::value;
use super::connect::Connection;
use super::error::StoreError;
use super::{quote, quote_table};
use crate::config::plan::{Database, Field, Kind, Mapping};

const WHAT: &str = "reading the stored records";
/// How many records are read at a time.
const AT_ONCE: u32 = 5_000;

/// Passes all stored records to a function, ordered by key, until it says stop. Each is a JSON object with internal names.
/// Fields without a column are absent, and times are in UTC. They are read through a cursor: a snapshot, never all in memory.
pub fn each(
    connection: &mut Connection,
    db: &Database,
    mapping: &Mapping,
    mut show: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let fields: Vec<(&Field, &str)> = mapping
        .fields
        .iter()
        .filter_map(|field| Some((field, field.column.as_deref()?)))
        .collect();
    let columns: Vec<String> = fields
        .iter()
        .map(|(field, column)| text_of(field, &quote(column)))
        .collect();
    // All rows are wanted, so the plan should not be optimised for the first ones.
    connection.begin(WHAT, "READ ONLY", "SET LOCAL cursor_tuple_fraction = 1;")?;
    connection.run(
        WHAT,
        &format!(
            "DECLARE stored NO SCROLL CURSOR FOR SELECT {} FROM {} ORDER BY {}",
            columns.join(", "),
            quote_table(&db.schema, &db.table),
            quote(mapping.key_column())
        ),
    )?;
    let names: Vec<String> = fields
        .iter()
        .map(|(field, _)| serde_json::Value::from(field.name.as_str()).to_string())
        .collect();
    let mut record = String::new();
    'all: loop {
        let rows = connection.query(WHAT, &format!("FETCH {AT_ONCE} FROM stored"), &[])?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            record.clear();
            record.push('{');
            for (place, ((field, _), name)) in fields.iter().zip(&names).enumerate() {
                let value: Option<&str> = value(row, place, WHAT)?;
                if place > 0 {
                    record.push(',');
                }
                record.push_str(name);
                record.push(':');
                put_value(&mut record, field.kind, value);
            }
            record.push('}');
            if show(&record).is_break() {
                break 'all;
            }
        }
    }
    connection.run(WHAT, "COMMIT")
}

/// The expression that reads a column as the text of its field's type. If the column stores less of a time (no zone, no
/// hour), the missing part is added in the way it was removed when the value was written.
fn text_of(field: &Field, column: &str) -> String {
    let zone = field
        .timezone
        .as_deref()
        .unwrap_or("UTC")
        .replace('\'', "''");
    let moment = |local: &str| format!("({local} AT TIME ZONE '{zone}')::text");
    let by_type = |cases: &str| {
        // The text is cast, because not every type has a cast to a time, but each has one to text.
        format!("CASE pg_catalog.pg_typeof({column})::oid {cases} ELSE {column}::text END")
    };
    match field.kind {
        Kind::DateTime => by_type(&format!(
            "WHEN 1114 THEN {0} WHEN 1082 THEN {0}",
            moment(&format!("{column}::text::timestamp"))
        )),
        Kind::Date => by_type(&format!(
            "WHEN 1114 THEN {column}::text::date::text WHEN 1184 THEN {column}::text::date::text"
        )),
        Kind::Boolean => by_type(&format!("WHEN 23 THEN ({column}::text = '1')::text")),
        _ => format!("{column}::text"),
    }
}

/// Writes a value as JSON. Numbers and documents stay as they are. Values that exist only in PostgreSQL (NaN, a price with
/// its currency) become text, which the mapping's type then refuses.
fn put_value(record: &mut String, kind: Kind, value: Option<&str>) {
    let Some(value) = value else {
        record.push_str("null");
        return;
    };
    let is_bare = match kind {
        Kind::Integer | Kind::Decimal => {
            value.ends_with(|last: char| last.is_ascii_digit())
                && value
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e'))
        }
        Kind::Boolean => matches!(value, "true" | "false"),
        Kind::Json => true,
        _ => false,
    };
    if is_bare {
        record.push_str(value);
    } else if kind == Kind::DateTime
        && let Some(local) = value.strip_suffix("+00")
    {
        record.extend(["\"", local, "Z\""]);
    } else if value
        .bytes()
        .any(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\'))
    {
        record.push_str(&serde_json::Value::from(value).to_string());
    } else {
        record.push('"');
        record.push_str(value);
        record.push('"');
    }
}
