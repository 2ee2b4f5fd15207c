//! Everything that the program has said anywhere, gathered so that it can be searched for canaries.

use std::path::Path;

use crate::support::Workplace;
use crate::support::command::Finished;
use crate::support::http::Running;
use crate::support::postgres::Database;

/// What stands in a canary and nowhere else. It is looked for in any case of letters.
pub(super) const CANARY: &str = "canary";

/// Texts, each with the place where it was found.
#[derive(Default)]
pub(super) struct Evidence {
    texts: Vec<(String, String)>,
}

impl Evidence {
    pub(super) fn add(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.texts.push((place.into(), text.into()));
    }

    /// What a command printed. Where `asked`, somebody has asked to see values on stdout.
    pub(super) fn add_command(&mut self, name: &str, finished: &Finished, asked: bool) {
        self.add(format!("stderr of {name}"), &finished.stderr);
        if !asked {
            self.add(format!("stdout of {name}"), &finished.stdout);
        }
    }

    /// The same for `check-api`, which shows names of fields to whoever has typed it: a word that could be the name of a
    /// field is no leak.
    pub(super) fn add_check_api(&mut self, name: &str, finished: &Finished) {
        self.add(format!("stderr of {name}"), &finished.stderr);
        let is_name = |word: &str| {
            let word = word.trim_end_matches([',', '`', ')', ';', ':']);
            let word = word.trim_start_matches(['`', '(']);
            word.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b))
        };
        let others: Vec<&str> = finished
            .stdout
            .split([' ', '\n', '"'])
            .filter(|word| !is_name(word))
            .collect();
        self.add(format!("stdout of {name}"), others.join(" "));
    }

    /// Every table of the program, without the columns that hold records on purpose.
    pub(super) fn add_tables(&mut self, database: &Database) {
        for (table, kept) in [
            ("sync_log", ""),
            ("sync_cases", ""),
            ("sync_batches", ""),
            ("sync_state", ""),
            ("sync_lease", ""),
            ("sync_rejections", "- 'payload' - 'explanation'"),
            ("sync_rejections_seen", ""),
            ("sync_outbox", "- 'body' - 'if_match'"),
        ] {
            let rows = database.list(&format!("SELECT (to_jsonb(t) {kept})::text FROM {table} t"));
            self.add(format!("table {table}"), rows.join("\n"));
        }
    }

    /// The state directory: names of all files, and what is in those that hold no records.
    pub(super) fn add_state(&mut self, place: &Workplace) {
        self.add_folder(&place.state());
    }

    fn add_folder(&mut self, folder: &Path) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.display().to_string();
            let holds_records = ["/spool/", "/quarantine/"]
                .iter()
                .any(|folder| name.contains(folder));
            self.add("name of a state file", &name);
            if path.is_dir() {
                self.add_folder(&path);
            } else if !holds_records {
                let bytes = std::fs::read(&path).unwrap();
                self.add(name, String::from_utf8_lossy(&bytes));
            }
        }
    }

    /// Everything that a listener was sent.
    pub(super) fn add_requests(&mut self, name: &str, ear: &Running) {
        for request in ear.requests() {
            self.add(
                format!("request to {name}"),
                format!("{:?} {}", request.headers, request.body),
            );
        }
    }

    pub(super) fn add_file(&mut self, path: &Path) {
        if let Ok(bytes) = std::fs::read(path) {
            self.add(path.display().to_string(), String::from_utf8_lossy(&bytes));
        }
    }

    /// Where canaries were found: place and surroundings of each.
    pub(super) fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for (place, text) in &self.texts {
            let lower = text.to_lowercase();
            for (at, _) in lower.match_indices(CANARY) {
                let around: String = lower
                    .get(at.saturating_sub(120)..)
                    .or_else(|| lower.get(at..))
                    .unwrap_or_default()
                    .chars()
                    .take(200)
                    .collect();
                leaks.push(format!("{place}: …{around}…"));
            }
        }
        leaks
    }

    pub(super) fn size(&self) -> usize {
        self.texts.iter().map(|(_, text)| text.len()).sum()
    }
}
