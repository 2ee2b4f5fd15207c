//! The progress bar: on a real terminal and only there, never through a line of the log, and gone at the end.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::support::Workplace;
use crate::support::command::{Finished, finish};
use crate::support::http::{Reply, Server};
use crate::support::postgres::Database;

/// Wide enough for every line of the log.
const COLUMNS: u16 = 400;

fn texts(count: u32) -> Vec<String> {
    (1..=count)
        .map(|i| {
            format!(
                r#"{{"external_id":"P-{i:04}","full_name":"Name {i}","contact_email":"p{i}@example.com","quality_score":90,"record_type":"lead"}}"#
            )
        })
        .collect()
}

/// Everything that has been written to a terminal so far.
#[derive(Default)]
struct Seen {
    bytes: Mutex<Vec<u8>>,
    more: Condvar,
}

impl Seen {
    fn has(bytes: &[u8], text: &str) -> bool {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    }

    /// Returns when this text was written, or when nobody needs to hope for it any more.
    fn wait_for(&self, text: &str) {
        let bytes = self.bytes.lock().unwrap();
        drop(
            self.more
                .wait_timeout_while(bytes, Duration::from_secs(20), |bytes| {
                    !Self::has(bytes, text)
                })
                .unwrap(),
        );
    }
}

/// A pseudo-terminal: this process is the terminal, the program writes to its other end.
struct Terminal {
    end: Stdio,
    seen: Arc<Seen>,
    reader: JoinHandle<()>,
}

impl Terminal {
    fn open() -> Self {
        Self::with_columns(COLUMNS)
    }

    fn with_columns(columns: u16) -> Self {
        let main = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::io::fcntl_setfd(&main, rustix::io::FdFlags::CLOEXEC).unwrap();
        rustix::pty::grantpt(&main).unwrap();
        rustix::pty::unlockpt(&main).unwrap();
        let size = Winsize {
            ws_row: 50,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&main, size).unwrap();
        let name = rustix::pty::ptsname(&main, Vec::new())
            .unwrap()
            .into_bytes();
        let end = rustix::fs::open(
            std::ffi::OsString::from_vec(name),
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
        let seen = Arc::new(Seen::default());
        let noted = Arc::clone(&seen);
        let mut main = File::from(main);
        // It ends with an error or with nothing, by system, once nobody has the other end.
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = main.read(&mut buffer) {
                noted
                    .bytes
                    .lock()
                    .unwrap()
                    .extend_from_slice(&buffer[..read]);
                noted.more.notify_all();
            }
        });
        Self {
            end: end.into(),
            seen,
            reader,
        }
    }

    fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen)
    }

    /// Starts the program with stderr on this terminal.
    fn start(self, place: &Workplace, arguments: &[&str]) -> Started {
        let mut command = place.command(arguments);
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm-256color");
        }
        command.stderr(self.end);
        Started::new(command, self.seen, self.reader)
    }

    /// Starts the program with stdout on this terminal.
    fn start_for_the_result(self, place: &Workplace, arguments: &[&str]) -> Started {
        let mut command = place.command(arguments);
        command.stdout(self.end);
        Started::new(command, self.seen, self.reader)
    }
}

struct Started {
    child: Child,
    seen: Arc<Seen>,
    reader: JoinHandle<()>,
}

impl Started {
    fn new(mut command: Command, seen: Arc<Seen>, reader: JoinHandle<()>) -> Self {
        Self {
            child: command.spawn().unwrap(),
            seen,
            reader,
        }
    }

    /// How the program ended, and all it wrote to the terminal.
    fn finish(self) -> (Finished, String) {
        let finished = finish(self.child);
        self.reader.join().unwrap();
        let bytes = std::mem::take(&mut *self.seen.bytes.lock().unwrap());
        (finished, String::from_utf8(bytes).unwrap())
    }
}

/// What a person sees on the terminal in the end: its lines without the blank ones. Like a terminal, it goes to the next
/// line only when something follows the last column.
fn screen(written: &str) -> Vec<String> {
    let mut lines = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                assert_eq!(chars.next(), Some('['), "{written:?}");
                let mut number = String::new();
                let command = loop {
                    match chars.next() {
                        Some(c) if c.is_ascii_digit() || c == ';' => number.push(c),
                        Some(c) => break c,
                        None => panic!("cut short: {written:?}"),
                    }
                };
                match (command, number.as_str()) {
                    ('m', _) => {}
                    ('K', "2") => lines[row].clear(),
                    ('A', rows) => row = row.saturating_sub(rows.parse().unwrap_or(1)),
                    ('B', rows) => row += rows.parse().unwrap_or(1),
                    other => panic!("an unknown command {other:?}: {written:?}"),
                }
            }
            c => {
                if column == usize::from(COLUMNS) {
                    (row, column) = (row + 1, 0);
                }
                if lines.len() <= row {
                    lines.resize(row + 1, Vec::new());
                }
                let line = &mut lines[row];
                if line.len() <= column {
                    line.resize(column + 1, ' ');
                }
                line[column] = c;
                column += 1;
            }
        }
        if lines.len() <= row {
            lines.resize(row + 1, Vec::new());
        }
    }
    lines
        .into_iter()
        .map(|line| line.into_iter().collect::<String>().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn a_terminal_shows_a_bar_while_the_run_goes_on_and_nothing_of_it_afterwards() {
    let terminal = Terminal::open();
    let seen = terminal.seen();
    // Each answer waits until what is known by then has been shown.
    let api = Server::new()
        .records(texts(500))
        .script(move |request| {
            seen.wait_for(match request.param("page") {
                Some("1") => " 0 records ",
                Some("2") => " 0/500 records ",
                _ => " 200/500 records ",
            });
            None
        })
        .start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 200 ");
    let (finished, written) = terminal.start(&place, &["sync"]).finish();
    finished.expect(0).says("Synced: 500 records");
    assert!(written.contains(" 0 records  0/s "), "{written:?}");
    let shown = |count: &str| {
        let mut frames: Vec<&str> = written.split('\r').collect();
        frames.retain(|frame| frame.contains(count));
        assert!(!frames.is_empty(), "no {count}: {written:?}");
        frames
    };
    for frame in shown(" 0/500 records  0/s ") {
        assert!(!frame.contains("left"), "nobody can tell yet: {frame:?}");
    }
    for frame in shown(" 200/500 records ") {
        assert!(frame.contains(" left "), "{frame:?}");
    }
    assert_eq!(screen(&written), [""; 0], "{written:?}");
}

#[test]
fn a_line_of_the_log_is_whole_and_no_piece_of_the_bar_stays_beside_it() {
    let terminal = Terminal::open();
    let seen = terminal.seen();
    let refused = AtomicBool::new(false);
    let api = Server::new()
        .records(texts(300))
        .script(move |request| {
            if request.param("page") == Some("1") {
                return None;
            }
            seen.wait_for("/300 records ");
            let first = !refused.swap(true, Ordering::SeqCst);
            first.then(|| Reply::Instead(503, Vec::new(), String::new()))
        })
        .start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    let (finished, written) = terminal.start(&place, &["-v", "sync"]).finish();
    finished.expect(0);
    assert!(written.contains("/300 records "), "{written:?}");
    let lines = screen(&written);
    assert!(lines.iter().any(|line| line.contains("503")), "{lines:#?}");
    for line in &lines {
        let (time, rest) = line.split_once(' ').unwrap_or_default();
        assert!(
            time.parse::<jiff::Timestamp>().is_ok()
                && (rest.starts_with("WARN  ") || rest.starts_with("INFO  "))
                && !rest.contains("/s  "),
            "not a line of the log: {line:?}\n{lines:#?}"
        );
    }
}

#[test]
fn a_run_that_ends_before_it_has_begun_takes_its_bar_away() {
    let api = Server::new().records(texts(10)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    database.run(
        "INSERT INTO sync_lease (target, run_id, who, host, process, started_at, heartbeat_at, expires_at) \
         SELECT 'public.customers', gen_random_uuid(), 'somebody', 'elsewhere', '', now(), now(), now() + interval '1 hour'",
    );
    let started = Terminal::open().start(&place, &["sync", "--wait", "5m"]);
    started.seen.wait_for(" 0 records ");
    let pid = rustix::process::Pid::from_child(&started.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let (finished, written) = started.finish();
    finished.expect(130);
    assert!(written.contains(" 0 records "), "{written:?}");
    for line in screen(&written) {
        assert!(!line.contains("records  "), "{line:?}");
    }
}

#[test]
fn without_a_terminal_or_where_it_is_not_wanted_there_is_no_bar() {
    let api = Server::new()
        .records(texts(200))
        .latency(Duration::from_millis(300))
        .start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    let finished = place.run(&["sync"]);
    finished.expect(0);
    assert_eq!(finished.stderr, "", "a pipe is no terminal");
    for arguments in [
        &["-q", "sync"] as &[_],
        &["sync", "--no-color"],
        &["sync", "--output", "json"],
    ] {
        let (finished, written) = Terminal::open().start(&place, arguments).finish();
        finished.expect(0);
        assert_eq!(written, "", "{arguments:?}");
    }
    let place = place.env("TERM", "dumb");
    let (finished, written) = Terminal::open().start(&place, &["sync"]).finish();
    finished.expect(0);
    assert_eq!(written, "", "a terminal that cannot go back");
}

/// What is seen of a line: without the sequences that colour it or clear the line.
fn visible(frame: &str) -> String {
    let mut parts = frame.split('\u{1b}');
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        text += &part[end + 1..];
    }
    text
}

#[test]
fn on_a_terminal_of_40_columns_the_bar_fits_one_line() {
    let terminal = Terminal::with_columns(40);
    let seen = terminal.seen();
    let api = Server::new()
        .records(texts(500))
        .script(move |request| {
            seen.wait_for(match request.param("page") {
                Some("1") => " 0 records ",
                Some("2") => " 0/500 ",
                _ => " 200/500 ",
            });
            None
        })
        .start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 200 ");
    let (finished, written) = terminal.start(&place, &["sync"]).finish();
    finished.expect(0);
    let frames: Vec<String> = written.split('\r').map(visible).collect();
    for frame in &frames {
        assert!(frame.trim_end().chars().count() < 40, "{frame:?}");
        assert!(!frame.contains('\n'), "it takes one line: {frame:?}");
    }
    for part in [" 0 records 0/s", " 0/500", " 200/500 "] {
        assert!(
            frames.iter().any(|frame| frame.contains(part)),
            "{frames:?}"
        );
    }
    assert!(
        frames
            .iter()
            .any(|frame| frame.contains(" 200/500 ") && frame.trim_end().ends_with(" left")),
        "how long it will take is whole: {frames:?}"
    );
}

#[test]
fn a_terminal_ends_with_a_line_of_proportions_and_a_pipe_does_not() {
    let mut records = texts(90);
    records.extend((1..=10).map(|i| {
        format!(r#"{{"external_id":"R-{i}","full_name":"Name","contact_email":"nobody","quality_score":90}}"#)
    }));
    let api = Server::new().records(records).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    let sync = |place: &Workplace, columns: u16, arguments: &[&str]| {
        let terminal = Terminal::with_columns(columns);
        let (finished, written) = terminal.start_for_the_result(place, arguments).finish();
        finished.expect(0);
        written.replace('\r', "")
    };
    let colored = sync(&place, 100, &["sync"]);
    assert!(colored.contains("\u{1b}[32m█"), "{colored:?}");
    let plain = sync(&place, 100, &["sync", "--no-color"]);
    let line = plain.lines().last().unwrap();
    assert_eq!(
        line,
        format!(
            "  {}{}  ░ unchanged  x rejected",
            "░".repeat(54),
            "x".repeat(6)
        )
    );
    assert_eq!(sync(&place, 100, &["-q", "sync"]), "");
    assert!(!sync(&place, 100, &["sync", "--output", "json"]).contains('░'));
    let narrow = sync(&place, 30, &["sync", "--no-color"]);
    assert_eq!(
        narrow.lines().last().unwrap(),
        format!("  {}xxx", "░".repeat(24))
    );
    let piped = place.run(&["sync"]);
    piped.expect(0);
    assert!(!piped.stdout.contains('░'), "{piped}");
}
