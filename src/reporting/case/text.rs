//! A case as text: on one line for a list, or in full for an operator, with the next command to type.
//!
//! This file only shows a case and never changes it.

use super::{Case, Closing, Evidence, State, Step};
use crate::model::cause::{Cause, Threshold};
use crate::support::text::{clean, counted, grouped};

impl Case {
    /// The line of `case list`.
    pub fn line(&self) -> String {
        let state = match self.closing {
            None => "open",
            Some(Closing::Resolved) => "resolved",
            Some(Closing::Recovered) => "recovered",
            Some(Closing::Merged) => "merged",
        };
        format!(
            "{:<10} {state:<10} {:>3} × {:<26} {}  {}",
            self.id,
            self.count,
            self.fingerprint,
            self.opened_at,
            clean(&self.cause)
        )
    }

    /// The whole case. `runs` is a paragraph about its runs, or empty.
    pub fn text(&self, runs: &str) -> String {
        let state = match (self.closing, self.closed_at.as_deref()) {
            (Some(Closing::Resolved), Some(at)) => format!("resolved at {at}"),
            (Some(Closing::Recovered), Some(at)) => format!("recovered by itself at {at}"),
            (Some(Closing::Merged), Some(at)) => format!("taken over by an older case at {at}"),
            _ => "open".to_owned(),
        };
        let mut lines = vec![format!(
            "Case {} · {state} · exit {} · {}",
            self.id, self.exit_code, self.fingerprint
        )];
        for (title, paragraph) in [
            ("What happened", self.what_happened()),
            ("Records to settle", self.what_to_settle()),
            ("What was checked", self.what_was_checked()),
            ("What is safe", self.what_is_safe()),
            ("The plan", self.plan()),
        ] {
            if !paragraph.is_empty() {
                lines.extend([String::new(), title.to_owned()]);
                lines.extend(paragraph);
            }
        }
        if !runs.is_empty() {
            lines.extend([String::new(), runs.trim_end().to_owned()]);
        }
        if self.is_open() {
            lines.extend([String::new(), format!("Next: {}", self.next_command())]);
        }
        lines.join("\n") + "\n"
    }

    fn what_happened(&self) -> Vec<String> {
        let Evidence {
            errors,
            ledger,
            samples,
            ..
        } = &self.evidence;
        let last = self.occurrences.last().map_or("", |o| o.at.as_str());
        let times = if self.count == 1 {
            "once".to_owned()
        } else {
            format!("{} times, last at {last}", grouped(self.count))
        };
        let mut lines = vec![
            format!("  {}", clean(&self.cause)),
            format!("  first at {}, {times}", self.opened_at),
        ];
        let others = errors.iter().filter(|error| **error != self.cause);
        lines.extend(others.map(|error| format!("  · {}", clean(error))));
        if self.is_open() && self.scopes.iter().any(|met| met.shard.is_some()) {
            let met: Vec<String> = self.scopes.iter().map(ToString::to_string).collect();
            lines.push(format!("  not over yet: {}", clean(&met.join(", "))));
        }
        if let Some(((_, fetched), others)) = ledger.split_first() {
            let outcomes: Vec<String> = others
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| format!("{} {name}", grouped(*count)))
                .collect();
            let colon = if outcomes.is_empty() { "" } else { ": " };
            lines.push(format!(
                "  {} fetched{colon}{}",
                counted(*fetched, "record", "records"),
                outcomes.join(", ")
            ));
        }
        if !samples.is_empty() {
            lines.push(format!(
                "  records concerned, for example: {}",
                clean(&samples.join(", "))
            ));
        }
        lines
    }

    fn what_was_checked(&self) -> Vec<String> {
        let checks = &self.evidence.checks;
        if checks.is_empty() {
            return vec!["  nothing yet".to_owned()];
        }
        let mut lines = Vec::new();
        for check in checks {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            lines.push(format!(
                "  {mark} {:<9} {:<16} {}",
                check.of.name(),
                check.name,
                clean(&check.detail)
            ));
            let hint = check.hint.as_ref();
            lines.extend(hint.map(|hint| format!("       → {}", clean(hint))));
        }
        lines
    }

    fn what_is_safe(&self) -> Vec<String> {
        let mut lines = vec![
            "  Everything that was committed stays. Running `sync` or `retry` again never writes anything twice".to_owned(),
            "  and never overwrites newer data.".to_owned(),
        ];
        let files = self.evidence.spool_files;
        if files > 0 {
            lines.push(format!(
                "  {} waited on disk at that moment; `sync` and `retry` write what waits before anything new is fetched.",
                counted(files, "file of records", "files of records")
            ));
        }
        if self.evidence.full {
            lines.push(
                "  The whole source had been asked for (--full), and `retry` asks for it again."
                    .to_owned(),
            );
        }
        lines
    }

    /// The steps of the plan, with the notes of those who took them.
    fn plan(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for item in &self.items {
            let by = match (&item.who, &item.when) {
                (Some(who), Some(when)) => format!("{who}, {when}"),
                _ => String::new(),
            };
            let (state, title) = (item.state.as_str(), item.step.title());
            let line = format!("  {state:<10} {title:<22} {by}");
            lines.push(line.trim_end().to_owned());
            let note = item.note.as_ref();
            lines.extend(note.map(|note| format!("             {}", clean(note))));
        }
        let notes = self.notes.iter();
        lines.extend(
            notes.map(|note| format!("Note {} {}: {}", note.at, note.who, clean(&note.text))),
        );
        lines
    }

    /// The records that a person has to settle, and how to do that.
    fn what_to_settle(&self) -> Vec<String> {
        if self.records.is_empty() {
            return Vec::new();
        }
        let records = self.records.iter();
        let mut lines: Vec<String> = records
            .map(|record| format!("  {}", clean(record)))
            .collect();
        lines.extend(
            [
                "",
                "How to settle them",
                "  Nothing was sent for these records, and their messages are no longer in sync_outbox.",
                "  no version to match: correct `if_match` in mappings.yaml, or have the source give the record its version.",
                "  a version that cannot stand in the header, or an id without an address: it has to change at the source.",
                "  A record is told again when it changes. To have all told without a change, add `unchanged` to `when` in",
                "  mappings.yaml for one `datasync sync --full`. A record that the API need not be told of needs nothing.",
            ]
            .map(str::to_owned),
        );
        lines
    }

    /// The command to type next.
    pub fn next_command(&self) -> String {
        let id = &self.id;
        let check = match self.fingerprint {
            Cause::Api(_) | Cause::Threshold(Threshold::ApiResponseTime) => "datasync check-api",
            // For these causes, the last line of check-db shows the state directory.
            Cause::Database(_)
            | Cause::State(_)
            | Cause::Threshold(
                Threshold::PoolExhaustion
                | Threshold::SyncFailureRate
                | Threshold::SpoolAge
                | Threshold::QuarantineAge,
            ) => "datasync check-db",
            _ => "datasync validate",
        };
        if self.item(Step::Investigate).state == State::Active {
            format!(
                "{check}   then: datasync case complete {id} investigate --note \"what you found\""
            )
        } else if self.item(Step::Resolve).state == State::Active {
            format!(
                "datasync case complete {id} resolve --note \"what you did\"   then: datasync retry --case {id}"
            )
        } else {
            format!("datasync retry --case {id}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reporting::case::{Evidence, Fault};

    #[test]
    fn one_of_a_thing_is_told_in_the_singular() {
        let fault = Fault {
            cause: Cause::api("timeout"),
            exit_code: 3,
            sentence: "page 1 was not answered within 30 s".into(),
            transient: true,
            scope: None,
            records: Vec::new(),
        };
        let text = |count: u64| {
            let evidence = Evidence {
                ledger: vec![("fetched".into(), count)],
                spool_files: count,
                ..Evidence::default()
            };
            Case::open(&fault, "run-1", evidence).text("")
        };
        let one = text(1);
        assert!(one.contains("  1 record fetched\n"), "{one}");
        assert!(one.contains("  1 file of records waited on disk"), "{one}");
        let many = text(2);
        assert!(many.contains("  2 records fetched\n"), "{many}");
        assert!(
            many.contains("  2 files of records waited on disk"),
            "{many}"
        );
    }
}
