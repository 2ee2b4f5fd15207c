//! The mission at any size: incremental runs, brakes and shards, with a source that moves while it is read.
#![allow(clippy::unwrap_used)]

mod brakes;
mod incremental;
mod moving;
mod shards;
mod source;
mod watermark;
