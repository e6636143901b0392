//! Why nothing, or nothing usable, came back from a receiver.

use std::error::Error;

use anzol_domain::FailureKind;

/// A failed exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for programs.
    pub kind: FailureKind,
    /// What happened, for people. Never names an internal address.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Sorts an error of the HTTP client by what lies at its root.
    pub(crate) fn from_client(error: &reqwest::Error) -> Self {
        let mut source: Option<&(dyn Error + 'static)> = error.source();
        let mut deepest = error.to_string();
        while let Some(cause) = source {
            if let Some(refused) = cause.downcast_ref::<NameRefused>() {
                return refused.into();
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return Self::new(FailureKind::Tls, format!("the TLS connection failed: {tls}"));
            }
            if let Some(io) = cause.downcast_ref::<std::io::Error>() {
                // TLS errors travel inside I/O errors, where `source` does not show them.
                if let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    return Self::new(FailureKind::Tls, format!("the TLS connection failed: {tls}"));
                }
            }
            deepest = cause.to_string();
            source = cause.source();
        }
        if error.is_timeout() && error.is_connect() {
            Self::new(FailureKind::Timeout, "no connection within the time allowed")
        } else if error.is_timeout() {
            Self::new(FailureKind::Timeout, "no complete answer within the time allowed")
        } else if error.is_body() || error.is_decode() {
            Self::new(FailureKind::Body, format!("the answer broke off: {deepest}"))
        } else {
            Self::new(FailureKind::Connect, format!("the connection failed: {deepest}"))
        }
    }
}

/// Why a name was not turned into an address to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameRefused {
    #[error("the host name could not be resolved")]
    Unknown,
    #[error("the host name leads to an address that webhooks may not reach")]
    NotPublic,
}

impl From<&NameRefused> for Failure {
    fn from(refused: &NameRefused) -> Self {
        let kind = match refused {
            NameRefused::Unknown => FailureKind::Dns,
            NameRefused::NotPublic => FailureKind::Blocked,
        };
        Self::new(kind, refused.to_string())
    }
}
