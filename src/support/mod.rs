//! Small tools for every room: files, signals, the log, digests, texts. They know nothing of records, runs or tables.

pub mod atomic_file; // files replaced as a whole, or not at all
pub mod bounded_read; // a file's content, but not too much and not for ever
pub mod core_dumps; // switched off, since memory holds secrets
pub mod detached; // work that can be left behind at a signal
pub mod digest; // SHA-256 as text
pub mod histogram; // durations in bounded memory
pub mod logging; // what goes to stderr
pub mod mention; // sentences that name a record
pub mod open_files; // the limit on open files
pub mod progress; // the bar on a terminal
pub mod proxy; // which proxy an address is reached through
pub mod signals; // being asked to stop: in order, or at once
pub mod spelling; // the name that somebody probably meant
pub mod terminal; // how wide it is, and whether colours are wanted
pub mod text; // numbers and names for people
pub mod tls; // one provider, and one judge of certificates
