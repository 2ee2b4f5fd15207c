//! `datasync schema`: the JSON Schema of mappings.yaml.
//!
//! It is written by hand, for its descriptions; a test compares its keys with those the reader of the file knows.

use anyhow::Result;

use crate::exit::Exit;

const SCHEMA: &str = include_str!("../../docs/mappings.schema.json");

#[allow(clippy::unnecessary_wraps, reason = "every command has this signature")]
pub(super) fn run() -> Result<Exit> {
    super::print(SCHEMA);
    Ok(Exit::Success)
}
