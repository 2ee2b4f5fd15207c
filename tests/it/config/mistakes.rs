//! Mistakes: each is told as its golden file says, and found wherever it stands.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it config` writes the golden files anew: read the difference before committing it.

use std::fs;
use std::time::Instant;

use super::{BOTH, LONGEST, NEITHER, Setting, files, shipped};

#[test]
fn every_mistake_is_told_as_its_golden_file_says() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for path in files("bad-") {
        let mut setting = Setting::new(&path);
        for line in fs::read_to_string(&path).unwrap().lines() {
            if let Some(names) = line.strip_prefix("# without: ") {
                setting = setting.without(&names.split(' ').collect::<Vec<_>>());
            } else if let Some((name, value)) = line
                .strip_prefix("# with: ")
                .and_then(|pair| pair.split_once('='))
            {
                setting = setting.with(name, &value.replace("\\n", "\n"));
            }
        }
        let started = Instant::now();
        let message = setting
            .load(BOTH)
            .map_or_else(|errors| format!("{errors}\n"), |_| "loads\n".to_owned());
        assert!(
            started.elapsed() < LONGEST,
            "{} took too long",
            path.display()
        );
        assert_ne!(message, "loads\n", "{} is accepted", path.display());
        assert!(
            !message.contains("canary"),
            "{} gives a secret away:\n{message}",
            path.display()
        );
        let golden = path.with_extension("txt");
        if update {
            fs::write(&golden, &message).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != message {
            wrong.push(format!("{}:\n{message}", golden.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "these differ from their golden files:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_golden_file_has_its_mistake() {
    for entry in fs::read_dir("fixtures/config").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            assert!(
                path.with_extension("yaml").exists(),
                "{} is left over",
                path.display()
            );
        }
    }
}

#[test]
fn mistakes_are_found_in_what_the_command_does_not_need() {
    let errors = Setting::new("fixtures/config/bad-number-out-of-range.yaml")
        .load(NEITHER)
        .unwrap_err();
    assert!(errors.to_string().contains("batch_size"));
}

#[test]
fn a_malformed_dotenv_is_told_by_line_and_never_by_content() {
    let setting = shipped().dotenv("API_TOKEN=a\n\ncanary hunter\nDB_USER='canary\n");
    let message = setting.message();
    assert!(
        message.contains(".env:3:1: expected NAME=value"),
        "{message}"
    );
    assert!(
        message.contains(".env:4:1: the quote of DB_USER is never closed"),
        "{message}"
    );
    assert!(!message.contains("canary"), "{message}");
}

#[test]
fn errors_are_a_list_for_machines() {
    let errors = Setting::new("fixtures/config/bad-unknown-key.yaml")
        .load(BOTH)
        .unwrap_err();
    let json = serde_json::to_value(&errors).unwrap();
    assert_eq!(
        json,
        serde_json::json!([{
            "file": "fixtures/config/bad-unknown-key.yaml", "line": 11, "column": 9,
            "path": "mappings.api.endpoints.fetch.pagnation",
            "message": "unknown key `pagnation` in mappings.api.endpoints.fetch",
            "hint": "did you mean `pagination`?",
        }])
    );
}
