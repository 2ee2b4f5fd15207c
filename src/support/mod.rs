//! Small tools for all rooms: files, signals, the log, digests, texts. They know nothing of records, runs or tables.

pub mod atomic_file; // files replaced as a whole, or not at all
pub mod bounded_read; // a file's content, within bounds of size and time
pub mod core_dumps; // switched off, since memory holds secrets
pub mod detached; // work that can be abandoned at a signal
pub mod digest; // SHA-256
pub mod histogram; // durations in bounded memory
pub mod logging; // the log on stderr
pub mod mention; // sentences that mention a record's id
pub mod open_files; // the limit on open files
pub mod progress; // the progress bar on a terminal
pub mod proxy; // which proxy an address is reached through
pub mod signals; // signals that ask the run to stop, in order or at once
pub mod spelling; // suggestions for a misspelled name
pub mod terminal; // the width of the terminal, and whether colours are wanted
pub mod text; // numbers and names for people
pub mod tls; // one provider, and one decision which certificates are accepted
