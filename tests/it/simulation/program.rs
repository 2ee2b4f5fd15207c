//! Random schedules of whole runs of the program: two sources of one table that share a state directory, records that change,
//! are refused and have no version, a database that is away, a clock that is an hour ahead meanwhile, limits on threads, and
//! files in the spool that nobody can read. In the end each source is read once more, and the table and the open rejections
//! must be what the sources say.
//!
//! One such schedule is run for every fifty of the others (`DATASYNC_SCHEDULES`); `DATASYNC_SEED` repeats one. Limits on threads
//! need root, the clock needs libfaketime: without them those runs are like the others.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::number;
use crate::support::Workplace;
use crate::support::command::{Finished, assert_balanced, finish, program};
use crate::support::http::{Running, Server};
use crate::support::postgres::Database;

/// Schedules at a time.
const LANES: u64 = 2;
/// Users that have no other process, one a lane, so that the limit counts the threads of the run alone.
const USERS: u32 = 54_330;
const KEYS: u32 = 12;
/// No run takes longer.
const HANGS: Duration = Duration::from_secs(90);

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

#[derive(Clone, Debug)]
struct Record {
    name: String,
    /// Seconds; later changes have later ones.
    version: Option<i64>,
    valid: bool,
}

/// A source, and its own configuration of the shared table.
struct Source {
    prefix: char,
    records: Arc<Mutex<BTreeMap<u32, Record>>>,
    place: Workplace,
    _api: Running,
}

impl Source {
    fn new(prefix: char, versioned: bool, database: &Database, state: &str) -> Self {
        let records: Arc<Mutex<BTreeMap<u32, Record>>> = Arc::default();
        let served = Arc::clone(&records);
        // By its path a source is told from others.
        let path = format!("/api/v1/{prefix}");
        let api = Server::new()
            .path(&path)
            .rewrite(move |_, _| {
                let records = served.lock().unwrap();
                let texts: Vec<String> = records
                    .iter()
                    .map(|(number, record)| text(prefix, *number, record))
                    .collect();
                let count = texts.len();
                format!(
                    r#"{{"data":[{}],"total":{count},"total_pages":1}}"#,
                    texts.join(",")
                )
            })
            .start();
        let place = Workplace::connected(api.url(), database).env("DATASYNC_STATE_DIR", state);
        place.edit("mappings.yaml", "# updated_date:", "updated_date:");
        if versioned {
            place.edit("mappings.yaml", "# version_field:", "version_field:");
        }
        let path = format!("path: {path}\n");
        for (old, new) in [
            ("path: /api/v1/data\n", path.as_str()),
            ("rejection_rate: 20%", "rejection_rate: 100%"),
            ("initial: 500ms", "initial: 5ms"),
            ("batch_size: 5000 ", "batch_size: 5 "),
            ("connection_timeout: 5s", "connection_timeout: 10s"),
        ] {
            place.edit("mappings.yaml", old, new);
        }
        Self {
            prefix,
            records,
            place,
            _api: api,
        }
    }

    /// Somebody is at work at the source.
    fn change(&self, random: &mut Rng, clock: &mut i64) {
        let mut records = self.records.lock().unwrap();
        for _ in 0..random.u32(1..6) {
            *clock += 1;
            let record = Record {
                name: format!("{} {clock}", self.prefix),
                version: (random.u8(..4) > 0).then_some(1_600_000_000 + *clock),
                valid: random.u8(..6) > 0,
            };
            records.insert(random.u32(..KEYS), record);
        }
    }
}

fn key(prefix: char, number: u32) -> String {
    format!("{prefix}-{number:03}")
}

fn text(prefix: char, number: u32, record: &Record) -> String {
    let version = record.version.map_or_else(
        || "null".to_owned(),
        |version| format!("\"{}\"", jiff::Timestamp::from_second(version).unwrap()),
    );
    format!(
        r#"{{"external_id":"{}","full_name":"{}","contact_email":"s@example.com","quality_score":{},"record_type":"lead","updated_date":{version}}}"#,
        key(prefix, number),
        record.name,
        if record.valid { 90 } else { 10 }
    )
}

/// What a run meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Fair,
    /// The database is away.
    Away,
    /// The same, and the clock of the machine is an hour ahead.
    AwayAndAhead,
    /// So many threads may be had.
    Threads(u32),
}

/// Can a user be chosen, and limited?
fn can_limit() -> bool {
    let tools = ["setpriv", "prlimit"].map(|tool| Command::new(tool).arg("--version").output());
    rustix::process::getuid().is_root() && tools.iter().all(Result::is_ok)
}

/// `sync` in this weather, as this user where one can be chosen.
#[track_caller]
fn run(source: &Source, arguments: &[&str], weather: Weather, user: Option<u32>) -> Finished {
    let inner = source.place.command(&[]);
    // What is preloaded is for the program alone, once it has its user.
    let mut words: Vec<String> = Vec::new();
    if let Some(user) = user {
        let user = [
            "setpriv",
            &format!("--reuid={user}"),
            &format!("--regid={user}"),
            "--clear-groups",
        ]
        .map(str::to_owned);
        words.extend(user);
        if let Weather::Threads(threads) = weather {
            words.extend(["prlimit".to_owned(), format!("--nproc={threads}")]);
        }
    }
    if weather == Weather::AwayAndAhead && fs::exists(FAKETIME).unwrap() {
        words.extend([
            "env".to_owned(),
            format!("LD_PRELOAD={FAKETIME}"),
            "FAKETIME=+1h".to_owned(),
        ]);
    }
    words.push(source.place.path("datasync").display().to_string());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
        .args(["sync", "--output", "json"])
        .args(arguments)
        .current_dir(source.place.path(""))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    if matches!(weather, Weather::Away | Weather::AwayAndAhead) {
        command.env("DB_HOST", "127.0.0.1").env("DB_PORT", "1");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > HANGS {
            child.kill().unwrap();
            panic!("the run hangs in {weather:?}:\n{}", finish(child));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    finish(child)
}

/// A file of the spool that nobody can read.
fn poison(state: &std::path::Path, random: &mut Rng, user: Option<u32>) {
    let spool = state.join("spool");
    if !spool.exists() {
        return;
    }
    let path = spool.join(format!("{:020}-x-{:08}.spool", 1, random.u32(..1_000)));
    let text: &[u8] = match random.u8(..3) {
        0 => b"",
        1 => b"DSPOOL1\nno header",
        _ => b"not a spool file at all",
    };
    fs::write(&path, text).unwrap();
    std::os::unix::fs::chown(&path, user, user).unwrap();
}

fn spooled(state: &std::path::Path) -> usize {
    fs::read_dir(state.join("spool")).map_or(0, Iterator::count)
}

fn schedule(seed: u64, user: Option<u32>) {
    let mut random = Rng::with_seed(seed);
    // A pgbouncer that knows other logins is not what this is about.
    let database = Database::direct();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let versioned = random.bool();
    let sources = ['A', 'B']
        .map(|prefix| Source::new(prefix, versioned, &database, &state.display().to_string()));
    for source in &sources {
        let copy = source.place.path("datasync");
        fs::copy(program(), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        for path in [source.place.path(""), copy, folder.path().to_path_buf()] {
            std::os::unix::fs::chown(path, user, user).unwrap();
        }
    }
    let mut clock = 0;
    for step in 0..random.u32(6..12) {
        let source = &sources[random.usize(..2)];
        source.change(&mut random, &mut clock);
        let weather = match random.u8(..10) {
            4..=5 => Weather::Away,
            6 => Weather::AwayAndAhead,
            7 if user.is_some() => Weather::Threads(random.u32(1..13)),
            8..=9 => {
                poison(&state, &mut random, user);
                Weather::Fair
            }
            _ => Weather::Fair,
        };
        let finished = run(source, &[], weather, user);
        let expected = match weather {
            // An unreadable file of the spool is set aside once, by whichever run meets it.
            Weather::Fair => &[0, 6][..],
            Weather::Away | Weather::AwayAndAhead => &[4, 6],
            Weather::Threads(_) => &[0, 1, 6],
        };
        assert!(
            expected.contains(&finished.code),
            "step {step}, {} in {weather:?}\n{finished}",
            source.prefix
        );
        if let Ok(report) = serde_json::from_str::<serde_json::Value>(&finished.stdout)
            && report.get("ledger").is_some()
        {
            assert_balanced(&report);
        }
    }
    for source in &sources {
        let finished = run(source, &["--full"], Weather::Fair, user);
        assert!(matches!(finished.code, 0 | 6), "{finished}");
    }
    assert_eq!(spooled(&state), 0, "nothing waits any more");
    for source in &sources {
        run(source, &["--full"], Weather::Fair, user).expect(0);
        confirm(source, &database);
    }
    let late = database.one(
        "SELECT count(*)::text FROM customers WHERE updated_at > clock_timestamp() OR source_version > clock_timestamp()",
    );
    assert_eq!(late, "0", "rows from the future");
}

/// The table has what the source says, and what it refuses is among the open rejections, and nothing else is.
fn confirm(source: &Source, database: &Database) {
    let mut client = database.client();
    for (number, record) in source.records.lock().unwrap().iter() {
        let key = key(source.prefix, *number);
        let stored = client
            .query_opt(
                "SELECT customer_name FROM customers WHERE customer_id = $1",
                &[&key],
            )
            .unwrap()
            .map(|row| row.get::<_, String>(0));
        let open: Vec<String> = client
            .query(
                "SELECT payload FROM sync_rejections WHERE resolved_at IS NULL AND key = $1",
                &[&key],
            )
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        if record.valid {
            assert_eq!(stored.as_ref(), Some(&record.name), "{key}: {record:?}");
            assert_eq!(open, Vec::<String>::new(), "{key}: {record:?}");
        } else {
            assert_eq!(open.len(), 1, "{key}: {record:?} {open:?}");
            let name = format!("\"{}\"", record.name);
            assert!(open[0].contains(&name), "{key}: {record:?} {open:?}");
        }
    }
}

#[test]
fn whole_runs_in_any_weather_end_as_the_sources_say() {
    let first = number("DATASYNC_SEED", fastrand::u64(..1 << 40));
    let schedules = number("DATASYNC_SCHEDULES", 300).div_ceil(50);
    let next = AtomicU64::new(0);
    let limited = can_limit();
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let next = &next;
            let user = limited.then(|| USERS + u32::try_from(lane).unwrap());
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= schedules {
                        return;
                    }
                    let seed = first + at;
                    if let Err(panic) = std::panic::catch_unwind(|| schedule(seed, user)) {
                        eprintln!("simulation: whole runs, repeat with DATASYNC_SEED={seed} DATASYNC_SCHEDULES=1");
                        std::panic::resume_unwind(panic);
                    }
                }
            });
        }
    });
    eprintln!("simulation: {schedules} schedules of whole runs from seed {first}");
}
