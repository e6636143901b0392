//! Errors of the vault. No message contains sealed or opened data.

use aws_sdk_kms::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// Secrets that could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// KMS does not respond or throttles. A later call can succeed.
    #[error("KMS is busy: {0}")]
    Unavailable(String),
    /// KMS rejects the call: the function lacks the permission, the key is disabled or scheduled for deletion, or the secrets were sealed
    /// for another tenant or webhook. Persists until an operator intervenes.
    #[error("KMS rejected the call: {0}")]
    Refused(String),
    /// The opened data has an unknown format or does not fit the webhook.
    #[error("opened secrets cannot be read: {0}")]
    Corrupt(&'static str),
}

impl VaultError {
    /// Converts an SDK error. Does not use the SDK's error text, which quotes responses: a response of Decrypt contains the plaintext.
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
