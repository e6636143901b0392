//! Billable calls, counted at the wire, and the cost of a million deliveries.
//!
//! The functions' calls are counted. The requests of AWS itself (API Gateway, receives and deletes of the event source mapping,
//! invocations) are added for each call that this program makes in its place.

use anyhow::{Result, ensure};
use anzol_tests::receiver::Behavior;

use super::count;
use super::sender::send_all;
use crate::context::{BATCH, BenchContext, Paths, batch, send};
use crate::emulated_aws::{FAST_ARN, SLOW_ARN};
use crate::lambda::Function;
use crate::meter::{Meter, approximate};
use crate::prices;
use crate::report::{Figure, Threshold};

/// Counted deliveries.
const DELIVERIES: usize = 1_000;
/// Thresholds in dollars for a million.
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
    figures.push(Figure { thresholds: Vec::new(), ..different });
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

/// Measures only the calls, as budgets that do not depend on prices: the current numbers, and a margin for hourly calls.
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
        figures.push(Figure::new(name, measured, "").threshold(Threshold::AtMost(most)));
    }
    Ok(figures)
}

/// Meters, each for [`DELIVERIES`].
pub(crate) struct Counted {
    /// Calls that accept single events.
    pub(crate) single: Meter,
    /// Calls that accept ten events each.
    pub(crate) ten: Meter,
    /// Deliveries to one webhook.
    pub(crate) delivery: Meter,
    /// Deliveries to ten webhooks of ten tenants in each batch.
    pub(crate) different: Meter,
    /// Failed attempts in the slow lane.
    pub(crate) failed: Meter,
}

/// Counts the calls of all scenarios.
pub(crate) async fn count_all(paths: &Paths) -> Result<Counted> {
    let context = BenchContext::start(paths).await?;
    let (api, ingest, sender) =
        (context.local("api").await?, context.local("ingest").await?, context.local("sender").await?);
    context.create_webhooks(&api, "cost", &["/cost".to_owned()]).await?;
    // Calls that happen once an hour, once a minute or once per environment come first and do not count.
    let first = context.publish(&ingest, "cost", BATCH, BATCH).await?;
    send_all(&sender, &first).await?;

    let (single, messages) = accept(&context, &ingest, 1, prices::INGEST_MS).await?;
    let (ten, _) = accept(&context, &ingest, 10, prices::INGEST_BATCH_MS).await?;
    let delivery = deliver(&context, &sender, FAST_ARN, &messages).await?;

    let mut different = Vec::new();
    for tenant in 0..BATCH {
        let name = format!("cost-{tenant}");
        context.create_webhooks(&api, &name, &["/cost".to_owned()]).await?;
        different.push(context.publish(&ingest, &name, DELIVERIES / BATCH, 1).await?);
    }
    let different: Vec<_> = (0..DELIVERIES / BATCH)
        .flat_map(|index| different.iter().filter_map(move |of| of.get(index).cloned()))
        .collect();
    let different = deliver(&context, &sender, FAST_ARN, &different).await?;

    // The first failures move the webhook to the slow lane; they do not count.
    context.behave("/cost", Behavior { status: 500, ..Behavior::default() }).await?;
    let failing = context.publish(&ingest, "cost", DELIVERIES + BATCH, 10).await?;
    let (before, after) = failing.split_at(BATCH);
    send(&sender, batch(SLOW_ARN, before)).await?;
    let failed = deliver(&context, &sender, SLOW_ARN, after).await?;
    Ok(Counted { single, ten, delivery, different, failed })
}

/// Accepts events, `a_call` in each call.
async fn accept(
    context: &BenchContext,
    ingest: &Function,
    a_call: usize,
    milliseconds: f64,
) -> Result<(Meter, Vec<String>)> {
    drop(context.aws.take_meter());
    let logged = context.logged("ingest")?;
    let messages = context.publish(ingest, "cost", DELIVERIES, a_call).await?;
    ensure!(messages.len() == DELIVERIES, "{} messages", messages.len());
    let mut meter = context.aws.take_meter();
    meter.log_bytes = context.logged("ingest")? - logged;
    for _ in 0..DELIVERIES / a_call {
        meter.http_calls += 1;
        meter.invoke(milliseconds);
    }
    Ok((meter, messages))
}

/// Delivers messages, ten in a batch.
async fn deliver(
    context: &BenchContext,
    sender: &Function,
    queue_arn: &str,
    messages: &[String],
) -> Result<Meter> {
    drop(context.aws.take_meter());
    let logged = context.logged("sender")?;
    for bodies in messages.chunks(BATCH) {
        send(sender, batch(queue_arn, bodies)).await?;
    }
    let mut meter = context.aws.take_meter();
    meter.log_bytes = context.logged("sender")? - logged;
    for bodies in messages.chunks(BATCH) {
        meter.poll(bodies.iter().map(String::len).sum());
        meter.invoke(prices::SENDER_MS);
    }
    Ok(meter)
}

/// Adds two meters.
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

fn figure(name: &str, meter: &Meter, most: f64, baseline: f64) -> Figure {
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
        .baseline(baseline)
        .threshold(Threshold::AtMost(most))
        .note(format!("{}; {units}", bill.join(", ")))
}
