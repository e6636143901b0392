//! The receiver over real TLS and real sockets, the way the sender and the suites will meet it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use super::{Behaviour, Mode, Options, Receiver, State};
use crate::client::Control;

/// A receiver on a thread of its own, and what is needed to talk to it.
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

    /// A TLS connection that trusts only the receiver's CA and gives up reading after half a second.
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
        // Long enough for a busy machine, and all that whoever waits for nothing has to wait.
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
    }

    /// One POST on a connection that the receiver is asked to close; what came until it did, and how it ended.
    fn post(&self, host: &str, path: &str, body: &str) -> (String, std::io::Result<()>) {
        let mut stream = self.connect(host);
        if let Err(error) = stream.write_all(request(host, path, body, "close").as_bytes()) {
            return (String::new(), Err(error));
        }
        let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
        let ended = loop {
            match stream.read(&mut chunk) {
                Ok(0) => break Ok(()),
                Ok(_) if seen.len() > 64 * 1024 => break Ok(()),
                Ok(length) => seen.extend_from_slice(chunk.get(..length).unwrap()),
                Err(error) => break Err(error),
            }
        };
        (String::from_utf8(seen).unwrap(), ended)
    }
}

fn request(host: &str, path: &str, body: &str, connection: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\nX-Twice: one\r\nX-Twice: two\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_request_over_tls_is_answered_and_kept_as_it_came() {
    let fixture = Fixture::start();
    let (answer, ended) = fixture.post("hooks.receiver.test", "/a/b?c=d", "{\"x\": 1}");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(ended.is_ok(), "{ended:?}");

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
fn a_connection_carries_several_requests() {
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
fn a_path_answers_as_told_until_told_otherwise() {
    let fixture = Fixture::start();
    let behaviour = Behaviour {
        status: 503,
        headers: [("retry-after".to_owned(), "7".to_owned())].into(),
        body: "later".to_owned(),
        delay_ms: 150,
        mode: Mode::Ok,
    };
    fixture.control.behave("/busy", &behaviour).unwrap();
    let begun = Instant::now();
    let (answer, _) = fixture.post("a.receiver.test", "/busy?ignored", "{}");
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 7\r\n") && answer.ends_with("\r\n\r\nlater"), "{answer}");
    assert!(fixture.post("a.receiver.test", "/idle", "{}").0.starts_with("HTTP/1.1 200 "));

    fixture.control.forget_behaviours().unwrap();
    assert!(fixture.post("a.receiver.test", "/busy", "{}").0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_host_answers_as_told_where_its_paths_are_not() {
    let fixture = Fixture::start();
    fixture
        .control
        .behave("/host:Down.receiver.test", &Behaviour { status: 500, ..Behaviour::default() })
        .unwrap();
    fixture.control.behave("/spared", &Behaviour { status: 204, ..Behaviour::default() }).unwrap();
    assert!(fixture.post("down.receiver.test", "/x", "{}").0.starts_with("HTTP/1.1 500 "));
    assert!(fixture.post("down.receiver.test", "/spared", "{}").0.starts_with("HTTP/1.1 204 "));
    assert!(fixture.post("up.receiver.test", "/x", "{}").0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_stalling_path_sends_its_headers_and_nothing_more() {
    let fixture = Fixture::start();
    fixture.control.behave("/stall", &Behaviour { mode: Mode::Stall, ..Behaviour::default() }).unwrap();
    let (answer, ended) = fixture.post("receiver.test", "/stall", "{}");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(matches!(ended.expect_err("no end").kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert_eq!(fixture.control.requests("/stall").unwrap().len(), 1);
}

#[test]
fn an_endless_path_goes_on_past_any_limit() {
    let fixture = Fixture::start();
    fixture.control.behave("/endless", &Behaviour { mode: Mode::Endless, ..Behaviour::default() }).unwrap();
    let (answer, _) = fixture.post("receiver.test", "/endless", "{}");
    assert!(answer.len() > 64 * 1024 && answer.ends_with('x'), "{} bytes", answer.len());
}

#[test]
fn a_resetting_path_reads_the_request_and_resets_the_connection() {
    let fixture = Fixture::start();
    fixture.control.behave("/reset", &Behaviour { mode: Mode::Reset, ..Behaviour::default() }).unwrap();
    let (answer, ended) = fixture.post("receiver.test", "/reset", "{\"kept\":true}");
    assert_eq!(answer, "");
    assert_eq!(ended.expect_err("a reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!(fixture.control.requests("/reset").unwrap().len(), 1);
}

#[test]
fn a_host_with_bad_tls_shows_a_certificate_nobody_trusts_and_others_do_not() {
    let fixture = Fixture::start();
    fixture
        .control
        .behave("/host:bad.receiver.test", &Behaviour { mode: Mode::BadTls, ..Behaviour::default() })
        .unwrap();
    let (answer, ended) = fixture.post("bad.receiver.test", "/x", "{}");
    assert_eq!(answer, "");
    let error = ended.expect_err("a refused certificate").to_string();
    assert!(error.contains("certificate"), "{error}");
    assert!(fixture.post("good.receiver.test", "/x", "{}").0.starts_with("HTTP/1.1 200 "));
    assert_eq!(fixture.control.requests("/x").unwrap().len(), 1);
}

#[test]
fn whoever_reads_along_gets_each_request_once_and_sees_a_gap() {
    let fixture = Fixture::with(Options { kept_requests: 2, ..Options::default() });
    for (path, mode) in [("/one", Mode::Ok), ("/two", Mode::Cut)] {
        fixture.control.behave(path, &Behaviour { mode, status: 201, ..Behaviour::default() }).unwrap();
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
fn only_the_newest_requests_are_kept() {
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
fn wrong_control_input_is_refused_with_what_is_wrong() {
    let fixture = Fixture::start();
    for (target, behaviour, reason) in [
        ("/x", json!({ "mode": "explode" }), "unknown variant `explode`"),
        ("/x", json!({ "stauts": 500 }), "unknown field `stauts`"),
        ("/x", json!({ "status": 101 }), "status 101"),
        ("/x", json!({ "status": "500" }), "invalid type"),
        ("/x", json!({ "delayMs": 3_600_000 }), "delayMs 3600000"),
        ("/x", json!({ "headers": { "a b": "c" } }), "\"a b\""),
        ("/x", json!({ "headers": { "Content-Length": "1" } }), "Content-Length"),
        ("/x", json!({ "mode": "bad-tls" }), "host:<name>"),
        ("/host:example.com", json!({}), "\"example.com\""),
        ("/x", json!([]), "not a behaviour"),
    ] {
        let answer = fixture.control.put_behaviour(target, &behaviour).unwrap();
        assert_eq!(answer.status, 400, "{answer}");
        let error = answer.json().unwrap();
        let error = error.get("error").and_then(serde_json::Value::as_str).unwrap_or_default();
        assert!(error.contains(reason), "{error:?} does not say {reason:?}");
    }
    let refused = fixture.control.requests("x").unwrap_err().to_string();
    assert!(refused.contains("got 400") && refused.contains("does not begin with /"), "{refused}");
    assert_eq!(fixture.control.requests("%2Fx").unwrap(), []);
}
