//! Waits longer than a queue can hide a message: one-time schedules that put the message on the slow lane when it is due.
//!
//! Not a queue's own delay for another reason too: hidden messages count as in flight, which would make the tenant look noisy.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::error::{BuildError, DisplayErrorContext, ProvideErrorMetadata as _, SdkError};
use aws_sdk_scheduler::operation::create_schedule::CreateScheduleError;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, SqsParameters,
    Target,
};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use anzol_domain::Clock;

use crate::queue::Message;

/// The one spelling of a moment that the scheduler takes; in UTC.
const AT: &[BorrowedFormatItem<'_>] =
    format_description!("at([year]-[month]-[day]T[hour]:[minute]:[second])");

/// Made when it is first used, which in most execution environments is never.
type LazyClient = Arc<LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>>;

/// Where long waits are spent.
#[derive(Debug, Clone)]
pub struct Scheduler {
    client: LazyClient,
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
    /// ARN of the queue for messages that the slow lane would not take, for a day.
    pub dead_letters_arn: String,
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
        let config = config.clone();
        let client: LazyClient = Arc::new(LazyLock::new(Box::new(move || Client::new(&config))));
        Self { client, settings, clock, longest_queue_delay }
    }

    /// Puts the message on the slow lane, in its tenant's message group, when its delay is over. The schedule is named after the
    /// delivery, so asking twice schedules once, and it is gone once it has fired.
    ///
    /// # Errors
    /// What went wrong, for the log.
    pub(crate) async fn schedule(&self, message: &Message) -> Result<(), String> {
        match self.create(message, Some(&message.group)).await {
            // Message groups on standard queues (fair queues) are younger than the scheduler, whose documentation still speaks of FIFO
            // queues only. Should it insist on that somewhere, a message on time is worth more than a fair one.
            Err(error) if error.code() == Some("ValidationException") => self.create(message, None).await,
            created => created,
        }
        .or_else(|error| match error.code() {
            Some("ConflictException") => Ok(()),
            _ => Err(DisplayErrorContext(error).to_string()),
        })
    }

    async fn create(
        &self,
        message: &Message,
        group: Option<&str>,
    ) -> Result<(), SdkError<CreateScheduleError>> {
        let invalid = |error: BuildError| SdkError::construction_failure(error);
        // Up to the next whole second: never early.
        let due = (self.clock)() + message.delay + Duration::from_millis(999);
        let at = due.to_offset(time::UtcOffset::UTC).format(AT).map_err(SdkError::construction_failure)?;
        let settings = &self.settings;
        let dead_letters = DeadLetterConfig::builder().arn(&settings.dead_letters_arn).build();
        let target = Target::builder()
            .arn(&settings.queue_arn)
            .role_arn(&settings.role_arn)
            .input(literal(&message.body))
            .set_sqs_parameters(group.map(|group| SqsParameters::builder().message_group_id(group).build()))
            .dead_letter_config(dead_letters);
        let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off);
        let request = self
            .client
            .create_schedule()
            .group_name(&settings.group)
            .name(message.id.to_string())
            .schedule_expression(at)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target.build().map_err(invalid)?)
            .flexible_time_window(window.build().map_err(invalid)?);
        request.send().await.map(drop)
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
