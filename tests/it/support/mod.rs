//! What the tests stand on: a command builder, a scripted HTTP server, a private PostgreSQL cluster.
#![allow(clippy::expect_used, clippy::unwrap_used, dead_code)]

pub mod bouncer;
pub mod command;
pub mod http;
pub mod postgres;
pub mod promtool;
pub mod proxy;
pub mod server;

pub use command::Workplace;

pub use http::TOKEN;
