//! The match log: records of received events and of mismatches, and the reasons for no deliveries that follow from them. An Anzol extension
//! of the contract.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::delivery::RETENTION;
use crate::id::{TenantId, WebhookId};
use crate::level::Level;
use crate::webhook::Webhook;

/// The rule of a webhook that rejected an event of a subscribed type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mismatch {
    /// The level is `user`, and the event was not the owner's.
    Level,
    /// The filter rejected the event.
    Filter,
}

/// A record of dispatch: an event of a type was received, or a webhook's rule rejected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchRecord {
    /// The tenant of the event.
    pub tenant_id: TenantId,
    /// The canonical name of the event type.
    pub event_type: &'static str,
    /// The webhook that did not match, the rule that rejected the event, and the rule's value at that time. `None` for a received event.
    pub mismatch: Option<(WebhookId, Mismatch, String)>,
}

/// The last event that one of a webhook's rules rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastMismatch {
    /// The rule.
    pub mismatch: Mismatch,
    /// The rule's value at that time. If the webhook has another value now, this record no longer applies.
    pub rule: String,
    /// The canonical name of the event type.
    pub event_type: String,
    /// When the event was received.
    pub at: OffsetDateTime,
}

/// All records that concern a webhook. A record can be up to an hour older than the last event it applies to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchHistory {
    /// When the tenant last received an event of a type, by type.
    pub events: BTreeMap<String, OffsetDateTime>,
    /// The last event that each of the webhook's rules rejected.
    pub mismatches: Vec<LastMismatch>,
}

/// A reason why a webhook has no deliveries. Programs can rely on the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoDeliveryCode {
    /// The webhook is disabled.
    Disabled,
    /// The webhook subscribes to no event types.
    NoEventTypes,
    /// No event of the subscribed types was received.
    NoEvents,
    /// Events of the subscribed types were received, but the webhook has level `user`, and none was its owner's.
    Level,
    /// Events of the subscribed types were received, but the filter rejected them.
    Filter,
}

/// A reason why a webhook has no deliveries, with its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDeliveryReason {
    /// The reason.
    pub code: NoDeliveryCode,
    /// The start of the time that the reason covers.
    pub since: Option<OffsetDateTime>,
    /// When the last event of the subscribed types was received; up to an hour too early.
    pub last_event_at: Option<OffsetDateTime>,
}

impl Webhook {
    /// Returns the value of a rule, or `None` if the webhook has no such rule.
    #[must_use]
    pub fn mismatch_rule(&self, mismatch: Mismatch) -> Option<String> {
        match mismatch {
            Mismatch::Level => (self.spec.level == Level::User).then(|| self.spec.owner_id.to_string()),
            Mismatch::Filter => self.spec.filter.as_ref().map(ToString::to_string),
        }
    }
}

/// Returns the reasons at `now` why a webhook has no deliveries in the last 7 days.
///
/// `disabled` together with `no_event_types` or `no_events` means that enabling the webhook is not enough. `no_events` covers the last 7
/// days, or the time since the webhook last changed if that is shorter; an event received before is its `last_event_at`. There is no
/// reason if an event was just received and its delivery is pending.
#[must_use]
pub fn no_delivery_reasons(
    webhook: &Webhook,
    history: &MatchHistory,
    now: OffsetDateTime,
) -> Vec<NoDeliveryReason> {
    let spec = &webhook.spec;
    let week = now - RETENTION;
    let is_subscribed = |event_type: &String| spec.event_types.contains(event_type);
    let plain = |code| NoDeliveryReason { code, since: None, last_event_at: None };
    let mut reasons = Vec::new();
    if !spec.enabled {
        reasons.push(plain(NoDeliveryCode::Disabled));
    }
    if spec.event_types.is_empty() {
        reasons.push(plain(NoDeliveryCode::NoEventTypes));
        return reasons;
    }
    if spec.enabled {
        for (mismatch, code) in
            [(Mismatch::Level, NoDeliveryCode::Level), (Mismatch::Filter, NoDeliveryCode::Filter)]
        {
            let rule = webhook.mismatch_rule(mismatch);
            let applies = |last: &&LastMismatch| {
                last.mismatch == mismatch
                    && Some(&last.rule) == rule.as_ref()
                    && is_subscribed(&last.event_type)
                    && last.at > week
            };
            if let Some(at) = history.mismatches.iter().filter(applies).map(|last| last.at).max() {
                reasons.push(NoDeliveryReason { last_event_at: Some(at), ..plain(code) });
            }
        }
    }
    let last_event_at = history
        .events
        .iter()
        .filter(|(name, at)| is_subscribed(name) && **at > week)
        .map(|(_, at)| *at)
        .max();
    // A disabled webhook receives no events anyway, so `no_events` is a reason only if there was none in the whole week.
    let since = if spec.enabled { week.max(webhook.updated_at) } else { week };
    let has_mismatch = reasons.iter().any(|reason| reason.code != NoDeliveryCode::Disabled);
    if !has_mismatch && last_event_at.is_none_or(|at| at < since) {
        reasons.push(NoDeliveryReason { code: NoDeliveryCode::NoEvents, since: Some(since), last_event_at });
    }
    reasons
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;
    use crate::error::Invalid;
    use crate::webhook::WebhookInput;
    use crate::webhook::tests::{raw, webhook};

    const NOW: OffsetDateTime = datetime!(2026-11-24 10:00 UTC);
    const CREATED: &str = "com.qlik.v1.app.created";
    const EXPORTED: &str = "com.qlik.v1.app.exported";

    fn old(raw: WebhookInput) -> Webhook {
        webhook(raw, NOW - Duration::days(30))
    }

    fn events(of: &[(&str, OffsetDateTime)]) -> BTreeMap<String, OffsetDateTime> {
        of.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect()
    }

    fn last(mismatch: Mismatch, rule: &str, at: OffsetDateTime) -> LastMismatch {
        LastMismatch { mismatch, rule: rule.to_owned(), event_type: CREATED.to_owned(), at }
    }

    fn codes(webhook: &Webhook, history: &MatchHistory) -> Vec<NoDeliveryCode> {
        no_delivery_reasons(webhook, history, NOW).into_iter().map(|reason| reason.code).collect()
    }

    #[test]
    fn no_events_covers_seven_days_or_since_last_change() {
        let hour = Duration::hours(1);
        let found = |webhook: &Webhook, at| {
            let events = events(&[(CREATED, at), (EXPORTED, NOW)]);
            no_delivery_reasons(webhook, &MatchHistory { events, mismatches: vec![] }, NOW)
        };
        let no_events = |since, last_event_at| {
            vec![NoDeliveryReason { code: NoDeliveryCode::NoEvents, since: Some(since), last_event_at }]
        };
        let week = NOW - RETENTION;
        assert_eq!(no_delivery_reasons(&old(raw()), &MatchHistory::default(), NOW), no_events(week, None));
        assert_eq!(found(&old(raw()), week - hour), no_events(week, None), "too long ago to be shown");
        assert_eq!(found(&old(raw()), week + hour), [], "its delivery is pending");
        let new = webhook(raw(), NOW - hour);
        assert_eq!(found(&new, NOW - hour * 2), no_events(NOW - hour, Some(NOW - hour * 2)));
        assert_eq!(found(&new, NOW), []);
    }

    #[test]
    fn disabled_webhook_also_reports_missing_types_or_events() {
        let seen = MatchHistory {
            events: events(&[(CREATED, NOW)]),
            mismatches: vec![last(Mismatch::Level, "user-1", NOW)],
        };
        let disabled = WebhookInput { enabled: Some(false), level: Some(Level::User), ..raw() };
        assert_eq!(codes(&old(disabled.clone()), &seen), [NoDeliveryCode::Disabled]);
        assert_eq!(
            codes(&old(disabled.clone()), &MatchHistory::default()),
            [NoDeliveryCode::Disabled, NoDeliveryCode::NoEvents]
        );
        let empty = WebhookInput { event_types: Some(vec![]), ..disabled };
        assert_eq!(codes(&old(empty), &seen), [NoDeliveryCode::Disabled, NoDeliveryCode::NoEventTypes]);
    }

    #[test]
    fn mismatch_applies_until_rule_or_types_change() -> Result<(), Invalid> {
        let filter = r#"id eq "a""#;
        let both = WebhookInput { level: Some(Level::User), filter: Some(filter.to_owned()), ..raw() };
        let all = |at| MatchHistory {
            events: events(&[(CREATED, NOW - Duration::days(1))]),
            mismatches: vec![last(Mismatch::Level, "user-1", at), last(Mismatch::Filter, filter, at)],
        };
        let seen = all(NOW);
        assert_eq!(codes(&old(both.clone()), &seen), [NoDeliveryCode::Level, NoDeliveryCode::Filter]);
        let level = no_delivery_reasons(&old(both.clone()), &seen, NOW)[0];
        assert_eq!((level.since, level.last_event_at), (None, Some(NOW)));
        // Renaming changes no rule, although it changes `updated_at`.
        assert_eq!(
            codes(&webhook(both.clone(), NOW), &all(NOW - Duration::hours(3))),
            [NoDeliveryCode::Level, NoDeliveryCode::Filter]
        );
        assert_eq!(codes(&old(both.clone()), &all(NOW - RETENTION)), [], "too long ago");
        let changes = [
            (WebhookInput { filter: None, ..both.clone() }, vec![NoDeliveryCode::Level]),
            (
                WebhookInput { filter: Some(r#"id eq "b""#.to_owned()), ..both.clone() },
                vec![NoDeliveryCode::Level],
            ),
            (WebhookInput { level: Some(Level::Tenant), ..both.clone() }, vec![NoDeliveryCode::Filter]),
            (
                WebhookInput { owner_id: Some("user-2".to_owned()), ..both.clone() },
                vec![NoDeliveryCode::Filter],
            ),
            (
                WebhookInput { event_types: Some(vec![EXPORTED.to_owned()]), ..both },
                vec![NoDeliveryCode::NoEvents],
            ),
        ];
        for (raw, wanted) in changes {
            raw.clone().check_new()?;
            assert_eq!(codes(&webhook(raw.clone(), NOW), &seen), wanted, "{:?}", raw.filter);
        }
        Ok(())
    }
}
