//! The log line of an attempt.

use std::time::Duration;

use anzol_domain::delivery::NextAttempt;
use anzol_domain::{Delivery, DeliveryId, DeliveryTask, FailureKind, Lane, Status};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An attempt that was made, or skipped because its webhook is disabled.
#[derive(Debug)]
pub struct Attempt {
    /// The task.
    pub task: DeliveryTask,
    /// The history row.
    pub delivery: Delivery,
    /// The lane that the delivery waited in; `None` for a resend or test event, which does not wait.
    pub lane: Option<Lane>,
    /// When the attempt finished.
    pub ended_at: OffsetDateTime,
}

impl Attempt {
    /// Returns the time from the acceptance of the event to its successful delivery. Returns `None` if the attempt failed or the time of
    /// acceptance is unknown.
    #[must_use]
    pub fn end_to_end(&self) -> Option<Duration> {
        let arrived = self.delivery.status == Status::Success;
        let accepted_at = self.task.accepted_at.filter(|_| arrived)?;
        Some(Duration::try_from(self.ended_at - accepted_at).unwrap_or_default())
    }

    /// Returns the log line of the attempt, to be written after the attempt is recorded.
    #[must_use]
    pub fn report(&self) -> Report {
        let Self { task, delivery, lane, .. } = self;
        Report {
            tenant_id: task.tenant_id.to_string(),
            webhook_id: task.webhook_id.to_string(),
            delivery_id: task.delivery_id,
            event_id: task.event.id().to_owned(),
            event_type: task.event.event_type().to_owned(),
            trace_id: task.trace().trace_id().to_owned(),
            attempt: task.attempt,
            trigger: task.trigger.name(),
            lane: lane.map_or("direct", Lane::name),
            failure: delivery.failure,
            status_code: delivery.response.as_ref().map(|response| response.status_code),
            duration_ms: delivery.duration_ms,
            end_to_end: self.end_to_end(),
            next_attempt: delivery.next_attempt,
        }
    }
}

/// A log line: ids, numbers and names. Never a body, a header value or a URL.
#[derive(Debug)]
pub struct Report {
    tenant_id: String,
    webhook_id: String,
    pub(crate) delivery_id: DeliveryId,
    event_id: String,
    event_type: String,
    trace_id: String,
    attempt: u32,
    trigger: &'static str,
    lane: &'static str,
    failure: Option<FailureKind>,
    status_code: Option<u16>,
    duration_ms: u32,
    end_to_end: Option<Duration>,
    pub(crate) next_attempt: Option<NextAttempt>,
}

impl Report {
    /// Writes the line. `recorded` is whether the outcome and the next attempt are recorded; if not, the attempt is made again.
    pub fn log(&self, recorded: bool) {
        let next_attempt =
            self.next_attempt.filter(|_| recorded).and_then(|next| next.at.format(&Rfc3339).ok());
        tracing::info!(
            tenant.id = self.tenant_id,
            webhook.id = self.webhook_id,
            delivery.id = %self.delivery_id,
            event.id = self.event_id,
            event.type = self.event_type,
            trace.id = self.trace_id,
            attempt = self.attempt,
            trigger = self.trigger,
            lane = self.lane,
            outcome = self.failure.map_or("success", FailureKind::name),
            status_code = self.status_code,
            duration_ms = self.duration_ms,
            end_to_end_ms = self.end_to_end.map(milliseconds),
            next_attempt,
            recorded,
            "delivery attempt"
        );
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
