//! Errors of the egress: a failed exchange, a rejected name, a failed setup.

use std::error::Error;

use anzol_domain::FailureKind;

/// A failed exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for programs. [`FailureKind::Connect`] means that no byte of a response arrived.
    pub kind: FailureKind,
    /// The reason as a sentence. Never contains an internal address.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Returns the cause of an error. I/O errors do not expose the error that they wrap, such as a TLS error, as their source.
pub(crate) fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// Returns the first error of a type among an error and its causes.
pub(crate) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| cause_of(*error)).find_map(|error| error.downcast_ref())
}

/// Describes the root cause of an error.
pub(crate) fn root(error: &(dyn Error + 'static)) -> String {
    let closed =
        find::<std::io::Error>(error).is_some_and(|io| io.kind() == std::io::ErrorKind::UnexpectedEof);
    if closed {
        // The root cause is a TLS detail that does not help the owner of the receiver.
        return "the receiver closed the connection".to_owned();
    }
    let deepest = std::iter::successors(Some(error), |error| cause_of(*error)).last();
    deepest.map_or_else(|| error.to_string(), ToString::to_string)
}

/// Egress that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The TLS configuration is invalid.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The URL of the token endpoint cannot be parsed.
    #[error("the URL of the token endpoint is invalid: {0}")]
    TokenUrl(#[from] http::uri::InvalidUri),
    /// The URL of the token endpoint has no host.
    #[error("the URL of the token endpoint has no host")]
    TokenHost,
    /// The CA file of the local receiver cannot be read.
    #[cfg(feature = "local")]
    #[error("the CA file {} of the local receiver cannot be read: {error}", .file.display())]
    AuthorityFile {
        /// The file.
        file: std::path::PathBuf,
        /// The reason.
        error: rustls::pki_types::pem::Error,
    },
}

/// Why a name has no address to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameRefused {
    #[error("the host name could not be resolved")]
    Unknown,
    #[error("the host name leads to an address that webhooks may not reach")]
    NotPublic,
}

impl From<NameRefused> for Failure {
    fn from(refused: NameRefused) -> Self {
        let kind = match refused {
            NameRefused::Unknown => FailureKind::Dns,
            NameRefused::NotPublic => FailureKind::Blocked,
        };
        Self::new(kind, refused.to_string())
    }
}
