//! The drawing of how long the last runs took, and how they ended.

use maud::{Markup, html};

use super::{Area, At, Caption, Screen, svg};
use crate::reporting::report::history::{moment, outcome};
use crate::reporting::report::html::span;
use crate::store::PastRun;
use crate::support::text::{counted, grouped};

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

/// A bar for each run, oldest first. `this` is the run that the report is about.
pub fn trend(runs: &[&PastRun], this: Option<&str>) -> Markup {
    html! {
        (drawn_for(Screen::Broad, runs, this))
        (drawn_for(Screen::Narrow, runs, this))
    }
}

fn drawn_for(screen: Screen, runs: &[&PastRun], this: Option<&str>) -> Markup {
    const WIDEST: f64 = 46.0;
    let area = Area {
        left: 72.0,
        top: 30.0,
        right: screen.width() - 8.0,
        bottom: 208.0,
    };
    let longest = runs
        .iter()
        .filter_map(|run| run.seconds)
        .fold(0.001, f64::max);
    let (grid, top) = area.grid(longest, false, span);
    let room = area.right - area.left;
    let slot = (room / runs.len().max(1) as f64).min(WIDEST);
    let width = (slot * 0.72).max(2.0);
    let start = area.left + (room - slot * runs.len() as f64).min(10.0);
    let left = |i: usize| start + slot * i as f64 + (slot - width) / 2.0;
    let hatch = format!("hatch-{}", screen.name());
    let times: Vec<(f64, String)> = runs
        .iter()
        .enumerate()
        .map(|(i, run)| (left(i) + width / 2.0, moment(&run.started_at)))
        .collect();
    let drawn = html! {
        defs {
            pattern id=(hatch) width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                rect width="3" height="6" fill="var(--card)" fill-opacity="0.55" {}
            }
        }
        (grid)
        @for (i, run) in runs.iter().enumerate() {
            @let bar = Bar { left: left(i), width, top: area.y(run.seconds.unwrap_or_default() / top).min(area.bottom - 2.0) };
            g {
                title {
                    (moment(&run.started_at)) ", " (outcome(run)) ", "
                    (run.seconds.map_or_else(|| "no end known".to_owned(), span)) ": " (grouped(run.fetched)) " fetched"
                }
                (bar.drawn(&area, color(run), &hatch))
                @if this == Some(run.run_id.as_str()) {
                    rect x=(At(bar.left)) y=(At(area.bottom + 4.0)) width=(At(width)) height="4" rx="2" fill="var(--ink)" {}
                }
            }
        }
        (labels(&times, &area))
    };
    let caption = Caption {
        id: "trend-chart",
        title: "How long runs took",
        description: &format!(
            "{}, oldest first; the longest took {}. The table below has the figures.",
            counted(runs.len() as u64, "run", "runs"),
            span(longest)
        ),
    };
    svg(screen, 242.0, &caption, &drawn)
}

/// One bar of the plot.
struct Bar {
    left: f64,
    width: f64,
    top: f64,
}

impl Bar {
    /// Draws the bar in the colour of the run's outcome: hatched unless that is good, and with a cross above if it is bad.
    fn drawn(&self, area: &Area, color: &str, hatch: &str) -> Markup {
        let fills = [
            Some(format!("var(--{color})")),
            (color != "good").then(|| format!("url(#{hatch})")),
        ];
        let half = (self.width / 2.0).min(4.0);
        let cross = format!(
            "M{:.1} {:.1}l{size} {size}m0 -{size}l-{size} {size}",
            self.left + self.width / 2.0 - half,
            self.top - 8.0 - half,
            size = half * 2.0
        );
        html! {
            @for fill in fills.into_iter().flatten() {
                rect x=(At(self.left)) y=(At(self.top)) width=(At(self.width)) height=(At(area.bottom - self.top))
                    rx="2" fill=(fill) {}
            }
            @if color == "bad" && self.width >= 5.0 {
                path d=(cross) fill="none" stroke="var(--bad)" stroke-width="2" stroke-linecap="round" {}
            }
        }
    }
}

/// The times below their bars, as many as fit. The newest run always has one, and no two texts are the same.
fn labels(times: &[(f64, String)], area: &Area) -> Markup {
    const APART: f64 = 16.0;
    // Such as `11-24 23:00`, with seconds if two runs began within a minute.
    let part = |time: &str, length: usize| time.chars().skip(5).take(length).collect::<String>();
    let close = times
        .windows(2)
        .any(|pair| part(&pair[0].1, 11) == part(&pair[1].1, 11));
    let (length, room) = if close { (14, 98.0) } else { (11, 78.0) };
    let mut shown: Vec<(f64, String)> = Vec::new();
    let mut free_to = f64::INFINITY;
    for (center, time) in times.iter().rev() {
        let at = center.clamp(area.left + room / 2.0 - 40.0, area.right - room / 2.0);
        let time = part(time, length);
        let repeated = shown.last().is_some_and(|(_, last)| *last == time);
        if at + room / 2.0 + APART > free_to || repeated {
            continue;
        }
        free_to = at - room / 2.0;
        shown.push((at, time));
    }
    html! {
        @for (at, time) in &shown {
            text.soft x=(At(*at)) y=(At(area.bottom + 24.0)) text-anchor="middle" { (time) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(times: &[&str]) -> String {
        let area = Area {
            left: 72.0,
            top: 30.0,
            right: 952.0,
            bottom: 208.0,
        };
        let times: Vec<(f64, String)> = times
            .iter()
            .enumerate()
            .map(|(i, time)| (200.0 * (i + 1) as f64, (*time).to_owned()))
            .collect();
        labels(&times, &area).into_string()
    }

    #[test]
    fn times_on_the_axis_tell_runs_apart() {
        let hours = labelled(&["2026-11-25 01:00:22", "2026-11-25 02:00:19"]);
        assert!(hours.contains(">11-25 01:00<") && hours.contains(">11-25 02:00<"));
        let seconds = labelled(&["2026-11-25 01:00:19", "2026-11-25 01:00:22"]);
        assert!(seconds.contains(">11-25 01:00:19<") && seconds.contains(">11-25 01:00:22<"));
        let same = labelled(&["2026-11-25 01:00:19", "2026-11-25 01:00:19"]);
        assert_eq!(same.matches("01:00:19").count(), 1, "{same}");
    }
}
