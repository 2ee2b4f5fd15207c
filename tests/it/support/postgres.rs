//! A private PostgreSQL: found on the machine, made in a temporary folder, gone with the test process.
//!
//! One cluster serves all tests, each in a database of its own; tests that stop or reconfigure the server make their
//! own [`Cluster`]. `TEST_DATABASE_URL` points the shared part at a server that exists already; where its database has
//! Citus, every test's database is one of that Citus cluster, with `customers` distributed.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use super::bouncer::{self, Bouncer};
use super::server::Server;

/// The superuser of private clusters.
const USER: &str = "postgres";
/// Its password: with what a careless quoting would trip over.
const PASSWORD: &str = "it's a \"pass\\word\" $HOME";

const NOT_FOUND: &str = "PostgreSQL's server programs (initdb, pg_ctl) were not found: neither on PATH, nor by `pg_config \
--bindir`, nor in the usual folders. The tests need a real server. Install one:
  Debian, Ubuntu:  apt-get install postgresql
  Fedora, RHEL:    dnf install postgresql-server
  Alpine:          apk add postgresql
  macOS:           brew install postgresql@17
or let TEST_DATABASE_URL name a server on which databases may be created.";

/// The folder of `initdb`, `pg_ctl` and `postgres`.
fn bin_dir() -> PathBuf {
    let mut candidates: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        candidates.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    // Newest first.
    let mut versioned = Vec::new();
    for (folder, prefix, suffix) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
        ("/usr/libexec", "postgresql", ""),
    ] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(rest) = name.strip_prefix(prefix) {
                let number: u32 = rest
                    .trim_start_matches(['@', '-'])
                    .split('.')
                    .next()
                    .and_then(|major| major.parse().ok())
                    .unwrap_or(0);
                versioned.push((number, entry.path().join(suffix)));
            }
        }
    }
    versioned.sort();
    candidates.extend(versioned.into_iter().rev().map(|(_, path)| path));
    candidates
        .into_iter()
        .map(|folder| {
            // A link on PATH may stand for initdb alone.
            folder
                .join("initdb")
                .canonicalize()
                .ok()
                .and_then(|file| file.parent().map(Path::to_path_buf))
                .unwrap_or(folder)
        })
        .find(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
        .unwrap_or_else(|| panic!("{NOT_FOUND}"))
}

/// Who runs the server: its programs refuse root.
#[derive(Clone)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// None when this process may run it itself.
pub fn owner() -> Option<Owner> {
    if std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() != 0)
        || Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|id| id.stdout != b"0\n")
    {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("the list of users");
    let of = |name: &str| {
        let line = users.lines().find(|l| l.split(':').next() == Some(name))?;
        let mut parts = line.split(':').skip(2);
        Some(Owner {
            uid: parts.next()?.parse().ok()?,
            gid: parts.next()?.parse().ok()?,
        })
    };
    Some(
        of("postgres")
            .or_else(|| of("nobody"))
            .expect("a user postgres or nobody to run the server, since root may not"),
    )
}

/// A server of one's own.
pub struct Cluster {
    folder: PathBuf,
    bin: PathBuf,
    owner: Option<Owner>,
    pub port: u16,
    guard: Option<(Child, ChildStdin)>,
}

impl Cluster {
    /// Makes and starts a cluster. `settings` join postgresql.conf, `files` are written into the data folder.
    pub fn new(settings: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        let bin = bin_dir();
        let owner = owner();
        let folder = tempfile::Builder::new()
            .prefix("datasync-pg-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        let mut cluster = Self {
            folder,
            bin,
            owner,
            port: free_port(),
            guard: None,
        };
        cluster.give(&cluster.folder);
        // Told by the end of its input, which comes however this process ends.
        let mut guard = Command::new("sh");
        guard
            .arg("-c")
            .arg(format!(
                "read -r _; {} -D \"$1/data\" -m immediate stop; rm -rf \"$1\"",
                cluster.shell_prefix() + &shell_quote(&cluster.bin.join("pg_ctl"))
            ))
            .arg("sh")
            .arg(&cluster.folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let mut guard = guard.spawn().expect("a shell that guards the server");
        let pipe = guard.stdin.take().expect("the guard's input");
        cluster.guard = Some((guard, pipe));
        let password = cluster.folder.join("password");
        std::fs::write(&password, PASSWORD).expect("the password file");
        cluster.give(&password);
        cluster.run(
            "initdb",
            &[
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                &format!("--username={USER}"),
                &format!("--pwfile={}", password.display()),
                "-D",
                &cluster.data(),
            ],
        );
        let mut conf = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nfsync = off\n\
             synchronous_commit = off\nfull_page_writes = off\nmax_connections = 200\nshared_buffers = 32MB\n\
             autovacuum = off\nlog_min_messages = warning\n",
            cluster.port,
            cluster.folder.display()
        );
        for (name, value) in settings {
            conf.extend([name, " = '", value, "'\n"]);
        }
        let path = Path::new(&cluster.data()).join("postgresql.conf");
        let initial = std::fs::read_to_string(&path).expect("postgresql.conf");
        std::fs::write(&path, initial + &conf).expect("postgresql.conf");
        for (name, text) in files {
            let path = Path::new(&cluster.data()).join(name);
            std::fs::write(&path, text).expect("a file of the cluster");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
                .expect("permissions");
            cluster.give(&path);
        }
        cluster.start();
        cluster
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    /// The folder of the Unix socket.
    pub fn socket(&self) -> String {
        self.folder.display().to_string()
    }

    fn give(&self, path: &Path) {
        if let Some(owner) = &self.owner {
            std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid)).expect("chown");
        }
    }

    fn shell_prefix(&self) -> String {
        self.owner.as_ref().map_or_else(String::new, |owner| {
            format!(
                "setpriv --reuid={} --regid={} --clear-groups ",
                owner.uid, owner.gid
            )
        })
    }

    fn try_run(&self, program: &str, args: &[&str]) -> Result<(), String> {
        let mut command = Command::new(self.bin.join(program));
        command
            .args(args)
            .current_dir("/")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        if let Some(owner) = &self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        // To a file: the server inherits it and would keep a pipe open.
        let log = self.folder.join("programs.log");
        let output = std::fs::File::create(&log).expect("a log file");
        self.give(&log);
        let status = command
            .stdout(output.try_clone().expect("a log file"))
            .stderr(output)
            .status()
            .unwrap_or_else(|error| panic!("{program} did not start: {error}"));
        if status.success() {
            Ok(())
        } else {
            Err(format!(
                "{program} failed:\n{}\n{}",
                std::fs::read_to_string(log).unwrap_or_default(),
                std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
            ))
        }
    }

    fn run(&self, program: &str, args: &[&str]) {
        self.try_run(program, args)
            .unwrap_or_else(|why| panic!("{why}"));
    }

    pub fn start(&self) {
        let log = self.folder.join("server.log").display().to_string();
        self.run("pg_ctl", &["-D", &self.data(), "-l", &log, "-w", "start"]);
    }

    /// `mode` is `fast` or `immediate`.
    pub fn stop(&self, mode: &str) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", mode, "-w", "stop"]);
    }

    /// The server's main process, for signals.
    pub fn postmaster(&self) -> u32 {
        std::fs::read_to_string(Path::new(&self.data()).join("postmaster.pid"))
            .ok()
            .and_then(|text| text.lines().next()?.parse().ok())
            .expect("postmaster.pid")
    }

    /// A database of it with schema.sql applied.
    pub fn database(&self) -> Database {
        let place = Server {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            maintenance: "postgres".to_owned(),
        };
        let name = fresh_name();
        place.maintenance(&format!("CREATE DATABASE {name}"));
        let database = Database::at(&place, name, Vec::new());
        apply_schema(&mut database.client());
        database
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((mut guard, pipe)) = self.guard.take() {
            drop(pipe);
            guard.wait().expect("the guard of the server");
        }
    }
}

fn shell_quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

/// A port that nobody has at the moment, below those that the system gives to whoever asks for any: a server that is
/// stopped for a while finds it free again.
pub fn free_port() -> u16 {
    (0..1_000)
        .map(|_| fastrand::u16(20_000..32_000))
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

pub(super) fn apply_schema(client: &mut postgres::Client) {
    client
        .batch_execute(datasync::store::schema::SCHEMA_SQL)
        .expect("schema.sql");
}

fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!(
        "datasync_test_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// The shared server.
struct Shared {
    place: Server,
    /// Databases are copies of this one; none on a server that is not ours, where nothing may be left behind.
    template: Option<String>,
    /// Its workers, if it is the coordinator of a Citus cluster.
    citus: Option<Vec<Server>>,
    /// With `TEST_PGBOUNCER=1` the program reaches its databases through this.
    bouncer: Option<Bouncer>,
    /// Lives as long as the process; its guard notices the end.
    _cluster: Option<Cluster>,
}

fn shared() -> &'static Mutex<Shared> {
    static SHARED: OnceLock<Mutex<Shared>> = OnceLock::new();
    SHARED.get_or_init(|| {
        let (place, cluster) = match std::env::var("TEST_DATABASE_URL") {
            Ok(url) if !url.is_empty() => {
                let config: postgres::Config = url.parse().expect("TEST_DATABASE_URL");
                let host = match config.get_hosts().first() {
                    Some(postgres::config::Host::Tcp(host)) => host.clone(),
                    Some(postgres::config::Host::Unix(path)) => path.display().to_string(),
                    None => "127.0.0.1".to_owned(),
                };
                let place = Server {
                    host,
                    port: config.get_ports().first().copied().unwrap_or(5432),
                    user: config.get_user().unwrap_or(USER).to_owned(),
                    password: config
                        .get_password()
                        .map(|p| String::from_utf8_lossy(p).into_owned())
                        .unwrap_or_default(),
                    maintenance: config.get_dbname().unwrap_or("postgres").to_owned(),
                };
                (place, None)
            }
            _ => {
                let cluster = Cluster::new(&[], &[]);
                let place = Server {
                    host: "127.0.0.1".to_owned(),
                    port: cluster.port,
                    user: USER.to_owned(),
                    password: PASSWORD.to_owned(),
                    maintenance: "postgres".to_owned(),
                };
                (place, Some(cluster))
            }
        };
        let template = cluster.is_some().then(|| {
            let template = fresh_name();
            place.maintenance(&format!("CREATE DATABASE {template}"));
            apply_schema(&mut place.client(&template));
            template
        });
        let citus = template.is_none().then(|| place.citus_workers()).flatten();
        let bouncer = std::env::var("TEST_PGBOUNCER")
            .is_ok_and(|wanted| wanted == "1")
            .then(|| {
                let program = bouncer::program().expect("TEST_PGBOUNCER=1 needs pgbouncer");
                Bouncer::start(&program, &place, 4)
            });
        Mutex::new(Shared {
            place,
            template,
            citus,
            bouncer,
            _cluster: cluster,
        })
    })
}

/// A database for one test, with schema.sql applied.
pub struct Database {
    pub host: String,
    pub port: u16,
    pub name: String,
    pub user: String,
    pub password: String,
    /// Where it really is: host and port above may be those of a pgbouncer.
    pub server: Server,
    /// The servers on which it is to be dropped at the end: none for one that goes with its cluster.
    dropped_on: Vec<Server>,
}

/// Whether [`Database::new`] gives databases of a Citus cluster.
pub fn on_citus() -> bool {
    shared()
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .citus
        .is_some()
}

impl Database {
    fn at(server: &Server, name: String, dropped_on: Vec<Server>) -> Self {
        Self {
            host: server.host.clone(),
            port: server.port,
            user: server.user.clone(),
            password: server.password.clone(),
            name,
            dropped_on,
            server: server.clone(),
        }
    }

    pub fn new() -> Self {
        Self::make(true)
    }

    /// One that is plain on Citus too: for triggers, and for what several statements at once do to the table.
    pub fn undistributed() -> Self {
        Self::make(false)
    }

    /// One that is reached without any pgbouncer as well: for what is about the server's own logins and sessions.
    pub fn direct() -> Self {
        let mut database = Self::undistributed();
        database.host.clone_from(&database.server.host);
        database.port = database.server.port;
        database
    }

    fn make(distributed: bool) -> Self {
        // A test that panicked while it held the lock left nothing half-done.
        let shared = shared()
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let name = fresh_name();
        let mut dropped_on = Vec::new();
        match (&shared.template, &shared.citus) {
            (Some(template), _) => shared
                .place
                .maintenance(&format!("CREATE DATABASE {name} TEMPLATE {template}")),
            (None, Some(workers)) if distributed => {
                shared.place.citus_database(&name, workers);
                dropped_on.push(shared.place.clone());
                dropped_on.extend(workers.iter().cloned());
            }
            (None, _) => {
                shared.place.maintenance(&format!("CREATE DATABASE {name}"));
                apply_schema(&mut shared.place.client(&name));
                dropped_on.push(shared.place.clone());
            }
        }
        let mut database = Self::at(&shared.place, name, dropped_on);
        if let Some(bouncer) = &shared.bouncer {
            "127.0.0.1".clone_into(&mut database.host);
            database.port = bouncer.port;
        }
        database
    }

    /// A connection of the test's own, for assertions.
    pub fn client(&self) -> postgres::Client {
        self.server.client(&self.name)
    }

    /// Runs statements.
    pub fn run(&self, sql: &str) {
        self.client()
            .batch_execute(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The first column of all rows as text, NULL as `NULL`.
    pub fn list(&self, sql: &str) -> Vec<String> {
        self.client()
            .simple_query(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
            .into_iter()
            .filter_map(|message| match message {
                postgres::SimpleQueryMessage::Row(row) => {
                    Some(row.get(0).unwrap_or("NULL").to_owned())
                }
                _ => None,
            })
            .collect()
    }

    /// The first column of the only row, as text.
    pub fn one(&self, sql: &str) -> String {
        let mut all = self.list(sql);
        assert_eq!(all.len(), 1, "{sql} gave {} rows", all.len());
        all.remove(0)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        for server in &self.dropped_on {
            server.maintenance(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}
