//! A message on its way to a queue or to the scheduler.

use std::time::Duration;

use anzol_domain::DeliveryId;

use crate::body::Body;

/// A message with its addressing.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The delivery of the message. Identifies the message in errors and names its schedule.
    pub(crate) id: DeliveryId,
    /// The text of the message.
    pub(crate) body: Body,
    /// The tenant, as the message group: messages of one tenant do not delay those of others (SQS fair queues). Every tenant id is a valid
    /// group: both have up to 128 characters, and a tenant id consists of alphanumeric characters and punctuation.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#SQS-SendMessage-request-MessageGroupId>
    pub(crate) group: String,
    /// The time until the message is due.
    pub(crate) delay: Duration,
}
