//! What the tests stand on: a command builder, a scripted HTTP server, a private PostgreSQL cluster.
pub mod http;
pub mod postgres;
