//! The client of the token endpoint of the deployment's user pool, which exchanges a client's id and secret for an access token (RFC 6749,
//! section 4.4).
//!
//! The deployment configures the URL, so it is trusted: it is not vetted, and local stacks use plain HTTP.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::connection::Connector;
use crate::error::{self, Failure, SetupError};
use crate::resolver::VettingResolver;

/// Maximum number of bytes of a response. A token has a few thousand.
pub const MAX_TOKEN_ANSWER: usize = 64 * 1024;

/// Timeout of an exchange. Our choice: three times as long as a busy user pool takes, and far below a function's 30 s.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The client of a token endpoint.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    connector: Connector,
    url: Uri,
    timeout: Duration,
}

/// The client that requests a token, and the requested scopes.
#[derive(Clone, Copy)]
pub struct ClientCredentials<'a> {
    /// The client id.
    pub id: &'a str,
    /// The client secret.
    pub secret: &'a str,
    /// The scopes, separated by spaces; `None` for all scopes of the client.
    pub scope: Option<&'a str>,
}

/// Hides the secret.
impl fmt::Debug for ClientCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A token response (RFC 6749, section 5.1).
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct AccessToken {
    /// The token.
    pub access_token: String,
    /// The token type: `Bearer`.
    pub token_type: String,
    /// The lifetime in seconds.
    pub expires_in: u64,
}

/// Hides the token.
impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// Why the token endpoint returned no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The client is unknown, or the secret is wrong.
    #[error("the client is unknown or the secret is wrong")]
    UnknownClient,
    /// The endpoint rejects the request with another error code (RFC 6749, section 5.2).
    #[error("the token endpoint rejected the request: {0}")]
    Refused(Refusal),
    /// There was no usable response. The text is for the log and contains no part of the response.
    #[error("the token endpoint returned no usable response: {0}")]
    Unavailable(String),
}

/// The error codes of a token endpoint, except `invalid_client`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `invalid_scope`
    Scope,
    /// `unauthorized_client`, or `invalid_grant`, which Cognito returns if the client lacks the flow or the scope.
    Client,
    /// Any other code.
    Request,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scope => "invalid_scope",
            Self::Client => "unauthorized_client",
            Self::Request => "invalid_request",
        })
    }
}

/// An error response (RFC 6749, section 5.2).
#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl TokenEndpoint {
    /// Returns a client of the endpoint at `url`. Makes no connection.
    ///
    /// # Errors
    /// The URL is invalid, or TLS cannot be set up.
    pub fn new(url: &str) -> Result<Self, SetupError> {
        let url: Uri = url.parse()?;
        if url.host().is_none() {
            return Err(SetupError::TokenHost);
        }
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let resolver = VettingResolver {
            #[cfg(feature = "local")]
            local: crate::local::LocalHosts { receiver: None, answers: None },
        };
        let connector = Connector::new(resolver, crate::tls::config(roots)?, TIMEOUT);
        Ok(Self { connector, url, timeout: TIMEOUT })
    }

    /// Returns the client with another timeout of an exchange.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Exchanges a client's credentials for a token.
    pub async fn exchange(&self, client: ClientCredentials<'_>) -> Result<AccessToken, TokenError> {
        let exchange = tokio::time::timeout(self.timeout, self.ask(client)).await;
        let late = |_| TokenError::Unavailable(format!("no complete response within {:?}", self.timeout));
        let (status, body) = exchange.map_err(late)??;
        read(status, &body)
    }

    async fn ask(&self, client: ClientCredentials<'_>) -> Result<(u16, Vec<u8>), TokenError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .extend_pairs(client.scope.map(|scope| ("scope", scope)))
            .finish();
        // Both parts are form-encoded first (RFC 6749, section 2.3.1).
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let basic = STANDARD.encode(format!("{}:{}", encoded(client.id), encoded(client.secret)));
        let request = Request::post(self.url.path_and_query().map_or("/", |target| target.as_str()))
            .header(HOST, self.url.authority().map_or("", |authority| authority.as_str()))
            .header(AUTHORIZATION, format!("Basic {basic}"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Full::from(form));
        let request = request.map_err(|error| TokenError::Unavailable(error.to_string()))?;
        let broken = |error: hyper::Error| TokenError::Unavailable(error::root(&error));
        let connection = self.connector.connect_to_trusted(&self.url).await;
        let mut connection =
            connection.map_err(|Failure { message, .. }| TokenError::Unavailable(message))?;
        let (head, mut incoming) = connection.send(request).await.map_err(broken)?.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = connection.wait_for(incoming.frame()).await {
            if let Some(data) = frame.map_err(broken)?.data_ref() {
                body.extend_from_slice(data);
            }
            if body.len() > MAX_TOKEN_ANSWER {
                return Err(TokenError::Unavailable(format!("more than {MAX_TOKEN_ANSWER} bytes")));
            }
        }
        Ok((head.status.as_u16(), body))
    }
}

/// Interprets a response. Does not pass on its text, because an endpoint can repeat the secret in it.
fn read(status: u16, body: &[u8]) -> Result<AccessToken, TokenError> {
    let refused = || serde_json::from_slice::<Refused>(body).ok().map(|refused| refused.error);
    match status {
        200 => serde_json::from_slice(body)
            .map_err(|_| TokenError::Unavailable("200 without a token".to_owned())),
        401 => Err(TokenError::UnknownClient),
        400 => Err(match refused().as_deref() {
            Some("invalid_client") => TokenError::UnknownClient,
            Some("invalid_scope") => TokenError::Refused(Refusal::Scope),
            Some("unauthorized_client" | "invalid_grant") => TokenError::Refused(Refusal::Client),
            Some(_) => TokenError::Refused(Refusal::Request),
            None => TokenError::Unavailable("400 without an error code".to_owned()),
        }),
        other => Err(TokenError::Unavailable(format!("status {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_interpreted_by_rfc_6749_and_cognito() {
        let unavailable = |answer| matches!(answer, Err(TokenError::Unavailable(_)));
        let token = br#"{"access_token":"t","token_type":"Bearer","expires_in":3600,"more":1}"#;
        assert_eq!(read(200, token).unwrap().expires_in, 3600);
        for (code, expected) in [
            ("invalid_client", TokenError::UnknownClient),
            ("invalid_scope", TokenError::Refused(Refusal::Scope)),
            ("invalid_grant", TokenError::Refused(Refusal::Client)),
            ("unauthorized_client", TokenError::Refused(Refusal::Client)),
            ("invalid_request", TokenError::Refused(Refusal::Request)),
        ] {
            assert_eq!(read(400, format!(r#"{{"error":"{code}"}}"#).as_bytes()), Err(expected), "{code}");
        }
        assert_eq!(read(401, b""), Err(TokenError::UnknownClient));
        for (status, body) in
            [(200, &b"{}"[..]), (200, b"<html>"), (400, b"<html>"), (302, b""), (429, b""), (500, token)]
        {
            assert!(unavailable(read(status, body)), "{status}");
        }
    }

    #[test]
    fn debug_shows_neither_secret_nor_token() {
        let client = ClientCredentials { id: "a", secret: "hidden", scope: None };
        let token = AccessToken { access_token: "hidden".into(), token_type: "Bearer".into(), expires_in: 1 };
        assert!(!format!("{client:?} {token:?}").contains("hidden"));
    }
}
