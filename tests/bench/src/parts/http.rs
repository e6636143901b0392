//! Warm calls of HTTP functions.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::{count, median, millis};
use crate::context::{BenchContext, call};
use crate::lambda::Function;

/// Cost of a warm call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Warm {
    /// CPU, in milliseconds.
    pub(super) cpu: f64,
    /// Median latency in milliseconds, without the time in the emulator.
    pub(super) latency: f64,
    /// 99th percentile of the latency.
    pub(super) p99: f64,
}

/// Calls a function `times` times, after a tenth as many calls that do not count.
pub(super) async fn warm(
    context: &BenchContext,
    function: &Function,
    times: usize,
    expected: u64,
    event: impl Fn() -> String,
) -> Result<Warm> {
    for _ in 0..times / 10 {
        call(function, &event()).await?;
    }
    let before = function.usage().cpu()?;
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let event = event();
        context.aws.take_busy();
        let started = Instant::now();
        let answer = function.invoke(event).await?;
        let elapsed = started.elapsed().saturating_sub(context.aws.take_busy());
        took.push(millis(elapsed));
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        ensure!(answer.get("statusCode").and_then(serde_json::Value::as_u64) == Some(expected), "{answer}");
    }
    let cpu = millis(function.usage().cpu()?.saturating_sub(before)) / count(times);
    let latency = median(took.clone())?;
    took.sort_by(f64::total_cmp);
    let p99 = took.get(took.len() * 99 / 100).copied().context("nothing was measured")?;
    Ok(Warm { cpu, latency, p99 })
}
