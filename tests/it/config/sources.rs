//! Where a value comes from: flags, environment, `.env`, the file; and what a command can do without.

use std::fs;
use std::path::Path;

use datasync::config::Needs;
use datasync::config::plan::{Auth, SslMode};

use super::{NEITHER, Setting, changed, shipped};

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
fn what_the_environment_has_wins_over_dotenv_be_it_empty() {
    let dotenv = "DB_PASSWORD=of-dotenv\nDB_HOST=of-dotenv\nOPS_WEBHOOK_URL=https://ops.example.com/x\n\
                  HEALTHCHECK_URL=https://hc.example.com/y\n";
    let heard = |setting: &Setting| {
        let plan = setting.plan();
        let password = plan.database().unwrap().password.expose().to_owned();
        let channels = plan
            .notifications
            .teams
            .iter()
            .map(|(_, channels)| channels.len())
            .sum::<usize>();
        (password, channels, plan.notifications.ping.is_some())
    };
    let unset = shipped().without(&["DB_PASSWORD"]).dotenv(dotenv);
    assert_eq!(heard(&unset), ("of-dotenv".to_owned(), 1, true));
    let emptied = unset
        .with("DB_PASSWORD", "")
        .with("OPS_WEBHOOK_URL", "")
        .with("HEALTHCHECK_URL", "");
    assert_eq!(heard(&emptied), (String::new(), 0, false));
    // What is required is missing then.
    let message = emptied.with("DB_HOST", "").message();
    assert!(message.contains("DB_HOST"), "{message}");
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
        ("DB_PASSWORD='pa$HOMEword'", "pa$HOMEword"),
        ("DB_PASSWORD=\"p#a ss\\\\\"", "p#a ss\\"),
        ("DB_PASSWORD=\"q\\\"\\$x\"", "q\"$x"),
        ("DB_PASSWORD='${API_TOKEN}'", "${API_TOKEN}"),
        ("DB_PASSWORD=", ""),
    ] {
        let plan = shipped().without(&["DB_PASSWORD"]).dotenv(line).plan();
        assert_eq!(
            plan.database().unwrap().password.expose(),
            password,
            "{line}"
        );
    }
    // dotenvy would replace these, or take the next line for part of the value.
    for line in [
        "DB_PASSWORD=pa$HOMEword",
        "DB_PASSWORD=${API_TOKEN}",
        "DB_PASSWORD='p#a ss\\'",
    ] {
        let message = shipped().without(&["DB_PASSWORD"]).dotenv(line).message();
        assert!(message.contains(".env:1:1: "), "{message}");
        assert!(message.contains("DB_PASSWORD"), "{message}");
        assert!(
            !message.contains("HOME") && !message.contains("p#a"),
            "{message}"
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
    assert!(matches!(
        &plan.api().unwrap().auth,
        Auth::Header { value, .. } if value.expose() == "Bearer from-a-file"
    ));
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
fn the_root_certificate_system_is_that_of_the_machine_and_verifies_in_full() {
    let plan = shipped().with("DB_SSLROOTCERT", "system").plan();
    let database = plan.database().unwrap();
    assert_eq!(
        (database.ssl_mode, &database.ssl_root_cert),
        (SslMode::VerifyFull, &None)
    );
    let said = [("# ssl_mode: verify-full", "ssl_root_cert: system #")];
    let plan = changed(&said).plan();
    assert_eq!(plan.database().unwrap().ssl_mode, SslMode::VerifyFull);
    let weaker = shipped()
        .with("DB_SSLROOTCERT", "system")
        .with("DB_SSLMODE", "require");
    assert!(weaker.message().contains("DB_SSLMODE=verify-full"));
}

#[test]
fn what_would_be_dropped_of_a_connection_is_refused() {
    let hosts = shipped().with("DB_HOST", "a.example,b.example");
    assert!(hosts.message().contains("more than one host"));
    let message = changed(&[("host: ${DB_HOST}", "host: a.example,b.example")])
        .without(&["DB_HOST"])
        .message();
    assert!(
        message.contains("host: a.example,b.example")
            && message.contains("more than one host is named"),
        "{message}"
    );
    for (variables, shown) in [
        (&[("DB_SSLCERT", "/c.pem")][..], "DB_SSLKEY"),
        (&[("DB_SSLKEY", "/c.key")], "DB_SSLCERT"),
        (
            &[
                ("DB_SSLCERT", "/c.pem"),
                ("DB_SSLKEY", "/c.key"),
                ("DB_SSLMODE", "disable"),
            ],
            "cannot be shown with the sslmode disable",
        ),
        (
            &[
                ("DB_SSLCERT", "/c.pem"),
                ("DB_SSLKEY", "/c.key"),
                ("DB_HOST", "/run/postgresql"),
            ],
            "has no TLS",
        ),
    ] {
        let setting = variables.iter().fold(shipped(), |setting, (name, value)| {
            setting.with(name, value)
        });
        let message = setting.message();
        assert!(message.contains(shown), "{message}");
    }
    let all = ["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD"];
    for (url, shown) in [
        ("postgres://u:p@a,b/d", "more than one host"),
        ("postgres://u:p@h/d?options=-c%20x", "`options`"),
        (
            "postgres://u:p@h/d?sslmode=require&sslcert=%2Fc.pem",
            "DB_SSLKEY",
        ),
        ("postgres://u:p@h/d?sslpassword=hunter2", "`sslpassword`"),
        (
            "postgres://u:p@h/d?channel_binding=require",
            "`channel_binding`",
        ),
        (
            "postgres://u:p@h/d?target_session_attrs=standby",
            "`target_session_attrs`",
        ),
        (
            "postgres://u:p@h/d?application_name=crm",
            "`application_name`",
        ),
        ("postgres://u:p@hunter2@h/d", "%40"),
    ] {
        let message = shipped().without(&all).with("DATABASE_URL", url).message();
        assert!(message.contains(shown), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    let message = shipped().without(&["DB_PASSWORD"]).message();
    assert!(message.contains("~/.pgpass are not read"), "{message}");
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
