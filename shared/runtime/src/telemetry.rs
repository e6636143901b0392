//! Logging: one JSON object a line on standard output, which Lambda takes over as it is.
//!
//! A line has `level`, `message`, the fields below where they apply, and `span.requestId`, the invocation it belongs to. Bodies, values of
//! headers, queries of URLs, tokens and secrets are never logged, at any level.
//!
//! | field | what it is |
//! |---|---|
//! | `tenant.id`, `webhook.id`, `recovery.id` | whose |
//! | `event.id`, `event.type` | the producer's id of the event, and its type |
//! | `delivery.id` | the attempt, as in the history; the span in the receiver's `traceparent` is its second half |
//! | `trace.id` | the trace of the event (W3C), the same from the producer's request to the receiver's |
//! | `attempt`, `trigger`, `lane` | 1 for the first; `event`, `retry`, `resend`, `recover`, `test`; `fast`, `slow`, `direct` |
//! | `outcome` | `success`, or why not: the history's `failure` |
//! | `status_code`, `duration_ms`, `end_to_end_ms` | the receiver's answer; how long that took, and how long since the event was accepted |
//! | `next_attempt` | when the next attempt is due, if there is one |
//! | `recorded` | `false` when the outcome could not be written down, so that the attempt will be made again |
//! | `error`, `problem`, `reason` | what went wrong |
//! | `what`, `took_us` | what was warmed up in a cold start, and how long that took |
//!
//! Every attempt is one line with the message `delivery attempt`; every call of ingest, and every batch of fanout, is one with `events taken`.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::optional;

/// Sets up logging and metrics for the process. `RUST_LOG`, or else `AWS_LAMBDA_LOG_LEVEL`, is the least severe level of our own that is
/// written (`info` when there is neither). Of others, warnings and errors at most are: below that the AWS SDK prints requests and
/// answers, and the Lambda runtime the events it gets.
pub fn init() {
    // RUST_LOG first: it is what the template's LogLevel sets, and Lambda sets the other by itself.
    let level = optional("RUST_LOG").or_else(|| optional("AWS_LAMBDA_LOG_LEVEL"));
    let level = level.and_then(|text| text.parse().ok()).unwrap_or(Level::INFO);
    subscriber(level, std::io::stdout).init();
    crate::metrics::init();
}

/// What [`init`] sets up, writing elsewhere: for tests that read what is logged.
pub fn subscriber<W>(level: Level, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // CloudWatch keeps the time of each line.
    let lines = fmt::layer().json().flatten_event(true).without_time().with_target(false);
    let lines = lines.with_current_span(true).with_span_list(false).with_writer(writer);
    tracing_subscriber::registry().with(filter(level)).with(lines)
}

fn filter(level: Level) -> Targets {
    let ours = LevelFilter::from_level(level);
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        // The runtime's span with the id of the invocation.
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
    fn only_our_own_lines_are_ever_more_than_warnings() {
        let all = filter(Level::TRACE);
        assert!(all.would_enable("anzol_sender::burst", &Level::TRACE));
        for other in ["aws_smithy_runtime::client::http", "lambda_runtime", "hyper::proto", "reqwest"] {
            assert!(
                all.would_enable(other, &Level::WARN) && !all.would_enable(other, &Level::INFO),
                "{other}"
            );
        }
        assert!(!all.would_enable("lambda_runtime::layers::trace", &Level::DEBUG), "it prints the events");
        let few = filter(Level::ERROR);
        assert!(few.would_enable("hyper", &Level::ERROR) && !few.would_enable("hyper", &Level::WARN));
        assert!(few.would_enable("anzol_api", &Level::ERROR) && !few.would_enable("anzol_api", &Level::WARN));
    }

    #[test]
    fn lines_are_flat_objects_and_strangers_are_quiet() {
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
