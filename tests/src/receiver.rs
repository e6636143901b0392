//! A customer's HTTPS endpoint for tests: records every request and answers each path as configured, including faults.
//!
//! One TLS listener serves `receiver.test`, `*.receiver.test` and `*.address.test` with a certificate of a private CA; one plain HTTP listener is
//! the control API. Both listen on loopback only, and all records are bounded.
//!
//! | control call | effect |
//! |---|---|
//! | `GET /requests[?path=/x]` | returns the recorded requests (of that path, ignoring queries), newest last: `{number, method, path, host, headers, bodyBase64, time, answered}` |
//! | `GET /requests?after=N` | returns those after number N, for clients that poll |
//! | `DELETE /requests` | forgets them |
//! | `PUT /behaviours/<path>` | sets how `/<path>` answers: [`Behavior`] as JSON, all members optional |
//! | `PUT /behaviours/host:<name>` | sets how that host answers on all paths that have no behavior |
//! | `DELETE /behaviours` | resets everything to 200 |
//!
//! Members of a behavior, all optional: `status`, `headers`, `body`, `delayMs`, `mode`, `fromRequest`, and for `raw` alone `raw`,
//! `end`, `pauseMs`. With `"fromRequest": 2` the first request of a connection gets status, headers and body, and the mode applies
//! from the second: a server that has dropped a kept-alive connection. A long `delayMs` means no answer at all.
//!
//! | mode | effect for the client |
//! |---|---|
//! | `ok` | status, headers, body |
//! | `stall` | status and headers, then nothing more |
//! | `endless` | a body without end |
//! | `cut` | status, headers and half of the body, then the end of the connection |
//! | `reset` | RST after its request |
//! | `raw` | exactly the bytes of `raw` (base64, or a list of base64 pieces with `pauseMs` between them), then as `end` says: `close` (TLS `close_notify`, FIN), `abrupt` (FIN alone), `reset` (RST) or `open` (kept open, and the next request on it is served) |
//! | `plain-http` | plain HTTP in answer to a TLS handshake |
//! | `bad-tls` | a certificate of an unknown issuer |
//! | `expired-cert` | a certificate that expired yesterday |
//! | `wrong-name-cert` | a certificate of another name |
//! | `missing-intermediate` | a certificate whose issuer is an intermediate that is not sent |
//! | `wants-client-cert` | a handshake that asks for a client certificate and fails without |
//!
//! The last six are decided before the path is known, so they are accepted only in the `host:` form and selected by SNI.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::BoxBody};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::LazyConfigAcceptor;

mod raw;
mod tls;

use self::raw::Rewound;
pub use self::raw::{End, Raw};
use self::tls::{Ca, Handshakes};

/// The domain of the receiver; every name below it resolves to the receiver too.
pub const DOMAIN: &str = "receiver.test";

/// Names that spell IP addresses; those of public addresses resolve to the receiver.
const ADDRESSES: &str = "*.address.test";

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 2 * 1024 * 1024;
const MAX_CONTROL_BODY: usize = 4 * 1024 * 1024;
const MAX_DELAY_MS: u64 = 600_000;
const ENDLESS_CHUNK: usize = 8 * 1024;
/// Time that a connection left open by a raw answer may stay without a request.
const OPEN_LIMIT: Duration = Duration::from_mins(1);
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 31\r\nConnection: close\r\n\r\n\
    this port speaks HTTP, not TLS\n";
/// Pause before a `cut` body closes the connection.
const HALFWAY: Duration = Duration::from_millis(100);

/// Ports and bounds of the records. Port 0 is any free port.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Port of the TLS listener.
    pub tls_port: u16,
    /// Port of the control API.
    pub control_port: u16,
    /// Maximum number of recorded requests; the oldest are dropped first.
    pub kept_requests: usize,
    /// Maximum number of body bytes over all recorded requests; the oldest are dropped first.
    pub kept_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { tls_port: 0, control_port: 0, kept_requests: 20_000, kept_bytes: 128 * 1024 * 1024 }
    }
}

/// The content of the receiver's state file.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// `127.0.0.1:PORT` of the TLS listener.
    pub address: String,
    /// Base URL of the control API.
    pub control_url: String,
    /// PEM file of the CA that signed the receiver's certificate.
    pub ca_file: PathBuf,
}

/// A request as it arrived.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// Counts from 1 over all paths and never restarts: a gap is a request that was dropped.
    pub number: u64,
    /// The HTTP method.
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// The `Host` header as sent.
    pub host: String,
    /// Lower-case names; values of a repeated header are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The raw body.
    pub body_base64: String,
    /// The time when the last byte was read, in RFC 3339.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// The status of the answer, including endless ones; none when the mode makes the answer fail.
    pub answered: Option<u16>,
}

impl Received {
    /// Decodes the raw body.
    pub fn body(&self) -> Result<Vec<u8>> {
        STANDARD.decode(&self.body_base64).context("bodyBase64 is not base64")
    }

    /// Returns a header by its lower-case name; empty when absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn is_of(&self, path: &str) -> bool {
        self.path.split('?').next() == Some(path)
    }
}

/// The behavior of a path or a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Behavior {
    /// 200…599.
    pub status: u16,
    /// Response headers.
    pub headers: BTreeMap<String, String>,
    /// Response body; `endless` repeats it.
    pub body: String,
    /// Milliseconds to wait before the answer.
    pub delay_ms: u64,
    /// The way to answer.
    pub mode: Mode,
    /// The first request of a connection, counted from 1, to which the mode applies; earlier ones get status, headers and body.
    pub from_request: u32,
    /// The bytes for [`Mode::Raw`].
    #[serde(skip_serializing_if = "Raw::is_empty")]
    pub raw: Raw,
    /// The way [`Mode::Raw`] ends the connection.
    pub end: End,
    /// Milliseconds to wait between two pieces of `raw`.
    pub pause_ms: u64,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            status: 200,
            headers: BTreeMap::new(),
            body: String::new(),
            delay_ms: 0,
            mode: Mode::Ok,
            from_request: 1,
            raw: Raw::default(),
            end: End::Close,
            pause_ms: 0,
        }
    }
}

impl Behavior {
    /// Returns a behavior that writes exactly these bytes, then ends the connection.
    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>, end: End) -> Self {
        Self { mode: Mode::Raw, raw: Raw(vec![bytes.into()]), end, ..Self::default() }
    }

    /// Returns a behavior that writes pieces with a pause between them.
    #[must_use]
    pub fn raw_pieces(
        pieces: impl IntoIterator<Item = impl Into<Vec<u8>>>,
        pause: Duration,
        end: End,
    ) -> Self {
        let raw = Raw(pieces.into_iter().map(Into::into).collect());
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        Self { mode: Mode::Raw, raw, end, pause_ms, ..Self::default() }
    }

    /// Applies the mode only from this request of a connection on; earlier ones get status, headers and body.
    #[must_use]
    pub fn from_request(self, number: u32) -> Self {
        Self { from_request: number, ..self }
    }

    /// Returns the mode for a connection's request by its number.
    fn mode_of(&self, number: u32) -> Mode {
        if number < self.from_request { Mode::Ok } else { self.mode }
    }
}

/// The ways to answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Status, headers, body.
    #[default]
    Ok,
    /// Status and headers, then nothing more.
    Stall,
    /// A body without end.
    Endless,
    /// Status, headers and half of the body, then the connection is closed.
    Cut,
    /// The request is read, then the TCP connection is reset.
    Reset,
    /// The bytes of `raw`, then `end`.
    Raw,
    /// The listener answers a TLS handshake with plain HTTP.
    PlainHttp,
    /// The handshake presents a certificate of an unknown issuer.
    BadTls,
    /// The handshake presents a certificate that has expired.
    ExpiredCert,
    /// The handshake presents a certificate for another name.
    WrongNameCert,
    /// The handshake presents a certificate without the intermediate that issued it.
    MissingIntermediate,
    /// The handshake requires a client certificate.
    WantsClientCert,
}

impl Mode {
    /// Returns whether the mode applies to the handshake, before there is a request.
    fn is_of_host(self) -> bool {
        match self {
            Self::Ok | Self::Stall | Self::Endless | Self::Cut | Self::Reset | Self::Raw => false,
            Self::PlainHttp
            | Self::BadTls
            | Self::ExpiredCert
            | Self::WrongNameCert
            | Self::MissingIntermediate
            | Self::WantsClientCert => true,
        }
    }
}

/// A listening receiver. It stops when it, or the future of [`Receiver::run`], is dropped.
#[derive(Debug)]
pub struct Receiver {
    tls: TcpListener,
    control: TcpListener,
    handshakes: Arc<Handshakes>,
    ca_pem: String,
    state: State,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Binds both listeners and creates a CA.
    pub async fn start(options: Options) -> Result<Self> {
        let tls = listen(options.tls_port).await?;
        let control = listen(options.control_port).await?;
        let state = State {
            address: tls.local_addr()?.to_string(),
            control_url: format!("http://{}", control.local_addr()?),
            ca_file: PathBuf::new(),
        };
        let shared = Arc::new(Shared::new(options));
        let ca = Ca::new("Anzol test receiver")?;
        let handshakes = Arc::new(Handshakes::new(&ca)?);
        Ok(Self { tls, control, handshakes, ca_pem: ca.pem, state, shared })
    }

    /// Returns the CA to trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Returns the addresses, with the file in which the caller stores [`Receiver::ca_pem`].
    #[must_use]
    pub fn state(&self, ca_file: &Path) -> State {
        State { ca_file: ca_file.to_owned(), ..self.state.clone() }
    }

    /// Serves until dropped.
    pub async fn run(self) -> Result<()> {
        let Self { tls, control, handshakes, shared, .. } = self;
        loop {
            tokio::select! {
                stream = tls.accept() => if let Some(stream) = accepted(stream).await {
                    tokio::spawn(serve_tls(stream, Arc::clone(&handshakes), Arc::clone(&shared)));
                },
                stream = control.accept() => if let Some(stream) = accepted(stream).await {
                    tokio::spawn(serve_control(stream, Arc::clone(&shared)));
                },
            }
        }
    }
}

async fn listen(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}"))
}

/// Returns an accepted connection. After a failed accept (by the peer, or for lack of descriptors) it waits, so that the receiver neither
/// stops nor spins.
async fn accepted(stream: std::io::Result<(TcpStream, std::net::SocketAddr)>) -> Option<TcpStream> {
    if let Ok((stream, _)) = stream {
        stream.set_nodelay(true).ok();
        return Some(stream);
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    None
}

// ---------------------------------------------------------------- records

#[derive(Debug)]
struct Shared {
    options: Options,
    kept: Mutex<Kept>,
    behaviors: Mutex<HashMap<Target, Behavior>>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: VecDeque<Received>,
    bytes: usize,
    /// Number of the newest request.
    newest: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Target {
    Path(String),
    Host(String),
}

impl Shared {
    fn new(options: Options) -> Self {
        Self { options, kept: Mutex::default(), behaviors: Mutex::default() }
    }

    fn keep(&self, mut request: Received) {
        let mut kept = lock(&self.kept);
        kept.newest += 1;
        request.number = kept.newest;
        kept.bytes += request.body_base64.len();
        kept.requests.push_back(request);
        while kept.requests.len() > self.options.kept_requests || kept.bytes > self.options.kept_bytes {
            let Some(oldest) = kept.requests.pop_front() else {
                break;
            };
            kept.bytes -= oldest.body_base64.len();
        }
    }

    fn behavior(&self, path: &str, host: &str) -> Behavior {
        let behaviors = lock(&self.behaviors);
        behaviors
            .get(&Target::Path(path.to_owned()))
            .or_else(|| behaviors.get(&Target::Host(host.to_ascii_lowercase())))
            .cloned()
            .unwrap_or_default()
    }

    /// Returns the mode that decides a host's handshake.
    fn mode_of_host(&self, host: &str) -> Mode {
        let behaviors = lock(&self.behaviors);
        behaviors.get(&Target::Host(host.to_ascii_lowercase())).map_or(Mode::Ok, |behavior| behavior.mode)
    }
}

/// Locks a mutex, poisoned or not: a panicking holder leaves these maps consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// ---------------------------------------------------------------- the TLS listener

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// One connection, shared by its requests.
#[derive(Debug, Clone)]
struct Line {
    shared: Arc<Shared>,
    /// Number of requests so far.
    count: Arc<AtomicU32>,
    /// Receives the behavior of a request that the connection must answer without the HTTP server.
    orders: mpsc::UnboundedSender<Behavior>,
}

async fn serve_tls(stream: TcpStream, handshakes: Arc<Handshakes>, shared: Arc<Shared>) {
    let shaken = tokio::time::timeout(HANDSHAKE_LIMIT, shake_hands(stream, &handshakes, &shared)).await;
    let Ok(Some(stream)) = shaken else { return };
    let (orders, mut ordered) = mpsc::unbounded_channel();
    let line = Line { shared, count: Arc::default(), orders };
    let (mut stream, mut limit) = (stream, Duration::MAX);
    loop {
        let service = service_fn(|request| answer(request, line.clone()));
        let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let order = tokio::select! {
            // Polls the connection first, so that earlier answers are written before an order is carried out.
            biased;
            _ = &mut connection => return,
            order = ordered.recv() => order,
            () = idle(&line.count, limit) => return,
        };
        let Some(order) = order else { return };
        let parts = connection.into_parts();
        let open = parts.io.into_inner().unreading(&parts.read_buf);
        if order.mode == Mode::Reset {
            return open.reset();
        }
        let Some(open) = open.answer(&order).await else { return };
        (stream, limit) = (open, OPEN_LIMIT);
    }
}

/// Performs the handshake that the requested host's behavior asks for. Returns none when there is no connection afterwards.
async fn shake_hands(stream: TcpStream, handshakes: &Handshakes, shared: &Shared) -> Option<Rewound> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await.ok()?;
    let mode = hello.client_hello().server_name().map_or(Mode::Ok, |name| shared.mode_of_host(name));
    let Some(config) = handshakes.of(mode) else {
        raw::answer_in_plain(hello.io, NOT_TLS).await.ok();
        return None;
    };
    match hello.into_stream(config).into_fallible().await {
        Ok(stream) => Some(Rewound::new(stream)),
        Err((_, mut socket)) => {
            // Gives the TLS alert time to arrive.
            raw::linger(&mut socket).await;
            None
        }
    }
}

/// Returns when no request has come for `limit`.
async fn idle(count: &AtomicU32, limit: Duration) {
    loop {
        let before = count.load(Ordering::Relaxed);
        tokio::time::sleep(limit).await;
        if count.load(Ordering::Relaxed) == before {
            return;
        }
    }
}

async fn answer(request: Request<Incoming>, line: Line) -> Result<Answer, Infallible> {
    let Line { shared, count, orders } = line;
    let number = count.fetch_add(1, Ordering::Relaxed) + 1;
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "the receiver accepts no body this large\n"));
    };
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.clone().into_owned());
    }
    let host = headers.get("host").cloned().unwrap_or_default();
    let behavior = shared.behavior(head.uri.path(), host.split(':').next().unwrap_or_default());
    let mode = behavior.mode_of(number);
    let answered = matches!(mode, Mode::Ok | Mode::Endless).then_some(behavior.status);
    shared.keep(Received {
        number: 0, // assigned when it is recorded
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(|| head.uri.path().to_owned(), ToString::to_string),
        host,
        headers,
        body_base64: STANDARD.encode(body.to_bytes()),
        time: OffsetDateTime::now_utc(),
        answered,
    });
    if behavior.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(behavior.delay_ms)).await;
    }
    if matches!(mode, Mode::Reset | Mode::Raw) {
        orders.send(behavior).ok();
        return std::future::pending().await;
    }
    Ok(behave(&behavior, mode))
}

fn behave(behavior: &Behavior, mode: Mode) -> Answer {
    let body = match mode {
        Mode::Stall => NeverEnding.boxed(),
        Mode::Endless => Endless::of(&behavior.body).boxed(),
        Mode::Cut => Half::of(&behavior.body).boxed(),
        _ => Full::new(Bytes::from(behavior.body.clone())).boxed(),
    };
    let mut response = Response::builder().status(behavior.status);
    for (name, value) in &behavior.headers {
        response = response.header(name, value);
    }
    // The control API accepts no header that could fail here.
    response
        .body(body)
        .unwrap_or_else(|error| plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")))
}

fn plain(status: StatusCode, text: &str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())).boxed());
    *response.status_mut() = status;
    response
}

/// A body that never sends a byte and never ends.
struct NeverEnding;

impl Body for NeverEnding {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// A body that announces its full length and ends halfway.
struct Half {
    announced: u64,
    sent: Option<Bytes>,
    /// Gives the first half time to be written before the connection closes.
    pause: Pin<Box<tokio::time::Sleep>>,
}

impl Half {
    fn of(text: &str) -> Self {
        let text = if text.len() < 2 { "xx" } else { text };
        let half = Bytes::copy_from_slice(text.as_bytes().split_at(text.len() / 2).0);
        let announced = u64::try_from(text.len()).unwrap_or(u64::MAX);
        Self { announced, sent: Some(half), pause: Box::pin(tokio::time::sleep(HALFWAY)) }
    }
}

impl Body for Half {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.sent.take() {
            Some(half) => Poll::Ready(Some(Ok(Frame::data(half)))),
            None => self.pause.as_mut().poll(context).map(|()| None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}

/// A body that never ends.
struct Endless(Bytes);

impl Endless {
    fn of(text: &str) -> Self {
        let text = if text.is_empty() { "x" } else { text };
        Self(Bytes::from(text.repeat(ENDLESS_CHUNK.div_ceil(text.len()))))
    }
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(self.0.clone()))))
    }
}

// ---------------------------------------------------------------- the control API

async fn serve_control(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| control(request, Arc::clone(&shared)));
    // A client that hangs up is not an error.
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn control(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Answer, Infallible> {
    Ok(match route(request, &shared).await {
        Ok(answer) => answer,
        Err(Refusal(status, reason)) => json(status, &serde_json::json!({ "error": reason })),
    })
}

struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(reason: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, reason.into())
    }
}

async fn route(request: Request<Incoming>, shared: &Shared) -> Result<Answer, Refusal> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    match (&head.method, path) {
        (&Method::GET, "/requests") => {
            let wanted = wanted(head.uri.query())?;
            let kept = lock(&shared.kept);
            let requests: Vec<&Received> = kept.requests.iter().filter(|r| wanted.takes(r)).collect();
            Ok(json(StatusCode::OK, &requests))
        }
        (&Method::DELETE, "/requests") => {
            let mut kept = lock(&shared.kept);
            *kept = Kept { newest: kept.newest, ..Kept::default() };
            Ok(plain(StatusCode::NO_CONTENT, ""))
        }
        (&Method::DELETE, "/behaviours") => {
            lock(&shared.behaviors).clear();
            Ok(plain(StatusCode::NO_CONTENT, ""))
        }
        (&Method::PUT, _) if path.starts_with("/behaviours/") => {
            let target = target(path.trim_start_matches("/behaviours"))?;
            let body = Limited::new(body, MAX_CONTROL_BODY).collect().await.map_err(|error| {
                let what = if error.is::<LengthLimitError>() { "larger than 4 MiB" } else { "not complete" };
                Refusal::bad(format!("the body is {what}"))
            })?;
            let behavior = behavior(&target, &body.to_bytes())?;
            lock(&shared.behaviors).insert(target, behavior);
            Ok(plain(StatusCode::NO_CONTENT, ""))
        }
        (method, path) => Err(Refusal(
            StatusCode::NOT_FOUND,
            format!(
                "no {method} {path} here; there are GET and DELETE /requests, PUT /behaviours/<path>, \
                 PUT /behaviours/host:<name>, DELETE /behaviours"
            ),
        )),
    }
}

/// The requests that a query selects.
enum Wanted {
    All,
    Of(String),
    After(u64),
}

impl Wanted {
    fn takes(&self, request: &Received) -> bool {
        match self {
            Self::All => true,
            Self::Of(path) => request.is_of(path),
            Self::After(number) => request.number > *number,
        }
    }
}

fn wanted(query: Option<&str>) -> Result<Wanted, Refusal> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Ok(Wanted::All);
    };
    match query.split_once('=').filter(|(_, value)| !value.contains('&')) {
        Some(("path", value)) => {
            let path = percent_decoded(value)
                .ok_or_else(|| Refusal::bad(format!("the path {value:?} is not percent-encoded UTF-8")))?;
            if !path.starts_with('/') {
                return Err(Refusal::bad(format!("the path {path:?} does not begin with /")));
            }
            Ok(Wanted::Of(path))
        }
        Some(("after", value)) => value
            .parse()
            .map(Wanted::After)
            .map_err(|_| Refusal::bad(format!("after={value} is not the number of a request"))),
        _ => Err(Refusal::bad(format!("the query {query:?} is neither path=/… nor after=N"))),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn target(path: &str) -> Result<Target, Refusal> {
    let Some(host) = path.strip_prefix("/host:") else {
        return Ok(Target::Path(path.to_owned()));
    };
    let host = host.to_ascii_lowercase();
    if host == DOMAIN || host.ends_with(&format!(".{DOMAIN}")) {
        return Ok(Target::Host(host));
    }
    Err(Refusal::bad(format!("the host {host:?} is neither {DOMAIN} nor below it")))
}

fn behavior(target: &Target, json: &[u8]) -> Result<Behavior, Refusal> {
    // Through a map, because serde would accept an array for a struct too.
    let behavior: Behavior = serde_json::from_slice(json)
        .and_then(|members: serde_json::Map<_, _>| serde_json::from_value(members.into()))
        .map_err(|error| Refusal::bad(format!("not a behavior: {error}")))?;
    if !(200..=599).contains(&behavior.status) {
        return Err(Refusal::bad(format!("status {} is not within 200…599", behavior.status)));
    }
    if behavior.delay_ms > MAX_DELAY_MS {
        return Err(Refusal::bad(format!("delayMs {} is above {MAX_DELAY_MS}", behavior.delay_ms)));
    }
    for (name, value) in &behavior.headers {
        let lower = name.to_ascii_lowercase();
        if lower == header::CONTENT_LENGTH.as_str() || lower == header::TRANSFER_ENCODING.as_str() {
            return Err(Refusal::bad(format!("headers: {name} is set by the receiver")));
        }
        if header::HeaderName::from_bytes(name.as_bytes()).is_err()
            || header::HeaderValue::from_str(value).is_err()
        {
            return Err(Refusal::bad(format!("headers: {name:?}: {value:?} is not a header")));
        }
    }
    if behavior.mode.is_of_host() && matches!(target, Target::Path(_)) {
        let mode = mode_name(behavior.mode);
        return Err(Refusal::bad(format!(
            "{mode} is decided before the path is known: PUT /behaviours/host:<name> instead, such as \
             host:bad.receiver.test"
        )));
    }
    if behavior.from_request == 0 {
        return Err(Refusal::bad("fromRequest 0: the requests of a connection are counted from 1"));
    }
    if behavior.from_request > 1 && behavior.mode.is_of_host() {
        let mode = mode_name(behavior.mode);
        return Err(Refusal::bad(format!("fromRequest: {mode} is decided before there is a request")));
    }
    let is_raw = behavior.mode == Mode::Raw;
    if !is_raw && (!behavior.raw.is_empty() || behavior.end != End::Close || behavior.pause_ms > 0) {
        return Err(Refusal::bad("raw, end and pauseMs belong to the mode raw"));
    }
    if behavior.pause_ms > MAX_DELAY_MS {
        return Err(Refusal::bad(format!("pauseMs {} is above {MAX_DELAY_MS}", behavior.pause_ms)));
    }
    Ok(behavior)
}

/// Returns the mode's name in JSON.
fn mode_name(mode: Mode) -> String {
    serde_json::to_value(mode).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let text = serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
    let mut response = plain(status, &text);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
