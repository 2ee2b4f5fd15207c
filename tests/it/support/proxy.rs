//! A TCP proxy between the program and PostgreSQL: it forwards until it is told to misbehave.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the proxy does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Forward,
    /// At the next COMMIT: let the server have it, then break the link before the reply. Once.
    CutAfterCommit,
    /// The same with hardly any time for the server: the COMMIT may or may not have come through.
    CutAtCommit,
    /// Once `INSERT` is seen, nothing goes through any more, in either direction; the link stays up.
    BlackHole,
    /// The first connection goes through; others are accepted, and nothing comes back.
    OnlyFirst,
}

pub struct Proxy {
    pub port: u16,
    mode: Arc<Mutex<Mode>>,
    done: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens on a free port and forwards to `target` on this host.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(Mutex::new(Mode::Forward));
        let done = Arc::new(AtomicBool::new(false));
        let (shared, ended) = (Arc::clone(&mode), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut left_alone = Vec::new();
            for (number, client) in listener.incoming().enumerate() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                if number > 0 && *shared.lock().unwrap() == Mode::OnlyFirst {
                    left_alone.push(client);
                    continue;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", target)))
                else {
                    continue;
                };
                let stuck = Arc::new(AtomicBool::new(false));
                let (mode, flag) = (Arc::clone(&shared), Arc::clone(&stuck));
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || forward(from, to, Some(&mode), &flag));
                std::thread::spawn(move || forward(server, client, None, &stuck));
            }
        });
        Self { port, mode, done }
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// The mode as it is now: a fault that strikes once is over when it is `Forward` again.
    pub fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// Copies one direction. Only the one towards the server looks for what to do.
fn forward(mut from: TcpStream, mut to: TcpStream, mode: Option<&Mutex<Mode>>, stuck: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let bytes = &buffer[..read];
        let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        let mut cut = None;
        if let Some(mode) = mode {
            let mut mode = mode.lock().unwrap();
            match *mode {
                Mode::CutAfterCommit | Mode::CutAtCommit if has(b"COMMIT") => {
                    cut = Some(if *mode == Mode::CutAtCommit { 3 } else { 300 });
                    *mode = Mode::Forward;
                    // From here on the reply goes nowhere.
                    stuck.store(true, Ordering::SeqCst);
                }
                Mode::BlackHole if has(b"INSERT") => stuck.store(true, Ordering::SeqCst),
                _ => {}
            }
        }
        if let Some(milliseconds) = cut {
            to.write_all(bytes).unwrap_or_default();
            // Time for the server to commit.
            std::thread::sleep(Duration::from_millis(milliseconds));
            break;
        }
        if stuck.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Both).unwrap_or_default();
    to.shutdown(Shutdown::Both).unwrap_or_default();
}
