//! Errors of sending messages.

use std::collections::{BTreeMap, BTreeSet};

use anzol_domain::DeliveryId;
use aws_sdk_sqs::error::{BuildError, DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchError;

/// Why SQS did not accept a call. Displays the SDK's error with its causes.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SendError(Cause);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("{}", DisplayErrorContext(.0))]
    Message(Box<SdkError<SendMessageError>>),
    #[error("{}", DisplayErrorContext(.0))]
    Batch(Box<SdkError<SendMessageBatchError>>),
    #[error(transparent)]
    Invalid(BuildError),
}

impl From<SdkError<SendMessageError>> for SendError {
    fn from(error: SdkError<SendMessageError>) -> Self {
        Self(Cause::Message(Box::new(error)))
    }
}

impl From<SdkError<SendMessageBatchError>> for SendError {
    fn from(error: SdkError<SendMessageBatchError>) -> Self {
        Self(Cause::Batch(Box::new(error)))
    }
}

impl From<BuildError> for SendError {
    fn from(error: BuildError) -> Self {
        Self(Cause::Invalid(error))
    }
}

/// An error of sending deliveries: some are not on their queue.
#[derive(Debug, Default, thiserror::Error)]
#[error("{} messages were not queued, {} of them permanently: {reason}", .unsent.len() + .refused.len(), .refused.len())]
pub struct QueueError {
    /// Deliveries that are not, or may not be, on their queue. Sending them again can succeed.
    pub unsent: BTreeSet<DeliveryId>,
    /// Deliveries that the queue permanently refused, with the code of the error. Not expected: messages are encoded in characters that SQS
    /// accepts (see [`crate::encode`]), and events that are too large are rejected when they are published.
    pub refused: BTreeMap<DeliveryId, String>,
    /// The error of one of them, for the log.
    pub reason: String,
}

impl QueueError {
    /// Merges two errors.
    pub(crate) fn and(mut self, mut other: Self) -> Self {
        self.unsent.append(&mut other.unsent);
        self.refused.append(&mut other.refused);
        if self.reason.is_empty() {
            self.reason = other.reason;
        }
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unsent.is_empty() && self.refused.is_empty()
    }
}

/// Codes of errors with which SQS permanently refuses a call because of its content. In the older protocol, the codes start with
/// `AWS.SimpleQueueService.`.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#API_SendMessage_Errors>
const PERMANENT: [&str; 3] = ["InvalidMessageContents", "BatchRequestTooLong", "InvalidParameterValue"];

/// Returns the code of a permanent error, or `None` if the same call can succeed later.
pub(crate) fn permanent<E: ProvideErrorMetadata>(error: &E) -> Option<&'static str> {
    let code = error.code()?.rsplit(['.', '#']).next()?;
    PERMANENT.into_iter().find(|known| *known == code)
}
