//! What a verdict costs: `cargo bench --bench decision`. The allocation columns must stay at zero for `decide`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;

use datasync::decision::{Decision, Scratch, lint};
use datasync::model::record::Cell;
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use rust_decimal::Decimal;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const SHIPPED: &str = include_str!("../decisions.dmn.xml");
const VARIABLES: &[&str] = &[
    "customerId",
    "recordType",
    "qualityScore",
    "hasRequiredFields",
    "country",
    "openOrders",
];

fn main() {
    divan::main();
}

/// Records that differ in every input variable a table may read; 1,024 of them, so that the branch predictor cannot learn them.
fn records() -> Vec<Vec<Cell<'static>>> {
    const KINDS: [&str; 5] = ["customer", "lead", "partner", "reseller", "martian"];
    let mut random = fastrand::Rng::with_seed(7);
    (0..1024)
        .map(|index| {
            vec![
                Cell::Text(format!("C-{index}").into()),
                Cell::Text(KINDS[random.usize(..KINDS.len())].into()),
                Cell::Decimal(Decimal::new(random.i64(0..1000), 1)),
                Cell::Boolean(random.u8(..10) > 0),
                Cell::Text(country(random.usize(..100)).into()),
                Cell::Integer(random.i64(0..10)),
            ]
        })
        .collect()
}

fn country(index: usize) -> String {
    let letter = |value: usize| char::from(b'A' + u8::try_from(value % 26).unwrap());
    format!("{}{}", letter(index / 26), letter(index))
}

/// 500 rules over four inputs, each of which has a say: 10 bands of scores × 10 groups of countries, and in each of these
/// five rules over type and open orders. Every record is covered, by one rule.
fn large() -> String {
    let mut xml = String::from(
        "<definitions xmlns=\"https://www.omg.org/spec/DMN/20191111/MODEL/\"><decision id=\"d\" name=\"d\"><decisionTable>",
    );
    for (name, kind) in [
        ("qualityScore", "number"),
        ("country", "string"),
        ("recordType", "string"),
        ("openOrders", "number"),
    ] {
        write!(xml, "<input><inputExpression typeRef=\"{kind}\"><text>{name}</text></inputExpression></input>").unwrap();
    }
    xml.push_str("<output name=\"validationResult\"/><output name=\"action\"/>");
    let known = r#""customer", "lead", "partner", "reseller""#;
    let others = format!("not({known})");
    let mixes: [[(&str, &str); 5]; 3] = [
        [
            ("\"customer\"", "-"),
            ("\"lead\"", "-"),
            ("\"partner\"", "-"),
            ("\"reseller\"", "-"),
            (&others, "-"),
        ],
        [
            ("\"customer\"", "&lt; 5"),
            ("\"customer\"", "&gt;= 5"),
            (&others, "-"),
            ("\"lead\", \"partner\"", "-"),
            ("\"reseller\"", "-"),
        ],
        [
            ("-", "&lt; 2"),
            ("-", "[2..4)"),
            ("-", "[4..6)"),
            ("-", "[6..8)"),
            ("-", "&gt;= 8"),
        ],
    ];
    for rule in 0..500 {
        let (band, group) = (rule / 50, rule / 5 % 10);
        let (kind, orders) = mixes[(band + group) % 3][rule % 5];
        let last = if band == 9 { "]" } else { ")" };
        let countries: Vec<String> = (0..10)
            .map(|place| format!("\"{}\"", country(10 * group + place)))
            .collect();
        write!(xml, "<rule id=\"r{rule}\">").unwrap();
        for cell in [
            &*format!("[{}..{}{last}", 10 * band, 10 * band + 10),
            &countries.join(", "),
            kind,
            orders,
        ] {
            write!(xml, "<inputEntry><text>{cell}</text></inputEntry>").unwrap();
        }
        xml.push_str("<outputEntry><text>\"VALID\"</text></outputEntry><outputEntry><text>\"PROCESS\"</text></outputEntry></rule>");
    }
    xml.push_str("</decisionTable></decision></definitions>");
    xml
}

fn decide(bencher: Bencher<'_, '_>, xml: &str) {
    let decision = Decision::compile(xml, "bench", None, VARIABLES).unwrap();
    let records = records();
    let mut scratch = Scratch::default();
    for record in &records {
        assert_eq!(decision.decide(record, &mut scratch).class, "decided");
    }
    bencher
        .counter(ItemsCount::new(records.len()))
        .bench_local(|| {
            for record in &records {
                black_box(decision.decide(black_box(record), &mut scratch));
            }
        });
}

/// 1,024 records by the shipped table: divide by 1,024 for one.
#[divan::bench]
fn shipped_table(bencher: Bencher<'_, '_>) {
    decide(bencher, SHIPPED);
}

/// The same by 500 rules over 4 inputs.
#[divan::bench]
fn five_hundred_rules_four_inputs(bencher: Bencher<'_, '_>) {
    decide(bencher, &large());
}

/// Reading and compiling the shipped file.
#[divan::bench]
fn compile_shipped() -> Decision {
    Decision::compile(black_box(SHIPPED), "bench", None, VARIABLES).unwrap()
}

/// The lint on a table of 1,000 rules over 6 inputs that overlap and leave gaps.
#[divan::bench(sample_count = 5)]
fn lint_thousand_rules_six_inputs(bencher: Bencher<'_, '_>) {
    let variables = ["a", "b", "c", "d", "e", "f"];
    let mut random = fastrand::Rng::with_seed(11);
    let mut xml = String::from(
        "<definitions xmlns=\"https://www.omg.org/spec/DMN/20191111/MODEL/\"><decision id=\"d\" name=\"d\"><decisionTable>",
    );
    for variable in variables {
        write!(xml, "<input><inputExpression typeRef=\"number\"><text>{variable}</text></inputExpression></input>").unwrap();
    }
    xml.push_str("<output name=\"validationResult\"/><output name=\"action\"/>");
    for rule in 0..1000 {
        write!(xml, "<rule id=\"r{rule}\">").unwrap();
        for _ in variables {
            let low = random.i32(0..100_000);
            let high = low + random.i32(1..50_000);
            write!(xml, "<inputEntry><text>[{low}..{high})</text></inputEntry>").unwrap();
        }
        xml.push_str("<outputEntry><text>\"VALID\"</text></outputEntry><outputEntry><text>\"PROCESS\"</text></outputEntry></rule>");
    }
    xml.push_str("</decisionTable></decision></definitions>");
    bencher.bench_local(|| lint(black_box(&xml), "bench", None, &variables).unwrap());
}
