//! The nouns that all rooms share. They know no other file.

pub mod cause; // why a run did not end well
pub mod clock; // moments, and PostgreSQL's clock
pub mod record; // cells, verdicts, rejections, the ledger
pub mod shard; // which records belong to which share of a sync
