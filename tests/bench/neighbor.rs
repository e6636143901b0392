//! The noisy neighbor: latency of a quiet tenant's deliveries while another tenant has a slow receiver and a long queue.
//!
//! `cargo xtask bench neighbor` runs it on the stack that `ANZOL_STACK` names. The argument is the file for the figures.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the rules on clock, environment and printing are for deployed code"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::thread::{ScopedJoinHandle, scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use anzol_tests::client::{Api, Control};
use anzol_tests::receiver::{Behavior, Received};
use anzol_tests::stack::Stack;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Events of the noisy tenant, published in concurrent calls of 100.
const FLOOD: usize = 12_000;
const FLOOD_CALL: usize = 100;
const FLOOD_PUBLISHERS: usize = 4;
/// Latency of the noisy tenant's receiver.
const SLOW_MS: u64 = 5_000;

/// Events per second of the quiet tenant, one in each call.
const RATE: u32 = 20;
/// Concurrent publishers in the warm-up, and events of each. A fresh stack first has to start its functions; at a constant rate it would
/// start another one for every call that waits.
const WARM_UP_PUBLISHERS: usize = 4;
const WARM_UP_EVENTS: usize = 8;
/// Duration of the measurement before the flood, for comparison, and from the start of the flood.
const ALONE: Duration = Duration::from_secs(10);
const WITH_NOISE: Duration = Duration::from_mins(1);

/// Thresholds for the time from publishing to receipt of the quiet tenant's deliveries during the flood.
const P50_THRESHOLD: Duration = Duration::from_secs(1);
const P99_THRESHOLD: Duration = Duration::from_secs(8);

/// Maximum wait for a delivery after the last event. A later one counts as lost, and the run fails.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(90);

const QUIET: &str = "/neighbor-quiet";
const NOISY: &str = "/neighbor-noisy";
const EVENT_TYPE: &str = "com.qlik.v1.app.reload.finished";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("neighbor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, and returns whether the thresholds were met.
fn run() -> Result<bool> {
    let file = std::env::args_os().nth(1).context("usage: neighbor FILE")?;
    let stack = Stack::load()?;
    let bench = NeighborBench::new(&stack)?;
    bench.create_webhook("globex.admin", QUIET)?;
    bench.create_webhook("acme.admin", NOISY)?;
    bench.control.behave(NOISY, &Behavior { delay_ms: SLOW_MS, ..Behavior::default() })?;

    for publishers in 1..=WARM_UP_PUBLISHERS {
        bench.await_quiet(&bench.publish_one_by_one(publishers)?)?;
    }
    let alone = bench.await_quiet(&bench.publish_quietly(ALONE)?)?;
    println!("globex alone         {alone}");

    let started = OffsetDateTime::now_utc();
    let (published, flood) = scope(|scope| -> Result<_> {
        let flood = scope.spawn(|| bench.publish_flood());
        let published = bench.publish_quietly(WITH_NOISE)?;
        Ok((published, joined(flood)?))
    })?;
    let end = OffsetDateTime::now_utc();
    let with_noise = bench.await_quiet(&published)?;
    let arrived = bench.control.requests(NOISY)?.iter().filter(|request| request.time <= end).count();
    println!("globex with noise    {with_noise}");
    println!(
        "acme                 {FLOOD} events published in {:.1} s, {arrived} sent to its receiver within {:.0} s",
        flood.as_secs_f64(),
        (end - started).as_seconds_f64()
    );

    let met = with_noise.deliveries.p50 < P50_THRESHOLD && with_noise.deliveries.p99 < P99_THRESHOLD;
    println!(
        "thresholds                 p50 < {} s, p99 < {} s: {}",
        P50_THRESHOLD.as_secs(),
        P99_THRESHOLD.as_secs(),
        if met { "met" } else { "missed" }
    );
    let figures = json!({
        "alone": alone.json(),
        "withNoise": with_noise.json(),
        "noisy": { "events": FLOOD, "receiverMs": SLOW_MS, "publishedInMs": millis(flood), "arrivedMeanwhile": arrived },
        "thresholds": { "p50Ms": millis(P50_THRESHOLD), "p99Ms": millis(P99_THRESHOLD), "met": met },
    });
    write(Path::new(&file), &figures)?;
    Ok(met)
}

fn write(file: &Path, figures: &Value) -> Result<()> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let text = serde_json::to_string_pretty(figures)?;
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// The two tenants and the receiver.
struct NeighborBench<'a> {
    stack: &'a Stack,
    control: Control,
    quiet: Api,
    noisy: Api,
}

/// Start and duration of the call that published an event, by the event's id.
type Published = BTreeMap<String, (OffsetDateTime, Duration)>;

impl<'a> NeighborBench<'a> {
    fn new(stack: &'a Stack) -> Result<Self> {
        let caller = |who| Ok::<_, anyhow::Error>(Api::new(&stack.api_url, Some(stack.token(who)?)));
        Ok(Self {
            stack,
            control: Control::new(&stack.receiver.control_url),
            quiet: caller("globex.admin")?,
            noisy: caller("acme.publisher")?,
        })
    }

    fn create_webhook(&self, who: &str, path: &str) -> Result<()> {
        let url = format!("{}{path}", self.stack.receiver.url);
        let secret = "0123456789abcdef0123456789abcdef";
        let webhook = json!({ "name": path, "url": url, "eventTypes": [EVENT_TYPE], "secret": secret, "enabled": true });
        let admin = Api::new(&self.stack.api_url, Some(self.stack.token(who)?));
        admin.post("/api/v1/webhooks", &webhook)?.expect_status(201).map(drop)
    }

    /// Publishes a few events with concurrent publishers, each of which sends an event after the response to the previous one.
    fn publish_one_by_one(&self, publishers: usize) -> Result<Published> {
        scope(|scope| {
            let publishers: Vec<_> = (0..publishers)
                .map(|_| {
                    scope
                        .spawn(|| (0..WARM_UP_EVENTS).map(|_| self.publish_one()).collect::<Result<Vec<_>>>())
                })
                .collect();
            let all = publishers.into_iter().map(joined).collect::<Result<Vec<_>>>()?;
            Ok(all.into_iter().flatten().collect())
        })
    }

    /// Publishes one event of the quiet tenant.
    fn publish_one(&self) -> Result<(String, (OffsetDateTime, Duration))> {
        let (id, event) = self.event("globex")?;
        let at = OffsetDateTime::now_utc();
        publish(&self.quiet, "application/cloudevents+json", &event, 1)?;
        Ok((id, (at, since(at))))
    }

    /// Publishes at a constant rate, independent of response times.
    fn publish_quietly(&self, lasting: Duration) -> Result<Published> {
        let gap = Duration::from_secs(1) / RATE;
        let start = Instant::now();
        scope(|scope| {
            let mut calls = Vec::new();
            let mut due = Duration::ZERO;
            while due < lasting {
                sleep(due.saturating_sub(start.elapsed()));
                calls.push(scope.spawn(|| self.publish_one()));
                due += gap;
            }
            calls.into_iter().map(joined).collect()
        })
    }

    /// Publishes the flood and returns its duration.
    fn publish_flood(&self) -> Result<Duration> {
        let start = Instant::now();
        let calls = FLOOD / FLOOD_CALL;
        scope(|scope| {
            let publishers: Vec<_> = (0..FLOOD_PUBLISHERS)
                .map(|publisher| {
                    scope.spawn(move || {
                        for _ in (publisher..calls).step_by(FLOOD_PUBLISHERS) {
                            let events: Result<Vec<_>> =
                                (0..FLOOD_CALL).map(|_| Ok(self.event("acme")?.1)).collect();
                            let events = Value::from(events?);
                            publish(&self.noisy, "application/cloudevents-batch+json", &events, FLOOD_CALL)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            publishers.into_iter().try_for_each(joined)
        })?;
        Ok(start.elapsed())
    }

    /// Returns an event of about 600 bytes with a unique id, and that id.
    fn event(&self, tenant: &str) -> Result<(String, Value)> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{tenant}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let event = json!({
            "specversion": "1.0", "id": id, "source": "com.qlik/reloads", "type": EVENT_TYPE,
            "datacontenttype": "application/json", "tenantid": self.stack.tenant(tenant)?, "userid": "user-1",
            "data": { "id": "app-1", "status": "ok", "log": "x".repeat(300) },
        });
        Ok((id, event))
    }

    /// Waits until all of these events are received, and returns their latencies.
    fn await_quiet(&self, published: &Published) -> Result<Phase> {
        let deadline = Instant::now() + ARRIVAL_TIMEOUT;
        loop {
            let mut received = BTreeMap::new();
            for request in self.control.requests(QUIET)? {
                // An event may arrive twice; the first arrival counts.
                received.entry(event_id(&request)?).or_insert(request.time);
            }
            let missing = published.keys().filter(|id| !received.contains_key(*id)).count();
            if missing == 0 {
                let took = published
                    .iter()
                    .filter_map(|(id, (at, _))| Some((*at, (*received.get(id)? - *at).try_into().ok()?)));
                let calls = published.values().map(|(_, call)| *call).collect();
                return Ok(Phase {
                    calls: Latencies::of(calls)?,
                    seconds: slowest(took.clone()),
                    deliveries: Latencies::of(took.map(|(_, took)| took).collect())?,
                });
            }
            ensure!(
                Instant::now() < deadline,
                "{missing} of {} events of globex did not arrive",
                published.len()
            );
            sleep(Duration::from_millis(200));
        }
    }
}

fn publish(api: &Api, content_type: &str, events: &Value, count: usize) -> Result<()> {
    let answer = api.post_as("/api/v1/events", content_type, events)?.expect_status(202)?;
    let deliveries = answer.json()?.get("deliveries").and_then(Value::as_u64);
    ensure!(deliveries == u64::try_from(count).ok(), "{count} deliveries should have been queued: {answer}");
    Ok(())
}

fn event_id(request: &Received) -> Result<String> {
    let body: Value = serde_json::from_slice(&request.body()?)?;
    body.get("id").and_then(Value::as_str).map(str::to_owned).context("a delivery without an id")
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    match thread.join() {
        Ok(outcome) => outcome,
        Err(_) => bail!("a thread panicked"),
    }
}

fn since(at: OffsetDateTime) -> Duration {
    (OffsetDateTime::now_utc() - at).try_into().unwrap_or_default()
}

/// Returns the slowest delivery of the events published in each second.
fn slowest(took: impl Iterator<Item = (OffsetDateTime, Duration)> + Clone) -> Vec<u64> {
    let Some(first) = took.clone().map(|(at, _)| at).min() else { return Vec::new() };
    let mut seconds = BTreeMap::<i64, Duration>::new();
    for (at, took) in took {
        let slowest = seconds.entry((at - first).whole_seconds()).or_default();
        *slowest = took.max(*slowest);
    }
    seconds.into_values().map(millis).collect()
}

/// Results of one phase.
struct Phase {
    /// From publishing to receipt.
    deliveries: Latencies,
    /// Duration of the publishing calls.
    calls: Latencies,
    /// The slowest delivery of each second, in milliseconds.
    seconds: Vec<u64>,
}

impl Phase {
    fn json(&self) -> Value {
        json!({ "deliveries": self.deliveries.json(), "calls": self.calls.json(), "slowestOfSecondMs": self.seconds })
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (of which the call: {})", self.deliveries, self.calls)
    }
}

/// Durations, by rank.
struct Latencies {
    count: usize,
    p50: Duration,
    p95: Duration,
    p99: Duration,
    max: Duration,
}

impl Latencies {
    fn of(mut took: Vec<Duration>) -> Result<Self> {
        took.sort_unstable();
        // Nearest rank: the smallest value that at least `percent` percent of all do not exceed.
        let at = |percent: usize| {
            let rank = (took.len() * percent).div_ceil(100).max(1);
            took.get(rank - 1).copied().context("nothing was measured")
        };
        Ok(Self { count: took.len(), p50: at(50)?, p95: at(95)?, p99: at(99)?, max: at(100)? })
    }

    fn json(&self) -> Value {
        let Self { count, p50, p95, p99, max } = self;
        json!({ "count": count, "p50Ms": millis(*p50), "p95Ms": millis(*p95), "p99Ms": millis(*p99), "maxMs": millis(*max) })
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, p50, p95, p99, max } = self;
        let [p50, p95, p99, max] = [p50, p95, p99, max].map(|took| took.as_secs_f64() * 1000.0);
        write!(f, "{count}: p50 {p50:.0} ms, p95 {p95:.0} ms, p99 {p99:.0} ms, max {max:.0} ms")
    }
}

fn millis(took: Duration) -> u64 {
    took.as_millis().try_into().unwrap_or(u64::MAX)
}
