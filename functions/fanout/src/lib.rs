#![doc = include_str!("../README.md")]

use std::panic::AssertUnwindSafe;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::FutureExt as _;
use futures::stream::StreamExt as _;

use anzol_domain::Clock;
use anzol_domain::event::parse_one_or_many;
use anzol_pipeline::Dispatcher;
use anzol_queue::Queue;

/// Messages worked on at the same time.
const CONCURRENCY: usize = 10;

/// What fanout works with.
#[derive(Debug)]
pub struct Fanout {
    /// Finds and queues.
    pub dispatcher: Dispatcher,
    /// Where messages go that nobody can read.
    pub dead_letters: Queue,
    /// The time, for events that name none.
    pub clock: Clock,
}

impl Fanout {
    /// Dispatches the events of a batch of messages. A message that cannot be read is put with the dead letters; one whose events
    /// cannot be queued is reported alone, and comes back.
    pub async fn handle(&self, batch: SqsEvent) -> SqsBatchResponse {
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
        let mut response = SqsBatchResponse::default();
        response.set_failures(failed);
        response
    }

    async fn take(&self, message: &SqsMessage) -> bool {
        let (message_id, body) = (message.message_id.as_deref(), message.body.as_deref().unwrap_or_default());
        let events = match parse_one_or_many(body, (self.clock)()) {
            Ok(events) if events.iter().all(|event| event.tenant().is_some()) => events,
            Ok(_) => return self.bury(message_id, body, "`tenantid` is required").await,
            Err(error) => return self.bury(message_id, body, &error.to_string()).await,
        };
        match self.dispatcher.dispatch(&events).await {
            Ok(deliveries) => {
                tracing::debug!(message_id, events = events.len(), deliveries, "dispatched");
                true
            }
            Err(error) => {
                tracing::error!(message_id, %error, "events were not dispatched");
                false
            }
        }
    }

    async fn bury(&self, message_id: Option<&str>, body: &str, reason: &str) -> bool {
        tracing::error!(message_id, reason, "a message of the events queue cannot be read");
        let buried = self.dead_letters.bury(body, reason).await;
        if let Err(error) = &buried {
            tracing::error!(message_id, error, "it cannot be put with the dead letters either");
        }
        buried.is_ok()
    }
}
