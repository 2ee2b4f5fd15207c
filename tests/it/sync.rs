//! Placeholder: tests of `sync`.
