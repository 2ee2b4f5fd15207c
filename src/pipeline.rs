//! Placeholder of the `pipeline` module.
