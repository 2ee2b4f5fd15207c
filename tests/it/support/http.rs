//! A scripted HTTP server: real sockets, real HTTP/1.1, and every way an API can misbehave.
//!
//! ```ignore
//! let api = Server::new().records(records).page_size(100).fault(3, Fault::Status(503)).start();
//! // … run the program against api.url() …
//! assert_eq!(api.requests().len(), 13);
//! ```
//! Requests are counted from 1 in the order they arrive; a fault is bound to one of these numbers (or to all).

#![allow(clippy::unwrap_used, dead_code)]

mod answer;
mod connection;
mod page;

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use connection::accept;

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
    /// `Link: <…>; rel="next"`, on the last page `rel="first"`; the body a bare array.
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
    held_after: usize,
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
            held_after: usize::MAX,
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

    /// Only so many requests are answered; those that come later wait for [`Running::let_go`].
    pub fn held_after(mut self, requests: usize) -> Self {
        self.held_after = requests;
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

    /// The same for clients only that show a certificate of this authority.
    pub fn tls_for_clients_of(
        mut self,
        authority: rustls_pki_types::CertificateDer<'static>,
    ) -> (Self, String) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key =
            rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority).unwrap();
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        );
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        self.tls = Some(Arc::new(config));
        (self, made.cert.pem())
    }

    /// Listens on a free port of 127.0.0.1.
    pub fn start(self) -> Running {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            url: format!("{scheme}://127.0.0.1:{}", address.port()),
            answered: Mutex::new(self.held_after),
            moved: Condvar::new(),
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
    /// The number of the last request that is answered, and who waits for it to move.
    answered: Mutex<usize>,
    moved: Condvar,
    done: AtomicBool,
}

impl Shared {
    /// Waits until the request of this number is to be answered.
    fn wait_for_turn(&self, number: usize) {
        let answered = self.answered.lock().unwrap();
        drop(
            self.moved
                .wait_while(answered, |answered| *answered < number)
                .unwrap(),
        );
    }
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

    /// Answers what waits, and whatever comes from now on.
    pub fn let_go(&self) {
        self.hold_after(usize::MAX);
    }

    /// Of all requests since the start only so many are answered from now on; see [`Server::held_after`].
    pub fn hold_after(&self, requests: usize) {
        *self.shared.answered.lock().unwrap() = requests;
        self.shared.moved.notify_all();
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
        self.let_go();
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
