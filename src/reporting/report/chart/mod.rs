//! The drawings of a report, as SVG in the page: where records went, how fast the API answered, how runs went over time.
//!
//! Each is drawn twice, for a wide and for a narrow screen; the style sheet shows one of them. Each has a title and a
//! description for screen readers, and never uses colour alone. This file has the frame and axes they share.

mod flow;
mod response_times;
mod trend;

use maud::{Markup, Render, html};

pub use flow::{flow, outcome_meaning};
pub use response_times::response_times;
pub use trend::{color, trend};

/// The screens that drawings are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Screen {
    Broad,
    Narrow,
}

impl Screen {
    /// The width of the drawing in its own units, each about a pixel on such a screen.
    const fn width(self) -> f64 {
        match self {
            Self::Broad => 960.0,
            Self::Narrow => 320.0,
        }
    }

    /// The class of the drawing, and the suffix of its ids.
    const fn name(self) -> &'static str {
        match self {
            Self::Broad => "broad",
            Self::Narrow => "narrow",
        }
    }
}

/// The title and description of a drawing.
struct Caption<'a> {
    id: &'a str,
    title: &'a str,
    description: &'a str,
}

/// The frame of a drawing.
fn svg(screen: Screen, height: f64, caption: &Caption<'_>, inside: &Markup) -> Markup {
    let name = screen.name();
    let id = |part: &str| format!("{}-{part}-{name}", caption.id);
    html! {
        div class={ "chart " (name) } {
            svg viewBox={ "0 0 " (screen.width()) " " (height) } role="img"
                aria-labelledby={ (id("title")) " " (id("text")) } {
                title id=(id("title")) { (caption.title) }
                desc id=(id("text")) { (caption.description) }
                (inside)
            }
        }
    }
}

/// A coordinate, printed with one decimal.
#[derive(Clone, Copy)]
struct At(f64);

impl Render for At {
    fn render_to(&self, out: &mut String) {
        out.push_str(&format!("{:.1}", self.0));
    }
}

/// The area of a plot.
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Area {
    /// The y coordinate for a share of the uppermost line.
    fn y(&self, share: f64) -> f64 {
        self.bottom - share * (self.bottom - self.top)
    }

    /// Horizontal lines with their values. Returns also the value of the uppermost line.
    fn grid(&self, greatest: f64, whole: bool, label: impl Fn(f64) -> String) -> (Markup, f64) {
        let step = step(greatest, whole);
        let lines = (greatest / step).ceil().max(1.0);
        let mut values = vec![0.0];
        while values[values.len() - 1] < lines {
            values.push(values[values.len() - 1] + 1.0);
        }
        let drawn = html! {
            @for line in &values {
                @let y = self.y(line / lines);
                line class=(if *line > 0.0 { "grid" } else { "axis" })
                    x1=(At(self.left)) x2=(At(self.right)) y1=(At(y)) y2=(At(y)) {}
                text.soft x=(At(self.left - 8.0)) y=(At(y + 4.0)) text-anchor="end" { (label(line * step)) }
            }
        };
        (drawn, lines * step)
    }
}

/// Steps of an axis of seconds that is longer than a minute.
const CLOCK: [f64; 10] = [
    20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
];

/// The step of an axis: 1, 2 or 5 times a power of ten, or a round time, so that at most five steps reach `greatest`.
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
}
