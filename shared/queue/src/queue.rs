//! Sends messages to queues in batches, and retries those that SQS temporarily refuses.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{BatchResultErrorEntry, MessageAttributeValue, SendMessageBatchRequestEntry};
use futures::stream::StreamExt as _;

use anzol_domain::recovery::RecoveryTask;
use anzol_domain::{DeliveryId, DeliveryTask, Lane, TenantId};
use anzol_lazy::Lazy;

use crate::body::{self, Body, MAX_MESSAGE};
use crate::envelope::Envelope;
use crate::error::{QueueError, SendError, permanent};
use crate::message;
use crate::scheduler::Scheduler;

/// Maximum number of messages in one call: the limit of SQS.
const BATCH: usize = 10;
/// Maximum size of the messages in one call, in bytes. SQS accepts 1 MiB since 2025; other implementations of its API still accept only 256
/// KiB.
const BATCH_BYTES: usize = 256 * 1024;
/// Maximum number of concurrent calls.
const CONCURRENT_CALLS: usize = 8;
/// Maximum delay of a message: the limit of SQS.
pub const MAX_DELAY: Duration = Duration::from_mins(15);
/// Number of tries of entries that SQS refuses within a batch, for example when it throttles.
const TRIES: u32 = 4;
/// The wait before the second try. It doubles with each further try.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Maximum length of the attribute `reason` of a message in the dead-letter queue, in bytes. Our choice: each invalid field adds to it, and
/// there can be hundreds.
const MAX_REASON: usize = 4 * 1024;

/// A queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Lazy<Client>,
    url: String,
}

/// A delivery to be queued.
#[derive(Debug, Clone)]
pub struct OutgoingDelivery {
    /// The task.
    pub task: DeliveryTask,
    /// The lane of the queue that receives the delivery.
    pub lane: Lane,
    /// The time until the delivery is due, rounded up to whole seconds.
    pub delay: Duration,
}

/// The delivery queues, one per lane, and the scheduler for waits that are too long for a queue. A function that only dispatches needs no
/// scheduler.
#[derive(Debug, Clone)]
pub struct DeliveryQueues {
    fast: Queue,
    slow: Queue,
    scheduler: Option<Scheduler>,
}

impl Queue {
    /// Returns the queue at this URL.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, url: impl Into<String>) -> Self {
        let config = config.clone();
        Self { client: Lazy::new(move || Client::new(&config)), url: url.into() }
    }

    /// Sends one message, as a producer of events does. The messages of a tenant form a group, so that a busy tenant does not delay others
    /// (SQS fair queues). Characters that SQS refuses are escaped if the body is JSON, and replaced otherwise.
    pub async fn send(&self, tenant: &TenantId, body: impl Into<String>) -> Result<(), SendError> {
        self.send_later(tenant, Body::new(body), Duration::ZERO).await
    }

    async fn send_later(&self, tenant: &TenantId, body: Body, delay: Duration) -> Result<(), SendError> {
        let request = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_group_id(tenant.as_str())
            .message_body(body)
            .set_delay_seconds(delay_seconds(delay));
        request.send().await?;
        Ok(())
    }

    /// Sends an unusable message to this dead-letter queue. The message attribute `reason` contains the reason, cut to the space that the
    /// body leaves.
    pub async fn send_to_dlq(&self, body: &str, reason: &str) -> Result<(), SendError> {
        const NAME: &str = "reason";
        const TYPE: &str = "String";
        let body = Body::new(body).within(MAX_MESSAGE);
        let room = MAX_MESSAGE.saturating_sub(body.len() + NAME.len() + TYPE.len());
        let reason = body::attribute(reason, room.min(MAX_REASON));
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        if !reason.is_empty() {
            let text = MessageAttributeValue::builder().data_type(TYPE).string_value(reason).build();
            match request.clone().message_attributes(NAME, text?).send().await {
                Ok(_) => return Ok(()),
                // Another implementation can have a lower limit. A message without a reason is better than none; the reason is in the log.
                Err(error) if permanent(&error).is_some() => {}
                Err(error) => return Err(error.into()),
            }
        }
        request.send().await?;
        Ok(())
    }

    /// Sends all messages. Returns an error that names those that are not on the queue; it is empty if all are.
    async fn send_all(&self, messages: Vec<Envelope>) -> QueueError {
        let (fitting, larger): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| message.body.len() <= MAX_MESSAGE);
        let refused = larger.into_iter().map(|message| (message.id, "MessageTooLong".to_owned())).collect();
        let too_large = QueueError { refused, ..QueueError::default() };
        let calls = batches(fitting).into_iter().map(|batch| self.send_batch(batch));
        let results = futures::stream::iter(calls).buffer_unordered(CONCURRENT_CALLS);
        results.fold(too_large, |all, error| async { error.and(all) }).await
    }

    async fn send_batch(&self, messages: Vec<Envelope>) -> QueueError {
        let ids: Vec<DeliveryId> = messages.iter().map(|message| message.id).collect();
        let id_of = |entry: &str| ids.get(entry.parse::<usize>().ok()?).copied();
        let entry = |(index, message): (usize, Envelope)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(message.body)
                .message_group_id(message.group)
                .set_delay_seconds(delay_seconds(message.delay))
                .build()
        };
        let mut outcome = QueueError::default();
        let mut entries = match messages.into_iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => {
                return QueueError {
                    unsent: ids.into_iter().collect(),
                    reason: error.to_string(),
                    ..outcome
                };
            }
        };
        for round in 0..TRIES {
            if round > 0 {
                tokio::time::sleep(FIRST_WAIT.saturating_mul(1 << (round - 1))).await;
            }
            let failed = match self.call(&entries).await {
                Ok(failed) => failed,
                Err(error) => {
                    outcome.reason = error.to_string();
                    break;
                }
            };
            if let Some(first) = failed.first() {
                outcome.reason = format!("{} {}", first.code, first.message.as_deref().unwrap_or_default());
            }
            // A faulty message stays faulty; a failure of the queue can be temporary.
            let (ours, theirs): (Vec<_>, Vec<_>) = failed.into_iter().partition(|f| f.sender_fault);
            outcome
                .refused
                .extend(ours.into_iter().filter_map(|failed| Some((id_of(&failed.id)?, failed.code))));
            entries.retain(|entry| theirs.iter().any(|failed| failed.id == entry.id));
            if entries.is_empty() {
                return outcome;
            }
        }
        outcome.unsent.extend(entries.iter().filter_map(|entry| id_of(&entry.id)));
        outcome
    }

    /// Sends all entries in one call. Returns those that were not accepted. If SQS refuses the call because of its content, sends each
    /// entry in a separate call, so that one faulty message does not fail the others.
    async fn call(
        &self,
        entries: &[SendMessageBatchRequestEntry],
    ) -> Result<Vec<BatchResultErrorEntry>, SendError> {
        let request = self.client.send_message_batch().queue_url(&self.url);
        let error = match request.set_entries(Some(entries.to_vec())).send().await {
            Ok(answer) => return Ok(answer.failed),
            Err(error) => error,
        };
        let (Some(code), [first, others @ ..]) = (permanent(&error), entries) else {
            return Err(error.into());
        };
        if others.is_empty() {
            let refused =
                BatchResultErrorEntry::builder().id(&first.id).sender_fault(true).code(code).build();
            return Ok(vec![refused?]);
        }
        let mut failed = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match Box::pin(self.call(std::slice::from_ref(entry))).await {
                Ok(refused) => failed.extend(refused),
                // The entries before this one were processed, so only the rest is retried.
                Err(error) => {
                    let reason = error.to_string();
                    let rest = entries.iter().skip(index).map(|entry| {
                        let unsent = BatchResultErrorEntry::builder().id(&entry.id).sender_fault(false);
                        unsent.code("Unsent").message(&reason).build()
                    });
                    failed.extend(rest.filter_map(Result::ok));
                    break;
                }
            }
        }
        Ok(failed)
    }
}

/// Returns a delay in whole seconds, rounded up, or `None` for no delay.
fn delay_seconds(delay: Duration) -> Option<i32> {
    let seconds = delay.min(MAX_DELAY).as_millis().div_ceil(1000);
    i32::try_from(seconds).ok().filter(|seconds| *seconds > 0)
}

/// Splits messages into batches within the limits of one call.
fn batches(messages: Vec<Envelope>) -> Vec<Vec<Envelope>> {
    let mut batches: Vec<Vec<Envelope>> = Vec::new();
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
    /// Returns the queues of both lanes.
    #[must_use]
    pub fn new(
        config: &aws_types::SdkConfig,
        fast_url: impl Into<String>,
        slow_url: impl Into<String>,
    ) -> Self {
        let (fast, slow) = (Queue::new(config, fast_url), Queue::new(config, slow_url));
        Self { fast, slow, scheduler: None }
    }

    /// Returns queues that send everything to the slow lane, for functions without access to the fast one.
    #[must_use]
    pub fn slow_only(config: &aws_types::SdkConfig, slow_url: impl Into<String>) -> Self {
        let slow = Queue::new(config, slow_url);
        Self { fast: slow.clone(), slow, scheduler: None }
    }

    /// Returns the queues with `scheduler` for waits that are too long for a queue.
    #[must_use]
    pub fn with_scheduler(self, scheduler: Scheduler) -> Self {
        Self { scheduler: Some(scheduler), ..self }
    }

    /// Creates the fast lane's client now, because the first event needs it.
    pub fn prepare(&self) {
        self.fast.client.prepare();
    }

    /// Sends the next step of a recovery to the slow lane, due after `delay`.
    ///
    /// # Errors
    /// The message may still be on the queue. Running a step twice is safe.
    pub async fn send_recovery(&self, task: &RecoveryTask, delay: Duration) -> Result<(), SendError> {
        self.slow.send_later(&task.tenant_id, message::body_of_recovery(task), delay).await
    }

    /// Sends all deliveries to their lanes or to the scheduler. A delivery that the scheduler permanently refuses goes to the slow lane
    /// with the maximum delay of a queue, because an early attempt is better than none.
    ///
    /// # Errors
    /// Names the deliveries that are not, or may not be, queued. Sending these again can deliver some twice, with the same `webhook-id`.
    pub async fn send(&self, deliveries: Vec<OutgoingDelivery>) -> Result<(), QueueError> {
        let (mut fast, mut slow, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for OutgoingDelivery { task, lane, delay } in deliveries {
            let (id, body) = (task.delivery_id, message::body_of(&task));
            let message = Envelope { id, body, group: task.tenant_id.into(), delay };
            match (&self.scheduler, lane) {
                (Some(scheduler), _) if delay > scheduler.longest_queue_delay => later.push(message),
                (_, Lane::Fast) => fast.push(message),
                (_, Lane::Slow) => slow.push(message),
            }
        }
        let scheduled = async {
            let Some(scheduler) = &self.scheduler else { return QueueError::default() };
            let calls = later.into_iter().map(|message| self.schedule(scheduler, message));
            let results = futures::stream::iter(calls).buffer_unordered(CONCURRENT_CALLS);
            results.fold(QueueError::default(), |all, error| async { error.and(all) }).await
        };
        let (in_fast, in_slow, scheduled) =
            futures::join!(self.fast.send_all(fast), self.slow.send_all(slow), scheduled);
        let all = in_fast.and(in_slow).and(scheduled);
        if all.is_empty() { Ok(()) } else { Err(all) }
    }

    async fn schedule(&self, scheduler: &Scheduler, message: Envelope) -> QueueError {
        match scheduler.schedule(&message).await {
            Ok(()) => QueueError::default(),
            Err(error) if error.is_permanent() => {
                tracing::warn!(reason = %error, delivery.id = %message.id, "a delivery cannot be scheduled; it is queued and runs early");
                self.slow.send_all(vec![message]).await
            }
            Err(error) => {
                QueueError { unsent: [message.id].into(), reason: error.to_string(), ..QueueError::default() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_respect_both_limits_and_lose_nothing() {
        let message = |size: usize| Envelope {
            id: DeliveryId::lowest_at(time::OffsetDateTime::UNIX_EPOCH),
            body: Body::new("x".repeat(size)),
            group: String::new(),
            delay: Duration::ZERO,
        };
        let sizes: Vec<usize> = (0..57).map(|n| 1 + (n * 7919) % 100_000).chain([300_000]).collect();
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
