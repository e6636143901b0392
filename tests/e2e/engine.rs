//! The delivery engine, on a dedicated stack whose waits are seconds: `cargo xtask test engine` starts one with the parameters below.
//!
//! A few failures disable a webhook here, so a test whose receiver keeps failing uses an event type that no other test publishes.

use std::collections::BTreeSet;
use std::time::Duration;

use anzol_tests::receiver::{Behavior, Received};
use serde_json::{Value, json};

use crate::kit::*;

/// `RetrySchedule` of the stack, in seconds. Waits above its `LongestQueueDelay`, 3, go to the scheduler, the others to the queue.
/// Jitter adds at most a fifth.
const WAITS: [i64; 4] = [2, 2, 4, 4];
/// `DisableAfterFailures` of the stack; `DisableAfterHours` is 0. The warning is published after half as many.
const DISABLE_AFTER: usize = 6;

/// Time for all attempts at one delivery.
const ALL_ATTEMPTS: Duration = Duration::from_mins(1);
/// Seconds that the queues, the scheduler and a busy machine may add to a wait: the local cloud looks for due schedules every ten.
const SLACK: i64 = 20;

const OPERATIONAL_EVENTS: [&str; 3] =
    ["anzol.webhook.failing", "anzol.webhook.disabled", "anzol.webhook.recovered"];

fn answering(status: u16) -> Behavior {
    Behavior { status, ..Behavior::default() }
}

/// Returns the webhook as the API shows it.
fn shown(hook: &Hook) -> Value {
    context().admin.get(&hook.at()).unwrap().expect_status(200).unwrap().json().unwrap()
}

/// Waits until the API shows the webhook as disabled with this code, and returns it.
fn await_disabled(hook: &Hook, code: &str) -> Value {
    eventually(ALL_ATTEMPTS, &format!("{code} of {}", hook.path), || {
        let webhook = shown(hook);
        if webhook["enabled"] == false && webhook["disabledReasonCode"] == code {
            Ok(webhook)
        } else {
            Err(format!("{webhook:#}"))
        }
    })
}

/// Publishes an event of acme and returns its id.
fn published(event_type: &str) -> String {
    let (id, event) = cloud_event(event_type, &context().acme);
    publish(&context().publisher, &event);
    id
}

/// Returns the operational events about `hook` that `observer` received, oldest first.
fn operational_events(observer: &Hook, hook: &Hook) -> Vec<Value> {
    let all = context().control.requests(&observer.path).unwrap();
    all.iter().map(body_json).filter(|event| event["data"]["id"] == hook.id.as_str()).collect()
}

fn await_operational_event(observer: &Hook, hook: &Hook, event_type: &str) -> Value {
    eventually(ALL_ATTEMPTS, &format!("{event_type} of {}", hook.path), || {
        let events = operational_events(observer, hook);
        events.iter().find(|event| event["type"] == event_type).cloned().ok_or_else(|| format!("{events:#?}"))
    })
}

/// Returns the webhook's lane in the table; a missing attribute means `fast`.
fn lane(hook: &Hook) -> String {
    let webhook = format!("WEBHOOK#{}", hook.id);
    let items = context().aws.items_with_sort_key_like(&context().stack.tables.webhooks, &webhook).unwrap();
    assert_eq!(items.len(), 1, "{items:#?}");
    items[0]["lane"]["S"].as_str().unwrap_or("fast").to_owned()
}

fn await_lane(hook: &Hook, expected: &str) {
    eventually(SOON, &format!("lane {expected} for {}", hook.path), || {
        let lane = lane(hook);
        if lane == expected { Ok(()) } else { Err(lane) }
    });
}

#[test]
fn delivery_is_retried_by_queue_and_scheduler() {
    let hook = Hook::new(&context().admin, "all-attempts", &[APP_EXPORTED], &json!({ "secret": SECRET }));
    hook.receiver_behaves(&answering(500));
    let id = published(APP_EXPORTED);
    let mut schedules = BTreeSet::new();
    let rows = eventually(ALL_ATTEMPTS, "all attempts", || {
        schedules.extend(context().aws.schedules().unwrap());
        let rows = hook.rows(&id);
        if rows.len() == WAITS.len() + 1 { Ok(rows) } else { Err(format!("{rows:#?}")) }
    });
    let rows: Vec<_> = rows.into_iter().rev().collect();
    let received = hook.await_received(&id, WAITS.len() + 1);

    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row["attempt"], index + 1, "{row:#}");
        assert_eq!(row["trigger"], if index == 0 { "event" } else { "retry" }, "{row:#}");
        assert_eq!((&row["status"], &row["failure"]), (&json!("fail"), &json!("http_status")), "{row:#}");
    }
    assert!(rows[WAITS.len()].get("nextAttemptAt").is_none(), "{:#}", rows[WAITS.len()]);
    for (index, wait) in WAITS.into_iter().enumerate() {
        let gap = received[index + 1].time - received[index].time;
        assert!(
            gap.whole_seconds() >= wait && gap.whole_seconds() <= wait + SLACK,
            "{gap} after attempt {}",
            index + 1
        );
        let promised = moment(&rows[index], "nextAttemptAt");
        let late = received[index + 1].time - promised;
        assert!(late >= time::Duration::ZERO && late.whole_seconds() <= SLACK, "{late} after {promised}");
        // A schedule is named after the attempt that it makes, and deleted afterwards.
        let name = rows[index + 1]["id"].as_str().unwrap();
        assert_eq!(
            schedules.contains(name),
            wait > 3,
            "schedule {name} of attempt {} in {schedules:?}",
            index + 2
        );
    }
    let ids: BTreeSet<_> = received.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!(ids.len(), 1, "{received:#?}");
    eventually(SOON, "end of the schedules", || {
        let left = context().aws.schedules().unwrap();
        let ours = rows.iter().filter(|row| left.iter().any(|name| row["id"] == name.as_str())).count();
        if ours == 0 { Ok(()) } else { Err(format!("{left:?}")) }
    });
    hook.assert_received_exactly(&id, WAITS.len() + 1);
}

#[test]
fn retry_after_of_a_receiver_is_respected() {
    const ASKED: i64 = 7;
    let hook = Hook::new(&context().admin, "asks", &[APP_PUBLISHED], &json!({}));
    let headers = [("Retry-After".to_owned(), ASKED.to_string())].into();
    hook.receiver_behaves(&Behavior { headers, ..answering(503) });
    let id = published(APP_PUBLISHED);
    let first = hook.await_rows(&id, 1, SOON).remove(0);
    hook.receiver_behaves(&answering(200));
    let received = hook.await_received_within(ALL_ATTEMPTS, &id, 2);
    let gap = (received[1].time - received[0].time).whole_seconds();
    assert!((ASKED..=ASKED + SLACK).contains(&gap), "{gap} s");
    // The row's time is in whole milliseconds, the receiver's in nanoseconds.
    let promised = moment(&first, "nextAttemptAt") + time::Duration::MILLISECOND - received[0].time;
    assert!((ASKED..=ASKED + 2).contains(&promised.whole_seconds()), "{promised} in {first:#}");
}

#[test]
fn gone_receiver_disables_webhook_until_enabled() {
    let hook = Hook::new(&context().admin, "gone", &[USER_DELETED], &json!({}));
    hook.receiver_behaves(&answering(410));
    let id = published(USER_DELETED);
    let disabled = await_disabled(&hook, "GONE");
    assert!(disabled["disabledReason"].as_str().is_some_and(|reason| reason.contains("410")), "{disabled:#}");
    hook.assert_received_exactly(&id, 1);

    hook.receiver_behaves(&answering(200));
    hook.patch("/enabled", &json!(true)).expect_status(204).unwrap();
    let enabled = shown(&hook);
    assert_eq!(enabled["enabled"], true, "{enabled:#}");
    for member in ["disabledReason", "disabledReasonCode"] {
        assert!(enabled.get(member).is_none(), "{enabled:#}");
    }
    hook.await_received(&published(USER_DELETED), 1);
}

#[test]
fn webhook_is_disabled_after_repeated_failures() {
    let hook = Hook::new(&context().admin, "keeps-failing", &[USER_CREATED], &json!({}));
    hook.receiver_behaves(&answering(500));
    // The failures of two deliveries: one delivery has too few attempts.
    let ids = [published(USER_CREATED), published(USER_CREATED)];
    let disabled = await_disabled(&hook, "FAILURE_THRESHOLD");
    assert!(
        disabled["disabledReason"].as_str().is_some_and(|reason| reason.contains("attempts in a row")),
        "{disabled:#}"
    );
    // Pending retries are not sent. They are recorded as failed.
    let rows = eventually(ALL_ATTEMPTS, "a row of a delivery that was not sent", || {
        let rows: Vec<_> = ids.iter().flat_map(|id| hook.rows(id)).collect();
        if rows.iter().any(|row| row["failure"] == "disabled") { Ok(rows) } else { Err(format!("{rows:#?}")) }
    });
    let sent = rows.iter().filter(|row| row["failure"] != "disabled").count();
    let received: usize = ids.iter().map(|id| hook.received(id).len()).sum();
    assert_eq!((received, sent >= DISABLE_AFTER), (sent, true), "{rows:#?}");
}

#[test]
fn failed_resends_count_toward_disabling() {
    let hook = Hook::new(&context().admin, "resends", &[APP_DATA_UPDATED], &json!({}));
    let id = published(APP_DATA_UPDATED);
    let row = hook.await_rows(&id, 1, SOON).remove(0);
    hook.receiver_behaves(&answering(500));
    let at = format!("{}/deliveries/{}/actions/resend", hook.at(), row["id"].as_str().unwrap());
    for count in 1..=DISABLE_AFTER {
        assert_eq!(shown(&hook)["enabled"], true, "before resend {count}");
        let resent = context().admin.post_nothing(&at).unwrap().expect_status(201).unwrap().json().unwrap();
        assert_eq!((&resent["status"], &resent["trigger"]), (&json!("fail"), &json!("resend")), "{resent:#}");
        assert!(resent.get("nextAttemptAt").is_none(), "{resent:#}");
    }
    await_disabled(&hook, "FAILURE_THRESHOLD");
}

#[test]
fn operational_events_reach_only_other_webhooks() {
    // Failing webhooks of acme cause operational events too, so this test uses globex.
    let _alone = globex_alone();
    let admin = &context().globex_admin;
    let publish_one = || {
        let (id, event) = cloud_event(APP_CREATED, &context().globex);
        publish(&context().platform, &event);
        id
    };
    let observer = Hook::new(admin, "observer", &OPERATIONAL_EVENTS, &json!({}));
    let own: Vec<_> = OPERATIONAL_EVENTS.into_iter().chain([APP_CREATED]).collect();
    let hook = Hook::new(admin, "observed", &own, &json!({}));
    hook.receiver_behaves(&answering(500));
    let id = publish_one();
    let failing = await_operational_event(&observer, &hook, "anzol.webhook.failing");
    assert_eq!(failing["data"]["consecutiveFailures"], DISABLE_AFTER / 2, "{failing:#}");
    assert_eq!(
        (&failing["tenantid"], &failing["source"]),
        (&json!(context().globex), &json!("anzol")),
        "{failing:#}"
    );

    hook.receiver_behaves(&answering(200));
    await_operational_event(&observer, &hook, "anzol.webhook.recovered");
    let rows = hook.await_rows(&id, DISABLE_AFTER / 2 + 1, SOON);
    assert_eq!(rows[0]["status"], "success", "{rows:#?}");

    hook.receiver_behaves(&answering(410));
    publish_one();
    let disabled = await_operational_event(&observer, &hook, "anzol.webhook.disabled");
    assert_eq!(disabled["data"]["disabledReasonCode"], "GONE", "{disabled:#}");
    let seen: Vec<_> =
        operational_events(&observer, &hook).iter().map(|event| event["type"].clone()).collect();
    assert_eq!(seen, ["anzol.webhook.failing", "anzol.webhook.recovered", "anzol.webhook.disabled"]);
    let received = context().control.requests(&hook.path).unwrap();
    let own: Vec<_> =
        received.iter().map(body_json).filter(|event| event["data"]["id"] == hook.id.as_str()).collect();
    assert!(own.is_empty(), "{own:#?}");
}

#[test]
fn slow_receiver_changes_lane_until_ten_fast_answers() {
    let hook = Hook::new(&context().admin, "lanes", &[APP_RELOAD_FINISHED], &json!({}));
    assert_eq!(lane(&hook), "fast");
    hook.receiver_behaves(&Behavior { delay_ms: 3_000, ..Behavior::default() });
    let slow = published(APP_RELOAD_FINISHED);
    await_lane(&hook, "slow");
    assert_eq!(hook.await_rows(&slow, 1, SOON)[0]["status"], "success", "slow, but successful");
    hook.receiver_behaves(&answering(200));
    for answered in 1..=10 {
        assert_eq!(lane(&hook), "slow", "after {} fast answers", answered - 1);
        hook.await_rows(&published(APP_RELOAD_FINISHED), 1, SOON);
    }
    await_lane(&hook, "fast");
}

#[test]
fn burst_for_fast_receiver_stays_in_the_fast_lane() {
    let hook = Hook::new(&context().admin, "burst", &[APP_DELETED], &json!({}));
    let (ids, events): (BTreeSet<_>, Vec<_>) =
        (0..60).map(|_| cloud_event(APP_DELETED, &context().acme)).unzip();
    publish(&context().publisher, &Value::Array(events));
    // At least once each: a queue may deliver a message twice.
    eventually(SOON, "the whole burst", || {
        let requests = context().control.requests(&hook.path).unwrap();
        let id = |request| body_json(request)["id"].as_str().map(str::to_owned);
        let arrived: BTreeSet<_> = requests.iter().filter_map(id).collect();
        let missing = ids.difference(&arrived).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} missing in {} requests", requests.len())) }
    });
    assert_eq!(lane(&hook), "fast");
}

#[test]
fn only_the_malformed_message_goes_to_the_dlq() {
    let hook = Hook::new(&context().admin, "beside-poison", &[APP_PUBLISHED], &json!({}));
    let poison = unique("poison");
    context().aws.send_message(&context().stack.queues.deliveries, &poison).unwrap();
    hook.await_received(&published(APP_PUBLISHED), 1);
    let mut seen = Vec::new();
    eventually(SOON, "the message in the dead-letter queue", || {
        let request = json!({
            "QueueUrl": context().stack.queues.deliveries_dlq, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"],
        });
        let answer = context().aws.call("sqs", "AmazonSQS.ReceiveMessage", &request).unwrap();
        seen.extend(answer["Messages"].as_array().cloned().unwrap_or_default());
        let moved = seen.iter().find(|message| message["Body"] == poison.as_str());
        moved
            .map(|message| {
                let reason =
                    message["MessageAttributes"]["reason"]["StringValue"].as_str().unwrap_or_default();
                assert!(reason.contains("not a delivery message"), "{message:#}");
            })
            .ok_or_else(|| format!("{seen:#?}"))
    });
}

#[test]
fn both_secrets_verify_after_a_rotation() {
    const NEW: &str = "fedcba9876543210fedcba9876543210";
    let hook = Hook::new(&context().admin, "rotates", &[APP_PUBLISHED], &json!({ "secret": SECRET }));
    let signatures = |request: &Received| -> Vec<String> {
        request.header("webhook-signature").split(' ').map(str::to_owned).collect()
    };
    let standard =
        |secret: &str, request: &Received| standard_signature(secret, request, &request.body().unwrap());
    let before = hook.await_received(&published(APP_PUBLISHED), 1).remove(0);
    assert_eq!(signatures(&before), [standard(SECRET, &before)]);

    hook.patch("/secret", &json!(NEW)).expect_status(204).unwrap();
    let after = hook.await_received(&published(APP_PUBLISHED), 1).remove(0);
    assert_eq!(signatures(&after), [standard(NEW, &after), standard(SECRET, &after)]);
    assert_eq!(after.header("qlik-signature"), qlik_signature(NEW, &after.body().unwrap()));
}

#[test]
fn deliveries_have_the_configured_user_agent() {
    let hook = Hook::new(&context().admin, "named", &[APP_DELETED], &json!({}));
    let id = published(APP_DELETED);
    assert_eq!(hook.await_received(&id, 1)[0].header("user-agent"), "Anzol engine");
}
