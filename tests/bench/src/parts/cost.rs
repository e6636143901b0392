//! Billable calls, counted at the wire, and what a million deliveries come to by them.
//!
//! What the functions call is counted; what AWS does around them (the gateway's calls, receives and deletes of the mapping, the
//! invocations themselves) is added for each call that the bench makes in its place.

use anyhow::{Result, ensure};
use anzol_tests::receiver::Behavior;

use super::count;
use super::sender::send_all;
use crate::cloud::{FAST_ARN, SLOW_ARN};
use crate::lambda::Function;
use crate::meter::{Meter, approximate};
use crate::prices;
use crate::report::{Bar, Figure};
use crate::world::{BATCH, Paths, World, batch, send};

/// Deliveries counted.
const DELIVERIES: usize = 1_000;
/// Dollars for a million.
const SINGLE: f64 = 2.75;
const TEN: f64 = 1.10;
const DELIVERY: f64 = 0.85;
const FAILED: f64 = 1.60;

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let counted = count_all(paths).await?;
    let mut figures = vec![
        figure("one event a call, one webhook", &sum(&counted.single, &counted.delivery), SINGLE, 2.511),
        figure("ten events a call, one webhook", &sum(&counted.ten, &counted.delivery), TEN, 0.974),
        figure("the delivery alone, after the queue", &counted.delivery, DELIVERY, 0.802),
        figure("a failed attempt more, with its retry's enqueue", &counted.failed, FAILED, 1.103),
    ];
    let different = figure("the delivery alone, ten tenants in a batch", &counted.different, DELIVERY, 0.802);
    figures.push(Figure { bars: Vec::new(), ..different });
    for (name, meter) in [
        ("one event a call, one webhook", &sum(&counted.single, &counted.delivery)),
        ("ten events a call, one webhook", &sum(&counted.ten, &counted.delivery)),
        ("the delivery alone, after the queue", &counted.delivery),
    ] {
        let bytes = approximate(meter.log_bytes) / count(DELIVERIES);
        let logs = Figure::new(format!("logs of {name}"), bytes * prices::LOGGED_GB / 1e3, "$/million");
        figures
            .push(logs.note(format!("{bytes:.0} bytes at info, metrics included; not in the bills above")));
    }
    Ok(figures)
}

/// The calls alone, as a budget that holds whatever they are priced at: what is called today, and a little for what is done once an hour.
pub(super) async fn measure_calls(paths: &Paths) -> Result<Vec<Figure>> {
    let counted = count_all(paths).await?;
    let mut figures = Vec::new();
    let of = sum(&counted.single, &counted.delivery);
    for (name, measured, most) in [
        ("SQS requests for 1,000 deliveries", approximate(of.queue_requests), 1_200.0),
        ("write units for 1,000 deliveries", of.write_units, 1_005.0),
        ("read units for 1,000 deliveries", of.read_units, 1_200.0),
        ("KMS requests for 1,000 deliveries", approximate(of.key_calls), 1.0),
        ("schedules for 1,000 deliveries", approximate(of.schedules), 0.0),
        ("invocations for 1,000 deliveries", approximate(of.invocations), 1_100.0),
        ("SQS requests for 1,000 failures", approximate(counted.failed.queue_requests), 300.0),
        ("write units for 1,000 failures", counted.failed.write_units, 2_100.0),
    ] {
        figures.push(Figure::new(name, measured, "").bar(Bar::AtMost(most)));
    }
    Ok(figures)
}

/// What was counted, each for [`DELIVERIES`].
pub(crate) struct Counted {
    /// Taking single events.
    pub(crate) single: Meter,
    /// Taking events, ten in a call.
    pub(crate) ten: Meter,
    /// Delivering to one webhook.
    pub(crate) delivery: Meter,
    /// Delivering to ten webhooks of as many tenants in each batch.
    pub(crate) different: Meter,
    /// Failing, from the slow lane.
    pub(crate) failed: Meter,
}

/// Counts all.
pub(crate) async fn count_all(paths: &Paths) -> Result<Counted> {
    let world = World::start(paths).await?;
    let (api, ingest, sender) =
        (world.local("api").await?, world.local("ingest").await?, world.local("sender").await?);
    world.create_webhooks(&api, "cost", &["/cost".to_owned()]).await?;
    // What is done once in an hour, a minute or an environment's life is done before.
    let first = world.publish(&ingest, "cost", BATCH, BATCH).await?;
    send_all(&sender, &first).await?;

    let (single, messages) = taken(&world, &ingest, 1, prices::INGEST_MS).await?;
    let (ten, _) = taken(&world, &ingest, 10, prices::INGEST_BATCH_MS).await?;
    let delivery = delivered(&world, &sender, FAST_ARN, &messages).await?;

    let mut different = Vec::new();
    for tenant in 0..BATCH {
        let name = format!("cost-{tenant}");
        world.create_webhooks(&api, &name, &["/cost".to_owned()]).await?;
        different.push(world.publish(&ingest, &name, DELIVERIES / BATCH, 1).await?);
    }
    let different: Vec<_> = (0..DELIVERIES / BATCH)
        .flat_map(|index| different.iter().filter_map(move |of| of.get(index).cloned()))
        .collect();
    let different = delivered(&world, &sender, FAST_ARN, &different).await?;

    // The first failures move the webhook to the slow lane and begin the run of failures; then it is as it stays.
    world.behave("/cost", Behavior { status: 500, ..Behavior::default() }).await?;
    let failing = world.publish(&ingest, "cost", DELIVERIES + BATCH, 10).await?;
    let (before, after) = failing.split_at(BATCH);
    send(&sender, batch(SLOW_ARN, before)).await?;
    let failed = delivered(&world, &sender, SLOW_ARN, after).await?;
    Ok(Counted { single, ten, delivery, different, failed })
}

/// Takes events, so many in a call.
async fn taken(
    world: &World,
    ingest: &Function,
    a_call: usize,
    milliseconds: f64,
) -> Result<(Meter, Vec<String>)> {
    drop(world.cloud.take_meter());
    let logged = world.logged("ingest")?;
    let messages = world.publish(ingest, "cost", DELIVERIES, a_call).await?;
    ensure!(messages.len() == DELIVERIES, "{} messages", messages.len());
    let mut meter = world.cloud.take_meter();
    meter.log_bytes = world.logged("ingest")? - logged;
    for _ in 0..DELIVERIES / a_call {
        meter.http_calls += 1;
        meter.invoke(milliseconds);
    }
    Ok((meter, messages))
}

/// Delivers messages, ten in a batch.
async fn delivered(world: &World, sender: &Function, queue_arn: &str, messages: &[String]) -> Result<Meter> {
    drop(world.cloud.take_meter());
    let logged = world.logged("sender")?;
    for bodies in messages.chunks(BATCH) {
        send(sender, batch(queue_arn, bodies)).await?;
    }
    let mut meter = world.cloud.take_meter();
    meter.log_bytes = world.logged("sender")? - logged;
    for bodies in messages.chunks(BATCH) {
        meter.poll(bodies.iter().map(String::len).sum());
        meter.invoke(prices::SENDER_MS);
    }
    Ok(meter)
}

/// Both halves of the way.
fn sum(one: &Meter, other: &Meter) -> Meter {
    let mut calls = one.dynamo_calls.clone();
    for (name, number) in &other.dynamo_calls {
        *calls.entry(name.clone()).or_default() += number;
    }
    Meter {
        queue_requests: one.queue_requests + other.queue_requests,
        fair_requests: one.fair_requests + other.fair_requests,
        write_units: one.write_units + other.write_units,
        read_units: one.read_units + other.read_units,
        dynamo_calls: calls,
        key_calls: one.key_calls + other.key_calls,
        schedules: one.schedules + other.schedules,
        invocations: one.invocations + other.invocations,
        gb_seconds: one.gb_seconds + other.gb_seconds,
        http_calls: one.http_calls + other.http_calls,
        history_bytes: one.history_bytes + other.history_bytes,
        log_bytes: one.log_bytes + other.log_bytes,
    }
}

fn figure(name: &str, meter: &Meter, most: f64, floor: f64) -> Figure {
    let bill = meter.bill().into_iter().filter(|(_, dollars)| *dollars > 0.0);
    let bill: Vec<_> =
        bill.map(|(item, dollars)| format!("{item} {:.3}", dollars / count(DELIVERIES) * 1e6)).collect();
    let units = format!(
        "{} SQS requests, {} WRU, {} RRU, {} KMS, {} schedules, {} invocations for {DELIVERIES}",
        meter.queue_requests,
        meter.write_units,
        meter.read_units,
        meter.key_calls,
        meter.schedules,
        meter.invocations
    );
    Figure::new(name, meter.per_million(DELIVERIES), "$/million")
        .floor(floor)
        .bar(Bar::AtMost(most))
        .note(format!("{}; {units}", bill.join(", ")))
}
