//! The JSON Schema of mappings.yaml knows what the reader knows, accepts what it accepts, and refuses what a schema can.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::{BOTH, Setting, files};
use crate::support::Workplace;

const FILE: &str = "docs/mappings.schema.json";

/// Mistakes of the environment.
const IN_A_VARIABLE: &[&str] = &[
    "base-url-query",
    "base-url-variable",
    "database-url",
    "header-value",
    "port-variable",
    "ssl-mode-variable",
    "variable-empty",
    "variable-file",
    "variable-missing",
    "variable-of-its-own",
    "variable-of-wrong-type",
    "webhook-variable",
];

/// Keys that stand twice: YAML itself forbids them.
const IN_THE_TEXT: &[&str] = &["duplicate-field", "duplicate-key"];

/// Values of a language of their own: strptime, regular expressions, time zones, units.
const IN_A_LANGUAGE: &[&str] = &[
    "incremental-format",
    "auth-scheme",
    "auth-username-with-colon",
    "format-incomplete",
    "pattern",
    "timezone",
    "duration-out-of-range",
    "spool-too-small",
    "header-of-total",
];

/// Values that do not go together, and names that something else must have.
const BETWEEN_VALUES: &[&str] = &[
    "records-of-lines",
    "oauth-header-twice",
    "oauth-token-url",
    "field-name-without-column",
    "body-of-get",
    "params-in-body-of-get",
    "params-in-path",
    "field-value-of-another-type",
    "auth-header-twice",
    "auth-query-parameter-twice",
    "column-of-our-own",
    "column-primary-key",
    "column-twice",
    "conflict-key-impossible",
    "conflict-key-type",
    "conflict-key-unfed",
    "conflict-key-with-default",
    "constraint-contradiction",
    "cursor-in-without-path",
    "default-not-allowed",
    "end-absent-of-numbers",
    "field-mapped-twice",
    "format-of-text",
    "format-without-timezone",
    "min-of-text",
    "min-over-max",
    "more-path-is-done-path",
    "more-path-without-style",
    "notification-unknown",
    "outgoing-nested",
    "outgoing-twice",
    "outgoing-unmapped",
    "page-param-none",
    "paging-parameter-of-two-things",
    "paging-parameter-twice",
    "pool",
    "quality-score-no-number",
    "quality-score-unmapped",
    "required-by-external-name",
    "required-unmapped",
    "retry-initial-over-max",
    "schema-unknown",
    "timezone-of-text",
    "timezone-without-format",
    "transform-twice",
    "type-contradiction",
    "update-without-fields",
    "version-field-no-datetime",
    "version-field-unmapped",
];

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(FILE).unwrap()).unwrap()
}

fn yaml(path: &str) -> Option<Value> {
    serde_yaml::from_str(&fs::read_to_string(path).unwrap()).ok()
}

#[test]
fn the_printed_schema_is_the_committed_one() {
    let printed = Workplace::new().run(&["schema"]);
    printed.expect(0);
    assert_eq!(printed.stdout, fs::read_to_string(FILE).unwrap());
    assert!(
        jsonschema::meta::is_valid(&schema()),
        "it is no JSON Schema"
    );
}

#[test]
fn mappings_yaml_opens_with_the_line_that_editors_look_for() {
    let text = fs::read_to_string("mappings.yaml").unwrap();
    let line = format!("# yaml-language-server: $schema={FILE}");
    assert_eq!(text.lines().next(), Some(line.as_str()));
}

#[test]
fn every_file_that_loads_fits_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for path in [
        "mappings.yaml",
        "demo/mappings.yaml",
        "benches/throughput/mappings.yaml",
        "fixtures/config/convention.yaml",
    ] {
        let problems: Vec<String> = validator
            .iter_errors(&yaml(path).unwrap())
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(problems.is_empty(), "{path}: {problems:#?}");
    }
}

#[test]
fn every_mistake_that_a_schema_can_express_is_refused_by_it() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut passed = BTreeSet::new();
    for path in files("bad-") {
        let path = path.to_str().unwrap();
        // What is no YAML is refused by every editor.
        let Some(value) = yaml(path) else { continue };
        if validator.is_valid(&value) {
            let name = path.trim_start_matches("fixtures/config/bad-");
            passed.insert(name.trim_end_matches(".yaml").to_owned());
        }
    }
    let beyond = [IN_A_VARIABLE, IN_THE_TEXT, IN_A_LANGUAGE, BETWEEN_VALUES].concat();
    let beyond: BTreeSet<String> = beyond.into_iter().map(str::to_owned).collect();
    let missed: Vec<_> = passed.difference(&beyond).collect();
    assert!(missed.is_empty(), "the schema accepts {missed:?}");
    let caught: Vec<_> = beyond.difference(&passed).collect();
    assert!(
        caught.is_empty(),
        "take {caught:?} off the lists: the schema refuses them"
    );
}

/// Where something stands: keys and positions in lists, from the root.
type Path = Vec<Value>;

/// What must stand at which places for the reader to see which of several forms it is.
type Given = Vec<(Path, Value)>;

/// A place of the schema where the reader opens a mapping, and the keys it has there.
#[derive(Debug)]
struct Place {
    path: Path,
    given: Given,
    keys: BTreeSet<String>,
}

/// The places of mappings, and those of single values and lists.
#[derive(Debug, Default)]
struct Places {
    mappings: Vec<Place>,
    leaves: Vec<(Path, Given)>,
}

/// Follows a schema down.
fn walk(
    root: &Value,
    schema: &Value,
    path: &[Value],
    given: &[(Path, Value)],
    places: &mut Places,
) {
    let schema = resolve(root, schema);
    let under = |key: Value| [path, &[key]].concat();
    // The reader looks only into the schema that the transforms name.
    let any = json!(if path == ["validation"] {
        "customer_schema"
    } else {
        "anything"
    });
    if let Some(forms) = schema["anyOf"].as_array() {
        for form in forms {
            walk(root, form, path, given, places);
        }
        return;
    }
    let Some(properties) = schema["properties"].as_object() else {
        if schema["additionalProperties"].is_object() {
            let below = &schema["additionalProperties"];
            walk(root, below, &under(any), given, places);
        } else if schema["items"].is_object() {
            walk(root, &schema["items"], &under(json!(0)), given, places);
        } else if schema.get("type").is_some() || schema.get("enum").is_some() {
            places.leaves.push((path.to_vec(), given.to_vec()));
        }
        return;
    };
    let mut given = given.to_vec();
    for (key, below) in properties {
        if let Some(constant) = below.get("const") {
            given.push((under(json!(key)), constant.clone()));
        }
    }
    if schema["additionalProperties"] == json!(false) {
        places.mappings.push(Place {
            path: path.to_vec(),
            given: given.clone(),
            keys: properties.keys().cloned().collect(),
        });
    } else {
        let below = &schema["additionalProperties"];
        walk(root, below, &under(any), &given, places);
    }
    for (key, below) in properties {
        walk(root, below, &under(json!(key)), &given, places);
    }
}

/// What a `$ref` stands for.
fn resolve(root: &Value, schema: &Value) -> Value {
    let Some(name) = schema["$ref"].as_str() else {
        return schema.clone();
    };
    let target = root
        .pointer(name.trim_start_matches('#'))
        .unwrap_or_else(|| panic!("{name}"));
    resolve(root, target)
}

fn put(file: &mut Value, path: &[Value], value: Value) {
    let mut at = file;
    for key in path {
        if let Value::String(key) = key {
            if !at.is_object() {
                *at = json!({});
            }
            at = &mut at[key.as_str()];
        } else {
            // One list item, ours.
            if at.as_array().is_none_or(|list| list.len() != 1) {
                *at = json!([{}]);
            }
            at = &mut at[0];
        }
    }
    *at = value;
}

/// What the reader says of the shipped file with an unknown key at some place: messages and hints.
fn mistakes(given: &[(Path, Value)], path: &[Value]) -> Vec<(String, String)> {
    let mut file = yaml("mappings.yaml").unwrap();
    for (path, value) in given {
        put(&mut file, path, value.clone());
    }
    put(&mut file, &[path, &[json!("zzzzzzzz")]].concat(), json!(1));
    // Where a variable wins, the file's value is not even read.
    let errors = Setting::of_text(file.to_string()).load(BOTH).err();
    errors
        .iter()
        .flat_map(datasync::config::ConfigErrors::problems)
        .map(|problem| {
            let hint = problem.hint.as_deref().unwrap_or_default().to_owned();
            (problem.message.clone(), hint)
        })
        .collect()
}

#[test]
fn the_schema_and_the_reader_know_the_same_keys_everywhere() {
    let root = schema();
    let mut places = Places::default();
    walk(&root, &root, &[], &[], &mut places);
    assert!(places.mappings.len() > 20, "{places:#?}");
    // A field in short form is a leaf where its long form is a mapping.
    let both: Vec<Path> = places
        .mappings
        .iter()
        .map(|place| place.path.clone())
        .collect();
    places.leaves.retain(|(leaf, _)| !both.contains(leaf));
    let mut different = Vec::new();
    for place in places.mappings {
        let told = mistakes(&place.given, &place.path);
        let known = told
            .iter()
            .find(|(message, _)| message.starts_with("unknown key `zzzzzzzz`"))
            .and_then(|(_, hint)| hint.strip_prefix("known here: "))
            .unwrap_or_else(|| panic!("{:?} is no mapping with fixed keys: {told:#?}", place.path));
        let known: BTreeSet<String> = known.split(", ").map(str::to_owned).collect();
        if place.keys != known {
            different.push((place.path, place.keys, known));
        }
    }
    assert!(
        different.is_empty(),
        "{FILE} (first) and the reader (second) differ; write what is missing into {FILE}: {different:#?}"
    );
    // And where the schema wants a single value or a list, the reader has no keys at all.
    for (leaf, given) in places.leaves {
        let told = mistakes(&given, &leaf);
        assert!(
            !told
                .iter()
                .any(|(message, _)| message.starts_with("unknown key `zzzzzzzz`")),
            "{leaf:?} is a mapping: {told:#?}"
        );
    }
}

#[test]
fn every_key_of_the_schema_has_a_description_and_stands_in_the_documentation() {
    let root = schema();
    let documentation = fs::read_to_string("docs/mappings.md").unwrap();
    let mut missing = BTreeSet::new();
    let mut parts = vec![&root];
    while let Some(part) = parts.pop() {
        match part {
            Value::Object(fields) => {
                for (key, below) in fields
                    .get("properties")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                {
                    let whole = resolve(&root, below);
                    if !below["description"].is_string() && !whole["description"].is_string() {
                        missing.insert(format!("a description of {key}"));
                    }
                    if below["$ref"] != json!("#/definitions/ignored")
                        && !documentation.contains(key.as_str())
                    {
                        missing.insert(format!("{key} in docs/mappings.md"));
                    }
                }
                // Conditions say more about keys that are described above.
                let plain = |key: &str| !matches!(key, "if" | "then");
                parts.extend(
                    fields
                        .iter()
                        .filter(|(key, _)| plain(key))
                        .map(|(_, below)| below),
                );
            }
            Value::Array(items) => parts.extend(items),
            _ => {}
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
