//! Configuration: the shipped files and the plain convention load; every mistake is told as its golden file says.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it config` writes the golden files anew: read the difference before committing it.
#![allow(clippy::unwrap_used)]

mod schema;

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
            started.elapsed() < LONGEST,
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

#[test]
fn every_golden_file_has_its_mistake() {
    for entry in fs::read_dir("fixtures/config").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            assert!(
                path.with_extension("yaml").exists(),
                "{} is left over",
                path.display()
            );
        }
    }
}

#[test]
fn the_shipped_file_loads_without_a_warning() {
    let plan = shipped().plan();
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    let api = plan.api().unwrap();
    assert_eq!(api.base_url.as_str(), "https://api.example.com/");
    assert_eq!(
        (api.fetch.path.as_str(), api.fetch.method.as_str()),
        ("/api/v1/data", "GET")
    );
    assert_eq!(api.fetch.timeout, Duration::from_secs(30));
    assert_eq!(api.fetch.retry.max_attempts, 3);
    assert_eq!(api.pagination.style, PageStyle::Page);
    assert_eq!(
        (
            api.pagination.size,
            api.pagination.first,
            api.pagination.concurrency
        ),
        (100, 1, 4)
    );
    assert_eq!(api.max_page_bytes, 32 << 20);
    assert!(api.update.is_none() && api.records.is_none() && api.incremental.is_none());
    let headers: Vec<_> = api
        .fetch
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    assert_eq!(
        headers,
        [
            ("Accept", "application/json"),
            ("Authorization", "Bearer canary-token")
        ]
    );

    let database = plan.database().unwrap();
    assert_eq!(
        (database.host.as_str(), database.port),
        ("db.example.com", 6543)
    );
    assert_eq!(
        (database.name.as_str(), database.user.as_str()),
        ("crm", "sync")
    );
    assert_eq!(database.password.expose(), "canary-password");
    assert_eq!(database.ssl_mode, SslMode::VerifyFull);
    assert_eq!(
        (
            database.min_connections,
            database.max_connections,
            database.batch_size
        ),
        (2, 10, 5000)
    );
    assert_eq!(
        (database.schema.as_str(), database.table.as_str()),
        ("public", "customers")
    );
    assert_eq!(database.conflict_key, "customer_id");

    let fields: Vec<_> = plan
        .mapping
        .fields
        .iter()
        .map(|field| {
            (
                field.source.join("."),
                field.name.as_str(),
                field.column.as_deref(),
                field.kind,
                field.required,
            )
        })
        .collect();
    let expected = [
        (
            "external_id",
            "customerId",
            "customer_id",
            Kind::String,
            true,
        ),
        (
            "full_name",
            "customerName",
            "customer_name",
            Kind::String,
            true,
        ),
        ("contact_email", "email", "email", Kind::Email, false),
        (
            "created_date",
            "createdAt",
            "created_at",
            Kind::DateTime,
            false,
        ),
        (
            "quality_score",
            "qualityScore",
            "quality_score",
            Kind::Decimal,
            false,
        ),
        (
            "record_type",
            "recordType",
            "record_type",
            Kind::String,
            false,
        ),
    ];
    let expected = expected.map(|(source, name, column, kind, required)| {
        (source.to_owned(), name, Some(column), kind, required)
    });
    assert_eq!(fields, expected);
    assert_eq!(plan.mapping.key, 0);
    assert_eq!(plan.mapping.quality_score.field, Some(4));
    assert_eq!(plan.mapping.fields[4].max, Some(100.into()));
    assert_eq!(
        plan.mapping.fields[5].default.as_deref(),
        Some("\"customer\"")
    );

    assert!(
        (plan.alerts.rejection_rate - 0.2).abs() < 1e-9
            && (plan.alerts.sync_failure_rate - 0.05).abs() < 1e-9
    );
    assert_eq!(plan.alerts.api_response_time, Duration::from_secs(10));
    assert_eq!(plan.brakes.max_drop, Some(0.5));
    assert_eq!(
        plan.on_failure.notify_api.as_deref(),
        Some("alert_ops_team")
    );
    assert!(plan.on_failure.continue_on_database_failure);
    assert_eq!(plan.spool_max_bytes, 1 << 30);
    assert_eq!(plan.retention, Duration::from_hours(24 * 90));
    assert_eq!(
        plan.state_dir,
        Path::new("/home/sync/.local/state/datasync")
    );
    assert_eq!(plan.config_hash.len(), 64);
    assert!(plan.notifications.ping.is_none());
    assert!(
        plan.notifications.teams[0].1.is_empty(),
        "an empty webhook is off"
    );
}

#[test]
fn a_file_in_the_plain_convention_loads_unmodified() {
    let plan = Setting::new("fixtures/config/convention.yaml").plan();
    assert_eq!(plan.database().unwrap().ssl_mode, SslMode::Require);
    assert_eq!(plan.database().unwrap().port, 6543);
    assert_eq!(plan.mapping.fields.len(), 6);
    assert_eq!(
        plan.mapping.fields[3].kind,
        Kind::DateTime,
        "created_at of the built-in schema"
    );
    assert_eq!(
        plan.mapping.fields[4].kind,
        Kind::Decimal,
        "quality_score of the built-in schema"
    );
    assert_eq!(plan.mapping.fields[1].max_length, Some(255));
    assert!(
        plan.api().unwrap().update.is_none(),
        "write-back is off unless enabled"
    );
    let warnings: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
    for ignored in [
        "api.type",
        "api.connector",
        "database.type",
        "connection.driver",
        "operations",
        "customers.fields",
    ] {
        assert!(
            warnings
                .iter()
                .any(|warning| warning.contains(&format!("{ignored}` is ignored: "))),
            "{ignored} is not mentioned in {warnings:#?}"
        );
    }
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("there is no `notifications.alert_ops_team`"))
    );
    assert!(
        warnings[0].starts_with("fixtures/config/convention.yaml:"),
        "{}",
        warnings[0]
    );
}

#[test]
fn without_the_variables_validate_gets_a_plan_and_warnings() {
    for path in ["mappings.yaml", "fixtures/config/convention.yaml"] {
        let mut setting = Setting::new(path);
        setting.variables.retain(|name, _| name == "HOME");
        let plan = setting
            .load(NEITHER)
            .unwrap_or_else(|errors| panic!("{errors}"));
        assert!(plan.api.is_none() && plan.database.is_none());
        assert_eq!(plan.mapping.fields.len(), 6);
        let warnings = format!("{:?}", plan.warnings);
        for name in [
            "API_BASE_URL",
            "API_TOKEN",
            "DB_HOST",
            "DB_NAME",
            "DB_USER",
            "DB_PASSWORD",
        ] {
            assert!(warnings.contains(name), "{name} is not in {warnings}");
        }
        assert!(plan.api().is_err() && plan.database().is_err());
    }
}

#[test]
fn each_side_is_needed_on_its_own() {
    let setting = shipped().without(&["DB_HOST", "DB_PASSWORD"]);
    assert!(
        setting
            .load(Needs {
                api: true,
                database: false
            })
            .unwrap()
            .api
            .is_some()
    );
    let message = setting.message();
    assert!(
        message.contains("DB_HOST")
            && message.contains("DB_PASSWORD")
            && !message.contains("API_TOKEN"),
        "{message}"
    );
}

#[test]
fn mistakes_are_found_in_what_the_command_does_not_need() {
    let errors = Setting::new("fixtures/config/bad-number-out-of-range.yaml")
        .load(NEITHER)
        .unwrap_err();
    assert!(errors.to_string().contains("batch_size"));
}

#[test]
fn environment_wins_over_dotenv_and_that_over_the_file() {
    let setting = changed(&[
        ("${DB_HOST}", "file.example.com"),
        ("${DB_NAME}", "from-file"),
        ("${DB_USER}", "from-file"),
    ])
    .without(&["DB_NAME", "DB_USER"])
    .dotenv("DB_HOST=dotenv.example.com\nDB_NAME=from-dotenv\n");
    let plan = setting.plan();
    let database = plan.database().unwrap();
    assert_eq!(database.host, "db.example.com");
    assert_eq!(database.name, "from-dotenv");
    assert_eq!(database.user, "from-file");
}

#[test]
fn what_is_overridden_is_not_resolved() {
    let setting = changed(&[
        ("${DB_HOST}", "${OTHER_HOST}"),
        ("${API_BASE_URL}", "${OTHER_URL}"),
    ]);
    assert_eq!(setting.plan().database().unwrap().host, "db.example.com");
    let message = setting.without(&["DB_HOST"]).message();
    assert!(
        message.contains("OTHER_HOST") && !message.contains("OTHER_URL"),
        "{message}"
    );
}

#[test]
fn a_password_is_taken_as_it_is() {
    for (line, password) in [
        ("DB_PASSWORD=pa$HOMEword", "pa$HOMEword"),
        ("DB_PASSWORD='p#a ss\\'", "p#a ss\\"),
        ("DB_PASSWORD=\"q\\\"\\$x\"", "q\"$x"),
        ("DB_PASSWORD=${API_TOKEN}", "${API_TOKEN}"),
        ("DB_PASSWORD=", ""),
    ] {
        let plan = shipped().without(&["DB_PASSWORD"]).dotenv(line).plan();
        assert_eq!(
            plan.database().unwrap().password.expose(),
            password,
            "{line}"
        );
    }
    let plan = shipped().with("DB_PASSWORD", "").plan();
    assert!(
        plan.database().unwrap().password.is_empty(),
        "set to nothing: trust or peer authentication"
    );
}

#[test]
fn secrets_come_from_files_too() {
    let setting = shipped().without(&["API_TOKEN", "DB_PASSWORD"]);
    let token = setting.folder.path().join("token");
    fs::write(&token, "from-a-file\n").unwrap();
    let password = setting.folder.path().join("password");
    fs::write(&password, "pass word \r\n").unwrap();
    let setting = setting
        .with("API_TOKEN_FILE", token.to_str().unwrap())
        .with("DB_PASSWORD_FILE", password.to_str().unwrap());
    let plan = setting.plan();
    assert_eq!(plan.api().unwrap().token.expose(), "from-a-file");
    assert_eq!(plan.database().unwrap().password.expose(), "pass word ");
}

#[test]
fn dollar_signs_defaults_and_quoted_numbers() {
    let setting = changed(&[
        ("${DB_PORT:-5432}", "\"${OTHER_PORT}\""),
        (
            "# params: { sort: external_id }",
            "params: { a: $$5, b: $5, c: \"${EMPTY:-x}${EMPTY:-}\", d: 007 }",
        ),
    ])
    .without(&["DB_PORT"])
    .with("OTHER_PORT", "7000")
    .with("EMPTY", "");
    let plan = setting.plan();
    assert_eq!(plan.database().unwrap().port, 7000);
    let params: Vec<_> = plan
        .api()
        .unwrap()
        .params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(params, [("a", "$5"), ("b", "$5"), ("c", "x"), ("d", "007")]);
}

#[test]
fn text_of_a_variable_is_never_read_as_yaml() {
    let plan = shipped()
        .with("DB_USER", "x\n  host: evil")
        .with("DB_NAME", "null")
        .plan();
    assert_eq!(plan.database().unwrap().user, "x\n  host: evil");
    assert_eq!(plan.database().unwrap().name, "null");
}

#[test]
fn ssl_mode_follows_the_host_unless_somebody_says_otherwise() {
    for (host, mode) in [
        ("db.example.com", SslMode::VerifyFull),
        ("localhost", SslMode::Prefer),
        ("127.0.0.1", SslMode::Prefer),
        ("/run/postgresql", SslMode::Prefer),
    ] {
        assert_eq!(
            shipped()
                .with("DB_HOST", host)
                .plan()
                .database()
                .unwrap()
                .ssl_mode,
            mode,
            "{host}"
        );
    }
    let said = [("# ssl_mode: verify-full", "ssl_mode: verify-ca #")];
    assert_eq!(
        changed(&said).plan().database().unwrap().ssl_mode,
        SslMode::VerifyCa
    );
    assert_eq!(
        changed(&said)
            .with("DB_SSLMODE", "disable")
            .plan()
            .database()
            .unwrap()
            .ssl_mode,
        SslMode::Disable
    );
}

#[test]
fn database_url_serves_where_no_db_variable_is_set() {
    let url = "postgresql://joe:p%40ss@pg.example.com:7777/crm?sslmode=require";
    let all = ["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"];
    let setting = shipped().without(&all).with("DATABASE_URL", url);
    let plan = setting.plan();
    let database = plan.database().unwrap();
    assert_eq!(
        (database.host.as_str(), database.port),
        ("pg.example.com", 7777)
    );
    assert_eq!(
        (database.user.as_str(), database.password.expose()),
        ("joe", "p@ss")
    );
    assert_eq!(
        (database.name.as_str(), database.ssl_mode),
        ("crm", SslMode::Require)
    );

    let both = shipped().with("DATABASE_URL", url);
    assert_eq!(both.plan().database().unwrap().host, "db.example.com");
    assert!(format!("{:?}", both.plan().warnings).contains("DATABASE_URL is ignored"));
}

#[test]
fn the_long_form_of_a_field() {
    let plan = changed(&[(
        "            record_type: { to: recordType, default: customer }\n",
        concat!(
            "            record_type: { to: recordType, default: 5, one_of: ['5', lead], trim: true, weight: 2.5 }\n",
            "            address.country: { to: country, column: false, required: true, pattern: '[A-Z]{2}' }\n",
            "            seen: { to: seenAt, type: datetime, format: '%d.%m.%Y %H:%M', timezone: Europe/Berlin, column: seen_on }\n",
            "            changed: { to: changedAt, type: datetime, format: epoch_milliseconds, column: false }\n",
            "            active: { to: active, type: boolean, default: true }\n",
            "            visits: { to: visits, type: integer, min: -5, default: 0 }\n",
            "            extra: { to: extra, type: json, default: \"${EXTRA:-{\\\"a\\\":1\\x7d}\" }\n",
        ),
    )]);
    // A default that holds a brace cannot be written inside a reference; the plain form is what is tested here.
    let text = fs::read_to_string(plan.sources.mappings.as_ref().unwrap()).unwrap();
    let plan = Setting::of_text(text.replace("\"${EXTRA:-{\\\"a\\\":1\\x7d}\"", "'[1, 2]'")).plan();
    let field = |name: &str| {
        plan.mapping
            .fields
            .iter()
            .find(|field| field.name == name)
            .unwrap()
    };
    let kind = field("recordType");
    assert_eq!(kind.default.as_deref(), Some("\"5\""));
    assert_eq!(
        (
            kind.one_of.len(),
            kind.trim,
            kind.weight.to_string().as_str()
        ),
        (2, true, "2.5")
    );
    let country = field("country");
    assert_eq!(
        (country.source.as_slice(), &country.column),
        (&["address".to_owned(), "country".to_owned()][..], &None)
    );
    assert!(country.required && country.pattern.as_deref() == Some("[A-Z]{2}"));
    assert_eq!(field("seenAt").column.as_deref(), Some("seen_on"));
    assert_eq!(field("seenAt").timezone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(
        field("changedAt").format.as_deref(),
        Some("epoch_milliseconds")
    );
    assert_eq!(field("active").default.as_deref(), Some("true"));
    assert_eq!(
        (field("visits").default.as_deref(), field("visits").min),
        (Some("0"), Some((-5).into()))
    );
    assert_eq!(
        field("extra").default.as_deref(),
        Some("\"[1, 2]\""),
        "quoted: a JSON string"
    );
}

#[test]
fn write_back_notifications_and_freshness() {
    let plan = changed(&[
        ("enabled: false", "enabled: true"),
        ("# updated_date:", "updated_date:"),
        ("# version_field:", "version_field:"),
        ("# incremental:", "incremental:"),
        ("# - command:", "- command:"),
    ])
    .with("OPS_WEBHOOK_URL", "https://hooks.example.com/canary")
    .with("HEALTHCHECK_URL", "https://hc.example.com/canary")
    .plan();
    let update = plan.api().unwrap().update.as_ref().unwrap();
    assert_eq!(update.endpoint.method, "PUT");
    assert_eq!(
        update.fields[0],
        ("external_id".to_owned(), "customerId".to_owned())
    );
    assert_eq!(
        update.endpoint.headers.len(),
        2,
        "bearer header and Accept are the default"
    );
    assert_eq!(
        plan.mapping.fields[plan.mapping.version.unwrap()].name,
        "sourceUpdatedAt"
    );
    let incremental = plan.api().unwrap().incremental.as_ref().unwrap();
    assert_eq!(
        (incremental.param.as_str(), incremental.overlap),
        ("updated_since", Duration::from_mins(5))
    );
    let channels = &plan.notifications.teams[0].1;
    assert!(
        matches!(channels.as_slice(), [Channel::Webhook(_), Channel::Command(words)] if words.len() == 1)
    );
    assert!(
        !format!("{plan:?}").contains("canary"),
        "Debug gives a secret away"
    );
}

#[test]
fn retries_of_the_endpoint_win_over_those_of_error_handling() {
    let plan = changed(&[("max_retries: 3", "max_retries: 7")]).plan();
    assert_eq!(plan.api().unwrap().fetch.retry.max_attempts, 3);
    let plan = changed(&[
        ("max_retries: 3", "max_retries: 7"),
        ("max_attempts: 3 ", "# "),
    ])
    .plan();
    assert_eq!(plan.api().unwrap().fetch.retry.max_attempts, 7);
}

#[test]
fn a_malformed_dotenv_is_told_by_line_and_never_by_content() {
    let setting = shipped().dotenv("API_TOKEN=a\n\ncanary hunter\nDB_USER='canary\n");
    let message = setting.message();
    assert!(
        message.contains(".env:3:1: expected NAME=value"),
        "{message}"
    );
    assert!(
        message.contains(".env:4:1: the quote of DB_USER is never closed"),
        "{message}"
    );
    assert!(!message.contains("canary"), "{message}");
}

#[test]
fn files_that_are_too_large_absent_or_binary_are_refused_at_once() {
    let setting = Setting::of_text("");
    let path = setting.sources.mappings.clone().unwrap();
    fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let started = Instant::now();
    assert!(setting.message().contains("is larger than 1 MiB"));
    assert!(started.elapsed() < LONGEST);

    fs::write(&path, b"version: 1.0\nmappings: \xe9\n").unwrap();
    assert!(
        setting
            .message()
            .contains("mappings.yaml:2:1: is not valid UTF-8")
    );
    fs::remove_file(&path).unwrap();
    let message = setting.message();
    assert!(
        message.contains("no such file") && message.contains("--mappings"),
        "{message}"
    );
}

#[test]
fn hostile_text_is_refused_at_once() {
    let brackets = "[".repeat(900_000);
    let braces = "{a: ".repeat(200_000);
    let dashes = "- ".repeat(400_000);
    let lines = |count: usize, line: &dyn Fn(usize) -> String| -> String {
        (0..count).map(line).collect::<Vec<_>>().join("\n")
    };
    let keys = lines(90_000, &|n| format!("k{n}: 1"));
    let unknown = lines(9_000, &|n| format!("k{n}: 1"));
    let doubled = "mappings: 1\n".repeat(9_000);
    let anchors = lines(40_000, &|n| format!("k{n}: &a{n} [x]"));
    let dollars = format!("version: {}", "${".repeat(400_000));
    let quote = format!("a: \"{}", "x\n".repeat(400_000));
    let indents = lines(1_000, &|n| format!("{}a:", " ".repeat(n)));
    for text in [
        brackets, braces, dashes, keys, unknown, doubled, anchors, dollars, quote, indents,
    ] {
        let setting = Setting::of_text(&text);
        let started = Instant::now();
        setting.message();
        assert!(
            started.elapsed() < LONGEST,
            "{:?}… took {:?}",
            &text[..8],
            started.elapsed()
        );
    }
}

#[test]
fn errors_are_a_list_for_machines() {
    let errors = Setting::new("fixtures/config/bad-unknown-key.yaml")
        .load(BOTH)
        .unwrap_err();
    let json = serde_json::to_value(&errors).unwrap();
    assert_eq!(
        json,
        serde_json::json!([{
            "file": "fixtures/config/bad-unknown-key.yaml", "line": 11, "column": 9,
            "path": "mappings.api.endpoints.fetch.pagnation",
            "message": "unknown key `pagnation` in mappings.api.endpoints.fetch",
            "hint": "did you mean `pagination`?",
        }])
    );
}

#[test]
fn the_state_directory_and_other_places() {
    let plan = shipped().with("XDG_STATE_HOME", "/state").plan();
    assert_eq!(plan.state_dir, Path::new("/state/datasync"));
    let plan = shipped().with("XDG_STATE_HOME", "relative").plan();
    assert_eq!(
        plan.state_dir,
        Path::new("/home/sync/.local/state/datasync")
    );
    let mut setting = shipped().dotenv(
        "DATASYNC_STATE_DIR=/from/dotenv\nDATASYNC_METRICS_TEXTFILE=/m.prom\nRUST_LOG=debug\n",
    );
    let plan = setting.plan();
    assert_eq!(plan.state_dir, Path::new("/from/dotenv"));
    assert_eq!(plan.metrics_textfile.as_deref(), Some(Path::new("/m.prom")));
    assert!(format!("{:?}", plan.warnings).contains("RUST_LOG has no effect here"));
    setting.sources.state_dir = Some("/from/flag".into());
    assert_eq!(setting.plan().state_dir, Path::new("/from/flag"));
    assert!(
        shipped()
            .without(&["HOME"])
            .message()
            .contains("--state-dir")
    );
}

#[test]
fn the_configuration_hash_covers_both_files() {
    let mut setting = shipped();
    let decisions = setting.folder.path().join("decisions.dmn.xml");
    setting.sources.decisions = Some(decisions.clone());
    let absent = setting.plan().config_hash;
    fs::write(&decisions, "<a/>").unwrap();
    let first = setting.plan().config_hash;
    fs::write(&decisions, "<b/>").unwrap();
    let second = setting.plan().config_hash;
    let other_mapping = changed(&[("batch_size: 5000", "batch_size: 999")])
        .plan()
        .config_hash;
    assert!(absent != first && first != second && second != other_mapping);
    assert_eq!(setting.plan().config_hash, second);
}

#[test]
fn the_example_of_an_environment_names_every_variable() {
    let text = fs::read_to_string(".env.example").unwrap();
    let plan = Setting::new("mappings.yaml")
        .without(&[
            "API_BASE_URL",
            "API_TOKEN",
            "DB_HOST",
            "DB_PORT",
            "DB_NAME",
            "DB_USER",
            "DB_PASSWORD",
        ])
        .dotenv(&text.replace("API_TOKEN=", "API_TOKEN=x"))
        .plan();
    assert_eq!(plan.database().unwrap().host, "localhost");
    for name in [
        "DATABASE_URL",
        "DB_SSLMODE",
        "DB_SSLROOTCERT",
        "SSL_CERT_FILE",
        "RUST_LOG",
        "NO_COLOR",
        "OPS_WEBHOOK_URL",
        "HEALTHCHECK_URL",
        "DATASYNC_MAPPINGS",
        "DATASYNC_STATE_DIR",
        "DATASYNC_METRICS_TEXTFILE",
    ] {
        assert!(text.contains(name), "{name} is not in .env.example");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// Whatever is typed into the file by accident: it loads, or it is told what is wrong and where.
    #[test]
    fn no_edit_of_the_file_makes_it_panic(
        at in 0.0..1.0_f64,
        deleted in 0..40_usize,
        inserted in "[ \n\t:{}\\[\\]\"'#&*!|>%$@a0ü-]{0,6}",
    ) {
        let text: Vec<char> = fs::read_to_string("mappings.yaml").unwrap().chars().collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let start = (at * text.len() as f64) as usize;
        let end = (start + deleted).min(text.len());
        let edited: String = text[..start].iter().copied().chain(inserted.chars()).chain(text[end..].iter().copied()).collect();
        if let Err(errors) = Setting::of_text(edited).load(BOTH) {
            assert!(!errors.problems().is_empty());
            assert!(!errors.to_string().contains("canary"));
        }
    }
}

#[test]
fn the_example_of_an_env_file_knows_every_variable_and_is_read_as_it_is() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(root.join(".env.example")).unwrap();
    let place = crate::support::Workplace::new();
    let mut names: Vec<String> = [
        "API_BASE_URL",
        "API_TOKEN",
        "DB_HOST",
        "DB_PORT",
        "DB_NAME",
        "DB_USER",
        "DB_PASSWORD",
        "DATABASE_URL",
        "DB_SSLMODE",
        "DB_SSLROOTCERT",
        "SSL_CERT_FILE",
        "RUST_LOG",
        "NO_COLOR",
        "XDG_STATE_HOME",
    ]
    .map(str::to_owned)
    .to_vec();
    // Those of flags, as the help names them, and those of the shipped mappings.yaml.
    let help = place.run(&["sync", "--help"]).stdout;
    names.extend(
        help.split("[env: ")
            .skip(1)
            .map(|rest| rest.split([']', '=']).next().unwrap().to_owned()),
    );
    let mappings = std::fs::read_to_string(root.join("mappings.yaml")).unwrap();
    names.extend(mappings.split("${").skip(1).filter_map(|rest| {
        let name = rest.split(['}', ':']).next()?;
        (name != "NAME").then(|| name.to_owned())
    }));
    assert!(names.len() > 25, "{names:?}");
    for name in names {
        assert!(example.contains(&name), "{name} is not in .env.example");
    }
    place.write(".env", &example);
    place.run(&["validate"]).expect(0);
}
