//! Configuration files that nobody writes on purpose: huge, deeply nested, binary, or damaged.

use std::fs;
use std::time::Instant;

use super::{BOTH, LONGEST, Setting};

#[test]
fn files_that_are_too_large_absent_or_binary_are_refused_at_once() {
    let setting = Setting::of_text("");
    let path = setting.sources.mappings.clone().unwrap();
    fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let started = Instant::now();
    assert!(setting.message().contains("is larger than 1 MiB"));
    assert!(started.elapsed() < LONGEST);

    fs::write(&path, b"version: 1.0\nmappings: \xe9\n").unwrap();
    assert!(
        setting
            .message()
            .contains("mappings.yaml:2:1: is not valid UTF-8")
    );
    fs::remove_file(&path).unwrap();
    let message = setting.message();
    assert!(
        message.contains("no such file") && message.contains("--mappings"),
        "{message}"
    );
}

#[test]
fn hostile_text_is_refused_at_once() {
    let brackets = "[".repeat(900_000);
    let braces = "{a: ".repeat(200_000);
    let dashes = "- ".repeat(400_000);
    let lines = |count: usize, line: &dyn Fn(usize) -> String| -> String {
        (0..count).map(line).collect::<Vec<_>>().join("\n")
    };
    let keys = lines(90_000, &|n| format!("k{n}: 1"));
    let unknown = lines(9_000, &|n| format!("k{n}: 1"));
    let doubled = "mappings: 1\n".repeat(9_000);
    let anchors = lines(40_000, &|n| format!("k{n}: &a{n} [x]"));
    let dollars = format!("version: {}", "${".repeat(400_000));
    let quote = format!("a: \"{}", "x\n".repeat(400_000));
    let indents = lines(1_000, &|n| format!("{}a:", " ".repeat(n)));
    for text in [
        brackets, braces, dashes, keys, unknown, doubled, anchors, dollars, quote, indents,
    ] {
        let setting = Setting::of_text(&text);
        let started = Instant::now();
        setting.message();
        assert!(
            started.elapsed() < LONGEST,
            "{:?}… took {:?}",
            &text[..8],
            started.elapsed()
        );
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// Whatever is typed into the file by accident: it loads, or it is told what is wrong and where.
    #[test]
    fn no_edit_of_the_file_makes_it_panic(
        at in 0.0..1.0_f64,
        deleted in 0..40_usize,
        inserted in "[ \n\t:{}\\[\\]\"'#&*!|>%$@a0ü-]{0,6}",
    ) {
        let text: Vec<char> = fs::read_to_string("mappings.yaml").unwrap().chars().collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let start = (at * text.len() as f64) as usize;
        let end = (start + deleted).min(text.len());
        let edited: String = text[..start].iter().copied().chain(inserted.chars()).chain(text[end..].iter().copied()).collect();
        if let Err(errors) = Setting::of_text(edited).load(BOTH) {
            assert!(!errors.problems().is_empty());
            assert!(!errors.to_string().contains("canary"));
        }
    }
}
