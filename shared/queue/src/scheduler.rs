//! Waits longer than a queue can hide a message: one-time schedules that put the message on the slow lane when it is due.
//!
//! Not a queue's own delay for another reason too: hidden messages count as in flight, which would make the tenant look noisy.

use std::borrow::Cow;
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

use crate::queue::Envelope;

/// The one spelling of a moment that the scheduler takes; in UTC.
const AT: &[BorrowedFormatItem<'_>] =
    format_description!("at([year]-[month]-[day]T[hour]:[minute]:[second])");

/// Bytes of what a schedule may put on its queue: 256 KB, as the message it becomes there (our reading: the documentation of the scheduler
/// names no bound of its own, and says that a target gets what its service takes).
const MAX_INPUT: usize = 256 * 1000;

/// Why a message has no schedule.
#[derive(Debug)]
pub(crate) struct Unscheduled {
    /// For the log.
    pub(crate) reason: String,
    /// Whether asking again would end in the same way.
    pub(crate) permanent: bool,
}

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
    pub dlq_arn: String,
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
    /// What went wrong, for the log, and whether it will always go wrong for this message.
    pub(crate) async fn schedule(&self, message: &Envelope) -> Result<(), Unscheduled> {
        let input = literal(message.body.as_str());
        if input.len() > MAX_INPUT {
            let reason = format!("the scheduler takes {MAX_INPUT} bytes");
            return Err(Unscheduled { reason, permanent: true });
        }
        match self.create(message, &input, Some(&message.group)).await {
            // Message groups on standard queues (fair queues) are younger than the scheduler, whose documentation still speaks of FIFO
            // queues only. Should it insist on that somewhere, a message on time is worth more than a fair one.
            Err(error) if error.code() == Some("ValidationException") => {
                self.create(message, &input, None).await
            }
            created => created,
        }
        .or_else(|error| match error.code() {
            Some("ConflictException") => Ok(()),
            code => Err(Unscheduled {
                permanent: code == Some("ValidationException"),
                reason: DisplayErrorContext(error).to_string(),
            }),
        })
    }

    async fn create(
        &self,
        message: &Envelope,
        input: &str,
        group: Option<&str>,
    ) -> Result<(), SdkError<CreateScheduleError>> {
        let invalid = |error: BuildError| SdkError::construction_failure(error);
        // Up to the next whole second: never early.
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

/// The same JSON in which nothing looks like one of the scheduler's context attributes (`<aws.scheduler.…>`), which it would replace in an
/// event that happens to hold it. `<` can only stand in a string, where an escape means the same. Other `<` stay, as a page of HTML in an
/// event would grow beyond what the scheduler takes.
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
    fn a_moment_is_spelled_as_the_scheduler_wants_it() {
        assert_eq!(datetime!(2026-11-24 09:05:03 UTC).format(AT).unwrap(), "at(2026-11-24T09:05:03)");
    }

    #[test]
    fn nothing_in_a_message_is_an_attribute_of_the_scheduler() {
        let json = r#"{"data":"<aws.scheduler.schedule-arn> \\<AWS.scheduler.x><<aws.é<p>","<aws.":"<aws"}"#;
        let sent = literal(json);
        assert!(!sent.to_lowercase().contains("<aws."), "{sent}");
        assert!(sent.contains("<p>"), "what means nothing to the scheduler does not grow: {sent}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&sent), read(json));
        assert!(matches!(literal(r#"{"data":"<p>é</p>"}"#), Cow::Borrowed(_)));
    }
}
