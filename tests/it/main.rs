//! The one integration binary: every test here runs against real parts.
#![allow(
    clippy::needless_pass_by_value,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "tests read better so"
)]

mod alerts;
mod api;
mod auth;
mod checks;
mod citus;
mod commands;
mod config;
mod convention;
mod core_dumps;
mod crowd;
mod customers;
mod decision;
mod demo;
mod documented_commands;
mod documents;
mod examples;
mod faults;
mod history;
mod house;
mod incidents;
mod init;
mod logs;
mod manual;
mod memory;
mod memory_errors;
mod metrics;
mod outcomes;
mod packaging;
mod privacy;
mod progress;
mod report;
mod simulation;
mod size;
mod soak;
mod sources;
mod store;
mod support;
mod sync;
mod tables;
mod transform;
mod troubleshooting;
mod validate;
mod write_back;
