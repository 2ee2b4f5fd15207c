//! Configuration, from the file to the plan or to the mistakes: what these tests have in common.
#![allow(clippy::unwrap_used)]

mod example;
mod first_mistakes;
mod hostile;
mod mistakes;
mod options;
mod plan;
mod schema;
mod sources;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datasync::config::plan::Plan;
use datasync::config::{ConfigErrors, Needs, Sources, load_with};

const BOTH: Needs = Needs {
    api: true,
    database: true,
};

const NEITHER: Needs = Needs {
    api: false,
    database: false,
};

/// What no file may cost. The promise is 1 s for the program as it is shipped; this build is slow and shares its cores.
const LONGEST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });

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
