//! Past runs as a table, with a bar for the duration of each, and a summary.

use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::store::PastRun;
use crate::support::text::{clean, counted, grouped, padded};

/// The width of the longest bar, in characters.
const WIDEST: usize = 20;
/// How many characters of a run's id are shown. They contain its time, to the millisecond.
const ID: usize = 13;

/// The figures of several runs together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    pub runs: u64,
    /// How many of them have ended.
    pub ended: u64,
    /// How many of them have the status `success`.
    pub succeeded: u64,
    /// Succeeded ÷ ended; none if none has ended.
    pub success_rate: Option<f64>,
    /// The median duration of the runs that have ended.
    pub median_seconds: Option<f64>,
    pub slowest_seconds: Option<f64>,
    /// When the last successful run ended, as RFC 3339 in UTC.
    pub last_success_at: Option<String>,
}

impl Summary {
    /// The summary of these runs, in any order.
    pub fn of(runs: &[PastRun]) -> Self {
        let ended = runs.iter().filter(|run| run.status != "running").count() as u64;
        let good = || runs.iter().filter(|run| run.status == "success");
        let succeeded = good().count() as u64;
        let mut seconds: Vec<f64> = runs.iter().filter_map(|run| run.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let middle = seconds.len() / 2;
        Self {
            runs: runs.len() as u64,
            ended,
            succeeded,
            success_rate: (ended > 0).then(|| succeeded as f64 / ended as f64),
            median_seconds: match seconds.len() {
                0 => None,
                count if count.is_multiple_of(2) => {
                    Some(f64::midpoint(seconds[middle - 1], seconds[middle]))
                }
                _ => Some(seconds[middle]),
            },
            slowest_seconds: seconds.last().copied(),
            last_success_at: good().filter_map(|run| run.completed_at.clone()).max(),
        }
    }
}

/// The text of `history`. Runs are given newest first. It ends with a newline.
pub fn text(target: &str, runs: &[PastRun]) -> String {
    if runs.is_empty() {
        return format!("No runs of {} yet: datasync sync\n", clean(target));
    }
    let count = match runs.len() {
        1 => "run".to_owned(),
        count => counted(count as u64, "run", "runs"),
    };
    let mut out = format!("The last {count} of {}, newest first\n", clean(target));
    out += &table(runs);
    let summary = Summary::of(runs);
    out += &summary.success_rate.map_or_else(
        || "None has ended yet".to_owned(),
        |rate| {
            format!(
                "{} of {} succeeded ({:.1} %)",
                summary.succeeded,
                summary.ended,
                100.0 * rate
            )
        },
    );
    if let (Some(median), Some(slowest)) = (summary.median_seconds, summary.slowest_seconds) {
        out += &format!("; median {median:.2} s, slowest {slowest:.2} s");
    }
    out.push('\n');
    out
}

/// One line per run, in the given order, with a bar for its duration.
pub fn table(runs: &[PastRun]) -> String {
    let scopes: Vec<String> = runs
        .iter()
        .map(|run| {
            run.scope()
                .map_or_else(|| "-".to_owned(), |scope| clean(&scope))
        })
        .collect();
    let wide = scopes
        .iter()
        .map(|scope| scope.width())
        .fold(11, usize::max);
    let mut out = format!(
        "  {:<19}  {:<ID$}  {:<wide$} {:<8} {:>4} {:<9} {:>10} {:>10} {:>9} {:>9}\n",
        "started (UTC)",
        "run",
        "mode",
        "outcome",
        "exit",
        "end",
        "fetched",
        "written",
        "rejected",
        "seconds"
    );
    let longest = runs
        .iter()
        .filter_map(|run| run.seconds)
        .fold(0.0, f64::max);
    for (run, scope) in runs.iter().zip(&scopes) {
        let seconds = run
            .seconds
            .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2}"));
        let exit = run
            .exit_code
            .map_or_else(|| "-".to_owned(), |code| code.to_string());
        let line = format!(
            "  {:<19}  {:<ID$}  {} {:<8} {exit:>4} {:<9} {:>10} {:>10} {:>9} {seconds:>9}  {}",
            moment(&run.started_at),
            short(&run.run_id),
            padded(scope, wide),
            outcome(run),
            clean(run.end.as_deref().unwrap_or("-")),
            grouped(run.fetched),
            grouped(run.written()),
            grouped(run.rejected),
            bar(run.seconds.unwrap_or_default(), longest),
        );
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// `2026-11-24T23:00:01.123Z` → `2026-11-24 23:00:01`.
pub fn moment(time: &str) -> String {
    clean(&time.chars().take(19).collect::<String>()).replace('T', " ")
}

/// The current time as `2026-11-24 23:00:01`, in UTC.
pub fn now() -> String {
    moment(&jiff::Timestamp::now().to_string())
}

/// The beginning of a run's id, long enough to identify the run.
pub fn short(run_id: &str) -> String {
    clean(&run_id.chars().take(ID).collect::<String>())
}

/// How a run ended, in one word.
pub fn outcome(run: &PastRun) -> &str {
    match run.status.as_str() {
        "abandoned" => "killed",
        known @ ("running" | "success" | "partial" | "failed") => known,
        _ => "unknown",
    }
}

/// A bar of block characters, precise to an eighth of a character.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and the width of the bar"
)]
fn bar(seconds: f64, longest: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if longest <= 0.0 || seconds <= 0.0 {
        return String::new();
    }
    let eighths = ((seconds / longest).min(1.0) * (WIDEST * 8) as f64).round() as usize;
    let eighths = eighths.max(1);
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(status: &str, seconds: Option<f64>) -> PastRun {
        PastRun {
            status: status.to_owned(),
            seconds,
            started_at: "2026-11-24T23:00:01.123Z".to_owned(),
            ..PastRun::default()
        }
    }

    #[test]
    fn a_run_that_goes_on_counts_neither_for_nor_against_success() {
        let summary = Summary::of(&[
            run("running", None),
            run("success", Some(4.0)),
            run("abandoned", None),
            run("success", Some(1.0)),
            run("partial", Some(3.0)),
        ]);
        assert_eq!((summary.runs, summary.ended, summary.succeeded), (5, 4, 2));
        assert_eq!(summary.success_rate, Some(0.5));
        assert_eq!(summary.median_seconds, Some(3.0));
        assert_eq!(summary.slowest_seconds, Some(4.0));
        let even = Summary::of(&[run("success", Some(1.0)), run("success", Some(2.0))]);
        assert_eq!(even.median_seconds, Some(1.5));
        assert_eq!(Summary::of(&[]), Summary::default());
    }

    #[test]
    fn bars_are_as_long_as_the_runs() {
        assert_eq!(bar(2.0, 2.0), "█".repeat(WIDEST));
        assert_eq!(bar(1.0, 2.0), "█".repeat(WIDEST / 2));
        assert_eq!(bar(0.0001, 2.0), "▏", "what took time is seen");
        assert_eq!(bar(0.0, 0.0), "");
    }

    #[test]
    fn the_table_says_what_there_is_and_what_there_is_not() {
        let runs = [run("abandoned", None), run("success", Some(1.0))];
        let shown = text("public.customers", &runs);
        for part in [
            "The last 2 runs of public.customers, newest first\n",
            "2026-11-24 23:00:01",
            "killed",
            "1 of 2 succeeded (50.0 %); median 1.00 s, slowest 1.00 s\n",
        ] {
            assert!(shown.contains(part), "{part} is not in:\n{shown}");
        }
        assert!(text("public.customers", &[]).starts_with("No runs"));
    }
}
