//! Placeholder of the `case` module.
