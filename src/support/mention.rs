//! Finds and removes the id of a record in sentences of the program. This file does not know where the sentences are kept.

use serde_json::Value;

/// The text that replaces the id.
const REMOVED: &str = "[removed]";
/// Texts before and after an id in sentences of the program. An id can be as short as `1`, and `1 record` must stay whole.
const BEFORE: [&str; 5] = ["record ", "records ", ": ", ", ", "`"];
const AFTER: [&str; 8] = [" (", ",", ";", ":", " and ", " rejected", "`", "\n"];
/// The keys of lists of ids in a case's document.
const LISTS: [&str; 2] = ["samples", "records"];

/// The text without the id; none where it does not mention the id.
pub fn without(text: &str, id: &str) -> Option<String> {
    if id.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    for (at, _) in text.match_indices(id) {
        let (before, after) = (&text[..at], &text[at + id.len()..]);
        let begins = before.is_empty() || BEFORE.iter().any(|word| before.ends_with(word));
        let ends = after.is_empty() || AFTER.iter().any(|word| after.starts_with(word));
        if at >= rest && begins && ends {
            out.push_str(&text[rest..at]);
            out.push_str(REMOVED);
            rest = at + id.len();
        }
    }
    if rest == 0 {
        return None;
    }
    out.push_str(&text[rest..]);
    Some(out)
}

/// Removes the id from every text of a JSON document, and from its lists of ids. Returns true if something was changed.
pub fn remove_from(document: &mut Value, id: &str) -> bool {
    match document {
        Value::String(text) => match without(text, id) {
            Some(shorter) => {
                *text = shorter;
                true
            }
            None => false,
        },
        Value::Array(list) => {
            let mut changed = false;
            for value in list {
                changed |= remove_from(value, id);
            }
            changed
        }
        Value::Object(members) => {
            let mut changed = false;
            for (name, value) in members.iter_mut() {
                if let (true, Value::Array(list)) = (LISTS.contains(&name.as_str()), &mut *value) {
                    let before = list.len();
                    list.retain(|entry| !entry.as_str().is_some_and(|text| is_entry(text, id)));
                    changed |= list.len() < before;
                }
                changed |= remove_from(value, id);
            }
            changed
        }
        _ => false,
    }
}

/// True if an entry of a list is this id: `C-1`, or `C-1 (why)`.
fn is_entry(text: &str, id: &str) -> bool {
    text.strip_prefix(id)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_is_removed_where_it_is_one_and_only_there() {
        for (text, id, expected) in [
            (
                "record C-1: the API answered 422",
                "C-1",
                Some("record [removed]: the API answered 422"),
            ),
            (
                "gone: C-1, C-12 and 3 more",
                "C-1",
                Some("gone: [removed], C-12 and 3 more"),
            ),
            (
                "changed: C-1 (email), C-2",
                "C-2",
                Some("changed: C-1 (email), [removed]"),
            ),
            (
                "1 record had changed: 1 (email)",
                "1",
                Some("1 record had changed: [removed] (email)"),
            ),
            ("page 1: 1 record", "1", None),
            ("C-1", "C-1", Some("[removed]")),
            ("AC-1", "C-1", None),
            ("anything", "", None),
        ] {
            assert_eq!(without(text, id).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_document_loses_the_id_in_lists_and_in_sentences() {
        let mut document = json!({
            "cause": "gone: C-1, C-2", "count": 2, "evidence": {"samples": ["C-1", "C-12"], "errors": ["record C-1: no"]},
            "records": ["C-1 (no version to match)", "C-2 (no version to match)"],
        });
        assert!(remove_from(&mut document, "C-1"));
        assert_eq!(
            document,
            json!({
                "cause": "gone: [removed], C-2", "count": 2,
                "evidence": {"samples": ["C-12"], "errors": ["record [removed]: no"]},
                "records": ["C-2 (no version to match)"],
            })
        );
        assert!(!remove_from(&mut document, "C-1"));
    }
}
