//! The log on stderr: its format, its levels, and its last lines. docs/logs.md describes it for users.
//!
//! Libraries that log what they send (the PostgreSQL and HTTP clients, TLS) are held at `warn` whatever is asked for, so
//! that no value and no credential reaches the log at any level. With `--quiet` lines are held back until the exit code
//! is known, and dropped when it is 0.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, OnceLock, PoisonError};

use clap::ValueEnum;
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::support::text::clean;
use crate::support::{progress, terminal};

/// How many lines are kept: for `--quiet`, and for the case and the ping, which show the last ones.
const KEPT: usize = 500;

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Libraries that log values at lower levels: their level is held at `warn`.
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

/// A line of `--log-format json`. The fields are written in this order.
#[derive(serde::Serialize)]
struct JsonLine<'a> {
    time: String,
    level: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a String>,
    target: &'a str,
    message: &'a str,
}

impl std::fmt::Debug for Logger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logger").finish_non_exhaustive()
    }
}

/// The format of the log on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The options of the command line that concern the log.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How often `-v` was given.
    pub verbose: u8,
    /// Hold back every line until the exit code is known.
    pub quiet: bool,
    pub no_color: bool,
    /// The format of its lines.
    pub format: LogFormat,
}

/// Starts the log. `RUST_LOG` overrides `-v`; the default shows warnings and errors.
pub fn start(options: &Options) {
    let level = match options.verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level).parse_env("RUST_LOG");
    let logger = Logger {
        filter: builder.build(),
        format: options.format,
        color: terminal::colors_wanted(options.no_color) && io::stderr().is_terminal(),
        quiet: options.quiet,
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

/// Adds the run's id to all further JSON lines.
pub fn set_run_id(id: &str) {
    if let Some(logger) = LOGGER.get() {
        logger.run_id.get_or_init(|| id.to_owned());
    }
}

/// True where no lines should be summed up, because a program reads this log or `-v` asks for every line.
pub fn wants_everything() -> bool {
    let json = LOGGER
        .get()
        .is_some_and(|logger| logger.format == LogFormat::Json);
    json || log::log_enabled!(target: "datasync::pipeline::rejected", Level::Info)
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

/// Ends a quiet run: prints the lines that were held back if the run failed, and drops them otherwise.
pub fn release(failed: bool) {
    if let Some(logger) = LOGGER.get().filter(|logger| logger.quiet && failed) {
        let kept = logger.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for line in kept.iter() {
            print(line);
        }
    }
}

/// With `--log-format json`, logs why a command ended, at a visible level. False for a text log: then the caller prints it.
pub fn end_in_json(messages: &[String]) -> bool {
    let Some(logger) = LOGGER
        .get()
        .filter(|logger| logger.format == LogFormat::Json)
    else {
        return false;
    };
    for message in messages {
        logger.keep_or_print(logger.line(Level::Error, "datasync", message));
    }
    true
}

/// Logs panics like other errors, with their place. A message that is no constant is not shown: it may hold a value.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        log::error!(
            "internal error{place}{}; please report it",
            panic_message(panic.payload())
        );
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            for line in trace.to_string().lines() {
                log::error!("{line}");
            }
        }
    }));
}

fn panic_message(payload: &dyn std::any::Any) -> String {
    payload
        .downcast_ref::<&'static str>()
        .map_or_else(String::new, |text| format!(": {text}"))
}

/// Prints on stderr and ignores a failure: a closed stderr must not change the result of a run.
fn print(line: &str) {
    progress::suspended(|| {
        io::stderr()
            .lock()
            .write_all(line.as_bytes())
            .unwrap_or_default();
    });
}

impl Logger {
    fn keep_or_print(&self, line: String) {
        if !self.quiet {
            print(&line);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(line);
    }

    fn line(&self, level: Level, target: &str, message: &str) -> String {
        let message = clean(message);
        let time = jiff::Timestamp::now();
        match self.format {
            LogFormat::Json => {
                let line = JsonLine {
                    time: format!("{time:.3}"),
                    level: level.as_str().to_lowercase(),
                    run_id: self.run_id.get(),
                    target,
                    message: &message,
                };
                // Serializing a struct of plain text cannot fail.
                serde_json::to_string(&line).unwrap_or_default() + "\n"
            }
            LogFormat::Text => {
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
        let message = record.args().to_string();
        self.keep_or_print(self.line(record.level(), record.target(), &message));
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn logger(format: LogFormat) -> Logger {
        Logger {
            filter: env_logger::Builder::new().build(),
            format,
            color: false,
            quiet: true,
            kept: Mutex::default(),
            run_id: OnceLock::from("0199".to_owned()),
        }
    }

    const HOSTILE: &str = "a\u{1b}[31mb\nc\u{202e}\"d\u{0}";

    #[test]
    fn a_line_of_text_is_one_line_without_control_characters() {
        let line = logger(LogFormat::Text).line(Level::Warn, "x", HOSTILE);
        let (message, end) = line.split_at(line.len() - 1);
        assert_eq!(end, "\n");
        assert!(!message.chars().any(char::is_control), "{message:?}");
        assert!(
            message.ends_with("WARN  a\\u{1b}[31mb\\u{a}c\\u{202e}\"d\\u{0}"),
            "{message}"
        );
    }

    #[test]
    fn a_line_of_json_is_one_object_without_control_characters() {
        let line = logger(LogFormat::Json).line(Level::Error, "x::y", HOSTILE);
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["level"], "error");
        assert_eq!(object["run_id"], "0199");
        assert_eq!(object["target"], "x::y");
        assert_eq!(object["message"], "a\\u{1b}[31mb\\u{a}c\\u{202e}\"d\\u{0}");
        assert!(
            object["time"]
                .as_str()
                .unwrap()
                .parse::<jiff::Timestamp>()
                .is_ok()
        );
    }

    #[test]
    fn a_panic_quotes_nothing_but_the_program_itself() {
        assert_eq!(panic_message(&"not ready"), ": not ready");
        let value = "Zoë Müller".to_owned();
        assert_eq!(
            panic_message(&format!("byte index 3 is inside a character of {value}")),
            ""
        );
    }
}
