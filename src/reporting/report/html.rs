//! The frame of a report page, and its building blocks: tables, bars, figures.
//!
//! Every text becomes HTML through `maud`, which escapes whatever is not markup in this source, and [`page`] makes control
//! characters visible. So no value of a record can become markup. A page is self-contained, without scripts, fonts or
//! pictures from elsewhere, and its policy forbids them.

use maud::{Markup, PreEscaped, Render, html};

use crate::support::text::clean;

const STYLE: &str = include_str!("page.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A whole page of these parts, one per line.
pub fn page(title: &str, parts: &[Markup]) -> String {
    let page = html! {
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (clean(title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                @for part in parts {
                    // Our own markup has no control characters, not even line breaks, so all of them come from values.
                    (PreEscaped(clean(&part.0)))
                    (PreEscaped("\n"))
                }
            }
        }
    };
    format!("<!doctype html>\n{}\n", page.into_string())
}

/// A part of the page, with a heading. `name` is its id.
pub fn section(name: &str, heading: &str, note: &Markup, inside: &Markup) -> Markup {
    html! {
        section aria-labelledby=(name) {
            h2 id=(name) { (heading) }
            @if !note.0.is_empty() { p.note { (note) } }
            (inside)
        }
    }
}

/// A list of sentences that must be seen first. `class` sets the colour of its edge.
pub fn notice(class: &str, heading: &str, sentences: &[String], below: &Markup) -> Markup {
    html! {
        section class={ "notice " (class) } aria-labelledby="notice" {
            h2 id="notice" { (heading) }
            ul { @for sentence in sentences { li { (sentence) } } }
            (below)
        }
    }
}

/// A figure, with its name and a remark.
pub fn tile(name: &str, figure: &str, remark: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd.figure { (figure) }
            dd.remark { (remark) }
        }
    }
}

/// A bar that fills this share of its track. `color` is a variable of the style sheet.
pub fn bar(color: &str, share: f64) -> Markup {
    html! {
        span.bar aria-hidden="true" {
            @if share > 0.0 {
                span style={ "width:" (Percent(share.min(1.0))) ";background:var(--" (color) ")" } {}
            }
        }
    }
}

/// A square in a colour of the style sheet, for a legend.
pub fn swatch(color: &str) -> Markup {
    html! { span.swatch aria-hidden="true" style={ "background:var(--" (color) ")" } {} }
}

/// A row of a table. Its first cell is its heading.
#[derive(Debug)]
pub struct Row {
    /// The cells, one for each column of the table.
    pub cells: Vec<Markup>,
    /// True if the row is about the run that the page is about.
    pub current: bool,
}

impl From<Vec<Markup>> for Row {
    fn from(cells: Vec<Markup>) -> Self {
        Self {
            cells,
            current: false,
        }
    }
}

/// A table of columns (name and class). With the class `cards` each row becomes a card with named cells on a narrow screen.
pub fn table(class: &str, caption: &str, columns: &[(&str, &str)], rows: &[Row]) -> Markup {
    let class_of = |class: &'_ str| (!class.is_empty()).then(|| class.to_owned());
    html! {
        div.scroll {
            table class=[class_of(class)] {
                @if !caption.is_empty() { caption { (caption) } }
                thead {
                    tr {
                        @for (name, class) in columns {
                            @if name.is_empty() { td class=[class_of(class)] {} }
                            @else { th scope="col" class=[class_of(class)] { (name) } }
                        }
                    }
                }
                tbody {
                    @for row in rows {
                        tr class=[row.current.then_some("this")] aria-current=[row.current.then_some("true")] {
                            @for (i, (cell, (name, class))) in row.cells.iter().zip(columns).enumerate() {
                                @if i == 0 { th scope="row" class=[class_of(class)] { (cell) } }
                                @else { td class=[class_of(class)] data-column=(name) { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A text or a count, as a cell of a table.
pub fn cell(text: &str) -> Markup {
    html! { (text) }
}

/// A share, printed for CSS: `93.15%`.
#[derive(Clone, Copy, Debug)]
pub struct Percent(pub f64);

impl Render for Percent {
    fn render_to(&self, out: &mut String) {
        out.push_str(&format!("{:.2}%", 100.0 * self.0));
    }
}

/// A share as `93.2 %`. A small share is never shown as 0 %, nor a large one as 100 %.
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent > 0.0 && percent < 0.05 {
        "< 0.1 %".to_owned()
    } else if (99.95..100.0).contains(&percent) {
        "> 99.9 %".to_owned()
    } else {
        format!("{percent:.1} %")
    }
}

/// A duration in a suitable unit: `0.4 ms`, `250 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, not negative"
)]
pub fn span(seconds: f64) -> String {
    let round = |value: f64| {
        let text = if value < 9.95 {
            format!("{value:.1}")
        } else {
            format!("{value:.0}")
        };
        text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
    };
    match seconds {
        _ if seconds <= 0.0 => "0".to_owned(),
        _ if seconds < 0.000_095 => "< 0.1 ms".to_owned(),
        _ if seconds < 0.9995 => format!("{} ms", round(seconds * 1e3)),
        _ if seconds < 99.5 => format!("{} s", round(seconds)),
        _ => {
            let whole = seconds.round() as u64;
            let (large, small, names) = if whole < 3600 {
                (whole / 60, whole % 60, ("min", "s"))
            } else {
                (whole / 3600, whole % 3600 / 60, ("h", "min"))
            };
            if small == 0 {
                format!("{large} {}", names.0)
            } else {
                format!("{large} {} {small} {}", names.0, names.1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_can_become_markup() {
        let value = "<b a='1' c=\"2\">&\n\u{1b}[31m\u{202e}";
        let part = html! { p title=(value) { (value) } };
        let shown = page("<title>", &[part]);
        let escaped = "&lt;b a='1' c=&quot;2&quot;&gt;&amp;\\u{a}\\u{1b}[31m\\u{202e}";
        assert!(
            shown.contains(&format!("<p title=\"{escaped}\">{escaped}</p>")),
            "{shown}"
        );
        assert!(shown.contains("<title>&lt;title&gt;</title>"), "{shown}");
    }

    #[test]
    fn spans_are_written_in_the_unit_that_suits_them() {
        for (seconds, text) in [
            (0.0, "0"),
            (0.000_01, "< 0.1 ms"),
            (0.0004, "0.4 ms"),
            (0.02, "20 ms"),
            (0.9999, "1 s"),
            (3.21, "3.2 s"),
            (59.6, "60 s"),
            (250.0, "4 min 10 s"),
            (7500.0, "2 h 5 min"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn little_is_not_nothing_and_nearly_all_is_not_all() {
        assert_eq!(percent(0.0), "0.0 %");
        assert_eq!(percent(0.0001), "< 0.1 %");
        assert_eq!(percent(0.9999), "> 99.9 %");
        assert_eq!(percent(1.0), "100.0 %");
    }
}
