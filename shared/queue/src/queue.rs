//! Putting messages on queues, in batches, with every refused one tried again.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use futures::stream::StreamExt as _;

use anzol_domain::recovery::RecoveryTask;
use anzol_domain::{DeliveryId, DeliveryTask, Lane, TenantId};

use crate::message;
use crate::scheduler::Scheduler;

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

/// Messages that could not be put where they belong.
#[derive(Debug, thiserror::Error)]
#[error("{} messages were not queued: {reason}", .unsent.len())]
pub struct QueueError {
    /// The deliveries that are certainly or possibly not on their queue.
    pub unsent: BTreeSet<DeliveryId>,
    /// What was said of one of them, for the log.
    pub reason: String,
}

impl QueueError {
    fn new(unsent: impl IntoIterator<Item = DeliveryId>, reason: impl Into<String>) -> Self {
        Self { unsent: unsent.into_iter().collect(), reason: reason.into() }
    }
}

/// Made when it is first used: an execution environment calls on few of the clients it has, and to make one takes longer than a call.
type LazyClient = Arc<LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>>;

/// One queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: LazyClient,
    url: String,
}

/// A delivery on its way into a queue.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// What is to be done.
    pub task: DeliveryTask,
    /// Which queue it goes to.
    pub lane: Lane,
    /// How long until it is due; rounded up to whole seconds.
    pub delay: Duration,
}

/// The queues of deliveries, one a lane, and the scheduler for waits that no queue can do. A function that only dispatches needs no
/// scheduler.
#[derive(Debug, Clone)]
pub struct DeliveryQueues {
    fast: Queue,
    slow: Queue,
    scheduler: Option<Scheduler>,
}

/// A message on its way into a queue, or into the scheduler.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) id: DeliveryId,
    pub(crate) body: String,
    /// The tenant: messages of one do not hold up the others' (SQS fair queues).
    pub(crate) group: String,
    pub(crate) delay: Duration,
}

impl Queue {
    /// The queue at that URL, reached with this configuration.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, url: impl Into<String>) -> Self {
        let config = config.clone();
        let client: LazyClient = Arc::new(LazyLock::new(Box::new(move || Client::new(&config))));
        Self { client, url: url.into() }
    }

    /// Puts one message on the queue, as a producer of events does. Messages of a tenant form a group, so that a busy tenant
    /// does not hold up the others (SQS fair queues).
    ///
    /// # Errors
    /// What went wrong, for the log.
    pub async fn send(&self, tenant: &TenantId, body: impl Into<String>) -> Result<(), String> {
        self.send_later(tenant, body, Duration::ZERO).await
    }

    async fn send_later(
        &self,
        tenant: &TenantId,
        body: impl Into<String>,
        delay: Duration,
    ) -> Result<(), String> {
        let request = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_group_id(tenant.as_str())
            .message_body(body)
            .set_delay_seconds(delay_seconds(delay));
        request.send().await.map(drop).map_err(|error| DisplayErrorContext(error).to_string())
    }

    /// Puts a message that cannot be used on a dead-letter queue, with the reason as the message attribute `reason`.
    ///
    /// # Errors
    /// What went wrong, for the log.
    pub async fn bury(&self, body: &str, reason: &str) -> Result<(), String> {
        let text = MessageAttributeValue::builder().data_type("String").string_value(reason).build();
        let text = text.map_err(|error| error.to_string())?;
        // A message without a body is no message.
        let body = if body.is_empty() { " " } else { body };
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        let sent = request.message_attributes("reason", text).send().await;
        sent.map(drop).map_err(|error| DisplayErrorContext(error).to_string())
    }

    /// Puts all messages on the queue; answers why not, for those that are not on it.
    async fn send_all(&self, messages: Vec<Message>) -> Vec<QueueError> {
        let calls = batches(messages).into_iter().map(|batch| self.send_batch(batch));
        let results = futures::stream::iter(calls).buffer_unordered(CONCURRENT_CALLS);
        results.filter_map(|result| async { result.err() }).collect().await
    }

    async fn send_batch(&self, messages: Vec<Message>) -> Result<(), QueueError> {
        let ids: Vec<DeliveryId> = messages.iter().map(|message| message.id).collect();
        let all = |reason: String| QueueError::new(ids.iter().copied(), reason);
        let entry = |(index, message): (usize, Message)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(message.body)
                .message_group_id(message.group)
                .set_delay_seconds(delay_seconds(message.delay))
                .build()
        };
        let entries = messages.into_iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>();
        let mut entries = entries.map_err(|error| all(error.to_string()))?;
        let (mut refused, mut reason) = (Vec::new(), String::new());
        for round in 0..TRIES {
            if round > 0 {
                tokio::time::sleep(FIRST_WAIT.saturating_mul(1 << round)).await;
            }
            let request =
                self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries.clone()));
            let answer = request.send().await.map_err(|error| all(DisplayErrorContext(error).to_string()))?;
            if let Some(first) = answer.failed.first() {
                reason = format!("{} {}", first.code, first.message.as_deref().unwrap_or_default());
            }
            // What is wrong with a message stays wrong; what is wrong with the queue may pass.
            let (ours, theirs): (Vec<_>, Vec<_>) = answer.failed.into_iter().partition(|f| f.sender_fault);
            refused.extend(ours.into_iter().map(|failed| failed.id));
            entries.retain(|entry| theirs.iter().any(|failed| failed.id == entry.id));
            if entries.is_empty() {
                break;
            }
        }
        refused.extend(entries.into_iter().map(|entry| entry.id));
        if refused.is_empty() {
            return Ok(());
        }
        let unsent = refused.iter().filter_map(|id| ids.get(id.parse::<usize>().ok()?)).copied();
        Err(QueueError::new(unsent, reason))
    }
}

/// A delay as SQS takes it: whole seconds, rounded up, or none.
fn delay_seconds(delay: Duration) -> Option<i32> {
    let seconds = delay.min(MAX_DELAY).as_millis().div_ceil(1000);
    i32::try_from(seconds).ok().filter(|seconds| *seconds > 0)
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
    /// Both lanes.
    #[must_use]
    pub fn new(
        config: &aws_types::SdkConfig,
        fast_url: impl Into<String>,
        slow_url: impl Into<String>,
    ) -> Self {
        let (fast, slow) = (Queue::new(config, fast_url), Queue::new(config, slow_url));
        Self { fast, slow, scheduler: None }
    }

    /// The slow lane alone, for whoever sends nothing to the fast one: what is meant for that goes to the slow one too.
    #[must_use]
    pub fn slow_only(config: &aws_types::SdkConfig, slow_url: impl Into<String>) -> Self {
        let slow = Queue::new(config, slow_url);
        Self { fast: slow.clone(), slow, scheduler: None }
    }

    /// The same, with longer waits spent in `scheduler`.
    #[must_use]
    pub fn with_scheduler(self, scheduler: Scheduler) -> Self {
        Self { scheduler: Some(scheduler), ..self }
    }

    /// Makes the fast lane's client now, which whoever dispatches needs with the first event.
    pub fn prepare(&self) {
        LazyLock::force(&self.fast.client);
    }

    /// Puts the next step of a recovery on the slow lane, due after `delay`.
    ///
    /// # Errors
    /// What went wrong, for the log. It may be there nevertheless; making a step twice does no harm.
    pub async fn send_recovery(&self, task: &RecoveryTask, delay: Duration) -> Result<(), String> {
        self.slow.send_later(&task.tenant_id, message::encode_recovery(task), delay).await
    }

    /// Puts all deliveries on their lanes, or into the scheduler.
    ///
    /// # Errors
    /// Which of them are not there, or not for sure. Doing it again for those delivers some twice, under the same `webhook-id`.
    pub async fn send(&self, deliveries: Vec<Outgoing>) -> Result<(), QueueError> {
        let (mut fast, mut slow, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for Outgoing { task, lane, delay } in deliveries {
            let (id, body) = (task.delivery_id, message::encode(&task));
            let message = Message { id, body, group: task.tenant_id.into(), delay };
            match (&self.scheduler, lane) {
                (Some(scheduler), _) if delay > scheduler.longest_queue_delay => later.push(message),
                (_, Lane::Fast) => fast.push(message),
                (_, Lane::Slow) => slow.push(message),
            }
        }
        let scheduled = async {
            let Some(scheduler) = &self.scheduler else { return Vec::new() };
            let calls = later.into_iter().map(|message| async move {
                let done = scheduler.schedule(&message).await;
                done.map_err(|reason| QueueError::new([message.id], reason)).err()
            });
            let results = futures::stream::iter(calls).buffer_unordered(CONCURRENT_CALLS);
            results.filter_map(|error| async { error }).collect().await
        };
        let (in_fast, in_slow, scheduled) =
            futures::join!(self.fast.send_all(fast), self.slow.send_all(slow), scheduled);
        let errors = in_fast.into_iter().chain(in_slow).chain(scheduled);
        let all = errors.reduce(|mut all, mut error| {
            all.unsent.append(&mut error.unsent);
            all
        });
        all.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_both_bounds_and_lose_nothing() {
        let message = |size: usize| Message {
            id: DeliveryId::floor(time::OffsetDateTime::UNIX_EPOCH),
            body: "x".repeat(size),
            group: String::new(),
            delay: Duration::ZERO,
        };
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
