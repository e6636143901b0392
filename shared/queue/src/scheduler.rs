//! Waits longer than a queue can hide a message: one-time schedules that put the message on the slow lane when it is due.
//!
//! Not a queue's own delay for another reason too: hidden messages count as in flight, which would make the tenant look noisy.

use std::time::Duration;

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use aws_sdk_scheduler::types::{ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, Target};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use anzol_domain::{Clock, DeliveryId};

/// The one spelling of a moment that the scheduler takes; in UTC.
const AT: &[BorrowedFormatItem<'_>] =
    format_description!("at([year]-[month]-[day]T[hour]:[minute]:[second])");

/// Where long waits are spent.
#[derive(Debug, Clone)]
pub struct Scheduler {
    client: Client,
    settings: SchedulerSettings,
    clock: Clock,
    pub(crate) longest_queue_delay: Duration,
}

/// What the deployment has for long waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// Name of the schedule group that the schedules are made in.
    pub group: String,
    /// ARN of the role that may put messages on the slow lane.
    pub role_arn: String,
    /// ARN of the slow lane's queue.
    pub queue_arn: String,
}

impl Scheduler {
    /// The scheduler reached with this configuration; waits up to `longest_queue_delay` are left to the queue.
    #[must_use]
    pub fn new(
        config: &aws_types::SdkConfig,
        settings: SchedulerSettings,
        longest_queue_delay: Duration,
        clock: Clock,
    ) -> Self {
        Self { client: Client::new(config), settings, clock, longest_queue_delay }
    }

    /// Puts the message on the slow lane after `delay`. The schedule is named after the delivery, so asking twice schedules once, and
    /// it is gone once it has fired.
    ///
    /// # Errors
    /// What went wrong, for the log.
    pub(crate) async fn schedule(&self, id: DeliveryId, body: String, delay: Duration) -> Result<(), String> {
        // Up to the next whole second: never early.
        let due = (self.clock)() + delay + Duration::from_millis(999);
        let at = due.to_offset(time::UtcOffset::UTC).format(AT).map_err(|error| error.to_string())?;
        let SchedulerSettings { group, role_arn, queue_arn } = &self.settings;
        let target = Target::builder().arn(queue_arn).role_arn(role_arn).input(literal(&body)).build();
        let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build();
        let request = self
            .client
            .create_schedule()
            .group_name(group)
            .name(id.to_string())
            .schedule_expression(at)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target.map_err(|error| error.to_string())?)
            .flexible_time_window(window.map_err(|error| error.to_string())?);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ConflictException") => Ok(()),
            Err(error) => Err(DisplayErrorContext(error).to_string()),
        }
    }
}

/// The same JSON without `<`: the scheduler would replace what looks like one of its context attributes (`<aws.scheduler.…>`) in an
/// event that happens to hold it. In JSON it can only stand in a string, where an escape means the same.
fn literal(json: &str) -> String {
    json.replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_moment_is_spelled_as_the_scheduler_wants_it() {
        assert_eq!(datetime!(2026-11-24 09:05:03 UTC).format(AT).unwrap(), "at(2026-11-24T09:05:03)");
    }

    #[test]
    fn nothing_in_a_message_is_an_attribute_of_the_scheduler() {
        let json = r#"{"data":"<aws.scheduler.schedule-arn> \\< é"}"#;
        let sent = literal(json);
        assert!(!sent.contains('<'), "{sent}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&sent), read(json));
    }
}
