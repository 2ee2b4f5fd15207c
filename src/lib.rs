//! `datasync`: fetch → transform → decide → write, and an account of every record.
//!
//! The table of contents. Imports run downwards; the stages (`api`, `transform`, `decision`, `store`) never import each
//! other and meet only in `pipeline`.

pub mod cli; // clap types only
pub mod commands; // one file a subcommand: composes, decides nothing

pub mod pipeline; // threads and channels: where the stages meet
pub mod run; // one run, from the first look at the database to the report
pub mod signals; // end in order, or at once

pub mod api; // the source: client, retry, paging
pub mod decision; // DMN and FEEL: is the record fit?
pub mod store; // PostgreSQL: connection, schema, upsert, log, lease
pub mod transform; // mapping applied to a record: typed cells

pub mod alert; // what the operations team hears of a case
pub mod case; // the incident and its five steps
pub mod cause; // why a run did not end well
pub mod incident; // what a run leaves behind: log row and case
pub mod logging; // what goes to stderr
pub mod metrics; // a run's figures for Prometheus
pub mod progress; // the bar on a terminal
pub mod report; // what a run prints
pub mod spool; // what the database did not take

pub mod atomic_file; // files replaced as a whole, or not at all
pub mod config; // flags > environment > .env > mappings.yaml
pub mod core_dumps; // switched off: memory holds secrets
pub mod digest; // SHA-256 as text
pub mod exit; // error → exit code
pub mod histogram; // durations in bounded memory
pub mod record; // the nouns
pub mod shard;
pub mod spelling; // the name that somebody probably meant // which records are whose
