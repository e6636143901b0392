//! Metrics: what is counted and measured, written as one line of `CloudWatch`'s embedded metric format an invocation and label.
//!
//! `CloudWatch` makes metrics of these lines by itself, so they cost no call. Each combination of name and label is a metric that is paid
//! for; labels are therefore from short lists, and never a tenant or a webhook. Those are in the log (see [`crate::telemetry`]).
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>)

use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::Unit;
use metrics_cloudwatch_embedded::{Builder, Collector};

use crate::config::optional;

/// Where `CloudWatch` files our metrics.
pub const NAMESPACE: &str = "Anzol";
/// The dimension that every metric has: the stack's name, by the variable `STACK_NAME`.
pub const STACK: &str = "Stack";

static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();

/// What is counted, or measured in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Events taken from producers.
    EventsAccepted,
    /// First attempts queued for them.
    DeliveriesQueued,
    /// Attempts that the receiver took.
    DeliveriesSucceeded,
    /// Attempts that failed.
    DeliveriesFailed,
    /// Messages that ask for nothing any more: the webhook is deleted or disabled, or it was sent before.
    DeliveriesSkipped,
    /// Further attempts queued.
    RetriesQueued,
    /// Webhooks moved to the slow lane.
    LaneMovesToSlow,
    /// Webhooks moved back to the fast lane.
    LaneMovesToFast,
    /// Webhooks disabled because their receivers fail.
    WebhooksDisabled,
    /// How long a message waited for us after it was due.
    QueueAge,
    /// How long a receiver took, from the look-up of its name to the last byte.
    AttemptLatency,
    /// How long an event took from its producer to a receiver that took it.
    EndToEndLatency,
}

impl Metric {
    /// All of them.
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

    /// Its name in `CloudWatch`.
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

    fn is_time(self) -> bool {
        matches!(self, Self::QueueAge | Self::AttemptLatency | Self::EndToEndLatency)
    }
}

/// The second dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Deliveries: the lane they waited in (`fast`, `slow`), or `direct` for those that somebody asked for.
    Lane(&'static str),
    /// Events: how they came (`http`, `queue`).
    Source(&'static str),
}

impl Label {
    fn pair(self) -> [(&'static str, &'static str); 1] {
        match self {
            Self::Lane(value) => [("Lane", value)],
            Self::Source(value) => [("Source", value)],
        }
    }
}

/// Sets metrics up for the process; before that, what is counted is forgotten. Called by [`crate::telemetry::init`].
pub(crate) fn init() {
    let stack = optional("STACK_NAME").unwrap_or_else(|| "anzol".to_owned());
    if let Err(error) = collect(Builder::new(), stack) {
        tracing::error!(%error, "there will be no metrics");
    }
}

fn collect(builder: Builder, stack: String) -> Result<(), metrics_cloudwatch_embedded::Error> {
    let collector = builder.cloudwatch_namespace(NAMESPACE).with_dimension(STACK, stack).init()?;
    COLLECTOR.set(collector).ok();
    for metric in Metric::ALL {
        let name = metric.name();
        if metric.is_time() {
            metrics::describe_histogram!(name, Unit::Milliseconds, "");
        } else {
            metrics::describe_counter!(name, Unit::Count, "");
        }
    }
    Ok(())
}

/// Adds to a count. Nothing is written for a count of 0.
pub fn count(metric: Metric, label: Label, amount: usize) {
    if amount > 0 {
        metrics::counter!(metric.name(), &label.pair()).increment(u64::try_from(amount).unwrap_or(u64::MAX));
    }
}

/// Notes how long something took. At most 100 a metric and label are kept between two calls of [`flush`], `CloudWatch`'s own bound.
pub fn time(metric: Metric, label: Label, took: Duration) {
    // To the millisecond: more digits are noise, and bytes to pay for.
    let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
    metrics::histogram!(metric.name(), &label.pair()).record(f64::from(millis));
}

/// Writes what came together since the last time, at the end of an invocation: after it, the process may be frozen.
pub fn flush() {
    let Some(collector) = COLLECTOR.get() else { return };
    let mut lines = Vec::new();
    // At once, so that no other line gets in between.
    let written = collector.flush(&mut lines).and_then(|()| std::io::stdout().lock().write_all(&lines));
    if let Err(error) = written {
        tracing::error!(%error, "metrics were not written");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_invocation_writes_one_line_a_label_in_cloudwatchs_form_and_then_begins_anew() {
        collect(Builder::new().with_timestamp(1), "s".to_owned()).unwrap();
        let lines = || {
            let mut text = Vec::new();
            COLLECTOR.get().unwrap().flush(&mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
        };
        count(Metric::DeliveriesSucceeded, Label::Lane("fast"), 9);
        count(Metric::DeliveriesFailed, Label::Lane("fast"), 0);
        for millis in [12, 87] {
            time(Metric::AttemptLatency, Label::Lane("fast"), Duration::from_micros(millis * 1000 + 7));
        }
        count(Metric::EventsAccepted, Label::Source("http"), 1);
        let line = |dimension: &str, metrics: Value| {
            json!({ "Timestamp": 1, "CloudWatchMetrics": [
                { "Namespace": "Anzol", "Dimensions": [["Stack", dimension]], "Metrics": metrics }] })
        };
        let latency = json!({ "Name": "AttemptLatency", "Unit": "Milliseconds" });
        let counted = |name: &str| json!({ "Name": name, "Unit": "Count" });
        assert_eq!(
            lines(),
            [
                json!({ "_aws": line("Lane", json!([latency, counted("DeliveriesSucceeded")])),
                    "Stack": "s", "Lane": "fast", "AttemptLatency": [12.0, 87.0], "DeliveriesSucceeded": 9 }),
                json!({ "_aws": line("Source", json!([counted("EventsAccepted")])),
                    "Stack": "s", "Source": "http", "EventsAccepted": 1 }),
            ]
        );
        assert!(lines().is_empty());
    }
}
