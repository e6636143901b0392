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

/// What there is to say of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationalEvent {
    /// Half of what it takes to be disabled has come to pass.
    Failing,
    /// We disabled it.
    Disabled,
    /// It works again, after it was said to be failing.
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

    /// The event that says it of `webhook`. The same news of the same run of failures is the same event, also when told twice.
    ///
    /// # Errors
    /// Never: the parts were checked before. The type is that of reading an event.
    pub fn to_event(self, webhook: &Webhook, now: OffsetDateTime) -> Result<Event, Invalid> {
        let spelled = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
        let health = &webhook.health;
        let run = health.failing_since.map_or_else(|| webhook.version.to_string(), spelled);
        let mut data = json!({
            "id": webhook.id.to_string(),
            "name": webhook.spec.name,
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
