//! XML → a bounded tree of elements with their lines. Knows no DMN beyond its name spaces.
//!
//! A decision file is data from people and tools: no DOCTYPE, no entities but the five of XML, no depth or size that
//! could hurt.

use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
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
    let mut open: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    loop {
        let before = usize::try_from(reader.buffer_position()).unwrap_or(0);
        let line = lines.line_at(before);
        let fail = |message: &str| Err(Problems::one(file, line, message.to_owned()));
        let event = match reader.read_resolved_event() {
            Ok(event) => event,
            Err(error) => return fail(&format!("not well-formed XML: {error}")),
        };
        match event {
            (space, Event::Start(start)) => {
                if open.len() >= MAX_DEPTH {
                    return fail(&format!(
                        "elements are nested deeper than {MAX_DEPTH} levels"
                    ));
                }
                if open.is_empty() && root.is_some() {
                    return fail("a second root element: one <definitions> is expected");
                }
                let element = element(&space, &start, line).or_else(|message| fail(&message))?;
                open.push(element);
            }
            (space, Event::Empty(start)) => {
                if open.is_empty() && root.is_some() {
                    return fail("a second root element: one <definitions> is expected");
                }
                let element = element(&space, &start, line).or_else(|message| fail(&message))?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => root = Some(element),
                }
            }
            (_, Event::End(_)) => {
                if let Some(element) = open.pop() {
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => root = Some(element),
                    }
                }
            }
            (_, Event::Text(text)) => match open.last_mut() {
                Some(element) => push_text(element, &text.xml10_content(), line),
                None if text.trim().is_empty() => {}
                None => return fail("text outside the root element"),
            },
            (_, Event::CData(text)) => match open.last_mut() {
                Some(element) => push_text(element, &text.xml10_content(), line),
                None => return fail("text outside the root element"),
            },
            (_, Event::GeneralRef(reference)) => {
                let name: &str = &reference;
                let text = if reference.is_char_ref() {
                    match reference.resolve_char_ref() {
                        Ok(Some(c)) => c.to_string(),
                        _ => return fail(&format!("`&{name};` is no character")),
                    }
                } else {
                    match name {
                        "lt" => "<",
                        "gt" => ">",
                        "amp" => "&",
                        "apos" => "'",
                        "quot" => "\"",
                        _ => {
                            return fail(&format!(
                                "the entity `&{name};` is refused: only &lt; &gt; &amp; &apos; &quot; and character references are read"
                            ));
                        }
                    }
                    .to_owned()
                };
                match open.last_mut() {
                    Some(element) => push_text(element, &text, line),
                    None => return fail("text outside the root element"),
                }
            }
            (_, Event::DocType(_)) => {
                return fail("a DOCTYPE is refused: decision files need none");
            }
            (_, Event::Decl(_) | Event::PI(_) | Event::Comment(_)) => {}
            (_, Event::Eof) => break,
        }
    }
    if let Some(unclosed) = open.last() {
        return Err(Problems::one(
            file,
            unclosed.line,
            format!("<{}> is never closed: the file is cut short", unclosed.name),
        ));
    }
    root.ok_or_else(|| Problems::one(file, 0, "there is no XML in it: a DMN file is expected"))
}

fn push_text(element: &mut Element, text: &str, line: usize) {
    if element.text.is_empty() {
        element.text_line = line;
    }
    element.text.push_str(text);
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
