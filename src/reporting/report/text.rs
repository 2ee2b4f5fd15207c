//! The report of a run, as text for people.

use super::verdict::Verdict;
use super::{DecidedRecord, Difference, Report, Status, write_back_rows};
use crate::exit::Exit;
use crate::support::text::{clean, counted, grouped, padded};

/// How many records to review, and how many rejected ones, the text of a dry run names.
const LISTED: usize = 5;

/// The text that is being written.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    /// Writes a count with its name and a remark.
    fn count(&mut self, name: &str, count: u64, remark: &str) {
        self.add(&format!("  {name:<11}{:>12}{remark}", grouped(count)));
    }
}

impl Report {
    /// The report as a table. With `verbose` it says what proves that the source was read whole. It ends with a newline.
    pub fn text(&self, exit: Exit, verbose: bool) -> String {
        let mut out = Lines::default();
        self.add_ledger(&mut out, exit);
        self.add_end_of_source(&mut out, verbose);
        self.add_decided_again(&mut out);
        self.add_reasons(&mut out);
        self.add_dry_run(&mut out);
        self.add_write_back(&mut out);
        self.add_what_to_know(&mut out, exit);
        out.0
    }

    fn is_dry(&self) -> bool {
        self.status == Status::DryRun
    }

    fn add_ledger(&self, out: &mut Lines, exit: Exit) {
        let head = Verdict::of(self.status, exit).headline;
        let (seconds, scope) = (self.seconds.total, self.scope());
        let empty =
            self.status == Status::Failed && self.ledger.counts().iter().all(|row| row.1 == 0);
        if empty && self.pages == 0 {
            out.add(&format!(
                "{head}: nothing was fetched, after {seconds:.2} s ({scope})"
            ));
        } else {
            out.add(&format!(
                "{head}: {} on {} in {seconds:.2} s ({scope})",
                counted(self.ledger.fetched, "record", "records"),
                counted(self.pages, "page", "pages"),
            ));
        }
        // A table with only zeros would distract from the error below it.
        if !empty {
            for (name, count) in self.ledger.counts() {
                let share = self.share_of_fetched(name, count);
                let remark = match name {
                    "spooled" if count > 0 && !self.is_dry() => {
                        "   kept on disk; `datasync retry` replays them"
                    }
                    _ => "",
                };
                out.count(name, count, &(share + remark));
            }
        }
        if self.flagged > 0 {
            out.count(
                "flagged",
                self.flagged,
                "   accepted, for a person to review",
            );
        }
    }

    fn share_of_fetched(&self, name: &str, count: u64) -> String {
        // Stored rejections have no rate, since those that passed are no longer among them.
        if name == "fetched" || self.ledger.fetched == 0 || self.decided_again.is_some() {
            return String::new();
        }
        let share = 100.0 * count as f64 / self.ledger.fetched as f64;
        format!("{share:>6.1} %")
    }

    fn add_end_of_source(&self, out: &mut Lines, verbose: bool) {
        if let Some(end) = self.end.filter(|_| verbose) {
            out.add(&format!("  {:<11}  {end}", "end"));
        }
        if let Some(after) = &self.watermark.after {
            let moved = self.watermark.before.as_ref() != Some(after);
            let remark = if moved { "" } else { "   as before" };
            out.add(&format!("  {:<11}  {after}{remark}", "watermark"));
        }
    }

    fn add_decided_again(&self, out: &mut Lines) {
        if let Some(again) = &self.decided_again {
            out.add(&format!(
                "Decided again: {}, {} {} rejected",
                counted(again.fetched, "stored rejection", "stored rejections"),
                grouped(again.rejected),
                if again.rejected == 1 { "stays" } else { "stay" },
            ));
        }
        if self.replayed > 0 {
            out.count(
                "replayed",
                self.replayed,
                "   from the spool of earlier runs",
            );
        }
    }

    fn add_reasons(&self, out: &mut Lines) {
        if self.rejections_by_reason.is_empty() {
            return;
        }
        out.add("Rejected because");
        let mut reasons: Vec<_> = self.rejections_by_reason.iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        for (reason, count) in reasons {
            out.add(&format!("  {:>11}  {}", grouped(*count), clean(reason)));
        }
    }

    fn add_dry_run(&self, out: &mut Lines) {
        let shown = |value: &Option<String>| value.as_deref().map_or_else(|| "null".into(), clean);
        if !self.new_rows.is_empty() {
            out.add("First of those to insert");
        }
        for Difference { id, fields } in &self.new_rows {
            out.add(&format!("  {}", clean(id)));
            for (column, _, value) in fields {
                out.add(&format!("      {column}: {}", shown(value)));
            }
        }
        if !self.differences.is_empty() {
            out.add("First differences");
        }
        for Difference { id, fields } in &self.differences {
            out.add(&format!("  {}", clean(id)));
            for (column, old, new) in fields {
                out.add(&format!("      {column}: {} → {}", shown(old), shown(new)));
            }
        }
        let rejected: u64 = self.rejections_by_reason.values().sum();
        for (title, listed_records, all) in [
            ("First of those to review", &self.for_review, self.flagged),
            ("First of those rejected", &self.refused, rejected),
        ] {
            if listed_records.is_empty() {
                continue;
            }
            out.add(title);
            for DecidedRecord { id, reason } in listed_records.iter().take(LISTED) {
                out.add(&format!("  {}  {}", padded(&clean(id), 20), clean(reason)));
            }
            if all > LISTED as u64 {
                let more = grouped(all - LISTED as u64);
                let named = listed_records.len();
                out.add(&format!(
                    "  … and {more} more; --output json names the first {named}"
                ));
            }
        }
    }

    fn add_write_back(&self, out: &mut Lines) {
        let Some(ledger) = &self.write_back else {
            return;
        };
        if self.is_dry() {
            let first = if self.messages.is_empty() {
                ""
            } else {
                ", the first ones"
            };
            let due = counted(ledger.due, "message", "messages");
            out.add(&format!("Write-back: {due} would be sent{first}"));
        } else {
            out.add("Write-back");
            for (name, count, note) in write_back_rows(ledger) {
                let note = if count > 0 { note } else { "" };
                out.count(name, count, &format!("   {note}"));
            }
        }
        for message in &self.messages {
            let tag = message.if_match.as_deref().map(clean);
            let tag = match tag {
                Some(tag) => format!("  If-Match: {tag}"),
                None if message.no_version => "  no version to match: not sent".to_owned(),
                None => String::new(),
            };
            out.add(&format!("  {}{tag}", clean(&message.record_id)));
            out.add(&format!("      {}", clean(&message.body)));
        }
    }

    fn add_what_to_know(&self, out: &mut Lines, exit: Exit) {
        for alert in &self.alerts {
            out.add(&format!("Alert: {alert}"));
        }
        for problem in &self.problems {
            out.add(&format!("Problem: {problem}"));
        }
        if let Some(case) = &self.case_id {
            out.add(&format!("Case {case} is open: datasync case show {case}"));
        }
        if exit != Exit::Success {
            out.add(&format!("Exit {}: {}", exit.code(), self.meaning(exit)));
        }
    }
}
