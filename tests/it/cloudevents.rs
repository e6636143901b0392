//! CloudEvents 1.0.2 for an intermediary: every MUST with the tests that cover it; then our additions: encodings, byte order marks, loops.

use std::io::Write as _;

use anzol_domain::event::MAX_EVENT;
use anzol_domain::health::DisablePolicy;
use anzol_domain::hops::MAX_HOPS;
use anzol_domain::url::OwnHosts;
use anzol_domain::{DeliveryTask, Event, FailureKind, Webhook, WebhookUrl};
use anzol_ingest::MAX_BODY;
use anzol_pipeline::Deliverer;
use anzol_runtime::now;
use anzol_tests::gateway;
use anzol_tests::receiver::Received;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::kit::queues::{DEAD, FAST, Sent};
use crate::kit::{Answer, Api, As, Engine, Publisher, batch, failed, webhook_with};

const EVENTS: &str = "/api/v1/events";
const CREATED: &str = "com.qlik.v1.app.created";
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// The document of a MUST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Document {
    /// spec.md
    Core,
    /// formats/json-format.md, sections 1 to 3
    Json,
    /// formats/json-format.md, section 4
    Batch,
    /// bindings/http-protocol-binding.md
    Http,
}

/// The coverage of a MUST.
#[derive(Debug, Clone, Copy)]
enum Coverage {
    /// By these tests.
    CoveredBy(&'static [&'static str]),
    /// By no test: the reason, or our deviation.
    NotCovered(&'static str),
}
use Coverage::{CoveredBy, NotCovered};
use Document::{Batch, Core, Http, Json};

/// Every MUST of the four documents (tag `ce@v1.0.2`), in their order.
const MUSTS: [(Document, &str, Coverage); 46] = [
    (Core, "events include the REQUIRED attributes", CoveredBy(&["k5d_required_attributes_are_required"])),
    (
        Core,
        "names are lower-case letters and digits",
        CoveredBy(&["k5d_attribute_names_are_lower_case_and_digits"]),
    ),
    (
        Core,
        "canonical strings of every type are supported",
        CoveredBy(&["k5_binary_mode_keeps_canonical_strings"]),
    ),
    (Core, "integers are of 32 bits", CoveredBy(&["k5d_attribute_values_are_scalars"])),
    (Core, "values are of one of the types", CoveredBy(&["k5d_attribute_values_are_scalars"])),
    (
        Core,
        "a typed model converts from and to strings",
        NotCovered("we have no typed model: values are forwarded unchanged"),
    ),
    (Core, "time can be set by and converted to RFC 3339", NotCovered("time is forwarded as a string")),
    (
        Core,
        "formats convert from and to canonical strings",
        CoveredBy(&["k5_binary_mode_keeps_canonical_strings"]),
    ),
    (
        Core,
        "source and id are unique for each event",
        NotCovered(
            "the producer's task; for operational events: `OperationalEvent::to_event`, tests/it/engine.rs",
        ),
    ),
    (Core, "id is a string that is not empty", CoveredBy(&["k5d_required_attributes_are_required"])),
    (Core, "id is unique within the producer", NotCovered("the producer's task")),
    (Core, "several producers of a source collaborate", NotCovered("the producers' task")),
    (
        Core,
        "source is a URI-reference that is not empty",
        CoveredBy(&["k5d_required_attributes_are_required"]),
    ),
    (Core, "specversion 1.0 is used", CoveredBy(&["k5_payload_is_an_event_of_version_1_0"])),
    (Core, "specversion is not empty", CoveredBy(&["k5d_required_attributes_are_required"])),
    (Core, "type is not empty", CoveredBy(&["k5d_required_attributes_are_required"])),
    (Core, "datacontenttype is of RFC 2046", CoveredBy(&["k5d_optional_attributes_are_validated"])),
    (Core, "dataschema is a URI that is not empty", CoveredBy(&["k5d_optional_attributes_are_validated"])),
    (Core, "subject is not empty", CoveredBy(&["k5d_optional_attributes_are_validated"])),
    (Core, "time is of RFC 3339", CoveredBy(&["k5d_optional_attributes_are_validated"])),
    (
        Core,
        "producers of a source are consistent in time",
        NotCovered("the producers' task; an event without a time gets the time of acceptance"),
    ),
    (
        Core,
        "extensions follow the same rules",
        CoveredBy(&["k5d_attribute_names_are_lower_case_and_digits", "k5d_attribute_values_are_scalars"]),
    ),
    (
        Core,
        "intermediaries forward 64 KiB",
        NotCovered("the default of LargestEvent: `largest_configurable_event_is_delivered_and_retried`"),
    ),
    (Json, "extensions are top-level members", CoveredBy(&["k5_payload_is_an_event_of_version_1_0"])),
    (Json, "types are mapped as the table says", CoveredBy(&["k5d_attribute_values_are_scalars"])),
    (
        Json,
        "null is the same as unset",
        CoveredBy(&[
            "k5a_null_time_is_now",
            "k5a_null_tenantid_becomes_the_callers_tenant",
            "k5a_null_attributes_are_not_sent",
        ]),
    ),
    (
        Json,
        "secondary mappings of extensions",
        NotCovered("we define none; `anzolhop` and `anzoltest` are a number and a Boolean"),
    ),
    (
        Json,
        "the media type is application/cloudevents+json",
        NotCovered(
            "received: k5b_media_type_decides_the_mode; sent: application/json, as Qlik's contract says",
        ),
    ),
    (
        Json,
        "attributes become members of the same name",
        CoveredBy(&["k5_payload_is_an_event_of_version_1_0"]),
    ),
    (
        Json,
        "binary data is data_base64",
        CoveredBy(&["k5_binary_mode_keeps_bytes_as_base64", "k5_binary_mode_decides_by_media_type"]),
    ),
    (Json, "JSON data is a JSON value, no string", CoveredBy(&["k5_binary_mode_keeps_json_as_json"])),
    (Json, "other data is a string", CoveredBy(&["k5_binary_mode_keeps_text_as_a_string"])),
    (Json, "data and data_base64 exclude each other", CoveredBy(&["k5d_data_excludes_data_base64"])),
    (Json, "data_base64 is decoded", CoveredBy(&["k5d_data_excludes_data_base64"])),
    (Json, "data that is a string is not parsed as JSON", CoveredBy(&["k5_string_data_stays_a_string"])),
    (
        Batch,
        "not used where only single events are accepted",
        NotCovered("the documentation says that we accept batches; we send none"),
    ),
    (
        Batch,
        "the media type is application/cloudevents-batch+json",
        CoveredBy(&["k5b_media_type_decides_the_mode"]),
    ),
    (Http, "structured mode takes the JSON format", CoveredBy(&["k5b_media_type_decides_the_mode"])),
    (
        Http,
        "batches only where solicited",
        NotCovered("the documentation solicits them; deliveries are single events"),
    ),
    (
        Http,
        "Content-Type is datacontenttype, and no ce-datacontenttype",
        CoveredBy(&["k5c_forbidden_headers_are_refused"]),
    ),
    (
        Http,
        "each attribute is a header ce- of its name",
        CoveredBy(&["k5_binary_mode_keeps_canonical_strings"]),
    ),
    (
        Http,
        "quoted values are unquoted, then percent-decoded once",
        CoveredBy(&["k5c_quoted_values_are_unquoted_then_decoded"]),
    ),
    (
        Http,
        "lower-case escapes and needless ones are accepted",
        CoveredBy(&["k5c_quoted_values_are_unquoted_then_decoded"]),
    ),
    (Http, "escapes that are not UTF-8 are rejected", CoveredBy(&["k5c_invalid_utf8_or_quoting_is_refused"])),
    (
        Http,
        "in structured mode all attributes are in the body",
        CoveredBy(&["k5b_structured_mode_ignores_ce_headers"]),
    ),
    (Http, "a batch is one specversion", CoveredBy(&["k5_batch_may_be_empty_and_is_one_specversion"])),
];

#[test]
fn k5_every_must_names_an_existing_test() {
    let source = include_str!("cloudevents.rs");
    for (document, must, coverage) in MUSTS {
        match coverage {
            CoveredBy(tests) => {
                assert!(!tests.is_empty());
                for test in tests {
                    assert!(source.contains(&format!("fn {test}(")), "{document:?}: {must}: {test}");
                }
            }
            NotCovered(reason) => assert!(reason.len() > 10, "{document:?}: {must}"),
        }
    }
}

async fn publisher() -> Publisher {
    Box::pin(Publisher::with(MAX_EVENT, "X-Acme-Signature".parse().ok())).await
}

/// Returns the gateway's event for a request of an admin of acme.
fn request(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Value {
    let claims = json!({ "sub": "root", "custom:tenantId": "acme", "cognito:groups": "[TenantAdmin]" });
    gateway::with_body(gateway::with_claims(gateway::event("POST", path, headers), &claims), body)
}

impl Publisher {
    async fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.ingest.invoke(&request(EVENTS, headers, body)).await.unwrap()
    }

    /// Publishes a body that must be accepted. Returns the last queued event.
    async fn accepts(&self, headers: &[(&str, &str)], body: &[u8]) -> Event {
        let before = self.engine.queues.on(FAST).len();
        let answer = self.post(headers, body).await;
        assert_eq!(answer.status, 202, "{answer:?} to {headers:?} {}", String::from_utf8_lossy(body));
        let sent = self.engine.queues.on(FAST);
        assert!(sent.len() > before, "no delivery for {headers:?} {}", String::from_utf8_lossy(body));
        sent.last().unwrap().task().event
    }

    /// Publishes an event that must be accepted. Returns its pure and its hybrid form as sent to receivers.
    async fn sends(&self, event: &Value) -> [Value; 2] {
        let event = self.accepts(&[("content-type", STRUCTURED)], event.to_string().as_bytes()).await;
        [true, false].map(|pure| serde_json::from_str(&event.outgoing(pure)).unwrap())
    }

    /// Publishes an event that must be refused, over HTTP and through the queue, because `field` breaks `rule`.
    async fn refuses(&self, event: &Value, field: &str, rule: &str) {
        let answer = self.post(&[("content-type", STRUCTURED)], event.to_string().as_bytes()).await;
        assert_eq!(answer.status, 400, "{answer:?} to {event}");
        assert!(answer.rules().contains(&(field, rule)), "{:?} lack {field} {rule}", answer.rules());
        let reason = self.sends_to_dlq(&event.to_string()).await;
        // A message attribute cannot hold every character.
        let field = field.replace('\u{ffff}', "\u{fffd}");
        assert!(reason.contains(&format!("`{field}`")), "{reason} lacks {field}");
    }

    /// Sends a message to the events queue that must be refused. Returns the reason in the dead-letter queue.
    async fn sends_to_dlq(&self, body: &str) -> String {
        let before = (self.engine.queues.on(DEAD).len(), self.engine.queues.on(FAST).len());
        assert!(failed(self.fanout.handle(batch(&[body.to_owned()])).await).is_empty());
        let (dead, fast) = (self.engine.queues.on(DEAD), self.engine.queues.on(FAST));
        assert_eq!((dead.len(), fast.len()), (before.0 + 1, before.1), "of {body}");
        dead.last().unwrap().attributes["reason"]["StringValue"].as_str().unwrap().to_owned()
    }

    /// Sends a message to the events queue that must be accepted. Returns the number of deliveries.
    async fn queues_up(&self, body: &str) -> usize {
        let before = (self.engine.queues.on(DEAD).len(), self.engine.queues.on(FAST).len());
        assert!(failed(self.fanout.handle(batch(&[body.to_owned()])).await).is_empty());
        assert_eq!(
            self.engine.queues.on(DEAD).len(),
            before.0,
            "{:?} of {body}",
            self.engine.queues.on(DEAD).last()
        );
        self.engine.queues.on(FAST).len() - before.1
    }
}

/// Returns an event with these members added or replaced.
#[expect(clippy::needless_pass_by_value, reason = "callers build the value in the call")]
fn event(more: Value) -> Value {
    let mut event = json!({ "specversion": "1.0", "id": "e1", "source": "my/system", "type": CREATED, "tenantid": "acme" });
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

#[expect(clippy::needless_pass_by_value, reason = "callers build the value in the call")]
fn legacy(more: Value) -> Value {
    let mut event =
        json!({ "cloudEventsVersion": "0.1", "eventId": "e1", "source": "my/system", "eventType": CREATED });
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

fn without(mut event: Value, name: &str) -> Value {
    event.as_object_mut().unwrap().remove(name);
    event
}

const HEAD: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "b1"), ("ce-source", "s"), ("ce-type", CREATED)];

fn binary<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    HEAD.iter().chain(more).copied().collect()
}

fn payload(event: &Event) -> Value {
    serde_json::from_str(&event.payload(true)).unwrap()
}

// ---------------------------------------------------------------- K5 a: null

#[tokio::test]
async fn k5a_null_time_is_now() {
    let publisher = publisher().await;
    for event in [event(json!({ "time": null })), legacy(json!({ "eventTime": null, "contentType": null }))] {
        let [pure, hybrid] = publisher.sends(&event).await;
        let time = pure["time"].as_str().unwrap_or_else(|| panic!("{pure}"));
        assert!(time::OffsetDateTime::parse(time, &time::format_description::well_known::Rfc3339).is_ok());
        assert_eq!(hybrid["eventTime"], pure["time"]);
        assert_eq!(hybrid["contentType"], "application/json");
    }
}

#[tokio::test]
async fn k5a_null_tenantid_becomes_the_callers_tenant() {
    let publisher = publisher().await;
    for event in [event(json!({ "tenantid": null })), legacy(json!({ "extensions": { "tenantId": null } }))] {
        assert_eq!(publisher.sends(&event).await[0]["tenantid"], "acme");
        // A queue message has no caller whose tenant could be used.
        assert!(publisher.sends_to_dlq(&event.to_string()).await.contains("`tenantid` is required"));
    }
}

#[tokio::test]
async fn k5a_null_attributes_are_not_sent() {
    let publisher = publisher().await;
    for event in [
        event(
            json!({ "datacontenttype": null, "subject": null, "myown": null, "dataschema": null, "data_base64": null }),
        ),
        event(
            json!({ "extensions": null, "eventId": null, "eventTypeVersion": null, "anzolhop": null, "anzoltest": null }),
        ),
        event(json!({ "extensions": { "userId": null, "actor": null, "updates": [null] } })),
        legacy(json!({ "eventTypeVersion": null, "extensions": null, "other": null })),
        legacy(json!({ "extensions": { "ownerId": null, "actor": null, "spaceId": "s" } })),
        event(json!({ "cloudEventsVersion": "0.1", "eventTime": null, "extensions": { "ownerId": null } })),
    ] {
        for sent in publisher.sends(&event).await {
            let members = sent.as_object().unwrap().iter();
            let extensions = sent["extensions"].as_object().into_iter().flatten();
            assert!(members.chain(extensions).all(|(_, value)| !value.is_null()), "{sent} of {event}");
        }
    }
    // A required attribute that is null is missing.
    for name in ["id", "source", "type"] {
        publisher.refuses(&event(json!({ name: null })), name, "attribute_required").await;
    }
    publisher.refuses(&event(json!({ "specversion": null })), "specversion", "spec_version_required").await;
}

/// JSON format, 3.1.1: `data` may be null, "as distinct from the absence of the `data` member".
#[tokio::test]
async fn k5a_null_data_is_kept() {
    let publisher = publisher().await;
    for event in [event(json!({ "data": null })), legacy(json!({ "data": null }))] {
        for sent in publisher.sends(&event).await {
            assert_eq!(sent.get("data"), Some(&Value::Null), "{sent}");
        }
    }
    assert!(publisher.sends(&event(json!({}))).await[0].get("data").is_none());
}

// ---------------------------------------------------------------- K5 b: content modes

#[tokio::test]
async fn k5b_structured_mode_ignores_ce_headers() {
    let publisher = publisher().await;
    let body = event(json!({ "id": "of the body", "data": { "a": 1 } })).to_string();
    let taken = publisher.accepts(&binary(&[("content-type", STRUCTURED)]), body.as_bytes()).await;
    assert_eq!((taken.id(), &payload(&taken)["data"]), ("of the body", &json!({ "a": 1 })));
    // Headers that would be invalid in binary mode are ignored here.
    let odd = binary(&[("content-type", STRUCTURED), ("ce-datacontenttype", "x"), ("ce-source", "\"%ff")]);
    assert_eq!(publisher.accepts(&odd, body.as_bytes()).await.id(), "of the body");
}

#[tokio::test]
async fn k5b_batch_mode_ignores_ce_headers() {
    let publisher = publisher().await;
    let body = json!([event(json!({ "id": "1" })), event(json!({ "id": "2" }))]).to_string();
    let answer = publisher.post(&binary(&[("content-type", BATCH)]), body.as_bytes()).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (202, &json!(2)), "{answer:?}");
}

#[tokio::test]
async fn k5b_media_type_decides_the_mode() {
    let publisher = publisher().await;
    let structured = event(json!({ "id": "structured" })).to_string();
    for kind in [
        "application/cloudevents+json; charset=utf-8",
        "Application/CloudEvents+JSON;Charset=\"UTF-8\"",
        " application/cloudevents+json ; x=y",
    ] {
        let taken = publisher.accepts(&binary(&[("content-type", kind)]), structured.as_bytes()).await;
        assert_eq!(taken.id(), "structured", "{kind}");
    }
    let batch = format!("[{structured}]");
    let taken = publisher.accepts(&binary(&[("content-type", BATCH)]), batch.as_bytes()).await;
    assert_eq!(taken.id(), "structured");
    for kind in ["application/json", "Application/JSON; charset=utf-8", "text/plain", "image/png", ""] {
        let taken = publisher.accepts(&binary(&[("content-type", kind)]), structured.as_bytes()).await;
        assert_eq!(taken.id(), "b1", "{kind}");
    }
    // Plain JSON without ce- headers is an event, as Qlik's clients send it.
    assert_eq!(
        publisher.accepts(&[("content-type", "application/json")], structured.as_bytes()).await.id(),
        "structured"
    );
    assert_eq!(publisher.accepts(&[], structured.as_bytes()).await.id(), "structured");
    for kind in [
        "application/cloudevents+avro",
        "application/cloudevents-batch+avro",
        "application/cloudevents+xml; charset=utf-8",
        "application/cloudevents",
    ] {
        for headers in [binary(&[("content-type", kind)]), vec![("content-type", kind)]] {
            let answer = publisher.post(&headers, structured.as_bytes()).await;
            assert_eq!(answer.status, 415, "{kind}: {answer:?}");
            assert_eq!(answer.rules(), [("", "unsupported_event_media_type")]);
            assert_eq!(answer.params()["values"][1], STRUCTURED);
        }
    }
}

#[tokio::test]
async fn k5b_charset_other_than_utf8_is_refused() {
    let publisher = publisher().await;
    let body = event(json!({})).to_string();
    for kind in [
        "application/cloudevents+json; charset=iso-8859-1",
        "application/cloudevents-batch+json; charset=utf-16",
        "application/json; charset=\"windows-1252\"",
    ] {
        let answer = publisher.post(&[("content-type", kind)], body.as_bytes()).await;
        assert_eq!((answer.status, answer.rules()), (415, vec![("", "unsupported_charset")]), "{kind}");
    }
    let json = binary(&[("content-type", "application/json; charset=utf-16")]);
    let answer = publisher.post(&json, b"{}").await;
    assert_eq!((answer.status, answer.rules()), (400, vec![("content-type", "charset_utf8")]));
    // Data that is not JSON is kept as bytes.
    let kind = "text/plain; charset=iso-8859-1";
    let taken = publisher.accepts(&binary(&[("content-type", kind)]), b"S\xc3\xa3o").await;
    assert_eq!(payload(&taken)["data_base64"], STANDARD.encode(b"S\xc3\xa3o"));
}

#[tokio::test]
async fn k5_batch_may_be_empty_and_is_one_specversion() {
    let publisher = publisher().await;
    for body in ["[]", " [\n] ", "\u{feff}[]"] {
        let answer = publisher.post(&[("content-type", BATCH)], body.as_bytes()).await;
        assert_eq!((answer.status, &answer.body), (202, &json!({ "accepted": 0, "deliveries": 0 })));
    }
    let body = json!([event(json!({ "specversion": "1.0.2" })), legacy(json!({}))]).to_string();
    assert_eq!(publisher.post(&[("content-type", BATCH)], body.as_bytes()).await.status, 202);
    assert!(
        publisher
            .engine
            .queues
            .on(FAST)
            .iter()
            .all(|sent| payload(&sent.task().event)["specversion"] == "1.0")
    );
}

// ---------------------------------------------------------------- K5 c: headers of binary mode

#[tokio::test]
async fn k5c_quoted_values_are_unquoted_then_decoded() {
    let publisher = publisher().await;
    for (value, meant) in [
        ("\"hello world\"", "hello world"),
        ("hello%20world", "hello world"),
        ("\"a \\\"b\\\" \\\\ c\"", "a \"b\" \\ c"),
        ("\"100\\%25\"", "100%"),
        ("%2525", "%25"),
        ("Euro%20%e2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%61%62", "ab"),
        ("a \"b\" c", "a \"b\" c"),
        ("100%", "100%"),
        ("%22quoted%22", "\"quoted\""),
    ] {
        let taken = publisher.accepts(&binary(&[("ce-subject", value)]), b"{}").await;
        assert_eq!(payload(&taken)["subject"], meant, "{value}");
    }
}

#[tokio::test]
async fn k5c_invalid_utf8_or_quoting_is_refused() {
    let publisher = publisher().await;
    for value in
        ["%C0%A0", "%ff%fe", "\"open", "\"a\" and \"b\"", "\"", "\"ends\\\"", "\"%e2%82\"", "%00", "a%0Ab"]
    {
        let answer = publisher.post(&binary(&[("ce-subject", value)]), b"{}").await;
        assert_eq!((answer.status, answer.fields()), (400, vec!["ce-subject"]), "{value}: {answer:?}");
    }
}

#[tokio::test]
async fn k5c_forbidden_headers_are_refused() {
    let publisher = publisher().await;
    for name in ["ce-datacontenttype", "ce-data", "ce-data_base64", "ce-my-own"] {
        let answer = publisher.post(&binary(&[(name, "x")]), b"{}").await;
        assert_eq!((answer.status, answer.fields()), (400, vec![name]), "{answer:?}");
    }
    let taken = publisher.accepts(&binary(&[("content-type", "text/xml; charset=utf-8")]), b"<a/>").await;
    assert_eq!(payload(&taken)["datacontenttype"], "text/xml; charset=utf-8");
    for (name, value) in [("content-type", "nonsense"), ("ce-subject", ""), ("ce-dataschema", "/relative")] {
        let answer = publisher.post(&binary(&[(name, value)]), b"{}").await;
        assert_eq!((answer.status, answer.fields()), (400, vec![name]), "{answer:?}");
    }
}

#[tokio::test]
async fn k5_binary_mode_keeps_canonical_strings() {
    let publisher = publisher().await;
    let more =
        [("ce-time", "2026-11-24T10:00:00Z"), ("ce-flag", "true"), ("ce-number", "-5"), ("ce-myown", "x")];
    let sent = payload(&publisher.accepts(&binary(&more), b"{}").await);
    for (name, value) in more {
        assert_eq!(sent[name.strip_prefix("ce-").unwrap()], value, "{sent}");
    }
}

#[tokio::test]
async fn k5_binary_mode_keeps_bytes_as_base64() {
    let publisher = publisher().await;
    let sent = payload(&publisher.accepts(&binary(&[("content-type", "image/png")]), &[0xff, 0]).await);
    assert_eq!((&sent["data_base64"], sent.get("data")), (&json!("/wA="), None));
}

#[tokio::test]
async fn k5_binary_mode_decides_by_media_type() {
    let publisher = publisher().await;
    for kind in ["application/octet-stream", "application/protobuf", "image/png", "application/x-unheard-of"]
    {
        let sent = payload(&publisher.accepts(&binary(&[("content-type", kind)]), b"hello").await);
        assert_eq!((sent.get("data"), &sent["data_base64"]), (None, &json!("aGVsbG8=")), "{kind}");
    }
    for kind in ["text/csv", "application/xml", "image/svg+xml", "application/x-www-form-urlencoded"] {
        let sent = payload(&publisher.accepts(&binary(&[("content-type", kind)]), b"a=b").await);
        assert_eq!((&sent["data"], sent.get("data_base64")), (&json!("a=b"), None), "{kind}");
    }
}

#[tokio::test]
async fn k5_batch_must_be_an_array() {
    let publisher = publisher().await;
    let one = event(json!({})).to_string();
    let answer =
        publisher.post(&[("content-type", "application/cloudevents-batch+json")], one.as_bytes()).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.rules(), [("body", "event_array")]);
}

#[tokio::test]
async fn k5_binary_mode_keeps_json_as_json() {
    let publisher = publisher().await;
    for kind in ["application/json", "text/json", "application/vnd.x+json; charset=UTF-8", ""] {
        let sent = payload(&publisher.accepts(&binary(&[("content-type", kind)]), b"{\"n\": 1}").await);
        assert_eq!(sent["data"], json!({ "n": 1 }), "{kind}");
    }
}

#[tokio::test]
async fn k5_binary_mode_keeps_text_as_a_string() {
    let publisher = publisher().await;
    let sent = payload(&publisher.accepts(&binary(&[("content-type", "text/plain")]), b"{\"n\":1}").await);
    assert_eq!(sent["data"], "{\"n\":1}");
}

#[tokio::test]
async fn k5_string_data_stays_a_string() {
    let publisher = publisher().await;
    for sent in publisher.sends(&event(json!({ "data": "{\"a\":1}" }))).await {
        assert_eq!(sent["data"], "{\"a\":1}");
    }
}

// ---------------------------------------------------------------- K5 d: members

#[tokio::test]
async fn k5d_required_attributes_are_required() {
    let publisher = publisher().await;
    for name in ["id", "source", "type"] {
        publisher.refuses(&without(event(json!({})), name), name, "attribute_required").await;
        for value in [json!(""), json!(1), json!(true), json!({}), json!([])] {
            publisher.refuses(&event(json!({ name: value })), name, "attribute_required").await;
        }
    }
    for version in [json!(""), json!("0.3"), json!("2.0"), json!(1), json!(1.0)] {
        publisher.refuses(&event(json!({ "specversion": version })), "specversion", "must_be").await;
    }
}

#[tokio::test]
async fn k5d_data_excludes_data_base64() {
    let publisher = publisher().await;
    for sent in publisher.sends(&event(json!({ "data_base64": "/wA=" }))).await {
        assert_eq!(sent["data_base64"], "/wA=");
    }
    publisher.sends(&event(json!({ "data_base64": "" }))).await;
    for data in [json!({}), json!(null), json!("x")] {
        publisher
            .refuses(&event(json!({ "data": data, "data_base64": "/wA=" })), "data_base64", "not_with")
            .await;
    }
    for bad in [
        json!("/wA"),
        json!("_wA="),
        json!("/w A="),
        json!("!"),
        json!("/wB=\n"),
        json!(1),
        json!({}),
        json!(true),
    ] {
        publisher.refuses(&event(json!({ "data_base64": bad })), "data_base64", "base64").await;
    }
}

#[tokio::test]
async fn k5d_attribute_names_are_lower_case_and_digits() {
    let publisher = publisher().await;
    for name in ["myOwn", "my-own", "my_own", "MYOWN", "", "é", "my own", "tenantId", "\u{ffff}", "__proto__"]
    {
        publisher.refuses(&event(json!({ name: "x" })), name, "attribute_name").await;
        publisher.refuses(&legacy(json!({ name: "x", "tenantid": "acme" })), name, "attribute_name").await;
    }
    // Long names are only discouraged; the members of Qlik's events are accepted.
    publisher.sends(&event(json!({ "anameofmorethantwentyletters1": "x" }))).await;
    let qlik = json!({ "cloudEventsVersion": "0.1", "contentType": "application/json", "eventId": "e1", "eventTime": "2026-11-24T10:00:00Z",
        "eventTypeVersion": "1.0.0", "eventType": CREATED, "extensions": { "actor": { "id": "u" }, "updates": [] },
        "authclaims": "{\"iss\":\"x\"}", "toplevelresourceid": "r", "originip": "10.0.0.1" });
    publisher.sends(&event(qlik.clone())).await;
    let pure = without(event(qlik), "cloudEventsVersion");
    let [sent, _] = publisher.sends(&pure).await;
    assert_eq!(sent["extensions"], json!({ "actor": { "id": "u" }, "updates": [] }));
    assert!(sent.get("eventId").is_none(), "not a valid attribute name of 1.0: {sent}");
}

#[tokio::test]
async fn k5d_attribute_values_are_scalars() {
    let publisher = publisher().await;
    for (value, rule) in [
        (json!({ "a": 1 }), "attribute_value"),
        (json!([]), "attribute_value"),
        (json!(1.5), "integer"),
        (json!(2_147_483_648_i64), "integer"),
        (json!(1e3), "integer"),
        (json!("a\u{0}b"), "no_control_characters"),
        (json!("a\u{85}"), "no_control_characters"),
    ] {
        publisher.refuses(&event(json!({ "myown": value })), "myown", rule).await;
    }
    for value in [
        json!("x"),
        json!(""),
        json!(true),
        json!(2_147_483_647),
        json!(-2_147_483_648_i64),
        json!("é\u{10ffff}"),
    ] {
        for sent in publisher.sends(&event(json!({ "myown": value }))).await {
            assert_eq!(sent["myown"], value);
        }
    }
    publisher.refuses(&event(json!({ "extensions": [] })), "extensions", "object").await;
}

#[tokio::test]
async fn k5d_optional_attributes_are_validated() {
    let publisher = publisher().await;
    for (name, bad) in [
        ("subject", json!("")),
        ("subject", json!(5)),
        ("datacontenttype", json!("")),
        ("datacontenttype", json!("json")),
        ("datacontenttype", json!("application/")),
        ("datacontenttype", json!("a b/c")),
        ("datacontenttype", json!(1)),
        ("dataschema", json!("")),
        ("dataschema", json!("schema.json")),
        ("dataschema", json!("https://exa mple.com")),
        ("dataschema", json!("https://example.com/%zz")),
        ("dataschema", json!(true)),
        ("time", json!("yesterday")),
        ("time", json!("2026-11-24")),
        ("time", json!("")),
        ("time", json!(1_795_600_000)),
    ] {
        let rule = match name {
            "subject" => "not_empty",
            "datacontenttype" => "media_type",
            "dataschema" => "uri",
            _ => "date_time",
        };
        publisher.refuses(&event(json!({ name: bad })), name, rule).await;
    }
    for (name, good) in [
        ("subject", "a b"),
        ("datacontenttype", "application/json;charset=utf-8"),
        ("datacontenttype", "multipart/mixed; boundary=\"a;b\""),
        ("datacontenttype", "application/vnd.apache.thrift.binary"),
        ("dataschema", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"),
        ("dataschema", "https://example.com/schema.json#/$defs/a%20b"),
        ("time", "2026-11-24T10:00:00.123456789+01:00"),
    ] {
        assert_eq!(publisher.sends(&event(json!({ name: good }))).await[0][name], good);
    }
    publisher
        .refuses(&legacy(json!({ "contentType": "json", "tenantid": "acme" })), "contentType", "media_type")
        .await;
    let schema = legacy(json!({ "schemaURL": "https://example.com/s" }));
    assert_eq!(publisher.sends(&schema).await[0]["dataschema"], "https://example.com/s");
}

#[tokio::test]
async fn k5_payload_is_an_event_of_version_1_0() {
    let publisher = publisher().await;
    let from = legacy(
        json!({ "extensions": { "tenantId": "acme", "userId": "u", "price": 1.5, "odd": {} }, "data": [1] }),
    );
    let [pure, hybrid] = publisher.sends(&from).await;
    for (name, value) in
        [("specversion", json!("1.0")), ("id", json!("e1")), ("userid", json!("u")), ("data", json!([1]))]
    {
        assert_eq!((&pure[name], &hybrid[name]), (&value, &value));
    }
    let fine = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    assert!(pure.as_object().unwrap().keys().all(|name| fine(name)), "{pure}");
    assert!(
        pure.get("price").is_none() && hybrid["extensions"]["price"] == 1.5,
        "fractions are not valid attribute values"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// Any accepted event is sent in the form that CloudEvents requires.
    #[test]
    fn k5_any_accepted_event_has_a_valid_payload(
        members in proptest::collection::btree_map("[a-z]{1,4}|[a-zA-Z_é]{1,4}|data|data_base64|subject|anzolhop", 0_usize..9, 0..6),
        is_legacy: bool,
    ) {
        let values = [json!(null), json!("x"), json!(""), json!(3), json!(1.5), json!({"a": null}), json!([]), json!(true), json!("/wA=")];
        let more: serde_json::Map<_, _> = members.into_iter().map(|(name, at)| (name, values[at].clone())).collect();
        let json = if is_legacy { legacy(more.into()) } else { event(more.into()) };
        if let Ok(event) = Event::parse(&json.to_string(), now()) {
            let sent: Value = serde_json::from_str(&event.outgoing(true)).unwrap();
            for (name, value) in sent.as_object().unwrap() {
                let is_attribute = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                    && (value.is_string() || value.is_i64() || value.is_boolean());
                prop_assert!(is_attribute || ["data", "data_base64"].contains(&name.as_str()), "{name} in {sent} of {json}");
            }
            prop_assert!(sent.get("data").is_none() || sent.get("data_base64").is_none());
            prop_assert_eq!(Event::from_payload(&event.outgoing(true), now()).unwrap().outgoing(true), event.outgoing(true));
        }
    }
}

// ---------------------------------------------------------------- L6: one meaning

#[tokio::test]
async fn l6_invalid_tenant_extension_is_refused() {
    let publisher = publisher().await;
    // The caller's tenant is not used instead.
    for (tenant, rule) in [
        (json!("\u{d7}\u{9b}"), "no_control_characters"),
        (json!("glo\u{0}bex"), "no_control_characters"),
        (json!(1.5), "integer"),
        (json!("globex\n"), "no_control_characters"),
    ] {
        for name in ["tenantId", "tenantid", "TENANTID"] {
            let (extensions, field) =
                (json!({ "extensions": { name: tenant } }), format!("extensions.{name}"));
            publisher.refuses(&legacy(extensions.clone()), &field, rule).await;
            publisher.refuses(&event(extensions), &field, rule).await;
        }
    }
}

#[tokio::test]
async fn l6_contradicting_extensions_are_refused() {
    let publisher = publisher().await;
    for (name, attribute) in [
        ("tenantId", "tenantid"),
        ("ownerId", "ownerid"),
        ("userId", "userid"),
        ("spaceId", "spaceid"),
        ("topLevelResourceId", "toplevelresourceid"),
        ("OWNERID", "ownerid"),
    ] {
        let value = if attribute == "tenantid" { "acme" } else { "alice" };
        let both = |other: Value| event(json!({ attribute: value, "extensions": { name: other } }));
        publisher.refuses(&both(json!("bob")), &format!("extensions.{name}"), "must_equal").await;
        publisher.refuses(&both(json!(1)), &format!("extensions.{name}"), "must_equal").await;
        for same in [json!(value), json!(null)] {
            let [pure, hybrid] = publisher.sends(&both(same)).await;
            assert_eq!((&pure[attribute], &hybrid[attribute]), (&json!(value), &json!(value)));
        }
    }
    publisher
        .refuses(
            &event(json!({ "extensions": { "userId": "a", "userid": "b" } })),
            "extensions.userid",
            "must_equal",
        )
        .await;
    // An event stored by an earlier release is still resent, with the correction of that release.
    let old = event(
        json!({ "time": "2026-11-24T10:00:00Z", "ownerid": "alice", "extensions": { "ownerId": "bob" } }),
    );
    assert_eq!(Event::from_payload(&old.to_string(), now()).unwrap().owner_id(), Some("alice"));
}

// ---------------------------------------------------------------- K6: encodings

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn k6_gzip_bodies_are_decoded() {
    let publisher = publisher().await;
    let text = event(json!({ "data": { "a": "é" } })).to_string();
    let (left, right) = text.as_bytes().split_at(40);
    let members = [gzip(left), gzip(b""), gzip(right)].concat();
    for (encoding, body) in [
        ("gzip", gzip(text.as_bytes())),
        ("GZIP", gzip(text.as_bytes())),
        ("x-gzip", gzip(text.as_bytes())),
        ("identity, gzip", gzip(text.as_bytes())),
        ("gzip", members),
        ("gzip", gzip(format!("\u{feff}{text}").as_bytes())),
        ("identity", text.clone().into_bytes()),
        ("", text.clone().into_bytes()),
        (" , ", text.clone().into_bytes()),
    ] {
        let taken =
            publisher.accepts(&[("content-type", STRUCTURED), ("content-encoding", encoding)], &body).await;
        assert_eq!(payload(&taken)["data"]["a"], "é", "{encoding}");
    }
    let headers = binary(&[("content-type", "text/plain"), ("content-encoding", "gzip")]);
    assert_eq!(payload(&publisher.accepts(&headers, &gzip(b"plain")).await)["data"], "plain");
}

#[tokio::test]
async fn k6_damaged_gzip_is_refused() {
    let publisher = publisher().await;
    let good = gzip(event(json!({})).to_string().as_bytes());
    let mut corrupt = good.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle] ^= 0xff;
    let mut sum = good.clone();
    let at = sum.len() - 6;
    sum[at] ^= 1;
    for body in [
        good[..good.len() - 1].to_vec(),
        good[..5].to_vec(),
        corrupt,
        sum,
        event(json!({})).to_string().into_bytes(),
        [good.as_slice(), b"rubbish"].concat(),
        gzip(&good),
    ] {
        let answer =
            publisher.post(&[("content-type", STRUCTURED), ("content-encoding", "gzip")], &body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.fields(), ["body"], "{answer:?}");
    }
}

#[tokio::test]
async fn k6_gzip_bomb_is_413() {
    let publisher = publisher().await;
    let send = async |text: &[u8]| {
        let answer =
            publisher.post(&[("content-type", STRUCTURED), ("content-encoding", "gzip")], &gzip(text)).await;
        answer.status
    };
    assert_eq!(send(&vec![b' '; MAX_BODY + 1]).await, 413);
    assert_eq!(send(&vec![b' '; MAX_BODY]).await, 400, "the maximum size, but not an event");
    let bomb = gzip(&vec![b' '; 64 * MAX_BODY]);
    let many = bomb.repeat((MAX_BODY / bomb.len()).max(1));
    let answer = publisher.post(&[("content-type", STRUCTURED), ("content-encoding", "gzip")], &many).await;
    assert_eq!((answer.status, answer.rules()), (413, vec![("", "body_too_large")]), "{answer:?}");
    assert_eq!(*answer.params(), json!({ "max": 1_048_576 }));
}

#[tokio::test]
async fn k6_other_encodings_are_415_with_the_list() {
    let publisher = publisher().await;
    let text = event(json!({})).to_string();
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::default());
    deflate.write_all(text.as_bytes()).unwrap();
    let deflate = deflate.finish().unwrap();
    for encoding in
        ["deflate", "br", "zstd", "compress", "gzip, gzip", "gzip;q=1", "aws-chunked, gzip", "nonsense"]
    {
        for headers in [vec![("content-type", STRUCTURED)], binary(&[("content-type", "text/plain")])] {
            let headers: Vec<_> = headers.into_iter().chain([("content-encoding", encoding)]).collect();
            let answer = publisher.post(&headers, &deflate).await;
            assert_eq!(
                (answer.status, answer.header("accept-encoding")),
                (415, "gzip, identity"),
                "{encoding}"
            );
            assert_eq!(answer.params()["values"], json!(["gzip", "identity"]), "{answer:?}");
        }
    }
    assert!(publisher.engine.queues.on(FAST).is_empty());
}

#[tokio::test]
async fn k6_management_api_decodes_gzip() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let api = engine.context.api(&engine.egress);
    let send = async |encoding: &str, kind: &str, body: Vec<u8>| {
        let headers = [("content-type", kind), ("content-encoding", encoding)];
        api.invoke(&request("/api/core/webhooks", &headers, &body)).await.unwrap()
    };
    let hook =
        json!({ "name": "n", "url": "https://hooks.example.com/", "eventTypes": [CREATED] }).to_string();
    let json = "application/json; charset=utf-8";
    assert_eq!(send("gzip", json, gzip(hook.as_bytes())).await.status, 201);
    assert_eq!(send("", json, format!("\u{feff}{hook}").into_bytes()).await.status, 201);
    assert_eq!(send("gzip", json, hook.clone().into_bytes()).await.status, 400);
    assert_eq!(send("gzip", json, gzip(&vec![b' '; 64 * 1024 + 1])).await.status, 413);
    let answer = send("br", json, hook.clone().into_bytes()).await;
    assert_eq!((answer.status, answer.header("accept-encoding")), (415, "gzip, identity"));
    assert_eq!(send("", "application/json; charset=utf-16", hook.into_bytes()).await.status, 415);
}

// ---------------------------------------------------------------- the byte order mark

#[tokio::test]
async fn bom_of_utf8_is_skipped_for_every_publisher() {
    let publisher = publisher().await;
    for text in [
        event(json!({})).to_string(),
        json!([event(json!({}))]).to_string(),
        legacy(json!({ "tenantid": "acme" })).to_string(),
    ] {
        let marked = format!("\u{feff}{text}");
        let batch = Some(BATCH).filter(|_| text.starts_with('['));
        for kind in ["application/json", STRUCTURED].into_iter().chain(batch) {
            publisher.accepts(&[("content-type", kind)], marked.as_bytes()).await;
        }
        assert_eq!(publisher.queues_up(&marked).await, 1);
        let answer =
            publisher.post(&[("content-type", STRUCTURED)], format!("\u{feff}{marked}").as_bytes()).await;
        assert_eq!(answer.status, 400, "only one mark is skipped");
    }
    let sent = payload(
        &publisher.accepts(&binary(&[("content-type", "application/json")]), b"\xef\xbb\xbf{\"a\":1}").await,
    );
    assert_eq!(sent["data"], json!({ "a": 1 }));
    // In text data the mark is part of the text.
    let sent =
        payload(&publisher.accepts(&binary(&[("content-type", "text/plain")]), b"\xef\xbb\xbfa").await);
    assert_eq!(sent["data"], "\u{feff}a");
}

#[tokio::test]
async fn bom_of_utf16_and_utf32_is_named() {
    let publisher = publisher().await;
    let text = event(json!({})).to_string();
    let units = || text.encode_utf16();
    for (body, named) in [
        ([b"\xff\xfe".to_vec(), units().flat_map(u16::to_le_bytes).collect()].concat(), "UTF-16"),
        ([b"\xfe\xff".to_vec(), units().flat_map(u16::to_be_bytes).collect()].concat(), "UTF-16"),
        (b"\xff\xfe\0\0{\0\0\0".to_vec(), "UTF-32"),
        (b"\0\0\xfe\xff\0\0\0{".to_vec(), "UTF-32"),
    ] {
        for headers in [vec![("content-type", STRUCTURED)], binary(&[("content-type", "application/json")])] {
            let answer = publisher.post(&headers, &body).await;
            assert_eq!(answer.status, 400, "{answer:?}");
            assert_eq!(answer.rules(), [("body", "byte_order_mark")]);
            assert_eq!(*answer.params(), json!({ "encoding": named }));
        }
    }
}

// ---------------------------------------------------------------- H1: loops

#[tokio::test]
async fn h1_request_with_delivery_headers_is_refused() {
    let publisher = publisher().await;
    let body = event(json!({})).to_string();
    for name in [
        "webhook-id",
        "Webhook-Timestamp",
        "webhook-signature",
        "QLIK-SIGNATURE",
        "Qlik-Signature",
        "x-acme-signature",
    ] {
        for headers in [vec![("content-type", STRUCTURED)], vec![("content-type", BATCH)], binary(&[])] {
            let headers: Vec<_> = headers.into_iter().chain([(name, "")]).collect();
            let answer = publisher.post(&headers, body.as_bytes()).await;
            let named = answer.fields().iter().any(|field| field.eq_ignore_ascii_case(name));
            assert_eq!((answer.status, named), (400, true), "{answer:?}");
            assert_eq!(answer.rules()[0].1, "delivery_header");
        }
    }
    assert!(publisher.engine.queues.on(FAST).is_empty());
    publisher
        .accepts(
            &[("content-type", STRUCTURED), ("webhook-other", "x"), ("x-signature", "x")],
            body.as_bytes(),
        )
        .await;
}

#[tokio::test]
async fn h1_hops_are_counted_and_bounded() {
    let publisher = publisher().await;
    for (hops, sent) in
        [(json!(null), 1), (json!(0), 1), (json!("0"), 1), (json!(1), 2), (json!("2"), 3), (json!(3), 4)]
    {
        for payload in publisher.sends(&event(json!({ "anzolhop": hops, "data": { "anzolhop": 9 } }))).await {
            assert_eq!(payload["anzolhop"], sent, "{payload}");
        }
        assert_eq!(publisher.queues_up(&event(json!({ "anzolhop": hops })).to_string()).await, 1);
    }
    for hops in [json!(4), json!("4"), json!(u64::MAX), json!("99999999999999999999999"), json!("007")] {
        publisher.refuses(&event(json!({ "anzolhop": hops })), "anzolhop", "max_hops").await;
    }
    for hops in [
        json!(-1),
        json!(1.5),
        json!("x"),
        json!(""),
        json!("1.0"),
        json!(true),
        json!({}),
        json!([1]),
        json!("-0"),
        json!(" 1"),
    ] {
        publisher.refuses(&event(json!({ "anzolhop": hops })), "anzolhop", "hop_count").await;
    }
    // In every form: in a batch, in a legacy event, in its extensions, in a header.
    let answer = publisher
        .post(
            &[("content-type", BATCH)],
            json!([event(json!({})), event(json!({ "anzolhop": 4 }))]).to_string().as_bytes(),
        )
        .await;
    assert_eq!((answer.status, answer.rules()), (400, vec![("[1].anzolhop", "max_hops")]));
    publisher.refuses(&legacy(json!({ "tenantid": "acme", "anzolhop": 4 })), "anzolhop", "max_hops").await;
    publisher
        .refuses(
            &legacy(json!({ "extensions": { "tenantId": "acme", "anzolHop": 4 } })),
            "anzolhop",
            "max_hops",
        )
        .await;
    assert_eq!(publisher.post(&binary(&[("ce-anzolhop", "4")]), b"{}").await.status, 400);
    assert_eq!(publisher.accepts(&binary(&[("ce-anzolhop", "3")]), b"{}").await.hops(), MAX_HOPS);
}

#[tokio::test]
async fn h1_hop_count_precedes_data_and_is_read_back() {
    let publisher = publisher().await;
    for from in [
        event(json!({ "data": { "a": 1 } })),
        event(json!({ "data_base64": "/wA=" })),
        event(json!({ "anzolhop": 2, "data": [] })),
        event(json!({})),
        legacy(json!({ "anzolhop": "1", "data": 1 })),
    ] {
        let taken = publisher.accepts(&[("content-type", STRUCTURED)], from.to_string().as_bytes()).await;
        for pure in [true, false] {
            let sent = taken.outgoing(pure);
            let (hop, data) =
                (sent.find("\"anzolhop\":").unwrap(), sent.find("\"data").unwrap_or(sent.len()));
            // `datacontenttype` has the same prefix.
            assert!(hop < data || sent[data..].starts_with("\"datac"), "{sent}");
            assert_eq!(sent.matches("anzolhop").count(), 1, "{sent}");
            let again = Event::from_payload(&sent, now()).unwrap();
            assert_eq!((again.hops(), again.outgoing(pure)), (taken.hops(), sent));
        }
    }
    // An event sent by an earlier release has no hop count, and counts from zero.
    let old = event(json!({ "time": "2026-11-24T10:00:00Z" })).to_string();
    let again = Event::from_payload(&old, now()).unwrap();
    assert!(again.payload(true) == Event::parse(&old, now()).unwrap().payload(true) && again.hops() == 0);
}

#[tokio::test]
async fn h1_reserved_attributes_are_refused() {
    let publisher = publisher().await;
    for (more, named) in [
        (json!({ "anzoltest": true }), "anzoltest"),
        (json!({ "anzoltest": "true" }), "anzoltest"),
        (json!({ "anzoltest": false }), "anzoltest"),
        (json!({ "source": "anzol" }), "source"),
        (json!({ "source": "anzol/test" }), "source"),
    ] {
        let answer =
            publisher.post(&[("content-type", STRUCTURED)], event(more.clone()).to_string().as_bytes()).await;
        let named_by_http = format!("[0].{named}");
        assert_eq!((answer.status, answer.fields()), (400, vec![named_by_http.as_str()]), "{answer:?}");
        assert!(publisher.sends_to_dlq(&event(more).to_string()).await.contains(named));
    }
    assert_eq!(publisher.post(&binary(&[("ce-anzoltest", "true")]), b"{}").await.status, 400);
    // Operational events are accepted only from the queue, and only before they have been delivered.
    let operational = event(json!({ "source": "anzol", "type": "anzol.webhook.failing" }));
    assert_eq!(
        publisher.queues_up(&operational.to_string()).await,
        0,
        "no webhook matches it, and it is not refused"
    );
    let mut delivered = operational.clone();
    delivered["anzolhop"] = json!(1);
    assert!(publisher.sends_to_dlq(&delivered.to_string()).await.contains("anzolhop"));
    assert_eq!(
        publisher.post(&[("content-type", STRUCTURED)], operational.to_string().as_bytes()).await.status,
        400
    );
    publisher.sends(&event(json!({ "source": "anzolian" }))).await;
}

#[tokio::test]
async fn h1_own_hosts_are_refused_as_targets() {
    let own: OwnHosts = "hooks.example.com,own.receiver.test".parse().unwrap();
    let engine = Engine::start(DisablePolicy::default()).await;
    let mut state = engine.context.state(&engine.egress);
    state.deliverer = state.deliverer.with_own_hosts(own.clone());
    let api = Api(anzol_api::router(state));
    let admin = As::admin("acme");
    let create =
        json!({ "name": "n", "url": "https://hooks.example.com/api/v1/events", "eventTypes": [CREATED] });
    let own_host = vec![("url", "own_host")];
    let refused = api
        .exchange(Some(&admin), "POST", "/api/core/webhooks", Some("application/json"), Some(create.clone()))
        .await;
    assert_eq!((refused.status, refused.rules()), (400, own_host.clone()), "{refused:?}");

    let stored = engine.create("in").await;
    let at = format!("/api/core/webhooks/{}", stored.id);
    let patch = json!([
        { "op": "replace", "path": "/url", "value": "https://HOOKS.example.com/" },
        { "op": "remove", "path": "/encryptedHeaders" },
    ]);
    for (method, body) in [("PUT", create), ("PATCH", patch)] {
        let refused = api.exchange(Some(&admin), method, &at, Some("application/json"), Some(body)).await;
        assert_eq!((refused.status, refused.rules()), (400, own_host.clone()), "{method}: {refused:?}");
    }
    assert_eq!(engine.stored(&stored).await.spec.url, stored.spec.url);

    // If a stored webhook's host later becomes the deployment's, its deliveries are blocked.
    let before = webhook_with("acme", |webhook| {
        webhook.spec.url = WebhookUrl::parse("https://own.receiver.test/loop").unwrap();
    });
    engine.context.webhooks.create(&before, 100).await.unwrap();
    let tested =
        api.call(Some(&admin), "POST", &format!("/api/core/webhooks/{}/actions/test", before.id), None).await;
    assert_eq!((tested.0, &tested.1["failure"]), (201, &json!("blocked")), "{tested:?}");
    assert!(tested.1["statusMessage"].as_str().unwrap().contains("`url`"), "{tested:?}");
    let mut engine = engine;
    engine.sender.deliverer = Deliverer::new(engine.egress.client.clone(), now).with_own_hosts(own);
    assert!(engine.send(&[crate::kit::task(&before)]).await.is_empty());
    let rows = engine.history(&before).await;
    let row = rows.last().unwrap();
    assert_eq!((rows.len(), row.failure, &row.next_attempt), (2, Some(FailureKind::Blocked), &None));
    assert_eq!(engine.received("loop").await, 0);
}

/// Four webhooks of one tenant whose deliveries a test publishes again, as a loop would.
struct Loop {
    publisher: Publisher,
    hooks: Vec<Webhook>,
    /// Number of requests seen so far.
    seen: usize,
    sent: usize,
}

impl Loop {
    async fn start() -> Self {
        let engine = Engine::start(DisablePolicy::default()).await;
        let mut hooks = Vec::new();
        for index in 0..4 {
            let hook = webhook_with("acme", |webhook| webhook.spec.cloud_events = index % 2 == 0);
            engine.context.webhooks.create(&hook, 100).await.unwrap();
            hooks.push(hook);
        }
        Self { publisher: Publisher::on(engine, MAX_EVENT, None), hooks, seen: 0, sent: 0 }
    }

    async fn publish(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        self.publisher
            .ingest
            .exchange_with(Some(&As::admin("acme")), "POST", EVENTS, headers, Some(json!(body)))
            .await
    }

    /// Sends the queued messages and returns the requests that arrived.
    async fn arrivals(&mut self) -> Vec<Received> {
        let queued = self.publisher.queued();
        let tasks: Vec<DeliveryTask> = queued[self.sent..].iter().map(Sent::task).collect();
        self.sent = queued.len();
        for ten in tasks.chunks(10) {
            assert!(self.publisher.engine.send(ten).await.is_empty());
        }
        let all = self.publisher.engine.requests("in").await;
        let new = all[self.seen..].to_vec();
        self.seen = all.len();
        new
    }
}

fn text(request: &Received) -> String {
    String::from_utf8(request.body().unwrap()).unwrap()
}

#[tokio::test]
async fn h1_loop_of_whole_requests_ends_at_once() {
    let mut looped = Loop::start().await;
    assert_eq!(
        looped.publish(&[("content-type", STRUCTURED)], &event(json!({})).to_string()).await.status,
        202
    );
    let first = looped.arrivals().await;
    assert_eq!(first.len(), looped.hooks.len());
    for request in &first {
        let headers: Vec<_> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(looped.publish(&headers, &text(request)).await.status, 400);
    }
    assert_eq!(looped.arrivals().await.len(), 0);
}

#[tokio::test]
async fn h1_loop_of_bodies_ends_over_http_and_queue() {
    for over_http in [true, false] {
        let mut looped = Loop::start().await;
        assert_eq!(
            looped.publish(&[("content-type", STRUCTURED)], &event(json!({})).to_string()).await.status,
            202
        );
        // One request of each form is published again per generation, to keep the test small; the limit is on generations.
        let mut generations = 0;
        loop {
            let arrived = looped.arrivals().await;
            if arrived.is_empty() {
                break;
            }
            generations += 1;
            assert_eq!(arrived.len(), if generations == 1 { 4 } else { 8 });
            assert!(generations <= 4, "the loop goes on");
            let hybrid = arrived.iter().find(|request| text(request).contains("cloudEventsVersion")).unwrap();
            let pure = arrived.iter().find(|request| !text(request).contains("cloudEventsVersion")).unwrap();
            for request in [hybrid, pure] {
                let body: Value = serde_json::from_str(&text(request)).unwrap();
                assert_eq!(body["anzolhop"], generations, "{body}");
                if over_http {
                    let answer =
                        looped.publish(&[("content-type", "application/json")], &text(request)).await;
                    assert_eq!(answer.status, if generations < 4 { 202 } else { 400 }, "{answer:?}");
                } else {
                    assert!(failed(looped.publisher.fanout.handle(batch(&[text(request)])).await).is_empty());
                }
            }
        }
        assert_eq!(generations, 4);
        let dead = looped.publisher.engine.queues.on(DEAD);
        assert_eq!(dead.len(), if over_http { 0 } else { 2 });
        assert!(dead.iter().all(|message| message.attributes.to_string().contains("anzolhop")), "{dead:?}");
    }
}

#[tokio::test]
async fn h1_resend_does_not_count_as_a_hop() {
    let mut looped = Loop::start().await;
    let publish =
        looped.publish(&[("content-type", STRUCTURED)], &event(json!({ "anzolhop": 2 })).to_string()).await;
    assert_eq!(publish.status, 202);
    let first = looped.arrivals().await;
    let api = looped.publisher.engine.context.api(&looped.publisher.engine.egress);
    let hook = &looped.hooks[0];
    for _ in 0..3 {
        let row = looped.publisher.engine.history(hook).await.pop().unwrap();
        let path = format!("/api/core/webhooks/{}/deliveries/{}/actions/resend", hook.id, row.id);
        assert_eq!(api.call(Some(&As::admin("acme")), "POST", &path, None).await.0, 201);
    }
    let again = looped.arrivals().await;
    let hops =
        |request: &Received| serde_json::from_str::<Value>(&text(request)).unwrap()["anzolhop"].clone();
    assert_eq!((first.len(), again.len()), (4, 3));
    assert!(first.iter().chain(&again).all(|request| hops(request) == 3));
}
