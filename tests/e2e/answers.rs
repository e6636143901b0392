//! Unusual answers of receivers, byte for byte, through the whole stack: the history rows and the number of requests.

use std::time::Duration;

use anzol_tests::receiver::{Behavior, End, Mode};
use serde_json::{Value, json};

use crate::failure::{first_row, message, quiet};
use crate::kit::*;

/// Publishes an event to a receiver with this behavior. Returns the webhook, the event's id and first row, and the number of requests so far.
fn answered(name: &str, behavior: &Behavior) -> (Hook, String, Value, usize) {
    let (hook, id, row) = first_row(name, USER_DELETED, behavior);
    let posts = hook.received(&id).len();
    (hook, id, row, posts)
}

#[test]
fn k1_success_without_close_notify_is_one_post() {
    let thanks = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthanks";
    let (_hook, _, row, posts) = answered("k1-abrupt", &Behavior::raw(thanks, End::Abrupt));
    assert_eq!((&row["status"], posts), (&json!("success"), 1), "{row:#}");
    let response = &row["response"];
    assert_eq!((&response["statusCode"], &response["body"]), (&json!(200), &json!("thanks")), "{row:#}");
    assert_eq!(
        (&response["bodyError"], &response["bodyTruncated"]),
        (&json!("cut"), &json!(true)),
        "{row:#}"
    );
}

#[test]
fn k1_gone_with_half_a_body_disables_the_webhook() {
    let gone = "HTTP/1.1 410 Gone\r\nContent-Length: 100\r\n\r\nbye";
    let (hook, _, row, posts) = answered("k1-gone", &Behavior::raw(gone, End::Reset));
    assert_eq!((&row["response"]["statusCode"], posts), (&json!(410), 1), "{row:#}");
    assert!(row.get("nextAttemptAt").is_none(), "{row:#}");
    eventually(SOON, "the webhook is disabled", || {
        let webhook = context().admin.get(&hook.at()).unwrap().json().unwrap();
        let gone = webhook["enabled"] == false && webhook["disabledReasonCode"] == "GONE";
        if gone { Ok(()) } else { Err(webhook.to_string()) }
    });
}

#[test]
fn k1_k3_retry_after_is_used_despite_a_broken_answer() {
    let big = "v".repeat(9_000);
    let busy = format!(
        "HTTP/1.1 429 Slow\r\nA-Big: {big}\r\nRetry-After: 600\r\nX-Small: 1\r\nContent-Length: 9\r\n\r\nnot"
    );
    let (_hook, _, row, posts) = answered("k3-wait", &Behavior::raw(busy, End::Close));
    assert_eq!((&row["response"]["statusCode"], posts), (&json!(429), 1), "{row:#}");
    assert_eq!(row["response"]["headers"]["x-small"], "1", "{row:#}");
    assert_eq!(row["response"]["headersTruncated"], true, "{row:#}");
    let wait = moment(&row, "nextAttemptAt") - moment(&row, "triggeredAt");
    assert!(wait >= Duration::from_mins(10), "{wait}");
}

#[test]
fn k2_headers_tolerated_by_browsers_are_a_success() {
    let many = (0..500).map(|n| format!("x-{n}: {n}\r\n")).collect::<Vec<_>>().concat();
    for (name, headers) in [("k2-space", "X-Foo : value\r\n".to_owned()), ("k2-many", many)] {
        let answer = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\nok");
        let (_hook, _, row, posts) = answered(name, &Behavior::raw(answer, End::Open));
        assert_eq!((&row["status"], posts), (&json!("success"), 1), "{row:#}");
        assert_eq!(row["response"]["body"], "ok", "{row:#}");
    }
}

#[test]
fn k2_l7_answer_that_is_not_http_is_a_protocol_failure() {
    let ssh = Behavior::raw("SSH-2.0-OpenSSH_9.2p1\r\n", End::Open);
    let (_hook, _, row, posts) = answered("k2-ssh", &ssh);
    assert_eq!((&row["failure"], posts), (&json!("protocol"), 1), "{row:#}");
    assert!(message(&row).contains("the response is not http/1.1"), "{row:#}");
    assert!(row["nextAttemptAt"].is_string(), "retried by the schedule, not at once: {row:#}");
}

#[test]
fn k7_second_try_uses_a_new_connection() {
    let _quiet = quiet();
    let host = format!("{}.receiver.test", unique("k7"));
    let path = format!("/{host}");
    let reset = Behavior::raw("", End::Reset).from_request(2);
    context().control.behave(&path, &reset).unwrap();
    let url = json!({ "url": format!("https://{host}{path}") });
    let hook = Hook::new(&context().admin, "k7", &[USER_DELETED], &url);
    let events: Vec<_> = (0..10).map(|_| cloud_event(USER_DELETED, &context().acme)).collect();
    publish(&context().publisher, &events.iter().map(|(_, event)| event.clone()).collect());
    for (id, _) in &events {
        assert_eq!(hook.await_rows(id, 1, SOON)[0]["status"], "success");
    }
    let (id, event) = cloud_event(USER_DELETED, &context().acme);
    publish(&context().publisher, &event);
    let row = hook.await_rows(&id, 1, SOON).remove(0);
    assert_eq!((&row["status"], &row["attempt"]), (&json!("success"), &json!(1)), "{row:#}");
    assert!(
        hook.received(&id).len() <= 2,
        "one over a kept connection, if it was still open, and one over a new one"
    );
}

#[test]
fn k10_other_3xx_are_not_redirects() {
    for (name, status, headers) in [
        ("k10-304", 304, vec![]),
        ("k10-300", 300, vec![("Location".to_owned(), "https://elsewhere.example/".to_owned())]),
        ("k10-302", 302, vec![]),
    ] {
        let answer = Behavior { status, headers: headers.into_iter().collect(), ..Behavior::default() };
        let (_hook, _, row, posts) = answered(name, &answer);
        assert_eq!((&row["failure"], posts), (&json!("http_status"), 1), "{row:#}");
        assert_eq!(row["statusMessage"], format!("the receiver answered {status}"), "{row:#}");
        assert!(row["nextAttemptAt"].is_string(), "{row:#}");
    }
}

#[test]
fn k1_broken_body_has_its_body_error() {
    let gzip = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok";
    let length = "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok";
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
    for (name, bytes, error) in
        [("k1-gzip", gzip, "encoding"), ("k1-length", length, "length"), ("k1-chunks", chunks, "cut")]
    {
        let (_hook, _, row, posts) = answered(name, &Behavior::raw(bytes, End::Close));
        assert_eq!((&row["status"], posts), (&json!("success"), 1), "{row:#}");
        assert_eq!(row["response"]["body"], "ok", "{row:#}");
        assert_eq!(row["response"]["bodyError"], error, "{row:#}");
    }
}

#[test]
fn k2_interim_answers_are_skipped() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    for (name, last, status) in [
        ("k2-interim", "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", 201),
        ("k2-interim-odd", "HTTP/1.1  202  Accepted\r\nContent-Length: 2\r\n\r\nok", 202),
    ] {
        let (_hook, _, row, posts) = answered(name, &Behavior::raw(format!("{early}{last}"), End::Close));
        assert_eq!((&row["response"]["statusCode"], posts), (&json!(status), 1), "{row:#}");
        assert_eq!(row["response"]["body"], "ok", "{row:#}");
    }
}

#[test]
fn tls_failures_name_the_remedy() {
    for (word, mode, says) in [
        ("plain", Mode::PlainHttp, "plain http"),
        ("alone", Mode::MissingIntermediate, "intermediate certificate"),
        ("expired", Mode::ExpiredCert, "expired at 20"),
        ("wrong-name", Mode::WrongNameCert, "not for"),
        ("client", Mode::WantsClientCert, "client certificate"),
    ] {
        let host = format!("{}.receiver.test", unique(word));
        let fault = Behavior { mode, ..Behavior::default() };
        context().control.behave(&format!("/host:{host}"), &fault).unwrap();
        let url = json!({ "url": format!("https://{host}/{host}") });
        let hook = Hook::new(&context().admin, word, &[USER_DELETED], &url);
        let (id, event) = cloud_event(USER_DELETED, &context().acme);
        publish(&context().publisher, &event);
        let row = hook.await_rows(&id, 1, SOON).remove(0);
        assert_eq!(row["failure"], "tls", "{row:#}");
        assert!(message(&row).contains(says), "{row:#}");
        assert!(context().control.requests(&format!("/{host}")).unwrap().is_empty());
    }
}
