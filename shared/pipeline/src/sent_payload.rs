//! The event of a delivery in the history.
//!
//! A row stores the body that was sent, not the event: with both it would not fit one write unit. Resends and recoveries read the event back
//! from that body, in whichever form the webhook had asked for.

use anzol_domain::{Delivery, Event};
use time::OffsetDateTime;

/// The body that a delivery sent.
#[derive(Debug, Clone, Copy)]
pub struct SentPayload<'a>(&'a Delivery);

impl<'a> SentPayload<'a> {
    /// The body of this delivery.
    #[must_use]
    pub fn of(delivery: &'a Delivery) -> Self {
        Self(delivery)
    }

    /// Reads the event back, as it was before it was sent: the body counts one hop more. Returns `None`, and logs why, when the body is not an
    /// event.
    #[must_use]
    pub fn event(self, now: OffsetDateTime) -> Option<Event> {
        let Self(Delivery { id, webhook_id, request, .. }) = self;
        let log = |error| {
            tracing::error!(%error, webhook.id = %webhook_id, delivery.id = %id, "a stored payload cannot be read");
        };
        Event::from_payload(&request.body, now).map_err(log).ok()
    }
}
