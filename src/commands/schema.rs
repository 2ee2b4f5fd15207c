//! `datasync schema`: the JSON Schema of mappings.yaml.
//!
//! The schema is written by hand, for its descriptions. A test compares its keys with those that the reader knows.

use anyhow::Result;

use crate::exit::Exit;

const SCHEMA: &str = include_str!("../../docs/mappings.schema.json");

#[allow(clippy::unnecessary_wraps, reason = "every command has this signature")]
pub(super) fn run() -> Result<Exit> {
    super::print(SCHEMA);
    Ok(Exit::Success)
}
