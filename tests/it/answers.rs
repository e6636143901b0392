//! Unusual answers of receivers, byte for byte: the outcome of each, its history row, and the number of requests.

use std::time::Duration;

use anzol_domain::delivery::BodyError;
use anzol_domain::{Delivery, FailureKind, Status, WebhookUrl};
use anzol_egress::Settings;
use anzol_pipeline::Deliverer;
use anzol_runtime::now;
use anzol_tests::receiver::{Behavior, End, Mode};
use anzol_vault::Vault;

use crate::kit::{EgressHarness, task, webhook_with};

/// Long enough for every answer here, short enough to wait for endless ones.
const TIMEOUT: Duration = Duration::from_secs(4);

struct Receiver {
    egress: EgressHarness,
    vault: Vault,
}

impl Receiver {
    async fn start() -> Self {
        let egress = EgressHarness::start(Settings { timeout: TIMEOUT, ..Settings::default() }).await;
        Self { egress, vault: Vault::new(&anzol_runtime::aws::config().unwrap(), "no key is needed") }
    }

    async fn behaves(&self, target: &str, behavior: Behavior) {
        let target = target.to_owned();
        self.egress.control(move |control| control.behave(&target, &behavior)).await.unwrap();
    }

    /// Makes one delivery like the sender, without a secret.
    async fn deliver(&self, url: &str) -> Delivery {
        let webhook = webhook_with("acme", |webhook| {
            webhook.sealed = None;
            webhook.spec.url = WebhookUrl::parse(url).unwrap();
        });
        let opened = self.vault.open(&webhook).await.unwrap();
        Deliverer::new(self.egress.client.clone(), now).deliver(&opened, &task(&webhook)).await
    }

    async fn posts(&self, path: &str) -> usize {
        let path = path.to_owned();
        self.egress.control(move |control| control.requests(&path)).await.unwrap().len()
    }

    /// Makes one delivery to a receiver with this behavior. Returns the number of requests too.
    async fn answered(&self, path: &str, behavior: Behavior) -> (Delivery, usize) {
        self.behaves(path, behavior).await;
        let delivery = self.deliver(&format!("https://hooks.receiver.test{path}")).await;
        (delivery, self.posts(path).await)
    }
}

fn raw(text: impl Into<Vec<u8>>, end: End) -> Behavior {
    Behavior::raw(text, end)
}

/// Checks that the status of each answer decides the outcome, and that the received part of its body is kept.
async fn counts_as(
    receiver: &Receiver,
    under: &str,
    rows: Vec<(&str, Behavior, u16, &str, Option<BodyError>)>,
) {
    let checks =
        rows.into_iter().enumerate().map(|(number, (what, behavior, status, body, error))| async move {
            let (row, posts) = receiver.answered(&format!("{under}/{number}"), behavior).await;
            let response = row.response.as_ref().unwrap_or_else(|| panic!("{what}: no answer in {row:?}"));
            assert_eq!(response.status_code, status, "{what}: {row:?}");
            let failure = (!(200..300).contains(&status)).then_some(FailureKind::HttpStatus);
            assert_eq!((row.failure, row.status == Status::Success), (failure, failure.is_none()), "{what}");
            assert_eq!(response.body, body, "{what}");
            assert_eq!(response.body_error, error, "{what}");
            assert_eq!(response.body_cut, error.is_some(), "{what}");
            assert_eq!(posts, 1, "{what}");
        });
    futures::future::join_all(checks).await;
}

#[tokio::test]
async fn k1_status_counts_however_the_body_ends() {
    use BodyError::{Cut, Encoding, Length, Timeout};
    let receiver = Receiver::start().await;
    let until_close = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthanks";
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nthanks";
    let gone = "HTTP/1.1 410 Gone\r\nContent-Length: 12\r\n\r\nthanks";
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nthanks\r\n";
    let gzip = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nthanks";
    counts_as(
        &receiver,
        "/ends",
        vec![
            ("no close_notify", raw(until_close, End::Abrupt), 200, "thanks", Some(Cut)),
            ("closed properly", raw(until_close, End::Close), 200, "thanks", None),
            ("reset in the body", raw(half, End::Reset), 200, "thanks", Some(Cut)),
            ("closed in the body", raw(half, End::Close), 200, "thanks", Some(Cut)),
            ("cut by TCP in the body", raw(half, End::Abrupt), 200, "thanks", Some(Cut)),
            ("a body that stalls", raw(half, End::Open), 200, "thanks", Some(Timeout)),
            ("gone, with half a body", raw(gone, End::Abrupt), 410, "thanks", Some(Cut)),
            ("gone, with a body that stalls", raw(gone, End::Open), 410, "thanks", Some(Timeout)),
            ("chunks without an end", raw(chunks, End::Close), 200, "thanks", Some(Cut)),
            ("chunks that stall", raw(chunks, End::Open), 200, "thanks", Some(Timeout)),
            ("a bad chunk", raw(format!("{chunks}zz\r\nmore\r\n0\r\n\r\n"), End::Close), 200, "thanks", Some(Length)),
            ("not gzip", raw(gzip, End::Open), 200, "thanks", Some(Encoding)),
            ("a whole body, then cut", raw("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nthanks", End::Abrupt), 200, "thanks", None),
            ("no body, then reset", raw("HTTP/1.1 204 No Content\r\n\r\n", End::Reset), 204, "", None),
            ("an invalid length", raw("HTTP/1.1 200 OK\r\nContent-Length: six\r\n\r\nthanks", End::Close), 200, "thanks", Some(Length)),
            ("two lengths", raw("HTTP/1.1 503 No\r\nContent-Length: 6\r\nContent-Length: 7\r\n\r\nthanks", End::Close), 503, "thanks", Some(Length)),
            ("HTTP/1.0", raw("HTTP/1.0 200 OK\r\n\r\nthanks", End::Close), 200, "thanks", None),
            ("after 1xx", raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", End::Open), 201, "ok", None),
        ],
    )
    .await;
}

#[tokio::test]
async fn k2_headers_tolerated_by_browsers_are_accepted() {
    let receiver = Receiver::start().await;
    let with =
        |headers: &str| raw(format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\nok"), End::Open);
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: {n}\r\n")).collect::<Vec<_>>().concat();
    counts_as(
        &receiver,
        "/headers",
        vec![
            ("a space before the colon", with("X-Foo : value\r\n"), 200, "ok", None),
            ("a line without a colon", with("nonsense\r\n"), 200, "ok", None),
            ("a name with spaces", with("X Foo: value\r\n"), 200, "ok", None),
            ("a folded value", with("X-Foo: value\r\n  more\r\n"), 200, "ok", None),
            ("a control character", with("X-Foo: b\u{1}r\r\n"), 200, "ok", None),
            ("bytes beyond ASCII", with("X-Foo: b\u{e4}r\r\n"), 200, "ok", None),
            ("an empty value", with("X-Foo:\r\n"), 200, "ok", None),
            ("bare line feeds", raw("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", End::Open), 200, "ok", None),
            ("no reason", raw("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", End::Open), 200, "ok", None),
            (
                "blank lines before",
                raw("\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", End::Open),
                200,
                "ok",
                None,
            ),
            ("101 headers", with(&many(100)), 200, "ok", None),
            ("500 headers", with(&many(500)), 200, "ok", None),
            ("999 headers", with(&many(999)), 200, "ok", None),
        ],
    )
    .await;
    // Answers that hyper refuses are parsed by our fallback.
    counts_as(
        &receiver,
        "/unusual",
        vec![
            (
                "3,000 short headers",
                with(&(0..3_000).map(|_| "a:1\r\n").collect::<String>()),
                200,
                "ok",
                None,
            ),
            (
                "a 1xx before it",
                raw(
                    "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1  410  Gone\r\nContent-Length: 2\r\n\r\nok",
                    End::Open,
                ),
                410,
                "ok",
                None,
            ),
            ("no content", raw("HTTP/1.9 204 No\r\n\r\n", End::Open), 204, "", None),
            (
                "half a body",
                raw("HTTP/1.9 200 OK\r\nContent-Length: 9\r\n\r\nok", End::Open),
                200,
                "ok",
                Some(BodyError::Length),
            ),
            ("a NUL", with("X-Foo: b\0r\r\n"), 200, "ok", None),
            ("5,000 headers", with(&many(5_000)), 200, "ok", None),
            (
                "spaces around the status",
                raw("HTTP/1.1  500  Oops\r\nContent-Length: 2\r\n\r\nok", End::Open),
                500,
                "ok",
                None,
            ),
            (
                "another minor version",
                raw("HTTP/1.9 404 No\r\nContent-Length: 2\r\n\r\nok", End::Open),
                404,
                "ok",
                None,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn k2_l7_no_second_post_after_the_first_answer_byte() {
    use FailureKind::{Body, Protocol};
    let receiver = Receiver::start().await;
    for (number, (bytes, end, kind, says)) in [
        (
            "SSH-2.0-OpenSSH_9.2p1\r\n",
            End::Open,
            Protocol,
            "the response is not HTTP/1.1: it starts with \"SSH-2.0-OpenSSH",
        ),
        ("220 mail.example ESMTP\r\n", End::Open, Protocol, "is this the port of a web server?"),
        ("hello\n", End::Close, Protocol, "not HTTP/1.1"),
        ("<html>hello</html>", End::Abrupt, Protocol, "not HTTP/1.1"),
        ("HTTP/2 200\r\n\r\n", End::Close, Protocol, "another version"),
        ("HTTP/1.1 2xx OK\r\n\r\n", End::Close, Protocol, "headers cannot be read"),
        ("\0\0\u{12}\u{4}\0\0\0\0\0\0\u{3}\0\0\0\u{64}", End::Open, Protocol, "HTTP/2"),
        ("HTTP/1.1 200 OK\r\nX-Fo", End::Close, Body, "closed the connection"),
        ("HTTP/1.1 200 OK\r\nX-Foo: 1\r\n", End::Reset, Body, "closed the connection"),
        ("HTTP/1.1 200 OK\r\nX-Foo: 1\r\n", End::Abrupt, Body, "closed the connection"),
        ("H", End::Close, Protocol, "not HTTP/1.1"),
        ("HTTP/1.1 100 Continue\r\n\r\n", End::Close, Body, "closed the connection"),
    ]
    .into_iter()
    .enumerate()
    {
        let (row, posts) = receiver.answered(&format!("/bad-{number}"), raw(bytes, end)).await;
        let message = row.status_message.as_deref().unwrap_or_default();
        assert_eq!((row.failure, posts), (Some(kind), 1), "{bytes:?}: {row:?}");
        assert!(message.contains(says), "{bytes:?}: {message}");
        assert!(row.failure.unwrap().is_retried() && row.response.is_none(), "{bytes:?}");
    }
}

#[tokio::test]
async fn k2_post_without_an_answer_byte_is_repeated_once() {
    let receiver = Receiver::start().await;
    for (path, end) in [("/close", End::Close), ("/abrupt", End::Abrupt), ("/reset", End::Reset)] {
        let (row, posts) = receiver.answered(path, raw("", end)).await;
        assert_eq!((row.failure, posts), (Some(FailureKind::Connect), 2), "{path}: {row:?}");
        assert!(row.status_message.as_ref().unwrap().ends_with("(tried twice)"), "{row:?}");
    }
    // An answer that starts and stalls is a timeout.
    let (row, posts) = receiver.answered("/slow", raw("HTTP/1.1 200 OK\r\nX-Foo", End::Open)).await;
    assert_eq!((row.failure, posts), (Some(FailureKind::Timeout), 1), "{row:?}");
}

#[tokio::test]
async fn k3_headers_after_an_oversized_one_are_kept_and_used() {
    let receiver = Receiver::start().await;
    let big = "v".repeat(9_000);
    let answer = |status: &str, rest: &str| {
        raw(format!("HTTP/1.1 {status} X\r\nA-Big: {big}\r\n{rest}Content-Length: 0\r\n\r\n"), End::Close)
    };
    let (row, _) = receiver.answered("/wait", answer("429", "Retry-After: 600\r\nX-Small: 1\r\n")).await;
    assert_eq!(row.retry_after, Some(Duration::from_mins(10)));
    let response = row.response.unwrap();
    let names: Vec<_> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, response.headers_cut), (vec!["retry-after", "x-small", "content-length"], true));
    // A header decides the outcome even when it is too large to keep.
    let (row, _) =
        receiver.answered("/moved", answer("301", &format!("Location: https://a.example/{big}\r\n"))).await;
    assert_eq!(row.failure, Some(FailureKind::Redirect));
    assert!(row.status_message.unwrap().contains("a redirect to https://a.example/vvv"));
}

#[tokio::test]
async fn k7_second_try_uses_a_new_connection() {
    let receiver = Receiver::start().await;
    for (path, end) in [("/reset", End::Reset), ("/close", End::Close), ("/abrupt", End::Abrupt)] {
        receiver.behaves(path, raw("", end).from_request(2)).await;
        // A new host, without connections of other deliveries.
        let url = format!("https://{}.receiver.test{path}", &path[1..]);
        let first = futures::future::join_all((0..10).map(|_| receiver.deliver(&url))).await;
        assert!(first.iter().all(|row| row.status == Status::Success), "{first:?}");
        assert_eq!(receiver.posts(path).await, 10);
        let row = receiver.deliver(&url).await;
        assert_eq!(row.status, Status::Success, "{path}: {row:?}");
        assert_eq!(receiver.posts(path).await, 12, "{path}: one over a kept connection, one over a new one");
    }
}

#[tokio::test]
async fn k7_close_while_idle_causes_no_second_post() {
    let receiver = Receiver::start().await;
    receiver.behaves("/in", raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", End::Close)).await;
    for count in 1..=5 {
        let row = receiver.deliver("https://hooks.receiver.test/in").await;
        assert_eq!(row.status, Status::Success, "{row:?}");
        assert_eq!(
            receiver.posts("/in").await,
            count,
            "the client noticed the close before the next request"
        );
    }
}

#[tokio::test]
async fn k7_complete_answer_keeps_the_connection() {
    let receiver = Receiver::start().await;
    // `from_request` applies only if the connection is kept.
    let second = raw("HTTP/1.1 299 Kept\r\nContent-Length: 0\r\n\r\n", End::Open);
    receiver.behaves("/in", second.from_request(2)).await;
    let url = "https://hooks.receiver.test/in";
    let status = |row: Delivery| row.response.unwrap().status_code;
    assert_eq!(status(receiver.deliver(url).await), 200);
    assert_eq!(status(receiver.deliver(url).await), 299);
    assert_eq!(status(receiver.deliver(url).await), 299);
}

#[tokio::test]
async fn tls_failures_name_the_remedy() {
    let receiver = Receiver::start().await;
    for (name, mode, says) in [
        ("plain", Mode::PlainHttp, "does it serve plain HTTP there?"),
        ("bad", Mode::BadTls, "intermediate"),
        ("alone", Mode::MissingIntermediate, "does not send the intermediate certificate"),
        ("expired", Mode::ExpiredCert, "the receiver's certificate expired at 20"),
        ("wrong", Mode::WrongNameCert, "not for wrong.receiver.test"),
        ("client", Mode::WantsClientCert, "requires a client certificate, and webhooks have none"),
    ] {
        let host = format!("{name}.receiver.test");
        receiver.behaves(&format!("/host:{host}"), Behavior { mode, ..Behavior::default() }).await;
        let row = receiver.deliver(&format!("https://{host}/{name}")).await;
        let message = row.status_message.unwrap();
        assert_eq!(row.failure, Some(FailureKind::Tls), "{name}: {message}");
        assert!(message.contains(says), "{name}: {message}");
        assert_eq!(receiver.posts(&format!("/{name}")).await, 0);
    }
}
