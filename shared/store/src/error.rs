//! What can go wrong in the database, sorted by what a caller can do about it.

use aws_sdk_dynamodb::error::{DisplayErrorContext, SdkError};

/// A failed call to the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The tenant already has as many webhooks as it may have.
    #[error("the tenant already has {0} webhooks")]
    CapReached(u32),
    /// Somebody else changed or deleted the item since it was read.
    #[error("the item was changed or deleted meanwhile")]
    Changed,
    /// Too many writers at once, or throttled by the database: try again later.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The database could not be reached, or refused the call.
    #[error("the database call failed: {0}")]
    Unavailable(String),
    /// A stored item cannot be read.
    #[error("a stored item cannot be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// An SDK error that no caller expected.
    pub(crate) fn from_sdk<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: std::error::Error + aws_sdk_dynamodb::error::ProvideErrorMetadata + 'static,
        R: std::fmt::Debug,
    {
        use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
        let code = error.code().unwrap_or_default();
        let text = DisplayErrorContext(error).to_string();
        match code {
            "ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded" => Self::Busy(text),
            _ => Self::Unavailable(text),
        }
    }
}
