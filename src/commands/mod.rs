//! Placeholder of the `commands` module.
