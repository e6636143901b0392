//! Leads a webhook through its life cycle on a stack that logs everything, and checks that no table or log line contains a secret.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use anzol_tests::client::Http;
use anzol_tests::receiver::Behavior;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::kit::*;

/// The history's compression dictionary. The first byte of a compressed value is its format.
const DICTIONARY: &[u8] = include_bytes!("../../shared/store/src/history.dict");

/// The characters that every URL encoder escapes.
const FEW: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'%');

/// Returns the encodings in which a text may be stored or logged.
fn spellings(secret: &str) -> BTreeSet<String> {
    let json = json!(secret).to_string();
    let mut all = BTreeSet::from([
        secret.to_owned(),
        json[1..json.len() - 1].to_owned(),
        hex::encode(secret),
        hex::encode_upper(secret),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(secret, FEW).to_string(),
        // Bytes in the form of Rust's `Debug`.
        secret.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", "),
    ]);
    // Base64 of a larger text contains it at one of three alignments; its neighbors change the first and last letters.
    for before in 0..3 {
        let padded = [&vec![b' '; before][..], secret.as_bytes()].concat();
        let (from, to) = (if before == 0 { 0 } else { before + 1 }, padded.len() / 3 * 4);
        for engine in [STANDARD, URL_SAFE] {
            all.insert(engine.encode(&padded)[from..to].to_owned());
        }
    }
    all
}

/// The secrets to look for, in all their encodings.
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn new(secrets: &[String]) -> Self {
        let pairs = secrets
            .iter()
            .flat_map(|secret| spellings(secret).into_iter().map(move |spelling| (secret.clone(), spelling)));
        Self(pairs.collect())
    }

    fn assert_absent(&self, place: &str, text: &str) {
        for (secret, spelling) in &self.0 {
            assert!(!text.contains(spelling), "{secret:?} is in {place}, as {spelling:?}: {text:.2000}");
        }
    }
}

/// Returns all text of an item: its JSON, and its binary attributes, decompressed where they are compressed.
fn texts_of(item: &Value) -> Vec<String> {
    let mut texts = vec![item.to_string()];
    let mut left = vec![item];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(members) => {
                if let Some(binary) = members.get("B").and_then(Value::as_str) {
                    let bytes = STANDARD.decode(binary).unwrap();
                    texts.push(String::from_utf8_lossy(&bytes).into_owned());
                    texts.extend(unpacked(&bytes));
                }
                // May be JSON, whose quotes the item's JSON escapes once more.
                texts.extend(members.get("S").and_then(Value::as_str).map(str::to_owned));
                left.extend(members.values());
            }
            Value::Array(values) => left.extend(values),
            _ => {}
        }
    }
    texts
}

fn unpacked(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    let decoder = zstd::stream::read::Decoder::with_dictionary(bytes.get(1..)?, DICTIONARY).ok()?;
    { decoder }.read_to_string(&mut text).ok()?;
    Some(text)
}

fn send(path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    let url = format!("{}{path}", context().stack.api_url.trim_end_matches('/'));
    Http::new().send(&Method::POST, &url, headers, Some(body.as_bytes())).unwrap().status
}

/// Sends requests with secrets that are refused.
fn send_invalid_requests(hook: &Hook, refused: &[String]) {
    let context = context();
    let url = hook.created["url"].clone();
    let bad = |more: Value| {
        let mut all = json!({ "name": "n", "url": url, "eventTypes": [APP_DELETED] });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    for body in [
        bad(json!({ "secret": format!("{0}{0}", refused[0]) })),
        bad(json!({ "secret": [refused[1]] })),
        bad(json!({ "encryptedHeaders": { "X-A": format!("{}\r\n", refused[2]) } })),
        bad(json!({ "encryptedHeaders": { "Host": refused[3] } })),
        bad(json!({ "encryptedHeaders": { "X-A": [refused[4]] } })),
    ] {
        assert_eq!(context.admin.post(WEBHOOKS, &body).unwrap().status, 400);
    }
    let authorization = format!("Bearer {}", context.stack.token("acme.admin").unwrap());
    let json_kind = ("content-type", "application/json");
    let broken = format!("{{ \"secret\": \"{}\", ", refused[5]);
    assert_eq!(send(WEBHOOKS, &[json_kind, ("authorization", &authorization)], &broken), 400);
    let wrong = json!([{ "op": "copy", "path": "/secret", "value": refused[6] }]);
    assert_eq!(context.admin.patch(&hook.at(), &wrong).unwrap().status, 400);
}

/// Signs in as a client, with valid and invalid credentials.
fn sign_in(id: &str, secret: &str, refused: &[String]) {
    let json_kind = ("content-type", "application/json");
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let grant = json!({ "grant_type": "client_credentials" }).to_string();
    for (secret, status) in [(secret, 200), (refused[7].as_str(), 401)] {
        let asked = json!({ "client_id": id, "client_secret": secret, "grant_type": "client_credentials" });
        assert_eq!(send("/oauth/token", &[json_kind], &asked.to_string()), status);
        assert_eq!(send("/oauth/token", &[json_kind, ("authorization", &basic(secret))], &grant), status);
    }
    let forged = format!("Bearer {}", refused[8]);
    assert_eq!(send(WEBHOOKS, &[json_kind, ("authorization", &forged)], "{}"), 401);
}

/// Serializes the tests of this module: a thousand deliveries delay those of other tests.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn no_secret_is_in_any_table_or_log() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let context = context();
    let own = |word: &str| format!("{}-\"ção\"/+?&=and-more", unique(word));
    let (secret, next_secret) = (own("secret"), own("next"));
    let (token, next_token) = (unique("Bearer token/+ value"), unique("Bearer next/+ value"));
    // Secrets of refused requests.
    let refused: Vec<String> = (0..9).map(|_| unique("refused-secret-of-some-length")).collect();
    let client = context.stack.client("platform.publisher").unwrap();
    let mut secrets: Vec<String> =
        [secret.clone(), next_secret.clone(), token.clone(), next_token.clone()].into();
    secrets.extend(refused.iter().cloned());
    secrets.extend(context.stack.tokens.values().cloned());
    secrets.extend([client.secret.clone(), SECRET.to_owned()]);

    // Create, publish over HTTP and the queue, deliver; the receiver repeats what it received.
    let more = json!({ "secret": secret, "encryptedHeaders": { "Authorization": token } });
    let hook = Hook::new(&context.admin, "confidential", &[APP_DELETED, APP_PUBLISHED], &more);
    hook.receiver_behaves(&Behavior {
        headers: [("X-You-Sent".to_owned(), token.clone())].into(),
        body: json!({ "authorization": token }).to_string(),
        ..Behavior::default()
    });
    let (first, event) = legacy_event(&context.acme);
    publish(&context.publisher, &event);
    let received = hook.await_received(&first, 1).remove(0);
    assert_eq!(received.header("authorization"), token);
    assert_eq!(received.header("qlik-signature"), qlik_signature(&secret, &received.body().unwrap()));
    let (queued, event) = cloud_event(APP_PUBLISHED, &context.acme);
    context.aws.send_message(&context.stack.queues.events, &event.to_string()).unwrap();
    hook.await_received(&queued, 1);
    // Fail, retry, resend, test.
    hook.receiver_behaves(&Behavior { status: 500, body: token.clone(), ..Behavior::default() });
    let (failing, event) = cloud_event(APP_PUBLISHED, &context.acme);
    publish(&context.publisher, &event);
    eventually(SOON, "another attempt", || {
        let rows = hook.rows(&failing);
        if rows.len() >= 2 { Ok(()) } else { Err(format!("{rows:#?}")) }
    });
    let headers = [("Location".to_owned(), "https://elsewhere.example/".to_owned())].into();
    hook.receiver_behaves(&Behavior { status: 308, headers, ..Behavior::default() });
    let (final_one, event) = cloud_event(APP_PUBLISHED, &context.acme);
    publish(&context.publisher, &event);
    let row = hook.await_rows(&final_one, 1, SOON).remove(0);
    hook.receiver_behaves(&Behavior::default());
    let resend = format!("{}/deliveries/{}/actions/resend", hook.at(), row["id"].as_str().unwrap());
    context.admin.post_nothing(&resend).unwrap().expect_status(201).unwrap();
    context.admin.post_nothing(&format!("{}/actions/test", hook.at())).unwrap().expect_status(201).unwrap();
    // Rotate, recover.
    hook.patch("/secret", &json!(next_secret)).expect_status(204).unwrap();
    hook.patch("/encryptedHeaders/Authorization", &json!(next_token)).expect_status(204).unwrap();
    let (rotated, event) = cloud_event(APP_PUBLISHED, &context.acme);
    publish(&context.publisher, &event);
    assert_eq!(hook.await_received(&rotated, 1)[0].header("authorization"), next_token);
    let since = json!({ "since": "2026-11-20T00:00:00Z" });
    let since = row["triggeredAt"].as_str().map_or(since, |at| json!({ "since": at }));
    context
        .admin
        .post(&format!("{}/actions/recover", hook.at()), &since)
        .unwrap()
        .expect_status(202)
        .unwrap();
    send_invalid_requests(&hook, &refused);
    sign_in(&client.id, &client.secret, &refused);
    context.anonymous.get("/console/").unwrap().expect_status(200).unwrap();
    let secrets = Secrets::new(&secrets);
    assert_absent_from_tables(&secrets, &hook, &first);
    assert_absent_from_logs(&secrets);
}

/// Checks all items of both tables, and that the webhook's ciphertext and the redacted row of event `first` are among them.
fn assert_absent_from_tables(secrets: &Secrets, hook: &Hook, first: &str) {
    let (mut sealed, mut rows) = (0, 0);
    for table in [&context().stack.tables.webhooks, &context().stack.tables.deliveries] {
        for item in context().aws.items(table).unwrap() {
            let texts = texts_of(&item);
            sealed += usize::from(texts[0].contains(&hook.id) && texts[0].contains("ciphertext"));
            rows +=
                usize::from(texts.iter().any(|text| text.contains(first) && text.contains("**OMITTED**")));
            for text in &texts {
                secrets.assert_absent("a table", text);
            }
        }
    }
    assert_eq!((sealed, rows), (1, 1), "the tables contain the expected ciphertext and redaction");
}

/// Checks all log lines, after the expected ones have appeared.
fn assert_absent_from_logs(secrets: &Secrets) {
    // The lines of an invocation appear in the log a moment after it ends.
    for (function, field, value) in [
        ("api", "kms", Some("encrypt")),
        ("api", "kms", Some("decrypt")),
        ("api", "status", None),
        ("ingest", "status", None),
        ("fanout", "events", None),
        ("sender", "kms", Some("decrypt")),
        ("sender", "messages", None),
        ("console", "status", None),
    ] {
        eventually(SOON, &format!("a line with {field} {value:?} in the log of {function}"), || {
            let lines = lines_of(function);
            if lines.iter().any(|line| has_field(line, field, value)) {
                Ok(())
            } else {
                Err(format!("{} lines", lines.len()))
            }
        });
    }
    for function in context().stack.functions.keys() {
        for line in lines_of(function) {
            secrets.assert_absent(&format!("the log of {function}"), &line);
        }
    }
}

/// Returns whether a line of a log has a field, with this value if one is given.
fn has_field(line: &str, field: &str, value: Option<&str>) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    line.get(field).is_some_and(|found| value.is_none_or(|value| found == value))
}

fn lines_of(function: &str) -> Vec<String> {
    context().aws.log_lines(&format!("/anzol/{}/{function}", context().stack.stack_name)).unwrap()
}

#[test]
fn secret_scan_finds_every_encoding() {
    let secret = "a \"secret\" of/32+characters?&=ção".to_owned();
    let secrets = Secrets::new(std::slice::from_ref(&secret));
    for text in [
        format!("x{secret}y"),
        json!({ "secret": secret }).to_string(),
        hex::encode(format!("xx{secret}")),
        STANDARD.encode(format!("{secret}yyyy")),
        STANDARD.encode(format!("x{secret}yyyy")),
        STANDARD.encode(format!("xx{secret}y")),
        URL_SAFE.encode(format!("xxx{secret}")),
        format!("{:?}", secret.as_bytes()),
        format!("?secret={}", utf8_percent_encode(&secret, NON_ALPHANUMERIC)),
    ] {
        let found = std::panic::catch_unwind(|| secrets.assert_absent("a text", &text));
        assert!(found.is_err(), "not found in {text}");
    }
    secrets.assert_absent("a text", "another text");

    let webhook = json!({ "secret": secret }).to_string();
    for item in [json!({ "webhook": { "S": webhook } }), json!({ "z": { "B": STANDARD.encode(webhook) } })] {
        let texts = texts_of(&item);
        let look = || texts.iter().for_each(|text| secrets.assert_absent("an item", text));
        assert!(std::panic::catch_unwind(look).is_err(), "not found in {item}");
    }
}

/// Maximum number of concurrent senders (`small` in the template's `Concurrency`, both lanes), each replaced once.
const ENVIRONMENTS: usize = 2 * (8 + 4);

#[test]
fn thousand_deliveries_open_secrets_once_per_environment() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let space = unique("space");
    let more = json!({ "secret": SECRET, "filter": only_in(&space) });
    let hook = Hook::new(&context().admin, "thousand", &[APP_EXPORTED], &more);
    let own = |_| event_in(&space, APP_EXPORTED).1;
    for _ in 0..10 {
        publish(&context().publisher, &(0..100).map(own).collect());
    }
    eventually(SOON * 6, "requests for each of 1,000 events", || {
        let requests = context().control.requests(&hook.path).unwrap();
        let ids: BTreeSet<_> =
            requests.iter().map(|request| request.header("webhook-id").to_owned()).collect();
        if ids.len() == 1000 { Ok(()) } else { Err(format!("{} of 1,000", ids.len())) }
    });
    let opened = || {
        let mut lines = lines_of("sender");
        lines.retain(|line| has_field(line, "kms", Some("decrypt")) && line.contains(&hook.id));
        lines.len()
    };
    eventually(SOON, "log line of the sender", || if opened() > 0 { Ok(()) } else { Err("none".to_owned()) });
    assert!(opened() <= ENVIRONMENTS, "{} calls", opened());
}
