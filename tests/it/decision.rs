//! Placeholder: tests of `decision`.
