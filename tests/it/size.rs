//! The mission at any size: incremental runs, brakes and shards, with a source that moves while it is read.
#![allow(clippy::unwrap_used)]

mod incremental;
mod moving;
mod source;
mod watermark;
