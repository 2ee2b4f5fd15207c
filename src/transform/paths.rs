//! The one pass over a record's text: mapped paths are read, everything else is skipped unread.
//!
//! The mapped paths are compiled to a tree, and tree and text are walked together. Each mapped value goes to its fields
//! as it stands in the text (so that numbers stay exact), and no object entered may have a key twice. Knows nothing of
//! types.

use std::borrow::Cow;

use anyhow::ensure;
use smallvec::SmallVec;

use super::scan::{Malformed, Scanner, Value, ValueKind};
use super::text::unescape;
use super::{Mapped, Transform, WHOLE_RECORD};

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
    /// The key has nothing to escape.
    plain: bool,
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
    /// Whether each edge has been met. Nearly always in place: a small vector of its own would share a cache line with what
    /// other threads free, at 70 ns a record.
    met: SmallVec<[bool; 64]>,
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
    /// Compiles the paths of the fields, each with the number of its field.
    pub(super) fn new<'a>(
        sources: impl Iterator<Item = (usize, &'a [String])>,
    ) -> anyhow::Result<Self> {
        let mut root = Branch::default();
        for (field, source) in sources {
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
                plain: !key.contains(|letter: char| matches!(letter, '"' | '\\' | '\0'..' ')),
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

    /// The key to be expected next, sources keeping theirs in one order; none at the end of the object, and for keys
    /// that JSON writes with escapes.
    fn expected(&self, object: Object, hint: usize) -> Option<&str> {
        let edge = self.edges[..object.end].get(hint)?;
        edge.plain.then_some(edge.key.as_str())
    }

    /// Whether any of the mapped fields, so many, lies in an object or below it.
    fn has_fields(&self, object: usize, fields: usize) -> bool {
        let Object { first, end } = self.objects[object];
        self.edges[first..end].iter().any(|edge| {
            edge.fields.iter().any(|&field| field < fields)
                || edge
                    .object
                    .is_some_and(|below| self.has_fields(below, fields))
        })
    }

    /// Whether a path leads through a place in a list here.
    fn has_elements(&self, object: usize) -> bool {
        let Object { first, end } = self.objects[object];
        self.edges[first..end]
            .iter()
            .any(|edge| edge.key.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// The edge of a key in an object.
    fn edge(&self, object: Object, print: u64, key: &str) -> Option<usize> {
        (object.first..object.end).find(|&at| self.prints[at] == print && self.edges[at].key == key)
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
    mapped: &mut Mapped<'p>,
) -> Result<(), Cow<'static, str>> {
    let mut scanner = Scanner::new(raw);
    if scanner.peek() == b'{' {
        return walk(transform, &mut scanner, 0, WHOLE_RECORD, mapped)
            .and_then(|()| scanner.finish())
            .map_err(|Malformed| Malformed::explain(raw));
    }
    match scanner.value() {
        Ok(value) if scanner.finish().is_ok() => Err(Cow::Borrowed(value.kind.as_str())),
        _ if raw.trim().is_empty() => Err(Cow::Borrowed("nothing")),
        _ => Err(Malformed::explain(raw)),
    }
}

/// Walks one object of the text, at its opening brace, along one object of the tree.
fn walk<'p>(
    transform: &'p Transform,
    scanner: &mut Scanner<'p>,
    object: usize,
    path: &'p str,
    mapped: &mut Mapped<'p>,
) -> Result<(), Malformed> {
    let paths = &transform.paths;
    let object = paths.objects[object];
    let mut hint = object.first;
    let outer = mapped.keys.unmapped.len();
    scanner.expect(b'{')?;
    let mut more = scanner.peek() != b'}';
    while more {
        if scanner.peek() != b'"' {
            return Err(Malformed);
        }
        let edge = match paths.expected(object, hint) {
            Some(key) if scanner.take(key) => Some(hint),
            _ => {
                let key = unquoted(scanner.value()?)?;
                let print = fingerprint(key.as_bytes());
                let edge = paths.edge(object, print, &key);
                if edge.is_none() {
                    mapped.keys.unmapped.push((print, key));
                }
                edge
            }
        };
        scanner.expect(b':')?;
        match edge {
            None => {
                scanner.value()?;
            }
            Some(at) => {
                hint = at + 1;
                read_edge(transform, scanner, at, mapped)?;
            }
        }
        more = scanner.peek() == b',';
        if more {
            scanner.expect(b',')?;
        }
    }
    scanner.expect(b'}')?;
    if has_twins(&mut mapped.keys.unmapped[outer..]) {
        mapped.fault(
            path.to_owned(),
            "each key once",
            "a key twice that is not mapped",
        );
    }
    mapped.keys.unmapped.truncate(outer);
    Ok(())
}

/// Walks one list of the text, at its opening bracket: a number in a path is the place of an element.
fn walk_list<'p>(
    transform: &'p Transform,
    scanner: &mut Scanner<'p>,
    object: usize,
    mapped: &mut Mapped<'p>,
) -> Result<(), Malformed> {
    let paths = &transform.paths;
    let object = paths.objects[object];
    scanner.expect(b'[')?;
    let mut more = scanner.peek() != b']';
    let mut place = 0u64;
    while more {
        let key = place.to_string();
        match paths.edge(object, fingerprint(key.as_bytes()), &key) {
            Some(at) => read_edge(transform, scanner, at, mapped)?,
            None => {
                scanner.value()?;
            }
        }
        place += 1;
        more = scanner.peek() == b',';
        if more {
            scanner.expect(b',')?;
        }
    }
    scanner.expect(b']')
}

/// Reads the value of a mapped key: of fields, or of an object on the way to fields, or both.
#[inline]
fn read_edge<'p>(
    transform: &'p Transform,
    scanner: &mut Scanner<'p>,
    at: usize,
    mapped: &mut Mapped<'p>,
) -> Result<(), Malformed> {
    let edge = &transform.paths.edges[at];
    if std::mem::replace(&mut mapped.keys.met[at], true) {
        mapped.fault(edge.path.clone(), "each key once", "the key twice");
        scanner.value()?;
        return Ok(());
    }
    match edge.object {
        None => read_fields(transform, edge, scanner.value()?, mapped),
        Some(object) => return read_on_the_way(transform, scanner, (edge, object), mapped),
    }
    Ok(())
}

#[inline]
fn read_fields<'p>(
    transform: &'p Transform,
    edge: &Edge,
    value: Value<'p>,
    mapped: &mut Mapped<'p>,
) {
    for &field in &edge.fields {
        match transform.fields.get(field) {
            Some(compiled) => compiled.read(field, value, mapped),
            None => transform.read_beyond(field, value, mapped),
        }
    }
}

/// Reads the value of a key from which paths lead on.
fn read_on_the_way<'p>(
    transform: &'p Transform,
    scanner: &mut Scanner<'p>,
    (edge, object): (&'p Edge, usize),
    mapped: &mut Mapped<'p>,
) -> Result<(), Malformed> {
    let has_elements = transform.paths.has_elements(object);
    if edge.fields.is_empty() {
        match scanner.peek() {
            b'{' => return walk(transform, scanner, object, &edge.path, mapped),
            b'[' if has_elements => return walk_list(transform, scanner, object, mapped),
            _ => {}
        }
    }
    let value = scanner.value()?;
    read_fields(transform, edge, value, mapped);
    match value.kind {
        ValueKind::Null => Ok(()),
        ValueKind::Object => {
            let mut inside = Scanner::new(value.raw);
            walk(transform, &mut inside, object, &edge.path, mapped)
        }
        ValueKind::Array if has_elements => {
            let mut inside = Scanner::new(value.raw);
            walk_list(transform, &mut inside, object, mapped)
        }
        other => {
            // Where only the time of change lies below, a record without it has no error.
            if transform.paths.has_fields(object, transform.read_values()) {
                mapped.fault(edge.path.clone(), "an object", other.as_str());
            }
            Ok(())
        }
    }
}

/// The text of a key. A key with half of a surrogate pair is an error of the record: two such keys could not be told apart.
fn unquoted(key: Value<'_>) -> Result<Cow<'_, str>, Malformed> {
    let inner = &key.raw[1..key.raw.len() - 1];
    match key.kind {
        ValueKind::Escaped => unescape(inner).map_err(|_| Malformed),
        _ => Ok(Cow::Borrowed(inner)),
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
