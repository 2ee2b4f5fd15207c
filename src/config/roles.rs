//! Fields with a special use: the conflict key, the version field, the quality score, and the fields of write-back.

use std::time::Duration;

use super::database::Tables;
use super::drafts::Drafts;
use super::plan::{Field, KeyChoice, Kind, QualityScore};
use super::problem::Problem;
use super::reader::Section;
use crate::support::spelling::nearest;

const DAY: Duration = Duration::from_hours(24);

/// The field that feeds the conflict key, and how it was found.
pub(super) fn conflict_key(
    api: &Section<'_>,
    tables: &Tables,
    drafts: &mut Drafts,
    root: &Section<'_>,
) -> Option<(usize, KeyChoice)> {
    let customers = root
        .names("mappings")
        .names("database")
        .names("tables")
        .names("customers");
    let (index, choice) = match &tables.conflict_key {
        Some(column) => (
            configured_key(column, drafts, &customers)?,
            KeyChoice::Settled,
        ),
        None => assumed_key(drafts, &customers)?,
    };
    if choice == KeyChoice::Open {
        return Some((index, choice));
    }
    let draft = &mut drafts.list[index];
    draft.field.required = true;
    let context = api.context();
    let wrong = |message: &str, hint: &str| draft.wrong(context, message, hint);
    if matches!(draft.field.kind, Kind::Json | Kind::Boolean) {
        wrong(
            "the field of the conflict key cannot identify a record",
            "its type must not be json or boolean",
        );
    }
    if draft.field.default.is_some() {
        wrong(
            "the field of the conflict key cannot have a default",
            "records without a key would all become one row",
        );
    }
    Some((index, choice))
}

/// The field that feeds the column which the file names.
fn configured_key(column: &str, drafts: &Drafts, customers: &Section<'_>) -> Option<usize> {
    let found = drafts
        .list
        .iter()
        .position(|draft| draft.field.column.as_deref() == Some(column));
    if found.is_none() && drafts.complete {
        let fed = || drafts.list.iter().filter_map(|d| d.field.column.as_deref());
        let hint = match nearest(column, fed()) {
            Some(column) => format!("did you mean `{column}`?"),
            None => format!("fed are: {}", fed().collect::<Vec<_>>().join(", ")),
        };
        customers.wrong(
            "conflict_key",
            format!("no mapped field feeds the column `{column}`"),
            hint,
        );
    }
    found
}

/// The field taken for the key if the file names no column. A run looks at the table. Until then it is the field that
/// feeds `customer_id`, else the first field that could be a key.
fn assumed_key(drafts: &Drafts, customers: &Section<'_>) -> Option<(usize, KeyChoice)> {
    const USUAL: &str = "customer_id";
    let position =
        |fits: &dyn Fn(&Field) -> bool| drafts.list.iter().position(|draft| fits(&draft.field));
    if let Some(index) = position(&|field| field.column.as_deref() == Some(USUAL)) {
        return Some((index, KeyChoice::Assumed));
    }
    let found = position(&|field| field.required && field.can_be_key())
        .or_else(|| position(&Field::can_be_key));
    if found.is_none() && drafts.complete {
        customers.absent_key(
            "conflict_key",
            "no mapped field can identify a record: map one that is neither json nor boolean and has no default",
        );
    }
    let index = found?;
    customers.context().warn(
        Problem::new(format!(
            "`conflict_key` is missing and no field feeds `{USUAL}`: offline `{}` is taken for it",
            drafts.list[index].field.name
        ))
        .hint("against a database it is the one unique column that a field feeds"),
    );
    Some((index, KeyChoice::Open))
}

/// The datetime that says which of two versions of a record is newer.
pub(super) fn version_field(validation: &Section<'_>, drafts: &Drafts) -> Option<usize> {
    let index = named_field(validation, "version_field", drafts)?;
    if drafts.list[index].field.kind != Kind::DateTime {
        validation.wrong(
            "version_field",
            format!("`{}` is no datetime", drafts.list[index].field.name),
            "add `type: datetime` where it is mapped",
        );
    }
    Some(index)
}

/// How far a version may be ahead of PostgreSQL's clock. A version too far ahead would block all later updates of its row.
pub(super) fn version_max_ahead(validation: &Section<'_>) -> Duration {
    const KEY: &str = "version_max_ahead";
    if validation.entry("version_field").is_none() {
        validation.ignore(KEY, "`version_field` is not set");
    }
    validation
        .duration(KEY, Duration::ZERO, DAY * 36_500)
        .unwrap_or(DAY)
}

/// The field that holds the quality score, and whether a score is computed if it is empty.
pub(super) fn quality_score(validation: &Section<'_>, drafts: &Drafts) -> QualityScore {
    let section = validation.section("quality_score", &["field", "fallback"]);
    let field = if section.entry("field").is_some() {
        named_field(&section, "field", drafts)
    } else {
        drafts.position("qualityScore")
    };
    if let Some(index) = field
        && !matches!(drafts.list[index].field.kind, Kind::Decimal | Kind::Integer)
    {
        drafts.list[index].wrong(
            validation.context(),
            "the quality score must be a number",
            "add `type: decimal`",
        );
    }
    QualityScore {
        field,
        fallback_completeness: section
            .choice("fallback", &[("completeness", true), ("none", false)])
            .unwrap_or(true),
    }
}

fn named_field(section: &Section<'_>, key: &str, drafts: &Drafts) -> Option<usize> {
    let name = section.text(key)?;
    let found = drafts.position(&name);
    if found.is_none() {
        drafts.unmapped(section, &name, section.span_of(key), &section.path_of(key));
    }
    found
}

/// External name ← internal field.
pub(super) fn write_back_fields(fields: &Section<'_>, drafts: &Drafts) -> Vec<(String, String)> {
    let mut result: Vec<(String, String)> = Vec::new();
    for entry in fields.entries() {
        if drafts.position(&entry.key).is_none() {
            drafts.unmapped(
                fields,
                &entry.key,
                entry.key_span,
                &fields.path_of(&entry.key),
            );
        }
        let Some(external) = fields.text(&entry.key) else {
            continue;
        };
        let within = |inner: &str, outer: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        if let Some((before, _)) = result.iter().find(|(before, _)| {
            *before == external || within(before, &external) || within(&external, before)
        }) {
            let message = if *before == external {
                format!("`{external}` is sent twice")
            } else {
                format!("`{external}` and `{before}` cannot both be sent: one is part of the other")
            };
            fields.wrong(&entry.key, message, "external names are unique");
        }
        result.push((external, entry.key.clone()));
    }
    result
}
