//! Rules for published events: who may publish them, and the reserved attributes.
//!
//! The rules apply to producers only, not to events that are already stored or queued.

use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Caller;
use crate::error::{Invalid, Problems};
use crate::event::{Event, OPERATIONAL_SOURCE, TEST_ATTRIBUTE, TEST_SOURCE};
use crate::event_type::OPERATIONAL_PREFIX;
use crate::hops::HOPS;
use crate::rule::Rule;

/// How an event is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishedVia {
    /// Through the API.
    Http,
    /// Through the events queue, to which Anzol also sends operational events. Other senders can forge these, but cannot publish a delivery
    /// of one again: its hop count shows that it was delivered.
    Queue,
}

/// The response to published events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Published {
    /// The number of accepted events.
    #[schemars(with = "u64")]
    pub accepted: usize,
    /// The number of deliveries queued for them.
    #[schemars(with = "u64")]
    pub deliveries: usize,
}

/// Checks that an event sets no reserved value: a type with the prefix `anzol.`, the sources `anzol` and `anzol/test`, or the attribute of
/// test events.
///
/// # Errors
/// One problem for each reserved value.
pub fn check_reserved(event: &Event, via: PublishedVia) -> Result<(), Invalid> {
    let mut problems = Problems::default();
    let our_type = event.event_type().starts_with(OPERATIONAL_PREFIX);
    let our_source = [OPERATIONAL_SOURCE, TEST_SOURCE].contains(&event.source());
    if event.says_test() {
        problems.add(TEST_ATTRIBUTE, Rule::TestAttributeReserved);
    }
    let operational = via == PublishedVia::Queue && our_type && event.source() == OPERATIONAL_SOURCE;
    if operational && event.hops() > 0 {
        problems.add(HOPS, Rule::EventDelivered);
    }
    if our_type && via == PublishedVia::Http {
        problems.add("type", Rule::EventTypeReserved);
    }
    if our_source && !operational {
        problems.add("source", Rule::SourceReserved { source: event.source().into() });
    }
    problems.finish(Some(()))
}

/// Why events of a caller are rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The caller cannot publish events, or not for one of the tenants.
    Forbidden(Rule),
    /// Events set values that only Anzol can set, or have no tenant.
    Invalid(Invalid),
}

/// Returns the events of a request, each with a tenant. An event that names no tenant gets that of the caller.
///
/// # Errors
/// The caller cannot publish for the tenant of an event, an event has no tenant, or an event breaks [`check_reserved`]. Fields are prefixed
/// with the event's index, like `[2].type`.
pub fn authorize(caller: &Caller, events: Vec<Event>) -> Result<Vec<Event>, Refused> {
    if !caller.may_publish() {
        return Err(Refused::Forbidden(Rule::PublishRoleRequired));
    }
    let mut problems = Problems::default();
    let mut allowed = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        let reserved = check_reserved(&event, PublishedVia::Http);
        if problems.take(reserved.map_err(|invalid| invalid.within(&format!("[{index}].")))).is_none() {
            continue;
        }
        let event = match (event.tenant(), &caller.tenant) {
            (None, Some(own)) => event.in_tenant(own.clone()),
            (None, None) => {
                problems.add(format!("[{index}].tenantid"), Rule::TenantRequired);
                continue;
            }
            (Some(_), _) => event,
        };
        if !event.tenant().is_some_and(|tenant| caller.may_publish_for(tenant)) {
            return Err(Refused::Forbidden(Rule::OtherTenant { index }));
        }
        allowed.push(event);
    }
    problems.finish(Some(allowed)).map_err(Refused::Invalid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;

    use super::*;
    use crate::access::Roles;
    use crate::id::{TenantId, UserId};

    const TENANTS: [Option<&str>; 3] = [None, Some("acme"), Some("globex")];

    fn tenant(name: Option<&str>) -> Option<TenantId> {
        name.map(|name| TenantId::parse(name).unwrap())
    }

    fn event(tenant: Option<&str>, reserved: bool) -> Event {
        let mut json = serde_json::json!({ "specversion": "1.0", "id": "1", "source": "s", "type": "t" });
        if let Some(tenant) = tenant {
            json["tenantid"] = tenant.into();
        }
        if reserved {
            json["type"] = "anzol.webhook.disabled".into();
        }
        Event::parse(&json.to_string(), OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    fn any_caller() -> impl Strategy<Value = Caller> {
        let roles = any::<(bool, bool, bool)>();
        let roles = roles.prop_map(|(admin, publisher, platform)| Roles { admin, publisher, platform });
        (roles, proptest::sample::select(&TENANTS[..])).prop_map(|(roles, name)| Caller {
            tenant: tenant(name),
            user: UserId::parse("u").unwrap(),
            roles,
        })
    }

    proptest! {
        #[test]
        fn authorized_events_belong_to_an_allowed_tenant(
            caller in any_caller(),
            events in proptest::collection::vec((proptest::sample::select(&TENANTS[..]), any::<bool>()), 0..4),
        ) {
            let all: Vec<_> = events.iter().map(|(tenant, reserved)| event(*tenant, *reserved)).collect();
            let own = caller.tenant.clone();
            let of = |event: &Event| event.tenant().cloned().or(own.clone());
            let reserved = |index: usize| events[index].1;
            match authorize(&caller, all.clone()) {
                Ok(allowed) => {
                    prop_assert!(caller.may_publish());
                    prop_assert_eq!(allowed.len(), all.len());
                    for (index, (allowed, given)) in allowed.iter().zip(&all).enumerate() {
                        prop_assert!(!reserved(index));
                        prop_assert_eq!(allowed.tenant().cloned(), of(given));
                        prop_assert!(allowed.tenant().is_some_and(|tenant| caller.may_publish_for(tenant)));
                    }
                }
                Err(Refused::Forbidden(Rule::PublishRoleRequired)) => {
                    prop_assert!(caller.roles == Roles::default());
                }
                Err(Refused::Forbidden(rule)) => {
                    let foreign = |index: usize| {
                        !reserved(index) && of(&all[index]).is_some_and(|tenant| !caller.may_publish_for(&tenant))
                    };
                    let index = (0..all.len()).find(|index| foreign(*index)).unwrap();
                    prop_assert_eq!(rule, Rule::OtherTenant { index });
                }
                Err(Refused::Invalid(Invalid(problems))) => {
                    let expected = (0..all.len()).filter_map(|index| match of(&all[index]) {
                        _ if reserved(index) => Some((format!("[{index}].type"), Rule::EventTypeReserved)),
                        None => Some((format!("[{index}].tenantid"), Rule::TenantRequired)),
                        Some(_) => None,
                    });
                    let found = problems.into_iter().map(|problem| (problem.field, problem.rule));
                    prop_assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
                }
            }
        }

        #[test]
        fn caller_with_a_publish_right_may_publish(caller in any_caller()) {
            let some = TENANTS.iter().flatten().any(|name| caller.may_publish_for(&TenantId::parse(name).unwrap()));
            prop_assert!(!some || caller.may_publish());
        }
    }
}
