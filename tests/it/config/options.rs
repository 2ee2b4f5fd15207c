//! Global options by variable: what is empty, and what each understands.

use crate::support::Workplace;
use crate::support::command::Finished;

/// The variables of all global options, as the help names them.
fn variables() -> Vec<String> {
    let help = Workplace::new().run(&["sync", "--help"]).stdout;
    let names: Vec<String> = help
        .split("[env: ")
        .skip(1)
        .map(|rest| rest.split([']', '=']).next().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 9, "{names:?}");
    names
}

fn said(finished: &Finished) -> (i32, &str, &str) {
    (finished.code, &finished.stdout, &finished.stderr)
}

#[test]
fn an_empty_variable_of_an_option_is_none() {
    let place = Workplace::new().env("XDG_STATE_HOME", "/nowhere");
    let plain = place.run(&["validate"]);
    plain.expect(0);
    let mut all = Workplace::new().env("XDG_STATE_HOME", "/nowhere");
    for name in variables() {
        all = all.env(&name, "");
        let one = Workplace::new()
            .env("XDG_STATE_HOME", "/nowhere")
            .env(&name, "")
            .run(&["validate"]);
        assert_eq!(said(&one), said(&plain), "{name}");
    }
    all = all.env("DATASYNC_METRICS_TEXTFILE", "");
    assert_eq!(said(&all.run(&["validate"])), said(&plain));
    // What is typed is meant.
    all.run(&["validate", "--mappings", ""]).expect(2);
    all.run(&["validate", "--output", ""]).expect(2);
}

#[test]
fn every_switch_takes_the_same_words() {
    for (word, on) in [
        ("1", true),
        ("true", true),
        ("yes", true),
        ("0", false),
        ("false", false),
        ("no", false),
    ] {
        let quiet = Workplace::new()
            .env("DATASYNC_QUIET", word)
            .run(&["validate"]);
        quiet.expect(0);
        assert_eq!(quiet.stdout.is_empty(), on, "DATASYNC_QUIET={word}");
        Workplace::new()
            .env("DATASYNC_NO_COLOR", word)
            .run(&["validate"])
            .expect(0);
        let verbose = talkative().env("DATASYNC_VERBOSE", word).run(&["sync"]);
        assert_eq!(
            verbose.stderr.contains(" INFO "),
            on,
            "DATASYNC_VERBOSE={word}\n{verbose}"
        );
    }
    let more = talkative().env("DATASYNC_VERBOSE", "2").run(&["sync"]);
    assert!(more.stderr.contains(" INFO "), "{more}");
}

/// A run that has something to say at `info` before it finds nobody at home.
fn talkative() -> Workplace {
    let place = Workplace::new()
        .with_api("http://127.0.0.1:9")
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", "9")
        .env("DB_NAME", "nowhere")
        .env("DB_USER", "nobody")
        .env("DB_PASSWORD", "");
    place.edit(
        "mappings.yaml",
        "      host: ${DB_HOST}",
        "      driver: postgresql\n      host: ${DB_HOST}",
    );
    place.edit("mappings.yaml", "max_attempts: 3", "max_attempts: 0");
    place
}
