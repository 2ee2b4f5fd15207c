//! Prometheus' own judge of metrics and rules.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NOT_FOUND: &str = "promtool was not found: neither on PATH nor in target/tools. The metrics are checked by \
Prometheus' own parser. Install it:
  Debian, Ubuntu:  apt-get install prometheus (or `make test`, which takes promtool alone out of the package)
  Fedora:          dnf install golang-github-prometheus
  macOS:           brew install prometheus
or set TEST_WITHOUT_PROMTOOL=1 to go without this check.";

/// The program, unless it was said that it is to be done without.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain([Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/usr/bin")])
        .map(|folder| folder.join("promtool"))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("TEST_WITHOUT_PROMTOOL").is_some(),
            "{NOT_FOUND}"
        );
        super::not_run("what Prometheus itself says of metrics and rules, needs promtool");
    }
    found
}

/// Parses and lints a metrics page.
#[track_caller]
pub fn check_metrics(text: &str) {
    run(&["check", "metrics"], text);
}

/// Runs it; whatever it has to complain of is a failure.
#[track_caller]
pub fn run(arguments: &[&str], input: &str) {
    let Some(program) = program() else { return };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "promtool {arguments:?}:\n{}{}\n{input}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}
