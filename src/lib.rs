//! `datasync`: fetch → transform → decide → write, and an account of every record.
//!
//! The table of contents. Imports run downwards; the stages (`api`, `transform`, `decision`, `store`) never import each
//! other and meet only in `pipeline`.

pub mod commands; // what can be typed, and one file a subcommand

pub mod pipeline; // threads and channels: where the stages meet
pub mod run; // one run, from the first look at the database to its end

pub mod draft; // a first mapping, from the first page of a source

pub mod reporting; // what a run leaves behind: report, metrics, case, alert

pub mod api; // the source: client, retries, paging
pub mod decision; // DMN and FEEL: is the record fit?
pub mod spool; // batches that the database did not take, on disk
pub mod store; // PostgreSQL: connection, schema, all SQL
pub mod transform; // the mapping applied to a record: typed cells

pub mod config; // flags > environment > .env > mappings.yaml
pub mod exit; // exit codes, and which error has which
pub mod model; // the nouns: record, ledger, cause of a failure, shard
pub mod support; // small tools that know nothing of the above
