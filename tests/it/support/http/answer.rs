//! Answers as they go over the wire, with the fault that is bound to them.

use std::fmt::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use super::connection::Wire;
use super::page::page;
use super::{Fault, Reply, Request, Server};

/// A response before it is put on the wire.
pub(super) struct Response {
    status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into(),
        }
    }

    fn head(&self, length: &str) -> String {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n{length}", self.status);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head + "\r\n"
    }
}

/// Sends the answer; false = the connection is over.
pub(super) fn answer(
    server: &Server,
    url: &str,
    request: &Request,
    number: usize,
    wire: &mut dyn Wire,
    raw: &TcpStream,
) -> std::io::Result<bool> {
    let fault = server.faults.get(&number).or(server.always.as_ref());
    let scripted = server.script.as_ref().and_then(|script| script(request));
    let mut response = match fault {
        _ if matches!(scripted, Some(Reply::Instead(..))) => Response::new(200, "text/plain", ""),
        Some(Fault::Status(status)) => Response::new(*status, "text/plain", "scripted\n"),
        Some(Fault::StatusWith(status, more)) => {
            let mut response = Response::new(*status, "text/plain", "scripted\n");
            response.headers.extend(owned(more));
            response
        }
        Some(Fault::Body(content_type, body)) => Response::new(200, content_type, body.clone()),
        Some(Fault::Raw(bytes)) => {
            wire.write_all(bytes)?;
            wire.flush()?;
            return Ok(false);
        }
        Some(Fault::Hangup) => return Ok(false),
        _ => page(server, url, request),
    };
    match scripted {
        Some(Reply::Instead(status, headers, body)) => {
            response = Response::new(status, "application/json", body);
            response.headers.extend(owned(&headers));
        }
        Some(Reply::With(headers)) => response.headers.extend(owned(&headers)),
        None => {}
    }
    if let Some(Fault::Headers(more)) = fault {
        response.headers.extend(owned(more));
    }
    if let Some(Fault::Delay(pause)) = fault {
        std::thread::sleep(*pause);
    }
    let length = format!("Content-Length: {}\r\n", response.body.len());
    let half = response.body.len() / 2;
    match fault {
        Some(Fault::Drip(pause)) => {
            wire.write_all(response.head(&length).as_bytes())?;
            for byte in &response.body {
                wire.write_all(&[*byte])?;
                wire.flush()?;
                std::thread::sleep(*pause);
            }
        }
        Some(Fault::CutLength | Fault::Reset) => {
            wire.write_all(response.head(&length).as_bytes())?;
            wire.write_all(&response.body[..half])?;
            wire.flush()?;
            if matches!(fault, Some(Fault::Reset)) {
                // The half has to arrive before the reset discards what is queued.
                std::thread::sleep(Duration::from_millis(50));
                socket2::SockRef::from(raw).set_linger(Some(Duration::ZERO))?;
            }
            return Ok(false);
        }
        Some(Fault::CutChunked) => {
            let head = response.head("Transfer-Encoding: chunked\r\n");
            wire.write_all(head.as_bytes())?;
            write!(wire, "{half:x}\r\n")?;
            wire.write_all(&response.body[..half])?;
            wire.write_all(b"\r\n")?;
            wire.flush()?;
            return Ok(false);
        }
        Some(Fault::CutClose) => {
            wire.write_all(response.head("Connection: close\r\n").as_bytes())?;
            wire.write_all(&response.body[..half])?;
            wire.flush()?;
            return Ok(false);
        }
        _ => {
            let mut bytes = response.head(&length).into_bytes();
            bytes.extend_from_slice(&response.body);
            wire.write_all(&bytes)?;
            wire.flush()?;
        }
    }
    Ok(true)
}

fn owned(headers: &[(&'static str, String)]) -> impl Iterator<Item = (String, String)> {
    headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
}
