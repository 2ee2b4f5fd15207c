//! Placeholder of the `progress` module.
