//! Placeholder of the `report` module.
