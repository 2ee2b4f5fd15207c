//! The values in records, by their paths: in how many records each path has one, and of which JSON types.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::config::path;

/// Types of the mapping language in the order in which they are tried, the narrowest first.
pub(super) const TYPES: [&str; 11] = [
    "boolean",
    "datetime, format: epoch_seconds",
    "datetime, format: epoch_milliseconds",
    "integer",
    "decimal",
    "uuid",
    "date",
    "datetime",
    "datetime, format: \"%Y-%m-%dT%H:%M:%S%.f\", timezone: UTC",
    "datetime, format: \"%Y-%m-%d %H:%M:%S%.f\", timezone: UTC",
    "email",
];
/// The type of a field that no other type fits.
pub(super) const TEXT: &str = "string";
/// The type of lists, and of objects that are taken as a whole.
pub(super) const JSON: &str = "json";

/// The deepest object that is looked into.
const DEEPEST: usize = 3;
/// An object with more keys than this is taken as a whole: its keys are data and not names of fields.
const MOST_KEYS: usize = 60;
/// Longest name of a field.
const LONGEST_NAME: usize = 100;

/// A path in records that leads to values.
#[derive(Debug)]
pub(super) struct Leaf {
    /// The path as mappings.yaml spells it.
    pub path: String,
    /// The path as an error in its value names it.
    pub in_errors: String,
    /// The last name of the path.
    pub name: String,
    /// The name of the object that holds it, if any.
    pub parent: Option<String>,
    /// How many records have a value here that is neither null nor blank.
    pub count: usize,
    /// True while no two records have the same value.
    pub distinct: bool,
    texts: usize,
    numbers: usize,
    whole: bool,
    booleans: usize,
    /// How many values are lists, or objects that are taken as a whole.
    nested: usize,
    /// The least and the greatest number.
    range: (f64, f64),
}

/// The leaves of all records, ordered by path. A name that a message could not show is left out.
pub(super) fn of(records: &[&str]) -> Vec<Leaf> {
    let mut found: BTreeMap<Vec<String>, (Leaf, HashSet<String>)> = BTreeMap::new();
    for record in records {
        if let Ok(Value::Object(object)) = serde_json::from_str(record) {
            for (name, value) in &object {
                add(&mut found, &mut Vec::new(), name, value);
            }
        }
    }
    let leaves = found.into_values().map(|(leaf, _)| leaf);
    leaves.filter(|leaf| leaf.count > 0).collect()
}

fn add(
    found: &mut BTreeMap<Vec<String>, (Leaf, HashSet<String>)>,
    above: &mut Vec<String>,
    name: &str,
    value: &Value,
) {
    if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return;
    }
    if let Value::Object(object) = value
        && above.len() + 1 < DEEPEST
        && object.len() <= MOST_KEYS
    {
        above.push(name.to_owned());
        for (name, value) in object {
            add(found, above, name, value);
        }
        above.pop();
        return;
    }
    let mut place = above.clone();
    place.push(name.to_owned());
    let (leaf, values) = found
        .entry(place)
        .or_insert_with_key(|place| (Leaf::new(place), HashSet::new()));
    leaf.note(value);
    if leaf.distinct && !matches!(value, Value::Null) {
        leaf.distinct = values.insert(value.to_string());
    }
}

impl Leaf {
    fn new(place: &[String]) -> Self {
        let (name, parent) = (place.len() - 1, place.len().checked_sub(2));
        Self {
            path: path::text(place),
            in_errors: place.join("."),
            name: place[name].clone(),
            parent: parent.map(|index| place[index].clone()),
            count: 0,
            distinct: true,
            texts: 0,
            numbers: 0,
            whole: true,
            booleans: 0,
            nested: 0,
            range: (f64::INFINITY, f64::NEG_INFINITY),
        }
    }

    fn note(&mut self, value: &Value) {
        match value {
            Value::Null => return,
            Value::String(text) if text.trim().is_empty() => return,
            Value::String(_) => self.texts += 1,
            Value::Bool(_) => self.booleans += 1,
            Value::Array(_) | Value::Object(_) => self.nested += 1,
            Value::Number(number) => {
                self.numbers += 1;
                self.whole &= number.is_i64() || number.is_u64();
                let number = number.as_f64().unwrap_or_default();
                self.range = (self.range.0.min(number), self.range.1.max(number));
            }
        }
        self.count += 1;
    }

    /// True if some value is a list, or an object that is taken as a whole.
    pub(super) const fn is_nested(&self) -> bool {
        self.nested > 0
    }

    /// True if it could be the key: all records have text or all have whole numbers here, and no two the same.
    pub(super) fn could_be_key(&self, records: usize) -> bool {
        let has_one_type = self.texts == records || (self.numbers == records && self.whole);
        self.distinct && has_one_type
    }

    /// True if a type is worth trying. Digits in quotes stay text: they may be a telephone or house number.
    pub(super) fn may_be(&self, kind: &str) -> bool {
        let only = |some: usize| some == self.count;
        match kind {
            "boolean" => only(self.booleans),
            "integer" => only(self.numbers) && self.whole,
            "decimal" => only(self.numbers),
            "datetime, format: epoch_seconds" => self.is_epoch(1e9, 4e9),
            "datetime, format: epoch_milliseconds" => self.is_epoch(1e12, 4e12),
            _ => only(self.texts),
        }
    }

    /// True for whole numbers between `least` and `most` in a field that is named like a time.
    fn is_epoch(&self, least: f64, most: f64) -> bool {
        let name = self.name.to_ascii_lowercase();
        let sounds_like_time = ["time", "date", "created", "updated", "modified"]
            .iter()
            .any(|part| name.contains(part))
            || name.ends_with("_at")
            || self.name.ends_with("At");
        let within = self.range.0 >= least && self.range.1 < most;
        sounds_like_time && self.numbers == self.count && self.whole && within
    }
}
