//! Connections: accepted, plain or with TLS, and read request by request. What is answered is not their business.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::answer::answer;
use super::{Request, Shared};

pub(super) fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
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
pub(super) trait Wire: Read + Write + Send {}
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
        shared.wait_for_turn(number);
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
