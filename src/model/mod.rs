//! The types that all rooms share. They depend on no other room.

pub mod cause; // the causes for which a run does not succeed
pub mod clock; // moments, and PostgreSQL's clock
pub mod record; // cells, verdicts, rejections, the ledger
pub mod shard; // which records belong to which part of the source
