//! The page of one run: its sections and their content. It gets finished figures.

use maud::{Markup, html};

use super::examples::{differences, new_rows, rejections};
use super::history::now;
use super::html::{Row, bar, cell, notice, page, percent, section, span, swatch, table, tile};
use super::input::ReportInput;
use super::past::past_runs;
use super::verdict::Verdict;
use super::{Report, Status, chart, meaning, write_back_rows};
use crate::exit::Exit;
use crate::support::text::{counted, grouped};

/// The page of one run.
pub fn of_run(input: &ReportInput<'_>) -> String {
    let title = format!("Sync of {}", input.target);
    let this = input.report.map(|report| report.run_id.as_str());
    let mut sections = match (input.report, input.error) {
        (Some(report), _) => of_report(input, report),
        (None, Some(error)) => vec![not_begun(input.exit, error)],
        (None, None) => Vec::new(),
    };
    sections.push(past_runs(input.past, this));
    let main = html! { main { @for section in &sections { (section) } } };
    page(&title, &[header(input, &title), main, footer(input)])
}

/// The sections of a run that has a report, in order.
fn of_report(input: &ReportInput<'_>, report: &Report) -> Vec<Markup> {
    let replayed = html! {
        @if report.replayed > 0 {
            "Besides, " (counted(report.replayed, "record", "records"))
            " that earlier runs had kept on disk "
            (if report.replayed == 1 { "was" } else { "were" }) " replayed."
        }
    };
    let flow = html! {
        (chart::flow(&report.ledger, report.pages, report.api_retries))
        (outcomes(report))
    };
    vec![
        what_to_know(report, input.exit),
        section("flow", "Where the records went", &replayed, &flow),
        rejections(input, report),
        new_rows(input, report),
        differences(input, report),
        write_back(report),
        responses(input, report),
        stages(report),
    ]
}

fn not_begun(exit: Exit, error: &str) -> Markup {
    let class = if exit == Exit::Busy { "mute" } else { "bad" };
    let lines: Vec<String> = error.lines().map(str::to_owned).collect();
    notice(
        class,
        "The run ended before it fetched anything",
        &lines,
        &html! {},
    )
}

/// How the run ended: a class of the style sheet, the drawing of a sign, and words, since colour alone excludes some people.
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

fn header(input: &ReportInput<'_>, title: &str) -> Markup {
    let (class, sign, words) = verdict(input);
    let mut facts = vec![format!("{} UTC", now())];
    if let Some(report) = input.report {
        facts.push(span(report.seconds.total));
        facts.push(report.scope());
    }
    let meaning = input
        .report
        .map_or(meaning(input.exit), |report| report.meaning(input.exit));
    facts.push(format!("exit {}: {meaning}", input.exit.code()));
    html! {
        header {
            span class={ "pill " (class) } {
                svg viewBox="0 0 16 16" aria-hidden="true" {
                    path d=(sign) fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round"
                        stroke-linejoin="round" {}
                }
                (words)
            }
            h1 { (title) }
            p.soft { (facts.join(" \u{b7} ")) }
            @if let Some(report) = input.report { (tiles(report)) }
        }
    }
}

fn tiles(report: &Report) -> Markup {
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
    let new_and_changed = format!(
        "{} new, {} changed",
        grouped(ledger.inserted),
        grouped(ledger.updated)
    );
    html! {
        dl.tiles {
            (tile("Fetched", &grouped(ledger.fetched), &speed))
            (tile(written, &grouped(ledger.inserted + ledger.updated), &new_and_changed))
            (tile("To be reviewed", &grouped(report.flagged), "accepted, and flagged"))
            (tile("Rejected", &grouped(ledger.rejected), &share(ledger.rejected)))
            (tile("Spooled", &grouped(ledger.spooled), &share(ledger.spooled)))
        }
    }
}

/// What went wrong, and what to type.
fn what_to_know(report: &Report, exit: Exit) -> Markup {
    let mut sentences = report.problems.clone();
    sentences.extend(report.alerts.iter().map(|alert| format!("Alert: {alert}")));
    if sentences.is_empty() && report.case_id.is_none() {
        return html! {};
    }
    let case = html! {
        @if let Some(case) = &report.case_id {
            p { "Case " (case) " is open: " code { "datasync case show " (case) } }
        }
    };
    let class = if matches!(exit, Exit::Success | Exit::Threshold) {
        "partial"
    } else {
        "bad"
    };
    notice(class, "What to know", &sentences, &case)
}

fn outcomes(report: &Report) -> Markup {
    let [(_, fetched), outcomes @ ..] = report.ledger.counts();
    if fetched == 0 {
        return html! {};
    }
    let lines: Vec<Row> = outcomes
        .iter()
        .map(|(name, count)| {
            let share = *count as f64 / fetched as f64;
            Row::from(vec![
                html! { (swatch(name)) (name) },
                cell(chart::outcome_meaning(name)),
                cell(&grouped(*count)),
                cell(&percent(share)),
                bar(name, share),
            ])
        })
        .collect();
    table(
        "",
        &format!("{} fetched are the sum of these", grouped(fetched)),
        &[
            ("Outcome", "nowrap"),
            ("Which is", "which"),
            ("Records", "number"),
            ("Share", "number"),
            ("", "wide"),
        ],
        &lines,
    )
}

/// What became of the messages of write-back, if there were any.
fn write_back(report: &Report) -> Markup {
    let Some(ledger) = &report.write_back else {
        return html! {};
    };
    if report.status == Status::DryRun {
        let due = counted(ledger.due, "message", "messages");
        let note = html! { (due) " would be sent." };
        return section("write-back", "Write-back", &note, &html! {});
    }
    let lines: Vec<Row> = write_back_rows(ledger)
        .iter()
        .map(|(name, count, note)| Row::from(vec![cell(name), cell(note), cell(&grouped(*count))]))
        .collect();
    section(
        "write-back",
        "Write-back",
        &html! { "Messages that were sent to the API after the database had committed." },
        &table(
            "",
            "",
            &[
                ("Outcome", "nowrap"),
                ("Which is", "which"),
                ("Messages", "number"),
            ],
            &lines,
        ),
    )
}

fn responses(input: &ReportInput<'_>, report: &Report) -> Markup {
    let answers = &report.api_responses;
    let note = html! {
        @if answers.count() > 0 {
            (counted(answers.count(), "request", "requests")) ", the slowest took " (span(answers.max()))
            "; more than " (span(input.alert_seconds)) " would raise an alert."
        }
    };
    section(
        "responses",
        "How long the API took to answer",
        &note,
        &chart::response_times(answers, input.alert_seconds),
    )
}

fn stages(report: &Report) -> Markup {
    let seconds = &report.seconds;
    let stages = [
        (
            "fetch",
            seconds.fetch,
            "waiting for the API, all connections together",
        ),
        ("transform", seconds.transform, "mapping records"),
        ("decide", seconds.decide, "asking the decision table"),
        (
            "write",
            seconds.write,
            "waiting for PostgreSQL, all connections together",
        ),
    ];
    let longest = stages
        .iter()
        .map(|(_, seconds, _)| *seconds)
        .fold(1e-9, f64::max);
    let lines: Vec<Row> = stages
        .iter()
        .map(|(name, seconds, what)| {
            Row::from(vec![
                cell(name),
                cell(what),
                cell(&span(*seconds)),
                bar("accent", seconds / longest),
            ])
        })
        .collect();
    section(
        "stages",
        "Where the time went",
        &html! { "Stages run side by side, so they may sum up to more than the whole." },
        &table(
            "",
            "",
            &[
                ("Stage", "nowrap"),
                ("Which is", "which"),
                ("Time", "number"),
                ("", "wide"),
            ],
            &lines,
        ),
    )
}

fn footer(input: &ReportInput<'_>) -> Markup {
    let mut facts: Vec<(&str, &str)> = Vec::new();
    if let Some(report) = input.report {
        facts.push(("Run", &report.run_id));
        for (name, watermark) in [
            ("Watermark before", &report.watermark.before),
            ("Watermark after", &report.watermark.after),
        ] {
            facts.extend(watermark.as_deref().map(|watermark| (name, watermark)));
        }
    }
    facts.push(("Source", input.source));
    facts.push(("Configuration", input.config_hash));
    facts.push(("Run by", input.who));
    facts.push(("Version", concat!("datasync ", env!("CARGO_PKG_VERSION"))));
    html! {
        footer {
            dl { @for (name, fact) in &facts { dt { (name) } dd { (fact) } } }
            @if input.show_values {
                p { "This page shows values of customers: keep it as safe as the table." }
            }
        }
    }
}
