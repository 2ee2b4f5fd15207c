//! What the program prints about itself: completions and the manual page.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::Workplace;

/// Subcommands and long options, as `--help` lists them.
fn words(arguments: &[&str]) -> Vec<String> {
    let help = Workplace::new().run(&[arguments, &["--help"]].concat());
    help.expect(0);
    let mut words = Vec::new();
    let mut in_commands = false;
    for line in help.stdout.lines() {
        in_commands = (in_commands || line == "Commands:") && !line.is_empty();
        let mut parts = line.split_whitespace();
        if in_commands && line.starts_with("  ") && !line.starts_with("   ") {
            words.extend(
                parts
                    .next()
                    .filter(|word| *word != "help")
                    .map(str::to_owned),
            );
        }
        words.extend(
            line.split_whitespace()
                .take(2)
                .filter(|word| word.starts_with("--"))
                .map(|word| word.trim_end_matches([',', '.']).to_owned()),
        );
    }
    assert!(!words.is_empty(), "{help}");
    words
}

#[test]
fn the_manual_page_has_every_command_and_every_option() {
    let page = Workplace::new().run(&["man"]);
    page.expect(0);
    let text = page
        .stdout
        .replace("\\-", "-")
        .replace("\\fR", "")
        .replace("\\fB", "");
    let commands: Vec<String> = words(&[])
        .into_iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    for command in ["sync", "history", "completions", "man", "schema"] {
        assert!(
            commands.iter().any(|known| known == command),
            "{commands:?}"
        );
    }
    for command in &commands {
        assert!(
            text.contains(&format!("DATASYNC {}", command.to_uppercase())),
            "{command}"
        );
        for word in words(&[command]) {
            assert!(
                text.contains(&word),
                "{word} of {command} is not in the manual page"
            );
        }
    }
    for section in [
        ".SH NAME",
        ".SH SYNOPSIS",
        ".SH OPTIONS",
        ".SH ENVIRONMENT",
        ".SH FILES",
        ".SH \"EXIT STATUS\"",
    ] {
        assert!(page.stdout.contains(section), "{section} is missing");
    }
    for code in ["0", "1", "2", "3", "4", "5", "6", "75", "129", "130", "143"] {
        assert!(
            page.stdout.contains(&format!("\\fB{code}\\fR\n")),
            "exit code {code}"
        );
    }
}

#[test]
fn no_help_shows_the_marks_of_the_source() {
    let mut all = vec![vec![]];
    all.extend(
        ["list", "show", "note", "complete"].map(|step| vec!["case".to_owned(), step.to_owned()]),
    );
    let commands = words(&[]).into_iter().filter(|word| !word.starts_with('-'));
    all.extend(commands.map(|command| vec![command]));
    for command in all {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = Workplace::new().run(&arguments);
        help.expect(0).says("$XDG_STATE_HOME/datasync)");
        assert!(!help.stdout.contains('`'), "{help}");
    }
}

#[test]
fn the_completions_of_every_shell_know_every_command() {
    let commands: Vec<String> = words(&[])
        .into_iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Workplace::new().run(&["completions", shell]);
        script.expect(0);
        for command in &commands {
            assert!(
                script.stdout.contains(command.as_str()),
                "{shell} does not know {command}"
            );
        }
        assert!(script.stdout.contains("dry-run"), "{shell}");
    }
    Workplace::new().run(&["completions", "cmd"]).expect(2);
}

#[test]
fn bash_reads_its_completions_and_completes_a_command() {
    let script = Workplace::new().run(&["completions", "bash"]).stdout;
    let ask = "\nCOMP_WORDS=(datasync hist)\nCOMP_CWORD=1\n_datasync datasync hist datasync\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
    let mut bash = Command::new("bash")
        .args(["--norc", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash");
    bash.stdin
        .take()
        .unwrap()
        .write_all((script + ask).as_bytes())
        .unwrap();
    let output = bash.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        told.trim(),
        "history",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
