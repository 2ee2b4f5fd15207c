//! The drawing of a ledger: from what was fetched to what became of it.

use maud::{Markup, html};

use super::{At, Caption, Screen, svg};
use crate::model::record::Ledger;
use crate::reporting::report::html::{Percent, percent};
use crate::support::text::{counted, grouped};

/// The meaning of an outcome, in a few words.
pub fn outcome_meaning(name: &str) -> &'static str {
    match name {
        "inserted" => "new in the table",
        "updated" => "changed in the table",
        "unchanged" => "in the table already, the same",
        "superseded" => "older than what the table has",
        "duplicates" => "their key came again, later",
        "rejected" => "kept out, with the reason",
        "spooled" => "kept on disk, written later",
        _ => "",
    }
}

/// The records as ribbons, each as thick as its share, or on a narrow screen as one bar.
pub fn flow(ledger: &Ledger, pages: u64, retries: u64) -> Markup {
    let [(_, fetched), outcomes @ ..] = ledger.counts();
    if fetched == 0 {
        return html! { p.note { "No records were fetched." } };
    }
    let outcomes: Vec<(&str, u64)> = outcomes
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    let listed: Vec<String> = outcomes
        .iter()
        .map(|(name, count)| format!("{} {name}", grouped(*count)))
        .collect();
    let description = format!("{} fetched: {}.", grouped(fetched), listed.join(", "));
    let mut beside = vec![
        ("big", grouped(fetched)),
        ("", "fetched".to_owned()),
        ("soft", counted(pages, "page", "pages")),
    ];
    if retries > 0 {
        beside.push(("soft", counted(retries, "retry", "retries")));
    }
    html! {
        (ribbons(fetched, &outcomes, &beside, &description))
        div.stack.narrow role="img" aria-label=(description) {
            @for (name, count) in &outcomes {
                span style={ "width:" (Percent(*count as f64 / fetched as f64)) ";background:var(--" (name) ")" } {}
            }
        }
    }
}

/// Draws the ribbons. `beside` holds class and text of the lines on the left.
fn ribbons(
    fetched: u64,
    outcomes: &[(&str, u64)],
    beside: &[(&str, String)],
    description: &str,
) -> Markup {
    const TALL: f64 = 230.0;
    const ROW: f64 = 46.0;
    const GAP: f64 = 12.0;
    const TOP: f64 = 34.0;
    const LEFT: f64 = 176.0;
    const RIGHT: f64 = 636.0;
    const BEAM: f64 = 14.0;
    const TEXT: f64 = RIGHT + 30.0;
    let thick = |count: u64| TALL * count as f64 / fetched as f64;
    let slot = |count: u64| thick(count).max(ROW);
    let slots: f64 = outcomes.iter().map(|(_, count)| slot(*count)).sum();
    let gaps = GAP * (outcomes.len().max(1) - 1) as f64;
    let inner = (slots + gaps).max(TALL);
    let from = LEFT + BEAM;
    let middle = f64::midpoint(from, RIGHT);
    let beam_top = TOP + (inner - TALL) / 2.0;
    let mut left_top = beam_top;
    let mut top = TOP + (inner - slots - gaps) / 2.0;
    let mut drawn = html! {
        text.soft x=(At(LEFT)) y="14" text-anchor="end" { "from the API" }
        text.soft x=(At(middle)) y="14" text-anchor="middle" { "mapped, then judged by the decision table" }
        text.soft x=(At(TEXT)) y="14" { "what became of them" }
        rect x=(At(LEFT)) y=(At(beam_top)) width=(At(BEAM)) height=(At(TALL)) rx="3" fill="var(--ink)" {}
        @for (line, (class, text)) in beside.iter().enumerate() {
            text class=(class) x=(At(LEFT - 14.0)) y=(At(beam_top + TALL / 2.0 - 12.0 + 20.0 * line as f64))
                text-anchor="end" { (text) }
        }
    };
    for (name, count) in outcomes {
        let (width, slot) = (thick(*count), slot(*count));
        let height = width.max(3.0);
        // Upper and lower edge of the ribbon, on the left and on the right.
        let left_bottom = left_top + width.max(1.0);
        let right_top = top + (slot - height) / 2.0;
        let right_bottom = right_top + height;
        let ribbon = format!(
            "M{from} {left_top:.1}C{middle} {left_top:.1} {middle} {right_top:.1} {RIGHT} {right_top:.1}\
             L{RIGHT} {right_bottom:.1}C{middle} {right_bottom:.1} {middle} {left_bottom:.1} {from} {left_bottom:.1}Z"
        );
        let color = format!("var(--{name})");
        let share = percent(*count as f64 / fetched as f64);
        drawn = html! {
            (drawn)
            path d=(ribbon) fill=(color) fill-opacity="0.3" {}
            rect x=(At(RIGHT)) y=(At(right_top)) width=(At(BEAM)) height=(At(height)) rx=(At((height / 2.0).min(3.0)))
                fill=(color) {}
            text x=(At(TEXT)) y=(At(top + slot / 2.0 - 4.0)) {
                tspan.strong { (grouped(*count)) } " " (name) " \u{b7} " (share)
            }
            text.soft x=(At(TEXT)) y=(At(top + slot / 2.0 + 15.0)) { (outcome_meaning(name)) }
        };
        left_top += width;
        top += slot + GAP;
    }
    let caption = Caption {
        id: "flow-chart",
        title: "Where the records went",
        description,
    };
    svg(Screen::Broad, (TOP + inner + 8.0).round(), &caption, &drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_that_occurred_is_drawn_and_no_other() {
        let ledger = Ledger {
            fetched: 10,
            inserted: 9,
            rejected: 1,
            ..Ledger::default()
        };
        let drawn = flow(&ledger, 1, 0).into_string();
        for part in [
            "inserted \u{b7} 90.0 %",
            "rejected \u{b7} 10.0 %",
            "1 page<",
            "width:90.00%;background:var(--inserted)",
        ] {
            assert!(drawn.contains(part), "{part} is not in {drawn}");
        }
        assert!(!drawn.contains("spooled"), "{drawn}");
        let nothing = flow(&Ledger::default(), 0, 0).into_string();
        assert!(nothing.contains("No records"), "{nothing}");
    }
}
