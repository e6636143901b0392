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
        let mut deepest = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            if let Some(refused) = cause.downcast_ref::<NameRefused>() {
                return refused.into();
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return Self::new(FailureKind::Tls, format!("the TLS connection failed: {tls}"));
            }
            let io = cause.downcast_ref::<std::io::Error>();
            if io.is_some_and(|io| io.kind() == std::io::ErrorKind::UnexpectedEof) {
                // What lies below it explains TLS to programmers.
                "the receiver closed the connection".clone_into(&mut deepest);
                break;
            }
            deepest = cause.to_string();
            next = cause_of(cause);
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

/// What lies under an error. I/O errors do not show what they wrap as their source, and TLS errors travel inside them.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
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
