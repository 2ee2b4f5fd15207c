//! The one pass over a record's text: mapped paths are read, everything else is skipped unread.
//!
//! The mapped paths are compiled to a tree, and a serde visitor walks the tree and the text together. It hands the raw
//! text of each mapped value to its field (so that numbers stay exact) and sees to it that no object it enters has a
//! key twice. Knows nothing of types.

use std::borrow::Cow;
use std::fmt;

use anyhow::ensure;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::text::json_type;
use super::{Shaped, Transform, WHOLE_RECORD};

/// The mapped paths as a tree. An edge is one key in one object.
#[derive(Debug)]
pub(super) struct Paths {
    /// Fingerprints of the edges' keys, side by side so that a look-up reads little memory.
    prints: Vec<u64>,
    edges: Vec<Edge>,
    /// Objects on the way: which edges leave each. The first is the record itself.
    objects: Vec<Object>,
}

#[derive(Debug)]
struct Edge {
    key: String,
    /// The whole path down to here, for messages.
    path: String,
    /// Fields that take the value found here.
    fields: Vec<usize>,
    /// The object below, when longer paths lead through here.
    object: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Object {
    first: usize,
    end: usize,
}

/// Keys seen in one record.
#[derive(Debug, Default)]
pub(super) struct Keys<'p> {
    /// Whether each edge has been met.
    met: Vec<bool>,
    /// Unmapped keys of the objects being read, those of an inner object after those of the outer.
    unmapped: Vec<(u64, Cow<'p, str>)>,
}

impl Keys<'_> {
    pub(super) fn reset(&mut self, paths: &Paths) {
        self.met.clear();
        self.met.resize(paths.edges.len(), false);
        self.unmapped.clear();
    }
}

impl Paths {
    /// Compiles the paths of the fields, given in the order of their indexes.
    pub(super) fn new<'a>(sources: impl Iterator<Item = &'a [String]>) -> anyhow::Result<Self> {
        let mut root = Branch::default();
        for (field, source) in sources.enumerate() {
            ensure!(!source.is_empty(), "a mapped field has no source path");
            let mut branch = &mut root;
            for key in source {
                let at = branch.children.iter().position(|(name, _)| name == key);
                let at = at.unwrap_or_else(|| {
                    branch.children.push((key.clone(), Branch::default()));
                    branch.children.len() - 1
                });
                branch = &mut branch.children[at].1;
            }
            branch.fields.push(field);
        }
        let mut paths = Self {
            prints: Vec::new(),
            edges: Vec::new(),
            objects: Vec::new(),
        };
        paths.add(root, "");
        Ok(paths)
    }

    /// Adds one object and all below it; the edges of one object lie side by side.
    fn add(&mut self, branch: Branch, path: &str) -> usize {
        let object = self.objects.len();
        let first = self.edges.len();
        self.objects.push(Object {
            first,
            end: first + branch.children.len(),
        });
        let mut below = Vec::new();
        for (key, child) in branch.children {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            self.prints.push(fingerprint(key.as_bytes()));
            self.edges.push(Edge {
                key,
                path,
                fields: child.fields.clone(),
                object: None,
            });
            below.push(child);
        }
        for (edge, child) in (first..).zip(below) {
            if !child.children.is_empty() {
                let path = self.edges[edge].path.clone();
                let object = self.add(child, &path);
                self.edges[edge].object = Some(object);
            }
        }
        object
    }

    /// The edge of a key in an object. Sources keep their keys in one order, so the search starts after the last hit.
    fn edge(&self, object: Object, hint: usize, print: u64, key: &str) -> Option<usize> {
        let is_edge = |at: &usize| self.prints[*at] == print && self.edges[*at].key == key;
        if hint < object.end && is_edge(&hint) {
            return Some(hint);
        }
        (object.first..object.end).find(is_edge)
    }
}

/// The tree while it grows.
#[derive(Default)]
struct Branch {
    fields: Vec<usize>,
    children: Vec<(String, Branch)>,
}

/// Reads one record.
///
/// # Errors
/// In words without values, when the text is not one JSON object.
pub(super) fn read<'p>(
    transform: &'p Transform,
    raw: &'p str,
    shaped: &mut Shaped<'p>,
) -> Result<(), Cow<'static, str>> {
    let raw = raw.trim_matches([' ', '\t', '\r', '\n']);
    if !raw.starts_with('{') {
        let found = if raw.is_empty() {
            "nothing"
        } else {
            json_type(raw)
        };
        return Err(Cow::Borrowed(found));
    }
    read_object(transform, raw, 0, shaped)
}

/// Reads a text that starts an object.
fn read_object<'p>(
    transform: &'p Transform,
    raw: &'p str,
    object: usize,
    shaped: &mut Shaped<'p>,
) -> Result<(), Cow<'static, str>> {
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    Walk {
        transform,
        object,
        path: WHOLE_RECORD,
        shaped,
    }
    .deserialize(&mut deserializer)
    .and_then(|()| deserializer.end())
    // Messages of syntax errors hold a reason and a place, never a value.
    .map_err(|error| Cow::Owned(format!("JSON that cannot be read: {error}")))
}

/// Walks one object of the text along one object of the tree.
struct Walk<'a, 'p> {
    transform: &'p Transform,
    object: usize,
    path: &'p str,
    shaped: &'a mut Shaped<'p>,
}

impl<'p> DeserializeSeed<'p> for Walk<'_, 'p> {
    type Value = ();

    fn deserialize<D: Deserializer<'p>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Walk<'_, '_> {
    /// A value where the mapping expects an object to look into.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "what every visitor method returns"
    )]
    fn no_object<E>(self, found: &'static str) -> Result<(), E> {
        self.shaped.fault(self.path.to_owned(), "an object", found);
        Ok(())
    }
}

impl<'p> Visitor<'p> for Walk<'_, 'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<(), A::Error> {
        let Self {
            transform,
            object,
            path,
            shaped,
        } = self;
        let paths = &transform.paths;
        let object = paths.objects[object];
        let mut hint = object.first;
        let outer = shaped.keys.unmapped.len();
        while let Some(key) = map.next_key_seed(KeySeed {
            paths,
            object,
            hint,
        })? {
            let at = match key {
                Key::Mapped(at) => at,
                Key::Unmapped(print, key) => {
                    shaped.keys.unmapped.push((print, key));
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            hint = at + 1;
            let edge = &paths.edges[at];
            if std::mem::replace(&mut shaped.keys.met[at], true) {
                shaped.fault(edge.path.clone(), "each key once", "the key twice");
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match (edge.fields.is_empty(), edge.object) {
                (true, Some(object)) => map.next_value_seed(Walk {
                    transform,
                    object,
                    path: &edge.path,
                    shaped,
                })?,
                (_, object) => {
                    let raw = map.next_value::<&'p RawValue>()?.get();
                    for &field in &edge.fields {
                        transform.fields[field].read(field, raw, shaped);
                    }
                    if let Some(object) = object {
                        read_below(transform, raw, object, edge, shaped)
                            .map_err(serde::de::Error::custom)?;
                    }
                }
            }
        }
        if has_twins(&mut shaped.keys.unmapped[outer..]) {
            shaped.fault(
                path.to_owned(),
                "each key once",
                "a key twice that is not mapped",
            );
        }
        shaped.keys.unmapped.truncate(outer);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.no_object("a boolean")
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.no_object("a number")
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.no_object("a number")
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.no_object("a number")
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.no_object("text")
    }

    fn visit_seq<A: SeqAccess<'p>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.no_object("an array")
    }
}

/// A value that is a field itself and has fields inside.
fn read_below<'p>(
    transform: &'p Transform,
    raw: &'p str,
    object: usize,
    edge: &'p Edge,
    shaped: &mut Shaped<'p>,
) -> Result<(), Cow<'static, str>> {
    match json_type(raw) {
        "an object" => read_object(transform, raw, object, shaped),
        "null" => Ok(()),
        other => {
            shaped.fault(edge.path.clone(), "an object", other);
            Ok(())
        }
    }
}

/// A key of an object.
enum Key<'p> {
    Mapped(usize),
    Unmapped(u64, Cow<'p, str>),
}

struct KeySeed<'a> {
    paths: &'a Paths,
    object: Object,
    hint: usize,
}

impl<'p> DeserializeSeed<'p> for KeySeed<'_> {
    type Value = Key<'p>;

    fn deserialize<D: Deserializer<'p>>(self, deserializer: D) -> Result<Key<'p>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl KeySeed<'_> {
    fn find<'p>(&self, key: &str, keep: impl FnOnce() -> Cow<'p, str>) -> Key<'p> {
        let print = fingerprint(key.as_bytes());
        match self.paths.edge(self.object, self.hint, print, key) {
            Some(at) => Key::Mapped(at),
            None => Key::Unmapped(print, keep()),
        }
    }
}

impl<'p> Visitor<'p> for KeySeed<'_> {
    type Value = Key<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'p str) -> Result<Key<'p>, E> {
        Ok(self.find(key, || Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'p>, E> {
        Ok(self.find(key, || Cow::Owned(key.to_owned())))
    }
}

/// A number that differs for almost all keys that differ: made of the length, the first and the last eight bytes.
/// Equal numbers are always settled by the text.
pub(super) fn fingerprint(key: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (head, tail) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => (
            key.iter()
                .fold(0, |print, byte| print << 8 | u64::from(*byte)),
            0,
        ),
    };
    (head ^ tail.rotate_left(29)).wrapping_mul(ODD) ^ key.len() as u64
}

/// Is any key there twice? The keys may be put in another order.
pub(super) fn has_twins(keys: &mut [(u64, Cow<'_, str>)]) -> bool {
    if keys.len() <= 16 {
        return keys
            .iter()
            .enumerate()
            .any(|(at, key)| keys[..at].contains(key));
    }
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}
