//! Failing receivers: the history rows of each kind of failure, and which failures are retried.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anzol_tests::receiver::{Behavior, Mode};
use serde_json::{Value, json};

use crate::kit::*;

/// The sender's timeout for one request, plus a margin.
const GIVES_UP_WITHIN: Duration = Duration::from_millis(11_500);

/// Creates a webhook whose receiver behaves like this, publishes an event and returns the row of its first attempt.
pub(crate) fn first_row(word: &str, event_type: &str, behavior: &Behavior) -> (Hook, String, Value) {
    let hook = Hook::new(&context().admin, word, &[event_type], &json!({}));
    hook.receiver_behaves(behavior);
    let (id, event) = cloud_event(event_type, &context().acme);
    publish(&context().publisher, &event);
    let row = hook.await_rows(&id, 1, SOON + GIVES_UP_WITHIN).remove(0);
    (hook, id, row)
}

/// Serializes the tests that measure time: a stalling receiver delays the batch that its delivery is in.
pub(crate) fn quiet() -> MutexGuard<'static, ()> {
    static QUIET: Mutex<()> = Mutex::new(());
    QUIET.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn message(row: &Value) -> String {
    row["statusMessage"].as_str().unwrap_or_default().to_lowercase()
}

#[test]
fn failed_delivery_is_retried_until_it_succeeds() {
    let _quiet = quiet();
    let failing = Behavior { status: 500, body: "out of order".to_owned(), ..Behavior::default() };
    let (hook, id, row) = first_row("recovers", APP_RELOAD_FINISHED, &failing);
    assert_eq!(row["status"], "fail", "{row:#}");
    assert_eq!(row["attempt"], 1, "{row:#}");
    assert_eq!(row["response"]["statusCode"], 500, "{row:#}");
    assert_eq!(row["response"]["body"], "out of order", "{row:#}");
    assert!(message(&row).contains("500"), "{row:#}");

    hook.receiver_behaves(&Behavior::default());
    let rows = hook.await_rows(&id, 2, SOON);
    let retry = &rows[0];
    assert_eq!(retry["status"], "success", "{retry:#}");
    assert_eq!(retry["attempt"], 2, "{retry:#}");
    assert_eq!(retry["trigger"], "retry", "{retry:#}");
    assert_ne!(retry["id"], row["id"]);
    assert_eq!(rows[1], row, "the failed row is unchanged");

    let received = hook.await_received(&id, 2);
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"), "{received:#?}");
    assert_eq!(received[0].body_base64, received[1].body_base64);
    // The recorded wait is that of the schedule, 5 s plus at most a fifth, and the retry is not earlier than recorded.
    let promised = moment(&row, "nextAttemptAt");
    let wait = (promised - moment(&row, "triggeredAt")).as_seconds_f64();
    assert!((4.9..7.0).contains(&wait), "{wait} s in {row:#}");
    assert!(received[1].time >= promised, "{} before {promised}", received[1].time);
}

#[test]
fn each_failed_attempt_has_its_own_row() {
    let _quiet = quiet();
    let failing = Behavior { status: 503, ..Behavior::default() };
    let (hook, id, first) = first_row("fails-on", APP_RELOAD_FINISHED, &failing);
    let second = hook.await_rows(&id, 2, SOON).remove(0);
    for (row, attempt) in [(&first, 1), (&second, 2)] {
        assert_eq!(row["status"], "fail", "{row:#}");
        assert_eq!(row["attempt"], attempt, "{row:#}");
        assert_eq!(row["response"]["statusCode"], 503, "{row:#}");
    }
    let failed = hook.history("&status=fail");
    assert!(failed.contains(&first) && failed.contains(&second), "{failed:#?}");
}

#[test]
fn k1_success_with_a_stalling_body_is_a_success() {
    let _quiet = quiet();
    let started = Instant::now();
    let (_hook, _, row) =
        first_row("stalls", USER_CREATED, &Behavior { mode: Mode::Stall, ..Behavior::default() });
    assert_eq!(row["status"], "success", "{row:#}");
    assert_eq!(row["response"]["statusCode"], 200, "{row:#}");
    assert_eq!(row["response"]["bodyError"], "timeout", "{row:#}");
    let took = Duration::from_millis(
        row["durationMs"].as_u64().unwrap_or_else(|| panic!("no durationMs in {row:#}")),
    );
    assert!(took >= Duration::from_secs(9) && took <= GIVES_UP_WITHIN, "{took:?} in {row:#}");
    assert!(started.elapsed() < SOON, "the row was written only after {:?}", started.elapsed());
}

#[test]
fn receiver_without_answer_times_out() {
    let _quiet = quiet();
    let silent = Behavior { delay_ms: 60_000, ..Behavior::default() };
    let (_hook, _, row) = first_row("silent", USER_CREATED, &silent);
    assert_eq!(row["status"], "fail", "{row:#}");
    assert_eq!(row["failure"], "timeout", "{row:#}");
    assert!(message(&row).contains("10 s"), "{row:#}");
    assert!(row.get("response").is_none(), "there was no response to record: {row:#}");
}

#[test]
fn endless_answer_is_truncated_at_16_kib() {
    let endless = Behavior { mode: Mode::Endless, ..Behavior::default() };
    let (hook, id, row) = first_row("endless", USER_DELETED, &endless);
    let body = row["response"]["body"].as_str().unwrap_or_else(|| panic!("no response body in {row:#}"));
    let kept = body.chars().take_while(|letter| *letter == 'x').count();
    assert_eq!(kept, 16 * 1024, "of {} bytes", body.len());
    assert_eq!(row["response"]["bodyTruncated"], true, "status {} {}", row["status"], row["statusMessage"]);
    assert_eq!(
        row["status"], "success",
        "a 2xx is a success, however long its body: {}",
        row["statusMessage"]
    );
    assert_eq!(hook.received(&id).len(), 1);
}

#[test]
fn redirect_is_a_failure_and_not_followed() {
    let elsewhere = format!("/{}", unique("elsewhere"));
    let location = format!("{}{elsewhere}", context().stack.receiver.url);
    let redirect =
        Behavior { status: 307, headers: [("Location".to_owned(), location)].into(), ..Behavior::default() };
    let (_hook, _, row) = first_row("redirects", USER_DELETED, &redirect);
    assert_eq!(row["status"], "fail", "{row:#}");
    assert!(message(&row).contains("redirect"), "{row:#}");
    assert_eq!(row["response"]["statusCode"], 307, "{row:#}");
    let followed = context().control.requests(&elsewhere).unwrap();
    assert!(followed.is_empty(), "{followed:#?}");
}

#[test]
fn connection_reset_is_a_failure() {
    let (hook, id, row) =
        first_row("resets", USER_DELETED, &Behavior { mode: Mode::Reset, ..Behavior::default() });
    assert_eq!(row["status"], "fail", "{row:#}");
    assert!(!message(&row).is_empty(), "{row:#}");
    assert!(row.get("response").is_none(), "{row:#}");
    assert_eq!(hook.received(&id).len(), 2, "no byte of an answer arrived, so the request was repeated once");
}

#[test]
fn k1_status_of_a_truncated_answer_counts() {
    let cut = Behavior { mode: Mode::Cut, body: "never whole".to_owned(), ..Behavior::default() };
    for (name, status, outcome) in [("cut", 200, "success"), ("cut-500", 500, "fail")] {
        let (hook, id, row) = first_row(name, USER_DELETED, &Behavior { status, ..cut.clone() });
        assert_eq!(row["status"], outcome, "{row:#}");
        assert_eq!(row["response"]["statusCode"], status, "{row:#}");
        assert_eq!(row["response"]["body"], "never", "{row:#}");
        assert_eq!(row["response"]["bodyError"], "cut", "{row:#}");
        assert_eq!(row["response"]["bodyTruncated"], true, "{row:#}");
        assert_eq!(row["nextAttemptAt"].is_string(), outcome == "fail", "{row:#}");
        assert_eq!(hook.received(&id).len(), 1);
    }
}

#[test]
fn untrusted_certificate_gets_no_delivery() {
    let host = format!("{}.receiver.test", unique("untrusted"));
    let bad_tls = Behavior { mode: Mode::BadTls, ..Behavior::default() };
    context().control.behave(&format!("/host:{host}"), &bad_tls).unwrap();
    let path = format!("/{host}");
    let hook = Hook::new(
        &context().admin,
        "bad-tls",
        &[USER_DELETED],
        &json!({ "url": format!("https://{host}{path}") }),
    );
    let (id, event) = cloud_event(USER_DELETED, &context().acme);
    publish(&context().publisher, &event);
    let row = hook.await_rows(&id, 1, SOON).remove(0);
    assert_eq!(row["status"], "fail", "{row:#}");
    assert_eq!(row["failure"], "tls", "{row:#}");
    assert!(message(&row).contains("certificate"), "{row:#}");
    let received = context().control.requests(&path).unwrap();
    assert!(received.is_empty(), "{received:#?}");
}
