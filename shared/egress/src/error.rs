//! Why nothing, or nothing usable, came back from a receiver.

use std::error::Error;

use anzol_domain::FailureKind;

/// A failed exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for programs. [`FailureKind::Connect`] means that not one byte of an answer came.
    pub kind: FailureKind,
    /// What happened, for people. Never names an internal address.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// What lies under an error. I/O errors do not show what they wrap as their source, and TLS errors travel inside them.
pub(crate) fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

/// The first error of that type among an error and its causes.
pub(crate) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| cause_of(*error)).find_map(|error| error.downcast_ref())
}

/// What lies at the root of an error, in words.
pub(crate) fn root(error: &(dyn Error + 'static)) -> String {
    let ended =
        find::<std::io::Error>(error).is_some_and(|io| io.kind() == std::io::ErrorKind::UnexpectedEof);
    if ended {
        // What lies below it explains TLS to programmers.
        return "the receiver closed the connection".to_owned();
    }
    let deepest = std::iter::successors(Some(error), |error| cause_of(*error)).last();
    deepest.map_or_else(|| error.to_string(), ToString::to_string)
}

/// Why a name was not turned into an address to connect to.
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
