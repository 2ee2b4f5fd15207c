//! The drawings of a report, as SVG that stands in the page: where records went, how fast the API answered, how runs
//! went over time.
//!
//! Each has a title and a description for those who do not see it, and never tells apart by colour alone.

use super::history::{moment, outcome};
use super::html::{esc, percent, span};
use super::rows;
use crate::model::record::Ledger;
use crate::store::PastRun;
use crate::support::histogram::Histogram;
use crate::support::text::{counted, grouped};

const WIDTH: f64 = 960.0;

fn svg(name: &str, height: f64, title: &str, description: &str, inside: &str) -> String {
    format!(
        "<div class=\"chart\"><svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-labelledby=\"{name}-title {name}-text\">\
         <title id=\"{name}-title\">{}</title><desc id=\"{name}-text\">{}</desc>{inside}</svg></div>\n",
        esc(title),
        esc(description)
    )
}

/// What a fate means, in a few words.
pub fn fate(name: &str) -> &'static str {
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

/// From what was fetched to what became of it; ribbons are as thick as their share.
pub fn flow(ledger: &Ledger, pages: u64, retries: u64) -> String {
    const TALL: f64 = 230.0;
    const ROW: f64 = 46.0;
    const GAP: f64 = 12.0;
    const TOP: f64 = 34.0;
    const LEFT: f64 = 176.0;
    const RIGHT: f64 = 636.0;
    const BEAM: f64 = 14.0;
    let [(_, fetched), fates @ ..] = rows(ledger);
    if fetched == 0 {
        return "<p class=\"note\">No records were fetched.</p>\n".to_owned();
    }
    let fates: Vec<(&str, u64)> = fates.into_iter().filter(|(_, count)| *count > 0).collect();
    let thick = |count: u64| TALL * count as f64 / fetched as f64;
    let slot = |count: u64| thick(count).max(ROW);
    let slots: f64 = fates.iter().map(|(_, count)| slot(*count)).sum();
    let inner = (slots + GAP * (fates.len().max(1) - 1) as f64).max(TALL);
    let from = LEFT + BEAM;
    let middle = f64::midpoint(from, RIGHT);
    let text_x = RIGHT + 30.0;
    let mut left_y = TOP + (inner - TALL) / 2.0;
    let mut drawn = format!(
        "<text class=\"soft\" x=\"{LEFT}\" y=\"14\" text-anchor=\"end\">from the API</text>\
         <text class=\"soft\" x=\"{middle}\" y=\"14\" text-anchor=\"middle\">mapped, then judged by the decision table</text>\
         <text class=\"soft\" x=\"{text_x}\" y=\"14\">what became of them</text>\
         <rect x=\"{LEFT}\" y=\"{left_y:.1}\" width=\"{BEAM}\" height=\"{TALL}\" rx=\"3\" fill=\"var(--ink)\"/>"
    );
    let mut side = vec![
        ("big", grouped(fetched)),
        ("", "fetched".to_owned()),
        ("soft", counted(pages, "page", "pages")),
    ];
    if retries > 0 {
        side.push(("soft", counted(retries, "retry", "retries")));
    }
    for (line, (class, text)) in side.iter().enumerate() {
        drawn += &format!(
            "<text class=\"{class}\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT - 14.0,
            left_y + TALL / 2.0 - 12.0 + 20.0 * line as f64
        );
    }
    let mut top = TOP + (inner - slots - GAP * (fates.len().max(1) - 1) as f64) / 2.0;
    for (name, count) in &fates {
        let (width, slot) = (thick(*count), slot(*count));
        let height = width.max(3.0);
        // Upper and lower edge of the ribbon, on the left and on the right.
        let (left_top, left_bottom) = (left_y, left_y + width.max(1.0));
        let right_top = top + (slot - height) / 2.0;
        let right_bottom = right_top + height;
        drawn += &format!(
            "<path d=\"M{from} {left_top:.1}C{middle} {left_top:.1} {middle} {right_top:.1} {RIGHT} {right_top:.1}\
             L{RIGHT} {right_bottom:.1}C{middle} {right_bottom:.1} {middle} {left_bottom:.1} {from} {left_bottom:.1}Z\" \
             fill=\"var(--{name})\" fill-opacity=\"0.3\"/>\
             <rect x=\"{RIGHT}\" y=\"{right_top:.1}\" width=\"{BEAM}\" height=\"{height:.1}\" rx=\"{:.1}\" fill=\"var(--{name})\"/>\
             <text x=\"{text_x}\" y=\"{:.1}\"><tspan class=\"strong\">{}</tspan> {name} \u{b7} {}</text>\
             <text class=\"soft\" x=\"{text_x}\" y=\"{:.1}\">{}</text>",
            (height / 2.0).min(3.0),
            top + slot / 2.0 - 4.0,
            grouped(*count),
            esc(&percent(*count as f64 / fetched as f64)),
            top + slot / 2.0 + 15.0,
            fate(name),
        );
        left_y += width;
        top += slot + GAP;
    }
    let told: Vec<String> = fates
        .iter()
        .map(|(name, count)| format!("{} {name}", grouped(*count)))
        .collect();
    svg(
        "flow-chart",
        TOP + inner + 8.0,
        "Where the records went",
        &format!("{} fetched: {}.", grouped(fetched), told.join(", ")),
        &drawn,
    )
}

/// Where a plot is drawn.
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Area {
    fn y(&self, share: f64) -> f64 {
        self.bottom - share * (self.bottom - self.top)
    }

    /// Lines across, with their values; returns the value of the uppermost.
    fn grid(
        &self,
        out: &mut String,
        greatest: f64,
        whole: bool,
        label: impl Fn(f64) -> String,
    ) -> f64 {
        let step = step(greatest, whole);
        let lines = (greatest / step).ceil().max(1.0);
        let mut line = 0.0;
        while line <= lines {
            let y = self.y(line / lines);
            *out += &format!(
                "<line class=\"{}\" x1=\"{}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"soft\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                if line == 0.0 { "axis" } else { "grid" },
                self.left,
                self.right,
                self.left - 8.0,
                y + 4.0,
                esc(&label(line * step))
            );
            line += 1.0;
        }
        lines * step
    }
}

/// What an axis of seconds counts in beyond a minute.
const CLOCK: [f64; 10] = [
    20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
];

/// 1, 2 or 5 times a power of ten, or a round time, so that at most five of them reach `greatest`.
fn step(greatest: f64, whole: bool) -> f64 {
    if !whole && (60.0..36_000.0).contains(&greatest) {
        let round = CLOCK.into_iter().find(|step| *step >= greatest / 5.0);
        return round.unwrap_or(7200.0);
    }
    let least = (greatest / 5.0).max(if whole { 1.0 } else { 1e-6 });
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * 0.999_999)
        .unwrap_or(power * 10.0)
}

/// How long answers took: a bar for each half of a doubling, on a logarithmic axis.
pub fn response_times(answers: &Histogram, alert_seconds: f64) -> String {
    const FEWEST: usize = 9;
    const LABEL: f64 = 160.0;
    let mut bars = answers.bars();
    if bars.is_empty() {
        return "<p class=\"note\">Nothing was asked of the API.</p>\n".to_owned();
    }
    // A few bars would be drawn as walls.
    while bars.len() < FEWEST {
        let (lower, upper) = (bars[0].0, bars[bars.len() - 1].1);
        bars.insert(0, (lower / std::f64::consts::SQRT_2, lower, 0));
        bars.push((upper, upper * std::f64::consts::SQRT_2, 0));
    }
    let area = Area {
        left: 64.0,
        top: 74.0,
        right: WIDTH - 16.0,
        bottom: 276.0,
    };
    let mut drawn = String::new();
    let most = bars.iter().map(|(_, _, count)| *count).max().unwrap_or(1);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of answers"
    )]
    let count = |value: f64| grouped(value.round() as u64);
    let top = area.grid(&mut drawn, most as f64, true, count);
    let (first, last) = (bars[0].0.log2(), bars[bars.len() - 1].1.log2());
    let x = |seconds: f64| {
        area.left + (seconds.log2() - first) / (last - first) * (area.right - area.left)
    };
    for (lower, upper, count) in bars.iter().filter(|(_, _, count)| *count > 0) {
        let (from, to) = (x(*lower) + 1.0, x(*upper) - 1.0);
        let y = area.y(*count as f64 / top).min(area.bottom - 2.0);
        drawn += &format!(
            "<rect class=\"response\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\">\
             <title>{}: {} to {}</title></rect>",
            to - from,
            area.bottom - y,
            grouped(*count),
            esc(&span(*lower)),
            esc(&span(*upper))
        );
    }
    let mut tick = 10_f64.powf(bars[0].0.log10().floor());
    let mut factors = [2.0, 2.5, 2.0].into_iter().cycle();
    while tick.log2() <= last {
        let at = if tick.log2() < first { 0.0 } else { x(tick) };
        if at > 0.0 {
            drawn += &format!(
                "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{}\"/>",
                area.bottom,
                area.bottom + 5.0
            );
        }
        // A label at the very edge would be cut.
        if at > area.left && at < area.right - 16.0 {
            drawn += &format!(
                "<text class=\"soft\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                area.bottom + 21.0,
                esc(&span(tick))
            );
        }
        tick *= factors.next().unwrap_or(10.0);
    }
    let (median, slow) = (answers.quantile(0.5), answers.quantile(0.95));
    // The slowest on top, each label to the left of its line: a line that begins further down crosses none of them.
    let mut marks = vec![(slow, "95 % within"), (median, "median")];
    if alert_seconds.log2() <= last {
        marks.insert(0, (alert_seconds, "alert above"));
    }
    for (row, (seconds, name)) in marks.into_iter().enumerate() {
        let at = x(seconds).clamp(area.left, area.right);
        let y = 16.0 + 20.0 * row as f64;
        let (anchor, dx) = if at - area.left > LABEL {
            ("end", -6.0)
        } else {
            ("start", 6.0)
        };
        drawn += &format!(
            "<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{}\"/>\
             <text class=\"over\" x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{name} {}</text>",
            y - 11.0,
            area.bottom,
            at + dx,
            esc(&span(seconds))
        );
    }
    svg(
        "responses-chart",
        308.0,
        "How long the API took to answer",
        &format!(
            "{}: median {}, 95 % within {}, slowest {}.",
            counted(answers.count(), "request", "requests"),
            span(median),
            span(slow),
            span(answers.max())
        ),
        &drawn,
    )
}

/// The colour of a run's outcome.
pub fn color(run: &PastRun) -> &'static str {
    match outcome(run) {
        // A threshold was crossed, or write-back failed.
        "success" if run.exit_code.is_some_and(|code| code != 0) => "partial",
        "success" => "good",
        "partial" => "partial",
        "failed" | "killed" => "bad",
        _ => "mute",
    }
}

/// Durations of runs, oldest first; `this` is the run the report is about.
pub fn trend(runs: &[&PastRun], this: Option<&str>) -> String {
    const WIDEST: f64 = 46.0;
    let area = Area {
        left: 72.0,
        top: 30.0,
        right: WIDTH - 8.0,
        bottom: 208.0,
    };
    let mut drawn = "<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
        <rect width=\"3\" height=\"6\" fill=\"var(--card)\" fill-opacity=\"0.55\"/></pattern></defs>"
        .to_owned();
    let longest = runs
        .iter()
        .filter_map(|run| run.seconds)
        .fold(0.001, f64::max);
    let top = area.grid(&mut drawn, longest, false, span);
    let room = area.right - area.left;
    let slot = (room / runs.len().max(1) as f64).min(WIDEST);
    let width = (slot * 0.72).max(2.0);
    let start = area.left + (room - slot * runs.len() as f64).min(10.0);
    let mut dates = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let left = start + slot * i as f64 + (slot - width) / 2.0;
        let center = left + width / 2.0;
        let color = color(run);
        let y = area
            .y(run.seconds.unwrap_or_default() / top)
            .min(area.bottom - 2.0);
        let place = format!(
            "x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"2\"",
            area.bottom - y
        );
        drawn += &format!(
            "<g><title>{}, {}, {}: {} fetched</title><rect {place} fill=\"var(--{color})\"/>",
            esc(&moment(&run.started_at)),
            outcome(run),
            run.seconds
                .map_or_else(|| "no end known".to_owned(), |seconds| esc(&span(seconds))),
            grouped(run.fetched)
        );
        if color != "good" {
            drawn += &format!("<rect {place} fill=\"url(#hatch)\"/>");
        }
        if color == "bad" && width >= 5.0 {
            let half = (width / 2.0).min(4.0);
            drawn += &format!(
                "<path d=\"M{:.1} {:.1}l{size} {size}m0 -{size}l-{size} {size}\" fill=\"none\" stroke=\"var(--bad)\" stroke-width=\"2\" stroke-linecap=\"round\"/>",
                center - half,
                y - 8.0 - half,
                size = half * 2.0
            );
        }
        if this == Some(run.run_id.as_str()) {
            drawn += &format!(
                "<rect x=\"{left:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"4\" rx=\"2\" fill=\"var(--ink)\"/>",
                area.bottom + 4.0
            );
        }
        drawn += "</g>";
        dates.push((center, moment(&run.started_at)));
    }
    drawn += &labels(&dates, &area);
    svg(
        "trend-chart",
        242.0,
        "How long runs took",
        &format!(
            "{} runs, oldest first; the longest took {}. The table below has the figures.",
            runs.len(),
            span(longest)
        ),
        &drawn,
    )
}

/// As many dates below their bars as there is room for; the newest always has one.
fn labels(dates: &[(f64, String)], area: &Area) -> String {
    const LABEL: f64 = 78.0;
    const APART: f64 = 16.0;
    let mut drawn = String::new();
    let mut free_to = f64::INFINITY;
    for (center, date) in dates.iter().rev() {
        let at = center.clamp(area.left + LABEL / 2.0 - 40.0, area.right - LABEL / 2.0);
        if at + LABEL / 2.0 + APART > free_to {
            continue;
        }
        free_to = at - LABEL / 2.0;
        let date: String = date.chars().skip(5).take(11).collect();
        drawn += &format!(
            "<text class=\"soft\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            area.bottom + 24.0,
            esc(&date)
        );
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_an_axis_are_round() {
        for (greatest, expected) in [
            (5.0, 1.0),
            (7.0, 2.0),
            (22.0, 5.0),
            (0.043, 0.01),
            (147.0, 30.0),
            (900.0, 300.0),
            (50_000.0, 10_000.0),
        ] {
            let step = step(greatest, false);
            assert!((step - expected).abs() < 1e-9, "{greatest}: {step}");
        }
        assert!(
            (step(1.0, true) - 1.0).abs() < 1e-9,
            "there is no half answer"
        );
    }

    #[test]
    fn every_fate_that_occurred_is_drawn_and_no_other() {
        let ledger = Ledger {
            fetched: 10,
            inserted: 9,
            rejected: 1,
            ..Ledger::default()
        };
        let drawn = flow(&ledger, 1, 0);
        for part in [
            "inserted \u{b7} 90.0 %",
            "rejected \u{b7} 10.0 %",
            "1 page<",
        ] {
            assert!(drawn.contains(part), "{part} is not in {drawn}");
        }
        assert!(!drawn.contains("spooled"), "{drawn}");
        assert!(flow(&Ledger::default(), 0, 0).contains("No records"));
    }
}
