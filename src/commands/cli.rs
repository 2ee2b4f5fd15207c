//! What can be typed: clap types only. Nothing here reads a file or decides anything.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::config::parse_duration;
use crate::support::logging::{self, LogFormat};

/// Sync customer records from a REST API into PostgreSQL, and account for every one of them.
///
/// Records are fetched page by page, mapped by mappings.yaml, judged by the decision table in decisions.dmn.xml and
/// written to the customers table. What is not fit is kept as a rejection with its reason; what the database could
/// not take is kept on disk and replayed by the next run.
#[derive(Debug, Parser)]
#[command(name = "datasync", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  every record accounted for
    1  internal error (please report it)
    2  usage or configuration; nothing was fetched or written
    3  the API failed after its retries
    4  the database failed; what it did not take is in the spool
    5  finished, but a threshold was crossed or a brake stopped the run
    6  the state directory cannot be written
   75  another run holds the lease
  129  the terminal was closed (SIGHUP)
  130  interrupted (SIGINT)
  143  terminated (SIGTERM)";

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where records come from and what their fields become
    #[arg(long, global = true, value_name = "FILE", env = "DATASYNC_MAPPINGS")]
    pub mappings: Option<PathBuf>,
    /// The DMN decision table (default: decisions.dmn.xml here, else beside the mappings file)
    #[arg(long, global = true, value_name = "FILE", env = "DATASYNC_DECISIONS")]
    pub decisions: Option<PathBuf>,
    /// Variables for this run (default: ./.env when present)
    #[arg(long, global = true, value_name = "FILE", env = "DATASYNC_ENV_FILE")]
    pub env_file: Option<PathBuf>,
    #[arg(
        long,
        help = "Spool, cases and cached state (default: $XDG_STATE_HOME/datasync)",
        global = true,
        value_name = "DIR",
        env = "DATASYNC_STATE_DIR"
    )]
    pub state_dir: Option<PathBuf>,
    /// Form of the result on stdout
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        default_value = "text",
        env = "DATASYNC_OUTPUT"
    )]
    pub output: Output,
    /// Form of the log on stderr
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        default_value = "text",
        env = "DATASYNC_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
    /// Print nothing at all when the exit code is 0
    #[arg(short, long, global = true, env = "DATASYNC_QUIET", value_parser = clap::builder::FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub quiet: bool,
    /// Log more; twice for still more
    #[arg(short, long, global = true, action = ArgAction::Count, env = "DATASYNC_VERBOSE", value_parser = |text: &str| Ok::<_, std::convert::Infallible>(verbosity(text)))]
    pub verbose: u8,
    /// No colours and no progress bar
    #[arg(long, global = true, env = "DATASYNC_NO_COLOR", value_parser = clap::builder::FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub no_color: bool,
}

impl Global {
    /// The options that concern the log.
    pub const fn log(&self) -> logging::Options {
        logging::Options {
            verbose: self.verbose,
            quiet: self.quiet,
            no_color: self.no_color,
            format: self.log_format,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
    /// Workflow annotations with file and line (validate only)
    Github,
    /// JUnit XML, as continuous integration reads it (validate only)
    Junit,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a mappings.yaml to begin with: the shipped one, or one drafted from the first page of an API
    Init(InitArgs),
    /// Replay the spool, fetch, transform, decide, write, report
    Sync(SyncArgs),
    /// Check mappings.yaml and the decision table, and show the verdict on given records; writes nothing
    Validate(ValidateArgs),
    /// Can the API be reached, and does its first page fit the mapping? Changes nothing
    CheckApi,
    /// Can the database be reached, and do its tables fit the mapping? Changes nothing
    CheckDb(CheckDbArgs),
    /// Run the checks, replay the spool, run again what failed, close the case
    Retry(RetryArgs),
    /// What went wrong, what was checked, and the human steps
    #[command(subcommand)]
    Case(CaseCommand),
    /// The last runs: how each ended, what it did, how long it took
    History(HistoryArgs),
    /// Everything that is held of a record, with its values: row, rejections, spool, outbox, runs
    Show {
        /// Its key in the table, or its id at the source
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Remove a record from rejections, outbox, cases, spool and quarantine, and say what is left elsewhere
    Forget(ForgetArgs),
    /// Print the completion script of a shell
    Completions {
        #[arg(value_enum, value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff): datasync man | man -l -
    Man,
    /// Print the JSON Schema of mappings.yaml, for editors and checkers
    Schema,
}

#[derive(Debug, Args, Default)]
pub struct SyncArgs {
    /// Show what would happen, down to each changed field; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Stop after N records
    #[arg(long, value_name = "N", value_parser = records)]
    pub limit: Option<u64>,
    /// End the run in order after this long (90s, 10m, 2h)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub deadline: Option<Duration>,
    /// Wait so long for another run to finish, instead of giving up at once with exit 75
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait: Option<Duration>,
    /// Let a run pass that a brake would stop: no records, or far fewer than before
    #[arg(long)]
    pub accept_drop: bool,
    /// Fetch everything, whatever the watermark says; a complete run moves it
    #[arg(long)]
    pub full: bool,
    /// Fetch what changed since then (2026-01-31T00:00:00Z), and leave the watermark alone
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "full")]
    pub since: Option<jiff::Timestamp>,
    /// Take share I of N, counted from 1, beside runs that take the others
    #[arg(long, value_name = "I/N", value_parser = clap::value_parser!(crate::model::shard::Shard))]
    pub shard: Option<crate::model::shard::Shard>,
    #[command(flatten)]
    pub page: PageArgs,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Address of the endpoint that lists the records: its first page is fetched, and the mapping drafted from it
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    #[arg(
        long,
        help = "How requests prove who sends them: bearer, basic, none, header=NAME or query=NAME; the secret is in API_TOKEN, or in API_USER and API_PASSWORD (default: bearer where API_TOKEN is set, else none)",
        value_name = "FORM",
        requires = "url"
    )]
    pub auth: Option<crate::draft::Credentials>,
    /// Where the records are on a page, where that is not found: data.items, /data/0/items
    #[arg(long, value_name = "PATH", requires = "url")]
    pub records: Option<String>,
}

#[derive(Debug, Args, Default)]
pub struct PageArgs {
    /// Write a page about the run, for a browser: one file that needs no network
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Show customers' values on the page; else they are masked
    #[arg(long, requires = "report")]
    pub show_values: bool,
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// So many runs, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = runs)]
    pub limit: u64,
    /// Write a page about them, for a browser: one file that needs no network
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("records").args(["input", "fetch", "stored"])))]
pub struct ValidateArgs {
    /// Records to judge: a JSON array, one record a line, or an API page; - reads stdin
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Judge records fetched from the API
    #[arg(long)]
    pub fetch: bool,
    /// Stop after N records
    #[arg(long, value_name = "N", value_parser = records)]
    pub limit: Option<u64>,
    /// Judge what is stored: customers and open rejections
    #[arg(long)]
    pub stored: bool,
    /// Judge the same records by this other decision table too, and say what changes
    #[arg(long, value_name = "OLD.dmn.xml", requires = "records")]
    pub against: Option<PathBuf>,
    /// Say why this record gets its verdict, cell by cell, and the nearest change that would pass
    #[arg(long, value_name = "ID", requires = "records")]
    pub explain: Option<String>,
    /// Warnings count as errors (exit 2); an INVALID record or a changed verdict gives exit 5
    #[arg(long)]
    pub strict: bool,
}

impl ValidateArgs {
    /// True if the command line names records to decide.
    pub const fn decides_records(&self) -> bool {
        self.input.is_some() || self.fetch || self.stored
    }
}

#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// Its key in the table, or its id at the source
    #[arg(value_name = "ID")]
    pub id: String,
    /// Show what would be removed; remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct CheckDbArgs {
    /// Create or complete the tables first (idempotent)
    #[arg(long)]
    pub apply_schema: bool,
    /// Print the GRANTs for the configured role and for roles that only read, and check nothing
    #[arg(long, conflicts_with = "apply_schema")]
    pub grants: bool,
}

#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Only this case, by its id or the beginning of it (default: all open ones)
    #[arg(long, value_name = "ID")]
    pub case: Option<String>,
    /// Decide the stored rejections again, by today's mapping and rules
    #[arg(long)]
    pub rejected: bool,
    /// What was done, kept with the case
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum CaseCommand {
    /// All cases, open ones first
    List,
    /// What happened, what was checked, what is safe, and the next command to type
    Show {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Add a remark
    Note {
        #[arg(value_name = "ID")]
        id: String,
        #[arg(value_name = "TEXT")]
        text: String,
    },
    /// Tick off a human step
    Complete {
        #[arg(value_name = "ID")]
        id: String,
        #[arg(value_enum)]
        step: HumanStep,
        /// What was found, or done
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HumanStep {
    Investigate,
    Resolve,
}

/// How often `-v` was given. The variable holds a number, or a word for yes or no.
pub fn verbosity(text: &str) -> u8 {
    text.parse().unwrap_or_else(|_| u8::from(is_yes(text)))
}

/// True if a switch is on, by the rules of clap's `FalseyValueParser`.
pub fn is_yes(text: &str) -> bool {
    !["", "n", "no", "f", "false", "off", "0"].contains(&text.to_lowercase().as_str())
}

/// Parses the number of records to stop after.
fn records(text: &str) -> Result<u64, String> {
    whole(text, u64::MAX, "expected a number of records, 1 or more")
}

/// Parses a number of past runs.
fn runs(text: &str) -> Result<u64, String> {
    whole(text, 10_000, "expected a number of runs from 1 to 10000")
}

fn whole(text: &str, most: u64, expected: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| expected.to_owned())
}

/// Parses a duration as in mappings.yaml. It needs a unit and must not be 0.
fn duration(text: &str) -> Result<Duration, String> {
    Some(text)
        .filter(|text| text.ends_with(|c: char| c.is_ascii_alphabetic()))
        .and_then(parse_duration)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| {
            "expected a duration with its unit, such as 90s, 10m, 2h or 1d, up to 36500d".to_owned()
        })
}

/// Parses a time as RFC 3339, with its offset.
fn time(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse().map_err(|_| {
        "expected a time with its offset, such as 2026-01-31T00:00:00Z or 2026-01-31T08:00:00+01:00"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_switch_is_a_word_and_a_number_where_it_counts() {
        use clap::builder::TypedValueParser as _;
        let command = Cli::command();
        for word in [
            "", "0", "1", "no", "No", "f", "FALSE", "off", "y", "on", "true", "yes", "x",
        ] {
            let parser = clap::builder::FalseyValueParser::new();
            let theirs = parser.parse_ref(&command, None, word.as_ref());
            assert_eq!(theirs.ok(), Some(is_yes(word)), "{word}");
            assert_eq!(verbosity(word), u8::from(is_yes(word)), "{word}");
        }
        assert_eq!(verbosity("3"), 3);
        assert_eq!(verbosity("1000"), 1);
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1d"), Ok(Duration::from_hours(24)));
        for bad in [
            "",
            "10",
            "s",
            "-1s",
            "0s",
            "36501d",
            "18446744073709551615s",
            "99999999999999999999s",
        ] {
            assert!(duration(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn times_need_an_offset() {
        for good in [
            "2026-01-31T00:00:00Z",
            "2026-01-31T08:00:00.5+01:00",
            "2026-01-31 08:00-03:00",
        ] {
            assert!(time(good).is_ok(), "{good} was refused");
        }
        for bad in ["", "2026-01-31", "2026-01-31T00:00:00", "1769817600", "1h"] {
            assert!(time(bad).is_err(), "{bad} was accepted");
        }
    }
}
