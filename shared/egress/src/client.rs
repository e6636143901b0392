//! One way out to all receivers: a signed POST, and what came back of it in the order in which it came.

use std::time::{Duration, Instant};

use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use url::Url;

use anzol_domain::FailureKind;
use anzol_domain::delivery::{MAX_RESPONSE_HEADERS, ReceivedResponse};
use anzol_domain::headers::check_sendable;
use anzol_domain::url::check;

use crate::body::{self, Kept};
use crate::connection::{Connection, Connector, MAX_HEADERS};
use crate::error::{self, Failure};
use crate::pool::Pool;
use crate::resolver::VettingResolver;
use crate::{tls, unusual};

/// How patient we are, and, in local builds, where the local receiver is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For the whole exchange, from the name's look-up to the last byte read.
    pub timeout: Duration,
    /// For making the connection.
    pub connect_timeout: Duration,
    /// The local stack's receiver.
    #[cfg(feature = "local")]
    pub receiver: Option<std::net::SocketAddr>,
    /// The CA its certificate comes from, as a PEM file.
    #[cfg(feature = "local")]
    pub receiver_ca: Option<std::path::PathBuf>,
    /// Answers for names below `address.test`, in place of the addresses that are written in them; for tests of what a name server may do.
    #[cfg(feature = "local")]
    pub answers: Option<crate::local::Answers>,
}

impl Default for Settings {
    /// 10 s in all, 3 s to connect. Our choice; the contract names no bound.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
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
    /// The defaults; local builds also learn where the local stack's receiver is, by the variables `ANZOL_RECEIVER_ADDRESS` and
    /// `ANZOL_RECEIVER_CA_FILE`.
    #[cfg_attr(not(feature = "local"), expect(unused_variables, reason = "only local builds have variables"))]
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            #[cfg(feature = "local")]
            receiver: variable("ANZOL_RECEIVER_ADDRESS").and_then(|text| text.parse().ok()),
            #[cfg(feature = "local")]
            receiver_ca: variable("ANZOL_RECEIVER_CA_FILE").map(Into::into),
            ..Self::default()
        }
    }
}

/// How an exchange went.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What came back, whatever its status, or why nothing did.
    pub outcome: Result<Received, Failure>,
    /// How long it took.
    pub duration: Duration,
}

/// An answer whose head came: its status and headers say what the receiver decided, whatever became of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// All headers, to decide by.
    pub headers: HeaderMap,
    /// What is kept of it.
    pub kept: ReceivedResponse,
}

/// Which connection a POST may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// One that an earlier POST left open, where there is one.
    Allowed,
    /// Only a new one.
    No,
}

/// The way out.
#[derive(Debug, Clone)]
pub struct Egress {
    connector: Connector,
    pool: Pool,
    timeout: Duration,
}

impl Egress {
    /// Sets up TLS. Connects to nobody yet.
    ///
    /// # Errors
    /// When TLS cannot be set up, or a local build's CA file cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        // Mozilla's roots, compiled in: the system's take 2 to 45 ms to read at each cold start.
        #[cfg_attr(
            not(feature = "local"),
            expect(unused_mut, reason = "local builds add their receiver's CA")
        )]
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        #[cfg(feature = "local")]
        if let Some(file) = &settings.receiver_ca {
            for authority in crate::local::authorities(file)? {
                roots.add(authority).map_err(|error| error.to_string())?;
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

    /// The longest an exchange can take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Posts `body` to `url` with exactly these headers (and those HTTP itself needs). Follows no redirect and asks no proxy.
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
    ) -> Result<Received, Failure> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        // What is stored may be older than the rules, or not by us. And the resolver vets names: an address in the URL would never
        // be shown to it.
        let named = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let blocked = |rule: String| Failure::new(FailureKind::Blocked, format!("not sent: {rule}"));
        check(url).and_then(|()| check_sendable(named)).map_err(|refused| blocked(refused.to_string()))?;
        let host = url.host_str().unwrap_or_default();
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
        Ok(received(head.status.as_u16(), head.headers, body))
    }

    fn late(&self) -> Failure {
        let message = format!("no complete answer within {} s", self.timeout.as_secs());
        Failure::new(FailureKind::Timeout, message)
    }
}

/// The request, its target spelled as the webhook's URL is.
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

/// What came where hyper gave up: nothing at all, an answer that can be read nevertheless, or none.
async fn beyond_hyper(connection: &mut Connection, error: &hyper::Error) -> Result<Received, Failure> {
    if !connection.seen.has_any() {
        let broken = error::find::<rustls::Error>(error);
        return Err(broken.map_or_else(
            || Failure::new(FailureKind::Connect, format!("the connection failed: {}", error::root(error))),
            tls::failure,
        ));
    }
    // It gives up on too many headers before it has them all; on anything else there is nothing to wait for.
    let lines = |came: &[u8]| came.split(|byte| *byte == b'\n').count();
    let is_enough = |came: &[u8]| lines(came) <= MAX_HEADERS || unusual::head(came).is_some();
    let came = connection.read_on(is_enough).await;
    let Some(head) = unusual::head(&came) else { return Err(unusual::failure(&came)) };
    let rest = came.get(head.body_at..).unwrap_or_default();
    let body = body::of_what_came(head.status, &head.headers, rest);
    Ok(received(head.status.as_u16(), head.headers, body))
}

fn received(status_code: u16, headers: HeaderMap, body: Kept) -> Received {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    // As with the body: no answer may grow a history row beyond what the database takes.
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
    Received { headers, kept }
}
