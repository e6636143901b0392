//! What is billed: counts at the wire, and what they come to.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::prices;

/// Billable calls.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meter {
    /// SQS requests, 64 KB each: sends, receives, deletes.
    pub(crate) queue_requests: u64,
    /// Those of them that name a message group.
    pub(crate) fair_requests: u64,
    /// `DynamoDB` write units of tables and indexes, transactions doubled.
    pub(crate) write_units: f64,
    /// `DynamoDB` read units, strongly consistent ones whole.
    pub(crate) read_units: f64,
    /// `DynamoDB` calls by operation: not billed as such, but each takes CPU and time.
    pub(crate) dynamo_calls: BTreeMap<String, u64>,
    /// KMS requests.
    pub(crate) key_calls: u64,
    /// Schedules made.
    pub(crate) schedules: u64,
    /// Lambda invocations.
    pub(crate) invocations: u64,
    /// What they take, in GB-seconds, by the durations assumed in [`prices`].
    pub(crate) gb_seconds: f64,
    /// Calls of the HTTP API.
    pub(crate) http_calls: u64,
    /// History kept for seven days, as storage is billed.
    pub(crate) history_bytes: u64,
    /// Lines of log: their price depends on the level they are kept at, so they are not part of the bill.
    pub(crate) log_bytes: u64,
}

/// Bytes of a message batch that are one request.
const CHUNK: usize = 64 * 1024;

impl Meter {
    /// A call that puts so many bytes on a queue.
    pub(crate) fn send(&mut self, bytes: usize, fair: bool) {
        let requests = chunks(bytes);
        self.queue_requests += requests;
        if fair {
            self.fair_requests += requests;
        }
    }

    /// What the event source mapping does around an invocation with messages of so many bytes: a receive and a delete.
    pub(crate) fn poll(&mut self, bytes: usize) {
        self.queue_requests += chunks(bytes) + 1;
    }

    /// An invocation that takes so many milliseconds.
    pub(crate) fn invoke(&mut self, milliseconds: f64) {
        self.invocations += 1;
        self.gb_seconds += prices::MEMORY_GB * milliseconds / 1000.0;
    }

    /// What is billed, by item, in dollars.
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

    /// Dollars for a million of what `count` of were metered.
    #[must_use]
    pub(crate) fn per_million(&self, count: usize) -> f64 {
        let total: f64 = self.bill().iter().map(|(_, dollars)| dollars).sum();
        total / approximate(u64::try_from(count).unwrap_or(u64::MAX)) * 1e6
    }
}

fn chunks(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(CHUNK).max(1)).unwrap_or(u64::MAX)
}

/// A count as a number to calculate with.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^53")]
pub(crate) fn approximate(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_billed_by_64_kilobytes() {
        let mut meter = Meter::default();
        meter.send(1, true);
        meter.send(CHUNK, false);
        meter.send(CHUNK + 1, true);
        assert_eq!((meter.queue_requests, meter.fair_requests), (4, 3));
    }

    #[test]
    fn a_bill_is_counts_times_prices() {
        let mut meter = Meter { write_units: 1.0, http_calls: 1, ..Meter::default() };
        meter.send(1, true);
        meter.poll(1);
        let sum = 3.0 * prices::SQS_REQUEST + prices::SQS_FAIR + prices::WRITE_UNIT + prices::HTTP_API_CALL;
        assert!((meter.per_million(1) - sum).abs() < 1e-9, "{}", meter.per_million(1));
    }
}
