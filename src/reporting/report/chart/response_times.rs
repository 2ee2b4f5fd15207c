//! The drawing of how long the API took to answer.

use maud::{Markup, html};

use super::{Area, At, Caption, Screen, svg};
use crate::reporting::report::html::span;
use crate::support::histogram::Histogram;
use crate::support::text::{counted, grouped};

/// The width of a label that names a line.
const MARK_LABEL: f64 = 160.0;
/// The least distance of two labels below the axis.
const TICK_LABEL: f64 = 52.0;
/// The least number of bars. With fewer, each would be too wide.
const FEWEST_BARS: usize = 9;

/// One bar for each half of a doubling, on a logarithmic axis.
pub fn response_times(answers: &Histogram, alert_seconds: f64) -> Markup {
    if answers.bars().is_empty() {
        return html! { p.note { "Nothing was asked of the API." } };
    }
    html! {
        (drawn_for(Screen::Broad, answers, alert_seconds))
        (drawn_for(Screen::Narrow, answers, alert_seconds))
    }
}

fn drawn_for(screen: Screen, answers: &Histogram, alert_seconds: f64) -> Markup {
    let mut bars = answers.bars();
    while bars.len() < FEWEST_BARS {
        let (lower, upper) = (bars[0].0, bars[bars.len() - 1].1);
        bars.insert(0, (lower / std::f64::consts::SQRT_2, lower, 0));
        bars.push((upper, upper * std::f64::consts::SQRT_2, 0));
    }
    let area = Area {
        left: 64.0,
        top: 74.0,
        right: screen.width() - 16.0,
        bottom: 276.0,
    };
    let most = bars.iter().map(|(_, _, count)| *count).max().unwrap_or(1);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of answers"
    )]
    let count = |value: f64| grouped(value.round() as u64);
    let (grid, top) = area.grid(most as f64, true, count);
    let (first, last) = (bars[0].0.log2(), bars[bars.len() - 1].1.log2());
    let x = |seconds: f64| {
        area.left + (seconds.log2() - first) / (last - first) * (area.right - area.left)
    };
    let (median, slow) = (answers.quantile(0.5), answers.quantile(0.95));
    // The slowest is on top, and each label is left of its line. So a line that begins further down crosses no label.
    let mut marks = vec![(slow, "95 % within"), (median, "median")];
    if alert_seconds.log2() <= last {
        marks.insert(0, (alert_seconds, "alert above"));
    }
    let drawn = html! {
        (grid)
        @for (lower, upper, count) in bars.iter().filter(|(_, _, count)| *count > 0) {
            @let (from, to) = (x(*lower) + 1.0, x(*upper) - 1.0);
            @let y = area.y(*count as f64 / top).min(area.bottom - 2.0);
            rect.response x=(At(from)) y=(At(y)) width=(At((to - from).max(1.0))) height=(At(area.bottom - y)) rx="2" {
                title { (grouped(*count)) ": " (span(*lower)) " to " (span(*upper)) }
            }
        }
        (ticks(&area, bars[0].0, last, x))
        @for (row, (seconds, name)) in marks.into_iter().enumerate() {
            (mark(&area, x(seconds), row, &format!("{name} {}", span(seconds))))
        }
    };
    let caption = Caption {
        id: "responses-chart",
        title: "How long the API took to answer",
        description: &format!(
            "{}: median {}, 95 % within {}, slowest {}.",
            counted(answers.count(), "request", "requests"),
            span(median),
            span(slow),
            span(answers.max())
        ),
    };
    svg(screen, 308.0, &caption, &drawn)
}

/// The axis: 1, 2 and 5 times the powers of ten, with as many labels as fit.
fn ticks(area: &Area, lowest: f64, last: f64, x: impl Fn(f64) -> f64) -> Markup {
    let mut tick = 10_f64.powf(lowest.log10().floor());
    let mut factors = [2.0, 2.5, 2.0].into_iter().cycle();
    let mut places = Vec::new();
    let mut free_from = area.left;
    while tick.log2() <= last {
        if tick >= lowest {
            let at = x(tick);
            // A label at the very edge would be cut off.
            let labelled = at >= free_from && at > area.left && at < area.right - 16.0;
            if labelled {
                free_from = at + TICK_LABEL;
            }
            places.push((at, labelled.then(|| span(tick))));
        }
        tick *= factors.next().unwrap_or(10.0);
    }
    html! {
        @for (at, label) in &places {
            line.axis x1=(At(*at)) x2=(At(*at)) y1=(At(area.bottom)) y2=(At(area.bottom + 5.0)) {}
            @if let Some(label) = label {
                text.soft x=(At(*at)) y=(At(area.bottom + 21.0)) text-anchor="middle" { (label) }
            }
        }
    }
}

/// A vertical line, with its label in the given row above the plot.
fn mark(area: &Area, at: f64, row: usize, label: &str) -> Markup {
    let at = at.clamp(area.left, area.right);
    let y = 16.0 + 20.0 * row as f64;
    let (anchor, dx) = if at - area.left > MARK_LABEL {
        ("end", -6.0)
    } else {
        ("start", 6.0)
    };
    html! {
        line.mark x1=(At(at)) x2=(At(at)) y1=(At(y - 11.0)) y2=(At(area.bottom)) {}
        text.over x=(At(at + dx)) y=(At(y)) text-anchor=(anchor) { (label) }
    }
}
