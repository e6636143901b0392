//! List prices in us-east-1 in dollars, as of November 2026, and assumed durations.
//!
//! From the pricing pages of API Gateway, Lambda, SQS, `DynamoDB`, KMS and EventBridge.

/// A million calls of an HTTP API, each up to 512 KB.
pub(crate) const HTTP_API_CALL: f64 = 1.00;
/// A million invocations.
pub(crate) const LAMBDA_REQUEST: f64 = 0.20;
/// A GB-second on arm64.
pub(crate) const LAMBDA_GB_SECOND: f64 = 0.000_013_333_4;
/// A million requests to a standard queue, each up to 64 KB.
pub(crate) const SQS_REQUEST: f64 = 0.40;
/// A million requests with a message group on a standard queue (fair queues). The page does not define these requests; sends are counted.
pub(crate) const SQS_FAIR: f64 = 0.10;
/// A million write units on demand: 1 KB each.
pub(crate) const WRITE_UNIT: f64 = 0.625;
/// A million read units on demand: 4 KB each, strongly consistent.
pub(crate) const READ_UNIT: f64 = 0.125;
/// A GB stored for seven days, at $0.25 for a month of 30.4.
pub(crate) const STORED_GB_WEEK: f64 = 0.25 * 7.0 / 30.4;
/// A million KMS requests.
pub(crate) const KMS_REQUEST: f64 = 3.00;
/// A million one-time schedules, beyond the 14 million that are free each month.
pub(crate) const SCHEDULE: f64 = 1.00;
/// A GB of logs ingested by `CloudWatch`; storing it costs $0.03 a month.
pub(crate) const LOGGED_GB: f64 = 0.50;

/// Memory of each function in `infra/template.yaml`, in GB.
pub(crate) const MEMORY_GB: f64 = 256.0 / 1024.0;
/// Billed duration of a call of `ingest` in milliseconds: with one event, and with a batch.
pub(crate) const INGEST_MS: f64 = 5.0;
pub(crate) const INGEST_BATCH_MS: f64 = 10.0;
/// Billed duration of a batch of `sender` in milliseconds: concurrent receivers that answer within 100 ms, and calls to AWS.
pub(crate) const SENDER_MS: f64 = 110.0;
