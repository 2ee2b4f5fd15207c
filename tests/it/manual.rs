//! docs/decisions.md shows what the program prints: each command of it is run here, and says what the page quotes.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use crate::support::Workplace;
use crate::support::command::Finished;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The page's console samples: what is quoted of each, line by line, the command first where there is one.
fn samples() -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(root().join("docs/decisions.md")).unwrap();
    let mut all = Vec::new();
    let mut quoted: Option<Vec<String>> = None;
    for line in page.lines() {
        match &mut quoted {
            Some(_) if line == "```" => all.extend(quoted.take()),
            Some(lines) => lines.push(line.to_owned()),
            None if line == "```text" => quoted = Some(Vec::new()),
            None => {}
        }
    }
    all
}

/// Runs the command a sample begins with.
fn run(place: &Workplace, sample: &[String]) -> Finished {
    let command = sample[0].strip_prefix("$ datasync ").unwrap();
    place.run(&command.split(' ').collect::<Vec<_>>())
}

/// Checks that every line is said, in this order, with nothing between them but where the page has `…`.
#[track_caller]
fn holds(finished: &Finished, quoted: &[String]) {
    let said: Vec<&str> = finished
        .stdout
        .lines()
        .chain(finished.stderr.lines())
        .collect();
    for part in quoted.split(|line| line == "…") {
        assert!(
            part.is_empty() || said.windows(part.len()).any(|lines| lines == part),
            "docs/decisions.md quotes\n{}\nbut the program says\n{finished}",
            part.join("\n")
        );
    }
}

#[test]
fn every_sample_of_the_page_on_decisions_is_what_the_program_prints() {
    let samples = samples();
    let [fit, overlap, gap, test, explained, impact] = &samples[..] else {
        panic!("the page has {} samples, and six are known", samples.len());
    };
    let place = Workplace::new();
    let records = "fixtures/customers/customers.ndjson";
    std::fs::create_dir_all(place.path("fixtures/customers")).unwrap();
    std::fs::copy(root().join(records), place.path(records)).unwrap();

    let tests = "decisions.tests.yaml";
    std::fs::copy(root().join(tests), place.path(tests)).unwrap();
    let finished = run(&place, fit);
    finished.expect(0);
    holds(&finished, &fit[1..]);
    let shipped = std::fs::read_to_string(place.path("decisions.dmn.xml")).unwrap();
    let lowered = shipped
        .replace("&gt;= 80", "&gt;= 70")
        .replace("[50..80)", "[50..70)");
    place.write("decisions.dmn.xml", &lowered);
    let finished = place.run(&["validate"]);
    finished.expect(2);
    holds(&finished, test);
    place.write("decisions.dmn.xml", &shipped);
    std::fs::remove_file(place.path(tests)).unwrap();
    let finished = run(&place, explained);
    finished.expect(0);
    holds(&finished, &explained[1..]);

    // The bound of 50 raised to 51, in both rules that have it.
    let raised = shipped
        .replace("&lt; 50", "&lt; 51")
        .replace("[50..80)", "[51..80)");
    place.write("new.dmn.xml", &raised);
    let finished = run(&place, impact);
    finished.expect(0);
    holds(&finished, &impact[1..]);

    place.edit("decisions.dmn.xml", "[50..80)", "[45..80)");
    let finished = place.run(&["validate"]);
    finished.expect(2);
    holds(&finished, overlap);
    place.edit("decisions.dmn.xml", "[45..80)", "[50..79]");
    let finished = place.run(&["validate"]);
    finished.expect(0);
    holds(&finished, gap);
}
