//! The HTTP client for receivers: sends a POST and returns the response, as far as it can be read.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use url::Url;

use anzol_domain::FailureKind;
use anzol_domain::config::Env;
use anzol_domain::delivery::{MAX_RESPONSE_HEADERS, ReceivedResponse};
use anzol_domain::headers::check_sendable;
use anzol_domain::url::check;

use crate::body::{self, Kept};
use crate::connection::{Connection, Connector, MAX_HEADERS};
use crate::error::{self, Failure, SetupError};
use crate::pool::Pool;
use crate::resolver::VettingResolver;
use crate::{tls, unusual};

/// Timeouts and, in local builds, the local receiver.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Timeout of the whole exchange, from the DNS lookup to the last byte read.
    pub timeout: Duration,
    /// Timeout of opening a connection, including the DNS lookup and the TLS handshake.
    pub connect_timeout: Duration,
    /// The local stack's receiver.
    #[cfg(feature = "local")]
    pub receiver: Option<std::net::SocketAddr>,
    /// The CA of its certificate, as a PEM file.
    #[cfg(feature = "local")]
    pub receiver_ca: Option<std::path::PathBuf>,
    /// Resolves names below `address.test`, instead of the addresses in the names. For tests with changing DNS answers.
    #[cfg(feature = "local")]
    pub answers: Option<crate::local::Answers>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(Self::TIMEOUT),
            connect_timeout: Duration::from_secs(Self::CONNECT_TIMEOUT),
            #[cfg(feature = "local")]
            receiver: None,
            #[cfg(feature = "local")]
            receiver_ca: None,
            #[cfg(feature = "local")]
            answers: None,
        }
    }
}

impl Settings {
    /// Default timeout of an exchange, in seconds. Our choice; the contract has no bound.
    pub const TIMEOUT: u64 = 10;
    /// Default timeout of opening a connection, in seconds. Our choice.
    pub const CONNECT_TIMEOUT: u64 = 3;
    /// Configurable range of both timeouts, in seconds. A sender needs the rest of its invocation to record the results.
    pub const TIMEOUT_BOUNDS: RangeInclusive<u64> = 1..=15;

    /// Returns the deployment's settings, from the variables `DELIVERY_TIMEOUT` and `CONNECT_TIMEOUT`. Local builds also read
    /// `ANZOL_RECEIVER_ADDRESS` and `ANZOL_RECEIVER_CA_FILE`.
    pub fn from_env(env: &mut Env) -> Self {
        let mut seconds =
            |name, default| Duration::from_secs(env.within(name, default, &Self::TIMEOUT_BOUNDS));
        let timeout = seconds("DELIVERY_TIMEOUT", Self::TIMEOUT);
        let connect_timeout = seconds("CONNECT_TIMEOUT", Self::CONNECT_TIMEOUT);
        Self {
            timeout,
            connect_timeout,
            #[cfg(feature = "local")]
            receiver: env.optional("ANZOL_RECEIVER_ADDRESS"),
            #[cfg(feature = "local")]
            receiver_ca: env.optional("ANZOL_RECEIVER_CA_FILE"),
            #[cfg(feature = "local")]
            answers: None,
        }
    }
}

/// The result of an exchange.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The response, with any status, or why there is none.
    pub outcome: Result<HttpResponse, Failure>,
    /// The duration of the exchange.
    pub duration: Duration,
}

/// A response with a complete head. Its status decides the result of the attempt, even if its body is incomplete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// All headers.
    pub headers: HeaderMap,
    /// The parts that are stored.
    pub kept: ReceivedResponse,
}

/// The connections that a POST can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// An open connection of an earlier POST, if there is one.
    Allowed,
    /// A new connection only.
    No,
}

/// The HTTP client for receivers. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Egress {
    connector: Connector,
    pool: Pool,
    timeout: Duration,
}

impl Egress {
    /// Sets up TLS. Makes no connection.
    ///
    /// # Errors
    /// TLS cannot be set up, or a local build's CA file cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        // Mozilla's roots, compiled in. Reading the system's roots takes 2 to 45 ms in each cold start.
        #[cfg_attr(
            not(feature = "local"),
            expect(unused_mut, reason = "local builds add their receiver's CA")
        )]
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        #[cfg(feature = "local")]
        if let Some(file) = &settings.receiver_ca {
            for authority in crate::local::authorities(file)? {
                roots.add(authority)?;
            }
        }
        let resolver = VettingResolver {
            #[cfg(feature = "local")]
            local: crate::local::LocalHosts {
                receiver: settings.receiver,
                answers: settings.answers.clone(),
            },
        };
        let mut tls = tls::config(roots)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = Connector::new(resolver, tls, settings.connect_timeout);
        Ok(Self { connector, pool: Pool::default(), timeout: settings.timeout })
    }

    /// Returns the maximum duration of an exchange.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Posts `body` to `url` with these headers and those that HTTP requires. Follows no redirect and uses no proxy.
    pub async fn post(&self, url: &Url, headers: &[(String, String)], body: String, reuse: Reuse) -> Answer {
        let start = Instant::now();
        let outcome = self.exchange(url, headers, body, reuse).await;
        Answer { outcome, duration: start.elapsed() }
    }

    async fn exchange(
        &self,
        url: &Url,
        headers: &[(String, String)],
        body: String,
        reuse: Reuse,
    ) -> Result<HttpResponse, Failure> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        // Stored webhooks can be older than the rules. The resolver vets names only, so an address in the URL must be rejected here.
        let named = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let blocked = |rule: String| Failure::new(FailureKind::Blocked, format!("not sent: {rule}"));
        check(url).and_then(|()| check_sendable(named)).map_err(|refused| blocked(refused.to_string()))?;
        let host = url.host_str().ok_or_else(|| blocked("`url` has no host".to_owned()))?;
        let request = request(url, host, headers, body).map_err(|error| blocked(error.to_string()))?;

        let head = async {
            let kept = if reuse == Reuse::Allowed { self.pool.take(host).await } else { None };
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connector.connect(host).await?,
            };
            let answer = connection.send(request).await;
            Ok((connection, answer))
        };
        let (mut connection, answer) =
            tokio::time::timeout_at(deadline, head).await.unwrap_or_else(|_| Err(self.late()))?;
        let (head, incoming) = match answer {
            Ok(answer) => answer.into_parts(),
            Err(error) => {
                let read = tokio::time::timeout_at(deadline, beyond_hyper(&mut connection, &error)).await;
                return read.unwrap_or_else(|_| Err(self.late()));
            }
        };
        connection.seen.stop_keeping();
        let body = body::read(&mut connection, &head.headers, incoming, deadline).await;
        if body.complete {
            self.pool.keep(host, connection);
        }
        Ok(http_response(head.status.as_u16(), head.headers, body))
    }

    fn late(&self) -> Failure {
        let message = format!("no complete response within {} s", self.timeout.as_secs());
        Failure::new(FailureKind::Timeout, message)
    }
}

/// Builds the request. The request target has the spelling of the webhook's URL.
fn request(
    url: &Url,
    host: &str,
    headers: &[(String, String)],
    body: String,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let url: Uri = url.as_str().parse()?;
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::builder().method(Method::POST).uri(target).body(Full::from(body))?;
    let map = request.headers_mut();
    map.insert(HOST, HeaderValue::from_str(host)?);
    map.insert(ACCEPT, HeaderValue::from_static("*/*"));
    map.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    for (name, value) in headers {
        map.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
    }
    Ok(request)
}

/// Handles a response that hyper rejects: returns it if [`unusual`] can read it, and otherwise a failure.
async fn beyond_hyper(connection: &mut Connection, error: &hyper::Error) -> Result<HttpResponse, Failure> {
    if !connection.seen.has_any() {
        let broken = error::find::<rustls::Error>(error);
        return Err(broken.map_or_else(
            || Failure::new(FailureKind::Connect, format!("the connection failed: {}", error::root(error))),
            tls::failure,
        ));
    }
    // hyper stops at too many headers, so more must be read. After any other error, all of the head has arrived.
    let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count();
    let is_enough = |bytes: &[u8]| lines(bytes) <= MAX_HEADERS || unusual::head(bytes).is_some();
    let bytes = connection.read_on(is_enough).await;
    let Some(head) = unusual::head(&bytes) else { return Err(unusual::failure(&bytes)) };
    let rest = bytes.get(head.body_at..).unwrap_or_default();
    let body = body::from_bytes(head.status, &head.headers, rest);
    Ok(http_response(head.status.as_u16(), head.headers, body))
}

fn http_response(status_code: u16, headers: HeaderMap, body: Kept) -> HttpResponse {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    // Bounded like the body, so that a history row fits into the database.
    let (mut room, mut headers_cut) = (MAX_RESPONSE_HEADERS, false);
    let mut kept = Vec::new();
    for (name, value) in &headers {
        let (name, value) = (name.to_string(), text(value));
        match room.checked_sub(name.len() + value.len()) {
            Some(left) => {
                room = left;
                kept.push((name, value));
            }
            None => headers_cut = true,
        }
    }
    let kept = ReceivedResponse {
        status_code,
        headers: kept,
        headers_cut,
        body: body.text,
        body_cut: body.cut,
        body_error: body.error,
    };
    HttpResponse { headers, kept }
}
