#![doc = include_str!("../README.md")]

mod config;

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt as _;
use futures::stream::StreamExt as _;

use anzol_domain::error::Problems;
use anzol_domain::event::parse_one_or_many;
use anzol_domain::published::{Way, check_reserved};
use anzol_domain::trace::{TRACEPARENT, TRACESTATE};
use anzol_domain::{Clock, Event, Invalid, Rule, TraceContext};
use anzol_pipeline::{Accepted, DispatchError, Dispatcher};
use anzol_queue::Queue;
use anzol_runtime::metrics::{self, Label, Metric};

pub use config::Config;

/// Messages worked on at the same time.
const CONCURRENCY: usize = 10;

/// How events come here, in the metrics.
const SOURCE: Label = Label::Source("queue");

/// The trace of a message: its producer's (message attributes `traceparent` and `tracestate`), else the one of AWS X-Ray.
fn trace(message: &SqsMessage) -> Option<TraceContext> {
    let own = |name| message.message_attributes.get(name).and_then(|value| value.string_value.as_deref());
    let given = own(TRACEPARENT).and_then(|parent| TraceContext::parse(parent, own(TRACESTATE)));
    given.or_else(|| {
        message.attributes.get("AWSTraceHeader").and_then(|header| TraceContext::from_xray(header))
    })
}

/// What fanout works with.
#[derive(Debug)]
pub struct Fanout {
    /// Finds and queues.
    pub dispatcher: Dispatcher,
    /// Where messages go that nobody can read.
    pub dlq: Queue,
    /// The time, for events that name none.
    pub clock: Clock,
    /// Largest event taken, in bytes of minified JSON.
    pub largest_event: usize,
}

impl Fanout {
    /// Dispatches the events of a batch of messages. A message that cannot be read is put with the dead letters; one whose events
    /// cannot be queued is reported alone, and comes back.
    pub async fn handle(&self, batch: SqsEvent) -> SqsBatchResponse {
        let messages = batch.records.len();
        let failed: Vec<String> = futures::stream::iter(batch.records)
            .map(|message| async move {
                // What goes wrong with one message is its own affair.
                let taken = AssertUnwindSafe(self.take(&message)).catch_unwind().await.unwrap_or_else(|_| {
                    tracing::error!(message_id = message.message_id.as_deref(), "dispatching panicked");
                    false
                });
                if taken { None } else { message.message_id }
            })
            .buffer_unordered(CONCURRENCY)
            .filter_map(|failed| async { failed })
            .collect()
            .await;
        tracing::debug!(messages, failed = failed.len(), "a batch is done");
        metrics::flush();
        let mut response = SqsBatchResponse::default();
        response.set_failures(failed);
        response
    }

    async fn take(&self, message: &SqsMessage) -> bool {
        let (message_id, body) = (message.message_id.as_deref(), message.body.as_deref().unwrap_or_default());
        let events = match self.read(body) {
            Ok(events) => events,
            Err(error) => return self.send_to_dlq(message_id, body, &error.to_string()).await,
        };
        let now = (self.clock)();
        let mut arrival = Accepted::new(now, trace(message));
        if let Some(sent_at) = anzol_queue::sent_at(&message.attributes) {
            arrival.at = sent_at.min(now);
            let waited = Duration::try_from(now - sent_at).unwrap_or_default();
            metrics::time(Metric::QueueAge, SOURCE, waited);
        }
        let trace_id = arrival.trace.trace_id();
        match self.dispatcher.dispatch(&events, &arrival).await {
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
                for (place, code) in &refused {
                    let reason = format!("`[{place}]` cannot be queued: {code}");
                    // Alone: whoever puts the dead letter back does not want the others sent twice. In the form that says all of it.
                    let alone = match (events.as_slice(), events.get(*place)) {
                        ([_, _, ..], Some(event)) => Cow::Owned(event.payload(false)),
                        _ => Cow::Borrowed(body),
                    };
                    if !self.send_to_dlq(message_id, &alone, &reason).await {
                        return false;
                    }
                }
                true
            }
            Err(error) => {
                tracing::error!(message_id, trace.id = trace_id, %error, "events were not dispatched");
                false
            }
        }
    }

    /// Events that each name their tenant and nothing that is only ours to say.
    fn read(&self, body: &str) -> Result<Vec<Event>, Invalid> {
        let events = parse_one_or_many(body, (self.clock)(), self.largest_event)?;
        let mut problems = Problems::default();
        if events.iter().any(|event| event.tenant().is_none()) {
            problems.add("tenantid", Rule::Required);
        }
        for event in &events {
            problems.take(check_reserved(event, Way::Queue));
        }
        problems.finish(Some(events))
    }

    async fn send_to_dlq(&self, message_id: Option<&str>, body: &str, reason: &str) -> bool {
        tracing::error!(message_id, reason, "a message of the events queue cannot be used");
        let buried = self.dlq.send_to_dlq(body, reason).await;
        if let Err(error) = &buried {
            tracing::error!(message_id, error, "it cannot be put with the dead letters either");
        }
        buried.is_ok()
    }
}
