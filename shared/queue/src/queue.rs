//! Putting messages on queues, in batches, with every refused one tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_sqs::types::{BatchResultErrorEntry, MessageAttributeValue, SendMessageBatchRequestEntry};
use futures::stream::StreamExt as _;

use anzol_domain::recovery::RecoveryTask;
use anzol_domain::{DeliveryId, DeliveryTask, Lane, TenantId};

use crate::body::{self, Body, MAX_MESSAGE};
use crate::message;
use crate::scheduler::{Scheduler, Unscheduled};

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

/// Longest reason that a dead letter is given, in bytes. Our choice: what is wrong is said of each field, and there may be hundreds.
const MAX_REASON: usize = 4 * 1024;

/// Messages that could not be put where they belong.
#[derive(Debug, Default, thiserror::Error)]
#[error("{} messages were not queued, {} of them for good: {reason}", .unsent.len() + .refused.len(), .refused.len())]
pub struct QueueError {
    /// The deliveries that are certainly or possibly not on their queue, and may be another time.
    pub unsent: BTreeSet<DeliveryId>,
    /// The deliveries that the queue will never take, with the code of its error. Not expected: what it refuses by its documentation
    /// is not sent like that (see [`crate::encode`]), and larger events are refused at the door.
    pub refused: BTreeMap<DeliveryId, String>,
    /// What was said of one of them, for the log.
    pub reason: String,
}

impl QueueError {
    /// Whatever else went wrong, in one.
    fn and(mut self, mut other: Self) -> Self {
        self.unsent.append(&mut other.unsent);
        self.refused.append(&mut other.refused);
        if self.reason.is_empty() {
            self.reason = other.reason;
        }
        self
    }

    fn is_empty(&self) -> bool {
        self.unsent.is_empty() && self.refused.is_empty()
    }
}

/// Codes of errors by which a call is refused because of what is in it, so that it will be whenever it is made again. With the older
/// protocol's prefix they are spelled `AWS.SimpleQueueService.…`.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#API_SendMessage_Errors>
const PERMANENT: [&str; 3] = ["InvalidMessageContents", "BatchRequestTooLong", "InvalidParameterValue"];

/// The code of an error that a call will always end in.
fn permanent<E: ProvideErrorMetadata>(error: &E) -> Option<&'static str> {
    let code = error.code()?.rsplit(['.', '#']).next()?;
    PERMANENT.into_iter().find(|known| *known == code)
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
pub struct OutgoingDelivery {
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
pub(crate) struct Envelope {
    pub(crate) id: DeliveryId,
    pub(crate) body: Body,
    /// The tenant: messages of one do not hold up the others' (SQS fair queues). Any tenant's id may be a group's: both have up to 128
    /// characters, and every one that a tenant's may have is alphanumeric or punctuation.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#SQS-SendMessage-request-MessageGroupId>
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
    /// does not hold up the others (SQS fair queues). What SQS does not take is written in another way, as far as that means the same.
    ///
    /// # Errors
    /// What went wrong, for the log.
    pub async fn send(&self, tenant: &TenantId, body: impl Into<String>) -> Result<(), String> {
        self.send_later(tenant, Body::new(body), Duration::ZERO).await
    }

    async fn send_later(&self, tenant: &TenantId, body: Body, delay: Duration) -> Result<(), String> {
        let request = self
            .client
            .send_message()
            .queue_url(&self.url)
            .message_group_id(tenant.as_str())
            .message_body(body)
            .set_delay_seconds(delay_seconds(delay));
        request.send().await.map(drop).map_err(|error| DisplayErrorContext(error).to_string())
    }

    /// Puts a message that cannot be used on a dead-letter queue, with the reason as the message attribute `reason`, cut to what there
    /// is room for beside it.
    ///
    /// # Errors
    /// What went wrong, for the log.
    pub async fn send_to_dlq(&self, body: &str, reason: &str) -> Result<(), String> {
        const NAME: &str = "reason";
        const TYPE: &str = "String";
        let body = Body::new(body).within(MAX_MESSAGE);
        let room = MAX_MESSAGE.saturating_sub(body.len() + NAME.len() + TYPE.len());
        let reason = body::attribute(reason, room.min(MAX_REASON));
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        if !reason.is_empty() {
            let text = MessageAttributeValue::builder().data_type(TYPE).string_value(reason).build();
            let text = text.map_err(|error| error.to_string())?;
            match request.clone().message_attributes(NAME, text).send().await {
                Ok(_) => return Ok(()),
                // Some implementation may have less room for it. A dead letter without its reason, which is in the log, is better than none.
                Err(error) if permanent(&error).is_some() => {}
                Err(error) => return Err(DisplayErrorContext(error).to_string()),
            }
        }
        request.send().await.map(drop).map_err(|error| DisplayErrorContext(error).to_string())
    }

    /// Puts all messages on the queue; answers why not, for those that are not on it.
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
                tokio::time::sleep(FIRST_WAIT.saturating_mul(1 << round)).await;
            }
            let failed = match self.call(&entries).await {
                Ok(failed) => failed,
                Err(reason) => {
                    outcome.reason = reason;
                    break;
                }
            };
            if let Some(first) = failed.first() {
                outcome.reason = format!("{} {}", first.code, first.message.as_deref().unwrap_or_default());
            }
            // What is wrong with a message stays wrong; what is wrong with the queue may pass.
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

    /// Makes one call for all entries; answers which were not taken. When it is refused as a whole because of what is in it, each entry gets
    /// a call of its own: the others are not to blame.
    async fn call(
        &self,
        entries: &[SendMessageBatchRequestEntry],
    ) -> Result<Vec<BatchResultErrorEntry>, String> {
        let request = self.client.send_message_batch().queue_url(&self.url);
        let error = match request.set_entries(Some(entries.to_vec())).send().await {
            Ok(answer) => return Ok(answer.failed),
            Err(error) => error,
        };
        let (Some(code), [first, others @ ..]) = (permanent(&error), entries) else {
            return Err(DisplayErrorContext(error).to_string());
        };
        if others.is_empty() {
            let refused =
                BatchResultErrorEntry::builder().id(&first.id).sender_fault(true).code(code).build();
            return refused.map(|refused| vec![refused]).map_err(|error| error.to_string());
        }
        let mut failed = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match Box::pin(self.call(std::slice::from_ref(entry))).await {
                Ok(refused) => failed.extend(refused),
                // Those before are on the queue: the rest is tried again without them.
                Err(reason) => {
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

/// A delay as SQS takes it: whole seconds, rounded up, or none.
fn delay_seconds(delay: Duration) -> Option<i32> {
    let seconds = delay.min(MAX_DELAY).as_millis().div_ceil(1000);
    i32::try_from(seconds).ok().filter(|seconds| *seconds > 0)
}

/// Cuts messages into batches of what one call may hold.
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
        self.slow.send_later(&task.tenant_id, message::body_of_recovery(task), delay).await
    }

    /// Puts all deliveries on their lanes, or into the scheduler. One that the scheduler will never take waits on the slow lane for as long
    /// as a queue lets it: it comes early then, which is better than not at all.
    ///
    /// # Errors
    /// Which of them are not there, or not for sure. Doing it again for those delivers some twice, under the same `webhook-id`.
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
            Err(Unscheduled { reason, permanent: false }) => {
                QueueError { unsent: [message.id].into(), reason, ..QueueError::default() }
            }
            Err(Unscheduled { reason, permanent: true }) => {
                tracing::warn!(reason, delivery.id = %message.id, "a delivery cannot be scheduled, and comes early");
                self.slow.send_all(vec![message]).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_both_bounds_and_lose_nothing() {
        let message = |size: usize| Envelope {
            id: DeliveryId::floor(time::OffsetDateTime::UNIX_EPOCH),
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
