//! The settings of `sender`, from the environment.

use std::time::Duration;

use anzol_domain::config::Env;
use anzol_domain::health::DisablePolicy;
use anzol_domain::retry::Schedule;
use anzol_pipeline::DeliverySettings;
use anzol_queue::{LaneUrls, SchedulerSettings, events_url_from_env, longest_queue_delay_from_env};
use anzol_store::TableNames;

/// All settings of the function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The tables.
    pub tables: TableNames,
    /// ARN of the KMS key of secrets.
    pub secrets_key: String,
    /// The queues of the lanes.
    pub lanes: LaneUrls,
    /// URL of the dead-letter queue of deliveries.
    pub dlq: String,
    /// URL of the events queue, for operational events.
    pub events_queue: String,
    /// The scheduler for long waits, with the ARN of the slow lane's queue.
    pub scheduler: SchedulerSettings,
    /// The longest wait that uses a queue's delay. Longer waits are scheduled.
    pub longest_queue_delay: Duration,
    /// The waits between attempts.
    pub retry_schedule: Schedule,
    /// The disable threshold.
    pub disable_policy: DisablePolicy,
    /// Settings of deliveries.
    pub delivery: DeliverySettings,
}

impl Config {
    /// Reads all settings.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            tables: TableNames::from_env(env),
            secrets_key: anzol_vault::key_arn_from_env(env),
            lanes: LaneUrls::from_env(env),
            dlq: env.required("DELIVERIES_DLQ_URL"),
            events_queue: events_url_from_env(env),
            scheduler: SchedulerSettings::from_env(env),
            longest_queue_delay: longest_queue_delay_from_env(env),
            retry_schedule: Schedule::from_env(env),
            disable_policy: DisablePolicy::from_env(env),
            delivery: DeliverySettings::from_env(env),
        }
    }
}
