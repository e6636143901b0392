//! Events of our own: what becomes of a webhook, for whoever subscribes to it. Ours, beyond the contract.

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::Invalid;
use crate::event::Event;
use crate::webhook::Webhook;

/// Start of the names of all of them. Producers may not publish under it.
pub const PREFIX: &str = "anzol.";
/// The `source` of all of them. Reserved, too.
pub const SOURCE: &str = "anzol";

/// An operational event about a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationalEvent {
    /// The webhook has reached half of its disable threshold. Published when its health state becomes `warning`: the state `failing` only
    /// means that the last attempt failed, which is not worth an event.
    Failing,
    /// The webhook was disabled because its receiver fails.
    Disabled,
    /// An attempt succeeded after [`Self::Failing`] was published.
    Recovered,
}

impl OperationalEvent {
    /// The event type.
    #[must_use]
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Failing => "anzol.webhook.failing",
            Self::Disabled => "anzol.webhook.disabled",
            Self::Recovered => "anzol.webhook.recovered",
        }
    }

    /// Returns the health state that the webhook has when this event is published, as the event's `data.healthState`. A disabled webhook
    /// has none of its own in the API, so the event says `disabled`.
    #[must_use]
    pub fn health_state(self) -> &'static str {
        match self {
            Self::Failing => "warning",
            Self::Disabled => "disabled",
            Self::Recovered => "healthy",
        }
    }

    /// Returns the event for `webhook`. Publishing it twice for the same run of failures publishes the same event, with the same id.
    ///
    /// # Errors
    /// Never: the parts are valid. The type is that of parsing an event.
    pub fn to_event(self, webhook: &Webhook, now: OffsetDateTime) -> Result<Event, Invalid> {
        let spelled = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
        let health = &webhook.health;
        let run = health.failing_since.map_or_else(|| webhook.version.to_string(), spelled);
        let mut data = json!({
            "id": webhook.id.to_string(),
            "name": webhook.spec.name,
            "healthState": self.health_state(),
            "consecutiveFailures": health.failures,
        });
        if let (Some(members), Some(since)) = (data.as_object_mut(), health.failing_since) {
            members.insert("failingSince".to_owned(), json!(spelled(since)));
        }
        if let (Some(members), Some(disabled)) = (data.as_object_mut(), &webhook.disabled) {
            members.insert("disabledReason".to_owned(), json!(disabled.reason));
            members.insert("disabledReasonCode".to_owned(), json!(disabled.code));
        }
        let event = json!({
            "specversion": "1.0",
            "id": format!("{}/{}/{run}", webhook.id, self.event_type()),
            "source": SOURCE,
            "type": self.event_type(),
            "time": spelled(now),
            "datacontenttype": "application/json",
            "tenantid": webhook.tenant_id,
            "ownerid": webhook.spec.owner_id,
            "data": data,
        });
        Event::parse(&event.to_string(), now)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::health::Health;
    use crate::id::{TenantId, UserId, WebhookId};
    use crate::webhook::{Level, Origin, RawSpec};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn webhook() -> Webhook {
        let user = UserId::parse("user-1").unwrap();
        let raw = RawSpec {
            name: Some("Orders".to_owned()),
            description: None,
            url: Some("https://hooks.example.com/x".to_owned()),
            event_types: vec!["com.qlik.v1.app.created".to_owned()],
            level: Level::Tenant,
            owner_id: user.to_string(),
            secret: None,
            filter: None,
            headers: BTreeMap::new(),
            encrypted_headers: BTreeMap::new(),
            enabled: true,
            cloud_events: false,
        };
        Webhook {
            id: WebhookId::mint(NOW),
            tenant_id: TenantId::parse("acme").unwrap(),
            spec: raw.check().unwrap().0,
            origin: Origin::Api,
            created_at: NOW,
            updated_at: NOW,
            created_by: user.clone(),
            updated_by: user,
            sealed: None,
            health: Health { failures: 25, failing_since: Some(NOW), ..Health::default() },
            disabled: None,
            version: 1,
        }
    }

    #[test]
    fn operational_event_data_names_the_health_state() {
        let webhook = webhook();
        for (operational, state) in [
            (OperationalEvent::Failing, "warning"),
            (OperationalEvent::Disabled, "disabled"),
            (OperationalEvent::Recovered, "healthy"),
        ] {
            let event = operational.to_event(&webhook, NOW).unwrap();
            let payload: serde_json::Value = serde_json::from_str(&event.payload(true)).unwrap();
            assert_eq!(payload["type"], operational.event_type());
            assert_eq!(payload["data"]["healthState"], state, "{payload:#}");
            assert_eq!(payload["data"]["consecutiveFailures"], 25, "{payload:#}");
        }
    }
}
