#![doc = include_str!("../README.md")]

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::stream::StreamExt as _;

use anzol_domain::event::parse_one_or_many;
use anzol_domain::{Clock, Event};
use anzol_pipeline::Dispatcher;

/// Messages worked on at the same time.
const CONCURRENCY: usize = 10;

/// Dispatches the events of a batch of messages. Messages that cannot be taken are reported one by one: they come back, and
/// end in the dead-letter queue when that does not help.
pub async fn handle(dispatcher: &Dispatcher, batch: SqsEvent, clock: Clock) -> SqsBatchResponse {
    let failed: Vec<String> = futures::stream::iter(batch.records)
        .map(|message| async move {
            if take(dispatcher, &message, clock).await { None } else { message.message_id }
        })
        .buffer_unordered(CONCURRENCY)
        .filter_map(|failed| async { failed })
        .collect()
        .await;
    let mut response = SqsBatchResponse::default();
    response.set_failures(failed);
    response
}

async fn take(dispatcher: &Dispatcher, message: &SqsMessage, clock: Clock) -> bool {
    let message_id = message.message_id.as_deref();
    let events = match parse_one_or_many(message.body.as_deref().unwrap_or_default(), clock()) {
        Ok(events) => events,
        Err(error) => {
            tracing::error!(message_id, %error, "a message of the events queue cannot be read");
            return false;
        }
    };
    if events.iter().map(Event::tenant).any(|tenant| tenant.is_none()) {
        tracing::error!(message_id, "a message of the events queue names no tenantid");
        return false;
    }
    match dispatcher.dispatch(&events).await {
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
