//! Blocking clients for suites: the API with a token, and the receiver's control API. Error statuses are answers, not errors.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use ureq::http::{Method, Request, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::receiver::{Behavior, Received};

const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_ANSWER: u64 = 256 * 1024 * 1024;

/// A server's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Lower-case names; values of a repeated header are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub text: String,
    asked: String,
}

impl Answer {
    /// Parses the body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("not JSON: {self}"))
    }

    /// Returns a header by its lower-case name; empty when absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns the answer, or an error that shows it when it has another status.
    pub fn expect_status(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "expected status {status}, but {self}");
        Ok(self)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} got {}: {}", self.asked, self.status, self.text)
    }
}

/// Sends requests unchanged, each on a new connection; `*.localhost` always resolves to this machine.
#[derive(Debug, Clone)]
pub struct Http(ureq::Agent);

impl Http {
    /// Returns a client.
    #[must_use]
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            // A server may close an idle connection just as it is reused, which would fail the test.
            .max_idle_connections(0)
            .build();
        Self(ureq::Agent::with_parts(config, DefaultConnector::new(), LocalNames::default()))
    }

    /// Sends one request and returns its answer.
    pub fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer> {
        let asked = format!("{method} {url}");
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => self.0.run(request.body(body)?),
            None => self.0.run(request.body(())?),
        };
        let mut answer = answer.with_context(|| format!("{asked} got no answer"))?;
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in answer.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            let all = headers.entry(name.as_str().to_owned()).or_default();
            if !all.is_empty() {
                all.push_str(", ");
            }
            all.push_str(&value);
        }
        let status = answer.status().as_u16();
        let text = answer
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER)
            .lossy_utf8(true)
            .read_to_string()
            .with_context(|| format!("{asked} got {status} with an unreadable body"))?;
        Ok(Answer { status, headers, text, asked })
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

/// Resolves `*.localhost` to this machine (RFC 6761), which not every resolver does.
#[derive(Debug, Default)]
struct LocalNames(DefaultResolver);

impl Resolver for LocalNames {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        if host != "localhost" && !host.ends_with(".localhost") {
            return self.0.resolve(uri, config, timeout);
        }
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Ok(addresses)
    }
}

/// A client of the API with one caller's token.
#[derive(Debug, Clone)]
pub struct Api {
    http: Http,
    base: String,
    token: Option<String>,
}

impl Api {
    /// Returns a client that sends this token, or none.
    #[must_use]
    pub fn new(base: &str, token: Option<&str>) -> Self {
        Self {
            http: Http::new(),
            base: base.trim_end_matches('/').to_owned(),
            token: token.map(str::to_owned),
        }
    }

    /// Sends GET. `path` is relative to the API, or an absolute URL from a page's links.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.send(&Method::GET, path, None)
    }

    /// Sends POST with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.post_as(path, "application/json", body)
    }

    /// Sends POST with a JSON body of another media type.
    pub fn post_as(&self, path: &str, content_type: &str, body: &Value) -> Result<Answer> {
        self.send(&Method::POST, path, Some((content_type, body.to_string().as_bytes())))
    }

    /// Sends POST without a body, as `resend` is called.
    pub fn post_nothing(&self, path: &str) -> Result<Answer> {
        self.send(&Method::POST, path, Some(("", b"")))
    }

    /// Sends PUT with a JSON body.
    pub fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(&Method::PUT, path, Some(("application/json", body.to_string().as_bytes())))
    }

    /// Sends PATCH with a JSON body.
    pub fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(&Method::PATCH, path, Some(("application/json", body.to_string().as_bytes())))
    }

    /// Sends DELETE.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        self.send(&Method::DELETE, path, None)
    }

    fn send(&self, method: &Method, path: &str, body: Option<(&str, &[u8])>) -> Result<Answer> {
        let url = if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        let authorization = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = Vec::new();
        if let Some(authorization) = &authorization {
            headers.push(("authorization", authorization.as_str()));
        }
        if let Some((content_type, _)) = body.filter(|(content_type, _)| !content_type.is_empty()) {
            headers.push(("content-type", content_type));
        }
        self.http.send(method, &url, &headers, body.map(|(_, bytes)| bytes))
    }
}

/// A client of the receiver's control API.
#[derive(Debug, Clone)]
pub struct Control {
    http: Http,
    base: String,
}

impl Control {
    /// Returns a client of the control API at `base`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self { http: Http::new(), base: base.trim_end_matches('/').to_owned() }
    }

    /// Returns the requests received on `path`, newest last.
    pub fn requests(&self, path: &str) -> Result<Vec<Received>> {
        self.list(&format!("?path={path}"))
    }

    /// Returns all requests received, newest last.
    pub fn all_requests(&self) -> Result<Vec<Received>> {
        self.list("")
    }

    /// Returns the requests received after the one with this number, newest last; 0 is before the first.
    pub fn requests_after(&self, number: u64) -> Result<Vec<Received>> {
        self.list(&format!("?after={number}"))
    }

    fn list(&self, query: &str) -> Result<Vec<Received>> {
        let url = format!("{}/requests{query}", self.base);
        let answer = self.http.send(&Method::GET, &url, &[], None)?.expect_status(200)?;
        serde_json::from_str(&answer.text).with_context(|| format!("not a list of requests: {answer}"))
    }

    /// Forgets all requests.
    pub fn forget_requests(&self) -> Result<()> {
        self.forget("requests")
    }

    fn forget(&self, what: &str) -> Result<()> {
        let url = format!("{}/{what}", self.base);
        self.http.send(&Method::DELETE, &url, &[], None)?.expect_status(204).map(drop)
    }

    /// Sets how `target` answers: a path such as `/x`, or a host such as `/host:bad.receiver.test`.
    pub fn behave(&self, target: &str, behavior: &Behavior) -> Result<()> {
        self.put_behavior(target, &serde_json::to_value(behavior)?)?.expect_status(204).map(drop)
    }

    /// Sends any JSON as a behavior, valid or not, and returns the answer.
    pub fn put_behavior(&self, target: &str, behavior: &Value) -> Result<Answer> {
        let url = format!("{}/behaviours{target}", self.base);
        self.http.send(&Method::PUT, &url, &[], Some(behavior.to_string().as_bytes()))
    }

    /// Resets every target to 200.
    pub fn forget_behaviors(&self) -> Result<()> {
        self.forget("behaviours")
    }
}
