//! Past runs on a page: the trend, and their figures.

use super::chart;
use super::history::{Summary, moment, outcome, short};
use super::html::{esc, joined, page, percent, section, span, table, tile};
use super::page::now;
use crate::store::PastRun;
use crate::support::text::grouped;

/// Where there is no figure.
const NONE: &str = "\u{2013}";

/// A page of nothing but past runs, newest first; `unknown` says why some are not known.
pub fn page_of(target: &str, runs: &[PastRun], unknown: Option<&str>) -> String {
    let summary = Summary::of(runs);
    let seconds = |value: Option<f64>| value.map_or_else(|| NONE.to_owned(), span);
    let (day, year) = summary.last_success_at.as_deref().map_or_else(
        || (NONE.to_owned(), String::new()),
        |at| {
            let day = moment(at).chars().skip(5).take(11).collect();
            (day, at.chars().take(4).collect::<String>() + ", UTC")
        },
    );
    let tiles = [
        tile("Runs", &grouped(summary.runs), "shown here"),
        tile(
            "Succeeded",
            &summary
                .success_rate
                .map_or_else(|| NONE.to_owned(), percent),
            &format!("{} of {} that ended", summary.succeeded, summary.ended),
        ),
        tile(
            "Median",
            &seconds(summary.median_seconds),
            "from start to end",
        ),
        tile(
            "Slowest",
            &seconds(summary.slowest_seconds),
            "from start to end",
        ),
        tile("Last success", &day, &year),
    ];
    let title = format!("Runs of {target}");
    let body = format!(
        "<header>\n<h1>{}</h1>\n<p class=\"soft\">as of {} UTC</p>\n<dl class=\"tiles\">{}</dl>\n</header>\n<main>\n{}</main>\n\
         <footer><p>datasync {}</p></footer>\n",
        esc(&title),
        now(),
        tiles.concat(),
        past(runs, None, unknown),
        env!("CARGO_PKG_VERSION")
    );
    page(&title, &body)
}

/// The trend over past runs, newest first, and their figures; `this` is the run the page is about.
pub(super) fn past(runs: &[PastRun], this: Option<&str>, unknown: Option<&str>) -> String {
    let mut notes = Vec::new();
    if let Some(why) = unknown {
        notes.push(format!("The log of runs could not be read: {}.", esc(why)));
    } else if runs.is_empty() {
        notes.push("No run is known yet.".to_owned());
    }
    let summary = Summary::of(runs);
    if let (Some(rate), Some(median)) = (summary.success_rate, summary.median_seconds) {
        notes.push(format!(
            "{} of {} succeeded ({}); the median took {}. Bars are hatched where a run did not end well.",
            summary.succeeded,
            summary.ended,
            esc(&percent(rate)),
            esc(&span(median))
        ));
    }
    let inside = if runs.is_empty() {
        String::new()
    } else {
        let oldest_first: Vec<&PastRun> = runs.iter().rev().collect();
        chart::trend(&oldest_first, this) + &figures(runs, this)
    };
    section("past", "Past runs", &notes.join(" "), &inside)
}

fn figures(runs: &[PastRun], this: Option<&str>) -> String {
    let lines = joined(runs.iter().map(|run| {
        let own = if this == Some(run.run_id.as_str()) {
            " class=\"this\" aria-current=\"true\""
        } else {
            ""
        };
        format!(
            "<tr{own}><th scope=\"row\" class=\"nowrap\">{}</th><td class=\"nowrap\"><code>{}</code></td><td>{}</td>\
             <td><span class=\"pill {}\">{}</span></td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
            esc(&moment(&run.started_at)),
            esc(&short(&run.run_id)),
            esc(&run.scope().unwrap_or_else(|| NONE.to_owned())),
            chart::color(run),
            outcome(run),
            run.exit_code
                .map_or_else(|| NONE.to_owned(), |code| code.to_string()),
            grouped(run.fetched),
            grouped(run.written()),
            grouped(run.rejected),
            run.seconds
                .map_or_else(|| NONE.to_owned(), |seconds| esc(&span(seconds)))
        )
    }));
    table(
        "",
        &[
            ("Started, UTC", ""),
            ("Run", ""),
            ("Mode", ""),
            ("Outcome", ""),
            ("Exit", "number"),
            ("Fetched", "number"),
            ("Written", "number"),
            ("Rejected", "number"),
            ("Time", "number"),
        ],
        &lines,
    )
}
