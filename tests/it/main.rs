//! The one integration binary: every test here runs against real parts.
mod api;
mod checks;
mod config;
mod customers;
mod decision;
mod incidents;
mod store;
mod support;
mod sync;
mod transform;
