//! Operational events about webhooks: failing, disabled, recovered. An Anzol extension of the contract.

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::Invalid;
use crate::event::{Event, OPERATIONAL_SOURCE};
use crate::event_type::{WEBHOOK_DISABLED, WEBHOOK_FAILING, WEBHOOK_RECOVERED};
use crate::health::HealthState;
use crate::webhook::Webhook;

/// A change in the state of a webhook that its tenant can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationalEvent {
    /// The health state became [`HealthState::Warning`].
    Failing,
    /// Anzol disabled the webhook.
    Disabled,
    /// An attempt succeeded after [`OperationalEvent::Failing`] was published.
    Recovered,
}

impl OperationalEvent {
    /// Returns the event type.
    #[must_use]
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Failing => WEBHOOK_FAILING,
            Self::Disabled => WEBHOOK_DISABLED,
            Self::Recovered => WEBHOOK_RECOVERED,
        }
    }

    /// Returns the event about `webhook`. Its id depends on the run of failures only, so publishing it twice yields the same event.
    ///
    /// # Errors
    /// The event breaks a rule for events. The checked parts of a webhook rule that out.
    pub fn to_event(self, webhook: &Webhook, now: OffsetDateTime) -> Result<Event, Invalid> {
        let health = &webhook.health;
        let run = health.failing_since.map_or_else(|| webhook.version.to_string(), rfc3339);
        let mut data = json!({
            "id": webhook.id.to_string(),
            "name": webhook.spec.name,
            "consecutiveFailures": health.failures,
        });
        if let Some(members) = data.as_object_mut() {
            let mut add = |name: &str, value: &str| members.insert(name.to_owned(), json!(value));
            if let Some(since) = health.failing_since {
                add("failingSince", &rfc3339(since));
            }
            if self == Self::Failing {
                add("healthState", HealthState::Warning.name());
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

#[expect(clippy::expect_used, reason = "RFC 3339 has every year from 0 to 9999")]
fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("a year from 0 to 9999")
}
