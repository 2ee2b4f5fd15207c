//! Placeholder: tests of `api`.
