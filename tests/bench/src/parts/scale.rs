//! Growth: more webhooks for an event, more webhooks of a tenant, more tenants in one environment.

use anyhow::{Result, ensure};

use super::http::warm;
use super::sender::{round, send_all};
use super::{median, megabytes};
use crate::report::{Bar, Figure};
use crate::world::{EVENTS_A_CALL, Paths, World, http_call, some_events};

/// Deliveries in a round.
const ROUND: usize = 5_000;
const ROUNDS: usize = 3;
/// For a delivery, in terms of an event that one webhook hears.
const FLAT: f64 = 1.15;
const CALLS: usize = 1_000;
/// Tenants that one environment sees: those whose webhooks it can remember, and more than it can.
const SOME_TENANTS: usize = 10_000;
const TENANTS: usize = 30_000;
/// The bound of its cache, in MB: `CACHED` of `shared/pipeline/src/dispatch.rs`.
const CACHE: f64 = 33.6;

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let world = World::start(paths).await?;
    let (api, ingest, sender) =
        (world.local("api").await?, world.local("ingest").await?, world.local("sender").await?);
    let mut rounds = Vec::new();
    for webhooks in [1, 10, 100] {
        let tenant = format!("scale-{webhooks}");
        let paths: Vec<_> = (0..webhooks).map(|index| format!("/{tenant}-{index}")).collect();
        world.create_webhooks(&api, &tenant, &paths).await?;
        let messages = world.publish(&ingest, &tenant, ROUND / webhooks, EVENTS_A_CALL).await?;
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
            Some(first) => figure.floor(first.measured).bar(Bar::TimesFloor(FLAT)),
            None => figure,
        });
    }

    let publish = |tenant: &str| http_call(tenant, "POST", "/api/v1/events", Some(&some_events(tenant, 1)));
    let one = warm(&world, &ingest, CALLS, 202, || publish("scale-1")).await?;
    let hundred = warm(&world, &ingest, CALLS / 5, 202, || publish("scale-100")).await?;
    figures.push(Figure::new("ingest: a warm call, 1 webhook hears it, median", one.latency, "ms"));
    let figure = Figure::new("ingest: a warm call, 100 webhooks hear it, median", hundred.latency, "ms")
        .floor(one.latency);
    figures
        .push(figure.note(format!("{:.3} ms of CPU for each of the hundred messages", hundred.cpu / 100.0)));

    // Tenants seen by one environment one after the other; each has a webhook.
    let fresh = world.deployed("ingest").await?;
    let full = megabytes(fresh.ready.memory) + CACHE;
    for tenant in 1..=TENANTS {
        world.create_webhooks(&api, &format!("many-{tenant}"), &["/many".to_owned()]).await?;
        fresh.invoke(publish(&format!("many-{tenant}"))).await?;
        if tenant == SOME_TENANTS {
            let seen = std::cell::Cell::new(0);
            drop(world.cloud.take_meter());
            let again = warm(&world, &fresh, CALLS, 202, || {
                seen.set(seen.get() + 1);
                publish(&format!("many-{}", seen.get() * 7 % SOME_TENANTS + 1))
            });
            let again = again.await?;
            let queries = world.cloud.take_meter().dynamo_calls.remove("Query").unwrap_or_default();
            let name = format!("ingest: a warm call, {SOME_TENANTS} tenants in turns, median");
            figures.push(Figure::new(name, again.latency, "ms").floor(one.latency));
            let name = format!("ingest: lists read anew for {CALLS} of these calls");
            figures.push(Figure::new(name, crate::meter::approximate(queries), "").bar(Bar::AtMost(0.0)));
        }
        drop(world.cloud.take_messages());
    }
    let memory = megabytes(fresh.usage().memory()?);
    let figure = Figure::new(format!("ingest: memory after {TENANTS} tenants"), memory, "MB").floor(full);
    let note = format!("the least is what it has at the start, and {CACHE} MB, the bound of its cache");
    figures.push(figure.bar(Bar::TimesFloor(FLAT)).note(note));
    Ok(figures)
}
