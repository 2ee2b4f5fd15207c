//! A command test as one readable expression: the real binary, in a folder of its own, with a clean environment.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The program under test: the optimised binary that users get, where `DATASYNC_TEST_BINARY` names it (as `make test`
/// does), else the one that was built with the tests.
pub fn program() -> PathBuf {
    std::env::var_os("DATASYNC_TEST_BINARY").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_datasync")),
        PathBuf::from,
    )
}

/// What runs the program under test, word by word: `make memcheck` names valgrind and its options.
pub fn wrapper() -> Vec<String> {
    let words = std::env::var("DATASYNC_TEST_WRAPPER").unwrap_or_default();
    words.split_whitespace().map(str::to_owned).collect()
}

/// The program under test, not yet with arguments.
fn wrapped() -> Command {
    let wrapper = wrapper();
    let Some((first, words)) = wrapper.split_first() else {
        return Command::new(program());
    };
    let mut command = Command::new(first);
    command.args(words).arg(program());
    command
}

/// Folder with `mappings.yaml`, `decisions.dmn.xml` and the state directory of one test.
pub struct Workplace {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// What a finished command left behind.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Workplace {
    /// The shipped mappings and decisions, no API and no database.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in ["mappings.yaml", "decisions.dmn.xml"] {
            std::fs::copy(root.join(file), folder.path().join(file))
                .expect("copy of a shipped file");
        }
        let place = Self {
            folder,
            environment: Vec::new(),
        };
        // A program under valgrind is some twenty times as slow, and needs as much longer to connect.
        if !wrapper().is_empty() {
            place.edit(
                "mappings.yaml",
                "connection_timeout: 5s",
                "connection_timeout: 60s",
            );
        }
        place
    }

    /// The same with an API and a database to talk to.
    pub fn connected(api: &str, database: &super::postgres::Database) -> Self {
        Self::new().with_api(api).with_database(database)
    }

    pub fn with_api(self, base_url: &str) -> Self {
        self.env("API_BASE_URL", base_url)
            .env("API_TOKEN", super::TOKEN)
    }

    pub fn with_database(self, database: &super::postgres::Database) -> Self {
        self.env("DB_HOST", &database.host)
            .env("DB_PORT", database.port.to_string())
            .env("DB_NAME", &database.name)
            .env("DB_USER", &database.user)
            .env("DB_PASSWORD", &database.password)
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn write(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.path(name), text).expect("a file of the test");
        self
    }

    /// Changes a file of the workplace; the old text must be there.
    pub fn edit(&self, name: &str, old: &str, new: &str) -> &Self {
        let text = std::fs::read_to_string(self.path(name)).expect("a file of the test");
        assert!(text.contains(old), "{name} does not contain {old:?}");
        self.write(name, &text.replacen(old, new, 1))
    }

    /// The command, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = wrapped();
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("DATASYNC_STATE_DIR", self.state())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Finished {
        finish(self.command(arguments).spawn().expect("the binary starts"))
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Finished {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        child
            .stdin
            .take()
            .expect("stdin")
            .write_all(input.as_bytes())
            .expect("input is read");
        finish(child)
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("the binary starts")
    }

    /// `sync --output json` and the checked ledger of its report.
    pub fn sync(&self, arguments: &[&str]) -> (Finished, serde_json::Value) {
        let mut all = vec!["sync", "--output", "json"];
        all.extend_from_slice(arguments);
        let finished = self.run(&all);
        let report = finished.json();
        assert_balanced(&report);
        (finished, report)
    }
}

/// Waits for a child and takes what it printed.
pub fn finish(child: Child) -> Finished {
    let output = child.wait_with_output().expect("the binary ends");
    let code = output.status.code().unwrap_or_else(|| {
        use std::os::unix::process::ExitStatusExt as _;
        -output.status.signal().unwrap_or(0)
    });
    Finished {
        code,
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

impl Finished {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not one JSON value ({error}):\n{self}"))
    }

    #[track_caller]
    pub fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "wrong exit code\n{self}");
        self
    }

    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "nobody said {text:?}\n{self}"
        );
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

/// Promise 2, by our own arithmetic.
#[track_caller]
pub fn assert_balanced(report: &serde_json::Value) {
    let of = |name: &str| {
        report["ledger"][name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name} in {report}"))
    };
    let fates: u64 = [
        "inserted",
        "updated",
        "unchanged",
        "superseded",
        "duplicates",
        "rejected",
        "spooled",
    ]
    .into_iter()
    .map(of)
    .sum();
    assert_eq!(
        of("fetched"),
        fates,
        "the ledger does not balance: {report}"
    );
}
