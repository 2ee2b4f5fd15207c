//! A first mapping for a source that nobody has described yet, drafted from its first page: the fields with their types,
//! the key, and how the source pages.
//!
//! What a value is taken for is found by the mapping's own readers: each type is tried on all records of the page. A draft
//! holds names and counts, never a value of a record. It reads no page itself, and writes no file.

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

/// Fields that a draft has, at most; the others are listed.
const MOST_FIELDS: usize = 100;

/// A drafted mapping.
#[derive(Debug)]
pub struct Draft {
    /// mappings.yaml.
    pub text: String,
    /// Fields that are mapped.
    pub fields: usize,
    /// Where the source has the key; none where no field could be it.
    pub key: Option<String>,
    /// Records that the draft was made from.
    pub records: usize,
    /// Those of them that it maps without a mistake.
    pub fit: usize,
}

/// What the source has shown of its pages.
#[derive(Debug, Default)]
pub struct Paging {
    /// Where the records are; none where they are found without it.
    pub records_at: Option<String>,
    /// Lines below `pagination`, as they were found out.
    pub lines: Vec<String>,
    /// What will prove the end, or why nothing does.
    pub outlook: String,
}

/// The mapping with which the first page is asked for: it has no field yet.
pub fn for_first_page(source: &Source) -> String {
    text::whole(source, &Paging::default(), &[], None)
}

/// Drafts a mapping from records of the first page, each as JSON text.
///
/// # Errors
/// The draft cannot be read back, which is a bug.
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

/// The type of each field: the first of its candidates that takes every value of it, else text.
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

/// Fields of a mapping, as mistakes name them, that do not take every value in these records.
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

/// The records that the mapping takes without a mistake and with all that it requires.
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
        // Nothing is stored there.
        state_dir: Some(".".into()),
        ..Sources::default()
    };
    let plan = config::load_with(&sources, Needs::default(), [])
        .context("the draft cannot be read back: this is a bug")?;
    Ok(plan.mapping)
}
