#![doc = include_str!("../README.md")]

pub mod aws;
mod aws_http;
pub mod config;
pub mod metrics;
pub mod telemetry;

/// Returns the current time, to the millisecond. Some clients cannot parse more digits.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the only place that reads the clock")]
pub fn now() -> time::OffsetDateTime {
    let now = time::OffsetDateTime::now_utc();
    #[cfg(feature = "local")]
    let now = now + ahead();
    now.truncate_to_millisecond()
}

/// Returns the offset of the clock: the seconds in `ANZOL_CLOCK_AHEAD`, which the fault suite sets. Not in deployed packages.
#[cfg(feature = "local")]
fn ahead() -> time::Duration {
    static AHEAD: std::sync::OnceLock<time::Duration> = std::sync::OnceLock::new();
    *AHEAD.get_or_init(|| {
        let seconds = config::optional("ANZOL_CLOCK_AHEAD").and_then(|text| text.parse().ok());
        time::Duration::seconds(seconds.unwrap_or_default())
    })
}

/// Opens a connection during the cold start, when the CPU is not throttled. Logs a failure, and leaves the connection to the first request.
/// Logs the duration at level `debug`.
pub async fn warm_up<E: std::fmt::Display>(what: &str, call: impl Future<Output = Result<(), E>>) {
    let limit = std::time::Duration::from_millis(500);
    let start = std::time::Instant::now();
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, what, "warm-up failed"),
        Err(_) => tracing::warn!(what, "warm-up timed out"),
    }
    let took_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(what, took_us, "warmed up");
}
