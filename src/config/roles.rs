//! Fields with a part to play: the conflict key, the freshness guard, the quality score, and what is written back.

use super::database::Tables;
use super::fields::Drafts;
use super::plan::{Kind, QualityScore};
use super::problem::nearest;
use super::reader::Section;

/// The field that feeds the conflict key, and the key's column.
pub(super) fn conflict_key(
    api: &Section<'_>,
    tables: &Tables,
    drafts: &mut Drafts,
    root: &Section<'_>,
) -> Option<(usize, String)> {
    const DEFAULT: &str = "customer_id";
    let columns: Vec<String> = drafts
        .list
        .iter()
        .filter_map(|draft| draft.field.column.clone())
        .collect();
    let column = tables.conflict_key.as_deref().unwrap_or(DEFAULT);
    let Some(index) = drafts
        .list
        .iter()
        .position(|draft| draft.field.column.as_deref() == Some(column))
    else {
        if !drafts.complete {
            return None;
        }
        let customers = root
            .names("mappings")
            .names("database")
            .names("tables")
            .names("customers");
        if tables.conflict_key.is_some() {
            let hint = match nearest(column, columns.iter().map(String::as_str)) {
                Some(column) => format!("did you mean `{column}`?"),
                None => format!("fed are: {}", columns.join(", ")),
            };
            customers.wrong(
                "conflict_key",
                format!("no mapped field feeds the column `{column}`"),
                hint,
            );
        } else {
            customers.absent_key(
                "conflict_key",
                format!(
                    "say which column identifies a record; fed are: {}",
                    columns.join(", ")
                ),
            );
        }
        return None;
    };
    let draft = &mut drafts.list[index];
    draft.field.required = true;
    let context = api.context();
    let wrong = |message: &str, hint: &str| {
        context.problem(
            context
                .source
                .problem(draft.span, message)
                .on(&draft.path)
                .hint(hint),
        );
    };
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
    Some((index, column.to_owned()))
}

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
        let field = &drafts.list[index];
        let context = validation.context();
        context.problem(
            context
                .source
                .problem(field.span, "the quality score must be a number")
                .on(&field.path)
                .hint("add `type: decimal`"),
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
