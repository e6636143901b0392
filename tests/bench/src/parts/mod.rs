//! The parts of the benchmarks, and the arithmetic that they share.

mod api;
mod cold;
mod cost;
mod http;
mod ingest;
mod memory;
mod scale;
mod sender;
mod size;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::context::Paths;
use crate::report::Figure;

/// All parts, in the order of the report.
pub(crate) const NAMES: [&str; 9] =
    ["size", "cold-start", "memory", "sender", "ingest", "api", "calls", "cost", "scale"];

/// Measures one part.
pub(crate) async fn measure(name: &str, paths: &Paths) -> Result<Vec<Figure>> {
    match name {
        "size" => size::measure(paths),
        "cold-start" => cold::measure(paths).await,
        "memory" => memory::measure(paths).await,
        "sender" => sender::measure(paths).await,
        "ingest" => ingest::measure(paths).await,
        "api" => api::measure(paths).await,
        "calls" => cost::measure_calls(paths).await,
        "cost" => cost::measure(paths).await,
        "scale" => scale::measure(paths).await,
        _ => bail!("unknown part {name}; known are {}", NAMES.join(", ")),
    }
}

/// Converts a duration to milliseconds.
fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

/// Returns the median.
fn median(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("nothing was measured")
}

/// Converts a count for divisions.
fn count(number: usize) -> f64 {
    crate::meter::approximate(u64::try_from(number).unwrap_or(u64::MAX))
}

/// Converts bytes to megabytes.
fn megabytes(bytes: u64) -> f64 {
    crate::meter::approximate(bytes) / 1e6
}
