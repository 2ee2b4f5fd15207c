//! One entry of `fields` in mappings.yaml, in short or long form, before schemas add their limits.

use rust_decimal::Decimal;

use super::constraints::{kind, limits};
use super::context::Context;
use super::database::is_identifier;
use super::path;
use super::plan::{Field, Kind, Origin};
use super::reader::Section;
use super::source::Span;
use super::yaml::{Entry, Kind as NodeKind};
use crate::support::spelling::nearest;

const LONG_FORM: [&str; 19] = [
    "to",
    "type",
    "column",
    "required",
    "default",
    "format",
    "timezone",
    "max_length",
    "trim",
    "min",
    "max",
    "pattern",
    "one_of",
    "weight",
    "empty",
    "from",
    "join",
    "first_of",
    "value",
];

/// A field while its limits are gathered from several places.
pub(super) struct Draft {
    pub field: Field,
    /// Where the field is mapped.
    pub span: Span,
    pub path: String,
    pub kind: Option<Kind>,
    /// What blank text means; none if the type decides.
    pub empty: Option<Empty>,
    /// The default as text, and whether the file has it without quotes.
    pub default: Option<(String, bool)>,
}

/// What empty or blank text of a field means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Empty {
    /// A text like any other.
    Keep,
    /// Null.
    Null,
}

/// All mapped fields. `complete` is false if some could not be read. Then no name is reported as unmapped, since one of
/// the unread fields may have it.
pub(super) struct Drafts {
    pub list: Vec<Draft>,
    pub complete: bool,
}

impl Draft {
    /// Reports a mistake in the field.
    pub fn wrong(&self, context: &Context<'_>, message: &str, hint: &str) {
        context.wrong(self.span, &self.path, message, hint);
    }
}

impl Drafts {
    /// The field with an internal name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|draft| draft.field.name == name)
    }

    /// Reports that no field has this internal name, and suggests the name that was probably meant.
    pub fn unmapped(&self, section: &Section<'_>, name: &str, span: Span, path: &str) {
        if !self.complete {
            return;
        }
        let internal = || self.list.iter().map(|draft| draft.field.name.as_str());
        let external = self
            .list
            .iter()
            .find(|draft| draft.field.source.join(".") == name);
        let hint = match (external, nearest(name, internal())) {
            (Some(draft), _) => format!("internal names are meant here: `{}`", draft.field.name),
            (None, Some(name)) => format!("did you mean `{name}`?"),
            (None, None) => format!("mapped: {}", internal().collect::<Vec<_>>().join(", ")),
        };
        let context = section.context();
        context.wrong(span, path, format!("no field is mapped to `{name}`"), hint);
    }
}

/// One entry of `fields`, in short or long form.
pub(super) fn draft(fields: &Section<'_>, entry: &Entry) -> Option<Draft> {
    let path = fields.path_of(&entry.key);
    let long = matches!(entry.value.kind, NodeKind::Map(_));
    let section = if long {
        Section::open(fields.context(), &entry.value, &path, &LONG_FORM, true)
    } else {
        fields.clone()
    };
    let origin = if long {
        origin(&section)
    } else {
        Some(Origin::Path)
    };
    let source = source(fields, entry, origin.as_ref())?;
    let to = if long { "to" } else { entry.key.as_str() };
    if long && section.entry("to").is_none() {
        section.absent_key("to", "the internal name, such as `to: customerId`");
        return None;
    }
    let expected = "an internal name of letters, digits and `_`, such as `customerId`, or of several such words, such as `Credit Score`,";
    let name = section.parse(to, expected, |text| {
        is_internal_name(text).then(|| text.to_owned())
    })?;
    let origin = origin?;
    if name.contains(' ') && section.entry("column").is_none_or(|_| !long) {
        section.wrong(
            to,
            format!("`{name}` has a space, and no column is called so"),
            "say its column: `{ to: …, column: credit_score }`, or `column: false`",
        );
    }
    let mut draft = Draft {
        field: field(name, source, origin),
        span: entry.key_span,
        path,
        kind: None,
        empty: None,
        default: None,
    };
    if long {
        read_long_form(&mut draft, &section);
    }
    Some(draft)
}

/// Where the value of a field is in a record; `None` after a mistake.
fn source(fields: &Section<'_>, entry: &Entry, origin: Option<&Origin>) -> Option<Vec<String>> {
    // For a field made of several values or of none, the name on the left is a label and not a path.
    let source = match origin {
        Some(Origin::Path) | None => path::parse(&entry.key),
        Some(_) => Some(vec![entry.key.clone()]),
    };
    if source.is_none() {
        fields.wrong_key(
            entry,
            "expected a field, names joined by dots such as `address.country`, or a JSON Pointer such as `/emails/0/value`",
            "no part of a dotted path may be empty; in a JSON Pointer `~` is written `~0`, and `/` in a name `~1`",
        );
    }
    source
}

/// A field of which nothing else is said.
fn field(name: String, source: Vec<String>, origin: Origin) -> Field {
    Field {
        source,
        origin,
        column: Some(snake_case(&name)),
        name,
        kind: Kind::String,
        required: false,
        default: None,
        format: None,
        timezone: None,
        max_length: None,
        trim: false,
        blank_is_null: false,
        min: None,
        max: None,
        pattern: None,
        one_of: Vec::new(),
        weight: Decimal::ONE,
    }
}

fn read_long_form(draft: &mut Draft, section: &Section<'_>) {
    draft.kind = kind(section, "type");
    let column = section.parse(
        "column",
        "the name of a column, or `false`",
        |text| match text {
            "false" => Some(None),
            "true" => None,
            _ => is_identifier(text).then(|| Some(text.to_owned())),
        },
    );
    if let Some(column) = column {
        draft.field.column = column;
    }
    let is_constant = draft.field.origin == Origin::Constant;
    draft.default = section
        .value(if is_constant { "value" } else { "default" })
        .map(|value| (value.text, value.plain));
    // In YAML `empty: null` is a null, not the word.
    let is_null = section
        .entry("empty")
        .is_some_and(|entry| matches!(entry.value.kind, NodeKind::Null));
    draft.empty = if is_null {
        Some(Empty::Null)
    } else {
        section.choice("empty", &[("keep", Empty::Keep), ("null", Empty::Null)])
    };
    let field = &mut draft.field;
    field.required = section.flag("required").unwrap_or(false);
    field.trim = section.flag("trim").unwrap_or(false);
    field.format = section.text("format");
    field.timezone = section.text("timezone");
    field.weight = section
        .parse("weight", "a number from 0 to 1000", |text| {
            text.parse()
                .ok()
                .filter(|weight| (Decimal::ZERO..=Decimal::ONE_THOUSAND).contains(weight))
        })
        .unwrap_or(Decimal::ONE);
    limits(section).merge(field, section);
    if is_constant {
        // A constant does not show how complete a record is.
        field.weight = Decimal::ZERO;
    }
}

/// What the value of a field in long form is made of; `None` after a mistake.
fn origin(section: &Section<'_>) -> Option<Origin> {
    let has = |key: &str| section.entry(key).is_some();
    let keys = ["from", "first_of", "value"];
    let mut given = keys.into_iter().filter(|key| has(key));
    let first = given.next();
    if let (Some(first), Some(second)) = (first, given.next()) {
        section.wrong(
            second,
            format!("`{first}` and `{second}` both say what the field is made of"),
            "keep one of them",
        );
        return None;
    }
    if has("join") && first != Some("from") {
        section.wrong(
            "join",
            "`join` without `from`",
            "it stands between the texts of `from: [first_name, last_name]`",
        );
        return None;
    }
    if has("default") && first == Some("value") {
        section.wrong(
            "default",
            "`default` beside `value`",
            "a field with a `value` has it in every record",
        );
        return None;
    }
    match first {
        Some("from") => Some(Origin::Joined {
            paths: paths(section, "from")?,
            separator: section
                .value_or_empty("join")
                .map_or_else(|| " ".to_owned(), |value| value.text),
        }),
        Some("first_of") => paths(section, "first_of").map(Origin::FirstOf),
        Some(_) => Some(Origin::Constant),
        None => Some(Origin::Path),
    }
}

/// A list of paths with at least one of them.
fn paths(section: &Section<'_>, key: &str) -> Option<Vec<Vec<String>>> {
    let values = section.values(key);
    if values.is_empty() {
        section.wrong(
            key,
            "expected a list of fields",
            "such as `[first_name, last_name]`",
        );
        return None;
    }
    let paths: Option<Vec<Vec<String>>> = values
        .iter()
        .map(|value| path::parse(value.text.trim()))
        .collect();
    if paths.is_none() {
        section.wrong(
            key,
            "expected fields, names joined by dots such as `address.country`, or JSON Pointers such as `/emails/0/value`",
            "no part of a dotted path may be empty; in a JSON Pointer `~` is written `~0`, and `/` in a name `~1`",
        );
    }
    paths
}

/// Words of letters, digits and `_`, with one space between them.
fn is_internal_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text
            .split(' ')
            .all(|word| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

/// `customerId` → `customer_id`, `HTTPStatus` → `http_status`.
fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut result = String::with_capacity(name.len() + 4);
    for (index, letter) in letters.iter().enumerate() {
        if letter.is_uppercase() && index > 0 {
            let before = letters[index - 1];
            let starts_word = before.is_lowercase()
                || before.is_numeric()
                || (before.is_uppercase()
                    && letters
                        .get(index + 1)
                        .is_some_and(|next| next.is_lowercase()));
            if starts_word {
                result.push('_');
            }
        }
        result.extend(letter.to_lowercase());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_names_become_columns() {
        for (name, column) in [
            ("customerId", "customer_id"),
            ("customerID", "customer_id"),
            ("HTTPStatus", "http_status"),
            ("address2Line", "address2_line"),
            ("email", "email"),
            ("already_snake", "already_snake"),
            ("Ärger", "ärger"),
        ] {
            assert_eq!(snake_case(name), column, "{name}");
        }
    }
}
