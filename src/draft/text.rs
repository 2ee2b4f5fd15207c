//! The text of a draft: mappings.yaml, with comments that say what to check.

use std::fmt::Write as _;

use super::leaves::{JSON, Leaf, TEXT};
use super::names::{CHANGED, Field, KEY, NAME};
use super::{Credentials, Paging, Source};

/// A mapping in which every field has the type `kind`, for trying that type.
pub(super) fn trial(source: &Source, fields: &[&Leaf], kind: &str) -> String {
    let mut text = head(source, &Paging::default());
    // A mapping needs a key. This one is at a path that no record has, so it makes no error.
    text += "    transforms:\n      incoming:\n        - type: field_mapping\n          fields:\n            \"/\": { to: customerId }\n";
    for (number, field) in fields.iter().enumerate() {
        line(
            &mut text,
            &format!(
                "            {}: {{ to: field{number}, type: {kind}, column: false }}",
                scalar(&field.path)
            ),
        );
    }
    text
}

/// The whole mapping. `left_out` lists fields that are not in it; it is none where no record was read yet.
pub(super) fn whole(
    source: &Source,
    paging: &Paging,
    fields: &[Field],
    left_out: Option<&[String]>,
) -> String {
    let mut text = head(source, paging);
    text += "    transforms:\n      incoming:\n        - type: field_mapping\n          fields:\n";
    let Some(left_out) = left_out else {
        text += "            id: { to: customerId }\n";
        return text;
    };
    text += "            # field at the source: internal name; `column: false` is seen by decisions and not stored. To store one,\n\
             \x20           # add a column to the table and write its name: `column: phone`.\n";
    let has_key = fields.iter().any(Field::is_key);
    if !has_key {
        text += "            # LOOK HERE: no field has another value in every record. Which one, or which ones together, name a\n\
                 \x20           # record? `from` puts several together: key: { from: [region, number], join: \"-\", to: customerId }\n";
    }
    for field in fields {
        line(&mut text, &format!("            {}", mapped(field)));
    }
    if !left_out.is_empty() {
        line(
            &mut text,
            &format!(
                "            # Not mapped, being too many: {}",
                listed(left_out)
            ),
        );
    }
    text += &tail(fields);
    text
}

/// One line for a field: `contact_email: { to: email, type: email }`.
fn mapped(field: &Field) -> String {
    let mut parts = vec![format!("to: {}", scalar(&field.to))];
    if field.kind != TEXT {
        parts.push(format!("type: {}", field.kind));
    }
    if !field.is_stored {
        parts.push("column: false".to_owned());
    }
    let remark = if field.is_key() {
        "   # the key: another value in every record that was looked at"
    } else if field.kind.ends_with("timezone: UTC") {
        "   # its times have no offset: LOOK whether they are UTC"
    } else if field.kind == JSON {
        "   # a list or a nested object; `/name/0/field` reaches into it"
    } else {
        ""
    };
    format!(
        "{}: {{ {} }}{remark}",
        scalar(&field.leaf.path),
        parts.join(", ")
    )
}

fn head(source: &Source, paging: &Paging) -> String {
    let mut text = String::from(
        "# Drafted by `datasync init` from the first page of the source. Read it through, then type:\n\
         #   datasync validate --fetch --limit 100    what would become of the first records\n\
         #   datasync check-db --apply-schema         makes the tables\n\
         #   datasync sync --dry-run                  what a run would do\n\
         # docs/mappings.md has every key.\n\
         version: 1.0\n\nmappings:\n  api:\n",
    );
    line(
        &mut text,
        &format!("    base_url: {}", quoted(&source.origin)),
    );
    text += &auth(&source.credentials);
    text += "    endpoints:\n      fetch:\n";
    line(
        &mut text,
        &format!("        path: {}", quoted(&source.path)),
    );
    if !source.params.is_empty() {
        text += "        params:\n";
        for (name, value) in &source.params {
            line(
                &mut text,
                &format!("          {}: {}", scalar(name), quoted(value)),
            );
        }
    }
    if let Some(path) = source.records.as_ref().or(paging.records_at.as_ref()) {
        line(&mut text, &format!("        records: {}", scalar(path)));
    }
    if !source.paging_params.is_empty() {
        line(
            &mut text,
            &format!(
                "        # Left out of `params`, since pagination asks for pages: {}",
                listed(&source.paging_params)
            ),
        );
    }
    if paging.lines.is_empty() {
        text += "        pagination: { style: auto }\n";
    } else {
        text += "        pagination:\n";
        for found in &paging.lines {
            line(&mut text, &format!("          {found}"));
        }
    }
    if !paging.expected_proof.is_empty() {
        for part in wrapped(&paging.expected_proof) {
            line(&mut text, &format!("        # {part}"));
        }
    }
    text
}

fn auth(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Bearer => {
            "    auth: { type: bearer }                    # API_TOKEN\n".to_owned()
        }
        Credentials::Basic => {
            "    auth: { type: basic, username: \"${API_USER}\", password: \"${API_PASSWORD}\" }\n"
                .to_owned()
        }
        Credentials::Header(name) => {
            format!("    auth: {{ type: header, name: {name}, value: \"${{API_TOKEN}}\" }}\n")
        }
        Credentials::Query(name) => {
            format!("    auth: {{ type: query, name: {name}, value: \"${{API_TOKEN}}\" }}\n")
        }
        Credentials::None => "    auth: { type: none }\n".to_owned(),
    }
}

/// The sections on the database, validation and alerts.
fn tail(fields: &[Field]) -> String {
    let mut text = String::from(
        "\n  # Host, name and user come from DB_HOST, DB_NAME, DB_USER and DB_PASSWORD: see .env.example.\n  database:\n    tables:\n\
         \x20     customers: { name: customers, conflict_key: customer_id }\n      sync_log: { name: sync_log }\n\n\
         validation:\n  customer_schema:\n",
    );
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| field.is_key() || (field.to == NAME && field.is_in_all))
        .map(|field| field.to.as_str())
        .collect();
    let required = if required.is_empty() {
        KEY.to_owned()
    } else {
        required.join(", ")
    };
    line(
        &mut text,
        &format!(
            "    required_fields: [{required}]   # a record that lacks one is rejected by the shipped decision table"
        ),
    );
    if let Some(changed) = fields.iter().find(|field| field.to == CHANGED) {
        line(
            &mut text,
            &format!("  version_field: {CHANGED}   # older data never overwrites newer"),
        );
        line(
            &mut text,
            &format!(
                "# Only what changed since the last run, if the API can filter by it, below `fetch`:\n\
                 #   incremental: {{ param: updated_since, field: {}, overlap: 5m }}",
                scalar(&changed.leaf.path)
            ),
        );
    }
    text += "\n# Full runs compare themselves with the last complete one.\nbrakes: { zero_records: stop, max_drop: 50% }\nretention: 90d\n";
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    writeln!(text, "{line}").unwrap_or_default();
}

/// A name as a YAML scalar, in quotes where YAML could read it as something else.
fn scalar(name: &str) -> String {
    const WORDS: [&str; 10] = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n", "~",
    ];
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && !WORDS.contains(&name.to_ascii_lowercase().as_str());
    if is_plain {
        name.to_owned()
    } else {
        in_quotes(name)
    }
}

/// A value in quotes. Each `$` is doubled, since a single one would begin a variable.
fn quoted(value: &str) -> String {
    in_quotes(&value.replace('$', "$$"))
}

/// A text in quotes. YAML reads JSON's quoted text in the same way.
fn in_quotes(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().map(String::as_str).take(20).collect();
    let more = names.len().saturating_sub(shown.len());
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    shown.join(", ") + &more
}

/// Wraps a sentence into lines for comments.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + word.len() > 100 {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last] += word;
        }
    }
    lines
}
