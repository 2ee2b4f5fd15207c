//! How decisions came about: stored once for all records that were decided on the same values by the same rules.
//!
//! Owns which explanations are stored already, as far as this writer knows. What an explanation says is not its business.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::super::connect::Param;
use super::super::encode::Micros;
use crate::model::record::Rejection;
use crate::support::digest::Digest;

/// Works out how the decision on a record came about, by its JSON text.
pub(super) type Explain<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What is stored of a rejected record in place of its text.
pub(super) type Payload<'a> = dyn Fn(&Rejection) -> String + 'a;

/// What is stored of a rejection beside its reason.
#[derive(Clone, Copy)]
pub struct Texts<'a> {
    pub explain: &'a Explain<'a>,
    /// None: the record as it came.
    pub payload: Option<&'a Payload<'a>>,
}

impl std::fmt::Debug for Texts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Texts")
    }
}

/// So many are remembered, of 16 bytes each.
const REMEMBERED: usize = 10_000;
/// What is remembered is true for so long: what nobody has used for a day may be deleted.
const TRUE_FOR: Duration = Duration::from_hours(1);

/// The explanations that are known to be stored.
#[derive(Debug)]
pub(super) struct Explanations {
    stored: HashSet<Uuid>,
    since: Instant,
    /// Stored in the transaction that is open.
    uncommitted: HashSet<Uuid>,
}

/// Explanations that a statement stores.
#[derive(Debug, Default)]
pub(super) struct New {
    ids: Vec<Uuid>,
    texts: Vec<String>,
}

impl Default for Explanations {
    fn default() -> Self {
        Self {
            stored: HashSet::new(),
            since: Instant::now(),
            uncommitted: HashSet::new(),
        }
    }
}

impl Explanations {
    /// A transaction begins: whatever the last one did not commit is not stored.
    pub(super) fn begin(&mut self) {
        self.uncommitted.clear();
        if self.since.elapsed() > TRUE_FOR || self.stored.len() > REMEMBERED {
            self.stored.clear();
            self.since = Instant::now();
        }
    }

    pub(super) fn committed(&mut self) {
        self.stored.extend(self.uncommitted.drain());
    }

    /// The id of the explanation of a rejection, when there is one. `new` gains it if it has to be stored.
    pub(super) fn of(
        &mut self,
        rejection: &Rejection,
        config_hash: &str,
        explain: &Explain<'_>,
        new: &mut New,
    ) -> Option<Uuid> {
        let values = rejection.decided_on?;
        let digest = Digest::default()
            .with_part(config_hash.as_bytes())
            .with(&values);
        let id = Uuid::from_bytes(digest.short());
        if !self.stored.contains(&id) && !self.uncommitted.contains(&id) {
            new.texts.push(explain(&rejection.payload)?);
            new.ids.push(id);
            self.uncommitted.insert(id);
        }
        Some(id)
    }
}

impl New {
    pub(super) const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn params<'a>(&'a self, now: &'a Micros) -> Vec<Param<'a>> {
        vec![
            (&self.ids, Type::UUID_ARRAY),
            (&self.texts, Type::TEXT_ARRAY),
            (now, Type::TIMESTAMPTZ),
        ]
    }
}
