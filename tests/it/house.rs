//! Rules of the house that no lint of the compiler knows, kept by reading the source.

mod owned_arguments;

use std::path::{Path, PathBuf};

/// Every Rust file below these folders of the project.
fn rust_files(folders: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry of the folder").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// A program that is older than its source would be tested for nothing.
#[test]
fn the_program_under_test_is_no_older_than_its_source() {
    let changed = |path: &Path| {
        let metadata = std::fs::metadata(path).expect("a file of the project");
        metadata.modified().expect("a time of change")
    };
    let program = crate::support::command::program();
    let built = changed(&program);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = ["Cargo.toml", "Cargo.lock"].map(|name| root.join(name));
    for path in rust_files(&["src"]).iter().chain(&manifest) {
        assert!(
            changed(path) <= built,
            "{} is older than {}: build it anew",
            program.display(),
            path.display()
        );
    }
}
