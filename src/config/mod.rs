//! Flags > environment > `.env` > `mappings.yaml`, resolved once into the plain types of [`plan`].
//!
//! The only part of the program that reads the environment. [`load`] collects every mistake before it gives up.

mod api; // mappings.api, API_BASE_URL
mod auth; // mappings.api.auth, API_TOKEN
mod body; // the body of a request
mod constraints; // types, limits and defaults of one field
mod context; // the file, the environment, the collected mistakes
mod database; // mappings.database and DB_*
mod database_tls; // DB_SSL*
mod database_url; // DATABASE_URL
mod decision_tests; // decisions.tests.yaml
mod decisions; // the file of the decision table, read once
mod dotenv; // .env files, by dotenvy
mod drafts; // one mapped field, as the file writes it
mod endpoint; // path, method, headers, retries
mod environment; // process environment over .env, NAME_FILE
mod expansion; // ${NAME} in values
mod fields; // transforms and validation
mod incremental; // what changed since the watermark
mod oauth; // mappings.api.auth with type oauth2
mod operations; // error_handling, alerts, brakes, notifications, …
mod pagination; // how pages follow each other
pub mod path; // paths into JSON
pub mod plan; // what comes out
mod problem; // mistakes and how they are shown
mod reader; // strict reading of the tree
mod roles; // conflict key, freshness guard, quality score, write-back
pub mod secret; // a string that never shows itself
mod source; // the text as messages show it
mod values; // durations, sizes, shares
mod yaml; // text → tree

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::bounded_read;
use crate::support::digest::Digest;
use context::Context;
pub use decision_tests::{DecisionTest, DecisionTests, Expected, Given};
pub use decisions::DecisionsFile;
use environment::Environment;
pub use problem::{ConfigErrors, Problem};
use reader::Section;
pub(crate) use values::show_duration;
pub use values::{parse_duration, parse_share, parse_size};

/// Where the files are, by flags and by `DATASYNC_*` of the process environment (clap has merged them). `None`: `.env`
/// decides, then the default.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Default `mappings.yaml`.
    pub mappings: Option<PathBuf>,
    /// Text to read instead of that file: a draft that is not written yet.
    pub mappings_text: Option<String>,
    /// Default `decisions.dmn.xml`, here or else beside the mappings file.
    pub decisions: Option<PathBuf>,
    /// Default `.env`, where it exists; one that is named must exist.
    pub env_file: Option<PathBuf>,
    /// Default `$XDG_STATE_HOME/datasync`, else `~/.local/state/datasync`.
    pub state_dir: Option<PathBuf>,
    /// Default: `metrics.textfile` of mappings.yaml.
    pub metrics_textfile: Option<PathBuf>,
}

/// Which sides the command uses. The section of a side that it does not use is checked for mistakes, but its variables may be
/// unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The source.
    pub api: bool,
    /// The target.
    pub database: bool,
}

impl Needs {
    pub const API: Self = Self::of(true, false);
    pub const DATABASE: Self = Self::of(false, true);
    pub const BOTH: Self = Self::of(true, true);

    const fn of(api: bool, database: bool) -> Self {
        Self { api, database }
    }
}

/// Reads and resolves the whole configuration.
pub fn load(sources: &Sources, needs: Needs) -> Result<plan::Plan, ConfigErrors> {
    load_with(sources, needs, std::env::vars_os())
}

/// The default place of the decision table: the current folder, or else the folder of the mappings file.
fn decisions_near(mappings_file: &Path) -> PathBuf {
    let here = PathBuf::from("decisions.dmn.xml");
    let beside = mappings_file.with_file_name("decisions.dmn.xml");
    if !here.exists() && beside.exists() {
        beside
    } else {
        here
    }
}

/// [`load`] with a process environment of the caller's choice.
pub fn load_with(
    sources: &Sources,
    needs: Needs,
    process: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<plan::Plan, ConfigErrors> {
    let mut warnings = Vec::new();
    let environment = Environment::read(process, sources.env_file.as_deref(), &mut warnings)
        .map_err(ConfigErrors::new)?;
    let exposed = warnings.clone();
    let mappings_file = path(&environment, sources.mappings.as_ref(), "DATASYNC_MAPPINGS")?
        .unwrap_or_else(|| "mappings.yaml".into());
    let decisions_file = path(
        &environment,
        sources.decisions.as_ref(),
        "DATASYNC_DECISIONS",
    )?
    .unwrap_or_else(|| decisions_near(&mappings_file));
    let textfile = path(
        &environment,
        sources.metrics_textfile.as_ref(),
        "DATASYNC_METRICS_TEXTFILE",
    )?;
    let state_dir = state_dir(&environment, sources.state_dir.as_ref());
    let name = mappings_file.display().to_string();
    let text = match &sources.mappings_text {
        Some(text) => text.clone(),
        None => read_mappings(&mappings_file, &name)?,
    };
    let decisions_file = DecisionsFile::read(&decisions_file);
    let config_hash = config_hash(&text, &decisions_file);
    let (source, tree, problems) = yaml::parse(&name, &text)?;
    let context = Context::new(&source, &environment, problems);
    let plan = resolve(&context, &tree, needs, (decisions_file, textfile));
    let state_dir = state_dir.unwrap_or_else(|problem| {
        context.problem(problem);
        PathBuf::new()
    });
    for problem in only_exported(&environment) {
        context.warn(problem);
    }
    warnings.extend(context.finish()?);
    // Without a mapping a mistake was reported above. If ever none was, fail here instead of guessing.
    let Some(plan) = plan else {
        return Err(Problem::new("has no usable mapping").in_file(name).into());
    };
    let api = plan.api.map(|mut api| {
        if let plan::Auth::OAuth2(oauth) = &mut api.auth {
            oauth.state_dir.clone_from(&state_dir);
        }
        api
    });
    Ok(plan::Plan {
        api,
        state_dir,
        config_hash,
        warnings,
        exposed,
        ..plan
    })
}

/// The metrics file of a run whose configuration cannot be read: a flag or a variable names it, mappings.yaml cannot.
pub fn metrics_textfile(sources: &Sources) -> Option<PathBuf> {
    const NAME: &str = "DATASYNC_METRICS_TEXTFILE";
    // If `.env` is broken, which may be why the configuration cannot be read, only the process environment counts.
    let environment = Environment::read(
        std::env::vars_os(),
        sources.env_file.as_deref(),
        &mut Vec::new(),
    );
    match environment {
        Ok(environment) => path(&environment, sources.metrics_textfile.as_ref(), NAME).ok()?,
        Err(_) => std::env::var_os(NAME)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from),
    }
}

/// Variables of options that the first line of the log already needs. They are looked up before the configuration is read.
const EARLY: [&str; 5] = [
    "DATASYNC_OUTPUT",
    "DATASYNC_LOG_FORMAT",
    "DATASYNC_QUIET",
    "DATASYNC_VERBOSE",
    "DATASYNC_NO_COLOR",
];

/// The values that `.env` gives to `EARLY` variables which the process environment does not have. A file that cannot be
/// read gives none; [`load`] reports it.
pub fn early(env_file: Option<&Path>) -> Vec<(&'static str, String)> {
    if !can_be_read_twice(env_file.unwrap_or(Path::new(".env"))) {
        return Vec::new();
    }
    let Ok(environment) = Environment::read(std::env::vars_os(), env_file, &mut Vec::new()) else {
        return Vec::new();
    };
    let value = |name: &'static str| Some((name, environment.only_in_file(name)?.to_owned()));
    EARLY.into_iter().filter_map(value).collect()
}

/// Whether a variable has a value, in the process environment or in `.env`. A file that cannot be read has none; [`load`]
/// reports it.
pub fn is_set(name: &str, env_file: Option<&Path>) -> bool {
    let in_process = std::env::var_os(name).is_some_and(|value| !value.is_empty());
    in_process
        || Environment::read(std::env::vars_os(), env_file, &mut Vec::new())
            .is_ok_and(|environment| environment.filled(name).is_ok_and(|value| value.is_some()))
}

/// Is it a regular file? A pipe (`--env-file <(…)`) can be read only once, which is left to [`load`].
fn can_be_read_twice(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file())
}

/// Reads every section; what only [`load_with`] knows is filled in there.
fn resolve(
    context: &Context<'_>,
    tree: &yaml::Node,
    needs: Needs,
    (decisions_file, metrics_textfile): (DecisionsFile, Option<PathBuf>),
) -> Option<plan::Plan> {
    let root = open(context, tree)?;
    let mappings = root.section("mappings", &["api", "database"]);
    let database = database::section(&mappings);
    let tables = database::tables(&database);
    let api = api::section(&mappings);
    let records = api::records(&api);
    let fields = fields::fields(&root, &api, &tables);
    // A command that uses neither side sends no alert, so it needs no variables of this section.
    let operating = root.clone().needed(needs.api || needs.database);
    let notifications = operations::notifications(&operating);
    let on_failure = operations::on_failure(&root, &notifications);
    let retries = operations::api_retries(&root);
    let alerts = operations::alerts(&root);
    let brakes = operations::brakes(&root);
    let metrics_textfile = operations::metrics_textfile(&operating, metrics_textfile);
    let spool_max_bytes = operations::spool_max_bytes(&root);
    let retention = operations::retention(&root);
    let rejections = operations::rejections(&root);
    let (mapping, outgoing, decision) = match fields {
        Some(fields) => (Some(fields.mapping), fields.outgoing, fields.decision),
        None => (None, Vec::new(), None),
    };
    let mapped = mapping
        .as_ref()
        .map_or(&[][..], |mapping: &plan::Mapping| &mapping.fields);
    let api = api::api(&api.needed(needs.api), retries, outgoing, mapped);
    let mut database = database::database(&database.needed(needs.database), tables);
    if let Some(database) = &mut database {
        database.keep_payload = rejections.keep_payload;
        if let Some(update) = api.as_ref().and_then(|api| api.update.as_ref()) {
            database.write_back.clone_from(&update.when);
        }
    }
    Some(plan::Plan {
        api: api.filter(|_| needs.api),
        database: database.filter(|_| needs.database),
        mapping: mapping?,
        decisions_file,
        decision,
        on_failure,
        alerts,
        brakes,
        notifications,
        metrics_textfile,
        spool_max_bytes,
        state_dir: PathBuf::new(),
        retention,
        rejections,
        config_hash: String::new(),
        warnings: Vec::new(),
        exposed: Vec::new(),
        records,
    })
}

/// The file as a section; none where nothing in it can be read.
fn open<'a>(context: &'a Context<'a>, tree: &'a yaml::Node) -> Option<Section<'a>> {
    let keys = [
        "version",
        "mappings",
        "validation",
        "error_handling",
        "alerts",
        "brakes",
        "notifications",
        "metrics",
        "spool",
        "retention",
        "rejections",
    ];
    let root = Section::open(context, tree, "", &keys, true);
    if !matches!(tree.kind, yaml::Kind::Map(_)) {
        return None;
    }
    version(&root);
    if root.entry("mappings").is_none() {
        root.absent_key(
            "mappings",
            "everything about API and database stands below it",
        );
        return None;
    }
    Some(root)
}

fn version(root: &Section<'_>) {
    if root.entry("version").is_none() {
        root.absent_key("version", "write `version: 1.0`");
        return;
    }
    root.parse(
        "version",
        "`1.0` (there is no other version of this file)",
        |text| matches!(text, "1" | "1.0").then_some(()),
    );
}

/// A path from the flag, which includes the process environment (by clap), else from the variable in `.env`.
fn path(
    environment: &Environment,
    flag: Option<&PathBuf>,
    variable: &str,
) -> Result<Option<PathBuf>, Problem> {
    match flag {
        Some(path) => Ok(Some(path.clone())),
        None => Ok(environment.filled(variable)?.map(PathBuf::from)),
    }
}

/// Where state is kept: flag, `DATASYNC_STATE_DIR`, `$XDG_STATE_HOME/datasync`, `~/.local/state/datasync`.
fn state_dir(environment: &Environment, flag: Option<&PathBuf>) -> Result<PathBuf, Problem> {
    let absolute = |name: &str| {
        let path = environment.filled(name)?.map(PathBuf::from);
        Ok::<_, Problem>(path.filter(|path| path.is_absolute()))
    };
    if let Some(path) = path(environment, flag, "DATASYNC_STATE_DIR")? {
        return std::path::absolute(&path).map_err(|error| {
            Problem::new(format!(
                "the state directory: {}",
                environment::reason(&error)
            ))
        });
    }
    if let Some(path) = absolute("XDG_STATE_HOME")? {
        return Ok(path.join("datasync"));
    }
    match absolute("HOME")? {
        Some(path) => Ok(path.join(".local/state/datasync")),
        None => Err(
            Problem::new("no state directory: neither XDG_STATE_HOME nor HOME is set")
                .hint("say --state-dir DIR or set DATASYNC_STATE_DIR"),
        ),
    }
}

fn read_mappings(path: &Path, name: &str) -> Result<String, Problem> {
    let unreadable = |error: &std::io::Error| {
        Problem::new(format!("cannot be read: {}", environment::reason(error)))
            .in_file(name)
            .hint("say where it is with --mappings FILE or DATASYNC_MAPPINGS")
    };
    let read = bounded_read::read(path, yaml::LARGEST_FILE as u64);
    let Some(bytes) = read.map_err(|error| unreadable(&error))? else {
        return Err(Problem::new("is larger than 1 MiB")
            .in_file(name)
            .hint("is it the right file?"));
    };
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid]
            .split(|byte| *byte == b'\n')
            .count();
        Problem::new("is not valid UTF-8")
            .in_file(name)
            .at(line, 1)
            .hint("save it as UTF-8")
    })
}

/// Hex SHA-256 of both files. A DMN file that cannot be read counts as empty here; a command that needs it reports the error.
fn config_hash(mappings: &str, decisions: &DecisionsFile) -> String {
    Digest::default()
        .with_part(mappings.as_bytes())
        .with(decisions.text().unwrap_or_default().as_bytes())
        .hex()
}

/// Warns of variables in `.env` that have no effect there, because libraries read them from the process environment.
fn only_exported(environment: &Environment) -> impl Iterator<Item = Problem> {
    let names = [
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "RUST_LOG",
        "NO_COLOR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "DATASYNC_ENV_FILE",
    ];
    let too_late = !can_be_read_twice(Path::new(environment.file_name()));
    names
        .into_iter()
        .chain(EARLY.into_iter().filter(move |_| too_late))
        .filter(|name| environment.only_in_file(name).is_some())
        .map(|name| {
            Problem::new(format!("{name} has no effect here"))
                .in_file(environment.file_name())
                .hint("export it in the environment")
        })
}

/// The name of the user this runs as: for the audit log and the notes of a case.
pub fn user_name() -> String {
    ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
