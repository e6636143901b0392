//! The egress client against valid, faulty and missing receivers, and the guard against names with internal addresses.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anzol_domain::delivery::{MAX_RESPONSE_BODY, MAX_RESPONSE_HEADERS};
use anzol_domain::{Delivery, FailureKind, Webhook, WebhookUrl};
use anzol_egress::{Answer, Answers, Egress, Reuse, Settings};
use anzol_pipeline::Deliverer;
use anzol_runtime::now;
use anzol_tests::receiver::{Behavior, Mode};
use anzol_vault::Vault;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Url;

use crate::kit::{EgressHarness, task, webhook};

async fn post(egress: &EgressHarness, url: &str) -> Answer {
    let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
    egress.client.post(&Url::parse(url).unwrap(), &headers, r#"{"a":1}"#.to_owned(), Reuse::Allowed).await
}

async fn behave(egress: &EgressHarness, target: &'static str, behavior: Behavior) {
    egress.control(move |receiver| receiver.behave(target, &behavior)).await.unwrap();
}

fn kind(answer: &Answer) -> FailureKind {
    answer.outcome.as_ref().unwrap_err().kind
}

#[tokio::test]
async fn post_delivers_the_request_and_returns_the_answer() {
    let egress = EgressHarness::start(Settings::default()).await;
    let headers = [("x-answer".to_owned(), "yes".to_owned())].into();
    behave(&egress, "/in", Behavior { status: 418, headers, body: "tea".to_owned(), ..Behavior::default() })
        .await;
    let answer = post(&egress, "https://hooks.receiver.test/in?x=1").await;
    let response = answer.outcome.unwrap().kept;
    assert_eq!((response.status_code, response.body.as_str(), response.body_cut), (418, "tea", false));
    assert!(response.headers.contains(&("x-answer".to_owned(), "yes".to_owned())));
    let requests = egress.control(|receiver| receiver.requests("/in")).await.unwrap();
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
async fn endless_body_is_read_up_to_16_kib() {
    let egress = EgressHarness::start(Settings::default()).await;
    behave(&egress, "/in", Behavior { mode: Mode::Endless, body: "more ".to_owned(), ..Behavior::default() })
        .await;
    let answer = post(&egress, "https://hooks.receiver.test/in").await;
    let response = answer.outcome.unwrap().kept;
    assert_eq!((response.body.len(), response.body_cut), (MAX_RESPONSE_BODY, true));
    assert!(answer.duration < Duration::from_secs(5));
}

#[tokio::test]
async fn headers_are_kept_up_to_8_kib() {
    let egress = EgressHarness::start(Settings::default()).await;
    let headers = (0..50).map(|n| (format!("x-{n:02}"), "v".repeat(1000))).collect();
    behave(&egress, "/in", Behavior { headers, ..Behavior::default() }).await;
    let response = post(&egress, "https://hooks.receiver.test/in").await.outcome.unwrap().kept;
    let size: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(size <= MAX_RESPONSE_HEADERS && response.headers.len() > 5, "{size}");
}

#[tokio::test]
async fn redirect_is_returned_not_followed() {
    let egress = EgressHarness::start(Settings::default()).await;
    let headers = [("location".to_owned(), "https://hooks.receiver.test/elsewhere".to_owned())].into();
    behave(&egress, "/in", Behavior { status: 308, headers, ..Behavior::default() }).await;
    let answer = post(&egress, "https://hooks.receiver.test/in").await;
    assert_eq!(answer.outcome.unwrap().kept.status_code, 308);
    assert!(egress.control(|receiver| receiver.requests("/elsewhere")).await.unwrap().is_empty());
}

#[tokio::test]
async fn failures_have_distinct_kinds() {
    let settings = Settings { timeout: Duration::from_millis(600), ..Settings::default() };
    let egress = EgressHarness::start(settings).await;
    behave(&egress, "/late", Behavior { delay_ms: 5_000, ..Behavior::default() }).await;
    behave(&egress, "/reset", Behavior { mode: Mode::Reset, ..Behavior::default() }).await;
    behave(&egress, "/host:bad.receiver.test", Behavior { mode: Mode::BadTls, ..Behavior::default() }).await;
    for (url, expected) in [
        ("https://hooks.receiver.test/late", FailureKind::Timeout),
        ("https://hooks.receiver.test/reset", FailureKind::Connect),
        ("https://bad.receiver.test/in", FailureKind::Tls),
        ("https://no-such-name.invalid/", FailureKind::Dns),
        ("https://10-0-0-1.address.test/", FailureKind::Blocked),
        ("https://[::1]/", FailureKind::Blocked),
        ("https://1.1.1.1/", FailureKind::Blocked),
    ] {
        let answer = post(&egress, url).await;
        assert_eq!(kind(&answer), expected, "{url}: {answer:?}");
        assert!(answer.duration < Duration::from_secs(3), "{url}: {answer:?}");
    }
}

#[tokio::test]
async fn plain_http_is_neither_sent_nor_understood() {
    // This server speaks plain HTTP on every connection.
    let server = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let settings = Settings { receiver: Some(server.local_addr().unwrap()), ..Settings::default() };
    let first_bytes = tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        let mut received = vec![0; 3];
        stream.read_exact(&mut received).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        received
    });
    let egress = Egress::new(&settings).unwrap();
    let post = async |url: &str| {
        let url = Url::parse(url).unwrap();
        egress.post(&url, &[], String::new(), Reuse::Allowed).await
    };
    assert_eq!(kind(&post("http://hooks.receiver.test/in").await), FailureKind::Blocked);
    assert!(!first_bytes.is_finished(), "the plain URL made a connection");
    assert_eq!(kind(&post("https://hooks.receiver.test/in").await), FailureKind::Tls);
    // A TLS handshake record, of any version 3.x.
    assert_eq!(first_bytes.await.unwrap()[..2], [0x16, 3]);
}

/// The message for a name with an internal address, the same for all addresses.
const NOT_PUBLIC: &str = "the host name leads to an address that webhooks may not reach";

/// Returns settings under which a name below `address.test` resolves to each of these answers in turn, then always to the last, and the
/// number of look-ups.
fn in_turn(answers: &'static [&'static [&'static str]]) -> (Settings, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = move |_: &str| -> Vec<IpAddr> {
        let turn = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        answers[turn].iter().map(|address| address.parse().unwrap()).collect()
    };
    (Settings { answers: Some(Answers::new(answer)), ..Settings::default() }, asked)
}

#[tokio::test]
async fn internal_address_is_blocked_without_a_connection() {
    // An attempt to connect to loopback would show as an accepted connection here.
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    open.set_nonblocking(true).unwrap();
    let egress = EgressHarness::start(Settings::default()).await;
    for name in [
        "10-0-0-1",
        "127-0-0-1",
        "169-254-169-254",
        "169-254-170-2",
        "192-168-1-1",
        "0-0-0-0",
        "255-255-255-255",
        "0-0-0-0-0-0-0-1",
        "fd00-ec2-0-0-0-0-0-254",
        "fe80-0-0-0-0-0-0-1",
        "0-0-0-0-0-ffff-7f00-1",
        "64-ff9b-0-0-0-0-a9fe-a9fe",
        "2002-a00-1-0-0-0-0-1",
        "2001-0-a00-1-0-0-0-0",
        "1-1-1-1.10-0-0-1",
        "10-0-0-1.1-1-1-1",
        "2606-4700-0-0-0-0-0-1111.0-0-0-0-0-0-0-1",
    ] {
        let answer = post(&egress, &format!("https://{name}.address.test/in")).await;
        let failure = answer.outcome.unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Blocked, NOT_PUBLIC), "{name}");
        assert!(answer.duration < Duration::from_millis(500), "{name}: {:?}", answer.duration);
    }
    assert!(open.accept().is_err());
    assert!(egress.control(|receiver| receiver.all_requests()).await.unwrap().is_empty());
    for name in ["1-1-1-1", "2606-4700-0-0-0-0-0-1111", "64-ff9b-0-0-0-0-808-808"] {
        let answer = post(&egress, &format!("https://{name}.address.test/in")).await;
        assert_eq!(answer.outcome.unwrap().kept.status_code, 200, "{name}");
    }
    let unknown = post(&egress, "https://no-such-name.address.test/in").await;
    assert_eq!(kind(&unknown), FailureKind::Dns);
}

#[tokio::test]
async fn rebinding_name_connects_to_the_checked_address() {
    let (settings, asked) = in_turn(&[&["1.1.1.1"], &["127.0.0.1"]]);
    let egress = EgressHarness::start(settings).await;
    let first = post(&egress, "https://rebinding.address.test/in").await;
    assert_eq!((first.outcome.unwrap().kept.status_code, asked.load(Ordering::SeqCst)), (200, 1));
    // The next POST uses the open connection to the checked address, without a look-up.
    let second = post(&egress, "https://rebinding.address.test/in").await;
    assert_eq!((second.outcome.unwrap().kept.status_code, asked.load(Ordering::SeqCst)), (200, 1));
    // Another name needs another connection, and its own check.
    let other = post(&egress, "https://other.address.test/in").await;
    assert_eq!((kind(&other), asked.load(Ordering::SeqCst)), (FailureKind::Blocked, 2));
}

/// Makes an attempt for a webhook without secrets.
async fn deliver(egress: &EgressHarness, webhook: &mut Webhook) -> Delivery {
    webhook.sealed = None;
    let vault = Vault::new(&anzol_runtime::aws::config().unwrap(), "no key is needed");
    let opened = vault.open(webhook).await.unwrap();
    Deliverer::new(egress.client.clone(), now).deliver(&opened, &task(webhook)).await
}

#[tokio::test]
async fn second_try_checks_the_address_again() {
    let (settings, asked) = in_turn(&[&["1.1.1.1"], &["1.1.1.1", "10.0.0.1"]]);
    let egress = EgressHarness::start(settings).await;
    behave(&egress, "/in", Behavior { mode: Mode::Reset, ..Behavior::default() }).await;
    let mut webhook = webhook("acme");
    webhook.spec.url = WebhookUrl::parse("https://rebinding.address.test/in").unwrap();
    let delivery = deliver(&egress, &mut webhook).await;
    assert_eq!((delivery.failure, asked.load(Ordering::SeqCst)), (Some(FailureKind::Blocked), 2));
    assert_eq!(delivery.status_message.unwrap(), format!("{NOT_PUBLIC} (tried twice)"));
}

#[tokio::test]
async fn redirect_to_internal_address_is_not_followed() {
    let egress = EgressHarness::start(Settings::default()).await;
    for target in [
        "http://169.254.169.254/latest/meta-data/",
        "https://127-0-0-1.address.test/",
        "//169.254.170.2/",
        "/in",
    ] {
        for status in [301, 302, 303, 307, 308] {
            let headers = [("location".to_owned(), target.to_owned())].into();
            behave(&egress, "/away", Behavior { status, headers, ..Behavior::default() }).await;
            let answer = post(&egress, "https://hooks.receiver.test/away").await;
            assert_eq!(answer.outcome.unwrap().kept.status_code, status);
        }
    }
    let requests = egress.control(|receiver| receiver.all_requests()).await.unwrap();
    assert!(requests.len() == 20 && requests.iter().all(|request| request.path == "/away"), "{requests:?}");
}

#[tokio::test]
async fn stored_url_and_headers_are_checked_before_sending() {
    let egress = EgressHarness::start(Settings::default()).await;
    for url in [
        "http://hooks.receiver.test/in",
        "https://hooks.receiver.test:8443/in",
        "https://user:password@hooks.receiver.test/in",
        "https://hooks.receiver.test/in#part",
        "https://1.1.1.1/in",
        "https://127.0.0.1/in",
        "https://[::1]/in",
        "https://[2606:4700::1111]/in",
        "https://2130706433/in",
        "https://localhost/in",
        "https://hooks/in",
        "https://hooks.receiver.test./in",
        "https://db.internal/in",
    ] {
        let mut webhook = webhook("acme");
        webhook.spec.url = serde_json::from_str(&format!("{url:?}")).unwrap();
        let delivery = deliver(&egress, &mut webhook).await;
        let message = delivery.status_message.unwrap();
        assert_eq!(delivery.failure, Some(FailureKind::Blocked), "{url}: {message}");
        assert!(message.contains("`url`"), "{url}: {message}");
    }
    for (name, value) in [
        ("X-A", "b\r\nEvil: 1"),
        ("X-A\r\nEvil", "1"),
        ("X-A", "é"),
        ("Host", "a"),
        ("Transfer-Encoding", "chunked"),
    ] {
        let headers = [(name.to_owned(), value.to_owned())];
        let url = Url::parse("https://hooks.receiver.test/in").unwrap();
        let failure =
            egress.client.post(&url, &headers, String::new(), Reuse::Allowed).await.outcome.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Blocked, "{failure:?}");
        assert!(!failure.message.contains(['\r', '\n', 'é']), "{failure:?}");
    }
    assert!(egress.control(|receiver| receiver.all_requests()).await.unwrap().is_empty());
}

#[test]
fn proxy_variables_are_ignored() {
    // Setting variables of this process is unsafe, so another process sends under them.
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
        .map(|name| [name.to_owned(), name.to_lowercase()])
        .concat();
    let sent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "egress::post_delivers_the_request_and_returns_the_answer"])
        .envs(names.iter().map(|name| (name, &address)))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&sent.stdout);
    assert!(sent.status.success() && said.contains("1 passed"), "{said}");
    assert!(proxy.accept().is_err(), "the proxy was used");
}
