//! Placeholder of the `decision` module.
