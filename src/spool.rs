//! Placeholder of the `spool` module.
