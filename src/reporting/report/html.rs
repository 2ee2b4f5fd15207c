//! The shell of a report page, and how text, numbers and tables are put into it.
//!
//! A page needs nothing but itself: no script, no font, no picture from elsewhere, and its policy forbids them.

use crate::support::text::clean;

const STYLE: &str = include_str!("page.css");

/// Text made safe for any place of a page, attributes included.
pub fn esc(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// A whole page; `body` is HTML already.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        esc(title)
    )
}

/// A part of the page with its heading; `note` and `inside` are HTML already.
pub fn section(name: &str, heading: &str, note: &str, inside: &str) -> String {
    let note = if note.is_empty() {
        String::new()
    } else {
        format!("<p class=\"note\">{note}</p>\n")
    };
    format!(
        "<section aria-labelledby=\"{name}\">\n<h2 id=\"{name}\">{}</h2>\n{note}{inside}</section>\n",
        esc(heading)
    )
}

/// A figure with its name, and a word beside it.
pub fn tile(name: &str, figure: &str, beside: &str) -> String {
    format!(
        "<div><dt>{}</dt><dd class=\"figure\">{}</dd><dd class=\"beside\">{}</dd></div>\n",
        esc(name),
        esc(figure),
        esc(beside)
    )
}

/// A bar of so much of its track.
pub fn bar(color: &str, share: f64) -> String {
    let filled = if share > 0.0 {
        format!(
            "<span style=\"width:{:.2}%;background:var(--{color})\"></span>",
            100.0 * share.min(1.0)
        )
    } else {
        String::new()
    };
    format!("<span class=\"bar\" aria-hidden=\"true\">{filled}</span>")
}

/// A table: its columns as name and class, its lines as HTML.
pub fn table(caption: &str, columns: &[(&str, &str)], lines: &str) -> String {
    let caption = if caption.is_empty() {
        String::new()
    } else {
        format!("<caption>{}</caption>", esc(caption))
    };
    let heads = joined(columns.iter().map(|(name, class)| {
        if name.is_empty() {
            format!("<td class=\"{class}\"></td>")
        } else {
            format!("<th scope=\"col\" class=\"{class}\">{}</th>", esc(name))
        }
    }));
    format!(
        "<div class=\"scroll\"><table>{caption}<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}</tbody></table></div>\n"
    )
}

/// Parts, one after the other.
pub fn joined(parts: impl IntoIterator<Item = String>) -> String {
    parts
        .into_iter()
        .fold(String::new(), |out, part| out + &part)
}

/// `93.2 %`; what is there is never shown as nothing, nor what is short of all as all.
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

/// A time span in the unit that suits it: `0.4 ms`, `250 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`.
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
        assert_eq!(
            esc("<b a='1' c=\"2\">&\u{1b}[31m\u{202e}"),
            "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;\\u{1b}[31m\\u{202e}"
        );
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
