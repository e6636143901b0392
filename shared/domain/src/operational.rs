//! Operational events about webhooks: failing, disabled, recovered. An Anzol extension of the contract.

use serde_json::json;
use time::OffsetDateTime;

use crate::error::Invalid;
use crate::event::{Event, OPERATIONAL_SOURCE, rfc3339};
use crate::event_type::{WEBHOOK_DISABLED, WEBHOOK_FAILING, WEBHOOK_RECOVERED};
use crate::health::HealthState;
use crate::webhook::Webhook;

/// An operational event about a webhook: a change that its tenant can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationalEvent {
    /// The webhook has reached half of its disable threshold. Published when its health state becomes [`HealthState::Warning`]: the state
    /// `failing` needs only one failed attempt since the last success, which is not worth an event.
    Failing,
    /// Anzol disabled the webhook because its receiver fails.
    Disabled,
    /// An attempt succeeded after [`Self::Failing`] was published.
    Recovered,
}

impl OperationalEvent {
    /// Returns the operational event with this type.
    #[must_use]
    pub fn find(event_type: &str) -> Option<Self> {
        [Self::Failing, Self::Disabled, Self::Recovered]
            .into_iter()
            .find(|event| event.event_type() == event_type)
    }

    /// Returns the event type.
    #[must_use]
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Failing => WEBHOOK_FAILING,
            Self::Disabled => WEBHOOK_DISABLED,
            Self::Recovered => WEBHOOK_RECOVERED,
        }
    }

    /// Returns the webhook's health state when this event is published, the event's `data.healthState`: `disabled` for a disabled webhook.
    /// The API shows a disabled webhook's state by its failures instead, as for any other webhook.
    #[must_use]
    pub fn health_state(self) -> &'static str {
        match self {
            Self::Failing => HealthState::Warning.name(),
            Self::Disabled => "disabled",
            Self::Recovered => HealthState::Healthy.name(),
        }
    }

    /// Returns the event about `webhook`. Events for the same run of failures have the same id.
    ///
    /// # Errors
    /// Never for a valid webhook; the type is that of [`Event::parse`].
    pub fn to_event(self, webhook: &Webhook, now: OffsetDateTime) -> Result<Event, Invalid> {
        let health = &webhook.health;
        let run = health.failing_since.map_or_else(|| webhook.version.to_string(), rfc3339);
        let mut data = json!({
            "id": webhook.id.to_string(),
            "name": webhook.spec.name,
            "healthState": self.health_state(),
            "consecutiveFailures": health.failures,
        });
        if let Some(members) = data.as_object_mut() {
            let mut add = |name: &str, value: &str| members.insert(name.to_owned(), json!(value));
            if let Some(since) = health.failing_since {
                add("failingSince", &rfc3339(since));
            }
            if let Some(disabled) = &webhook.disabled {
                add("disabledReason", &disabled.reason);
                add("disabledReasonCode", &disabled.code);
            }
        }
        let event = json!({
            "specversion": "1.0",
            "id": format!("{}/{}/{run}", webhook.id, self.event_type()),
            "source": OPERATIONAL_SOURCE,
            "type": self.event_type(),
            "time": rfc3339(now),
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
    use super::*;
    use crate::health::Health;
    use crate::id::{TenantId, UserId, WebhookId};
    use crate::webhook::{Defaults, WebhookInput};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn webhook() -> Webhook {
        let user = UserId::parse("user-1").unwrap();
        let input = WebhookInput {
            name: Some("Orders".to_owned()),
            url: Some("https://hooks.example.com/x".to_owned()),
            event_types: Some(vec!["com.qlik.v1.app.created".to_owned()]),
            ..WebhookInput::default()
        };
        let (tenant, spec) =
            (TenantId::parse("acme").unwrap(), input.check(&Defaults::creation(&user)).unwrap().0);
        let health = Health { failures: 25, failing_since: Some(NOW), ..Health::default() };
        Webhook { health, ..Webhook::new(WebhookId::mint(NOW), tenant, spec, user, NOW) }
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
