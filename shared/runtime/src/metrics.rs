//! Writes metrics, counts and durations, as one line of `CloudWatch`'s embedded metric format for each invocation and label.
//!
//! `CloudWatch` extracts metrics from these lines, so they need no call. Each combination of name and label is a billed metric, so labels
//! come from short lists and never name a tenant or a webhook. The log contains those (see [`crate::telemetry`]).
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>)

use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use anzol_domain::metric::Meter;
pub use anzol_domain::metric::{Label, Metric};
use metrics::Unit;
use metrics_cloudwatch_embedded::{Builder, Collector};

use crate::config::optional;

/// The `CloudWatch` namespace of the metrics.
pub const NAMESPACE: &str = "Anzol";
/// The dimension of every metric: the stack's name, from the variable `STACK_NAME`.
pub const STACK: &str = "Stack";

static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();

/// Reports to the collector of this process.
pub const METER: Meter = Meter { count, time };

fn pair(label: Label) -> [(&'static str, &'static str); 1] {
    match label {
        Label::Lane(value) => [("Lane", value)],
        Label::Source(value) => [("Source", value)],
    }
}

/// Sets up metrics for the process. Earlier counts are lost. Called by [`crate::telemetry::init`].
pub(crate) fn init() {
    let stack = optional("STACK_NAME").unwrap_or_else(|| "anzol".to_owned());
    if let Err(error) = collect(Builder::new(), stack) {
        tracing::error!(%error, "failed to set up metrics");
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

/// Adds to a count. An amount of 0 writes no metric.
pub fn count(metric: Metric, label: Label, amount: usize) {
    if amount > 0 {
        metrics::counter!(metric.name(), &pair(label)).increment(u64::try_from(amount).unwrap_or(u64::MAX));
    }
}

/// Records a duration. Between two calls of [`flush`], at most 100 durations are kept for each metric and label, the limit of `CloudWatch`.
pub fn time(metric: Metric, label: Label, took: Duration) {
    // Rounded to milliseconds: more digits add cost, but no information.
    let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
    metrics::histogram!(metric.name(), &pair(label)).record(f64::from(millis));
}

/// Writes all metrics since the last call. Must be called at the end of an invocation, because the process may be frozen afterwards.
pub fn flush() {
    let Some(collector) = COLLECTOR.get() else { return };
    let mut lines = Vec::new();
    // A single write, so that no other line interrupts the metrics.
    let written = collector.flush(&mut lines).and_then(|()| std::io::stdout().lock().write_all(&lines));
    if let Err(error) = written {
        tracing::error!(%error, "failed to write metrics");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn flush_writes_one_line_per_label_and_resets() {
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
