//! What can go wrong with a vault. Nothing here ever quotes what was sealed.

use aws_sdk_kms::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// Secrets that could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// KMS does not answer, or has too much to do: later it will.
    #[error("KMS is busy: {0}")]
    Unavailable(String),
    /// KMS refuses: the function may not, the key is disabled or to be deleted, or what was sealed was so for another tenant or
    /// webhook. That lasts until somebody does something about it.
    #[error("KMS refuses: {0}")]
    Refused(String),
    /// What was opened is of no known form, or does not fit the webhook.
    #[error("opened secrets cannot be read: {0}")]
    Corrupt(&'static str),
}

impl VaultError {
    /// Not the SDK's own account of an error, which quotes responses: one of Decrypt's holds the plaintext.
    pub(crate) fn from_sdk<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        R: std::fmt::Debug,
    {
        let busy = ["ThrottlingException", "DependencyTimeoutException", "KMSInternalException"];
        match error {
            SdkError::ServiceError(_) => {
                let code = error.code().unwrap_or("an unknown error");
                let text = format!("{code}: {}", error.message().unwrap_or_default());
                if busy.contains(&code) { Self::Unavailable(text) } else { Self::Refused(text) }
            }
            SdkError::DispatchFailure(failure) => {
                let cause = failure.as_connector_error().map(|cause| DisplayErrorContext(cause).to_string());
                Self::Unavailable(cause.unwrap_or_else(|| error.to_string()))
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
