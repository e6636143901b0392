//! Ingest: CPU for an event beside a function that only answers, and how long a warm call takes without the cloud's own time.

use anyhow::{Result, ensure};

use super::count;
use super::http::{Warm, warm};
use crate::report::{Bar, Figure};
use crate::world::{EVENTS_A_CALL, Paths, World, http_call, some_events};

const CALLS: usize = 3_000;
const BATCHES: usize = 150;
/// For a single event, in terms of a function that only answers.
const MOST_TIMES: f64 = 4.0;
/// For an event of a batch of a hundred, in milliseconds.
const MOST_MS: f64 = 0.1;

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let world = World::start(paths).await?;
    let (api, ingest) = (world.local("api").await?, world.deployed("ingest").await?);
    let (hello, sdk) = (world.floor("hello-http").await?, world.floor("hello-aws").await?);
    world.create_webhooks(&api, "ingest", &["/ingest".to_owned()]).await?;
    let path = "/api/v1/events";
    let single = || http_call("ingest", "POST", path, Some(&some_events("ingest", 1)));
    let many = || http_call("ingest", "POST", path, Some(&some_events("ingest", EVENTS_A_CALL)));
    let floor = warm(&world, &hello, CALLS, 202, single).await?;
    let sdk = warm(&world, &sdk, CALLS, 202, single).await?;
    drop(world.cloud.take_messages());
    let Warm { cpu, latency, p99 } = warm(&world, &ingest, CALLS, 202, single).await?;
    ensure!(world.cloud.take_messages().len() >= CALLS, "not every event led to a message");
    let batches = warm(&world, &ingest, BATCHES, 202, many).await?;
    let per_event = batches.cpu / count(EVENTS_A_CALL);
    Ok(vec![
        Figure::new("CPU for a single event", cpu, "ms")
            .floor(floor.cpu)
            .bar(Bar::TimesFloor(MOST_TIMES))
            .note(format!(
                "{:.2} ms of it is what two calls to AWS take by the SDK alone",
                sdk.cpu - floor.cpu
            )),
        Figure::new("CPU for an event, a hundred in a call", per_event, "ms")
            .floor(floor.cpu)
            .bar(Bar::AtMost(MOST_MS)),
        Figure::new("a warm call with one event, median", latency, "ms")
            .floor(floor.latency)
            .note(format!("p99 {p99:.2} ms; the emulator's own time taken off")),
        Figure::new("a warm call with a hundred events, median", batches.latency, "ms").floor(floor.latency),
    ])
}
