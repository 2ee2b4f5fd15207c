//! What stands on the page of one run. Figures come finished.

use super::examples::{differences, rejections};
use super::history::moment;
use super::html::{bar, esc, joined, page, percent, section, span, table, tile};
use super::past::past;
use super::verdict::Verdict;
use super::{Report, Status, chart, meaning, rows, write_back_rows};
use crate::config::plan::Field;
use crate::exit::Exit;
use crate::store::PastRun;
use crate::support::text::{counted, grouped};

/// Everything the page of one run is made of.
#[derive(Debug)]
pub struct ReportInput<'a> {
    /// `schema.table`.
    pub target: &'a str,
    /// None: it ended before it had begun, and `ended` says why.
    pub report: Option<&'a Report>,
    pub exit: Exit,
    pub ended: Option<&'a str>,
    /// The fields that records are mapped by: only they are shown of a rejected one.
    pub fields: &'a [Field],
    /// Answers that take longer raise an alert.
    pub alert_seconds: f64,
    /// Newest first; this run among them.
    pub past: &'a [PastRun],
    /// Why past runs are not known.
    pub past_unknown: Option<&'a str>,
    pub source: &'a str,
    /// `user@host`.
    pub who: &'a str,
    pub config_hash: &'a str,
    /// Show values of customers.
    pub show_values: bool,
}

/// The page of one run.
pub fn of_run(input: &ReportInput<'_>) -> String {
    let mut main = String::new();
    if let Some(report) = input.report {
        let replayed = if report.replayed > 0 {
            format!(
                "Besides, {} records that earlier runs had kept on disk were replayed.",
                grouped(report.replayed)
            )
        } else {
            String::new()
        };
        let flow = chart::flow(&report.ledger, report.pages, report.api_retries);
        main += &told(report, input.exit);
        main += &section(
            "flow",
            "Where the records went",
            &replayed,
            &(flow + &outcomes(report)),
        );
        main += &rejections(input, report);
        main += &differences(input, report);
        main += &write_back(report);
        main += &responses(input, report);
        main += &stages(report);
    } else if let Some(why) = input.ended {
        let class = if input.exit == Exit::Busy {
            "mute"
        } else {
            "bad"
        };
        main += &format!(
            "<section class=\"told {class}\" aria-labelledby=\"told\"><h2 id=\"told\">It ended before it had begun</h2><ul>{}</ul></section>\n",
            joined(why.lines().map(|line| format!("<li>{}</li>", esc(line))))
        );
    }
    let this = input.report.map(|report| report.run_id.as_str());
    main += &past(input.past, this, input.past_unknown);
    let title = format!("Sync of {}", input.target);
    let body = format!(
        "{}<main>\n{main}</main>\n{}",
        head(input, &title),
        foot(input)
    );
    page(&title, &body)
}

/// This moment, `2026-11-24 23:00:01`, UTC.
pub(super) fn now() -> String {
    moment(&jiff::Timestamp::now().to_string())
}

/// Class, sign and words for how it ended: never by colour alone.
fn verdict(input: &ReportInput<'_>) -> (&'static str, &'static str, &'static str) {
    const TICK: &str = "M3 8.5l3.5 3.5L13 5";
    const DASH: &str = "M3 8h10";
    const CROSS: &str = "M4 4l8 8M12 4l-8 8";
    match (input.report.map(|report| report.status), input.exit) {
        (Some(status), exit) => {
            let verdict = Verdict::of(status, exit);
            let sign = match verdict.class {
                "good" => TICK,
                "bad" => CROSS,
                _ => DASH,
            };
            (verdict.class, sign, verdict.words)
        }
        (None, Exit::Busy) => ("mute", DASH, "Not begun: another run is at work"),
        (None, _) => ("bad", CROSS, "Not begun"),
    }
}

fn head(input: &ReportInput<'_>, title: &str) -> String {
    let (class, sign, words) = verdict(input);
    let mut facts = vec![format!("{} UTC", now())];
    let mut figures = String::new();
    if let Some(report) = input.report {
        facts.push(esc(&span(report.seconds.total)));
        facts.push(esc(&report.scope()));
        figures = tiles(report);
    }
    facts.push(format!(
        "exit {}: {}",
        input.exit.code(),
        input
            .report
            .map_or(meaning(input.exit), |report| report.meaning(input.exit))
    ));
    format!(
        "<header>\n<span class=\"pill {class}\"><svg viewBox=\"0 0 16 16\" aria-hidden=\"true\"><path d=\"{sign}\" fill=\"none\" \
         stroke=\"currentColor\" stroke-width=\"2.4\" stroke-linecap=\"round\" stroke-linejoin=\"round\"/></svg>{words}</span>\n\
         <h1>{}</h1>\n<p class=\"soft\">{}</p>\n{figures}</header>\n",
        esc(title),
        facts.join(" \u{b7} ")
    )
}

fn tiles(report: &Report) -> String {
    let ledger = &report.ledger;
    let share = |count: u64| {
        if ledger.fetched == 0 {
            String::new()
        } else {
            format!("{} of all", percent(count as f64 / ledger.fetched as f64))
        }
    };
    let speed = if ledger.fetched == 0 {
        String::new()
    } else {
        let speed = ledger.fetched as f64 / report.seconds.total.max(1e-9);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rounded rate"
        )]
        let speed = grouped(speed.round() as u64);
        format!("{speed} a second")
    };
    let written = if report.status == Status::DryRun {
        "Would be written"
    } else {
        "Written"
    };
    let tiles = [
        tile("Fetched", &grouped(ledger.fetched), &speed),
        tile(
            written,
            &grouped(ledger.inserted + ledger.updated),
            &format!(
                "{} new, {} changed",
                grouped(ledger.inserted),
                grouped(ledger.updated)
            ),
        ),
        tile(
            "To be reviewed",
            &grouped(report.flagged),
            "accepted, and flagged",
        ),
        tile(
            "Rejected",
            &grouped(ledger.rejected),
            &share(ledger.rejected),
        ),
        tile("Spooled", &grouped(ledger.spooled), &share(ledger.spooled)),
    ];
    format!("<dl class=\"tiles\">{}</dl>\n", tiles.concat())
}

/// What went wrong, and what to type.
fn told(report: &Report, exit: Exit) -> String {
    let problems = report.problems.iter().map(|text| esc(text));
    let alerts = report
        .alerts
        .iter()
        .map(|text| format!("Alert: {}", esc(text)));
    let list = joined(
        problems
            .chain(alerts)
            .map(|item| format!("<li>{item}</li>")),
    );
    if list.is_empty() && report.case_id.is_none() {
        return String::new();
    }
    let case = report.case_id.as_deref().map_or_else(String::new, |case| {
        let case = esc(case);
        format!("<p>Case {case} is open: <code>datasync case show {case}</code></p>")
    });
    let class = if matches!(exit, Exit::Success | Exit::Threshold) {
        "partial"
    } else {
        "bad"
    };
    format!(
        "<section class=\"told {class}\" aria-labelledby=\"told\"><h2 id=\"told\">What to know</h2><ul>{list}</ul>{case}</section>\n"
    )
}

fn outcomes(report: &Report) -> String {
    let [(_, fetched), fates @ ..] = rows(&report.ledger);
    if fetched == 0 {
        return String::new();
    }
    let lines = joined(fates.iter().map(|(name, count)| {
        let share = *count as f64 / fetched as f64;
        format!(
            "<tr><th scope=\"row\">{name}</th><td class=\"soft which\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"wide\">{}</td></tr>\n",
            chart::fate(name),
            grouped(*count),
            esc(&percent(share)),
            bar(name, share)
        )
    }));
    table(
        &format!("{} fetched are the sum of these", grouped(fetched)),
        &[
            ("Outcome", ""),
            ("Which is", "which"),
            ("Records", "number"),
            ("Share", "number"),
            ("", "wide"),
        ],
        &lines,
    )
}

/// What became of the messages to the API, where there are any.
fn write_back(report: &Report) -> String {
    let Some(ledger) = &report.write_back else {
        return String::new();
    };
    if report.status == Status::DryRun {
        let due = counted(ledger.due, "message", "messages");
        return section(
            "write-back",
            "Write-back",
            &format!("{due} would be sent."),
            "",
        );
    }
    let lines = joined(write_back_rows(ledger).map(|(name, count, note)| {
        format!(
            "<tr><th scope=\"row\">{name}</th><td class=\"soft which\">{}</td><td class=\"number\">{}</td></tr>\n",
            esc(note),
            grouped(count)
        )
    }));
    section(
        "write-back",
        "Write-back",
        "What the API was told, after the database had committed.",
        &table(
            "",
            &[
                ("Outcome", ""),
                ("Which is", "which"),
                ("Messages", "number"),
            ],
            &lines,
        ),
    )
}

fn responses(input: &ReportInput<'_>, report: &Report) -> String {
    let answers = &report.api_responses;
    let note = if answers.count() == 0 {
        String::new()
    } else {
        format!(
            "{}, the slowest took {}; more than {} would raise an alert.",
            counted(answers.count(), "request", "requests"),
            esc(&span(answers.max())),
            esc(&span(input.alert_seconds))
        )
    };
    section(
        "responses",
        "How long the API took to answer",
        &note,
        &chart::response_times(answers, input.alert_seconds),
    )
}

fn stages(report: &Report) -> String {
    let stages = [
        (
            "fetch",
            report.seconds.fetch,
            "waiting for the API, all connections together",
        ),
        ("transform", report.seconds.transform, "mapping records"),
        ("decide", report.seconds.decide, "asking the decision table"),
        (
            "write",
            report.seconds.write,
            "waiting for PostgreSQL, all connections together",
        ),
    ];
    let longest = stages
        .iter()
        .map(|(_, seconds, _)| *seconds)
        .fold(1e-9, f64::max);
    let lines = joined(stages.iter().map(|(name, seconds, what)| {
        format!(
            "<tr><th scope=\"row\">{name}</th><td class=\"soft which\">{what}</td><td class=\"number\">{}</td><td class=\"wide\">{}</td></tr>\n",
            esc(&span(*seconds)),
            bar("updated", seconds / longest)
        )
    }));
    section(
        "stages",
        "Where the time went",
        "Stages run side by side, so they may sum up to more than the whole.",
        &table(
            "",
            &[
                ("Stage", ""),
                ("Which is", "which"),
                ("Time", "number"),
                ("", "wide"),
            ],
            &lines,
        ),
    )
}

fn foot(input: &ReportInput<'_>) -> String {
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(report) = input.report {
        facts.push(("Run", report.run_id.clone()));
        for (name, watermark) in [
            ("Watermark before", &report.watermark.before),
            ("Watermark after", &report.watermark.after),
        ] {
            facts.extend(watermark.clone().map(|watermark| (name, watermark)));
        }
    }
    facts.push(("Source", input.source.to_owned()));
    facts.push(("Configuration", input.config_hash.to_owned()));
    facts.push(("Run by", input.who.to_owned()));
    facts.push(("Version", format!("datasync {}", env!("CARGO_PKG_VERSION"))));
    let list = joined(
        facts
            .iter()
            .map(|(name, fact)| format!("<dt>{name}</dt><dd>{}</dd>", esc(fact))),
    );
    let values = if input.show_values {
        "<p>This page shows values of customers: keep it as safe as the table.</p>\n"
    } else {
        ""
    };
    format!("<footer>\n<dl>{list}</dl>\n{values}</footer>\n")
}
