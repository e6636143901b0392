//! Recoveries and test events on the deployed stack, which also checks the functions' policies.

use std::collections::BTreeMap;

use anzol_tests::receiver::Behavior;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::kit::*;

fn since() -> String {
    (OffsetDateTime::now_utc() - Duration::HOUR).format(&Rfc3339).unwrap()
}

const RUN_ENDED: &str = "com.qlik.v1.automation.run.ended";

fn progress(location: &str) -> Value {
    context().admin.get(location).unwrap().expect_status(200).unwrap().json().unwrap()
}

#[test]
fn recovery_redelivers_failed_events_once() {
    let space = unique("space");
    let own = json!({ "secret": SECRET, "filter": only_in(&space) });
    let hook = Hook::new(&context().admin, "recovers-all", &[APP_CREATED], &own);
    // A redirect is not retried.
    let headers = [("Location".to_owned(), "https://elsewhere.example/".to_owned())].into();
    hook.receiver_behaves(&Behavior { status: 308, headers, ..Behavior::default() });
    let events: Vec<_> = (0..3).map(|_| event_in(&space, APP_CREATED)).collect();
    for (_, event) in &events {
        publish(&context().publisher, event);
    }
    for (id, _) in &events {
        let row = hook.await_rows(id, 1, SOON).remove(0);
        assert_eq!(
            (row["status"].as_str(), row["failure"].as_str()),
            (Some("fail"), Some("redirect")),
            "{row:#}"
        );
    }

    hook.receiver_behaves(&Behavior::default());
    let recover = format!("{}/actions/recover", hook.at());
    let started =
        context().admin.post(&recover, &json!({ "since": since() })).unwrap().expect_status(202).unwrap();
    let location = started.header("location").to_owned();
    assert!(location.starts_with(&context().stack.api_url), "{location}");
    assert!(["running", "done"].contains(&started.json().unwrap()["status"].as_str().unwrap()), "{started}");
    let done = eventually(SOON, "end of the recovery", || {
        let progress = progress(&location);
        if progress["status"] == "done" { Ok(progress) } else { Err(format!("{progress:#}")) }
    });
    assert_eq!(
        (&done["found"], &done["requeued"], &done["skipped"]),
        (&json!(3), &json!(3), &json!(0)),
        "{done:#}"
    );
    for (id, _) in &events {
        let received = hook.await_received(id, 2);
        assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
        assert_eq!(received[0].body_base64, received[1].body_base64);
        let row = &hook.await_rows(id, 2, SOON)[0];
        assert_eq!(
            (row["status"].as_str(), row["trigger"].as_str()),
            (Some("success"), Some("recover")),
            "{row:#}"
        );
    }

    // A second recovery finds nothing to send.
    let again =
        context().admin.post(&recover, &json!({ "since": since() })).unwrap().expect_status(202).unwrap();
    assert_eq!(again.json().unwrap()["requeued"], 0, "{again}");
    for (id, _) in &events {
        assert_eq!(hook.received(id).len(), 2);
    }
    let theirs = context().globex_admin.get(&location).unwrap();
    assert_refused(&theirs, 404, "not_found");
}

#[test]
fn recovery_beyond_a_page_continues_in_the_sender() {
    // This test counts, so the filter excludes the events of other tests. It publishes many events, so no other test subscribes to the type.
    let space = unique("space");
    let filter = json!({ "filter": only_in(&space) });
    let hook = Hook::new(&context().admin, "recovers-pages", &[RUN_ENDED], &filter);
    // A redirect is not retried.
    let headers = [("Location".to_owned(), "https://elsewhere.example/".to_owned())].into();
    hook.receiver_behaves(&Behavior { status: 308, headers, ..Behavior::default() });
    let events: Vec<_> = (0..120).map(|_| event_in(&space, RUN_ENDED)).collect();
    for chunk in events.chunks(60) {
        publish(&context().publisher, &chunk.iter().map(|(_, event)| event.clone()).collect());
    }
    eventually(SOON * 3, "120 failed deliveries", || {
        let failed = hook.history("&status=fail&sort=%2BtriggeredAt");
        if failed.len() == 120 { Ok(()) } else { Err(format!("{} of them", failed.len())) }
    });
    hook.receiver_behaves(&Behavior::default());
    let recover = format!("{}/actions/recover", hook.at());
    let started =
        context().admin.post(&recover, &json!({ "since": since() })).unwrap().expect_status(202).unwrap();
    assert_eq!(started.json().unwrap()["status"], "running", "{started}");
    let location = started.header("location").to_owned();
    let done = eventually(SOON * 2, "end of the recovery", || {
        let progress = progress(&location);
        if progress["status"] == "done" { Ok(progress) } else { Err(format!("{progress:#}")) }
    });
    assert_eq!((&done["found"], &done["requeued"]), (&json!(120), &json!(120)), "{done:#}");
    eventually(SOON * 2, "second request for each of 120 events", || {
        // At least twice: a queue may deliver a message again, which receivers recognize by its `webhook-id`.
        let mut counts = BTreeMap::<String, usize>::new();
        for request in context().control.requests(&hook.path).unwrap() {
            *counts.entry(request.header("webhook-id").to_owned()).or_default() += 1;
        }
        let twice = counts.values().filter(|count| **count >= 2).count();
        if (counts.len(), twice) == (120, 120) { Ok(()) } else { Err(format!("{twice} of {}", counts.len())) }
    });
}

#[test]
fn test_event_is_signed_and_marked() {
    let hook = Hook::new(
        &context().admin,
        "tested",
        &[USER_CREATED],
        &json!({ "secret": SECRET, "enabled": false }),
    );
    let test = format!("{}/actions/test", hook.at());
    let row = context().admin.post_nothing(&test).unwrap().expect_status(201).unwrap().json().unwrap();
    assert_eq!((row["status"].as_str(), row["trigger"].as_str()), (Some("success"), Some("test")), "{row:#}");
    let id = row["request"]["body"]["id"].as_str().unwrap();
    let received = hook.await_received(id, 1).remove(0);
    assert_eq!(received.header("qlik-signature"), qlik_signature(SECRET, &received.body().unwrap()));
    let event = body_json(&received);
    assert_eq!((&event["anzoltest"], &event["type"]), (&json!(true), &json!(USER_CREATED)), "{event:#}");
    let refused = context().admin.post(&test, &json!({ "eventType": APP_CREATED })).unwrap();
    assert_refused(&refused, 400, "eventType");

    let shown = context().admin.get(&hook.at()).unwrap().expect_status(200).unwrap().json().unwrap();
    assert_eq!(shown["health"], json!({ "state": "healthy", "lane": "fast", "consecutiveFailures": 0 }));
}
