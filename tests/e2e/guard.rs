//! Webhooks whose host names resolve to internal addresses, on the deployed stack: a name below `address.test` resolves to the address
//! written in it, and is checked like any answer of a name server.

use anzol_tests::receiver::Behavior;
use serde_json::{Value, json};

use crate::kit::*;

const NOT_PUBLIC: &str = "the host name leads to an address that webhooks may not reach";

fn hook(word: &str, name: &str, event_type: &str) -> Hook {
    let url = format!("https://{name}.address.test/{}", unique(word));
    Hook::new(&context().admin, word, &[event_type], &json!({ "url": url, "headers": { "X-Own": "1" } }))
}

#[track_caller]
fn assert_blocked(what: &str, row: &Value) {
    assert_eq!((&row["status"], &row["failure"]), (&json!("fail"), &json!("blocked")), "{what}: {row:#}");
    assert_eq!(
        row["statusMessage"], NOT_PUBLIC,
        "{what}: every blocked name has the same message, without an address"
    );
    assert!(row["response"].is_null() && row["nextAttemptAt"].is_null(), "{what}: {row:#}");
}

#[test]
fn internal_name_is_blocked_without_retry() {
    let names = [
        ("private", "10-0-0-1"),
        ("metadata", "169-254-169-254"),
        ("loopback", "127-0-0-1"),
        ("mapped", "0-0-0-0-0-ffff-7f00-1"),
        ("nat64", "64-ff9b-0-0-0-0-a9fe-a9fe"),
        ("unique-local", "fd00-ec2-0-0-0-0-0-254"),
        ("mixed", "1-1-1-1.10-0-0-1"),
    ];
    let hooks = names.map(|(word, name)| (word, hook(word, name, USER_CREATED)));
    let public = hook("public", "1-1-1-1", USER_CREATED);
    let control = hook("control", "no-such-name", USER_CREATED);
    let (id, event) = cloud_event(USER_CREATED, &context().acme);
    publish(&context().publisher, &event);
    assert_eq!(
        public.await_rows(&id, 1, SOON)[0]["status"],
        "success",
        "a name with a public address is delivered to"
    );

    for (word, hook) in &hooks {
        let row = hook.await_rows(&id, 1, SOON).remove(0);
        assert_blocked(word, &row);
        let again = format!("{}/deliveries/{}/actions/resend", hook.at(), row["id"].as_str().unwrap());
        let resent =
            context().admin.post_nothing(&again).unwrap().expect_status(201).unwrap().json().unwrap();
        assert_blocked(word, &resent);
        let test = format!("{}/actions/test", hook.at());
        let tested = context().admin.post_nothing(&test).unwrap().expect_status(201).unwrap().json().unwrap();
        assert_blocked(word, &tested);
    }
    // A retryable failure of the same event has been retried by now, so these would have been retried too.
    eventually(SOON + SOON, "retry of the control webhook", || {
        let rows = control.rows(&id);
        if rows.len() >= 2 { Ok(()) } else { Err(format!("{rows:#?}")) }
    });
    let hosts: Vec<_> = names.iter().map(|(_, name)| format!("{name}.address.test")).collect();
    for (word, hook) in &hooks {
        let rows = hook.rows(&id);
        assert_eq!(rows.len(), 2, "{word}: the first attempt and the resend: {rows:#?}");
    }
    let requests = context().control.all_requests().unwrap();
    assert!(!requests.iter().any(|request| hosts.contains(&request.host)), "nothing arrived");
}

#[test]
fn retry_to_internal_name_is_blocked() {
    let hook = Hook::new(&context().admin, "turned", &[APP_EXPORTED], &json!({}));
    hook.receiver_behaves(&Behavior { status: 500, ..Behavior::default() });
    let (id, event) = cloud_event(APP_EXPORTED, &context().acme);
    publish(&context().publisher, &event);
    hook.await_received(&id, 1);
    hook.patch("/url", &json!("https://10-0-0-1.address.test/")).expect_status(204).unwrap();
    let rows = hook.await_rows(&id, 2, SOON);
    assert_eq!((&rows[0]["trigger"], &rows[0]["attempt"]), (&json!("retry"), &json!(2)), "{rows:#?}");
    assert_blocked("retry", &rows[0]);
}

#[test]
fn unknown_name_is_retried() {
    let hook = hook("unknown", "no-such-name", USER_DELETED);
    let (id, event) = cloud_event(USER_DELETED, &context().acme);
    publish(&context().publisher, &event);
    let rows = hook.await_rows(&id, 2, SOON + SOON);
    for (row, attempt) in rows.iter().zip([2, 1]) {
        assert_eq!((&row["failure"], &row["attempt"]), (&json!("dns"), &json!(attempt)), "{row:#}");
        assert_eq!(row["statusMessage"], "the host name could not be resolved");
        assert!(row["nextAttemptAt"].is_string(), "{row:#}");
    }
}
