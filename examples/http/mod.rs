//! Just enough HTTP/1.1 to serve from loopback, on the standard library: keep-alive, one thread a connection. It must not
//! know what is served.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;

/// Longest head (request line and fields) and longest request body accepted, in bytes.
const MAX_HEAD: u64 = 64 * 1024;
const MAX_BODY: u64 = 1024 * 1024;

/// What was asked for.
#[derive(Debug, Default)]
pub struct Request {
    pub method: String,
    /// Percent-encoded, without the query.
    pub path: String,
    query: String,
    fields: Vec<(String, String)>,
}

impl Request {
    /// Value of a query parameter, percent-decoded; the first where there are several.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| decoded(&value.replace('+', " ")))
        })
    }

    /// Value of a header field, whatever the case of its name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What is answered: JSON, always.
#[derive(Debug)]
pub struct Response {
    /// `200 OK`
    pub status: &'static str,
    /// Further header lines, each ended by `\r\n`.
    pub fields: String,
    pub body: Bytes,
}

impl Response {
    pub fn new(status: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            fields: String::new(),
            body: body.into(),
        }
    }

    /// Adds a header line.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push_str(name);
        self.fields.push_str(": ");
        self.fields.push_str(value);
        self.fields.push_str("\r\n");
        self
    }
}

/// Answers every request by `handler`, until the process ends.
pub fn serve<H>(listener: &TcpListener, handler: H) -> io::Result<()>
where
    H: Fn(&Request) -> Response + Send + Sync + 'static,
{
    let handler = Arc::new(handler);
    loop {
        let (stream, _) = listener.accept()?;
        let handler = Arc::clone(&handler);
        // A client that goes away ends its own connection only.
        thread::spawn(move || converse(&stream, handler.as_ref()));
    }
}

/// One connection, until the client closes it or asks to.
fn converse(stream: &TcpStream, handler: &impl Fn(&Request) -> Response) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader)? {
        let response = handler(&request);
        let close = request
            .field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}{}\r\n",
            response.status,
            response.body.len(),
            response.fields,
            if close { "Connection: close\r\n" } else { "" },
        );
        writer.write_all(head.as_bytes())?;
        if request.method != "HEAD" {
            writer.write_all(&response.body)?;
        }
        if close {
            break;
        }
    }
    Ok(())
}

/// The next request, or none at the end of the connection; its body is read and dropped.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = reader.take(MAX_HEAD);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        fields: Vec::new(),
    };
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            let value = value.trim().to_owned();
            request.fields.push((name.to_owned(), value));
        }
    }
    let length = request.field("content-length").map_or(Ok(0), str::parse);
    match length {
        Ok(length) if length <= MAX_BODY => {
            io::copy(&mut head.into_inner().take(length), &mut io::sink())?;
            Ok(Some(request))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Percent-decoding; what cannot be decoded stays as it is.
pub fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2);
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        } else {
            bytes.push(b'%');
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
