//! Placeholder of the `alert` module.
