//! The deployment examples stay true: what they run is run here as they write it, every flag, variable and exit code in
//! them is one the program has. What only the scheduler itself could show is not claimed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize as _;
use serde_yaml::Value;

use crate::support::Workplace;
use crate::support::command::{Finished, finish, program as binary};
use crate::support::http::{Running, Server};
use crate::support::postgres::Database;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/deploy")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

fn api() -> Running {
    let texts = (0..250).map(|i| {
        format!(
            r#"{{"external_id":"X-{i:04}","full_name":"Name {i}","contact_email":"x{i}@example.com","quality_score":90,"record_type":"lead"}}"#
        )
    });
    Server::new().records(texts).start()
}

/// Runs a line of shell with nothing in the environment but this.
fn shell(line: &str, folder: &Path, environment: &[(String, String)]) -> Finished {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", line])
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

fn program(line: &str) -> String {
    let installed = "/usr/local/bin/datasync";
    assert!(line.contains(installed), "{line}");
    line.replace(installed, &quoted(&binary()))
}

fn secret_file(place: &Workplace, name: &str, text: &str) -> PathBuf {
    place.write(name, text);
    let path = place.path(name);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Values of `NAME=value …` lines of a unit's key.
fn unit_values(unit: &str, key: &str) -> Vec<String> {
    unit.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

/// The two of Kubernetes.
const CRON_JOBS: [&str; 2] = ["kubernetes.yaml", "kubernetes-shards.yaml"];

fn cron_job(file: &str) -> Value {
    let text = example(file);
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .find(|document| document["kind"] == "CronJob")
        .unwrap()
}

fn container(job: &Value) -> &Value {
    &job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn the_crontab_line_runs_with_crons_sparse_environment_and_prints_nothing() {
    let (api, database) = (api(), Database::new());
    let place = Workplace::new();
    let password = secret_file(&place, "password", &database.password);
    let dot_env = format!(
        "API_BASE_URL={}\nAPI_TOKEN={}\nDB_HOST={}\nDB_PORT={}\nDB_NAME={}\nDB_USER={}\nDB_PASSWORD_FILE={}\n",
        api.url(),
        crate::support::TOKEN,
        database.host,
        database.port,
        database.name,
        database.user,
        password.display(),
    );
    secret_file(&place, ".env", &dot_env);
    let text = example("crontab");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("MAILTO="))
        .collect();
    assert_eq!(lines.len(), 1, "one line to run");
    let mut rest = lines[0];
    for _ in 0..5 {
        rest = rest.split_once(' ').unwrap().1;
    }
    assert!(
        !rest.contains('%'),
        "cron would take it for the end of the line"
    );
    let line = program(&rest.replace("/etc/datasync", &quoted(place.path("").as_path())));
    let home = place.path("home");
    std::fs::create_dir(&home).unwrap();
    let environment = [
        ("HOME", home.display().to_string()),
        ("LOGNAME", "datasync".to_owned()),
        ("SHELL", "/bin/sh".to_owned()),
        ("PATH", "/usr/bin:/bin".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let finished = shell(&line, Path::new("/"), &environment);
    finished.expect(0);
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("", "")
    );
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "250");
    assert!(home.join(".local/state/datasync").is_dir());
}

#[test]
fn the_service_runs_its_command_with_its_credentials_and_prints_nothing() {
    let (api, database) = (api(), Database::new());
    let place = Workplace::new();
    let unit = example("systemd/datasync.service");
    let credentials = place.path("credentials");
    let state = place.path("var-lib");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::create_dir(&state).unwrap();
    for (name, secret) in [
        ("api-token", crate::support::TOKEN),
        ("db-password", database.password.as_str()),
    ] {
        assert!(unit.contains(&format!("LoadCredential={name}:/etc/datasync/{name}\n")));
        secret_file(&place, &format!("credentials/{name}"), secret);
    }
    let mut environment: Vec<(String, String)> = unit_values(&unit, "Environment")
        .iter()
        .map(|pair| {
            let pair = pair
                .replace("%d", &credentials.display().to_string())
                .replace("%S", &state.display().to_string());
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect();
    // What the comment at its head says is in datasync.env.
    for (name, value) in [
        ("API_BASE_URL", api.url().to_owned()),
        ("DB_HOST", database.host.clone()),
        ("DB_NAME", database.name.clone()),
        ("DB_USER", database.user.clone()),
    ] {
        assert!(
            unit.lines().take(4).any(|line| line.contains(name)),
            "{name}"
        );
        environment.push((name.to_owned(), value));
    }
    environment.push(("DB_PORT".to_owned(), database.port.to_string()));
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .unwrap();
    let line = format!("umask 077; exec {}", program(line));
    let finished = shell(&line, &place.path(""), &environment);
    finished.expect(0);
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("", "")
    );
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "250");
    assert_eq!(unit_values(&unit, "StateDirectory"), ["datasync"]);
    assert!(state.join("datasync").is_dir());
}

#[test]
fn systemd_itself_finds_nothing_wrong_with_the_units() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        crate::support::not_run("what systemd says of the units, needs systemd-analyze");
        return;
    }
    let place = Workplace::new();
    place.write("datasync.service", &{
        let unit = example("systemd/datasync.service");
        let installed = "ExecStart=/usr/local/bin/datasync";
        unit.replace(installed, &format!("ExecStart={}", binary().display()))
    });
    place.write("datasync.timer", &example("systemd/datasync.timer"));
    // It reads files and starts nothing.
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .args([place.path("datasync.service"), place.path("datasync.timer")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("datasync"),
        "{said}"
    );
}

fn strings(list: &Value) -> Vec<&str> {
    let list = list.as_sequence().into_iter().flatten();
    list.map(|text| text.as_str().unwrap()).collect()
}

/// Where the container keeps what is to stay: a folder of the volume, made for it as Kubernetes does.
fn state_volume(container: &Value, place: &Workplace, index: &str) -> PathBuf {
    let mounts = container["volumeMounts"].as_sequence().unwrap();
    let mount = mounts
        .iter()
        .find(|mount| mount["mountPath"] == "/var/lib/datasync")
        .unwrap();
    assert!(mount["readOnly"].is_null());
    let folder = mount["subPathExpr"].as_str().unwrap_or_default();
    let folder = place.path(&folder.replace("$(JOB_COMPLETION_INDEX)", index));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Starts what a container of the image would: its command, arguments and variables, with this index of an Indexed Job.
fn start_container(
    container: &Value,
    (api, database): (&Running, &Database),
    place: &Workplace,
    index: &str,
) -> Child {
    let state = state_volume(container, place, index);
    let program = binary();
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let mut environment = vec![
        ("DB_PORT".to_owned(), database.port.to_string()),
        ("PATH".to_owned(), path),
    ];
    for variable in container["env"].as_sequence().unwrap() {
        let name = variable["name"].as_str().unwrap();
        let value = match name {
            "API_BASE_URL" => api.url().to_owned(),
            "DB_HOST" => database.host.clone(),
            "DB_NAME" => database.name.clone(),
            "DB_USER" => database.user.clone(),
            "JOB_COMPLETION_INDEX" => {
                assert_eq!(
                    variable["valueFrom"]["fieldRef"]["fieldPath"],
                    "metadata.annotations['batch.kubernetes.io/job-completion-index']"
                );
                index.to_owned()
            }
            _ => {
                let value = variable["value"].as_str().unwrap();
                value
                    .replace("/run/secrets/datasync", &place.path("").to_string_lossy())
                    .replace("/var/lib/datasync", &state.to_string_lossy())
            }
        };
        environment.push((name.to_owned(), value));
    }
    // Without a command it is the image's.
    let mut words = strings(&container["command"]);
    if words.is_empty() {
        words.push(program.to_str().unwrap());
    }
    words.extend(strings(&container["args"]));
    Command::new(words[0])
        .args(&words[1..])
        .current_dir(place.path(""))
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What keeps it small and alone.
fn assert_confined(job: &Value) {
    assert_eq!(job["spec"]["concurrencyPolicy"], "Forbid");
    let security = &container(job)["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
}

fn with_secrets(database: &Database) -> Workplace {
    let place = Workplace::new();
    secret_file(&place, "api-token", crate::support::TOKEN);
    secret_file(&place, "db-password", &database.password);
    place
}

#[test]
fn the_container_of_the_cron_job_runs_with_its_arguments_and_variables() {
    let (api, database) = (api(), Database::new());
    let place = with_secrets(&database);
    let job = cron_job("kubernetes.yaml");
    finish(start_container(
        container(&job),
        (&api, &database),
        &place,
        "",
    ))
    .expect(0)
    .says("Synced: 250 records");
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "250");
    assert!(place.path("state").is_dir());
    assert_confined(&job);
}

#[test]
fn the_containers_of_the_indexed_job_are_the_shards_of_one_sync() {
    let (api, database) = (api(), Database::new());
    let place = with_secrets(&database);
    let job = cron_job("kubernetes-shards.yaml");
    let indexed = &job["spec"]["jobTemplate"]["spec"];
    assert_eq!(indexed["completionMode"], "Indexed");
    let shards = indexed["completions"].as_u64().unwrap();
    assert_eq!(indexed["parallelism"].as_u64(), Some(shards), "all at once");
    assert_eq!(indexed["maxFailedIndexes"].as_u64(), Some(shards));
    // FailIndex asks for it.
    assert!(indexed["backoffLimitPerIndex"].is_u64());
    let running: Vec<Child> = (0..shards)
        .map(|index| {
            start_container(
                container(&job),
                (&api, &database),
                &place,
                &index.to_string(),
            )
        })
        .collect();
    for child in running {
        finish(child).expect(0);
    }
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "250");
    let expected: Vec<String> = (1..=shards).map(|i| format!("{i}/{shards}")).collect();
    assert_eq!(
        database.list("SELECT shard FROM sync_log ORDER BY shard"),
        expected
    );
    assert_eq!(
        database.one("SELECT sum(records_processed)::text FROM sync_log"),
        "250",
        "each record in one of them"
    );
    for index in 0..shards {
        assert!(place.path(&format!("shard-{index}/state")).is_dir());
    }
    assert_confined(&job);
}

/// The codes of `datasync --help`.
fn contract() -> BTreeSet<u64> {
    let help = Workplace::new().run(&["--help"]).stdout;
    let (_, codes) = help.split_once("Exit codes:").unwrap();
    codes
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[test]
fn every_exit_code_in_the_examples_is_one_of_the_contract_and_kubernetes_knows_all_failures() {
    let contract = contract();
    assert_eq!(contract, [0, 1, 2, 3, 4, 5, 6, 75, 129, 130, 143].into());
    let unit = example("systemd/datasync.service");
    for code in unit_values(&unit, "SuccessExitStatus") {
        assert!(contract.contains(&code.parse().unwrap()), "{code}");
    }
    // All but success and the signals: a drained node is told by its condition.
    let failures: Vec<u64> = contract
        .into_iter()
        .filter(|code| ![0, 129, 130, 143].contains(code))
        .collect();
    for file in CRON_JOBS {
        let job = cron_job(file);
        let rules = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"].clone();
        let rules = rules.as_sequence().unwrap();
        let mut named: Vec<u64> = rules
            .iter()
            .filter_map(|rule| rule["onExitCodes"]["values"].as_sequence())
            .flatten()
            .map(|value| value.as_u64().unwrap())
            .collect();
        named.sort_unstable();
        assert_eq!(named, failures, "{file}: each once");
        let name = &container(&job)["name"];
        for codes in rules.iter().map(|rule| &rule["onExitCodes"]) {
            assert!(codes.is_null() || codes["containerName"] == *name, "{file}");
        }
    }
}

#[test]
fn every_variable_in_the_examples_is_in_env_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let known = std::fs::read_to_string(root.join(".env.example")).unwrap();
    let mut names = Vec::new();
    for job in CRON_JOBS.map(cron_job) {
        let variables = container(&job)["env"].as_sequence().unwrap();
        // Those with a value; the others come from Kubernetes.
        names.extend(
            variables
                .iter()
                .filter(|variable| variable["value"].is_string())
                .map(|variable| variable["name"].as_str().unwrap().to_owned()),
        );
    }
    let dockerfile = example("Dockerfile");
    let unit = example("systemd/datasync.service");
    names.extend(
        dockerfile
            .lines()
            .filter_map(|line| line.strip_prefix("ENV "))
            .map(str::to_owned)
            .chain(unit_values(&unit, "Environment"))
            .map(|pair| pair.split_once('=').unwrap().0.to_owned()),
    );
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let name = name.strip_suffix("_FILE").unwrap_or(&name);
        assert!(known.contains(&format!("{name}=")), "{name} is unknown");
    }
}

#[test]
fn the_image_starts_a_command_that_exists_and_copies_files_that_are_there() {
    let dockerfile = example("Dockerfile");
    let last = |key: &str| {
        let line = dockerfile
            .lines()
            .rfind(|line| line.starts_with(key))
            .unwrap();
        line[key.len()..].trim().to_owned()
    };
    let arguments: Vec<String> = serde_json::from_str(&last("CMD")).unwrap();
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.push("--help");
    Workplace::new().run(&arguments).expect(0);
    let entry: Vec<String> = serde_json::from_str(&last("ENTRYPOINT")).unwrap();
    assert!(
        dockerfile.contains(&format!("/datasync {}\n", entry[0])),
        "{entry:?}"
    );
    assert!(!last("USER").starts_with('0') && !last("USER").starts_with("root"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["mappings.yaml", "decisions.dmn.xml"] {
        assert!(dockerfile.contains(file) && root.join(file).is_file());
    }
}
