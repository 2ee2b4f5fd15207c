//! Placeholder: tests of `checks`.
