//! The form of a message on the deliveries queues: a version, then the task, or the step of a recovery.

use std::collections::HashMap;
use std::hash::BuildHasher;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use anzol_domain::DeliveryTask;
use anzol_domain::recovery::RecoveryTask;

use crate::body::Body;

/// Version written. A reader refuses others, so that a message of a newer release waits in the queue instead of being misread.
const VERSION: u8 = 1;

#[derive(Serialize)]
struct WireOut<'a> {
    v: u8,
    #[serde(flatten)]
    what: WireBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum WireBody<'a> {
    Task(&'a DeliveryTask),
    Recovery(&'a RecoveryTask),
}

/// What a message asks for.
#[derive(Debug)]
pub enum QueueMessage {
    /// `task`: an attempt to be made.
    Delivery(Box<DeliveryTask>),
    /// `recovery`: a step of a recovery to be made.
    Recovery(RecoveryTask),
}

#[derive(Deserialize)]
struct WireIn {
    task: Option<Box<DeliveryTask>>,
    recovery: Option<RecoveryTask>,
}

#[derive(Deserialize)]
struct Version {
    v: u8,
}

/// Writes a task as a message body, in characters that SQS takes.
#[must_use]
pub fn encode(task: &DeliveryTask) -> String {
    body_of(task).into()
}

/// Writes a step of a recovery as a message body.
#[must_use]
pub fn encode_recovery(task: &RecoveryTask) -> String {
    body_of_recovery(task).into()
}

pub(crate) fn body_of_recovery(task: &RecoveryTask) -> Body {
    body(WireBody::Recovery(task))
}

pub(crate) fn body_of(task: &DeliveryTask) -> Body {
    body(WireBody::Task(task))
}

fn body(what: WireBody<'_>) -> Body {
    // A task is ids, numbers and JSON: it always has a JSON form.
    Body::new(serde_json::to_string(&WireOut { v: VERSION, what }).unwrap_or_default())
}

/// Why a message cannot be worked on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another release wrote it; it has to wait for one that reads it.
    #[error("a delivery message of version {0}, this release reads {VERSION}")]
    Version(u8),
    /// Nobody will ever be able to read it.
    #[error("not a delivery message: {0}")]
    Malformed(String),
}

/// When a message was put on its queue, by the attributes that SQS hands on with it.
#[must_use]
pub fn sent_at<S: BuildHasher>(attributes: &HashMap<String, String, S>) -> Option<OffsetDateTime> {
    let millis: i128 = attributes.get("SentTimestamp")?.parse().ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(millis.checked_mul(1_000_000)?).ok()
}

/// Reads a message body.
pub fn decode(body: &str) -> Result<QueueMessage, Unreadable> {
    let malformed = |error: serde_json::Error| Unreadable::Malformed(error.to_string());
    let version: Version = serde_json::from_str(body).map_err(malformed)?;
    if version.v != VERSION {
        return Err(Unreadable::Version(version.v));
    }
    match serde_json::from_str(body).map_err(malformed)? {
        WireIn { task: Some(task), recovery: None } => Ok(QueueMessage::Delivery(task)),
        WireIn { task: None, recovery: Some(recovery) } => Ok(QueueMessage::Recovery(recovery)),
        WireIn { .. } => Err(Unreadable::Malformed("it needs either `task` or `recovery`".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anzol_domain::{DeliveryId, Event, RecoveryId, TenantId, TraceContext, Trigger, WebhookId};

    #[test]
    fn a_task_survives_the_queue_and_holds_no_more_than_the_event_and_ids() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let json = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-11-24T10:00:00Z","data":{"n":1.50}}"#;
        let task = DeliveryTask {
            tenant_id: TenantId::parse("acme").unwrap(),
            webhook_id: WebhookId::mint(at),
            delivery_id: DeliveryId::mint(at),
            attempt: 2,
            trigger: Trigger::Retry,
            accepted_at: Some(at),
            trace: TraceContext::parse(
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                Some("a=b"),
            ),
            event: Event::parse(json, at).unwrap(),
        };
        let body = encode(&task);
        let QueueMessage::Delivery(back) = decode(&body).unwrap() else { panic!("another kind of message") };
        assert_eq!(encode(&back), body);
        assert_eq!(back.event.payload(true), json);
        assert_eq!((back.attempt, back.trigger, back.delivery_id), (2, Trigger::Retry, task.delivery_id));
        assert_eq!((back.accepted_at, back.trace), (task.accepted_at, task.trace));
    }

    #[test]
    fn a_message_of_an_older_release_knows_neither_trace_nor_acceptance() {
        let id = DeliveryId::floor(OffsetDateTime::UNIX_EPOCH);
        let event = r#"{"cloudEvent":{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-11-24T10:00:00Z"}}"#;
        let body = format!(
            r#"{{"v":1,"task":{{"tenantId":"acme","webhookId":"{id}","deliveryId":"{id}","attempt":1,"trigger":"event","event":{event}}}}}"#
        );
        let QueueMessage::Delivery(task) = decode(&body).unwrap() else { panic!("another kind of message") };
        assert_eq!((task.accepted_at, &task.trace), (None, &None));
        assert_eq!(task.trace(), TraceContext::of(id), "and gets a trace of its own");
    }

    #[test]
    fn a_step_of_a_recovery_survives_the_queue() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let task = RecoveryTask {
            tenant_id: TenantId::parse("acme").unwrap(),
            webhook_id: WebhookId::mint(at),
            recovery_id: RecoveryId::mint(at),
        };
        let QueueMessage::Recovery(back) = decode(&encode_recovery(&task)).unwrap() else {
            panic!("another kind of message")
        };
        assert_eq!(back, task);
    }

    #[test]
    fn foreign_messages_are_refused_with_a_reason() {
        assert!(matches!(decode("hello"), Err(Unreadable::Malformed(_))));
        assert_eq!(decode(r#"{"v":2,"task":{}}"#).unwrap_err(), Unreadable::Version(2));
        for malformed in
            [r#"{"v":1,"task":{}}"#, r#"{"v":1,"recovery":{}}"#, r#"{"v":1}"#, r#"{"v":1,"other":{}}"#]
        {
            assert!(matches!(decode(malformed), Err(Unreadable::Malformed(_))), "{malformed}");
        }
    }
}
