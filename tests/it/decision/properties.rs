//! Random tables and random records: the index decides as the table does, and the lint tells the truth.

use datasync::decision::{Check, Decision, Scratch, lint};
use datasync::model::record::Cell;
use fastrand::Rng;
use rust_decimal::Decimal;

use super::build::TableFile;

const VARIABLES: &[&str] = &["number", "text", "flag", "day", "moment"];
const KINDS: [&str; 5] = ["number", "string", "boolean", "date", "dateTime"];
const WORDS: [&str; 7] = ["", "a", "b", "customer", "customers", "lead", "ü"];

fn literal(kind: usize, random: &mut Rng) -> String {
    match kind {
        0 => Decimal::new(random.i64(-20..120) * 5, u32::from(random.bool())).to_string(),
        1 => format!("\"{}\"", WORDS[random.usize(..WORDS.len())]),
        2 => random.bool().to_string(),
        3 => format!("date(\"2026-01-{:02}\")", random.u8(1..=28)),
        _ => format!(
            "date and time(\"2026-01-{:02}T{:02}:00:00Z\")",
            random.u8(1..=28),
            random.u8(..24)
        ),
    }
}

fn test(kind: usize, random: &mut Rng) -> String {
    let one = literal(kind, random);
    let two = literal(kind, random);
    if kind == 2 {
        return [
            one,
            "-".to_owned(),
            "not(true)".to_owned(),
            "null".to_owned(),
        ][random.usize(..4)]
        .clone();
    }
    match random.u8(..13) {
        0 => format!("< {one}"),
        1 => format!("<= {one}"),
        2 => format!("> {one}"),
        3 => format!(">= {one}"),
        4 => format!("[{one}..{two}]"),
        5 => format!("({one}..{two}]"),
        6 => format!("[{one}..{two})"),
        7 => format!("not({one}, {two})"),
        8 => format!("{one}, {two}"),
        9 => format!("? > {one} and ? <= {two}"),
        10 => "null".to_owned(),
        11 => format!("? != {one}"),
        _ => one,
    }
}

fn table(random: &mut Rng, hit: &str, rules: usize) -> TableFile {
    let mut file = TableFile::deciding(hit);
    let columns: Vec<usize> = (0..random.usize(1..=3))
        .map(|_| random.usize(..5))
        .collect();
    for kind in &columns {
        file = file.input(&format!("{}: {}", VARIABLES[*kind], KINDS[*kind]));
    }
    for _ in 0..rules {
        let cells: Vec<String> = columns
            .iter()
            .map(|kind| {
                if random.u8(..4) == 0 {
                    "-".to_owned()
                } else {
                    test(*kind, random)
                }
            })
            .collect();
        let verdict = ["VALID", "WARNING", "INVALID"][random.usize(..3)];
        file = file.verdict(&cells.join(" | "), verdict);
    }
    file
}

fn record(random: &mut Rng) -> Vec<Cell<'static>> {
    let mut cells = vec![
        match random.u8(..4) {
            0 => Cell::Integer(random.i64(-20..120) * 5),
            1 => Cell::Decimal(Decimal::new(random.i64(-20_000..120_000), 3)),
            2 => Cell::Decimal(Decimal::new(
                random.i64(-20..120) * 5,
                u32::from(random.bool()),
            )),
            _ => Cell::Decimal(
                [
                    Decimal::MAX,
                    Decimal::MIN,
                    Decimal::new(1, 28),
                    Decimal::new(-1, 28),
                ][random.usize(..4)],
            ),
        },
        Cell::Text(WORDS[random.usize(..WORDS.len())].into()),
        Cell::Boolean(random.bool()),
        Cell::Date(20_454 + random.i32(0..30)),
        Cell::DateTime(
            1_767_225_600_000_000
                + random.i64(0..30 * 24) * 3_600_000_000
                + i64::from(random.bool()),
        ),
    ];
    for cell in &mut cells {
        if random.u8(..10) == 0 {
            *cell = Cell::Null;
        }
    }
    if random.u8(..20) == 0 {
        let last = cells.len() - 1;
        cells.swap(random.usize(..last), last);
    }
    cells
}

#[test]
fn the_index_decides_as_the_table_does() {
    let mut decided = 0;
    for seed in 0..250 {
        let mut random = Rng::with_seed(seed);
        let hit = ["UNIQUE", "FIRST", "ANY", "PRIORITY"][random.usize(..4)];
        let rules = [1, 3, 8, 63, 64, 65, 130][random.usize(..7)];
        let file = table(&mut random, hit, rules);
        let Ok(decision) = Decision::compile(&file.xml(), "t", None, VARIABLES) else {
            continue; // An interval of the wrong way round, which strict reading refuses.
        };
        let mut scratch = Scratch::default();
        for _ in 0..20 {
            let variables = record(&mut random);
            let quick = decision.decide(&variables, &mut scratch);
            let slow = decision.explain(&variables);
            let fired: Vec<&str> = slow.fired.iter().map(String::as_str).collect();
            assert_eq!(
                (
                    quick.validation.as_str(),
                    quick.action.as_str(),
                    quick.class,
                    &*quick.reason,
                    quick.rules.as_slice()
                ),
                (
                    slow.validation,
                    slow.action,
                    slow.class,
                    slow.reason.as_str(),
                    fired.as_slice()
                ),
                "seed {seed}: {variables:?}\n{}",
                file.xml()
            );
            decided += usize::from(quick.class == "decided");
            // Whatever is proposed has been decided for real; it must pass.
            for nearest in &slow.nearest {
                assert!(["VALID", "WARNING"].contains(&nearest.gives), "{nearest}");
            }
        }
    }
    assert!(decided > 1000, "only {decided} records were decided");
}

#[test]
fn where_the_lint_finds_nothing_no_record_falls_through_or_matches_twice() {
    let (mut overlapping, mut gappy, mut clean) = (0, 0, 0);
    for seed in 1000..1400 {
        let mut random = Rng::with_seed(seed);
        let rules = random.usize(1..6);
        let file = table(&mut random, "UNIQUE", rules);
        let xml = file.xml();
        let Ok(report) = lint(&xml, "t", None, VARIABLES) else {
            continue;
        };
        let decision = Decision::compile(&xml, "t", None, VARIABLES).unwrap();
        let has = |check| report.findings.iter().any(|finding| finding.check == check);
        let mut scratch = Scratch::default();
        let mut seen = [false; 2];
        for _ in 0..200 {
            let mut variables = record(&mut random);
            let null = variables.iter().any(|cell| matches!(cell, Cell::Null));
            if !matches!(variables[4], Cell::DateTime(_) | Cell::Null) {
                variables = record(&mut random);
            }
            match decision.decide(&variables, &mut scratch).class {
                "several_rules" => {
                    seen[0] = true;
                    assert!(
                        has(Check::Overlap),
                        "seed {seed}: {variables:?} matches twice\n{xml}"
                    );
                }
                "no_rule" if !null => {
                    seen[1] = true;
                    assert!(
                        has(Check::Gap),
                        "seed {seed}: {variables:?} matches nothing\n{xml}"
                    );
                }
                _ => {}
            }
        }
        overlapping += usize::from(seen[0]);
        gappy += usize::from(seen[1]);
        clean += usize::from(!has(Check::Overlap) && !has(Check::Gap));
    }
    assert!(
        overlapping > 30 && gappy > 30 && clean > 5,
        "{overlapping} {gappy} {clean}"
    );
}
