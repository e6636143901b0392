//! Metrics: what is counted and measured, written as one line of `CloudWatch`'s embedded metric format an invocation and label.
//!
//! `CloudWatch` makes metrics of these lines by itself, so they cost no call. Each combination of name and label is a metric that is paid
//! for; labels are therefore from short lists, and never a tenant or a webhook. Those are in the log (see [`crate::telemetry`]).
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>)

use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use anzol_domain::metric::Meter;
pub use anzol_domain::metric::{Label, Metric};
use metrics::Unit;
use metrics_cloudwatch_embedded::{Builder, Collector};

use crate::config::optional;

/// Where `CloudWatch` files our metrics.
pub const NAMESPACE: &str = "Anzol";
/// The dimension that every metric has: the stack's name, by the variable `STACK_NAME`.
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
        metrics::counter!(metric.name(), &pair(label)).increment(u64::try_from(amount).unwrap_or(u64::MAX));
    }
}

/// Notes how long something took. At most 100 a metric and label are kept between two calls of [`flush`], `CloudWatch`'s own bound.
pub fn time(metric: Metric, label: Label, took: Duration) {
    // To the millisecond: more digits are noise, and bytes to pay for.
    let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
    metrics::histogram!(metric.name(), &pair(label)).record(f64::from(millis));
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
