//! The example of an environment, `.env.example`, knows every variable.

use std::fs;

use super::Setting;

/// What the shipped mappings.yaml cannot do without.
const NEEDED: [&str; 7] = [
    "API_BASE_URL",
    "API_TOKEN",
    "DB_HOST",
    "DB_PORT",
    "DB_NAME",
    "DB_USER",
    "DB_PASSWORD",
];

#[test]
fn the_example_of_an_environment_names_every_variable() {
    let text = fs::read_to_string(".env.example").unwrap();
    let plan = Setting::new("mappings.yaml")
        .without(&NEEDED)
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

#[test]
fn the_example_of_an_env_file_knows_every_variable_and_is_read_as_it_is() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(root.join(".env.example")).unwrap();
    let place = crate::support::Workplace::new();
    let others = [
        "DATABASE_URL",
        "DB_SSLMODE",
        "DB_SSLROOTCERT",
        "SSL_CERT_FILE",
        "RUST_LOG",
        "NO_COLOR",
        "XDG_STATE_HOME",
    ];
    let mut names: Vec<String> = NEEDED
        .iter()
        .chain(&others)
        .map(|name| (*name).to_owned())
        .collect();
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
