//! Checks the documented limits of SQS and the scheduler, which implementations for development do not enforce.
//!
//! - [Send](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html): the characters of a body, its
//!   minimum size, `DelaySeconds`, `MessageGroupId`.
//! - [Batch](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html): ten entries, together no larger
//!   than one message may be.
//! - [Attributes](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html): ten, with the
//!   same characters, not empty; name, type and value count towards the size of the message.
//! - [Sizes](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html): 1 MiB.
//! - [Schedule](https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html): the characters of a name.
//! - [Target](https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html): the text that is replaced in
//!   an input. The maximum size of an input is assumed to be 256 KB, SQS's limit when the scheduler was introduced.

use serde_json::Value;

/// Maximum bytes of a message or a batch.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;
/// Maximum bytes of a schedule's input.
const MAX_INPUT: usize = 256 * 1000;

/// The punctuation allowed in a message group.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

fn is_character(c: char) -> bool {
    matches!(u32::from(c), 0x9 | 0xa | 0xd | 0x20..=0xd7ff | 0xe000..=0xfffd | 0x1_0000..=0x10_ffff)
}

pub(crate) fn is_group(group: &str) -> bool {
    (1..=128).contains(&group.len())
        && group.chars().all(|c| c.is_ascii_alphanumeric() || PUNCTUATION.contains(c))
}

/// Returns the size of a message in bytes: body and attributes.
pub(crate) fn size(message: &Value) -> usize {
    let body = message["MessageBody"].as_str().unwrap_or_default().len();
    let attributes = message["MessageAttributes"].as_object().into_iter().flatten();
    let bytes = attributes.map(|(name, value)| {
        let text = |member: &str| value[member].as_str().unwrap_or_default().len();
        name.len() + text("DataType") + text("StringValue")
    });
    body + bytes.sum::<usize>()
}

/// Returns the error code with which a message is refused, alone or in a batch.
pub(crate) fn refusal(message: &Value, most: usize) -> Option<&'static str> {
    let body = message["MessageBody"].as_str().unwrap_or_default();
    let mut values = message["MessageAttributes"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, value)| value["StringValue"].as_str().unwrap_or_default());
    let delay = message["DelaySeconds"].as_i64().unwrap_or_default();
    let group = message["MessageGroupId"].as_str();
    if body.is_empty() {
        Some("MissingParameter")
    } else if !body.chars().all(is_character) {
        Some("InvalidMessageContents")
    } else if size(message) > most
        || values.any(|value| value.is_empty() || !value.chars().all(is_character))
        || message["MessageAttributes"].as_object().is_some_and(|all| all.len() > 10)
        || !(0..=900).contains(&delay)
        || !group.is_none_or(is_group)
    {
        Some("InvalidParameterValue")
    } else {
        None
    }
}

/// Returns why a schedule is refused.
pub(crate) fn schedule_refusal(name: &str, schedule: &Value) -> Option<&'static str> {
    let target = &schedule["Target"];
    let input = target["Input"].as_str().unwrap_or_default();
    let group = target["SqsParameters"]["MessageGroupId"].as_str();
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !(1..=64).contains(&name.len()) || !name.chars().all(is_letter) {
        Some("the name is not valid")
    } else if input.is_empty() || input.len() > MAX_INPUT {
        Some("the input is not valid")
    } else if !input.chars().all(is_character) {
        Some("the queue would refuse the input")
    } else if input.to_lowercase().contains("<aws.") {
        Some("the input would be changed")
    } else if !group.is_none_or(is_group) {
        Some("the message group is not valid")
    } else {
        None
    }
}
