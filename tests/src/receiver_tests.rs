//! Tests of the receiver over TLS and sockets, as the sender and the suites use it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use super::{Behavior, End, Mode, Options, Receiver, State, tls};
use crate::client::Control;

/// A receiver on its own thread, its addresses, its CA and a client of its control API.
struct Fixture {
    state: State,
    ca_pem: String,
    control: Control,
}

impl Fixture {
    fn start() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let (sender, started) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let receiver = Receiver::start(options).await.unwrap();
                sender.send((receiver.state("/nowhere".as_ref()), receiver.ca_pem().to_owned())).unwrap();
                receiver.run().await.unwrap();
            });
        });
        let (state, ca_pem) = started.recv().unwrap();
        let control = Control::new(&state.control_url);
        Self { state, ca_pem, control }
    }

    /// Opens a TLS connection that trusts only the receiver's CA and stops reading after two seconds.
    fn connect(&self, host: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let socket = TcpStream::connect(&self.state.address).unwrap();
        // Long enough for a busy machine; tests that expect nothing wait this long.
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
    }

    /// Sends one POST with `Connection: close`. Returns the bytes received and the outcome of the connection.
    fn post(&self, host: &str, path: &str, body: &str) -> (String, std::io::Result<()>) {
        let mut stream = self.connect(host);
        if let Err(error) = stream.write_all(request(host, path, body, "close").as_bytes()) {
            return (String::new(), Err(error));
        }
        let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
        let outcome = loop {
            match stream.read(&mut chunk) {
                Ok(0) => break Ok(()),
                Ok(_) if seen.len() > 64 * 1024 => break Ok(()),
                Ok(length) => seen.extend_from_slice(chunk.get(..length).unwrap()),
                Err(error) => break Err(error),
            }
        };
        (String::from_utf8(seen).unwrap(), outcome)
    }

    /// Returns the error of a handshake in this mode.
    fn refused_handshake(&self, mode: Mode) -> String {
        let host = "faulty.receiver.test";
        let behavior = Behavior { mode, ..Behavior::default() };
        self.control.behave(&format!("/host:{host}"), &behavior).unwrap();
        let (answer, outcome) = self.post(host, "/x", "{}");
        assert_eq!(answer, "");
        assert!(self.post("sound.receiver.test", "/sound", "{}").0.starts_with("HTTP/1.1 200 "));
        assert_eq!(self.control.requests("/x").unwrap(), [], "no request arrives");
        outcome.expect_err("a refused handshake").to_string()
    }
}

/// Reads until `enough` has arrived.
fn read_until(stream: &mut StreamOwned<ClientConnection, TcpStream>, enough: &str) -> String {
    let (mut seen, mut chunk) = (String::new(), [0; 512]);
    while !seen.contains(enough) {
        let length = stream.read(&mut chunk).unwrap();
        assert!(length > 0, "the end after {seen:?}");
        seen.push_str(std::str::from_utf8(chunk.get(..length).unwrap()).unwrap());
    }
    seen
}

fn request(host: &str, path: &str, body: &str, connection: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\nX-Twice: one\r\nX-Twice: two\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn request_over_tls_is_answered_and_recorded() {
    let fixture = Fixture::start();
    let (answer, outcome) = fixture.post("hooks.receiver.test", "/a/b?c=d", "{\"x\": 1}");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(outcome.is_ok(), "{outcome:?}");

    fixture.post("receiver.test", "/other", "").1.unwrap();
    let kept = fixture.control.requests("/a/b").unwrap();
    let [request] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/a/b?c=d");
    assert_eq!(request.host, "hooks.receiver.test");
    assert_eq!(request.header("x-twice"), "one, two");
    assert_eq!(request.body().unwrap(), b"{\"x\": 1}");
    assert!(
        (time::OffsetDateTime::now_utc() - request.time).abs() < time::Duration::seconds(5),
        "{request:?}"
    );

    let all: Vec<_> =
        fixture.control.all_requests().unwrap().into_iter().map(|request| request.path).collect();
    assert_eq!(all, ["/a/b?c=d", "/other"], "newest last");
    fixture.control.forget_requests().unwrap();
    assert_eq!(fixture.control.all_requests().unwrap(), []);
}

#[test]
fn connection_serves_several_requests() {
    let fixture = Fixture::start();
    let mut stream = fixture.connect("receiver.test");
    for _ in 0..2 {
        stream.write_all(request("receiver.test", "/kept-open", "{}", "keep-alive").as_bytes()).unwrap();
        let (mut seen, mut chunk) = (String::new(), [0; 512]);
        while !seen.contains("\r\n\r\n") {
            let length = stream.read(&mut chunk).unwrap();
            seen.push_str(std::str::from_utf8(chunk.get(..length).unwrap()).unwrap());
        }
        assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{seen}");
    }
    assert_eq!(fixture.control.requests("/kept-open").unwrap().len(), 2);
}

#[test]
fn path_behavior_applies_until_reset() {
    let fixture = Fixture::start();
    let behavior = Behavior {
        status: 503,
        headers: [("retry-after".to_owned(), "7".to_owned())].into(),
        body: "later".to_owned(),
        delay_ms: 150,
        ..Behavior::default()
    };
    fixture.control.behave("/busy", &behavior).unwrap();
    let started = Instant::now();
    let (answer, _) = fixture.post("a.receiver.test", "/busy?ignored", "{}");
    assert!(started.elapsed() >= Duration::from_millis(150), "{:?}", started.elapsed());
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 7\r\n") && answer.ends_with("\r\n\r\nlater"), "{answer}");
    assert!(fixture.post("a.receiver.test", "/idle", "{}").0.starts_with("HTTP/1.1 200 "));

    fixture.control.forget_behaviors().unwrap();
    assert!(fixture.post("a.receiver.test", "/busy", "{}").0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn host_behavior_applies_to_paths_without_one() {
    let fixture = Fixture::start();
    fixture
        .control
        .behave("/host:Down.receiver.test", &Behavior { status: 500, ..Behavior::default() })
        .unwrap();
    fixture.control.behave("/spared", &Behavior { status: 204, ..Behavior::default() }).unwrap();
    assert!(fixture.post("down.receiver.test", "/x", "{}").0.starts_with("HTTP/1.1 500 "));
    assert!(fixture.post("down.receiver.test", "/spared", "{}").0.starts_with("HTTP/1.1 204 "));
    assert!(fixture.post("up.receiver.test", "/x", "{}").0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn stall_mode_sends_only_headers() {
    let fixture = Fixture::start();
    fixture.control.behave("/stall", &Behavior { mode: Mode::Stall, ..Behavior::default() }).unwrap();
    let (answer, outcome) = fixture.post("receiver.test", "/stall", "{}");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(matches!(outcome.expect_err("no end").kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert_eq!(fixture.control.requests("/stall").unwrap().len(), 1);
}

#[test]
fn endless_mode_never_ends_the_body() {
    let fixture = Fixture::start();
    fixture.control.behave("/endless", &Behavior { mode: Mode::Endless, ..Behavior::default() }).unwrap();
    let (answer, _) = fixture.post("receiver.test", "/endless", "{}");
    assert!(answer.len() > 64 * 1024 && answer.ends_with('x'), "{} bytes", answer.len());
}

#[test]
fn reset_mode_reads_the_request_then_resets() {
    let fixture = Fixture::start();
    fixture.control.behave("/reset", &Behavior { mode: Mode::Reset, ..Behavior::default() }).unwrap();
    let (answer, outcome) = fixture.post("receiver.test", "/reset", "{\"kept\":true}");
    assert_eq!(answer, "");
    assert_eq!(outcome.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(fixture.control.requests("/reset").unwrap().len(), 1);
}

#[test]
fn bad_tls_mode_affects_only_its_host() {
    let fixture = Fixture::start();
    fixture
        .control
        .behave("/host:bad.receiver.test", &Behavior { mode: Mode::BadTls, ..Behavior::default() })
        .unwrap();
    let (answer, outcome) = fixture.post("bad.receiver.test", "/x", "{}");
    assert_eq!(answer, "");
    let error = outcome.expect_err("a refused certificate").to_string();
    assert!(error.contains("certificate"), "{error}");
    assert!(fixture.post("good.receiver.test", "/x", "{}").0.starts_with("HTTP/1.1 200 "));
    assert_eq!(fixture.control.requests("/x").unwrap().len(), 1);
}

const BYTES: &str = "HTTP/1.1 200 OK\r\nX-Odd : yes\r\n\r\nth\u{e9}nks";

#[test]
fn raw_mode_sends_exact_bytes_and_ends_as_configured() {
    let fixture = Fixture::start();
    for (number, raw) in [BYTES, ""].into_iter().enumerate() {
        for (end, kind) in [
            (End::Close, None),
            (End::Abrupt, Some(ErrorKind::UnexpectedEof)),
            (End::Reset, Some(ErrorKind::ConnectionReset)),
        ] {
            let path = format!("/raw-{number}-{end:?}");
            fixture.control.behave(&path, &Behavior::raw(raw, end)).unwrap();
            let (answer, outcome) = fixture.post("receiver.test", &path, "{\"kept\":true}");
            assert_eq!(answer, raw, "{end:?}");
            assert_eq!(outcome.err().map(|error| error.kind()), kind, "{end:?}");
            let kept = fixture.control.requests(&path).unwrap();
            let [request] = kept.as_slice() else { panic!("{kept:?}") };
            assert_eq!(request.body().unwrap(), b"{\"kept\":true}");
            assert_eq!(request.answered, None);
        }
    }
}

#[test]
fn raw_mode_accepts_binary_as_base64() {
    let fixture = Fixture::start();
    let answer = fixture.control.put_behavior("/x", &json!({ "mode": "raw", "raw": "/wAN" })).unwrap();
    assert_eq!(answer.status, 204, "{answer}");
    let mut stream = fixture.connect("receiver.test");
    stream.write_all(request("receiver.test", "/x", "{}", "close").as_bytes()).unwrap();
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, [0xff, 0, 13]);
}

#[test]
fn raw_mode_pauses_between_pieces() {
    let fixture = Fixture::start();
    let pause = Duration::from_millis(150);
    let behavior = Behavior::raw_pieces(["HTTP/1.1 204 ", "Nothing\r\n", "\r\n"], pause, End::Close);
    fixture.control.behave("/x", &behavior).unwrap();
    let mut stream = fixture.connect("receiver.test");
    stream.write_all(request("receiver.test", "/x", "{}", "close").as_bytes()).unwrap();
    let mut chunk = [0; 512];
    let length = stream.read(&mut chunk).unwrap();
    assert_eq!(chunk.get(..length).unwrap(), b"HTTP/1.1 204 ", "the first piece arrives alone");
    let started = Instant::now();
    assert_eq!(read_until(&mut stream, "\r\n\r\n"), "Nothing\r\n\r\n");
    assert!(started.elapsed() >= pause, "{:?}", started.elapsed());
    assert_eq!(stream.read(&mut chunk).unwrap(), 0);
}

#[test]
fn raw_mode_with_open_end_keeps_the_connection_usable() {
    let fixture = Fixture::start();
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nraw!";
    fixture.control.behave("/raw", &Behavior::raw(whole, End::Open)).unwrap();
    fixture.control.behave("/nothing", &Behavior::raw("", End::Open)).unwrap();
    let mut stream = fixture.connect("receiver.test");
    for _ in 0..2 {
        stream.write_all(request("receiver.test", "/raw", "{}", "keep-alive").as_bytes()).unwrap();
        assert_eq!(read_until(&mut stream, "raw!"), whole);
    }
    // Two pipelined requests: the bytes of the second that were read with the first are not lost.
    let [first, second] = ["/raw", "/usual"].map(|path| request("receiver.test", path, "{}", "keep-alive"));
    stream.write_all(format!("{first}{second}").as_bytes()).unwrap();
    let seen = read_until(&mut stream, "content-length: 0");
    assert!(seen.starts_with(&format!("{whole}HTTP/1.1 200 OK\r\n")), "{seen}");

    stream.write_all(request("receiver.test", "/nothing", "{}", "close").as_bytes()).unwrap();
    stream.sock.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let error = loop {
        match stream.read(&mut [0; 64]) {
            Ok(0) => panic!("it has been closed"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    let paths: Vec<_> =
        fixture.control.all_requests().unwrap().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/raw", "/raw", "/raw", "/usual", "/nothing"]);
}

#[test]
fn from_request_leaves_earlier_requests_unaffected() {
    let fixture = Fixture::start();
    let reset = Behavior { status: 201, mode: Mode::Reset, ..Behavior::default() }.from_request(2);
    let raw = Behavior::raw(BYTES, End::Close).from_request(2);
    for (behavior, first, second) in [(reset, "HTTP/1.1 201 ", None), (raw, "HTTP/1.1 200 ", Some(BYTES))] {
        fixture.control.behave("/x", &behavior).unwrap();
        fixture.control.forget_requests().unwrap();
        for _ in 0..2 {
            let mut stream = fixture.connect("receiver.test");
            stream.write_all(request("receiver.test", "/x", "{}", "keep-alive").as_bytes()).unwrap();
            let seen = read_until(&mut stream, "\r\n\r\n");
            assert!(seen.starts_with(first), "{seen}");
            stream.write_all(request("receiver.test", "/x", "{}", "keep-alive").as_bytes()).unwrap();
            let mut seen = Vec::new();
            let outcome = stream.read_to_end(&mut seen).map_err(|error| error.kind());
            match second {
                None => assert_eq!(outcome, Err(ErrorKind::ConnectionReset)),
                Some(bytes) => assert_eq!(String::from_utf8(seen).unwrap(), bytes),
            }
        }
        let answered: Vec<_> =
            fixture.control.all_requests().unwrap().into_iter().map(|request| request.answered).collect();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        assert_eq!(answered, [status, None, status, None]);
    }
}

#[test]
fn plain_http_mode_answers_the_handshake_with_text() {
    let fixture = Fixture::start();
    let error = fixture.refused_handshake(Mode::PlainHttp);
    assert!(error.contains("InvalidContentType"), "{error}");

    // The bytes on the wire, without rustls.
    let mut tls = fixture.connect("faulty.receiver.test");
    while tls.conn.wants_write() {
        tls.conn.write_tls(&mut tls.sock).unwrap();
    }
    let mut seen = String::new();
    tls.sock.read_to_string(&mut seen).unwrap();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}: {body:?}");
}

#[test]
fn certificate_modes_fail_with_their_error() {
    let fixture = Fixture::start();
    for (mode, reason) in [
        (Mode::BadTls, "UnknownIssuer"),
        (Mode::MissingIntermediate, "UnknownIssuer"),
        (Mode::ExpiredCert, "certificate expired"),
        (Mode::WrongNameCert, "not valid for name"),
        (Mode::WantsClientCert, "CertificateRequired"),
    ] {
        let error = fixture.refused_handshake(mode);
        assert!(error.contains(reason), "{mode:?}: {error}");
    }
}

#[test]
fn missing_intermediate_is_the_only_fault() {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;

    let ca = tls::Ca::new("root").unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let chain = ca.issue_by_intermediate().unwrap().chain;
    let (leaf, rest) = chain.split_first().unwrap();
    let name = ServerName::try_from("hooks.receiver.test").unwrap();
    let verify =
        |rest| verifier.verify_server_cert(leaf, rest, &name, &[], rustls::pki_types::UnixTime::now());
    assert!(verify(rest).is_ok());
    assert!(verify(&[]).unwrap_err().to_string().contains("UnknownIssuer"));
}

#[test]
fn polling_returns_each_request_once_and_shows_gaps() {
    let fixture = Fixture::with(Options { kept_requests: 2, ..Options::default() });
    for (path, mode) in [("/one", Mode::Ok), ("/two", Mode::Cut)] {
        fixture.control.behave(path, &Behavior { mode, status: 201, ..Behavior::default() }).unwrap();
        fixture.post("receiver.test", path, "{}").1.ok();
    }
    let seen = |after| -> Vec<_> {
        let requests = fixture.control.requests_after(after).unwrap();
        requests.into_iter().map(|request| (request.number, request.path, request.answered)).collect()
    };
    let two = (2, "/two".to_owned(), None);
    assert_eq!(seen(0), [(1, "/one".to_owned(), Some(201)), two.clone()]);
    assert_eq!(seen(1), [two]);
    fixture.control.forget_requests().unwrap();
    for _ in 0..3 {
        fixture.post("receiver.test", "/one", "{}").1.unwrap();
    }
    assert_eq!(seen(2).iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [4, 5], "3 is gone");
    let refused = ureq::get(format!("{}/requests?after=soon", fixture.state.control_url)).call();
    assert!(matches!(refused, Err(ureq::Error::StatusCode(400))), "{refused:?}");
}

#[test]
fn oldest_requests_are_dropped_first() {
    let fixture = Fixture::with(Options { kept_requests: 3, ..Options::default() });
    for number in 1..=5 {
        fixture.post("receiver.test", &format!("/{number}"), "").1.unwrap();
    }
    let paths: Vec<_> =
        fixture.control.all_requests().unwrap().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/3", "/4", "/5"]);

    let fixture = Fixture::with(Options { kept_bytes: 20, ..Options::default() });
    for path in ["/first", "/second"] {
        fixture.post("receiver.test", path, "0123456789").1.unwrap();
    }
    let paths: Vec<_> =
        fixture.control.all_requests().unwrap().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/second"]);
}

#[test]
fn invalid_control_input_is_refused_with_a_reason() {
    let fixture = Fixture::start();
    for (target, behavior, reason) in [
        ("/x", json!({ "mode": "explode" }), "unknown variant `explode`"),
        ("/x", json!({ "stauts": 500 }), "unknown field `stauts`"),
        ("/x", json!({ "status": 101 }), "status 101"),
        ("/x", json!({ "status": "500" }), "invalid type"),
        ("/x", json!({ "delayMs": 3_600_000 }), "delayMs 3600000"),
        ("/x", json!({ "headers": { "a b": "c" } }), "\"a b\""),
        ("/x", json!({ "headers": { "Content-Length": "1" } }), "Content-Length"),
        ("/x", json!({ "mode": "bad-tls" }), "host:<name>"),
        ("/x", json!({ "mode": "wants-client-cert" }), "wants-client-cert is decided before the path"),
        ("/x", json!({ "mode": "raw", "raw": "no base64!" }), "raw: piece 1 is not base64"),
        ("/x", json!({ "mode": "raw", "raw": ["aGk=", "aGk"] }), "raw: piece 2 is not base64"),
        ("/x", json!({ "mode": "raw", "raw": { "a": 1 } }), "raw: neither a base64 string nor a list"),
        ("/x", json!({ "mode": "raw", "end": "slam" }), "unknown variant `slam`"),
        ("/x", json!({ "mode": "raw", "pauseMs": 3_600_000 }), "pauseMs 3600000"),
        ("/x", json!({ "raw": "aGk=" }), "belong to the mode raw"),
        ("/x", json!({ "mode": "stall", "end": "open" }), "belong to the mode raw"),
        ("/x", json!({ "fromRequest": 0 }), "counted from 1"),
        (
            "/host:a.receiver.test",
            json!({ "mode": "plain-http", "fromRequest": 2 }),
            "before there is a request",
        ),
        ("/host:example.com", json!({}), "\"example.com\""),
        ("/x", json!([]), "not a behavior"),
    ] {
        let answer = fixture.control.put_behavior(target, &behavior).unwrap();
        assert_eq!(answer.status, 400, "{answer}");
        let error = answer.json().unwrap();
        let error = error.get("error").and_then(serde_json::Value::as_str).unwrap_or_default();
        assert!(error.contains(reason), "{error:?} does not say {reason:?}");
    }
    let refused = fixture.control.requests("x").unwrap_err().to_string();
    assert!(refused.contains("got 400") && refused.contains("does not begin with /"), "{refused}");
    assert_eq!(fixture.control.requests("%2Fx").unwrap(), []);
}
