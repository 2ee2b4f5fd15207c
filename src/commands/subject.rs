//! The record that `show` and `forget` are about: its keys, and the places on disk where it may be.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::commands::cli::Global;
use crate::config::Needs;
use crate::config::plan::{KeyChoice, Mapping, Plan};
use crate::exit::Misconfigured;
use crate::reporting::case::LocalCaseStore;
use crate::reporting::local_log;
use crate::spool;
use crate::store::{self, Connection, StoreError, held};
use crate::support::{atomic_file, mention};
use crate::transform::Identity;

/// A record, with everything needed to find it.
pub(super) struct Subject<'a> {
    pub(super) plan: Plan,
    pub(super) id: &'a str,
    pub(super) mapping: Mapping,
    /// The connection, or why the database cannot be reached.
    pub(super) database: std::result::Result<Connection, StoreError>,
    identity: Identity,
    /// The key under which the table stores a record with this id.
    key: Option<String>,
}

impl<'a> Subject<'a> {
    /// Reads the configuration, and opens a connection where there is a database.
    pub(super) fn open(global: &Global, id: &'a str) -> Result<Self> {
        let plan = super::load(global, Needs::DATABASE)?;
        if id.is_empty() {
            return Err(Misconfigured("expected the id of a record".to_owned()).into());
        }
        let database = plan.database()?;
        let mut mapping = plan.mapping.clone();
        let opened = Connection::open(database, database.connection_timeout);
        let opened = opened.and_then(|mut connection| {
            mapping = store::settled(&mut connection, database, &plan.mapping)?.into_owned();
            Ok(connection)
        });
        if mapping.key_choice == KeyChoice::Open {
            let why = "which field is the key is not known: write `conflict_key` below mappings.database.tables.customers; `datasync check-db` says what to write";
            return Err(Misconfigured(why.to_owned()).into());
        }
        let identity = Identity::new(&mapping)?;
        Ok(Self {
            key: identity.key_of(id),
            identity,
            mapping,
            database: opened,
            plan,
            id,
        })
    }

    /// The name of the table, for messages.
    pub(super) fn target(&self) -> Result<String> {
        Ok(store::log::target(self.plan.database()?))
    }

    /// Calls a function with the record's names in the tables.
    pub(super) fn wanted<T>(&self, use_it: impl FnOnce(&held::RecordId<'_>) -> T) -> T {
        use_it(&held::RecordId {
            id: self.id,
            key: self.key.as_deref(),
            is_it: &|raw| self.is_it(raw),
            without: &|text| self.without(text),
        })
    }

    /// True if this text in a file of the spool is the record.
    pub(super) fn is_it(&self, raw: &str) -> bool {
        let is = |id: &str| self.identity.is(raw, id);
        is(self.id) || self.key.as_deref().is_some_and(is)
    }

    /// True if damaged bytes mention the id as JSON spells it, as a text or as a number.
    pub(super) fn is_mentioned(&self, bytes: &[u8]) -> bool {
        let quoted = Value::from(self.id).to_string();
        let is_number = self.id.bytes().all(|byte| byte.is_ascii_digit());
        let has = |wanted: &str| memchr::memmem::find(bytes, wanted.as_bytes()).is_some();
        has(&quoted) || is_number && has_number(bytes, self.id)
    }

    /// What the files of spool and quarantine hold of the record.
    pub(super) fn in_files(&self) -> Result<spool::SpooledCopies> {
        let found = spool::find(
            &self.plan.state_dir,
            spool::RecordMatcher {
                is_it: &|raw| self.is_it(raw),
                is_mentioned: &|bytes| self.is_mentioned(bytes),
            },
        )?;
        Ok(found)
    }

    /// Cases and log rows in the state directory that mention the record: each path, and the content without the record.
    pub(super) fn in_documents(&self) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let state_dir = &self.plan.state_dir;
        let mut documents: Vec<(PathBuf, Value)> = Vec::new();
        for (path, row) in local_log::waiting(state_dir)? {
            documents.push((path, serde_json::to_value(row)?));
        }
        for case in LocalCaseStore::new(state_dir).all()? {
            let path = state_dir.join("cases").join(format!("{}.json", case.id));
            documents.push((path, serde_json::to_value(case)?));
        }
        let mut mentioning = Vec::new();
        for (path, mut document) in documents {
            if mention::remove_from(&mut document, self.id) {
                mentioning.push((path, serde_json::to_vec(&document)?));
            }
        }
        Ok(mentioning)
    }

    /// Replaces documents that mention the record by versions without it.
    pub(super) fn replace_documents(documents: &[(PathBuf, Vec<u8>)]) -> Result<()> {
        for (path, content) in documents {
            let folder = path.parent().unwrap_or(Path::new("."));
            atomic_file::keep(folder, path, content)
                .with_context(|| format!("cannot rewrite {}", path.display()))?;
        }
        Ok(())
    }

    /// A text or a JSON document without the record; none where it does not mention the record.
    pub(super) fn without(&self, text: &str) -> Option<String> {
        match serde_json::from_str::<Value>(text) {
            Ok(mut document) if document.is_object() => {
                mention::remove_from(&mut document, self.id).then(|| document.to_string())
            }
            _ => mention::without(text, self.id),
        }
    }
}

/// True if the number stands in these bytes and is not a part of a longer one.
fn has_number(bytes: &[u8], number: &str) -> bool {
    memchr::memmem::find_iter(bytes, number.as_bytes()).any(|at| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let after = bytes.get(at + number.len());
        let is_end = |byte: &u8| matches!(byte, b' ' | b':' | b',' | b'}' | b']' | b'[' | b'\n');
        before.is_none_or(is_end) && after.is_none_or(is_end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_not_found_within_a_longer_one() {
        assert!(has_number(br#"{"id":42,"#, "42"));
        assert!(has_number(br#"{"id": 42}"#, "42"));
        assert!(!has_number(br#"{"id":142}"#, "42"));
        assert!(!has_number(br#"{"id":420}"#, "42"));
        assert!(!has_number(br#"{"id":"42"}"#, "42"));
    }
}
