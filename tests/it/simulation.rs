//! Random schedules of runs, faults, replays and changes of the source, against a model.
//!
//! Each schedule has its own keys, and uses the real pipeline, spool and PostgreSQL. Some of its runs meet a database
//! that is away, or a link that breaks at the COMMIT; what that leaves in the spool is replayed in any order, some of it
//! more than once. In the end the table must be what the model says: for each key the newest of all that was fetched.
//! After each run its ledger must say what the database holds: the sums of its batch log, as many rows more as were
//! inserted, and no more rows that carry its id than were inserted and updated.
//! `DATASYNC_SCHEDULES` says how many (300 in `make test`, 10,000 in `make soak`), `DATASYNC_SEED` repeats one.
#![allow(clippy::unwrap_used)]

mod program;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use datasync::config::plan::Plan;
use datasync::config::{Needs, Sources, load_with};
use datasync::decision::Decision;
use datasync::model::clock::{DatabaseClock, Micros};
use datasync::model::record::Ledger;
use datasync::pipeline::{
    self, Brake, Feed, Flow, Job, Keep, Limits, PageInput, RejectionLog, Rules, Shown, Spare,
    Target, Task,
};
use datasync::spool::{Opened, Spool};
use datasync::store::{self, Columns, Connection, Layout};
use datasync::support::progress::Progress;
use datasync::transform::Transform;
use fastrand::Rng;

use crate::support::Workplace;
use crate::support::postgres::Database;
use crate::support::proxy::{Mode, Proxy};

const KEYS: usize = 8;
/// Schedules at a time.
const LANES: u64 = 4;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

/// One record that was fetched: what orders it, and its name in the table.
#[derive(Clone, Debug)]
struct Fetched {
    key: String,
    /// Version if versions are mapped, else request time and place in its page.
    order: (i64, i64),
    name: String,
    valid: bool,
}

/// Looks into the database at what a run says of itself.
struct Witness {
    client: postgres::Client,
    /// All keys of the schedule.
    keys: Vec<String>,
    /// How many of them had a row after the last run: nobody else writes them.
    rows: u64,
}

impl Witness {
    fn new(database: &Database, prefix: &str) -> Self {
        Self {
            client: database.client(),
            keys: (0..KEYS).map(|own| key(prefix, own)).collect(),
            rows: 0,
        }
    }

    /// Rows of the schedule, and how many of them this run was the last to change.
    fn rows(&mut self, run: uuid::Uuid) -> (u64, u64) {
        let row = self
            .client
            .query_one(
                "SELECT count(*), count(*) FILTER (WHERE sync_id = $2) FROM customers WHERE customer_id = ANY ($1)",
                &[&self.keys, &run],
            )
            .unwrap();
        (count(&row, 0), count(&row, 1))
    }

    /// The counts of a run are those of its committed transactions, whatever the program heard of them.
    fn confirm(&mut self, run: uuid::Uuid, ledger: &Ledger) {
        let row = self
            .client
            .query_one(
                "SELECT coalesce(sum(inserted), 0)::bigint, coalesce(sum(updated), 0)::bigint, \
                 coalesce(sum(unchanged), 0)::bigint, coalesce(sum(superseded), 0)::bigint, \
                 coalesce(sum(duplicates), 0)::bigint, coalesce(sum(rejected), 0)::bigint \
                 FROM sync_batches WHERE run_id = $1",
                &[&run],
            )
            .unwrap();
        let committed: Vec<u64> = (0..6).map(|at| count(&row, at)).collect();
        let counted = [
            ledger.inserted,
            ledger.updated,
            ledger.unchanged,
            ledger.superseded,
            ledger.duplicates,
            ledger.rejected,
        ];
        assert_eq!(
            counted[..],
            committed,
            "{ledger:?} is not what the batch log of {run} says"
        );
        let (rows, touched) = self.rows(run);
        let before = std::mem::replace(&mut self.rows, rows);
        assert_eq!(
            rows - before,
            ledger.inserted,
            "{ledger:?}, and there were {before} rows before {run} and {rows} after it"
        );
        assert!(
            touched <= ledger.inserted + ledger.updated,
            "{ledger:?}, but {touched} rows are of {run}"
        );
    }
}

fn count(row: &postgres::Row, at: usize) -> u64 {
    u64::try_from(row.get::<_, i64>(at)).unwrap()
}

fn key(prefix: &str, own: usize) -> String {
    format!("{prefix}-{own}")
}

/// The program's parts, made once for many schedules.
struct Parts {
    plan: Plan,
    transform: Transform,
    decision: Decision,
    columns: Arc<Columns>,
    layout: Layout,
    versioned: bool,
}

impl Parts {
    fn new(database: &Database, versioned: bool) -> Self {
        let place = Workplace::new();
        if versioned {
            place.edit(
                "mappings.yaml",
                "            record_type: {",
                "            updated_date: { to: sourceUpdatedAt, type: datetime, column: false }\n            record_type: {",
            );
            place.edit(
                "mappings.yaml",
                "\nvalidation:\n",
                "\nvalidation:\n  version_field: sourceUpdatedAt\n",
            );
        }
        let sources = Sources {
            mappings: Some(place.path("mappings.yaml")),
            decisions: Some(place.path("decisions.dmn.xml")),
            state_dir: Some(place.state()),
            ..Sources::default()
        };
        let environment = [
            ("DB_HOST", database.host.clone()),
            ("DB_PORT", database.port.to_string()),
            ("DB_NAME", database.name.clone()),
            ("DB_USER", database.user.clone()),
            ("DB_PASSWORD", database.password.clone()),
        ];
        let needs = Needs {
            api: false,
            database: true,
        };
        let variables = environment.map(|(name, value)| (name.into(), value.into()));
        let mut plan =
            load_with(&sources, needs, variables).unwrap_or_else(|errors| panic!("{errors}"));
        let limits = plan.database.as_mut().unwrap();
        (limits.min_connections, limits.max_connections) = (1, 2);
        let transform = Transform::new(&plan.mapping).unwrap();
        let xml = std::fs::read_to_string(place.path("decisions.dmn.xml")).unwrap();
        let decision =
            Decision::compile(&xml, "decisions.dmn.xml", None, &transform.variable_names())
                .unwrap();
        let columns = Arc::new(Columns::new(&plan.mapping).unwrap());
        let database = plan.database().unwrap();
        let mut connection = Connection::open(database, database.connection_timeout).unwrap();
        let layout = store::inspect(&mut connection, database, &plan.mapping).unwrap();
        Self {
            plan,
            transform,
            decision,
            columns,
            layout,
            versioned,
        }
    }

    /// Runs sheets to the database at `port`; what it does not take is kept. The ledger balances and is what the
    /// witness saw.
    fn run(
        &self,
        sheets: Vec<PageInput>,
        port: u16,
        keep: Option<&mut Spool>,
        witness: &mut Witness,
    ) -> Flow {
        let run_id = uuid::Uuid::now_v7();
        let mut database = self.plan.database().unwrap().clone();
        if database.port != port {
            "127.0.0.1".clone_into(&mut database.host);
            database.port = port;
        }
        let stop = AtomicBool::new(false);
        let (progress, accounted) = (Progress::new(false), AtomicU64::new(0));
        let rejections = RejectionLog::new(log::Level::Trace, false, String::new());
        let mut next_batch = 0;
        let job = Job {
            feed: Feed::Inputs(sheets),
            rules: Rules {
                transform: &self.transform,
                decision: &self.decision,
            },
            target: Target {
                message_builder: None,
                mask: &datasync::transform::Mask::new(&self.plan.mapping),
                config_hash: "",
                database: &database,
                columns: Arc::clone(&self.columns),
                layout: Some(&self.layout),
                run_id,
                clock: DatabaseClock::local(),
                task: Task::Write,
            },
            limits: Limits {
                brake: Brake::default(),
                shard: None,
                records: None,
                batch_size: 3,
                min_connections: 1,
                max_connections: 2,
                continue_on_database_failure: true,
                deadline: None,
                stop: &stop,
                progress_wanted: &AtomicBool::new(false),
                rejections: &rejections,
            },
            keep: keep.map(|spool| Keep {
                spool,
                config_hash: "simulation",
            }),
            next_batch: &mut next_batch,
            spare: &mut Spare::default(),
            shown: Shown {
                progress: &progress,
                accounted: &accounted,
            },
        };
        let flow = pipeline::run(job);
        assert_eq!(flow.ends.broken, None);
        assert!(flow.ledger.balances(), "{:?}", flow.ledger);
        witness.confirm(run_id, &flow.ledger);
        flow
    }
}

/// A page of a few records of this schedule, requested at `requested_at`.
fn page(
    parts: &Parts,
    prefix: &str,
    requested_at: i64,
    random: &mut Rng,
) -> (PageInput, Vec<Fetched>) {
    let (mut text, mut records, mut fetched) = (String::new(), Vec::new(), Vec::new());
    // Without versions one request time orders nothing, so a key comes once in a page.
    let mut keys: Vec<usize> = (0..KEYS).collect();
    random.shuffle(&mut keys);
    for place in 0..random.i64(1..7) {
        let own = if parts.versioned {
            random.usize(..KEYS)
        } else {
            keys.remove(0)
        };
        let key = key(prefix, own);
        let valid = random.u8(..8) > 0;
        // Unique, so that the newest is never in doubt.
        let version = random.i64(1_000_000_000..2_000_000_000);
        let name = format!("{requested_at}-{place}-{version}");
        let at = jiff::Timestamp::from_second(version).unwrap();
        let start = u32::try_from(text.len()).unwrap();
        text += &format!(
            r#"{{"external_id":"{key}","full_name":"{name}","contact_email":"a@example.com","quality_score":{},"updated_date":"{at}","record_type":"lead"}}"#,
            if valid { 90 } else { 10 }
        );
        records.push(start..u32::try_from(text.len()).unwrap());
        let order = if parts.versioned {
            (version, 0)
        } else {
            (requested_at, place)
        };
        fetched.push(Fetched {
            key,
            order,
            name,
            valid,
        });
    }
    let sheet = PageInput {
        text: Arc::new(text),
        records,
        requested_at: Micros(requested_at),
        announced_total: None,
    };
    (sheet, fetched)
}

/// Replays one file; `crash`: the process dies between the COMMIT and the removal of the file.
fn replay(
    parts: &Parts,
    spool: &mut Spool,
    path: &std::path::Path,
    port: u16,
    crash: bool,
    witness: &mut Witness,
) {
    // A lock that was just given up lives on for a moment in a process that another test is starting.
    let opened = (0..500).find_map(|_| match spool.open_file(path).unwrap() {
        Opened::Ready(waiting) => Some(waiting),
        Opened::Taken => {
            std::thread::sleep(std::time::Duration::from_millis(10));
            None
        }
        Opened::Quarantined(_, reason) => panic!("{}: {reason}", path.display()),
    });
    let waiting = opened.unwrap_or_else(|| panic!("{} stays locked", path.display()));
    let sheets = waiting
        .entries
        .iter()
        .map(|entry| PageInput {
            text: Arc::new(entry.raw.clone()),
            records: std::iter::once(0..u32::try_from(entry.raw.len()).unwrap()).collect(),
            requested_at: entry.requested_at,
            announced_total: None,
        })
        .collect();
    let flow = parts.run(sheets, port, None, witness);
    assert_eq!(flow.ledger.fetched, waiting.entries.len() as u64);
    if flow.ledger.spooled == 0 && !crash {
        spool.remove(&waiting).unwrap();
    }
}

fn schedule(parts: &Parts, proxy: &Proxy, name: &str, seed: u64, database: &Database) {
    let mut random = Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 24).unwrap();
    let mut witness = Witness::new(database, name);
    let up = database.port;
    let mut everything: Vec<Fetched> = Vec::new();
    let mut clock = 1_700_000_000_000_000 + i64::try_from(seed % 1_000_000).unwrap() * 1_000_000;
    for _ in 0..random.usize(2..7) {
        clock += random.i64(1..1_000_000);
        match random.u8(..10) {
            0..=3 => {
                let (sheet, fetched) = page(parts, name, clock, &mut random);
                let flow = parts.run(vec![sheet], up, Some(&mut spool), &mut witness);
                assert_eq!(flow.ledger.fetched, fetched.len() as u64);
                assert_eq!(flow.ledger.spooled, 0, "the database is there");
                everything.extend(fetched);
            }
            4..=5 => {
                // Away: port 1 refuses.
                let (sheet, fetched) = page(parts, name, clock, &mut random);
                let flow = parts.run(vec![sheet], 1, Some(&mut spool), &mut witness);
                assert_eq!(flow.ledger.spooled, fetched.len() as u64);
                everything.extend(fetched);
            }
            6 => {
                // The link breaks at a COMMIT, of which nobody knows whether it came through.
                proxy.set(Mode::CutAtCommit);
                let (sheet, fetched) = page(parts, name, clock, &mut random);
                let flow = parts.run(vec![sheet], proxy.port, Some(&mut spool), &mut witness);
                assert_eq!(flow.ledger.fetched, fetched.len() as u64);
                everything.extend(fetched);
            }
            _ => {
                let files = spool.files().unwrap();
                if !files.is_empty() {
                    let path = &files[random.usize(..files.len())];
                    let port = if random.u8(..4) == 0 { 1 } else { up };
                    replay(
                        parts,
                        &mut spool,
                        path,
                        port,
                        random.u8(..3) == 0,
                        &mut witness,
                    );
                }
            }
        }
    }
    let mut files = spool.files().unwrap();
    random.shuffle(&mut files);
    for path in files {
        replay(parts, &mut spool, &path, up, false, &mut witness);
    }
    assert!(spool.files().unwrap().is_empty());

    let mut model: BTreeMap<&str, &Fetched> = BTreeMap::new();
    for fetched in everything.iter().filter(|fetched| fetched.valid) {
        let newest = model.entry(&fetched.key).or_insert(fetched);
        if fetched.order > newest.order {
            *newest = fetched;
        }
    }
    let expected: Vec<(String, String)> = model
        .values()
        .map(|f| (f.key.clone(), f.name.clone()))
        .collect();
    let client = &mut witness.client;
    let found: Vec<(String, String)> = client
        .query("SELECT customer_id, customer_name FROM customers WHERE customer_id LIKE $1 ORDER BY customer_id COLLATE \"C\"", &[&format!("{name}-%")])
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    assert_eq!(found, expected);
    // Whoever was refused is among the rejections.
    for fetched in everything.iter().filter(|fetched| !fetched.valid) {
        let known = client
            .query(
                "SELECT 1 FROM sync_rejections WHERE key = $1",
                &[&fetched.key],
            )
            .unwrap();
        assert!(
            !known.is_empty(),
            "{} was refused and forgotten",
            fetched.key
        );
    }
}

#[test]
fn random_schedules_end_as_the_model_says() {
    let first = number("DATASYNC_SEED", fastrand::u64(..1 << 40));
    let schedules = number("DATASYNC_SCHEDULES", 300);
    for versioned in [false, true] {
        let database = Database::new();
        let parts = Parts::new(&database, versioned);
        let next = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..LANES {
                scope.spawn(|| {
                    let proxy = Proxy::start(database.port);
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= schedules.div_ceil(2) {
                            return;
                        }
                        let seed = first + at;
                        let run = std::panic::AssertUnwindSafe(|| schedule(&parts, &proxy, &format!("q{at}"), seed, &database));
                        if let Err(panic) = std::panic::catch_unwind(run) {
                            eprintln!("simulation: versioned {versioned}, repeat with DATASYNC_SEED={seed} DATASYNC_SCHEDULES=1");
                            std::panic::resume_unwind(panic);
                        }
                    }
                });
            }
        });
    }
    eprintln!("simulation: {schedules} schedules from seed {first}");
}
