//! Why a webhook has been getting nothing: what dispatch notes of events, and what follows from it. Ours, beyond the contract.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::delivery::RETENTION;
use crate::id::{TenantId, WebhookId};
use crate::webhook::{Level, Webhook};

/// By which of its rules a webhook did not hear an event of its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mismatch {
    /// Its level is `user`, and the event was not its owner's.
    Level,
    /// Its filter did not let the event through.
    Filter,
}

/// What dispatch notes: that an event came, or that a webhook missed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchRecord {
    /// Whose event it was.
    pub tenant_id: TenantId,
    /// Its type, under the name that the catalogue gives it.
    pub event_type: &'static str,
    /// Who missed it, by which rule, and what the rule then was; nothing when the note is of the event alone.
    pub missed: Option<(WebhookId, Mismatch, String)>,
}

/// What a webhook last missed by one of its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastMismatch {
    /// Which rule.
    pub miss: Mismatch,
    /// What the rule was. A webhook that has another one now did not miss anything by it.
    pub rule: String,
    /// The type of the event.
    pub event_type: String,
    /// When it came.
    pub at: OffsetDateTime,
}

/// All notes that concern a webhook. Each is at most an hour older than the last event it could tell of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchHistory {
    /// When an event of a type came to the tenant, by type.
    pub events: BTreeMap<String, OffsetDateTime>,
    /// What the webhook missed.
    pub missed: Vec<LastMismatch>,
}

/// A reason for silence; stable names that programs may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoDeliveryCode {
    /// It is not enabled.
    Disabled,
    /// It subscribes to nothing.
    NoEventTypes,
    /// No event of its types came.
    NoEvents,
    /// Events of its types came, and by its level it hears its owner's only.
    Level,
    /// Events of its types came, and its filter let none through.
    Filter,
}

/// Why a webhook has been getting nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDeliveryReason {
    /// Why.
    pub code: NoDeliveryCode,
    /// From when on that can be said.
    pub since: Option<OffsetDateTime>,
    /// When the last event came that it might have got, to the hour before.
    pub last_event_at: Option<OffsetDateTime>,
}

impl Webhook {
    /// What its rule of that kind is; nothing when it has none, and so misses nothing by it.
    #[must_use]
    pub fn rule(&self, miss: Mismatch) -> Option<String> {
        match miss {
            Mismatch::Level => (self.spec.level == Level::User).then(|| self.spec.owner_id.to_string()),
            Mismatch::Filter => self.spec.filter.as_ref().map(ToString::to_string),
        }
    }
}

/// The reasons that hold at `now` for a webhook without any delivery in the last 7 days.
///
/// `disabled` may come with `no_event_types` or `no_events`: then enabling it will not do. `no_events` says since when: for 7 days, or
/// since the webhook was last changed, if that is more recent; an event that came before is its `last_event_at`. No reason at all is
/// found when an event has just come and its delivery is still on the way.
#[must_use]
pub fn no_delivery_reasons(
    webhook: &Webhook,
    notes: &MatchHistory,
    now: OffsetDateTime,
) -> Vec<NoDeliveryReason> {
    let spec = &webhook.spec;
    let week = now - RETENTION;
    let of_its_types = |event_type: &String| spec.event_types.contains(event_type);
    let plain = |code| NoDeliveryReason { code, since: None, last_event_at: None };
    let mut no_delivery_reasons = Vec::new();
    if !spec.enabled {
        no_delivery_reasons.push(plain(NoDeliveryCode::Disabled));
    }
    if spec.event_types.is_empty() {
        no_delivery_reasons.push(plain(NoDeliveryCode::NoEventTypes));
        return no_delivery_reasons;
    }
    if spec.enabled {
        for (miss, code) in
            [(Mismatch::Level, NoDeliveryCode::Level), (Mismatch::Filter, NoDeliveryCode::Filter)]
        {
            let rule = webhook.rule(miss);
            let holds = |missed: &&LastMismatch| {
                missed.miss == miss
                    && Some(&missed.rule) == rule.as_ref()
                    && of_its_types(&missed.event_type)
                    && missed.at > week
            };
            if let Some(at) = notes.missed.iter().filter(holds).map(|missed| missed.at).max() {
                no_delivery_reasons.push(NoDeliveryReason { last_event_at: Some(at), ..plain(code) });
            }
        }
    }
    let last_event_at =
        notes.events.iter().filter(|(name, at)| of_its_types(name) && **at > week).map(|(_, at)| *at).max();
    // A disabled webhook waits for no event; that none comes is worth saying only if there is none at all.
    let since = if spec.enabled { week.max(webhook.updated_at) } else { week };
    let missed_some = no_delivery_reasons.iter().any(|reason| reason.code != NoDeliveryCode::Disabled);
    if !missed_some && last_event_at.is_none_or(|at| at < since) {
        no_delivery_reasons.push(NoDeliveryReason {
            code: NoDeliveryCode::NoEvents,
            since: Some(since),
            last_event_at,
        });
    }
    no_delivery_reasons
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

    fn missed(miss: Mismatch, rule: &str, at: OffsetDateTime) -> LastMismatch {
        LastMismatch { miss, rule: rule.to_owned(), event_type: CREATED.to_owned(), at }
    }

    fn codes(webhook: &Webhook, notes: &MatchHistory) -> Vec<NoDeliveryCode> {
        no_delivery_reasons(webhook, notes, NOW).into_iter().map(|reason| reason.code).collect()
    }

    #[test]
    fn nothing_came_within_seven_days_or_since_the_webhook_was_changed() {
        let hour = Duration::hours(1);
        let found = |webhook: &Webhook, at| {
            let events = events(&[(CREATED, at), (EXPORTED, NOW)]);
            no_delivery_reasons(webhook, &MatchHistory { events, missed: vec![] }, NOW)
        };
        let no_events = |since, last_event_at| {
            vec![NoDeliveryReason { code: NoDeliveryCode::NoEvents, since: Some(since), last_event_at }]
        };
        let week = NOW - RETENTION;
        assert_eq!(no_delivery_reasons(&old(raw()), &MatchHistory::default(), NOW), no_events(week, None));
        assert_eq!(found(&old(raw()), week - hour), no_events(week, None), "too long ago to be shown");
        assert_eq!(found(&old(raw()), week + hour), [], "on its way");
        let new = webhook(raw(), NOW - hour);
        assert_eq!(found(&new, NOW - hour * 2), no_events(NOW - hour, Some(NOW - hour * 2)));
        assert_eq!(found(&new, NOW), []);
    }

    #[test]
    fn a_disabled_webhook_says_so_and_whether_enabling_it_would_do() {
        let seen = MatchHistory {
            events: events(&[(CREATED, NOW)]),
            missed: vec![missed(Mismatch::Level, "user-1", NOW)],
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
    fn what_was_missed_counts_as_long_as_the_rule_and_the_types_are_the_same() -> Result<(), Invalid> {
        let filter = r#"id eq "a""#;
        let both = WebhookInput { level: Some(Level::User), filter: Some(filter.to_owned()), ..raw() };
        let all = |at| MatchHistory {
            events: events(&[(CREATED, NOW - Duration::days(1))]),
            missed: vec![missed(Mismatch::Level, "user-1", at), missed(Mismatch::Filter, filter, at)],
        };
        let seen = all(NOW);
        assert_eq!(codes(&old(both.clone()), &seen), [NoDeliveryCode::Level, NoDeliveryCode::Filter]);
        let level = no_delivery_reasons(&old(both.clone()), &seen, NOW)[0];
        assert_eq!((level.since, level.last_event_at), (None, Some(NOW)));
        // Renaming it changes no rule, though it moves the time of the last change.
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
