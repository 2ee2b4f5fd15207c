//! Variables: the process environment first, then `.env`, and `NAME_FILE` for secrets in files.
//!
//! Nothing is ever written into the process environment. Messages name lines and variables, never values.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::dotenv;
use super::problem::Problem;
use crate::support::bounded_read;

/// A `.env`, or a file named by `NAME_FILE`, may be this large (bytes).
const LARGEST_FILE: u64 = 256 * 1024;

/// All variables, for `${NAME}` and for the program's own settings.
#[derive(Clone)]
pub struct Environment {
    process: BTreeMap<String, OsString>,
    file: BTreeMap<String, String>,
    /// The `.env` file as the user would name it.
    file_name: String,
}

impl std::fmt::Debug for Environment {
    /// Names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("process", &self.process.keys())
            .field("file", &self.file.keys())
            .finish_non_exhaustive()
    }
}

impl Environment {
    /// An environment without variables.
    pub const fn empty() -> Self {
        Self {
            process: BTreeMap::new(),
            file: BTreeMap::new(),
            file_name: String::new(),
        }
    }

    /// Takes the process environment as given and adds a `.env`: the file named, which must exist, or `./.env` if it is
    /// there. Parent folders are not searched. Warnings go to `warnings`.
    pub fn read(
        process: impl IntoIterator<Item = (OsString, OsString)>,
        env_file: Option<&Path>,
        warnings: &mut Vec<Problem>,
    ) -> Result<Self, Vec<Problem>> {
        let process = process
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        let path = env_file.unwrap_or(Path::new(".env"));
        let file_name = path.display().to_string();
        let file = match read_small(path) {
            Ok(text) => {
                let file = dotenv::parse(&text, &file_name)?;
                let readable =
                    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0);
                if readable && !file.is_empty() {
                    warnings.push(
                        Problem::new("every user of this machine can read it")
                            .in_file(&file_name)
                            .hint(format!("chmod 600 {file_name}")),
                    );
                }
                file
            }
            Err(error) if env_file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                BTreeMap::new()
            }
            Err(error) => {
                return Err(vec![
                    Problem::new(format!("cannot be read: {}", reason(&error))).in_file(&file_name),
                ]);
            }
        };
        Ok(Self {
            process,
            file,
            file_name,
        })
    }

    /// The value of a variable. The process environment wins over `.env`, even with an empty value. In each of them `NAME`
    /// wins over `NAME_FILE`, unless it is empty. `None` if neither has it.
    pub fn get(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.given(name, true)? {
            None => self.given(name, false),
            value => Ok(value),
        }
    }

    /// The value in the process environment or in `.env`, by `NAME` or `NAME_FILE`.
    fn given(&self, name: &str, by_process: bool) -> Result<Option<String>, Problem> {
        let value = self.own(name, by_process)?;
        if value.as_ref().is_some_and(|value| !value.is_empty()) {
            return Ok(value);
        }
        let by_file = format!("{name}_FILE");
        let overridden = !by_process && self.process.contains_key(&by_file);
        let path = self.own(&by_file, by_process)?;
        let Some(path) = path.filter(|path| !path.is_empty() && !overridden) else {
            return Ok(value);
        };
        let text = read_small(Path::new(&path)).map_err(|error| {
            let named = if may_be_shown(&path) {
                format!("{by_file} names `{path}`, which")
            } else {
                format!("the file that {by_file} names")
            };
            Problem::new(format!("{named} cannot be read: {}", reason(&error)))
            .hint(format!("{by_file} is the path of a file that holds {name}; the value itself belongs into {name}"))
        })?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Like [`Self::get`], but an empty value counts as none.
    pub fn filled(&self, name: &str) -> Result<Option<String>, Problem> {
        Ok(self.get(name)?.filter(|value| !value.is_empty()))
    }

    /// The value in `.env` of a variable that the process environment does not have.
    pub fn only_in_file(&self, name: &str) -> Option<&str> {
        self.file
            .get(name)
            .filter(|_| !self.process.contains_key(name))
            .map(String::as_str)
    }

    /// The name of the `.env` file.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    fn own(&self, name: &str, from_process: bool) -> Result<Option<String>, Problem> {
        if !from_process {
            return Ok(self.file.get(name).cloned());
        }
        match self.process.get(name) {
            None => Ok(None),
            Some(value) => match value.to_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(Problem::new(format!(
                    "the environment variable {name} is not valid UTF-8"
                ))),
            },
        }
    }
}

/// May a message show this path? Somebody may have written the secret itself instead of the name of its file, so only a
/// path in a folder that exists is shown.
fn may_be_shown(path: &str) -> bool {
    let folder = Path::new(path).parent();
    Path::new(path).is_absolute()
        && folder.is_some_and(|folder| folder.parent().is_some() && folder.is_dir())
}

/// An I/O error without the operating system's number.
pub(super) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

fn read_small(path: &Path) -> std::io::Result<String> {
    let bytes = bounded_read::read(path, LARGEST_FILE)?
        .ok_or_else(|| std::io::Error::other("it is larger than 256 KiB"))?;
    String::from_utf8(bytes)
        .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not valid UTF-8"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_process_wins_and_files_serve_where_the_name_is_unset() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "from-file\n").unwrap();
        let dotenv = folder.path().join(".env");
        fs::write(
            &dotenv,
            format!(
                "A=env\nB=env\nC_FILE={0}\nE_FILE=/nowhere\nF=\nG_FILE={0}\nH=env\nI=env\nJ_FILE={0}\n",
                secret.display()
            ),
        )
        .unwrap();
        let empty = folder.path().join("empty");
        fs::write(&empty, "\n").unwrap();
        let process = [
            ("A", "process"),
            ("B", ""),
            ("G", ""),
            ("H_FILE", ""),
            ("I_FILE", empty.to_str().unwrap()),
            ("J_FILE", ""),
            ("K", ""),
            ("K_FILE", secret.to_str().unwrap()),
        ]
        .map(|(name, value)| (name.into(), value.into()));
        let environment = Environment::read(process, Some(&dotenv), &mut Vec::new()).unwrap();
        let get = |name: &str| environment.get(name).unwrap();
        assert_eq!(get("A").as_deref(), Some("process"));
        assert_eq!(get("B").as_deref(), Some(""));
        assert_eq!(get("C").as_deref(), Some("from-file"));
        assert_eq!(get("D"), None);
        assert_eq!(get("F").as_deref(), Some(""));
        assert_eq!(get("G").as_deref(), Some(""));
        assert_eq!(get("H").as_deref(), Some("env"));
        assert_eq!(get("I").as_deref(), Some(""));
        assert_eq!(get("J"), None);
        assert_eq!(get("K").as_deref(), Some("from-file"));
        assert!(environment.get("E").unwrap_err().message.contains("E_FILE"));
    }

    #[test]
    fn a_readable_env_file_warns_and_a_missing_one_is_refused_when_named() {
        let folder = tempfile::tempdir().unwrap();
        let dotenv = folder.path().join(".env");
        fs::write(&dotenv, "A=1\n").unwrap();
        for (mode, count) in [(0o644, 1), (0o600, 0)] {
            fs::set_permissions(&dotenv, fs::Permissions::from_mode(mode)).unwrap();
            let mut warnings = Vec::new();
            Environment::read([], Some(&dotenv), &mut warnings).unwrap();
            assert_eq!(warnings.len(), count);
        }
        let missing = folder.path().join("none");
        assert!(Environment::read([], Some(&missing), &mut Vec::new()).is_err());
    }
}
