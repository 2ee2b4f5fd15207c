//! Records on a page: rejected records by reason, and what a dry run would insert or change.
//!
//! Only this part of a page can show values of customers. Unless the user asks for them, it shows type and length of a value.

use maud::{Markup, html};
use serde_json::Value;

use super::html::{Row, bar, percent, section, table};
use super::input::ReportInput;
use super::{Difference, Example, Report};
use crate::support::text::{counted, grouped};

/// Longer values are cut, in characters.
const LONGEST_VALUE: usize = 200;

/// The rejected records by reason, with examples of each.
pub(super) fn rejections(input: &ReportInput<'_>, report: &Report) -> Markup {
    let mut reasons: Vec<(&String, u64)> = report
        .rejections_by_reason
        .iter()
        .map(|(reason, count)| (reason, *count))
        .collect();
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let Some((_, most)) = reasons.first().copied() else {
        return html! {};
    };
    let total: u64 = reasons.iter().map(|(_, count)| count).sum();
    let rows: Vec<Row> = reasons
        .iter()
        .map(|(reason, count)| {
            Row::from(vec![
                html! { (reason) },
                html! { (grouped(*count)) },
                html! { (percent(*count as f64 / total as f64)) },
                bar("rejected", *count as f64 / most as f64),
            ])
        })
        .collect();
    let columns = [
        ("Reason", ""),
        ("Records", "number"),
        ("Share", "number"),
        ("", "wide"),
    ];
    let with_examples = reasons
        .iter()
        .filter_map(|(reason, count)| Some((reason, count, report.examples.get(*reason)?)));
    let inside = html! {
        (table("", "", &columns, &rows))
        @for (reason, count, examples) in with_examples {
            details {
                summary { (reason) " " span.soft { (examples.len()) " of " (grouped(*count)) } }
                div.examples { @for example in examples { (rejected_record(input, example)) } }
            }
        }
    };
    let note = html! {
        "Each is kept, as it came, in " code { "sync_rejections" } ". Open a reason for examples"
        @if !input.show_values {
            "; their values are masked (" code { "--show-values" } " shows them)"
        }
        "."
    };
    section("rejections", "Why records were rejected", &note, &inside)
}

fn rejected_record(input: &ReportInput<'_>, example: &Example) -> Markup {
    let payload = example
        .payload
        .as_deref()
        .and_then(|payload| serde_json::from_str::<Value>(payload).ok());
    html! {
        div.example {
            h3 { "record " bdi { (example.id) } }
            p {
                @if example.loggable || input.show_values { (example.message) }
                @else { span.masked { "the message holds values of the record" } }
            }
            @if let Some(payload) = payload.as_ref().filter(|_| !input.fields.is_empty()) {
                table {
                    tbody {
                        @for field in input.fields {
                            @let wrong = example.fields.contains(&field.source.join("."));
                            @for path in field.paths() {
                                tr class=[wrong.then_some("wrong")] {
                                    th scope="row" { @if wrong { "\u{2715} " } (path.join(".")) }
                                    td { (value_shown(crate::config::path::at(payload, path), input.show_values)) }
                                }
                            }
                        }
                    }
                }
            } @else {
                p.masked { "its text cannot be shown field by field" }
            }
        }
    }
}

/// A value of a record, or its type and length where values are not shown.
fn value_shown(value: Option<&Value>, show_values: bool) -> Markup {
    let kind = match value {
        None => "absent".to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::String(text)) if text.trim().is_empty() => "blank text".to_owned(),
        Some(value) if show_values => {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            return html! { bdi { (cut(&text)) } };
        }
        Some(Value::Bool(_)) => "true or false".to_owned(),
        Some(Value::Number(_)) => "a number".to_owned(),
        Some(Value::String(text)) => format!("text, {}", characters(text)),
        Some(Value::Array(_)) => "a list".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
    };
    html! { span.masked { (kind) } }
}

fn characters(text: &str) -> String {
    counted(text.chars().count() as u64, "character", "characters")
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST_VALUE {
        return text.to_owned();
    }
    text.chars().take(LONGEST_VALUE).collect::<String>() + "\u{2026}"
}

/// A value of a column as text. `class` is a class of the style sheet.
fn column_value(input: &ReportInput<'_>, value: Option<&str>, class: &str) -> Markup {
    match value {
        None => html! { span.masked { "null" } },
        Some(text) if input.show_values => html! { bdi class=(class) { (cut(text)) } },
        Some(text) => html! { span.masked { (characters(text)) } },
    }
}

/// The first rows that a dry run would insert.
pub(super) fn new_rows(input: &ReportInput<'_>, report: &Report) -> Markup {
    if report.new_rows.is_empty() {
        return html! {};
    }
    let rows = each_field(&report.new_rows, |_, new| {
        vec![column_value(input, new, "new")]
    });
    section(
        "new-rows",
        "First rows to insert",
        &html! { "What would be new in the table, field by field." },
        &table(
            "cards",
            "",
            &[("Record", ""), ("Column", ""), ("Value", "")],
            &rows,
        ),
    )
}

/// The first rows that a dry run would change.
pub(super) fn differences(input: &ReportInput<'_>, report: &Report) -> Markup {
    if report.differences.is_empty() {
        return html! {};
    }
    let rows = each_field(&report.differences, |old, new| {
        vec![
            column_value(input, old, "old"),
            column_value(input, new, "new"),
        ]
    });
    section(
        "differences",
        "First differences",
        &html! { "What would change in the table, field by field." },
        &table(
            "cards",
            "",
            &[("Record", ""), ("Column", ""), ("Stored", ""), ("New", "")],
            &rows,
        ),
    )
}

/// One line per field: record, column, and cells for the stored and the new value.
fn each_field(
    differences: &[Difference],
    values: impl Fn(Option<&str>, Option<&str>) -> Vec<Markup>,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for Difference { id, fields } in differences {
        for (column, old, new) in fields {
            let mut cells = vec![html! { bdi { (id) } }, html! { (column) }];
            cells.extend(values(old.as_deref(), new.as_deref()));
            rows.push(Row::from(cells));
        }
    }
    rows
}
