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

#[test]
fn options_that_hold_from_the_first_line_on_are_read_from_the_env_file_too() {
    // OUTPUT, over what precedence says.
    let place = Workplace::new();
    place.write(".env", "DATASYNC_OUTPUT=json\n");
    assert!(place.run(&["validate"]).json()["lint"].is_array());
    let text = "ok: the mapping";
    place
        .run(&["validate", "--output", "text"])
        .expect(0)
        .says(text);
    place
        .run(&["--output", "text", "validate"])
        .expect(0)
        .says(text);
    for over in ["text", ""] {
        let place = Workplace::new().env("DATASYNC_OUTPUT", over);
        place.write(".env", "DATASYNC_OUTPUT=json\n");
        place.run(&["validate"]).expect(0).says(text);
    }
    // Of a file by another name.
    let place = Workplace::new();
    place.write("other.env", "DATASYNC_OUTPUT=json\n");
    assert!(
        place
            .run(&["validate", "--env-file", "other.env"])
            .json()
            .is_object()
    );
    let place = place.env("DATASYNC_ENV_FILE", "other.env");
    assert!(place.run(&["validate"]).json().is_object());
    let place = Workplace::new();
    place.write(".env", "DATASYNC_QUIET=yes\n");
    assert_eq!(said(&place.run(&["validate"])), (0, "", ""));
    let place = place.env("DATASYNC_QUIET", "0");
    place.run(&["validate"]).expect(0).says(text);
    let place = talkative();
    place.write(
        ".env",
        "DATASYNC_VERBOSE=1\nDATASYNC_LOG_FORMAT=json\nDATASYNC_NO_COLOR=1\n",
    );
    let run = place.run(&["sync"]);
    assert!(run.stderr.contains("\"level\":\"info\""), "{run}");
    assert!(
        run.stderr.lines().all(|line| line.starts_with('{')),
        "{run}"
    );
    let run = place.run(&["sync", "--log-format", "text"]);
    assert!(run.stderr.contains(" INFO "), "{run}");
}

#[test]
fn a_wrong_value_or_line_of_the_env_file_is_told_once() {
    let place = Workplace::new();
    for name in ["DATASYNC_OUTPUT", "DATASYNC_LOG_FORMAT"] {
        place.write(".env", &format!("{name}=canary\n"));
        let finished = place.run(&["validate"]);
        finished
            .expect(2)
            .says(&format!("{name} in .env: expected one of text, json"));
        assert!(!format!("{finished}").contains("canary"));
        // Whoever says it himself is not kept from it.
        let finished = place.run(&["validate", "--output", "text", "--log-format", "text"]);
        finished.expect(0);
    }
    place.write(".env", "DATASYNC_OUTPUT=json\nno line of it\n");
    let finished = place.run(&["validate"]);
    finished.expect(2);
    assert_eq!(
        format!("{finished}").matches(".env:2").count(),
        1,
        "{finished}"
    );
    // A file that can only be read once is read for the configuration.
    let script = format!(
        "{} validate --env-file <(echo DATASYNC_OUTPUT=json; echo API_TOKEN=x)",
        crate::support::command::program().display()
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(place.path(""))
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("DATASYNC_OUTPUT has no effect here"),
        "{told}"
    );
    assert!(!told.contains("API_TOKEN"), "{told}");
}

#[test]
fn annotations_are_for_validate_only() {
    let says = "--output github (or DATASYNC_OUTPUT=github) is for validate only";
    let place = Workplace::new();
    place.run(&["validate", "--output", "github"]).expect(0);
    for command in [
        &["sync"][..],
        &["check-api"],
        &["check-db"],
        &["retry"],
        &["case", "list"],
        &["history"],
        &["schema"],
    ] {
        let finished = place.run(&[command, &["--output", "github"]].concat());
        finished.expect(2).says(says);
        assert_eq!(finished.stdout, "", "{command:?}");
    }
    let exported = Workplace::new().env("DATASYNC_OUTPUT", "github");
    exported.run(&["sync"]).expect(2).says(says);
    exported.run(&["validate"]).expect(0);
    place.write(".env", "DATASYNC_OUTPUT=github\n");
    place.run(&["sync"]).expect(2).says(says);
    place
        .run(&["sync", "--output", "text"])
        .expect(2)
        .says("API_TOKEN");
    place.run(&["validate"]).expect(0);
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
