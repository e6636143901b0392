//! Billable units, counted at the wire, and their cost.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::prices;

/// Billable calls.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meter {
    /// SQS requests, 64 KB each: sends, receives, deletes.
    pub(crate) queue_requests: u64,
    /// SQS requests with a message group.
    pub(crate) fair_requests: u64,
    /// `DynamoDB` write units of tables and indexes, transactions doubled.
    pub(crate) write_units: f64,
    /// `DynamoDB` read units, strongly consistent ones whole.
    pub(crate) read_units: f64,
    /// `DynamoDB` calls by operation. They are not billed, but cost CPU and time.
    pub(crate) dynamo_calls: BTreeMap<String, u64>,
    /// KMS requests.
    pub(crate) key_calls: u64,
    /// Created schedules.
    pub(crate) schedules: u64,
    /// Lambda invocations.
    pub(crate) invocations: u64,
    /// Duration of the invocations in GB-seconds, as assumed in [`prices`].
    pub(crate) gb_seconds: f64,
    /// HTTP API calls.
    pub(crate) http_calls: u64,
    /// Billed storage of the history in bytes, which is kept for seven days.
    pub(crate) history_bytes: u64,
    /// Log output in bytes. Not part of the bill, because it depends on the log level.
    pub(crate) log_bytes: u64,
}

/// Bytes of a message batch that count as one request.
const CHUNK: usize = 64 * 1024;

impl Meter {
    /// Counts a call that sends `bytes` to a queue, with a message group if `fair`.
    pub(crate) fn send(&mut self, bytes: usize, fair: bool) {
        let requests = chunks(bytes);
        self.queue_requests += requests;
        if fair {
            self.fair_requests += requests;
        }
    }

    /// Counts the requests of an event source mapping for an invocation: a receive of `bytes`, and a delete.
    pub(crate) fn poll(&mut self, bytes: usize) {
        self.queue_requests += chunks(bytes) + 1;
    }

    /// Counts an invocation of this duration, in milliseconds.
    pub(crate) fn invoke(&mut self, milliseconds: f64) {
        self.invocations += 1;
        self.gb_seconds += prices::MEMORY_GB * milliseconds / 1000.0;
    }

    /// Returns the cost by item, in dollars.
    #[must_use]
    pub(crate) fn bill(&self) -> Vec<(&'static str, f64)> {
        let million = |count: u64, price: f64| approximate(count) * price / 1e6;
        vec![
            ("HTTP API calls", million(self.http_calls, prices::HTTP_API_CALL)),
            ("Lambda requests", million(self.invocations, prices::LAMBDA_REQUEST)),
            ("Lambda duration", self.gb_seconds * prices::LAMBDA_GB_SECOND),
            ("SQS requests", million(self.queue_requests, prices::SQS_REQUEST)),
            ("SQS fair queues", million(self.fair_requests, prices::SQS_FAIR)),
            ("DynamoDB writes", self.write_units * prices::WRITE_UNIT / 1e6),
            ("DynamoDB reads", self.read_units * prices::READ_UNIT / 1e6),
            ("DynamoDB storage, 7 days", approximate(self.history_bytes) / 1e9 * prices::STORED_GB_WEEK),
            ("KMS requests", million(self.key_calls, prices::KMS_REQUEST)),
            ("Schedules", million(self.schedules, prices::SCHEDULE)),
        ]
    }

    /// Returns the cost in dollars for a million deliveries, when `count` were metered.
    #[must_use]
    pub(crate) fn per_million(&self, count: usize) -> f64 {
        let total: f64 = self.bill().iter().map(|(_, dollars)| dollars).sum();
        total / approximate(u64::try_from(count).unwrap_or(u64::MAX)) * 1e6
    }
}

fn chunks(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(CHUNK).max(1)).unwrap_or(u64::MAX)
}

/// Converts a count for calculations.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn approximate(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_is_billed_by_64_kilobytes() {
        let mut meter = Meter::default();
        meter.send(1, true);
        meter.send(CHUNK, false);
        meter.send(CHUNK + 1, true);
        assert_eq!((meter.queue_requests, meter.fair_requests), (4, 3));
    }

    #[test]
    fn bill_is_counts_times_prices() {
        let mut meter = Meter { write_units: 1.0, http_calls: 1, ..Meter::default() };
        meter.send(1, true);
        meter.poll(1);
        let sum = 3.0 * prices::SQS_REQUEST + prices::SQS_FAIR + prices::WRITE_UNIT + prices::HTTP_API_CALL;
        assert!((meter.per_million(1) - sum).abs() < 1e-9, "{}", meter.per_million(1));
    }
}
