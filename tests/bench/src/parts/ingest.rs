//! Ingest: CPU for an event, compared with a function that only answers, and the latency of warm calls.

use anyhow::{Result, ensure};

use super::count;
use super::http::{Warm, warm};
use crate::context::{BenchContext, EVENTS_A_CALL, Paths, http_call, some_events};
use crate::report::{Figure, Threshold};

const CALLS: usize = 3_000;
const BATCHES: usize = 150;
/// Threshold for a single event, relative to a function that only answers.
const MOST_TIMES: f64 = 4.0;
/// Threshold for an event of a batch of 100, in milliseconds.
const MOST_MS: f64 = 0.1;

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let context = BenchContext::start(paths).await?;
    let (api, ingest) = (context.local("api").await?, context.deployed("ingest").await?);
    let (hello, sdk) = (context.baseline("hello-http").await?, context.baseline("hello-aws").await?);
    context.create_webhooks(&api, "ingest", &["/ingest".to_owned()]).await?;
    let path = "/api/v1/events";
    let single = || http_call("ingest", "POST", path, Some(&some_events("ingest", 1)));
    let many = || http_call("ingest", "POST", path, Some(&some_events("ingest", EVENTS_A_CALL)));
    let baseline = warm(&context, &hello, CALLS, 202, single).await?;
    let sdk = warm(&context, &sdk, CALLS, 202, single).await?;
    drop(context.aws.take_messages());
    let Warm { cpu, latency, p99 } = warm(&context, &ingest, CALLS, 202, single).await?;
    ensure!(context.aws.take_messages().len() >= CALLS, "an event without a message");
    let batches = warm(&context, &ingest, BATCHES, 202, many).await?;
    let per_event = batches.cpu / count(EVENTS_A_CALL);
    Ok(vec![
        Figure::new("CPU for a single event", cpu, "ms")
            .baseline(baseline.cpu)
            .threshold(Threshold::TimesBaseline(MOST_TIMES))
            .note(format!(
                "of which two calls to AWS with the plain SDK take {:.2} ms",
                sdk.cpu - baseline.cpu
            )),
        Figure::new("CPU for an event, 100 in a call", per_event, "ms")
            .baseline(baseline.cpu)
            .threshold(Threshold::AtMost(MOST_MS)),
        Figure::new("a warm call with one event, median", latency, "ms")
            .baseline(baseline.latency)
            .note(format!("p99 {p99:.2} ms; without the emulator's time")),
        Figure::new("a warm call with 100 events, median", batches.latency, "ms").baseline(baseline.latency),
    ])
}
