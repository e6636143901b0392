//! The API: list of 100 webhooks, read of one, creation.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::http::warm;
use crate::context::{BenchContext, Paths, call, http_call, webhook};
use crate::report::{Figure, Threshold};

const CALLS: usize = 1_000;
/// Threshold for a list of 100 webhooks, in milliseconds of CPU.
const MOST_MS: f64 = 3.0;
/// Number of webhooks of the tenant, the maximum.
const WEBHOOKS: usize = 100;

pub(super) async fn measure(paths: &Paths) -> Result<Vec<Figure>> {
    let context = BenchContext::start(paths).await?;
    let (api, hello) = (context.deployed("api").await?, context.baseline("hello-http").await?);
    let names: Vec<_> = (0..WEBHOOKS).map(|index| format!("/api-{index}")).collect();
    context.create_webhooks(&api, "api", &names).await?;
    let list = || http_call("api", "GET", "/api/core/webhooks?limit=100", None);
    let listed = call(&api, &list()).await?;
    let ids = listed.body.get("data").and_then(Value::as_array).context("no list")?;
    ensure!(ids.len() == WEBHOOKS, "{} webhooks in the list", ids.len());
    let id = listed.body.pointer("/data/0/id").and_then(Value::as_str).context("a webhook without an id")?;
    let path = format!("/api/core/webhooks/{id}");
    let get = || http_call("api", "GET", &path, None);
    // A tenant has at most 100 webhooks, so every 50 calls use a new tenant.
    let new = AtomicUsize::new(0);
    let tenant = || format!("new-{}", new.fetch_add(1, Ordering::Relaxed) / 50);
    let create = || http_call(&tenant(), "POST", "/api/core/webhooks", Some(&webhook("/new")));

    let baseline = warm(&context, &hello, CALLS, 202, get).await?;
    let mut figures = Vec::new();
    let listed = warm(&context, &api, CALLS, 200, list).await?;
    let got = warm(&context, &api, CALLS, 200, get).await?;
    let created = warm(&context, &api, CALLS, 201, create).await?;
    for (name, warm, threshold) in [
        ("list 100 webhooks", listed, Some(Threshold::AtMost(MOST_MS))),
        ("get a webhook", got, None),
        ("create a webhook", created, None),
    ] {
        let figure = Figure::new(format!("{name}: CPU"), warm.cpu, "ms").baseline(baseline.cpu);
        figures.push(match threshold {
            Some(threshold) => figure.threshold(threshold),
            None => figure,
        });
        let note = format!("p99 {:.2} ms; without the emulator's time", warm.p99);
        figures.push(
            Figure::new(format!("{name}: a warm call, median"), warm.latency, "ms")
                .baseline(baseline.latency)
                .note(note),
        );
    }
    Ok(figures)
}
