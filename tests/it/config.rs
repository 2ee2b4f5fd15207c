//! Configuration: the shipped files and the plain convention load; every mistake is told as its golden file says.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it config` writes the golden files anew: read the difference before committing it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use datasync::config::plan::{Channel, Kind, PageStyle, Plan, SslMode};
use datasync::config::{ConfigErrors, Needs, Sources, load_with};

const BOTH: Needs = Needs {
    api: true,
    database: true,
};
const NEITHER: Needs = Needs {
    api: false,
    database: false,
};

/// A private folder with an empty `.env`, and an environment that has everything.
struct Setting {
    folder: tempfile::TempDir,
    sources: Sources,
    variables: BTreeMap<String, String>,
}

impl Setting {
    fn new(mappings: impl AsRef<Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env_file = folder.path().join(".env");
        fs::write(&env_file, "").unwrap();
        let variables = [
            ("API_BASE_URL", "https://api.example.com"),
            ("API_TOKEN", "canary-token"),
            ("DB_HOST", "db.example.com"),
            ("DB_PORT", "6543"),
            ("DB_NAME", "crm"),
            ("DB_USER", "sync"),
            ("DB_PASSWORD", "canary-password"),
            ("HOME", "/home/sync"),
        ];
        Self {
            sources: Sources {
                mappings: Some(mappings.as_ref().to_owned()),
                env_file: Some(env_file),
                ..Sources::default()
            },
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            folder,
        }
    }

    /// A setting with a mappings.yaml of this text.
    fn of_text(text: impl AsRef<[u8]>) -> Self {
        let mut setting = Self::new("");
        let path = setting.folder.path().join("mappings.yaml");
        fs::write(&path, text).unwrap();
        setting.sources.mappings = Some(path);
        setting
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn without(mut self, names: &[&str]) -> Self {
        for name in names {
            assert!(self.variables.remove(*name).is_some(), "{name} was not set");
        }
        self
    }

    fn dotenv(self, text: &str) -> Self {
        fs::write(self.sources.env_file.as_ref().unwrap(), text).unwrap();
        self
    }

    fn load(&self, needs: Needs) -> Result<Plan, ConfigErrors> {
        let process = self
            .variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        load_with(&self.sources, needs, process)
    }

    fn plan(&self) -> Plan {
        self.load(BOTH).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn message(&self) -> String {
        self.load(BOTH)
            .err()
            .unwrap_or_else(|| panic!("this loads"))
            .to_string()
    }
}

fn shipped() -> Setting {
    Setting::new("mappings.yaml")
}

/// The shipped file with some of it replaced.
fn changed(replacements: &[(&str, &str)]) -> Setting {
    let mut text = fs::read_to_string("mappings.yaml").unwrap();
    for (old, new) in replacements {
        assert!(text.contains(old), "{old} is not in mappings.yaml");
        text = text.replace(old, new);
    }
    Setting::of_text(text)
}

fn files(prefix: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir("fixtures/config")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(prefix)
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_mistake_is_told_as_its_golden_file_says() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for path in files("bad-") {
        let mut setting = Setting::new(&path);
        for line in fs::read_to_string(&path).unwrap().lines() {
            if let Some(names) = line.strip_prefix("# without: ") {
                setting = setting.without(&names.split(' ').collect::<Vec<_>>());
            } else if let Some((name, value)) = line
                .strip_prefix("# with: ")
                .and_then(|pair| pair.split_once('='))
            {
                setting = setting.with(name, &value.replace("\\n", "\n"));
            }
        }
        let started = Instant::now();
        let message = setting
            .load(BOTH)
            .map_or_else(|errors| format!("{errors}\n"), |_| "loads\n".to_owned());
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{} took too long",
            path.display()
        );
        assert_ne!(message, "loads\n", "{} is accepted", path.display());
        assert!(
            !message.contains("canary"),
            "{} gives a secret away:\n{message}",
            path.display()
        );
        let golden = path.with_extension("txt");
        if update {
            fs::write(&golden, &message).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != message {
            wrong.push(format!("{}:\n{message}", golden.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "these differ from their golden files:\n{}",
        wrong.join("\n")
    );
}
