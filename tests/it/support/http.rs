//! A scripted HTTP server: real sockets, real HTTP/1.1, and every way an API can misbehave.
//!
//! ```ignore
//! let api = Server::new().records(records).page_size(100).fault(3, Fault::Status(503)).start();
//! // … run the program against api.url() …
//! assert_eq!(api.requests().len(), 13);
//! ```
//! Requests are counted from 1 in the order they arrive; a fault is bound to one of these numbers (or to all).

#![allow(clippy::unwrap_used, dead_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The token the server accepts unless told otherwise.
pub const TOKEN: &str = "test-token-7f3a";

/// How the server pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// Everything at once.
    None,
    /// `?page=N&page_size=M`, with `page`, `total_pages` and `total` in the body.
    Page,
    /// `?page=N&page_size=M`, nothing announced.
    BarePage,
    /// `?offset=N&limit=M`, nothing announced.
    Offset,
    /// `?cursor=C`, `next_cursor` in the body.
    Cursor,
    /// `Link: <…>; rel="next"`, the body a bare array.
    LinkHeader,
    /// `next` in the body: an absolute link.
    NextLink,
}

/// One misbehaviour, in place of (or on top of) the right answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A status with a short text body.
    Status(u16),
    /// A status with headers.
    StatusWith(u16, Vec<(&'static str, String)>),
    /// 200 with this content type and body.
    Body(&'static str, Vec<u8>),
    /// A whole response, byte for byte; the connection is closed afterwards.
    Raw(Vec<u8>),
    /// The right answer after a pause.
    Delay(Duration),
    /// The right answer, its body a byte at a time with this pause.
    Drip(Duration),
    /// The right answer's headers, half of its body, end of the connection. The length was announced.
    CutLength,
    /// The same, chunked.
    CutChunked,
    /// The same without any length: the end of the connection is the end of the body.
    CutClose,
    /// Half of the answer, then a TCP reset.
    Reset,
    /// End of the connection before any answer.
    Hangup,
    /// The right answer with these headers more.
    Headers(Vec<(&'static str, String)>),
}

/// What a script of the test's own says to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This status, with these headers and this body.
    Instead(u16, Vec<(&'static str, String)>, String),
    /// The right answer, with these headers more.
    With(Vec<(&'static str, String)>),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Decoded, in order.
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// Which connection it came on, from 1.
    pub connection: usize,
    /// Requests that were being answered when it came, itself included.
    pub in_flight: usize,
}

impl Request {
    /// The value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

type Script = dyn Fn(&Request) -> Option<Reply> + Send + Sync;
type Rewrite = dyn Fn(&Request, String) -> String + Send + Sync;

/// The server before it starts.
pub struct Server {
    records: Vec<String>,
    paging: Paging,
    page_size: usize,
    max_page_size: usize,
    path: String,
    token: Option<String>,
    faults: BTreeMap<usize, Fault>,
    always: Option<Fault>,
    latency: Duration,
    gzip: bool,
    rewrite: Option<Box<Rewrite>>,
    script: Option<Box<Script>>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    pub fn new() -> Self {
        Self {
            records: Vec::new(),
            paging: Paging::Page,
            page_size: 100,
            max_page_size: usize::MAX,
            path: "/api/v1/data".to_owned(),
            token: Some(TOKEN.to_owned()),
            faults: BTreeMap::new(),
            always: None,
            latency: Duration::ZERO,
            gzip: false,
            rewrite: None,
            script: None,
            tls: None,
        }
    }

    /// JSON texts, one a record.
    pub fn records<S: Into<String>>(mut self, records: impl IntoIterator<Item = S>) -> Self {
        self.records = records.into_iter().map(Into::into).collect();
        self
    }

    pub fn paging(mut self, paging: Paging) -> Self {
        self.paging = paging;
        self
    }

    /// Records a page when the client does not ask for a size.
    pub fn page_size(mut self, size: usize) -> Self {
        self.page_size = size;
        self
    }

    /// No page is larger than this, whatever the client asks for.
    pub fn max_page_size(mut self, size: usize) -> Self {
        self.max_page_size = size;
        self
    }

    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Another token; none = anyone may read.
    pub fn token(mut self, token: Option<&str>) -> Self {
        self.token = token.map(str::to_owned);
        self
    }

    /// Misbehave at the `number`th request (from 1).
    pub fn fault(mut self, number: usize, fault: Fault) -> Self {
        self.faults.insert(number, fault);
        self
    }

    /// Misbehave at every request without a fault of its own.
    pub fn always(mut self, fault: Fault) -> Self {
        self.always = Some(fault);
        self
    }

    /// Every answer takes this long.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Compress every page.
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// Change the body of every page before it is sent.
    pub fn rewrite(
        mut self,
        rewrite: impl Fn(&Request, String) -> String + Send + Sync + 'static,
    ) -> Self {
        self.rewrite = Some(Box::new(rewrite));
        self
    }

    /// Answer by a script of the test's own; none = as usual.
    pub fn script(
        mut self,
        script: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        self.script = Some(Box::new(script));
        self
    }

    /// Speak TLS, with a certificate for `localhost` and 127.0.0.1 that nobody has reason to trust. Returns its PEM too.
    pub fn tls(self) -> (Self, String) {
        self.tls_with(|_| {})
    }

    /// The same with a certificate that is changed before it is signed.
    pub fn tls_with(
        mut self,
        change: impl FnOnce(&mut rcgen::CertificateParams),
    ) -> (Self, String) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        self.tls = Some(Arc::new(config));
        (self, certificate.pem())
    }

    /// Listens on a free port of 127.0.0.1.
    pub fn start(self) -> Running {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            url: format!("{scheme}://127.0.0.1:{}", address.port()),
            server: self,
            log: Mutex::default(),
            open: Mutex::default(),
            answering: AtomicUsize::new(0),
            done: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let thread = std::thread::spawn(move || accept(&listener, &accepting));
        Running {
            shared,
            address,
            thread: Some(thread),
        }
    }
}

struct Shared {
    url: String,
    server: Server,
    log: Mutex<Vec<Request>>,
    open: Mutex<Vec<TcpStream>>,
    answering: AtomicUsize,
    done: AtomicBool,
}

/// A server that runs until it is dropped.
pub struct Running {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// `http://127.0.0.1:PORT`, for `API_BASE_URL`.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.lock().unwrap().clone()
    }

    /// Connections that carried at least one request.
    pub fn connections(&self) -> usize {
        let log = self.shared.log.lock().unwrap();
        log.iter()
            .map(|request| request.connection)
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.done.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            // Already closed by the other side: fine.
            drop(stream.shutdown(Shutdown::Both));
        }
        // Wakes the accept loop.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (connection, stream) in listener.incoming().enumerate() {
        if shared.done.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        stream.set_nodelay(true).unwrap();
        shared
            .open
            .lock()
            .unwrap()
            .push(stream.try_clone().unwrap());
        let shared = Arc::clone(shared);
        // A connection that breaks ends its thread; that is what half of the tests are about.
        std::thread::spawn(move || drop(serve(stream, connection + 1, &shared)));
    }
}

/// Plain or TLS, both ends in one.
trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

fn serve(stream: TcpStream, connection: usize, shared: &Shared) -> std::io::Result<()> {
    let raw = stream.try_clone()?;
    let wire: Box<dyn Wire> = match &shared.server.tls {
        Some(config) => {
            let session = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
            Box::new(rustls::StreamOwned::new(session, stream))
        }
        None => Box::new(stream),
    };
    let mut wire = BufReader::new(wire);
    while let Some(mut request) = receive(&mut wire, connection)? {
        request.in_flight = shared.answering.fetch_add(1, Ordering::SeqCst) + 1;
        let number = {
            let mut log = shared.log.lock().unwrap();
            log.push(request.clone());
            log.len()
        };
        std::thread::sleep(shared.server.latency);
        let keep = answer(
            &shared.server,
            &shared.url,
            &request,
            number,
            wire.get_mut(),
            &raw,
        );
        shared.answering.fetch_sub(1, Ordering::SeqCst);
        if !keep? {
            break;
        }
    }
    raw.shutdown(Shutdown::Both)
}

fn receive(wire: &mut impl BufRead, connection: usize) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if wire.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    // A proxy gets the whole address, a server only the path.
    let target = reqwest::Url::parse("http://server")
        .unwrap()
        .join(words.next().unwrap_or("/"))
        .unwrap();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        wire.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    wire.read_exact(&mut body)?;
    Ok(Some(Request {
        method,
        path: target.path().to_owned(),
        query: target.query_pairs().into_owned().collect(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        connection,
        in_flight: 0,
    }))
}

/// A response before it is put on the wire.
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
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
fn answer(
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

/// The right answer.
fn page(server: &Server, url: &str, request: &Request) -> Response {
    if let Some(token) = &server.token
        && request.headers.get("authorization") != Some(&format!("Bearer {token}"))
    {
        return Response::new(401, "application/json", "{\"error\":\"unauthorized\"}");
    }
    if request.path != server.path {
        return Response::new(404, "application/json", "{\"error\":\"not found\"}");
    }
    let number = |name: &str| {
        request
            .param(name)
            .and_then(|text| text.parse::<usize>().ok())
    };
    let size = number("page_size")
        .or_else(|| number("limit"))
        .unwrap_or(server.page_size)
        .clamp(1, server.max_page_size);
    let all = server.records.len();
    let from = match server.paging {
        Paging::None => 0,
        Paging::Page | Paging::BarePage => number("page")
            .unwrap_or(1)
            .saturating_sub(1)
            .saturating_mul(size),
        Paging::Offset => number("offset").unwrap_or(0),
        // What a cursor says is nobody's business: this one is a masked offset.
        Paging::Cursor | Paging::LinkHeader | Paging::NextLink => request
            .param("cursor")
            .and_then(|text| usize::from_str_radix(text.strip_prefix('c')?, 16).ok())
            .unwrap_or(0),
    };
    let to = match server.paging {
        Paging::None => all,
        _ => from.saturating_add(size).min(all),
    };
    let records = server
        .records
        .get(from.min(all)..to.max(from.min(all)))
        .unwrap_or(&[])
        .join(",");
    let cursor = (to < all).then(|| format!("c{to:x}"));
    let link = cursor
        .as_ref()
        .map(|cursor| format!("{url}{}?page_size={size}&cursor={cursor}", server.path));
    let mut headers = Vec::new();
    let body = match server.paging {
        Paging::Page => format!(
            "{{\"data\":[{records}],\"page\":{},\"page_size\":{size},\"total\":{all},\"total_pages\":{}}}",
            from / size + 1,
            all.div_ceil(size)
        ),
        Paging::None | Paging::BarePage | Paging::Offset => format!("{{\"data\":[{records}]}}"),
        Paging::Cursor => format!(
            "{{\"data\":[{records}],\"next_cursor\":{}}}",
            cursor.map_or("null".to_owned(), |cursor| format!("\"{cursor}\""))
        ),
        Paging::LinkHeader => {
            if let Some(link) = link {
                headers.push(("Link".to_owned(), format!("<{link}>; rel=\"next\"")));
            }
            format!("[{records}]")
        }
        Paging::NextLink => format!(
            "{{\"results\":[{records}],\"next\":{}}}",
            link.map_or("null".to_owned(), |link| format!("\"{link}\""))
        ),
    };
    let body = match &server.rewrite {
        Some(rewrite) => rewrite(request, body),
        None => body,
    };
    let mut response = Response::new(200, "application/json", body);
    response.headers.append(&mut headers);
    let accepts = request
        .headers
        .get("accept-encoding")
        .is_some_and(|value| value.contains("gzip"));
    if server.gzip && accepts {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&response.body).unwrap();
        response.body = encoder.finish().unwrap();
        response
            .headers
            .push(("Content-Encoding".to_owned(), "gzip".to_owned()));
    }
    response
}
