//! Placeholder: tests of `transform`.
