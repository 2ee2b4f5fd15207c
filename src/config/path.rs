//! Paths into JSON: as mappings.yaml writes them, and the values they lead to.

use serde_json::Value;

/// `address.country`, or `/address/country` as a JSON Pointer (RFC 6901), which also reaches elements of lists and names
/// with dots. No part of a dotted path is empty.
pub fn parse(text: &str) -> Option<Vec<String>> {
    let Some(pointer) = text.strip_prefix('/') else {
        let segments: Vec<String> = text.split('.').map(str::to_owned).collect();
        return segments
            .iter()
            .all(|segment| !segment.trim().is_empty())
            .then_some(segments);
    };
    pointer.split('/').map(unescape).collect()
}

/// One part of a JSON Pointer: `~1` is a slash, `~0` a tilde, and no other tilde is allowed.
fn unescape(part: &str) -> Option<String> {
    let mut rest = part.split('~');
    let mut text = rest.next()?.to_owned();
    for escaped in rest {
        let (letter, rest) = match escaped.as_bytes().first()? {
            b'0' => ('~', &escaped[1..]),
            b'1' => ('/', &escaped[1..]),
            _ => return None,
        };
        text.push(letter);
        text.push_str(rest);
    }
    Some(text)
}

/// A path as mappings.yaml has it: names joined by dots, or a JSON Pointer where a name has a dot or a slash.
pub fn text(path: &[String]) -> String {
    if path
        .iter()
        .any(|name| name.is_empty() || name.contains(['.', '/']))
    {
        let parts: Vec<String> = path
            .iter()
            .map(|name| name.replace('~', "~0").replace('/', "~1"))
            .collect();
        format!("/{}", parts.join("/"))
    } else {
        path.join(".")
    }
}

/// The value at a path; a number reaches the element of a list.
pub fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| match value {
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        value => value.get(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_dotted_or_json_pointers() {
        for (text, path) in [
            ("a.b", Some(&["a", "b"][..])),
            ("/a/b", Some(&["a", "b"])),
            ("/emails/0/value", Some(&["emails", "0", "value"])),
            ("/@odata.nextLink", Some(&["@odata.nextLink"])),
            ("/a~1b/~0~01", Some(&["a/b", "~~1"])),
            ("/", Some(&[""])),
            ("/a~", None),
            ("/a~2", None),
            ("", None),
            (".", None),
            ("a.", None),
            (".a", None),
            ("a..b", None),
        ] {
            let parsed = parse(text);
            let parsed: Option<Vec<&str>> = parsed
                .as_ref()
                .map(|path| path.iter().map(String::as_str).collect());
            assert_eq!(parsed.as_deref(), path, "{text}");
        }
    }

    #[test]
    fn a_path_is_written_as_it_can_be_read() {
        for text in ["a.b", "/@odata.nextLink", "/a~1b/~0", "emails.0"] {
            let path = parse(text).unwrap_or_default();
            assert_eq!(super::text(&path), text);
        }
    }

    #[test]
    fn a_number_reaches_the_element_of_a_list() {
        let value = serde_json::json!({"a": [{"b": 1}], "0": 2});
        let at = |path: &str| at(&value, &parse(path).unwrap_or_default()).cloned();
        assert_eq!(at("/a/0/b"), Some(1.into()));
        assert_eq!(at("/0"), Some(2.into()));
        assert_eq!(at("/a/1"), None);
    }
}
