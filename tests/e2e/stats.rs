//! Statistics of a webhook's deliveries, and the reasons for having none, on the deployed stack.

use anzol_tests::client::Api;
use anzol_tests::receiver::Behavior;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::kit::*;

/// Event types that no other test publishes.
const KEY_FAILED: &str = "com.qlik.v1.api-key.validation.failed";
const TASK_STARTED: &str = "com.qlik.v1.di-projects.di-tasks.started";
const TASK_COMPLETED: &str = "com.qlik.v1.di-projects.di-tasks.completed";

fn stats_at(api: &Api, path: &str) -> Value {
    api.get(&format!("{path}/stats")).unwrap().expect_status(200).unwrap().json().unwrap()
}

fn reasons(hook: &Hook) -> Vec<Value> {
    let stats = stats_at(&context().admin, &hook.at());
    assert_eq!((&stats["lastDelivery"], &stats["complete"]), (&Value::Null, &json!(true)), "{stats:#}");
    stats["silence"]["reasons"].as_array().unwrap_or_else(|| panic!("no reasons in {stats:#}")).clone()
}

fn await_codes(hook: &Hook, codes: &[&str]) -> Vec<Value> {
    eventually(SOON, &format!("{codes:?} of {}", hook.path), || {
        let reasons = reasons(hook);
        let found: Vec<_> = reasons.iter().map(|reason| reason["code"].as_str().unwrap()).collect();
        if found == codes { Ok(reasons.clone()) } else { Err(format!("{reasons:#?}")) }
    })
}

/// Checks that a time is within the last minutes. The time of a match record may be up to an hour before the event.
fn assert_within_minutes(minutes: i64, value: &Value) {
    let at = OffsetDateTime::parse(value.as_str().unwrap_or_default(), &Rfc3339)
        .unwrap_or_else(|error| panic!("{error} in {value}"));
    let age = OffsetDateTime::now_utc() - at;
    assert!(age > Duration::seconds(-2) && age < Duration::minutes(minutes), "{at}");
}

#[test]
fn webhook_without_deliveries_shows_the_reasons() {
    let of_other_user = json!({ "level": "user", "ownerId": unique("other-user") });
    let picky = json!({ "filter": format!(r#"id eq "{}""#, unique("unused-app")) });
    let hook = |word, types: &[&str], more: &Value| Hook::new(&context().admin, word, types, more);
    let disabled = hook("silent-disabled", &[APP_CREATED], &json!({ "enabled": false }));
    let empty = hook("silent-empty", &[], &json!({ "enabled": false }));
    let nothing_comes = hook("silent-nothing", &[KEY_FAILED], &json!({}));
    // Two webhooks for each reason: the events of one are published through ingest, those of the other through fanout.
    let by_level = [APP_CREATED, APP_EXPORTED].map(|name| hook("silent-level", &[name], &of_other_user));
    let by_filter = [APP_CREATED, APP_EXPORTED].map(|name| hook("silent-filter", &[name], &picky));

    let (_, event) = cloud_event(APP_CREATED, &context().acme);
    publish(&context().publisher, &event);
    let (_, event) = cloud_event(APP_EXPORTED, &context().acme);
    context().aws.send_message(&context().stack.queues.events, &event.to_string()).unwrap();

    for (hooks, code) in [(&by_level, "level"), (&by_filter, "filter")] {
        for hook in hooks {
            let found = await_codes(hook, &[code]);
            assert_within_minutes(5, &found[0]["lastEventAt"]);
        }
    }
    // An event of its type has arrived by now, so `disabled` is the only reason.
    await_codes(&disabled, &["disabled"]);
    await_codes(&empty, &["disabled", "no_event_types"]);
    let found = await_codes(&nothing_comes, &["no_events"]);
    assert_within_minutes(5, &found[0]["since"]);
    assert_eq!(found[0].get("lastEventAt"), None);

    // Another tenant cannot see the statistics.
    for hook in [&disabled, &nothing_comes] {
        let answer = context().globex_admin.get(&format!("{}/stats", hook.at())).unwrap();
        assert_refused(&answer, 404, "not_found");
    }
}

#[test]
fn event_before_the_webhook_is_reported() {
    // Events are recorded only for tenants with webhooks.
    let earlier = Hook::new(&context().admin, "earlier", &[TASK_STARTED], &json!({}));
    let (id, event) = cloud_event(TASK_STARTED, &context().acme);
    publish(&context().publisher, &event);
    earlier.await_rows(&id, 1, SOON);
    let later = Hook::new(&context().admin, "later", &[TASK_STARTED], &json!({}));
    let found = await_codes(&later, &["no_events"]);
    assert_within_minutes(5, &found[0]["since"]);
    assert_within_minutes(65, &found[0]["lastEventAt"]);
}

#[test]
fn deliveries_are_counted_and_clear_the_reasons() {
    let hook = Hook::new(&context().admin, "counted", &[TASK_COMPLETED], &json!({}));
    let mut last = Value::Null;
    for status in [200, 200, 302] {
        // A redirect is a failure that is not retried.
        let headers = [("location".to_owned(), context().stack.receiver.url.clone())].into();
        hook.receiver_behaves(&Behavior { status, headers, ..Behavior::default() });
        let (id, event) = cloud_event(TASK_COMPLETED, &context().acme);
        publish(&context().publisher, &event);
        last = hook.await_rows(&id, 1, SOON).remove(0);
    }
    for path in [hook.at(), hook.at().replace("/api/v1/", "/api/core/")] {
        let stats = stats_at(&context().admin, &path);
        assert_eq!(stats["last24Hours"], json!({ "success": 2, "fail": 1 }), "{stats:#}");
        let days = stats["days"].as_array().unwrap();
        let sum = |name: &str| days.iter().map(|day| day[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!((days.len(), sum("success"), sum("fail")), (7, 2, 1), "{stats:#}");
        let of_row = |name: &str| (name.to_owned(), last[name].clone());
        let wanted: serde_json::Map<_, _> =
            ["id", "status", "triggeredAt", "eventType"].map(of_row).into_iter().collect();
        assert_eq!(stats["lastDelivery"], Value::Object(wanted), "{stats:#}");
        assert_eq!((&stats["silence"], &stats["complete"]), (&Value::Null, &json!(true)), "{stats:#}");
    }
}
