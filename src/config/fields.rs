//! `transforms` and `validation`: which field of a record becomes which cell of a row, and the limits on it.

use std::collections::BTreeMap;

use super::constraints::{Limits, check_default, check_fit, kind, limits};
use super::database::Tables;
use super::drafts::{Draft, Drafts, Empty, draft};
use super::plan::{Kind, Mapping, Origin};
use super::reader::Section;
use super::roles::{
    conflict_key, quality_score, version_field, version_max_ahead, write_back_fields,
};
use super::source::Span;
use super::yaml::{Entry, Kind as NodeKind};
use crate::support::spelling::nearest;

/// Columns that datasync fills itself.
const OWN_COLUMNS: [&str; 5] = [
    "updated_at",
    "validation_status",
    "needs_review",
    "source_version",
    "sync_id",
];

/// Keys of `validation` that are no schemas.
const RESERVED: [&str; 4] = [
    "decision",
    "quality_score",
    "version_field",
    "version_max_ahead",
];

/// The mapping as read from the file.
pub(super) struct Fields {
    pub mapping: Mapping,
    /// External name ← internal field, of the outgoing mapping.
    pub outgoing: Vec<(String, String)>,
    /// `validation.decision`.
    pub decision: Option<String>,
}

/// Reads both sections; `None` when there is no usable mapping, which has been reported.
pub(super) fn fields(root: &Section<'_>, api: &Section<'_>, tables: &Tables) -> Option<Fields> {
    let transforms = api
        .section("transforms", &["incoming", "outgoing"])
        .needed(true);
    let Steps {
        fields: incoming,
        schema,
        whole,
    } = steps(&transforms, "incoming", "json_to_object");
    let outgoing = steps(&transforms, "outgoing", "object_to_json").fields;
    let validation = root.names("validation");
    let Some(incoming) = incoming else {
        transforms.absent_key(
            "incoming",
            "say what each field becomes: a list item with `type: field_mapping` and `fields:`",
        );
        return None;
    };
    let list: Vec<Draft> = incoming
        .entries()
        .iter()
        .filter_map(|entry| draft(&incoming, entry))
        .collect();
    let mut drafts = Drafts {
        complete: whole && list.len() == incoming.entries().len(),
        list,
    };
    if drafts.list.is_empty() {
        if drafts.complete {
            transforms.wrong(
                "incoming",
                "no field is mapped",
                "map at least the field that identifies a record: `fields: { external_id: customerId }`",
            );
        }
        return None;
    }
    unique(&incoming, &drafts.list, tables);
    apply_schemas(&validation, schema, &mut drafts);
    for draft in &mut drafts.list {
        settle(&incoming, draft);
    }
    let key = conflict_key(api, tables, &mut drafts, root);
    let version = version_field(&validation, &drafts);
    let version_max_ahead = version_max_ahead(&validation);
    let quality_score = quality_score(&validation, &drafts);
    let outgoing = outgoing
        .map(|fields| write_back_fields(&fields, &drafts))
        .unwrap_or_default();
    let decision = validation.text("decision");
    let (key, key_choice) = key?;
    Some(Fields {
        mapping: Mapping {
            fields: drafts.list.into_iter().map(|draft| draft.field).collect(),
            key,
            key_choice,
            version,
            version_max_ahead,
            quality_score,
        },
        outgoing,
        decision,
    })
}

/// The steps of one direction of `transforms`.
struct Steps<'a> {
    fields: Option<Section<'a>>,
    /// The step that names a schema, and the name.
    schema: Option<(Section<'a>, String)>,
    /// False when a step with a mistake was left out.
    whole: bool,
}

fn steps<'a>(transforms: &Section<'a>, direction: &str, shaping: &'static str) -> Steps<'a> {
    let mut steps = Steps {
        fields: None,
        schema: None,
        whole: true,
    };
    for (node, path) in transforms.items(direction) {
        let step = Section::any(transforms.context(), node, &path, true);
        if step.entries().is_empty() {
            continue;
        }
        if step.entry("type").is_none() {
            step.absent_key("type", format!("`{shaping}` or `field_mapping`"));
            continue;
        }
        match step.choice("type", &[(shaping, false), ("field_mapping", true)]) {
            Some(true) => {
                let step =
                    Section::open(transforms.context(), node, &path, &["type", "fields"], true);
                if steps.fields.is_some() {
                    steps.whole = false;
                    step.wrong("type", "a second field_mapping", "put all fields into one");
                } else {
                    steps.fields = Some(step.names("fields"));
                }
            }
            Some(false) => {
                let step =
                    Section::open(transforms.context(), node, &path, &["type", "schema"], true);
                steps.schema = step.text("schema").map(|name| (step, name));
            }
            None => steps.whole = false,
        }
    }
    steps
}

/// Reports two fields with the same internal name or column, and fields in columns that datasync fills itself.
fn unique(fields: &Section<'_>, drafts: &[Draft], tables: &Tables) {
    let wrong =
        |draft: &Draft, message: &str, hint: &str| draft.wrong(fields.context(), message, hint);
    let mut names: BTreeMap<&str, &Draft> = BTreeMap::new();
    let mut columns: BTreeMap<&str, &Draft> = BTreeMap::new();
    for draft in drafts {
        let name = draft.field.name.as_str();
        if let Some(first) = names.insert(name, draft) {
            wrong(
                draft,
                &format!(
                    "`{name}` is mapped twice, first in line {}",
                    first.span.line
                ),
                "internal names are unique",
            );
            continue;
        }
        let Some(column) = draft.field.column.as_deref() else {
            continue;
        };
        if let Some(first) = columns.insert(column, draft) {
            wrong(
                draft,
                &format!(
                    "the column `{column}` is fed twice, first in line {}",
                    first.span.line
                ),
                "say `column: another_name`, or `column: false` to keep the field without storing it",
            );
        }
        if OWN_COLUMNS.contains(&column) || column == tables.primary_key {
            wrong(
                draft,
                &format!("the column `{column}` is filled by datasync or PostgreSQL itself"),
                "say `column: another_name`, or `column: false` to keep the field without storing it",
            );
        }
    }
}

/// Adds the schema that `json_to_object` names to the fields. Other schemas are checked, and listed as ignored.
fn apply_schemas(
    validation: &Section<'_>,
    wanted: Option<(Section<'_>, String)>,
    drafts: &mut Drafts,
) {
    let schemas: Vec<&Entry> = validation
        .entries()
        .iter()
        .filter(|entry| !RESERVED.contains(&entry.key.as_str()))
        .collect();
    let names = || schemas.iter().map(|entry| entry.key.as_str());
    let wanted = match wanted {
        Some((step, name)) => {
            if !names().any(|schema| schema == name) {
                let hint = match nearest(&name, names()) {
                    Some(schema) => format!("did you mean `{schema}`?"),
                    None => format!("add `validation.{name}`, or leave `schema` out"),
                };
                step.wrong(
                    "schema",
                    format!("there is no `{name}` in validation"),
                    hint,
                );
            }
            Some(name)
        }
        None if schemas.len() == 1 => names().next().map(str::to_owned),
        None => None,
    };
    for entry in &schemas {
        if !matches!(entry.value.kind, NodeKind::Map(_) | NodeKind::Null) {
            let hint = match nearest(&entry.key, RESERVED) {
                Some(key) => format!("did you mean `{key}`?"),
                None => "a schema has required_fields, field_types and constraints".to_owned(),
            };
            let message = format!("unknown key `{}` in validation", entry.key);
            validation.wrong_key(entry, message, hint);
            continue;
        }
        let schema = validation.section(
            &entry.key,
            &["required_fields", "field_types", "constraints"],
        );
        if wanted.as_deref() == Some(entry.key.as_str()) {
            apply(&schema, drafts);
        } else {
            validation.ignore(&entry.key, "no transform names it as its schema");
        }
    }
}

fn apply(schema: &Section<'_>, drafts: &mut Drafts) {
    for value in schema.values("required_fields") {
        if let Some(draft) = find(schema, &value.text, value.span, &value.path, drafts) {
            draft.field.required = true;
        }
    }
    let types = schema.names("field_types");
    for entry in types.entries() {
        let kind = kind(&types, &entry.key);
        if let Some(draft) = find_or_warn(&types, entry, drafts) {
            match (draft.kind, kind) {
                (Some(before), Some(kind)) if before != kind => types.wrong(
                    &entry.key,
                    format!(
                        "`{}` has another type in line {}",
                        entry.key, draft.span.line
                    ),
                    "keep it in one place only",
                ),
                _ => draft.kind = draft.kind.or(kind),
            }
        }
    }
    let constraints = schema.names("constraints");
    for entry in constraints.entries() {
        let one = constraints.section(&entry.key, &Limits::KEYS);
        let limits = limits(&one);
        if let Some(draft) = find_or_warn(&constraints, entry, drafts) {
            limits.merge(&mut draft.field, &one);
        }
    }
}

/// The field with an internal name; a name that no field has is reported.
fn find<'d>(
    section: &Section<'_>,
    name: &str,
    span: Span,
    path: &str,
    drafts: &'d mut Drafts,
) -> Option<&'d mut Draft> {
    let found = drafts.position(name);
    if found.is_none() {
        drafts.unmapped(section, name, span, path);
    }
    found.map(|index| &mut drafts.list[index])
}

/// The field that an entry of a schema is about. An entry for a field that is not mapped has no effect, which is a
/// warning.
fn find_or_warn<'d>(
    section: &Section<'_>,
    entry: &Entry,
    drafts: &'d mut Drafts,
) -> Option<&'d mut Draft> {
    let found = drafts.position(&entry.key);
    if found.is_none() && drafts.complete {
        let internal = || drafts.list.iter().map(|draft| draft.field.name.as_str());
        let hint = match nearest(&entry.key, internal()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("mapped: {}", internal().collect::<Vec<_>>().join(", ")),
        };
        let context = section.context();
        let message = format!("`{}` has no effect: no field is mapped to it", entry.key);
        context.warn(
            context
                .source
                .problem(entry.key_span, message)
                .on(section.path_of(&entry.key))
                .hint(hint),
        );
    }
    found.map(|index| &mut drafts.list[index])
}

/// Decides the type of a field, and checks that its limits, default and format fit the type.
fn settle(fields: &Section<'_>, draft: &mut Draft) {
    // Files in the plain convention give few types. A field that feeds a column of schema.sql has the type of that column.
    let of_column = match draft.field.column.as_deref() {
        Some("created_at") => Kind::DateTime,
        Some("quality_score") => Kind::Decimal,
        _ => Kind::String,
    };
    draft.field.kind = draft.kind.unwrap_or(of_column);
    let is_text = matches!(draft.field.kind, Kind::String | Kind::Json);
    draft.field.blank_is_null = draft.empty.map_or(!is_text, |empty| empty == Empty::Null);
    let context = fields.context();
    let wrong = |message: &str, hint: &str| context.wrong(draft.span, &draft.path, message, hint);
    check_fit(&draft.field, &wrong);
    if draft.field.kind == Kind::Json && matches!(draft.field.origin, Origin::Joined { .. }) {
        wrong(
            &format!("`from` joins texts, and `{}` is json", draft.field.name),
            "give it another type, or use `first_of`",
        );
    }
    if let Some((text, plain)) = &draft.default {
        draft.field.default = check_default(&draft.field, text, *plain, &wrong);
    }
}
