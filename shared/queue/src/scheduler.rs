//! Schedules messages whose wait is too long for a queue's delay: one-time schedules send them to the slow lane when they are due.
//!
//! A queue's delay has another drawback: delayed messages count as in flight, so the tenant would look noisy to fair queues.

use std::borrow::Cow;
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
use anzol_lazy::Lazy;

use crate::envelope::Envelope;

/// The time format of the scheduler, in UTC.
const AT: &[BorrowedFormatItem<'_>] =
    format_description!("at([year]-[month]-[day]T[hour]:[minute]:[second])");

/// Maximum size of a schedule's input, in bytes: 256 KB, a message size that every implementation of SQS accepts. Our interpretation: the
/// scheduler's documentation states no limit, but says that the limit of the target's service applies.
const MAX_INPUT: usize = 256 * 1000;

/// Why a message could not be scheduled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScheduleError {
    /// The message is too large for a schedule.
    #[error("the scheduler accepts at most {MAX_INPUT} bytes")]
    TooLarge,
    /// The scheduler refused the message or could not be reached.
    #[error("{}", DisplayErrorContext(.0))]
    Create(Box<SdkError<CreateScheduleError>>),
}

impl ScheduleError {
    /// Returns whether scheduling the same message again would fail in the same way.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::TooLarge => true,
            Self::Create(error) => error.code() == Some("ValidationException"),
        }
    }
}

/// Holds messages until they are due.
#[derive(Debug, Clone)]
pub struct Scheduler {
    client: Lazy<Client>,
    settings: SchedulerSettings,
    clock: Clock,
    pub(crate) longest_queue_delay: Duration,
}

/// The deployment's resources for schedules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// Name of the schedule group.
    pub group: String,
    /// ARN of the role with which schedules send messages to the slow lane.
    pub role_arn: String,
    /// ARN of the slow lane's queue.
    pub queue_arn: String,
    /// ARN of the dead-letter queue for messages that could not be sent to the slow lane for a day.
    pub dlq_arn: String,
}

impl Scheduler {
    /// Returns a scheduler for waits longer than `longest_queue_delay`; shorter waits use the queue's delay.
    #[must_use]
    pub fn new(
        config: &aws_types::SdkConfig,
        settings: SchedulerSettings,
        longest_queue_delay: Duration,
        clock: Clock,
    ) -> Self {
        let config = config.clone();
        Self { client: Lazy::new(move || Client::new(&config)), settings, clock, longest_queue_delay }
    }

    /// Schedules the message for the slow lane, in its tenant's message group, at the end of its delay. The schedule has the name of the
    /// delivery, so scheduling a message twice has no further effect. It is deleted after it fired.
    pub(crate) async fn schedule(&self, message: &Envelope) -> Result<(), ScheduleError> {
        let input = literal(message.body.as_str());
        if input.len() > MAX_INPUT {
            return Err(ScheduleError::TooLarge);
        }
        match self.create(message, &input, Some(&message.group)).await {
            // Message groups on standard queues (fair queues) are newer than the scheduler, whose documentation mentions FIFO queues only.
            // If it rejects the group, the message is scheduled without one: being on time is more important than fairness.
            Err(error) if error.code() == Some("ValidationException") => {
                self.create(message, &input, None).await
            }
            created => created,
        }
        .or_else(|error| match error.code() {
            Some("ConflictException") => Ok(()),
            _ => Err(ScheduleError::Create(Box::new(error))),
        })
    }

    async fn create(
        &self,
        message: &Envelope,
        input: &str,
        group: Option<&str>,
    ) -> Result<(), SdkError<CreateScheduleError>> {
        let invalid = |error: BuildError| SdkError::construction_failure(error);
        // Rounded up to the next whole second, so that no retry is early.
        let due = (self.clock)() + message.delay + Duration::from_millis(999);
        let at = due.to_offset(time::UtcOffset::UTC).format(AT).map_err(SdkError::construction_failure)?;
        let settings = &self.settings;
        let dlq = DeadLetterConfig::builder().arn(&settings.dlq_arn).build();
        let target = Target::builder()
            .arn(&settings.queue_arn)
            .role_arn(&settings.role_arn)
            .input(input)
            .set_sqs_parameters(group.map(|group| SqsParameters::builder().message_group_id(group).build()))
            .dead_letter_config(dlq);
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

/// Escapes the scheduler's context attributes (`<aws.scheduler.…>`) in a JSON text, because the scheduler would replace any that an event
/// contains. In JSON, `<` occurs only in strings, where the escape has the same meaning. Any other `<` is not escaped, because an event
/// with a page of HTML would grow beyond the scheduler's limit.
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html>
fn literal(json: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = json;
    while let Some((at, _)) = rest.match_indices('<').find(|(at, _)| looks_like_context(rest, *at)) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        out.push_str("\\u003c");
        rest = after.strip_prefix('<').unwrap_or(after);
    }
    if out.is_empty() && rest.len() == json.len() {
        return Cow::Borrowed(json);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn looks_like_context(text: &str, at: usize) -> bool {
    const START: &str = "<aws.";
    text.get(at..at + START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn schedule_time_has_the_schedulers_format() {
        assert_eq!(datetime!(2026-11-24 09:05:03 UTC).format(AT).unwrap(), "at(2026-11-24T09:05:03)");
    }

    #[test]
    fn context_attributes_in_a_message_are_escaped() {
        let json = r#"{"data":"<aws.scheduler.schedule-arn> \\<AWS.scheduler.x><<aws.é<p>","<aws.":"<aws"}"#;
        let sent = literal(json);
        assert!(!sent.to_lowercase().contains("<aws."), "{sent}");
        assert!(sent.contains("<p>"), "other text does not grow: {sent}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&sent), read(json));
        assert!(matches!(literal(r#"{"data":"<p>é</p>"}"#), Cow::Borrowed(_)));
    }
}
