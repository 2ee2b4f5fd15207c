//! Rows 63 to 68, through the real program; every single mistake has its golden file in fixtures/config and its test in
//! `config/mistakes.rs` and `decision.rs`.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::support::Workplace;

fn refused(place: &Workplace, says: &str) {
    let started = Instant::now();
    let finished = place.run(&["validate"]);
    finished.expect(2).says(says);
    assert!(!finished.stderr.contains("panicked"), "{finished}");
    // One second in a release build; this one is not optimised and shares the machine.
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn row_63_hostile_yaml_is_refused_at_once() {
    let place = Workplace::new();
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (previous, this) in ('a'..='h').zip('b'..='i') {
        writeln!(
            bomb,
            "{this}: &{this} [{}]",
            vec![format!("*{previous}"); 9].join(", ")
        )
        .unwrap();
    }
    place.write("mappings.yaml", &bomb);
    refused(&place, "mappings.yaml");
    place.write("mappings.yaml", &"[".repeat(100_000));
    refused(&place, "mappings.yaml");
    place.write("mappings.yaml", &"# filler\n".repeat(11 << 20));
    refused(&place, "1 MiB");
}

#[test]
fn row_64_a_misspelt_key_is_told_with_its_line_and_the_nearest_known_one() {
    let place = Workplace::new();
    place.edit("mappings.yaml", "pagination:", "paginaton:");
    refused(&place, "did you mean `pagination`");
}

#[test]
fn row_65_a_document_type_in_a_decision_file_is_never_resolved() {
    let place = Workplace::new();
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    place.edit(
        "decisions.dmn.xml",
        head,
        &format!("{head}\n<!DOCTYPE d [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>"),
    );
    refused(&place, "DOCTYPE");
}

#[test]
fn row_66_a_truncated_or_many_rooted_decision_file_is_refused() {
    let place = Workplace::new();
    let whole = std::fs::read_to_string(place.path("decisions.dmn.xml")).unwrap();
    for cut in [10, whole.len() / 3, whole.len() * 2 / 3, whole.len() - 20] {
        let cut = (0..=cut)
            .rev()
            .find(|at| whole.is_char_boundary(*at))
            .unwrap();
        place.write("decisions.dmn.xml", &whole[..cut]);
        refused(&place, "decisions.dmn.xml");
    }
    let body = whole.split_once("?>").unwrap().1;
    place.write("decisions.dmn.xml", &format!("{whole}{body}"));
    refused(&place, "decisions.dmn.xml");
    place.write(
        "decisions.dmn.xml",
        &format!("{}{}", "<a>".repeat(20_000), "</a>".repeat(20_000)),
    );
    refused(&place, "decisions.dmn.xml");
}

#[test]
fn row_67_what_is_not_understood_is_refused_by_rule_and_column() {
    for (old, new, says) in [
        ("&lt; 50", "=== 50", "Rule_ScoreTooLow"),
        ("&lt; 50", "qualityScore == 50", "=="),
        (
            "hitPolicy=\"UNIQUE\"",
            "hitPolicy=\"SOMETIMES\"",
            "SOMETIMES",
        ),
        (
            "<text>qualityScore</text>",
            "<text>qualtyScore</text>",
            "qualityScore",
        ),
    ] {
        let place = Workplace::new();
        place.edit("decisions.dmn.xml", old, new);
        refused(&place, says);
    }
}

#[test]
fn row_68_a_malformed_env_file_is_told_by_line_and_never_by_content() {
    let place = Workplace::new();
    place.write(
        ".env",
        "API_TOKEN=fine\nthis line holds canary-of-the-file\n",
    );
    let finished = place.run(&["validate"]);
    finished.expect(2).says(".env:2");
    assert!(!format!("{finished}").contains("canary-of-the-file"));
}
