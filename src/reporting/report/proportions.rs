//! What became of the records of a run, as one line for a terminal: a bar with a legend.

use crate::model::record::Ledger;

/// The longest bar, in columns.
const LONGEST: usize = 60;
/// A shorter bar shows nothing useful, so the legend is left out instead.
const SHORTEST: usize = 16;
/// The number of columns before the bar, and between the parts of the legend.
const GAP: usize = 2;

/// One outcome on the bar, with its number of records and of columns.
struct Part {
    name: &'static str,
    records: u64,
    columns: usize,
}

/// The line, as wide as the terminal at most, with a newline; none if nothing was fetched. Each outcome has its own sign.
pub fn proportions(ledger: &Ledger, terminal: usize, colors: bool) -> Option<String> {
    let [(_, fetched), outcomes @ ..] = ledger.counts();
    let mut parts: Vec<Part> = outcomes
        .into_iter()
        .filter(|(_, records)| *records > 0)
        .map(|(name, records)| Part {
            name,
            records,
            columns: 0,
        })
        .collect();
    if fetched == 0 || parts.is_empty() {
        return None;
    }
    // Each part of the legend has a sign, a blank and a name.
    let legend: usize = parts
        .iter()
        .map(|part| GAP + 2 + part.name.chars().count())
        .sum();
    // The last column stays empty, because a terminal wraps when it is written.
    let room = terminal.saturating_sub(GAP + 1);
    let with_legend = room >= legend + SHORTEST;
    let bar = if with_legend { room - legend } else { room }.min(LONGEST);
    let bar = bar.max(parts.len());
    divide(&mut parts, fetched, bar);
    let mut line = " ".repeat(GAP);
    for part in &parts {
        line += &painted(part.name, &sign(part.name).repeat(part.columns), colors);
    }
    if with_legend {
        for part in &parts {
            line += &" ".repeat(GAP);
            line += &painted(part.name, sign(part.name), colors);
            line += " ";
            line += part.name;
        }
    }
    Some(line + "\n")
}

/// Gives each part its columns: in proportion to its share, at least one, and together the whole bar.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of the bar"
)]
fn divide(parts: &mut [Part], fetched: u64, bar: usize) {
    for part in &mut *parts {
        let share = part.records as f64 / fetched as f64;
        part.columns = ((share * bar as f64).round() as usize).max(1);
    }
    // The difference from rounding is corrected at the longest part, where it is least visible.
    let mut used: usize = parts.iter().map(|part| part.columns).sum();
    while used != bar {
        let Some(longest) = parts.iter_mut().max_by_key(|part| part.columns) else {
            break;
        };
        if used < bar {
            longest.columns += 1;
            used += 1;
        } else if longest.columns > 1 {
            longest.columns -= 1;
            used -= 1;
        } else {
            break;
        }
    }
}

fn sign(name: &str) -> &'static str {
    match name {
        "inserted" => "█",
        "updated" => "▓",
        "unchanged" => "░",
        "superseded" => "-",
        "duplicates" => "=",
        "rejected" => "x",
        _ => "~",
    }
}

fn painted(name: &str, text: &str, colors: bool) -> String {
    let color = match name {
        "inserted" => "32",
        "updated" => "34",
        "unchanged" => "90",
        "superseded" => "36",
        "duplicates" => "35",
        "rejected" => "31",
        _ => "33",
    };
    if colors {
        format!("\u{1b}[{color}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger {
            fetched: 1000,
            inserted: 500,
            unchanged: 440,
            duplicates: 1,
            rejected: 59,
            ..Ledger::default()
        }
    }

    #[test]
    fn the_line_is_as_long_as_the_shares_and_fits_the_terminal() {
        let line = proportions(&ledger(), 120, false).unwrap_or_default();
        let count = |sign: &str| line.matches(sign).count() - 1;
        // One of each sign is in the legend.
        assert_eq!((count("█"), count("░"), count("x")), (29, 26, 4), "{line}");
        assert_eq!(line.matches('=').count(), 2, "little is seen: {line}");
        assert!(line.ends_with("x rejected\n"), "{line}");
        for terminal in [7, 12, 20, 40, 60, 69, 70, 80, 200] {
            let line = proportions(&ledger(), terminal, false).unwrap_or_default();
            let columns = line.trim_end().chars().count();
            assert!(columns < terminal, "{terminal}: {line}");
            assert_eq!(
                line.contains("rejected"),
                terminal >= 70,
                "{terminal}: {line}"
            );
        }
    }

    #[test]
    fn nothing_fetched_is_no_line() {
        assert_eq!(proportions(&Ledger::default(), 80, true), None);
    }
}
