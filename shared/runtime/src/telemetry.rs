//! Logging: one JSON object per line on standard output, which Lambda passes to `CloudWatch` unchanged.
//!
//! A line has `level`, `message`, `span.requestId` (the invocation), and those of the fields below that apply. Bodies, header values, URL
//! queries, tokens and secrets are never logged, at any level.
//!
//! | field | meaning |
//! |---|---|
//! | `tenant.id`, `webhook.id`, `recovery.id` | the tenant, webhook, recovery |
//! | `event.id`, `event.type` | the producer's id of the event, and the event type |
//! | `delivery.id` | the attempt, as in the history; its second half is the span in the receiver's `traceparent` |
//! | `trace.id` | the W3C trace of the event, from the producer's request to the receiver's |
//! | `attempt`, `trigger`, `lane` | the number of the attempt, from 1; `event`, `retry`, `resend`, `recover`, `test`; `fast`, `slow`, `direct` |
//! | `outcome` | `success`, or the `failure` of the history |
//! | `status_code`, `duration_ms`, `end_to_end_ms` | the response status; the duration of the attempt; the time since the event was accepted |
//! | `next_attempt` | when the next attempt is due, if any |
//! | `recorded` | `false` if the history row could not be written, so that the attempt is repeated |
//! | `error`, `problem`, `reason` | the cause of a failure |
//! | `what`, `took_us` | the warm-up in a cold start, and its duration in microseconds |
//!
//! Every attempt writes a line with the message `delivery attempt`. Every dispatched request of ingest and message of fanout writes one
//! with `events taken`.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::optional;

/// Sets up logging and metrics for the process. `RUST_LOG`, or else `AWS_LAMBDA_LOG_LEVEL`, is the log level of Anzol's crates; the default is
/// `info`. Other crates log at most warnings and errors, because below that level the AWS SDK logs requests and responses, and the Lambda
/// runtime logs events.
pub fn init() {
    // RUST_LOG takes precedence, because the template's LogLevel sets it; Lambda itself sets the other variable.
    let level = optional("RUST_LOG").or_else(|| optional("AWS_LAMBDA_LOG_LEVEL"));
    let level = level.and_then(|text| text.parse().ok()).unwrap_or(Level::INFO);
    subscriber(level, std::io::stdout).init();
    crate::metrics::init();
}

/// Returns the subscriber of [`init`] with another writer, for tests.
pub fn subscriber<W>(level: Level, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Lines have no time, because CloudWatch records it.
    let lines = fmt::layer().json().flatten_event(true).without_time().with_target(false);
    let lines = lines.with_current_span(true).with_span_list(false).with_writer(writer);
    tracing_subscriber::registry().with(filter(level)).with(lines)
}

fn filter(level: Level) -> Targets {
    let ours = LevelFilter::from_level(level);
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        // The runtime's span contains the request id.
        .with_target("lambda_runtime::layers", LevelFilter::INFO)
        .with_target("anzol", ours)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn other_crates_log_warnings_at_most() {
        let all = filter(Level::TRACE);
        assert!(all.would_enable("anzol_sender::burst", &Level::TRACE));
        for other in ["aws_smithy_runtime::client::http", "lambda_runtime", "hyper::proto", "reqwest"] {
            assert!(
                all.would_enable(other, &Level::WARN) && !all.would_enable(other, &Level::INFO),
                "{other}"
            );
        }
        assert!(!all.would_enable("lambda_runtime::layers::trace", &Level::DEBUG), "it logs the events");
        let few = filter(Level::ERROR);
        assert!(few.would_enable("hyper", &Level::ERROR) && !few.would_enable("hyper", &Level::WARN));
        assert!(few.would_enable("anzol_api", &Level::ERROR) && !few.would_enable("anzol_api", &Level::WARN));
    }

    #[test]
    fn lines_are_flat_json_objects() {
        let written = Written::default();
        let writer = written.clone();
        tracing::subscriber::with_default(subscriber(Level::DEBUG, move || writer.clone()), || {
            let span =
                tracing::info_span!(target: "lambda_runtime::layers::trace", "invoke", requestId = "r1");
            let _entered = span.enter();
            tracing::debug!(target: "anzol_sender", attempt = 2, tenant.id = "acme", "delivery attempt");
            tracing::trace!(target: "anzol_sender", "too much");
            tracing::info!(target: "aws_smithy_http", "the body of a request");
            tracing::warn!(target: "aws_smithy_http", "a warning");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let span = json!({ "name": "invoke", "requestId": "r1" });
        assert_eq!(
            lines,
            [
                json!({ "level": "DEBUG", "tenant.id": "acme", "attempt": 2, "message": "delivery attempt", "span": span }),
                json!({ "level": "WARN", "message": "a warning", "span": span }),
            ]
        );
    }
}
