//! One client for all receivers: TLS set up once, connections kept between the POSTs of an invocation.

use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use url::Url;

use anzol_domain::FailureKind;
use anzol_domain::delivery::{MAX_RESPONSE_BODY, MAX_RESPONSE_HEADERS, ReceivedResponse};
use anzol_domain::headers::check_sendable;
use anzol_domain::url::check;

use crate::error::Failure;
use crate::resolver::VettingResolver;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What came back, whatever its status, or why nothing did.
    pub outcome: Result<ReceivedResponse, Failure>,
    /// How long it took.
    pub duration: Duration,
}

/// The way out.
#[derive(Debug, Clone)]
pub struct Egress {
    client: reqwest::Client,
    timeout: Duration,
}

impl Egress {
    /// Sets up TLS and the client.
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
            local: crate::local::Names { receiver: settings.receiver, answers: settings.answers.clone() },
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(roots)?)
            .https_only(true)
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(resolver)
            .connect_timeout(settings.connect_timeout)
            // Servers commonly close idle connections after 5 s, also while this function is frozen. A connection is used again for the
            // same name alone, and stays with the address that was vetted when it was made, whatever the name has come to lead to.
            .pool_idle_timeout(Duration::from_secs(4))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, timeout: settings.timeout })
    }

    /// The longest an exchange can take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Posts `body` to `url` with exactly these headers (and those HTTP itself needs).
    pub async fn post(&self, url: &Url, headers: &[(String, String)], body: String) -> Answer {
        let start = Instant::now();
        // What is stored may be older than the rules, or not by us. And the resolver vets names: an address in the URL would never
        // be shown to it.
        let named = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        if let Err(refused) = check(url).and_then(|()| check_sendable(named)) {
            let failure = Failure::new(FailureKind::Blocked, format!("not sent: {refused}"));
            return Answer { outcome: Err(failure), duration: start.elapsed() };
        }
        let outcome = tokio::time::timeout(self.timeout, self.exchange(url, headers, body)).await;
        let outcome = outcome.unwrap_or_else(|_| {
            let message = format!("no complete answer within {} s", self.timeout.as_secs());
            Err(Failure::new(FailureKind::Timeout, message))
        });
        Answer { outcome, duration: start.elapsed() }
    }

    async fn exchange(
        &self,
        url: &Url,
        headers: &[(String, String)],
        body: String,
    ) -> Result<ReceivedResponse, Failure> {
        let mut request = self.client.post(url.clone()).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut response = request.send().await.map_err(|error| Failure::from_client(&error))?;
        let status_code = response.status().as_u16();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        // As with the body: no answer may grow a history row beyond what the database takes.
        let mut room = MAX_RESPONSE_HEADERS;
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
        let headers = headers.take_while(|(name, value)| {
            let size = name.len() + value.len();
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        });
        let headers = headers.collect();
        let mut body = Vec::new();
        let mut body_cut = false;
        while let Some(chunk) = response.chunk().await.map_err(|error| Failure::from_client(&error))? {
            let room = MAX_RESPONSE_BODY - body.len();
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if chunk.len() > room {
                body_cut = true;
                break;
            }
        }
        Ok(ReceivedResponse {
            status_code,
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            body_cut,
        })
    }
}

/// TLS 1.2 and 1.3 with these roots and ring, the one provider of the whole graph.
pub(crate) fn tls(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, String> {
    let builder =
        rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
