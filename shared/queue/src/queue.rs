//! Putting messages on queues, in batches, with every refused one tried again.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures::stream::{StreamExt as _, TryStreamExt as _};

use anzol_domain::{DeliveryTask, TenantId};

use crate::message;

/// Messages in one call, SQS's own bound.
const BATCH: usize = 10;
/// Bytes in one call. SQS takes 1 MiB since 2025; other implementations of its API still take 256 KiB.
const BATCH_BYTES: usize = 256 * 1024;
/// Calls under way at the same time.
const CONCURRENT_CALLS: usize = 8;
/// Longest delay of a message, SQS's own bound.
pub const MAX_DELAY: Duration = Duration::from_mins(15);
/// Tries of messages that SQS refuses one by one, which it does when it is throttled.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// A call to the queue that failed.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue could not be reached, or refused the call.
    #[error("the queue call failed: {0}")]
    Unavailable(String),
    /// Some messages of a batch were refused again and again.
    #[error("{count} messages were refused: {reason}")]
    Refused {
        /// How many.
        count: usize,
        /// What SQS said of the first.
        reason: String,
    },
}

/// One queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

/// Which queue a delivery waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// First attempts to receivers that answer quickly.
    Fast,
    /// Retries, and receivers that do not.
    Slow,
}

/// A delivery on its way into a queue.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// What is to be done.
    pub task: DeliveryTask,
    /// Which queue it goes to.
    pub lane: Lane,
    /// How long it stays hidden there: whole seconds, at most 15 minutes.
    pub delay: Duration,
}

/// The queues of deliveries, one a lane. A function that only retries has no fast lane.
#[derive(Debug, Clone)]
pub struct DeliveryQueues {
    fast: Option<Queue>,
    slow: Queue,
}

struct Message {
    body: String,
    group: String,
    delay: Duration,
}

impl Queue {
    /// The queue at that URL, reached with this configuration.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, url: impl Into<String>) -> Self {
        Self { client: Client::new(config), url: url.into() }
    }

    /// Puts one message on the queue, as a producer of events does. Messages of a tenant form a group, so that a busy tenant
    /// does not hold up the others (SQS fair queues).
    pub async fn send(&self, tenant: &TenantId, body: impl Into<String>) -> Result<(), QueueError> {
        let request = self.client.send_message().queue_url(&self.url).message_group_id(tenant.as_str());
        let sent = request.message_body(body).send().await;
        sent.map(drop).map_err(|error| QueueError::Unavailable(DisplayErrorContext(error).to_string()))
    }

    /// Puts all messages on the queue, or says why not all of them are.
    async fn send_all(&self, messages: Vec<Message>) -> Result<(), QueueError> {
        let calls = batches(messages).into_iter().map(|batch| self.send_batch(batch));
        futures::stream::iter(calls).buffer_unordered(CONCURRENT_CALLS).try_collect().await
    }

    async fn send_batch(&self, messages: Vec<Message>) -> Result<(), QueueError> {
        let unavailable = |text: String| QueueError::Unavailable(text);
        let entry = |(index, message): (usize, Message)| {
            let seconds = message.delay.min(MAX_DELAY).as_millis().div_ceil(1000);
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(message.body)
                .message_group_id(message.group)
                .set_delay_seconds((seconds > 0).then(|| i32::try_from(seconds).unwrap_or(900)))
                .build()
                .map_err(|error| unavailable(error.to_string()))
        };
        let mut entries = messages.into_iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        let mut reason = String::new();
        for round in 0..TRIES {
            if round > 0 {
                tokio::time::sleep(FIRST_WAIT.saturating_mul(1 << round)).await;
            }
            let request =
                self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries.clone()));
            let answer =
                request.send().await.map_err(|error| unavailable(DisplayErrorContext(error).to_string()))?;
            let Some(first) = answer.failed.first() else { return Ok(()) };
            reason = format!("{} {}", first.code, first.message.as_deref().unwrap_or_default());
            entries.retain(|entry| answer.failed.iter().any(|failed| failed.id == entry.id));
            if answer.failed.iter().any(|failed| failed.sender_fault) {
                break;
            }
        }
        Err(QueueError::Refused { count: entries.len(), reason })
    }
}

/// Cuts messages into batches of what one call may hold.
fn batches(messages: Vec<Message>) -> Vec<Vec<Message>> {
    let mut batches: Vec<Vec<Message>> = Vec::new();
    let mut bytes = 0;
    for message in messages {
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && bytes + message.body.len() <= BATCH_BYTES => {
                bytes += message.body.len();
                batch.push(message);
            }
            _ => {
                bytes = message.body.len();
                batches.push(vec![message]);
            }
        }
    }
    batches
}

impl DeliveryQueues {
    /// Both lanes, for dispatching.
    #[must_use]
    pub fn new(
        config: &aws_types::SdkConfig,
        fast_url: impl Into<String>,
        slow_url: impl Into<String>,
    ) -> Self {
        Self { fast: Some(Queue::new(config, fast_url)), slow: Queue::new(config, slow_url) }
    }

    /// The slow lane alone, for retries.
    #[must_use]
    pub fn slow_only(config: &aws_types::SdkConfig, slow_url: impl Into<String>) -> Self {
        Self { fast: None, slow: Queue::new(config, slow_url) }
    }

    /// Puts all deliveries on their lanes.
    ///
    /// # Errors
    /// When not all of them are on a queue. Some may be: doing it again delivers those twice, under the same `webhook-id`.
    pub async fn send(&self, deliveries: Vec<Outgoing>) -> Result<(), QueueError> {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        for Outgoing { task, lane, delay } in deliveries {
            let message = Message { body: message::encode(&task), group: task.tenant_id.into(), delay };
            if lane == Lane::Fast && self.fast.is_some() { fast.push(message) } else { slow.push(message) }
        }
        if let Some(queue) = &self.fast {
            queue.send_all(fast).await?;
        }
        self.slow.send_all(slow).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_both_bounds_and_lose_nothing() {
        let message =
            |size: usize| Message { body: "x".repeat(size), group: String::new(), delay: Duration::ZERO };
        let sizes: Vec<usize> = (0..57).map(|n| (n * 7919) % 100_000).chain([300_000]).collect();
        let cut = batches(sizes.iter().copied().map(message).collect());
        let all: Vec<usize> = cut.iter().flatten().map(|message| message.body.len()).collect();
        assert_eq!(all, sizes);
        for batch in &cut {
            let bytes: usize = batch.iter().map(|message| message.body.len()).sum();
            assert!(batch.len() <= BATCH && (bytes <= BATCH_BYTES || batch.len() == 1));
        }
        assert!(batches(Vec::new()).is_empty());
    }
}
