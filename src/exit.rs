//! Placeholder of the `exit` module.
