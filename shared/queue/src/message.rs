//! The wire format of messages on the delivery queues: a version, then a delivery task or a recovery step.

use std::collections::HashMap;
use std::hash::BuildHasher;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use anzol_domain::DeliveryTask;
use anzol_domain::recovery::RecoveryTask;

use crate::body::Body;

/// The version of written messages. A reader rejects other versions, so that a message of a newer release stays in the queue, and later in
/// the dead-letter queue, instead of being misread.
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

/// The content of a message.
#[derive(Debug)]
pub enum QueueMessage {
    /// `task`: an attempt to make.
    Delivery(Box<DeliveryTask>),
    /// `recovery`: a recovery step to run.
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

/// Encodes a task as a message body, in characters that SQS accepts.
#[must_use]
pub fn encode(task: &DeliveryTask) -> String {
    body_of(task).into()
}

/// Encodes a recovery step as a message body.
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

#[expect(clippy::expect_used, reason = "a task consists of ids, numbers and JSON, all of which serialize")]
fn body(what: WireBody<'_>) -> Body {
    Body::new(serde_json::to_string(&WireOut { v: VERSION, what }).expect("a message always serializes"))
}

/// Why a message cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another release wrote the message. It must wait for a release that can read it.
    #[error("a delivery message of version {0}, this release reads {VERSION}")]
    Version(u8),
    /// No release can read the message.
    #[error("not a delivery message: {0}")]
    Malformed(String),
}

/// Returns when a message was put on its queue, from the attributes that SQS adds.
#[must_use]
pub fn sent_at<S: BuildHasher>(attributes: &HashMap<String, String, S>) -> Option<OffsetDateTime> {
    let millis: i128 = attributes.get("SentTimestamp")?.parse().ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(millis.checked_mul(1_000_000)?).ok()
}

/// Decodes a message body.
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
    fn task_roundtrip_keeps_event_ids_and_trace() {
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
        let QueueMessage::Delivery(back) = decode(&body).unwrap() else {
            panic!("not the expected kind of message")
        };
        assert_eq!(encode(&back), body);
        assert_eq!(back.event.payload(true), json);
        assert_eq!((back.attempt, back.trigger, back.delivery_id), (2, Trigger::Retry, task.delivery_id));
        assert_eq!((back.accepted_at, back.trace), (task.accepted_at, task.trace));
    }

    #[test]
    fn older_message_has_neither_trace_nor_accepted_at() {
        let id = DeliveryId::lowest_at(OffsetDateTime::UNIX_EPOCH);
        let event = r#"{"cloudEvent":{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-11-24T10:00:00Z"}}"#;
        let body = format!(
            r#"{{"v":1,"task":{{"tenantId":"acme","webhookId":"{id}","deliveryId":"{id}","attempt":1,"trigger":"event","event":{event}}}}}"#
        );
        let QueueMessage::Delivery(task) = decode(&body).unwrap() else {
            panic!("not the expected kind of message")
        };
        assert_eq!((task.accepted_at, &task.trace), (None, &None));
        assert_eq!(task.trace(), TraceContext::of(id), "the trace starts with the delivery");
    }

    #[test]
    fn recovery_step_roundtrip_is_lossless() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let task = RecoveryTask {
            tenant_id: TenantId::parse("acme").unwrap(),
            webhook_id: WebhookId::mint(at),
            recovery_id: RecoveryId::mint(at),
        };
        let QueueMessage::Recovery(back) = decode(&encode_recovery(&task)).unwrap() else {
            panic!("not the expected kind of message")
        };
        assert_eq!(back, task);
    }

    #[test]
    fn unknown_messages_are_refused_with_a_reason() {
        assert!(matches!(decode("hello"), Err(Unreadable::Malformed(_))));
        assert_eq!(decode(r#"{"v":2,"task":{}}"#).unwrap_err(), Unreadable::Version(2));
        for malformed in
            [r#"{"v":1,"task":{}}"#, r#"{"v":1,"recovery":{}}"#, r#"{"v":1}"#, r#"{"v":1,"other":{}}"#]
        {
            assert!(matches!(decode(malformed), Err(Unreadable::Malformed(_))), "{malformed}");
        }
    }
}
