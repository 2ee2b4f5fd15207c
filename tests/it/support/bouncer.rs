//! A pgbouncer in transaction mode before a PostgreSQL of the tests. It ends with the test process, however that ends.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::postgres::{free_port, owner};
use super::server::Server;

/// The program, where it is installed.
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([
            "/usr/sbin".into(),
            "/usr/bin".into(),
            "/usr/local/bin".into(),
        ])
        .map(|folder| folder.join("pgbouncer"))
        .find(|file| file.is_file())
}

pub struct Bouncer {
    pub port: u16,
    guard: Option<(Child, ChildStdin)>,
    _folder: tempfile::TempDir,
}

impl Bouncer {
    /// Starts it before `server`, with so many connections to each database, and waits until it answers.
    pub fn start(program: &std::path::Path, server: &Server, pool: u32) -> Self {
        Self::start_with(program, server, pool, "")
    }

    /// The same with more lines of settings, which win.
    pub fn start_with(program: &std::path::Path, server: &Server, pool: u32, more: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("datasync-bouncer-")
            .tempdir()
            .expect("a temporary folder");
        let port = free_port();
        let users = folder.path().join("users.txt");
        let settings = folder.path().join("pgbouncer.ini");
        let log = folder.path().join("log");
        std::fs::write(
            &users,
            format!(
                "\"{}\" \"{}\"\n",
                server.user,
                server.password.replace('"', "\"\"")
            ),
        )
        .expect("the users of pgbouncer");
        std::fs::write(
            &settings,
            format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n\
                 default_pool_size = {pool}\nmax_client_conn = 400\nmax_user_connections = 40\nserver_idle_timeout = 2\n{more}",
                server.host,
                server.port,
                users.display()
            ),
        )
        .expect("the settings of pgbouncer");
        // It refuses to run as root.
        let owner = owner();
        let output = std::fs::File::create(&log).expect("a log file");
        let mut guard = Command::new("sh");
        guard
            .args([
                "-c",
                "\"$@\" & child=$!; read -r _; kill -INT $child; wait $child",
                "sh",
            ])
            .arg(program)
            .arg(&settings)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a log file"))
            .stderr(output)
            .process_group(0);
        if let Some(owner) = owner {
            for path in [folder.path(), &users, &settings, &log] {
                std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid)).expect("chown");
            }
            guard.uid(owner.uid).gid(owner.gid);
        }
        let mut guard = guard.spawn().expect("a shell that guards pgbouncer");
        let pipe = guard.stdin.take().expect("the guard's input");
        let bouncer = Self {
            port,
            guard: Some((guard, pipe)),
            _folder: folder,
        };
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "pgbouncer does not answer:\n{}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        bouncer
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        if let Some((mut guard, pipe)) = self.guard.take() {
            drop(pipe);
            guard.wait().expect("the guard of pgbouncer");
        }
    }
}
