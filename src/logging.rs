//! The log on stderr: its form, its levels, and the last lines of it.
//!
//! Libraries that log what they send (the PostgreSQL and HTTP clients, TLS) are held at `warn` whatever is asked for, so
//! that no value and no credential reaches the log at any level. With `--quiet` lines are held back until the exit code
//! is known, and dropped when it is 0.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::cli::{Global, LogFormat};
use crate::report::clean;

/// Lines kept for `--quiet` and for whoever wants the last of them.
const KEPT: usize = 500;

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Chatty about values: never below `warn`.
const CLAMPED: [&str; 7] = [
    "tokio_postgres",
    "postgres",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "h2",
];

struct Logger {
    filter: env_logger::Logger,
    format: LogFormat,
    color: bool,
    quiet: bool,
    kept: Mutex<VecDeque<String>>,
    run_id: OnceLock<String>,
}

impl std::fmt::Debug for Logger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logger").finish_non_exhaustive()
    }
}

/// Starts the log. `RUST_LOG` wins over `-v`; the default shows warnings and errors.
pub fn start(global: &Global) {
    let level = match global.verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level).parse_env("RUST_LOG");
    let logger = Logger {
        filter: builder.build(),
        format: global.log_format,
        color: !global.no_color
            && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && io::stderr().is_terminal(),
        quiet: global.quiet,
        kept: Mutex::new(VecDeque::new()),
        run_id: OnceLock::new(),
    };
    let max = logger.filter.filter();
    let logger = LOGGER.get_or_init(|| logger);
    // A second start in one process (tests) keeps the first logger.
    if log::set_logger(logger).is_ok() {
        log::set_max_level(max);
    }
}

/// From now on JSON lines carry the run's id.
pub fn set_run_id(id: &str) {
    if let Some(logger) = LOGGER.get() {
        logger.run_id.get_or_init(|| id.to_owned());
    }
}

/// The last lines logged, oldest first.
pub fn last_lines(count: usize) -> Vec<String> {
    let Some(logger) = LOGGER.get() else {
        return Vec::new();
    };
    let kept = logger.kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.iter()
        .skip(kept.len().saturating_sub(count))
        .cloned()
        .collect()
}

/// Ends a quiet run: what was held back is printed when the run failed, and forgotten when it did not.
pub fn release(failed: bool) {
    if let Some(logger) = LOGGER.get().filter(|logger| logger.quiet && failed) {
        let kept = logger.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for line in kept.iter() {
            print(line);
        }
    }
}

/// A closed stderr must not change the outcome of a run.
fn print(line: &str) {
    io::stderr()
        .lock()
        .write_all(line.as_bytes())
        .unwrap_or_default();
}

impl Logger {
    fn line(&self, record: &Record<'_>) -> String {
        let message = clean(&record.args().to_string());
        let time = jiff::Timestamp::now();
        match self.format {
            LogFormat::Json => {
                let mut object = serde_json::Map::new();
                object.insert("time".into(), format!("{time:.3}").into());
                object.insert(
                    "level".into(),
                    record.level().as_str().to_lowercase().into(),
                );
                if let Some(run_id) = self.run_id.get() {
                    object.insert("run_id".into(), run_id.as_str().into());
                }
                object.insert("target".into(), record.target().into());
                object.insert("message".into(), message.into());
                serde_json::Value::Object(object).to_string() + "\n"
            }
            LogFormat::Text => {
                let level = record.level();
                let (on, off) = match level {
                    _ if !self.color => ("", ""),
                    Level::Error => ("\u{1b}[31m", "\u{1b}[0m"),
                    Level::Warn => ("\u{1b}[33m", "\u{1b}[0m"),
                    _ => ("\u{1b}[2m", "\u{1b}[0m"),
                };
                format!("{time:.3} {on}{level:<5}{off} {message}\n")
            }
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let root = metadata.target().split("::").next().unwrap_or_default();
        (metadata.level() <= Level::Warn || !CLAMPED.contains(&root))
            && self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || !self.filter.matches(record) {
            return;
        }
        let line = self.line(record);
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(line.clone());
        }
        if !self.quiet {
            print(&line);
        }
    }

    fn flush(&self) {}
}
