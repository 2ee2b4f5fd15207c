//! Decides records from a file, the API or the database, and collects the verdicts that `validate` shows.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::api;
use crate::commands::cli::ValidateArgs;
use crate::config::plan::{KeyChoice, Mapping, Origin, Plan};
use crate::decision::{Decision, Impact, Scratch};
use crate::exit::Misconfigured;
use crate::model::record::Validation;
use crate::pipeline::{Decided, Rules, decide};
use crate::store::{self, Connection};
use crate::support::bounded_read;
use crate::support::text::{clean, counted, padded};
use crate::transform::{Mapped, Transform};

/// How many stored rejections are read at a time.
const AT_ONCE: u64 = 5_000;

/// The verdicts on all records.
#[derive(Debug, Default)]
pub(super) struct DecidedRecords {
    pub(super) total: u64,
    pub(super) valid: u64,
    pub(super) warning: u64,
    pub(super) invalid: u64,
    /// All verdicts, except those on stored records that are valid.
    pub(super) verdicts: Vec<RecordVerdict>,
    pub(super) impact: Option<Impact>,
}

/// The verdict on one record, ready to be shown.
#[derive(Debug)]
pub(super) struct RecordVerdict {
    /// The record's id, or its number in the input if it has none.
    pub(super) id: String,
    validation: Validation,
    action: &'static str,
    rules: Vec<String>,
    errors: Vec<Value>,
    message: Option<String>,
    explained: Option<(Value, String)>,
}

impl RecordVerdict {
    /// The verdict as an element of `verdicts`.
    pub(super) fn json(&self) -> Value {
        let mut object = json!({
            "id": self.id, "validationResult": self.validation.as_str(), "action": self.action,
            "rules": self.rules, "errors": self.errors, "message": self.message,
        });
        if let (Some((explanation, _)), Some(object)) = (&self.explained, object.as_object_mut()) {
            object.insert("explanation".into(), explanation.clone());
        }
        object
    }

    /// True for a verdict other than VALID, which the text always lists.
    pub(super) fn is_worth_a_line(&self) -> bool {
        self.validation != Validation::Valid
    }

    /// True for INVALID.
    pub(super) fn is_invalid(&self) -> bool {
        self.validation == Validation::Invalid
    }

    /// The verdict as text, on one or more lines.
    pub(super) fn text(&self) -> String {
        let message = self.message.as_deref().unwrap_or_default();
        let (validation, id) = (self.validation.as_str(), clean(&self.id));
        let mut text = format!(
            "{validation:<8} {:<8} {} {}\n",
            self.action,
            padded(&id, 24),
            clean(message)
        );
        if let Some((_, explanation)) = &self.explained {
            for line in explanation.lines() {
                text += &format!("    {}\n", clean(line));
            }
        }
        text
    }
}

/// Decides records one by one.
pub(super) struct Decider<'a> {
    plan: &'a Plan,
    rules: Rules<'a>,
    old: Option<&'a Decision>,
    args: &'a ValidateArgs,
    scratch: (Scratch, Scratch),
    decided: DecidedRecords,
    left: u64,
}

impl<'a> Decider<'a> {
    /// Prepares to decide by the rules of the plan, and to compare with `old`.
    pub(super) fn new(
        plan: &'a Plan,
        rules: Rules<'a>,
        old: Option<&'a Decision>,
        args: &'a ValidateArgs,
    ) -> Self {
        Self {
            plan,
            rules,
            old,
            args,
            scratch: Default::default(),
            decided: DecidedRecords {
                impact: old.map(|_| Impact::default()),
                ..DecidedRecords::default()
            },
            left: args.limit.unwrap_or(u64::MAX),
        }
    }

    /// Decides the records that the command line names. Returns the verdicts, and the error if one ended it early.
    ///
    /// # Errors
    /// The records cannot be read, or none has the id that should be explained.
    pub(super) fn all(mut self) -> (DecidedRecords, Result<()>) {
        let ended = self.each();
        self.decided.impact = self.decided.impact.map(Impact::finish);
        (self.decided, ended)
    }

    fn each(&mut self) -> Result<()> {
        if let Some(path) = &self.args.input {
            let text = read(path)?;
            let ranges = api::split_records(&text, self.plan.records.as_deref())
                .map_err(|error| Misconfigured(format!("{}: {error:#}", path.display())))?;
            for range in ranges {
                self.one(
                    self.rules.transform,
                    &text[range.start as usize..range.end as usize],
                    true,
                );
            }
        }
        if self.args.fetch {
            self.fetched()?;
        }
        if self.args.stored {
            self.stored()?;
        }
        if let Some(id) = &self.args.explain
            && !self
                .decided
                .verdicts
                .iter()
                .any(|verdict| verdict.id == *id)
        {
            let total = self.decided.total;
            return Err(Misconfigured(format!(
                "--explain {id}: none of {} has this id",
                counted(total, "record", "records")
            ))
            .into());
        }
        Ok(())
    }

    fn fetched(&mut self) -> Result<()> {
        let api = self.plan.api()?;
        let want = api::FetchOptions {
            limit: self.args.limit,
            ..api::FetchOptions::default()
        };
        let pages = api::Pages::new(api, want)?;
        let client = api::Client::new(api)?;
        while let Some(page) = pages.next(&client) {
            for raw in page?.iter() {
                self.one(self.rules.transform, raw, true);
            }
        }
        if let api::End::Guessed(why) = pages.stats().end {
            log::warn!("{why}");
        }
        Ok(())
    }

    /// Decides stored customers and open rejections. Customers have internal names, and values in PostgreSQL's spelling.
    fn stored(&mut self) -> Result<()> {
        let database = self.plan.database()?;
        let mut connection = Connection::open(database, database.connection_timeout)?;
        let mapping = store::settled(&mut connection, database, &self.plan.mapping)?;
        if mapping.key_choice != KeyChoice::Settled {
            let why = "the conflict key is not known: `datasync check-db` says what to write";
            return Err(Misconfigured(why.to_owned()).into());
        }
        let stored = mapping;
        let mapping = as_stored(&stored);
        let transform = Transform::new(&mapping)?;
        let unkept: Vec<&str> = mapping
            .fields
            .iter()
            .filter(|field| field.column.is_none())
            .map(|field| field.name.as_str())
            .collect();
        if !unkept.is_empty() {
            log::warn!(
                "customers are judged without what has no column: {}; rules that read it see null",
                unkept.join(", ")
            );
        }
        store::customers::each(&mut connection, database, &stored, |raw| {
            self.one(&transform, raw, false);
            if self.left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        let mut after = String::new();
        while self.left > 0 {
            let rows = store::rejections::open(&mut connection, database, &after, AT_ONCE)?;
            let Some(last) = rows.last() else {
                break;
            };
            after.clone_from(&last.key);
            for rejection in &rows {
                self.one(self.rules.transform, &rejection.payload, false);
            }
        }
        Ok(())
    }

    /// Decides one record. With `all`, its verdict is kept even if it is valid.
    fn one(&mut self, transform: &Transform, raw: &str, all: bool) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let rules = Rules {
            transform,
            ..self.rules
        };
        let mut mapped = Mapped::new();
        transform.apply(raw, &mut mapped);
        self.decided.total += 1;
        let number = self.decided.total;
        let id = mapped
            .id
            .as_deref()
            .map_or_else(|| format!("record {number}"), str::to_owned);
        let explained = (self.args.explain.as_deref() == Some(id.as_str())
            && mapped.is_well_formed())
        .then(|| {
            let explanation = rules.explain(&mapped);
            (
                serde_json::to_value(&explanation).unwrap_or_default(),
                explanation.to_string(),
            )
        });
        if let (Some(old), Some(impact)) = (self.old, &mut self.decided.impact)
            && mapped.is_well_formed()
        {
            let before = old.decide(&mapped.variables, &mut self.scratch.0);
            let after = rules
                .decision
                .decide(&mapped.variables, &mut self.scratch.1);
            impact.add(&id, &before, &after);
        }
        let shown = shown(
            id,
            decide(rules, &mut mapped, &mut self.scratch.0),
            explained,
        );
        match shown.validation {
            Validation::Valid => self.decided.valid += 1,
            Validation::Warning => self.decided.warning += 1,
            Validation::Invalid => self.decided.invalid += 1,
        }
        if all || shown.is_worth_a_line() || shown.explained.is_some() {
            self.decided.verdicts.push(shown);
        }
    }
}

fn shown(id: String, decided: Decided<'_>, explained: Option<(Value, String)>) -> RecordVerdict {
    match decided {
        Decided::Accepted(verdict) => RecordVerdict {
            id,
            validation: verdict.validation,
            action: verdict.action.as_str(),
            rules: verdict
                .rules
                .as_slice()
                .iter()
                .map(|&rule| rule.to_owned())
                .collect(),
            errors: Vec::new(),
            message: Some(verdict.reason.to_string()).filter(|reason| !reason.is_empty()),
            explained,
        },
        Decided::Refused(refusal) => RecordVerdict {
            id,
            validation: Validation::Invalid,
            action: "REJECT",
            rules: refusal.rules,
            errors: refusal
                .errors
                .iter()
                .map(|e| json!({ "field": e.field, "expected": e.expected, "problem": e.problem }))
                .collect(),
            message: Some(refusal.message),
            explained,
        },
    }
}

/// The mapping for reading stored rows: internal names, PostgreSQL's spelling, none of the requirements on the source.
fn as_stored(mapping: &Mapping) -> Mapping {
    let mut mapping = mapping.clone();
    for field in &mut mapping.fields {
        field.source = vec![field.name.clone()];
        field.origin = Origin::Path;
        field.format = None;
        field.timezone = None;
        field.default = None;
        field.required &= field.column.is_some();
    }
    mapping
}

/// Largest input of records, in bytes. It is read into memory as a whole.
const LARGEST_INPUT: u64 = 512 << 20;

fn read(path: &Path) -> Result<String> {
    let (read, from) = if path == Path::new("-") {
        let stdin = bounded_read::take(std::io::stdin(), LARGEST_INPUT);
        (stdin, "stdin".to_owned())
    } else {
        let file = bounded_read::read(path, LARGEST_INPUT);
        (file, path.display().to_string())
    };
    let wrong = |why: &str| Misconfigured(format!("cannot read records from {from}: {why}"));
    let bytes = read
        .map_err(|error| wrong(&error.to_string()))?
        .ok_or_else(|| wrong("they are more than 512 MiB; judge a part of them at a time"))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("they are not valid UTF-8"))?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}
