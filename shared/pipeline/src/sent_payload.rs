//! Restores the event of a delivery from the history.
//!
//! A row stores the body that was sent, not the event, because a row with both would not fit into one write unit. Resends and recoveries
//! parse the event from the body, in either form.

use anzol_domain::{Delivery, Event};
use time::OffsetDateTime;

/// The body that a delivery sent.
#[derive(Debug, Clone, Copy)]
pub struct SentPayload<'a>(&'a Delivery);

impl<'a> SentPayload<'a> {
    /// Returns the body of this delivery.
    #[must_use]
    pub fn of(delivery: &'a Delivery) -> Self {
        Self(delivery)
    }

    /// Parses the event as it was before it was sent: the body counts one more hop. If the body is not an event, logs the error and returns
    /// `None`.
    #[must_use]
    pub fn event(self, now: OffsetDateTime) -> Option<Event> {
        let Self(Delivery { id, webhook_id, request, .. }) = self;
        let log = |error| {
            tracing::error!(%error, webhook.id = %webhook_id, delivery.id = %id, "a stored payload cannot be read");
        };
        Event::from_payload(&request.body, now).map_err(log).ok()
    }
}
