//! Errors of the store, grouped by how a caller can handle them.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// A failed call of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The tenant has the maximum number of webhooks.
    #[error("the tenant already has {0} webhooks")]
    CapReached(u32),
    /// Another writer changed or deleted the item after it was read.
    #[error("another writer changed or deleted the item")]
    Changed,
    /// There were too many concurrent calls for the tenant or the table. Nothing was written. A later call can succeed.
    #[error("too many concurrent calls: {0}")]
    Throttled(String),
    /// There was no response in time. The call may have been executed. A later call can succeed.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The database rejected the call.
    #[error("the database call failed: {0}")]
    Unavailable(String),
    /// A stored item cannot be read.
    #[error("a stored item cannot be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Converts an SDK error that its caller did not handle.
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
