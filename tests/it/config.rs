//! Placeholder: tests of `config`.
