//! Placeholder of the `transform` module.
