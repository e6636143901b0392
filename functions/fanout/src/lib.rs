#![doc = include_str!("../README.md")]

mod config;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt as _;
use futures::stream::StreamExt as _;

use anzol_domain::error::Problems;
use anzol_domain::event::parse_one_or_many;
use anzol_domain::published::{PublishedVia, check_reserved};
use anzol_domain::trace::{TRACEPARENT, TRACESTATE};
use anzol_domain::{Clock, Event, Invalid, Rule, TraceContext};
use anzol_pipeline::{Accepted, DispatchError, Dispatcher};
use anzol_queue::Queue;
use anzol_runtime::metrics::{self, Label, Metric};

pub use config::Config;

/// Maximum number of messages that are processed concurrently.
const CONCURRENCY: usize = 10;

/// The metric label of events from the queue.
const SOURCE: Label = Label::Source("queue");

/// Returns the trace of a message: the producer's (message attributes `traceparent` and `tracestate`), or else that of AWS X-Ray.
fn trace(message: &SqsMessage) -> Option<TraceContext> {
    let own = |name| message.message_attributes.get(name).and_then(|value| value.string_value.as_deref());
    let given = own(TRACEPARENT).and_then(|parent| TraceContext::parse(parent, own(TRACESTATE)));
    given.or_else(|| {
        message.attributes.get("AWSTraceHeader").and_then(|header| TraceContext::from_xray(header))
    })
}

/// Processes batches of the events queue.
#[derive(Debug)]
pub struct Fanout {
    /// Matches events and queues deliveries.
    pub dispatcher: Dispatcher,
    /// The dead-letter queue for unusable messages.
    pub dlq: Queue,
    /// Returns the current time, which events without a time also get.
    pub clock: Clock,
    /// Maximum size of an event, in bytes of minified JSON.
    pub largest_event: usize,
}

impl Fanout {
    /// Dispatches the events of a batch of messages. Messages that cannot be read, and events that the queue permanently refuses, go to the
    /// dead-letter queue. Messages whose events cannot be queued now are reported individually for redelivery.
    pub async fn handle(&self, batch: SqsEvent) -> SqsBatchResponse {
        let messages = batch.records.len();
        let failed: Vec<String> = futures::stream::iter(batch.records)
            .map(|message| async move {
                // A panic fails its own message only.
                let processed = AssertUnwindSafe(self.process_message(&message))
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_| {
                        tracing::error!(message_id = message.message_id.as_deref(), "dispatching panicked");
                        false
                    });
                // SQS sets the id. Reporting an empty one fails the whole batch, which loses nothing.
                if processed { None } else { Some(message.message_id.unwrap_or_default()) }
            })
            .buffer_unordered(CONCURRENCY)
            .filter_map(|failed| async { failed })
            .collect()
            .await;
        tracing::debug!(messages, to_retry = failed.len(), "batch processed");
        metrics::flush();
        let mut response = SqsBatchResponse::default();
        response.set_failures(failed);
        response
    }

    /// Processes a message. Returns whether it is done; if not, it must be received again.
    async fn process_message(&self, message: &SqsMessage) -> bool {
        let (message_id, body) = (message.message_id.as_deref(), message.body.as_deref().unwrap_or_default());
        let events = match self.read(body) {
            Ok(events) => events,
            Err(error) => return self.send_to_dlq(message_id, body, &error.to_string()).await,
        };
        let accepted = self.accepted(message);
        let trace_id = accepted.trace.trace_id();
        match self.dispatcher.dispatch(&events, &accepted).await {
            Ok(deliveries) => {
                tracing::info!(
                    message_id,
                    trace.id = trace_id,
                    events = events.len(),
                    deliveries,
                    "events taken"
                );
                metrics::count(Metric::EventsAccepted, SOURCE, events.len());
                metrics::count(Metric::DeliveriesQueued, SOURCE, deliveries);
                true
            }
            Err(DispatchError::Refused(refused)) => {
                self.move_to_dlq(message_id, body, &events, &refused).await
            }
            Err(error) => {
                tracing::error!(message_id, trace.id = trace_id, %error, "events were not dispatched");
                false
            }
        }
    }

    /// Returns when a message was sent to the queue, and its trace. Reports how long the message waited.
    fn accepted(&self, message: &SqsMessage) -> Accepted {
        let now = (self.clock)();
        let mut accepted = Accepted::new(now, trace(message));
        if let Some(sent_at) = anzol_queue::sent_at(&message.attributes) {
            accepted.at = sent_at.min(now);
            let waited = Duration::try_from(now - sent_at).unwrap_or_default();
            metrics::time(Metric::QueueAge, SOURCE, waited);
        }
        accepted
    }

    /// Sends events that the queue permanently refused to the dead-letter queue. Returns whether all were sent.
    async fn move_to_dlq(
        &self,
        message_id: Option<&str>,
        body: &str,
        events: &[Event],
        refused: &BTreeMap<usize, String>,
    ) -> bool {
        for (index, code) in refused {
            let reason = format!("`[{index}]` cannot be queued: {code}");
            // Without the other events of the message, which a redrive must not send twice. The hybrid form loses nothing.
            let event = match (events, events.get(*index)) {
                ([_, _, ..], Some(event)) => Cow::Owned(event.payload(false)),
                _ => Cow::Borrowed(body),
            };
            if !self.send_to_dlq(message_id, &event, &reason).await {
                return false;
            }
        }
        true
    }

    /// Parses the events of a message. Each must name its tenant, and must not use reserved values.
    fn read(&self, body: &str) -> Result<Vec<Event>, Invalid> {
        let events = parse_one_or_many(body, (self.clock)(), self.largest_event)?;
        let mut problems = Problems::default();
        if events.iter().any(|event| event.tenant().is_none()) {
            problems.add("tenantid", Rule::Required);
        }
        for event in &events {
            problems.take(check_reserved(event, PublishedVia::Queue));
        }
        problems.finish(Some(events))
    }

    async fn send_to_dlq(&self, message_id: Option<&str>, body: &str, reason: &str) -> bool {
        tracing::error!(message_id, reason, "a message of the events queue cannot be used");
        let sent = self.dlq.send_to_dlq(body, reason).await;
        if let Err(error) = &sent {
            tracing::error!(message_id, %error, "failed to send a message to the dead-letter queue");
        }
        sent.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use anzol_queue::DeliveryQueues;
    use anzol_runtime::now;
    use anzol_store::{MatchRecords, Webhooks};

    use super::*;

    /// Returns the ids that a batch of unreadable messages reports while the dead-letter queue cannot be reached.
    async fn failures(ids: &[Option<&str>]) -> Vec<String> {
        // Without credentials, every call fails before it is sent.
        let mut aws = anzol_runtime::aws::config().unwrap().into_builder();
        aws.set_credentials_provider(None);
        let (aws, url) = (aws.build(), "http://127.0.0.1:9/queue");
        let queues = DeliveryQueues::new(&aws, url, url);
        let records = MatchRecords::new(&aws, "deliveries");
        let fanout = Fanout {
            dispatcher: Dispatcher::new(Webhooks::new(&aws, "webhooks"), queues, records, now),
            dlq: Queue::new(&aws, url),
            clock: now,
            largest_event: 1024,
        };
        let mut batch = SqsEvent::default();
        for id in ids {
            let mut message = SqsMessage::default();
            message.message_id = id.map(str::to_owned);
            message.body = Some("not JSON".to_owned());
            batch.records.push(message);
        }
        let failed = fanout.handle(batch).await.batch_item_failures;
        let mut failed: Vec<_> = failed.into_iter().map(|failure| failure.item_identifier).collect();
        failed.sort();
        failed
    }

    #[tokio::test]
    async fn failed_message_is_reported_by_its_id() {
        assert_eq!(failures(&[Some("b"), Some("a")]).await, ["a", "b"]);
    }

    /// Lambda retries the whole batch if an id is empty, so the message without an id is not lost.
    #[tokio::test]
    async fn failed_message_without_an_id_fails_the_batch() {
        assert_eq!(failures(&[Some("a"), None]).await, ["", "a"]);
    }
}
