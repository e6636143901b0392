//! The API: a list of a hundred webhooks, one of them, and a new one.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::http::warm;
use crate::report::{Bar, Figure};
use crate::world::{Paths, World, call, http_call, webhook};

const CALLS: usize = 1_000;
/// For a list of a hundred, in milliseconds of CPU.
const MOST_MS: f64 = 3.0;
/// As many as a tenant may have.
const WEBHOOKS: usize = 100;

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let world = World::start(paths).await?;
    let (api, hello) = (world.deployed("api").await?, world.floor("hello-http").await?);
    let names: Vec<_> = (0..WEBHOOKS).map(|index| format!("/api-{index}")).collect();
    world.create_webhooks(&api, "api", &names).await?;
    let list = || http_call("api", "GET", "/api/core/webhooks?limit=100", None);
    let listed = call(&api, &list()).await?;
    let ids = listed.body.get("data").and_then(Value::as_array).context("no list")?;
    ensure!(ids.len() == WEBHOOKS, "{} webhooks in the list", ids.len());
    let id = listed.body.pointer("/data/0/id").and_then(Value::as_str).context("a webhook without an id")?;
    let path = format!("/api/core/webhooks/{id}");
    let get = || http_call("api", "GET", &path, None);
    // A tenant may have a hundred, so each new one is of another.
    let new = AtomicUsize::new(0);
    let tenant = || format!("new-{}", new.fetch_add(1, Ordering::Relaxed) / 50);
    let create = || http_call(&tenant(), "POST", "/api/core/webhooks", Some(&webhook("/new")));

    let floor = warm(&world, &hello, CALLS, 202, get).await?;
    let mut figures = Vec::new();
    let listed = warm(&world, &api, CALLS, 200, list).await?;
    let got = warm(&world, &api, CALLS, 200, get).await?;
    let created = warm(&world, &api, CALLS, 201, create).await?;
    for (name, warm, bar) in [
        ("list a hundred webhooks", listed, Some(Bar::AtMost(MOST_MS))),
        ("get a webhook", got, None),
        ("create a webhook", created, None),
    ] {
        let figure = Figure::new(format!("{name}: CPU"), warm.cpu, "ms").floor(floor.cpu);
        figures.push(match bar {
            Some(bar) => figure.bar(bar),
            None => figure,
        });
        let note = format!("p99 {:.2} ms; the emulator's own time taken off", warm.p99);
        figures.push(
            Figure::new(format!("{name}: a warm call, median"), warm.latency, "ms")
                .floor(floor.latency)
                .note(note),
        );
    }
    Ok(figures)
}
