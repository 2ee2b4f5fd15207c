//! Records on a page: rejected ones by reason, and what a dry run found to be different.
//!
//! The only part of a page that could show values of customers. Unless they were asked for, what is left of a value is its
//! kind and its length.

use serde_json::Value;

use super::html::{bar, esc, joined, percent, section, table};
use super::page::ReportInput;
use super::{Difference, Example, Report};
use crate::support::text::grouped;

/// A value longer than this is cut, characters.
const LONGEST_VALUE: usize = 200;

pub(super) fn rejections(input: &ReportInput<'_>, report: &Report) -> String {
    let mut reasons: Vec<(&String, u64)> = report
        .rejections_by_reason
        .iter()
        .map(|(reason, count)| (reason, *count))
        .collect();
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let Some((_, most)) = reasons.first().copied() else {
        return String::new();
    };
    let total: u64 = reasons.iter().map(|(_, count)| count).sum();
    let lines = joined(reasons.iter().map(|(reason, count)| {
        format!(
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"wide\">{}</td></tr>\n",
            esc(reason),
            grouped(*count),
            esc(&percent(*count as f64 / total as f64)),
            bar("rejected", *count as f64 / most as f64)
        )
    }));
    let columns = [
        ("Reason", ""),
        ("Records", "number"),
        ("Share", "number"),
        ("", "wide"),
    ];
    let mut inside = table("", &columns, &lines);
    for (reason, count) in reasons {
        let Some(examples) = report.examples.get(reason) else {
            continue;
        };
        inside += &format!(
            "<details><summary>{} <span class=\"soft\">{} of {}</span></summary>\n<div class=\"examples\">{}</div></details>\n",
            esc(reason),
            examples.len(),
            grouped(count),
            joined(examples.iter().map(|example| shown_record(input, example)))
        );
    }
    let masked = if input.show_values {
        "Open a reason for examples."
    } else {
        "Open a reason for examples; their values are masked (<code>--show-values</code> shows them)."
    };
    section(
        "rejections",
        "Why records were rejected",
        &format!("Each is kept, as it came, in <code>sync_rejections</code>. {masked}"),
        &inside,
    )
}

fn shown_record(input: &ReportInput<'_>, example: &Example) -> String {
    let message = if example.loggable || input.show_values {
        esc(&example.message)
    } else {
        "<span class=\"masked\">the message holds values of the record</span>".to_owned()
    };
    let payload = example
        .payload
        .as_deref()
        .and_then(|payload| serde_json::from_str::<Value>(payload).ok());
    let fields = payload.map_or_else(String::new, |payload| {
        joined(input.fields.iter().map(|field| {
            let name = field.source.join(".");
            let (class, mark) = if example.fields.contains(&name) {
                (" class=\"wrong\"", "\u{2715} ")
            } else {
                ("", "")
            };
            let value = crate::config::path::at(&payload, &field.source);
            format!(
                "<tr{class}><th scope=\"row\">{mark}{}</th><td>{}</td></tr>\n",
                esc(&name),
                shown(value, input.show_values)
            )
        }))
    });
    let table = if fields.is_empty() {
        "<p class=\"masked\">its text cannot be shown field by field</p>".to_owned()
    } else {
        format!("<table><tbody>{fields}</tbody></table>")
    };
    format!(
        "<div class=\"example\"><h3>record <bdi>{}</bdi></h3><p>{message}</p>{table}</div>\n",
        esc(&example.id)
    )
}

/// A value, or what may be said of it.
fn shown(value: Option<&Value>, show_values: bool) -> String {
    let masked = |text: &str| format!("<span class=\"masked\">{text}</span>");
    match value {
        None => masked("absent"),
        Some(Value::Null) => masked("null"),
        Some(Value::String(text)) if text.trim().is_empty() => masked("blank text"),
        Some(value) if show_values => {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            format!("<bdi>{}</bdi>", esc(&cut(&text)))
        }
        Some(Value::Bool(_)) => masked("true or false"),
        Some(Value::Number(_)) => masked("a number"),
        Some(Value::String(text)) => match text.chars().count() {
            1 => masked("text, 1 character"),
            count => masked(&format!("text, {} characters", grouped(count as u64))),
        },
        Some(Value::Array(_)) => masked("a list"),
        Some(Value::Object(_)) => masked("an object"),
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST_VALUE {
        return text.to_owned();
    }
    text.chars().take(LONGEST_VALUE).collect::<String>() + "\u{2026}"
}

/// What a dry run found to be different.
pub(super) fn differences(input: &ReportInput<'_>, report: &Report) -> String {
    if report.differences.is_empty() {
        return String::new();
    }
    let value = |value: &Option<String>, class: &str| match value {
        None => "<span class=\"masked\">null</span>".to_owned(),
        Some(text) if input.show_values => {
            format!("<bdi class=\"{class}\">{}</bdi>", esc(&cut(text)))
        }
        Some(text) => format!(
            "<span class=\"masked\">{} characters</span>",
            grouped(text.chars().count() as u64)
        ),
    };
    let changed = report
        .differences
        .iter()
        .flat_map(|Difference { id, fields }| fields.iter().map(move |field| (id, field)));
    let lines = joined(changed.map(|(id, (column, old, new))| {
        format!(
            "<tr><th scope=\"row\"><bdi>{}</bdi></th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            esc(id),
            esc(column),
            value(old, "old"),
            value(new, "new")
        )
    }));
    section(
        "differences",
        "First differences",
        "What would change in the table, field by field.",
        &table(
            "",
            &[("Record", ""), ("Column", ""), ("Stored", ""), ("New", "")],
            &lines,
        ),
    )
}
