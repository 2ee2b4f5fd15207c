//! The figures as a chart: one group of bars a suite, first load and the load after it. It must not know how the figures
//! came about.

/// One bar of a group: its name, and the seconds of the first load and of the next one.
pub struct Bar<'a> {
    pub name: &'a str,
    pub first: Option<f64>,
    pub again: Option<f64>,
}

const WIDTH: f64 = 820.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 300.0;
const LONGEST: f64 = 430.0;
const LINE: f64 = 16.0;
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600}.v{font-size:11px}\
.a{fill:#2f6feb}.b{fill:#8fb4f8}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.a{fill:#4c8dff}.b{fill:#2b4f8f}}";

/// All groups, each scaled to its own longest bar, as one SVG document.
pub fn svg(groups: &[(String, Vec<Bar<'_>>)]) -> String {
    let mut body = String::new();
    let mut y = 24.0;
    for (title, bars) in groups {
        text(&mut body, "t", 12.0, y, title);
        y += 10.0;
        let longest = bars
            .iter()
            .flat_map(|bar| [bar.first, bar.again])
            .flatten()
            .fold(f64::MIN_POSITIVE, f64::max);
        for bar in bars {
            text(&mut body, "n", 12.0, y + 14.0, bar.name);
            for (class, seconds, label) in [("a", bar.first, "first"), ("b", bar.again, "again")] {
                let Some(seconds) = seconds else { continue };
                let length = seconds / longest * LONGEST;
                let (top, height) = (y + 3.0, LINE - 3.0);
                body += &format!(
                    r#"<rect class="{class}" x="{LEFT}" y="{top:.0}" width="{length:.1}" height="{height:.0}" rx="2"/>"#
                );
                let label = format!("{seconds:.2} s {label}");
                text(&mut body, "v", LEFT + length + 6.0, y + 13.0, &label);
                y += LINE;
            }
            y += 4.0;
        }
        y += 24.0;
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img"><title>Seconds to load, first and again</title><style>{STYLE}</style>{body}</svg>
"#
    )
}

fn text(out: &mut String, class: &str, x: f64, y: f64, words: &str) {
    let words = words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    *out += &format!(r#"<text class="{class}" x="{x:.0}" y="{y:.0}">{words}</text>"#);
}
