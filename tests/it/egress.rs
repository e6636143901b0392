//! The way out against a receiver that behaves well, badly, and not at all.

use std::time::Duration;

use anzol_domain::FailureKind;
use anzol_domain::delivery::{MAX_RESPONSE_BODY, MAX_RESPONSE_HEADERS};
use anzol_egress::{Answer, Settings};
use anzol_tests::receiver::{Behaviour, Mode};
use url::Url;

use crate::cloud::WayOut;

async fn post(way_out: &WayOut, url: &str) -> Answer {
    let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
    way_out.egress.post(&Url::parse(url).unwrap(), &headers, r#"{"a":1}"#.to_owned()).await
}

async fn behave(way_out: &WayOut, target: &'static str, behaviour: Behaviour) {
    way_out.control(move |receiver| receiver.behave(target, &behaviour)).await.unwrap();
}

fn kind(answer: &Answer) -> FailureKind {
    answer.outcome.as_ref().unwrap_err().kind
}

#[tokio::test]
async fn what_is_sent_arrives_and_what_is_answered_comes_back() {
    let way_out = WayOut::start(Settings::default()).await;
    let headers = [("x-answer".to_owned(), "yes".to_owned())].into();
    behave(
        &way_out,
        "/in",
        Behaviour { status: 418, headers, body: "tea".to_owned(), ..Behaviour::default() },
    )
    .await;
    let answer = post(&way_out, "https://hooks.receiver.test/in?x=1").await;
    let response = answer.outcome.unwrap();
    assert_eq!((response.status_code, response.body.as_str(), response.body_cut), (418, "tea", false));
    assert!(response.headers.contains(&("x-answer".to_owned(), "yes".to_owned())));
    let requests = way_out.control(|receiver| receiver.requests("/in")).await.unwrap();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(
        (request.method.as_str(), request.path.as_str(), request.host.as_str()),
        ("POST", "/in?x=1", "hooks.receiver.test")
    );
    assert_eq!(request.body().unwrap(), br#"{"a":1}"#);
    assert_eq!(request.header("content-length"), "7");
    assert_eq!(request.header("accept-encoding"), "gzip");
}

#[tokio::test]
async fn an_endless_body_is_read_to_16_kib_and_no_further() {
    let way_out = WayOut::start(Settings::default()).await;
    behave(
        &way_out,
        "/in",
        Behaviour { mode: Mode::Endless, body: "more ".to_owned(), ..Behaviour::default() },
    )
    .await;
    let answer = post(&way_out, "https://hooks.receiver.test/in").await;
    let response = answer.outcome.unwrap();
    assert_eq!((response.body.len(), response.body_cut), (MAX_RESPONSE_BODY, true));
    assert!(answer.duration < Duration::from_secs(5));
}

#[tokio::test]
async fn headers_are_kept_up_to_8_kib() {
    let way_out = WayOut::start(Settings::default()).await;
    let headers = (0..50).map(|n| (format!("x-{n:02}"), "v".repeat(1000))).collect();
    behave(&way_out, "/in", Behaviour { headers, ..Behaviour::default() }).await;
    let response = post(&way_out, "https://hooks.receiver.test/in").await.outcome.unwrap();
    let size: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(size <= MAX_RESPONSE_HEADERS && response.headers.len() > 5, "{size}");
}

#[tokio::test]
async fn redirects_are_answers_not_orders() {
    let way_out = WayOut::start(Settings::default()).await;
    let headers = [("location".to_owned(), "https://hooks.receiver.test/elsewhere".to_owned())].into();
    behave(&way_out, "/in", Behaviour { status: 308, headers, ..Behaviour::default() }).await;
    let answer = post(&way_out, "https://hooks.receiver.test/in").await;
    assert_eq!(answer.outcome.unwrap().status_code, 308);
    assert!(way_out.control(|receiver| receiver.requests("/elsewhere")).await.unwrap().is_empty());
}

#[tokio::test]
async fn failures_are_told_apart() {
    let settings = Settings { timeout: Duration::from_millis(600), ..Settings::default() };
    let way_out = WayOut::start(settings).await;
    behave(&way_out, "/stall", Behaviour { mode: Mode::Stall, ..Behaviour::default() }).await;
    behave(&way_out, "/late", Behaviour { delay_ms: 5_000, ..Behaviour::default() }).await;
    behave(&way_out, "/reset", Behaviour { mode: Mode::Reset, ..Behaviour::default() }).await;
    behave(&way_out, "/host:bad.receiver.test", Behaviour { mode: Mode::BadTls, ..Behaviour::default() })
        .await;
    for (url, expected) in [
        ("https://hooks.receiver.test/stall", FailureKind::Timeout),
        ("https://hooks.receiver.test/late", FailureKind::Timeout),
        ("https://hooks.receiver.test/reset", FailureKind::Connect),
        ("https://bad.receiver.test/in", FailureKind::Tls),
        ("https://no-such-name.invalid/", FailureKind::Dns),
        ("https://localhost/", FailureKind::Blocked),
        ("https://127.0.0.1/", FailureKind::Blocked),
        ("https://[::1]/", FailureKind::Blocked),
        ("https://1.1.1.1/", FailureKind::Blocked),
    ] {
        let answer = post(&way_out, url).await;
        assert_eq!(kind(&answer), expected, "{url}: {answer:?}");
        assert!(answer.duration < Duration::from_secs(3), "{url}: {answer:?}");
    }
}

#[tokio::test]
async fn a_blocked_name_does_not_give_away_where_it_leads() {
    let way_out = WayOut::start(Settings::default()).await;
    let failure = post(&way_out, "https://localhost/").await.outcome.unwrap_err();
    assert!(!failure.message.contains("127") && !failure.message.contains("::1"), "{failure:?}");
}

#[tokio::test]
async fn plain_http_is_not_spoken() {
    let way_out = WayOut::start(Settings::default()).await;
    assert!(post(&way_out, "http://hooks.receiver.test/in").await.outcome.is_err());
    assert!(way_out.control(|receiver| receiver.all_requests()).await.unwrap().is_empty());
}
