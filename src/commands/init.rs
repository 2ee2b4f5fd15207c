//! `datasync init`: writes the first files of a project. Files that exist are left as they are.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::api;
use crate::commands::cli::{Global, InitArgs, Output};
use crate::config::{self, Needs, Sources};
use crate::draft::{self, Credentials, Draft, Paging, Source};
use crate::exit::{Exit, Misconfigured};
use crate::support::text::clean;

/// How many records of the first page a draft is made from.
const SAMPLE: usize = 500;

const SHIPPED_MAPPINGS: &str = include_str!("../../mappings.yaml");
const SHIPPED_DECISIONS: &str = include_str!("../../decisions.dmn.xml");
const SHIPPED_TESTS: &str = include_str!("../../decisions.tests.yaml");
const SHIPPED_VARIABLES: &str = include_str!("../../.env.example");

/// Which files were written, and which existed.
#[derive(Default)]
struct Files {
    written: Vec<String>,
    kept: Vec<String>,
}

impl Files {
    /// Writes a file, unless it exists.
    fn write(&mut self, path: &Path, text: &str) -> Result<()> {
        let name = path.display().to_string();
        let created = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path);
        match created {
            Ok(mut file) => {
                file.write_all(text.as_bytes())
                    .with_context(|| format!("cannot write {name}"))?;
                self.written.push(name);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                self.kept.push(name);
            }
            Err(error) => {
                return Err(Misconfigured(format!(
                    "cannot create {name}: {error}; name another place with --mappings"
                ))
                .into());
            }
        }
        Ok(())
    }
}

pub(super) fn run(global: &Global, args: &InitArgs) -> Result<Exit> {
    let mappings = global
        .mappings
        .clone()
        .unwrap_or_else(|| PathBuf::from("mappings.yaml"));
    let mut files = Files::default();
    let drafted = match &args.url {
        None => {
            files.write(&mappings, SHIPPED_MAPPINGS)?;
            None
        }
        Some(url) => {
            refuse_existing(&mappings)?;
            let (source, draft) = drafted(global, url, args)?;
            files.write(&mappings, &draft.text)?;
            if !files.kept.is_empty() {
                refuse_existing(&mappings)?;
            }
            Some((source, draft))
        }
    };
    let decisions = global
        .decisions
        .clone()
        .unwrap_or_else(|| mappings.with_file_name("decisions.dmn.xml"));
    files.write(&decisions, SHIPPED_DECISIONS)?;
    files.write(
        &decisions.with_file_name("decisions.tests.yaml"),
        SHIPPED_TESTS,
    )?;
    files.write(&mappings.with_file_name(".env.example"), SHIPPED_VARIABLES)?;
    show(global, &files, drafted.as_ref());
    Ok(Exit::Success)
}

/// Refuses a draft that could not be written because the file exists, so that nothing is fetched in vain.
fn refuse_existing(mappings: &Path) -> Result<(), Misconfigured> {
    if !mappings.exists() {
        return Ok(());
    }
    Err(Misconfigured(format!(
        "{} is there already and is not overwritten: remove it, or name another file with --mappings",
        mappings.display()
    )))
}

/// Fetches the first page and drafts a mapping from it.
fn drafted(global: &Global, url: &str, args: &InitArgs) -> Result<(Source, Draft)> {
    let credentials = args.auth.clone().unwrap_or_else(|| {
        if config::is_set("API_TOKEN", global.env_file.as_deref()) {
            Credentials::Bearer
        } else {
            Credentials::None
        }
    });
    let misconfigured = |error: anyhow::Error| Misconfigured(format!("{error:#}"));
    let source = Source::new(url, credentials, args.records.clone()).map_err(misconfigured)?;
    let sources = Sources {
        mappings_text: Some(draft::for_first_page(&source)),
        ..super::sources(global)
    };
    // The address that was typed is used, even if the variable for later runs names another.
    let address = ("API_BASE_URL".into(), source.origin().into());
    let environment = std::env::vars_os().filter(|(name, _)| name != "API_BASE_URL");
    let plan = config::load_with(&sources, Needs::API, environment.chain([address]))?;
    let page = api::first_page(plan.api()?)?;
    let records: Vec<&str> = page.records().take(SAMPLE).collect();
    if records.is_empty() {
        return Err(Misconfigured(format!(
            "the first page of {} has no records to draft a mapping from: name an endpoint that has some, or type `datasync init` for the shipped mapping",
            source.shown()
        ))
        .into());
    }
    let paging = Paging {
        records_at: page.records_at.clone(),
        lines: page.lines.clone(),
        expected_proof: match &page.expected_proof {
            Ok(expected_proof) => format!("Seen on the first page: {expected_proof}."),
            Err(error) => format!("LOOK HERE: {}", clean(error.what())),
        },
    };
    let draft = draft::draft(&source, &paging, &records)?;
    if draft.fields == 0 {
        return Err(Misconfigured(format!(
            "no record on the first page of {} is an object with fields: name the place of the records with --records",
            source.shown()
        ))
        .into());
    }
    Ok((source, draft))
}

fn show(global: &Global, files: &Files, drafted: Option<&(Source, Draft)>) {
    if global.output == Output::Json {
        let draft = drafted.map(|(_, draft)| {
            serde_json::json!({
                "fields": draft.fields, "key": draft.key, "records": draft.records, "fit": draft.fit,
            })
        });
        let object = serde_json::json!({
            "status": "success", "exit_code": 0, "written": files.written, "kept": files.kept, "draft": draft,
        });
        super::print(&(object.to_string() + "\n"));
        return;
    }
    if global.quiet {
        return;
    }
    let mut text = String::new();
    for name in &files.written {
        text += &format!("wrote {name}\n");
    }
    for name in &files.kept {
        text += &format!("kept  {name}, which was there already\n");
    }
    if let Some((source, draft)) = drafted {
        text += &format!(
            "Drafted from {} records of {}: {} fields, {}; {} of the records fit.\n",
            draft.records,
            source.shown(),
            draft.fields,
            draft.key.as_ref().map_or_else(
                || "and none that could be the key: see LOOK HERE in the file".to_owned(),
                |key| format!("the key is {}", clean(key))
            ),
            draft.fit,
        );
        text += "Read the file through, then type: datasync validate --fetch --limit 100\n";
    } else {
        text += "Copy .env.example to .env, fill it in, and type: datasync check-api\n";
    }
    super::print(&text);
}
