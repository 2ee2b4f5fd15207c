//! Reads XML into a bounded tree of elements with their lines. Of DMN it knows only the name spaces.
//!
//! A decision file is not trusted: a DOCTYPE, entities other than the five of XML, and excessive depth or size are refused.

use quick_xml::NsReader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;

use super::problem::Problems;

/// Largest file that is read, bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Deepest nesting of elements. Modelers need about ten.
const MAX_DEPTH: usize = 100;
/// Most attributes of one element. Modelers write about five.
const MAX_ATTRIBUTES: usize = 1000;
/// What every DMN name space begins with, whatever its version and scheme.
const DMN: &str = "www.omg.org/spec/DMN/";

/// One element.
#[derive(Debug, Default)]
pub struct Element {
    /// Name without prefix.
    pub name: String,
    /// Is it of the DMN model, not of a diagram or a vendor?
    pub dmn: bool,
    /// Line in the file, from 1.
    pub line: usize,
    /// Line on which the text begins.
    pub text_line: usize,
    /// Character data, without that of its children.
    pub text: String,
    /// Attributes by their names as written, prefixes included: one of a vendor is never taken for one of DMN.
    attributes: Vec<(String, String)>,
    /// The elements inside.
    pub children: Vec<Element>,
}

impl Element {
    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The DMN children of a name.
    pub fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.children
            .iter()
            .filter(move |child| child.dmn && child.name == name)
    }

    /// The first DMN child of a name.
    pub fn first(&self, name: &str) -> Option<&Self> {
        self.children
            .iter()
            .find(|child| child.dmn && child.name == name)
    }
}

/// Reads the whole file.
pub fn read(xml: &str, file: &str) -> Result<Element, Problems> {
    if xml.len() > MAX_BYTES {
        return Err(Problems::one(
            file,
            0,
            format!(
                "{} MiB is too large for a decision file: at most {} MiB",
                xml.len() / 1_048_576,
                MAX_BYTES / 1_048_576
            ),
        ));
    }
    let xml = xml.strip_prefix('\u{FEFF}').unwrap_or(xml);
    let mut reader = NsReader::from_str(xml);
    let mut lines = Lines {
        xml,
        at: 0,
        line: 1,
    };
    let mut tree = Tree::default();
    loop {
        let before = usize::try_from(reader.buffer_position()).unwrap_or(0);
        let line = lines.line_at(before);
        let fail = |message: &str| Problems::one(file, line, message);
        let (space, event) = reader
            .read_resolved_event()
            .map_err(|error| fail(&format!("not well-formed XML: {error}")))?;
        if matches!(event, Event::Eof) {
            break;
        }
        tree.take(&space, &event, line)
            .map_err(|message| fail(&message))?;
    }
    if let Some(unclosed) = tree.open.last() {
        return Err(Problems::one(
            file,
            unclosed.line,
            format!("<{}> is never closed: the file is cut short", unclosed.name),
        ));
    }
    let root = tree.root;
    root.ok_or_else(|| Problems::one(file, 0, "there is no XML in it: a DMN file is expected"))
}

/// The elements that have been read so far.
#[derive(Default)]
struct Tree {
    /// Those that are not closed yet, the innermost last.
    open: Vec<Element>,
    root: Option<Element>,
}

impl Tree {
    fn take(
        &mut self,
        space: &ResolveResult<'_>,
        event: &Event<'_>,
        line: usize,
    ) -> Result<(), String> {
        match event {
            Event::Start(start) => {
                if self.open.len() >= MAX_DEPTH {
                    return Err(format!(
                        "elements are nested deeper than {MAX_DEPTH} levels"
                    ));
                }
                self.check_root()?;
                self.open.push(element(space, start, line)?);
            }
            Event::Empty(start) => {
                self.check_root()?;
                self.add(element(space, start, line)?);
            }
            Event::End(_) => {
                if let Some(element) = self.open.pop() {
                    self.add(element);
                }
            }
            Event::Text(text) if self.open.is_empty() && text.trim().is_empty() => {}
            Event::Text(text) => self.push_text(&text.xml10_content(), line)?,
            Event::CData(text) => self.push_text(&text.xml10_content(), line)?,
            Event::GeneralRef(reference) => self.push_text(&resolved(reference)?, line)?,
            Event::DocType(_) => {
                return Err("a DOCTYPE is refused: decision files need none".to_owned());
            }
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => {}
        }
        Ok(())
    }

    fn check_root(&self) -> Result<(), String> {
        if self.open.is_empty() && self.root.is_some() {
            return Err("a second root element: one <definitions> is expected".to_owned());
        }
        Ok(())
    }

    fn add(&mut self, element: Element) {
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn push_text(&mut self, text: &str, line: usize) -> Result<(), String> {
        let element = self
            .open
            .last_mut()
            .ok_or("text outside the root element")?;
        if element.text.is_empty() {
            element.text_line = line;
        }
        element.text.push_str(text);
        Ok(())
    }
}

/// The text of a reference: a character, or one of the five entities of XML.
fn resolved(reference: &BytesRef<'_>) -> Result<String, String> {
    let name: &str = reference;
    if reference.is_char_ref() {
        return match reference.resolve_char_ref() {
            Ok(Some(c)) => Ok(c.to_string()),
            _ => Err(format!("`&{name};` is no character")),
        };
    }
    let text = match name {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "apos" => "'",
        "quot" => "\"",
        _ => {
            return Err(format!(
                "the entity `&{name};` is refused: only &lt; &gt; &amp; &apos; &quot; and character references are read"
            ));
        }
    };
    Ok(text.to_owned())
}

fn element(
    space: &ResolveResult<'_>,
    start: &BytesStart<'_>,
    line: usize,
) -> Result<Element, String> {
    let dmn = match space {
        ResolveResult::Bound(name) => name
            .0
            .split_once("://")
            .is_some_and(|(_, rest)| rest.starts_with(DMN) && !rest.contains("/DMNDI")),
        _ => false,
    };
    let mut attributes = Vec::new();
    for (count, attribute) in start.attributes().enumerate() {
        if count == MAX_ATTRIBUTES {
            return Err(format!(
                "<{}> has more than {MAX_ATTRIBUTES} attributes",
                start.local_name().into_inner()
            ));
        }
        let attribute = attribute.map_err(|error| format!("not well-formed XML: {error}"))?;
        let key = attribute.key.0;
        if key == "xmlns" || key.starts_with("xmlns:") {
            continue;
        }
        let value = attribute
            .normalized_value(quick_xml::XmlVersion::Implicit1_0)
            .map_err(|error| format!("attribute `{key}`: {error}"))?;
        attributes.push((key.to_owned(), value.into_owned()));
    }
    Ok(Element {
        name: start.local_name().into_inner().to_owned(),
        dmn,
        line,
        text_line: line,
        attributes,
        ..Element::default()
    })
}

/// Turns growing byte positions into lines, without starting over.
struct Lines<'x> {
    xml: &'x str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn line_at(&mut self, position: usize) -> usize {
        let position = position.min(self.xml.len());
        if position > self.at {
            self.line +=
                memchr::memchr_iter(b'\n', &self.xml.as_bytes()[self.at..position]).count();
            self.at = position;
        }
        self.line
    }
}
