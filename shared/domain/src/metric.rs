//! The metrics: names, dimensions, and a way to report them that does not depend on their destination.

use std::time::Duration;

/// A count, or a time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Events accepted from producers.
    EventsAccepted,
    /// First attempts queued for events.
    DeliveriesQueued,
    /// Successful attempts.
    DeliveriesSucceeded,
    /// Failed attempts.
    DeliveriesFailed,
    /// Messages without an attempt: the webhook was deleted or disabled, or the delivery was sent before.
    DeliveriesSkipped,
    /// Retries queued.
    RetriesQueued,
    /// Webhooks moved to the slow lane.
    LaneMovesToSlow,
    /// Webhooks moved back to the fast lane.
    LaneMovesToFast,
    /// Webhooks that Anzol disabled.
    WebhooksDisabled,
    /// The time from when a message was due to its processing.
    QueueAge,
    /// The duration of an attempt, from the DNS lookup to the last byte.
    AttemptLatency,
    /// The time from when an event was accepted to its successful delivery.
    EndToEndLatency,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 12] = [
        Self::EventsAccepted,
        Self::DeliveriesQueued,
        Self::DeliveriesSucceeded,
        Self::DeliveriesFailed,
        Self::DeliveriesSkipped,
        Self::RetriesQueued,
        Self::LaneMovesToSlow,
        Self::LaneMovesToFast,
        Self::WebhooksDisabled,
        Self::QueueAge,
        Self::AttemptLatency,
        Self::EndToEndLatency,
    ];

    /// Returns the published name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EventsAccepted => "EventsAccepted",
            Self::DeliveriesQueued => "DeliveriesQueued",
            Self::DeliveriesSucceeded => "DeliveriesSucceeded",
            Self::DeliveriesFailed => "DeliveriesFailed",
            Self::DeliveriesSkipped => "DeliveriesSkipped",
            Self::RetriesQueued => "RetriesQueued",
            Self::LaneMovesToSlow => "LaneMovesToSlow",
            Self::LaneMovesToFast => "LaneMovesToFast",
            Self::WebhooksDisabled => "WebhooksDisabled",
            Self::QueueAge => "QueueAge",
            Self::AttemptLatency => "AttemptLatency",
            Self::EndToEndLatency => "EndToEndLatency",
        }
    }

    /// Returns whether the metric is a time.
    #[must_use]
    pub fn is_time(self) -> bool {
        matches!(self, Self::QueueAge | Self::AttemptLatency | Self::EndToEndLatency)
    }
}

/// The dimension of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Deliveries: the lane they waited in (`fast`, `slow`), or `direct` for those that a user asked for.
    Lane(&'static str),
    /// Events: how they were published (`http`, `queue`).
    Source(&'static str),
}

/// Reports metrics. Plain functions, like [`Clock`](crate::Clock), so that tests can pass their own.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    /// Adds to a count. Adding 0 reports nothing.
    pub count: fn(Metric, Label, usize),
    /// Reports one time.
    pub time: fn(Metric, Label, Duration),
}

impl Meter {
    /// Adds to a count.
    pub fn count(&self, metric: Metric, label: Label, amount: usize) {
        (self.count)(metric, label, amount);
    }

    /// Reports one time.
    pub fn time(&self, metric: Metric, label: Label, duration: Duration) {
        (self.time)(metric, label, duration);
    }
}
