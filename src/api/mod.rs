//! The source: client, retry, paging, write-back.
//!
//! [`Pages`] is the run's sequence of pages, shared by all fetch threads; each thread brings its own [`Client`]. This room
//! cuts pages into records, and does not look into a record.

mod body;
mod check;
mod client;
mod control;
mod envelope;
mod error;
mod error_body;
mod first_page;
mod handshake;
mod input;
mod lines;
mod pace;
mod page_metadata;
mod pages;
mod quota;
mod record_array;
mod retry;
mod tls;
mod token;
mod vocabulary;
mod write_back;

pub use check::{Reader, check};
pub use client::Client;
pub(crate) use control::{out_of_time, stopped};
pub use error::{ApiError, Class};
pub use first_page::{FirstPage, first_page};
pub use input::split_records;
pub use pages::{End, FetchOptions, Page, Pages, Proof, Stats};
pub use write_back::{SendOutcome, Sender, Unsendable};
