//! Placeholder: tests of `store`.
