//! What `check-db` reports.
