//! Drafts a first mapping for a new source from its first page: the fields with their types, the key, and the paging.
//!
//! The type of a field is found with the readers of the mapping itself: each type is tried on all records of the page. A
//! draft holds names and counts, never a value of a record. This code fetches no page and writes no file.

mod leaves;
mod names;
mod source;
mod text;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use crate::config::plan::Mapping;
use crate::config::{self, Needs, Sources};
use crate::transform::{Mapped, Transform};

use leaves::Leaf;
pub use source::{Credentials, Source};

/// The most fields that a draft maps. Further ones are only listed.
const MOST_FIELDS: usize = 100;

/// A drafted mapping.
#[derive(Debug)]
pub struct Draft {
    /// The text of mappings.yaml.
    pub text: String,
    /// How many fields are mapped.
    pub fields: usize,
    /// The path of the key at the source; none where no field could be the key.
    pub key: Option<String>,
    /// How many records the draft was made from.
    pub records: usize,
    /// How many of them the draft maps without an error.
    pub fit: usize,
}

/// What the first page has shown of how the source pages.
#[derive(Debug, Default)]
pub struct Paging {
    /// The path of the records; none where they are found without one.
    pub records_at: Option<String>,
    /// Lines for `pagination` in mappings.yaml.
    pub lines: Vec<String>,
    /// What will prove the end of the source, or why nothing will.
    pub expected_proof: String,
}

/// The mapping for fetching the first page. It has no field yet.
pub fn for_first_page(source: &Source) -> String {
    text::whole(source, &Paging::default(), &[], None)
}

/// Drafts a mapping from records of the first page, each as JSON text.
///
/// # Errors
/// The draft cannot be read as a mapping, which is a bug.
pub fn draft(source: &Source, paging: &Paging, records: &[&str]) -> Result<Draft> {
    let mut fields = leaves::of(records);
    let left_out: Vec<String> = fields
        .drain(fields.len().min(MOST_FIELDS)..)
        .map(|leaf| leaf.path)
        .collect();
    let types = types(source, &fields, records)?;
    let fields = names::of(fields, types, records.len());
    let text = text::whole(source, paging, &fields, Some(&left_out));
    let key = fields.iter().find(|field| field.is_key());
    let fit = match key {
        Some(_) => fitting(&text, records)?,
        None => 0,
    };
    Ok(Draft {
        key: key.map(|field| field.leaf.path.clone()),
        fields: fields.len(),
        records: records.len(),
        fit,
        text,
    })
}

/// The type of each field: the first of its candidates that fits all its values, or text.
fn types(source: &Source, fields: &[Leaf], records: &[&str]) -> Result<Vec<&'static str>> {
    let mut found: Vec<Option<&'static str>> = vec![None; fields.len()];
    for kind in leaves::TYPES {
        let tried: Vec<usize> = (0..fields.len())
            .filter(|index| found[*index].is_none() && fields[*index].may_be(kind))
            .collect();
        if tried.is_empty() {
            continue;
        }
        let trial: Vec<&Leaf> = tried.iter().map(|index| &fields[*index]).collect();
        let refused = refused(&text::trial(source, &trial, kind), records)?;
        for index in tried {
            if !refused.contains(&fields[index].in_errors) {
                found[index] = Some(kind);
            }
        }
    }
    Ok(found
        .into_iter()
        .map(|kind| kind.unwrap_or(leaves::TEXT))
        .collect())
}

/// The fields of a mapping that do not fit every value in these records, as errors name them.
fn refused(text: &str, records: &[&str]) -> Result<BTreeSet<String>> {
    let mapping = mapping(text)?;
    let transform = Transform::new(&mapping)?;
    let mut mapped = Mapped::default();
    let mut refused = BTreeSet::new();
    for record in records {
        transform.apply(record, &mut mapped);
        refused.extend(
            mapped
                .errors
                .drain(..)
                .map(|error| error.field.into_owned()),
        );
    }
    Ok(refused)
}

/// How many records the mapping takes without an error and with all required fields.
fn fitting(text: &str, records: &[&str]) -> Result<usize> {
    let mapping = mapping(text)?;
    let transform = Transform::new(&mapping)?;
    let mut mapped = Mapped::default();
    let mut fitting = 0;
    for record in records {
        transform.apply(record, &mut mapped);
        fitting += usize::from(mapped.errors.is_empty() && mapped.missing.is_empty());
    }
    Ok(fitting)
}

fn mapping(text: &str) -> Result<Mapping> {
    let sources = Sources {
        mappings_text: Some(text.to_owned()),
        // Required by the configuration; a draft stores nothing there.
        state_dir: Some(".".into()),
        ..Sources::default()
    };
    let plan = config::load_with(&sources, Needs::default(), [])
        .context("the draft cannot be read back: this is a bug")?;
    Ok(plan.mapping)
}
