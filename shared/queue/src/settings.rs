//! The settings of the deployment's queues and scheduler, from the environment.

use std::time::Duration;

use anzol_domain::config::Env;

use crate::queue::MAX_DELAY;
use crate::scheduler::SchedulerSettings;

/// The queues of the two lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneUrls {
    /// URL of the fast lane's queue.
    pub fast: String,
    /// URL of the slow lane's queue.
    pub slow: String,
}

impl LaneUrls {
    /// Returns the deployment's queues, from the variables `DELIVERIES_QUEUE_URL` and `SLOW_LANE_QUEUE_URL`.
    pub fn from_env(env: &mut Env) -> Self {
        Self { fast: env.required("DELIVERIES_QUEUE_URL"), slow: slow_lane_url_from_env(env) }
    }
}

/// Returns the URL of the slow lane's queue, from the variable `SLOW_LANE_QUEUE_URL`.
pub fn slow_lane_url_from_env(env: &mut Env) -> String {
    env.required("SLOW_LANE_QUEUE_URL")
}

/// Returns the URL of the events queue, from the variable `EVENTS_QUEUE_URL`.
pub fn events_url_from_env(env: &mut Env) -> String {
    env.required("EVENTS_QUEUE_URL")
}

impl SchedulerSettings {
    /// Returns the deployment's scheduler, from the variables `SCHEDULE_GROUP`, `SCHEDULER_ROLE_ARN`, `SLOW_LANE_QUEUE_ARN` and
    /// `SLOW_LANE_DLQ_ARN`.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            group: env.required("SCHEDULE_GROUP"),
            role_arn: env.required("SCHEDULER_ROLE_ARN"),
            queue_arn: env.required("SLOW_LANE_QUEUE_ARN"),
            dlq_arn: env.required("SLOW_LANE_DLQ_ARN"),
        }
    }
}

/// Returns the longest wait that uses a queue's delay, from the variable `LONGEST_QUEUE_DELAY` (seconds). Longer waits are scheduled.
pub fn longest_queue_delay_from_env(env: &mut Env) -> Duration {
    let max = MAX_DELAY.as_secs();
    Duration::from_secs(env.within("LONGEST_QUEUE_DELAY", max, &(1..=max)))
}
