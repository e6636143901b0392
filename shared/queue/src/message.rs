//! The form of a message on the deliveries queues: a version, then the task.

use serde::{Deserialize, Serialize};

use anzol_domain::DeliveryTask;

/// Version written. A reader refuses others, so that a message of a newer release waits in the queue instead of being misread.
const VERSION: u8 = 1;

#[derive(Serialize)]
struct Out<'a> {
    v: u8,
    task: &'a DeliveryTask,
}

#[derive(Deserialize)]
struct In {
    task: DeliveryTask,
}

#[derive(Deserialize)]
struct Version {
    v: u8,
}

/// Writes a task as a message body.
#[must_use]
pub fn encode(task: &DeliveryTask) -> String {
    // A task is ids, numbers and JSON: it always has a JSON form.
    serde_json::to_string(&Out { v: VERSION, task }).unwrap_or_default()
}

/// Reads a message body.
///
/// # Errors
/// What is wrong with it, for the log; the message then goes back, and in the end to the dead-letter queue.
pub fn decode(body: &str) -> Result<DeliveryTask, String> {
    let version: Version =
        serde_json::from_str(body).map_err(|error| format!("not a delivery message: {error}"))?;
    if version.v != VERSION {
        return Err(format!("a delivery message of version {}, this release reads {VERSION}", version.v));
    }
    serde_json::from_str(body)
        .map(|message: In| message.task)
        .map_err(|error| format!("a bad delivery message: {error}"))
}

#[cfg(test)]
mod tests {
    use anzol_domain::{DeliveryId, Event, TenantId, Trigger, WebhookId};
    use time::OffsetDateTime;

    use super::*;

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
            event: Event::parse(json, at).unwrap(),
        };
        let body = encode(&task);
        let back = decode(&body).unwrap();
        assert_eq!(encode(&back), body);
        assert_eq!(back.event.payload(true), json);
        assert_eq!((back.attempt, back.trigger, back.delivery_id), (2, Trigger::Retry, task.delivery_id));
    }

    #[test]
    fn foreign_messages_are_refused_with_a_reason() {
        assert!(decode("hello").unwrap_err().contains("not a delivery message"));
        assert!(decode(r#"{"v":2,"task":{}}"#).unwrap_err().contains("version 2"));
        assert!(decode(r#"{"v":1,"task":{}}"#).unwrap_err().contains("bad delivery message"));
    }
}
