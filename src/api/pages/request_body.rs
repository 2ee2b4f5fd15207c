//! The body of a request for a page, where the endpoint has one, and the parameters of paging that go into it.
//!
//! Everywhere in this room a page is identified by its address. So parameters that go into the body are kept in the fragment
//! of the address, which is never sent.

use reqwest::Url;
use serde_json::{Map, Value};

use super::super::error::{ApiError, Kind};
use crate::config::path;
use crate::config::plan::Api;

/// What is sent with every page, before paging has changed it.
#[derive(Debug)]
pub(super) struct RequestBody {
    template: Option<Template>,
    /// Parameters of paging and of the watermark go into it.
    takes_params: bool,
    /// Parameters that are numbers, unless the body has a value of another type in their place.
    numbers: Vec<String>,
}

/// The configured body. It may hold a secret, so `Debug` does not show it.
struct Template(Value);

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl RequestBody {
    pub fn new(api: &Api) -> Result<Self, ApiError> {
        let template = match &api.body {
            None if api.fetch.method == "POST" => Some(Value::Object(Map::new())),
            None => None,
            Some(text) => Some(serde_json::from_str(text.expose()).map_err(|_| {
                ApiError::new(
                    Kind::Config,
                    "the body of the endpoint is no JSON",
                    "correct `body` in mappings.yaml",
                )
            })?),
        };
        Ok(Self {
            template: template.map(Template),
            takes_params: api.pagination.in_body,
            numbers: numbers(api),
        })
    }

    /// Is this a GraphQL request? Its answer may report errors in `errors` beside records.
    pub fn is_graphql(&self) -> bool {
        self.template
            .as_ref()
            .is_some_and(|template| template.0.get("query").is_some_and(Value::is_string))
    }

    /// Adds a parameter of paging to the address of a page.
    pub fn set(&self, url: &mut Url, name: &str, value: &str) {
        if !self.takes_params {
            url.query_pairs_mut().append_pair(name, value);
            return;
        }
        let mut pairs = parameters(url);
        pairs.retain(|(known, _)| known != name);
        pairs.push((name.to_owned(), value.to_owned()));
        // The query of a copy does the encoding of the pairs.
        let mut encoder = url.clone();
        encoder.query_pairs_mut().clear().extend_pairs(pairs);
        url.set_fragment(encoder.query());
    }

    /// The body for the page at this address.
    pub fn of(&self, url: &Url) -> Option<String> {
        let mut body = self.template.as_ref()?.0.clone();
        for (name, value) in parameters(url) {
            if let Some(path) = path::parse(&name) {
                put(&mut body, &path, &value, self.numbers.contains(&name));
            }
        }
        Some(body.to_string())
    }
}

/// The parameters that are numbers. Cursors are not among them: they are text even if they consist of digits.
fn numbers(api: &Api) -> Vec<String> {
    let paging = &api.pagination;
    let counted = [&paging.page_param, &paging.size_param, &paging.offset_param];
    let since = api
        .incremental
        .as_ref()
        .map(|incremental| &incremental.param);
    let counted = counted.into_iter().filter_map(|param| param.name());
    counted.map(str::to_owned).chain(since.cloned()).collect()
}

/// The parameters in the fragment of an address.
pub(in super::super) fn parameters(url: &Url) -> Vec<(String, String)> {
    let Some(fragment) = url.fragment() else {
        return Vec::new();
    };
    let mut decoder = url.clone();
    decoder.set_query(Some(fragment));
    decoder.query_pairs().into_owned().collect()
}

/// Puts a value at a path, in the type of the value that is there.
fn put(body: &mut Value, path: &[String], text: &str, is_counted: bool) {
    let mut at = body;
    for name in path {
        let is_index = at.is_array() && name.parse::<usize>().is_ok();
        at = if is_index {
            let index = name.parse().unwrap_or(usize::MAX);
            match at.get_mut(index) {
                Some(_) => &mut at[index],
                None => return,
            }
        } else {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            &mut at[name.as_str()]
        };
    }
    let number = text
        .parse::<u64>()
        .ok()
        .filter(|number| number.to_string() == text);
    *at = match (number, &at) {
        (Some(number), Value::Number(_)) => number.into(),
        (Some(number), Value::Null) if is_counted => number.into(),
        _ => text.into(),
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_put_where_paths_lead() {
        for (body, path, text, expected) in [
            (json!({}), "page", "2", json!({"page": 2})),
            (json!({"page": "1"}), "page", "2", json!({"page": "2"})),
            (
                json!({"v": {"a": 1}}),
                "v.after",
                "x9",
                json!({"v": {"a": 1, "after": "x9"}}),
            ),
            (
                json!({"v": null}),
                "v.after",
                "17",
                json!({"v": {"after": "17"}}),
            ),
            (
                json!({"f": [{"value": "0"}]}),
                "/f/0/value",
                "1764000000",
                json!({"f": [{"value": "1764000000"}]}),
            ),
            (json!({"f": []}), "/f/0/value", "1", json!({"f": []})),
        ] {
            let mut changed = body.clone();
            let is_counted = path == "page";
            put(
                &mut changed,
                &path::parse(path).unwrap_or_default(),
                text,
                is_counted,
            );
            assert_eq!(changed, expected, "{body} {path}");
        }
    }
}
