//! Past runs on a page: their trend and their figures.

use maud::{Markup, html};

use super::chart;
use super::history::{Summary, moment, now, outcome, short};
use super::html::{Row, page, percent, section, span, table, tile};
use crate::reporting::past_runs::PastRuns;
use crate::store::PastRun;
use crate::support::text::grouped;

/// Stands for a missing figure.
const NONE: &str = "\u{2013}";

/// A page that shows only past runs.
pub fn page_of(target: &str, past: &PastRuns) -> String {
    let summary = Summary::of(&past.runs);
    let seconds = |value: Option<f64>| value.map_or_else(|| NONE.to_owned(), span);
    let (day, year) = summary.last_success_at.as_deref().map_or_else(
        || (NONE.to_owned(), String::new()),
        |at| {
            let day = moment(at).chars().skip(5).take(11).collect();
            (day, at.chars().take(4).collect::<String>() + ", UTC")
        },
    );
    let rate = summary
        .success_rate
        .map_or_else(|| NONE.to_owned(), percent);
    let ended = format!("{} of {} that ended", summary.succeeded, summary.ended);
    let title = format!("Runs of {target}");
    let header = html! {
        header {
            h1 { (title) }
            p.soft { "as of " (now()) " UTC" }
            dl.tiles {
                (tile("Runs", &grouped(summary.runs), "shown here"))
                (tile("Succeeded", &rate, &ended))
                (tile("Median", &seconds(summary.median_seconds), "from start to end"))
                (tile("Slowest", &seconds(summary.slowest_seconds), "from start to end"))
                (tile("Last success", &day, &year))
            }
        }
    };
    let main = html! { main { (past_runs(past, None)) } };
    let footer = html! { footer { p { "datasync " (env!("CARGO_PKG_VERSION")) } } };
    page(&title, &[header, main, footer])
}

/// The trend of past runs, and their figures. `this` is the run that the page is about.
pub(super) fn past_runs(past: &PastRuns, this: Option<&str>) -> Markup {
    let mut notes = Vec::new();
    if let Some(why) = &past.missing_because {
        notes.push(format!("The log of runs could not be read: {why}."));
    } else if past.runs.is_empty() {
        notes.push("No run is known yet.".to_owned());
    }
    let summary = Summary::of(&past.runs);
    if let (Some(rate), Some(median)) = (summary.success_rate, summary.median_seconds) {
        notes.push(format!(
            "{} of {} succeeded ({}); the median took {}. Bars are hatched where a run did not end well.",
            summary.succeeded,
            summary.ended,
            percent(rate),
            span(median)
        ));
    }
    let oldest_first: Vec<&PastRun> = past.runs.iter().rev().collect();
    let inside = html! {
        @if !past.runs.is_empty() {
            (chart::trend(&oldest_first, this))
            (figures(&past.runs, this))
        }
    };
    section("past", "Past runs", &html! { (notes.join(" ")) }, &inside)
}

fn figures(runs: &[PastRun], this: Option<&str>) -> Markup {
    let rows: Vec<Row> = runs
        .iter()
        .map(|run| Row {
            current: this == Some(run.run_id.as_str()),
            cells: vec![
                html! { (moment(&run.started_at)) },
                html! { code { (short(&run.run_id)) } },
                html! { (run.scope().unwrap_or_else(|| NONE.to_owned())) },
                html! { span class={ "pill " (chart::color(run)) } { (outcome(run)) } },
                html! { (run.exit_code.map_or_else(|| NONE.to_owned(), |code| code.to_string())) },
                html! { (grouped(run.fetched)) },
                html! { (grouped(run.written())) },
                html! { (grouped(run.rejected)) },
                html! { (run.seconds.map_or_else(|| NONE.to_owned(), span)) },
            ],
        })
        .collect();
    let columns = [
        ("Started, UTC", "nowrap"),
        ("Run", "nowrap"),
        ("Mode", ""),
        ("Outcome", ""),
        ("Exit", "number"),
        ("Fetched", "number"),
        ("Written", "number"),
        ("Rejected", "number"),
        ("Time", "number"),
    ];
    table("cards", "", &columns, &rows)
}
