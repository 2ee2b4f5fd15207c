//! What continuous integration reads of `validate`: the impact of a changed table by rule, and JUnit XML.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::texts;
use crate::support::Workplace;
use crate::support::command::Finished;

/// The shipped table as `old.dmn.xml`, and one that lets 60 pass and looks at 10.
fn changed() -> Workplace {
    let place = Workplace::new();
    place.write("records.ndjson", &texts().join("\n"));
    std::fs::copy(place.path("decisions.dmn.xml"), place.path("old.dmn.xml")).unwrap();
    place.edit("decisions.dmn.xml", "[50..80)", "[10..60)");
    place.edit("decisions.dmn.xml", "&gt;= 80", "&gt;= 60");
    place.edit("decisions.dmn.xml", "&lt; 50", "&lt; 10");
    place
}

const AGAINST: [&str; 5] = [
    "validate",
    "--input",
    "records.ndjson",
    "--against",
    "old.dmn.xml",
];

#[test]
fn records_that_change_sides_are_annotated_by_rule_with_counts_first() {
    let place = changed();
    let finished = place.run(&[&AGAINST[..], &["--output", "github"]].concat());
    finished.expect(0);
    let records: Vec<&str> = finished
        .stdout
        .lines()
        .filter(|line| line.contains("title=records::"))
        .collect();
    let [all, first, second] = records[..] else {
        panic!("{finished}");
    };
    assert!(
        all.starts_with("::warning title=records::Against old.dmn.xml: 2 of 5 records change their verdict (0 would be rejected now, 1 accepted now); 0 keep it for another reason%0A"),
        "{all}"
    );
    let table = std::fs::read_to_string(place.path("decisions.dmn.xml")).unwrap();
    let line_of = |rule: &str| {
        let is = |line: &str| line.contains(&format!("<rule id=\"{rule}\""));
        table.lines().position(is).unwrap() + 1
    };
    for (annotation, rule, told) in [
        (
            first,
            "Rule_Good",
            "1 WARNING/REVIEW → VALID/PROCESS (Rule_ScoreMiddling → Rule_Good): V-1",
        ),
        (
            second,
            "Rule_ScoreMiddling",
            "1 INVALID/REJECT → WARNING/REVIEW (Rule_ScoreTooLow → Rule_ScoreMiddling): V-3",
        ),
    ] {
        let line = line_of(rule);
        let head = format!(
            "::warning file=decisions.dmn.xml,line={line},title=records::1 record get another verdict, now by {rule}%0A"
        );
        assert!(annotation.starts_with(&head), "{head}\n{annotation}");
        assert!(annotation.ends_with(told), "{told}\n{annotation}");
    }
    let strict = [&AGAINST[..], &["--output", "github", "--strict"]].concat();
    let finished = place.run(&strict);
    finished.expect(5);
    assert!(!finished.stdout.contains("::warning"), "{finished}");
}

#[test]
fn the_impact_by_rule_is_in_the_text_and_the_json() {
    let place = changed();
    place
        .run(&AGAINST)
        .expect(0)
        .says("1  Rule_ScoreMiddling → Rule_Good")
        .says("1  Rule_ScoreTooLow → Rule_ScoreMiddling");
    let finished = place.run(&[&AGAINST[..], &["--output", "json"]].concat());
    let impact = finished.json()["impact"].clone();
    assert_eq!(impact["now_accepted"], 1, "{impact}");
    assert_eq!(impact["now_rejected"], 0, "{impact}");
    let pair = &impact["changes"][0]["by_rule"][0];
    assert_eq!(
        pair["old_rules"],
        serde_json::json!(["Rule_ScoreMiddling"]),
        "{impact}"
    );
    assert_eq!(
        pair["new_rules"],
        serde_json::json!(["Rule_Good"]),
        "{impact}"
    );
    assert_eq!(pair["ids"], serde_json::json!(["V-1"]), "{impact}");
}

/// Suites with the number of their cases and failures, as they say and as they are.
fn suites(finished: &Finished) -> Vec<(String, usize, usize)> {
    let mut reader = Reader::from_str(&finished.stdout);
    let mut suites: Vec<(String, usize, usize)> = Vec::new();
    let mut said = Vec::new();
    loop {
        let event = reader
            .read_event()
            .unwrap_or_else(|error| panic!("{error}\n{finished}"));
        let element = match &event {
            Event::Start(element) | Event::Empty(element) => element,
            Event::Eof => break,
            _ => continue,
        };
        let attribute = |name: &str| {
            let value = element.try_get_attribute(name).unwrap().unwrap();
            value.value.into_owned()
        };
        match element.name().as_ref() {
            "testsuite" => {
                let number = |name: &str| attribute(name).parse::<usize>().unwrap();
                said.push((number("tests"), number("failures")));
                suites.push((attribute("name"), 0, 0));
            }
            "testcase" => suites.last_mut().unwrap().1 += 1,
            "failure" => suites.last_mut().unwrap().2 += 1,
            _ => {}
        }
    }
    let counted: Vec<_> = suites
        .iter()
        .map(|(_, cases, failures)| (*cases, *failures))
        .collect();
    assert_eq!(said, counted, "{finished}");
    suites
}

#[test]
fn junit_has_a_suite_for_each_part_and_fails_where_the_exit_code_does() {
    let place = changed();
    place.write(
        "decisions.tests.yaml",
        "tests:\n- name: <good> & \u{7}\n  variables: { qualityScore: 95 }\n  expect: { rule: Rule_Good }\n",
    );
    let junit = [&AGAINST[..], &["--output", "junit"]].concat();
    let finished = place.run(&junit);
    finished.expect(0);
    let suite = |name: &str, cases: usize, failures: usize| (name.to_owned(), cases, failures);
    assert_eq!(
        suites(&finished),
        [
            suite("configuration", 1, 0),
            suite("lint of decisions.dmn.xml", 12, 0),
            suite("decisions.tests.yaml", 5, 0),
            suite("records", 5, 0),
            suite("changed verdicts", 2, 0),
        ]
    );
    let strict = [&junit[..], &["--strict"]].concat();
    let finished = place.run(&strict);
    finished.expect(2);
    let failures: Vec<usize> = suites(&finished).iter().map(|suite| suite.2).collect();
    assert_eq!(failures, [0, 0, 4, 0, 2], "{finished}");
    // A record that is INVALID, and the place of a finding.
    place.edit("decisions.dmn.xml", "[10..60)", "[20..60)");
    std::fs::remove_file(place.path("decisions.tests.yaml")).unwrap();
    let finished = place.run(&strict);
    finished
        .expect(2)
        .says("name=\"gap (line 18)\" file=\"decisions.dmn.xml\" line=\"18\"")
        .says("name=\"V-3\"");
    let failures: Vec<usize> = suites(&finished).iter().map(|suite| suite.2).collect();
    assert_eq!(failures[1..], [1, 1, 1], "{finished}");
}

#[test]
fn an_error_that_ends_validate_is_a_failure_in_junit() {
    let place = Workplace::new();
    place.edit("mappings.yaml", "pagination:", "pagnation:");
    let finished = place.run(&["validate", "--output", "junit"]);
    finished.expect(2).says("file=\"mappings.yaml\" line=");
    assert_eq!(suites(&finished)[0], ("errors".to_owned(), 1, 1));
    let place = Workplace::new();
    place.write("decisions.dmn.xml", "<definitions");
    let finished = place.run(&["validate", "--output", "junit"]);
    finished.expect(2).says("file=\"decisions.dmn.xml\"");
    assert_eq!(suites(&finished)[0], ("errors".to_owned(), 1, 1));
    // Only validate has it.
    place
        .run(&["sync", "--output", "junit"])
        .expect(2)
        .says("--output junit (or DATASYNC_OUTPUT=junit) is for validate only");
}
