#![doc = include_str!("../README.md")]

pub mod aws;
mod aws_http;
pub mod config;
pub mod metrics;
pub mod telemetry;

/// The time of day, to the millisecond: more digits are noise to people, and too many for some clients' date parsers.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place the rule points to")]
pub fn now() -> time::OffsetDateTime {
    let now = time::OffsetDateTime::now_utc();
    #[cfg(feature = "local")]
    let now = now + ahead();
    now.truncate_to_millisecond()
}

/// How far the clock is set ahead, or behind: seconds in `ANZOL_CLOCK_AHEAD`, for the fault suite. Never in a deployed package.
#[cfg(feature = "local")]
fn ahead() -> time::Duration {
    static AHEAD: std::sync::OnceLock<time::Duration> = std::sync::OnceLock::new();
    *AHEAD.get_or_init(|| {
        let seconds = config::optional("ANZOL_CLOCK_AHEAD").and_then(|text| text.parse().ok());
        time::Duration::seconds(seconds.unwrap_or_default())
    })
}

/// Runs a connection warm-up during cold start, where CPU is not throttled. A failure is logged and left to the first request; how long
/// it took, which is part of the start, is a line at the level `debug`.
pub async fn warm_up<E: std::fmt::Display>(what: &str, call: impl Future<Output = Result<(), E>>) {
    let limit = std::time::Duration::from_millis(500);
    let begun = std::time::Instant::now();
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, what, "the warm-up call failed"),
        Err(_) => tracing::warn!(what, "the warm-up call took too long"),
    }
    let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(what, took_us, "warmed up");
}
