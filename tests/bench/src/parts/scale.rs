//! Growth: of the cost of a delivery with the number of webhooks, and of latency and memory with the number of tenants.

use anyhow::{Result, ensure};

use super::http::warm;
use super::sender::{round, send_all};
use super::{median, megabytes};
use crate::context::{BenchContext, EVENTS_A_CALL, Paths, http_call, some_events};
use crate::report::{Figure, Threshold};

/// Number of deliveries in a round.
const ROUND: usize = 5_000;
const ROUNDS: usize = 3;
/// Threshold for a delivery, relative to events with one matching webhook.
const FLAT: f64 = 1.15;
const CALLS: usize = 1_000;
/// Numbers of tenants in one environment: as many as its cache can hold, and more.
const SOME_TENANTS: usize = 10_000;
const TENANTS: usize = 30_000;
/// The maximum size of the cache, in MB: `CACHED` of `shared/pipeline/src/dispatch.rs`.
const CACHE: f64 = 33.6;

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let context = BenchContext::start(paths).await?;
    let (api, ingest, sender) =
        (context.local("api").await?, context.local("ingest").await?, context.local("sender").await?);
    let mut rounds = Vec::new();
    for webhooks in [1, 10, 100] {
        let tenant = format!("scale-{webhooks}");
        let paths: Vec<_> = (0..webhooks).map(|index| format!("/{tenant}-{index}")).collect();
        context.create_webhooks(&api, &tenant, &paths).await?;
        let messages = context.publish(&ingest, &tenant, ROUND / webhooks, EVENTS_A_CALL).await?;
        ensure!(messages.len() == ROUND, "{} messages", messages.len());
        send_all(&sender, messages.get(..ROUND / 5).unwrap_or(&messages)).await?;
        rounds.push((webhooks, messages, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (_, messages, cpu) in &mut rounds {
            cpu.push(round(&sender, messages).await?.0);
        }
    }
    let mut figures: Vec<Figure> = Vec::new();
    for (webhooks, _, cpu) in rounds {
        let figure = Figure::new(
            format!("sender CPU for a delivery, {webhooks} webhook(s) an event"),
            median(cpu)?,
            "ms",
        );
        figures.push(match figures.first() {
            Some(first) => figure.baseline(first.measured).threshold(Threshold::TimesBaseline(FLAT)),
            None => figure,
        });
    }

    let publish = |tenant: &str| http_call(tenant, "POST", "/api/v1/events", Some(&some_events(tenant, 1)));
    let one = warm(&context, &ingest, CALLS, 202, || publish("scale-1")).await?;
    let hundred = warm(&context, &ingest, CALLS / 5, 202, || publish("scale-100")).await?;
    figures.push(Figure::new("ingest: a warm call, 1 matching webhook, median", one.latency, "ms"));
    let figure = Figure::new("ingest: a warm call, 100 matching webhooks, median", hundred.latency, "ms")
        .baseline(one.latency);
    figures.push(figure.note(format!("{:.3} ms of CPU for each of the 100 messages", hundred.cpu / 100.0)));

    // Each tenant has one webhook.
    let fresh = context.deployed("ingest").await?;
    let full = megabytes(fresh.ready.memory) + CACHE;
    for tenant in 1..=TENANTS {
        context.create_webhooks(&api, &format!("many-{tenant}"), &["/many".to_owned()]).await?;
        fresh.invoke(publish(&format!("many-{tenant}"))).await?;
        if tenant == SOME_TENANTS {
            let seen = std::cell::Cell::new(0);
            drop(context.aws.take_meter());
            let again = warm(&context, &fresh, CALLS, 202, || {
                seen.set(seen.get() + 1);
                publish(&format!("many-{}", seen.get() * 7 % SOME_TENANTS + 1))
            });
            let again = again.await?;
            let queries = context.aws.take_meter().dynamo_calls.remove("Query").unwrap_or_default();
            let name = format!("ingest: a warm call, {SOME_TENANTS} tenants in turns, median");
            figures.push(Figure::new(name, again.latency, "ms").baseline(one.latency));
            let name = format!("ingest: lists read again in {CALLS} of these calls");
            figures.push(
                Figure::new(name, crate::meter::approximate(queries), "").threshold(Threshold::AtMost(0.0)),
            );
        }
        drop(context.aws.take_messages());
    }
    let memory = megabytes(fresh.usage().memory()?);
    let figure = Figure::new(format!("ingest: memory after {TENANTS} tenants"), memory, "MB").baseline(full);
    let note = format!("the baseline is its memory at the start plus {CACHE} MB, the maximum of its cache");
    figures.push(figure.threshold(Threshold::TimesBaseline(FLAT)).note(note));
    Ok(figures)
}
