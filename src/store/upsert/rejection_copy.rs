//! Adds new rejections by COPY, which takes about two thirds of the time of the statement that also replaces open ones.
//!
//! Owns when COPY will do, and the form of a row. A COPY that fails is an error of the batch; the writer then stores by the
//! statement (`mod.rs`).

use tokio_postgres::types::Type;

use super::super::batch::clean;
use super::super::connect::Connection;
use super::super::encode::{self, Micros};
use super::super::error::StoreError;
use super::Writer;
use super::explanations::{self, Payload};
use super::rejections::{Entry, Filing, PORTION, STORING, errors_json, rules_json};
use crate::model::record::Rejection;

/// A COPY costs a round trip more than a statement. It pays from this number of rejections on.
const LEAST_COPIED: usize = 50;

impl Writer {
    /// Are all of them rows that COPY can add: none replaces an open one, and none may have been settled by a later run?
    pub(super) fn can_copy(
        &self,
        conn: &mut Connection,
        filing: &Filing<'_>,
    ) -> Result<bool, StoreError> {
        let first_seen = filing
            .write
            .iter()
            .map(|entry| entry.rejection.requested_at);
        let Some(first_seen) = first_seen.min().map(Micros) else {
            return Ok(false);
        };
        if !self.copies_rejections || !filing.are_new || filing.write.len() < LEAST_COPIED {
            return Ok(false);
        }
        let settled_later = conn.query(
            "looking for rejections that were settled later",
            &self.statements.rejections.settled_later,
            &[(&first_seen, Type::TIMESTAMPTZ)],
        )?;
        Ok(settled_later.is_empty())
    }

    /// Adds new rejections by COPY, their explanations first.
    pub(super) fn copy_new(
        &self,
        conn: &mut Connection,
        entries: &[Entry<'_>],
        payload: Option<&Payload<'_>>,
        explained_by: &mut dyn FnMut(&Rejection, &mut explanations::New) -> Option<uuid::Uuid>,
    ) -> Result<(), StoreError> {
        let statements = &self.statements.rejections;
        let now = self.now();
        let mut ids = Vec::with_capacity(entries.len());
        for portion in entries.chunks(PORTION) {
            let mut new = explanations::New::default();
            ids.extend(
                portion
                    .iter()
                    .map(|entry| explained_by(entry.rejection, &mut new)),
            );
            if !new.is_empty() {
                conn.execute_together(STORING, &[(&statements.explanations, new.params(&now))])?;
            }
        }
        let rows = entries.iter().zip(&ids).map(|(entry, explained_by)| {
            let mut fields = Vec::new();
            entry
                .put(
                    &mut fields,
                    (&self.target, self.run_id),
                    payload,
                    *explained_by,
                )
                .map(|()| fields)
        });
        let mut too_long = false;
        // The COPY of a batch that is given up is rolled back.
        let rows = rows.map_while(|row| row.inspect_err(|()| too_long = true).ok());
        let pieces = encode::copy(COPIED_WIDTH, &[], rows);
        conn.copy(STORING, &statements.copy, pieces)?;
        if too_long {
            return Err(StoreError::bug("a rejection of more than 1 GiB"));
        }
        Ok(())
    }
}

/// Fields of a rejection in its COPY, in the order of the statement.
const COPIED_WIDTH: usize = 15;

impl Entry<'_> {
    /// Appends the fields of a row that COPY adds. Errs on what the protocol has no length for.
    fn put(
        &self,
        out: &mut Vec<u8>,
        (target, run_id): (&str, uuid::Uuid),
        payload: Option<&Payload<'_>>,
        explained_by: Option<uuid::Uuid>,
    ) -> Result<(), ()> {
        let rejection = self.rejection;
        let mut text = |text: &str| encode::put_bytes(out, text.as_bytes(), 0);
        text(target)?;
        text(&self.key)?;
        match rejection.record_id() {
            Some(id) => text(&clean(id))?,
            None => encode::put_null(out),
        }
        let mut text = |text: &str| encode::put_bytes(out, text.as_bytes(), 0);
        match payload {
            Some(payload) => text(&payload(rejection))?,
            None => text(&rejection.payload)?,
        }
        text(rejection.reason)?;
        text(&clean(&rejection.message))?;
        encode::put_jsonb(out, errors_json(&rejection.errors).as_bytes())?;
        encode::put_jsonb(out, rules_json(rejection).as_bytes())?;
        match explained_by {
            Some(id) => encode::put_fixed(out, id.as_bytes()),
            None => encode::put_null(out),
        }
        encode::put_bytes(out, &self.digest, 0)?;
        for _ in ["first_run", "last_run"] {
            encode::put_fixed(out, run_id.as_bytes());
        }
        for _ in ["first_seen", "last_seen"] {
            encode::put_time(out, Micros(rejection.requested_at));
        }
        encode::put_fixed(out, &self.times.to_be_bytes());
        Ok(())
    }
}
