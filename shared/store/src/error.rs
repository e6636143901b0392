//! What can go wrong in the database, sorted by what a caller can do about it.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// A failed call to the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The tenant already has as many webhooks as it may have.
    #[error("the tenant already has {0} webhooks")]
    CapReached(u32),
    /// Somebody else changed or deleted the item since it was read.
    #[error("the item was changed or deleted meanwhile")]
    Changed,
    /// Too many calls at once, for this tenant or for the table; nothing was done. Fewer, or a little later, will do.
    #[error("too many calls at once: {0}")]
    Throttled(String),
    /// No answer in time, or none at all: try again later. What was asked for may have been done.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The database refused the call.
    #[error("the database call failed: {0}")]
    Unavailable(String),
    /// A stored item cannot be read.
    #[error("a stored item cannot be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// An SDK error that no caller expected. What never got an answer, or was turned away for its number, may do better later.
    pub(crate) fn from_sdk<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        R: std::fmt::Debug,
    {
        let text = DisplayErrorContext(error).to_string();
        let throttled =
            ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"];
        match error {
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
                Self::Busy(text)
            }
            _ if error.code() == Some("InternalServerError") => Self::Busy(text),
            _ if error.code().is_some_and(|code| throttled.contains(&code)) => Self::Throttled(text),
            _ => Self::Unavailable(text),
        }
    }
}
