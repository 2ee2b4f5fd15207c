//! A fast, static source to measure against: N records in pages rendered beforehand, over real HTTP/1.1 with keep-alive,
//! without authentication. It must not know datasync.
//!
//! ```text
//! cargo run --release --example page_server -- --port 8080 --records 1000000 --page-size 1000 --latency-ms 20
//! ```
//!
//! `--mix clean` (the default), `rejected` (three records in ten are not fit) or `realistic` (one in five is not fit, one in
//! twenty comes twice, one in ten changes with `--edition next`) says what the records are like.
//!
//! With `--port 0`, the default, a free port is taken. The base URL is the one line on stdout, written once it listens.

#[allow(dead_code)] // the demo API uses the rest
mod http;
#[path = "../benches/throughput/records.rs"]
#[allow(dead_code)] // the benchmark uses the rest
mod records;

use std::env;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: page_server [--port PORT] [--records N] [--page-size N] [--latency-ms N] \
     [--mix clean|rejected|realistic] [--edition first|next]";

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (mut port, mut records, mut size, mut latency) = (0, 100_000, 1_000, 0);
    let (mut mix, mut edition) = (records::Mix::Clean, records::Edition::First);
    let mut arguments = env::args().skip(1);
    while let (Some(name), value) = (arguments.next(), arguments.next()) {
        let text = value.ok_or(USAGE)?;
        match (name.as_str(), text.as_str()) {
            ("--mix", "clean") => mix = records::Mix::Clean,
            ("--mix", "rejected") => mix = records::Mix::Rejected,
            ("--mix", "realistic") => mix = records::Mix::Realistic,
            ("--edition", "first") => edition = records::Edition::First,
            ("--edition", "next") => edition = records::Edition::Next,
            ("--port", number) => port = number.parse()?,
            ("--records", number) => records = number.parse()?,
            ("--page-size", number) if number != "0" => size = number.parse()?,
            ("--latency-ms", number) => latency = number.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    let latency = Duration::from_millis(latency);
    let pages = records::Pages::render(records, size, mix, edition);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut stdout = io::stdout();
    writeln!(stdout, "http://{}", listener.local_addr()?)?;
    stdout.flush()?;
    http::serve(&listener, move |request| {
        pages.answer(request, size, latency)
    })?;
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is closed.
            writeln!(io::stderr(), "page_server: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
