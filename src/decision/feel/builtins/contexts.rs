//! Functions that make contexts.

use std::sync::Arc;

use super::{on_list, single};
use crate::decision::feel::value::Value;

type Entries = Vec<(Arc<str>, Value)>;

fn entries_of(value: &Value) -> Option<Entries> {
    match value {
        Value::Context(entries) => Some(entries.to_vec()),
        _ => None,
    }
}

/// Puts an entry in its place, or behind the others.
fn put(entries: &mut Entries, key: &Arc<str>, value: Value) {
    match entries.iter_mut().find(|(known, _)| known == key) {
        Some((_, old)) => *old = value,
        None => entries.push((Arc::clone(key), value)),
    }
}

/// `context([{key: "a", value: 1}])`; null when an entry has no key, or a key is there twice.
pub(super) fn context(arguments: &[Value]) -> Value {
    on_list(arguments, |items| {
        let mut entries = Entries::new();
        for item in items {
            let (Some(Value::Text(key)), Some(value)) = (item.entry("key"), item.entry("value"))
            else {
                return Value::Null;
            };
            if entries.iter().any(|(known, _)| known == key) {
                return Value::Null;
            }
            entries.push((Arc::clone(key), value.clone()));
        }
        Value::Context(Arc::from(entries))
    })
}

/// `context put(context, "a", 1)`, or a list of keys that leads into contexts within contexts.
pub(super) fn context_put(arguments: &[Value]) -> Value {
    let keys = match &arguments[1] {
        Value::List(keys) => keys.to_vec(),
        key => vec![key.clone()],
    };
    put_below(&arguments[0], &keys, &arguments[2]).unwrap_or_default()
}

fn put_below(context: &Value, keys: &[Value], value: &Value) -> Option<Value> {
    let mut entries = entries_of(context)?;
    let (Value::Text(key), rest) = keys.split_first()? else {
        return None;
    };
    let value = if rest.is_empty() {
        value.clone()
    } else {
        put_below(context.entry(key)?, rest, value)?
    };
    put(&mut entries, key, value);
    Some(Value::Context(Arc::from(entries)))
}

/// `context merge([a, b])`: what the later ones say wins.
pub(super) fn context_merge(arguments: &[Value]) -> Value {
    on_list(arguments, |items| {
        let mut merged = Entries::new();
        for item in items {
            let Some(entries) = entries_of(single(item)) else {
                return Value::Null;
            };
            for (key, value) in entries {
                put(&mut merged, &key, value);
            }
        }
        Value::Context(Arc::from(merged))
    })
}
