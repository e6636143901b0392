//! A trace from the producer's request to the receiver's, across retries, and the log lines on the way.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use anzol_domain::headers::{HeaderName, Headers};
use anzol_domain::health::DisablePolicy;
use anzol_domain::{DeliveryId, DeliveryTask, Event, TraceContext, Webhook};
use anzol_pipeline::DeliveryHeaders;
use anzol_runtime::now;
use anzol_runtime::telemetry::subscriber;
use anzol_tests::receiver::Behavior;
use aws_lambda_events::sqs::SqsEvent;
use serde_json::{Value, json};
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Dispatch, Level};

use crate::kit::queues::{FAST, Queues, SLOW};
use crate::kit::{As, Engine, SECRET, TOKEN, task};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "congo=t61rcWkgMzE";

fn trace() -> TraceContext {
    TraceContext::parse(PARENT, Some(STATE)).unwrap()
}

fn event(id: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "s", "type": "com.qlik.v1.app.created", "tenantid": "acme",
        "data": { "note": "only-for-the-receiver" } })
}

/// Returns the span of a delivery, as documented.
fn span(id: DeliveryId) -> String {
    id.to_string().replace('-', "")[16..].to_owned()
}

fn only(queues: &Queues, queue: &str) -> DeliveryTask {
    let sent = queues.on(queue);
    let [sent] = sent.as_slice() else { panic!("{sent:#?}") };
    sent.task()
}

async fn changed(engine: &Engine, webhook: &Webhook, change: impl FnOnce(&mut Webhook)) -> Webhook {
    let before = engine.stored(webhook).await;
    let mut after = before.clone();
    change(&mut after);
    after.version += 1;
    engine.context.webhooks.replace(&before, &after).await.unwrap();
    after
}

#[tokio::test]
async fn producer_trace_reaches_receiver_and_retries() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("traced").await;
    engine.answers("traced", 500).await;
    let headers = [("content-type", "application/json"), ("traceparent", PARENT), ("tracestate", STATE)];
    let before = now();
    let (api, admin, body) = (engine.ingest(), As::admin("acme"), Some(event("e1")));
    let answer = api.exchange_with(Some(&admin), "POST", "/api/v1/events", &headers, body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let first = only(&engine.queues, FAST);
    assert_eq!(first.trace, Some(trace()));
    assert!(first.accepted_at.is_some_and(|at| before <= at && at <= now()), "{first:?}");

    let body = engine.queues.on(FAST)[0].body.clone();
    assert!(engine.handle(&[body], "arn:aws:sqs:us-east-1:1:fast").await.is_empty());
    let retry = only(&engine.queues, SLOW);
    assert_eq!((retry.attempt, &retry.trace, retry.accepted_at), (2, &first.trace, first.accepted_at));
    assert!(engine.send(std::slice::from_ref(&retry)).await.is_empty());
    let requests = engine.requests("traced").await;
    assert_eq!(requests.len(), 2);
    for (request, sent) in requests.iter().zip([&first, &retry]) {
        assert_eq!(request.header("traceparent"), format!("00-{TRACE}-{}-01", span(sent.delivery_id)));
        assert_eq!(request.header("tracestate"), STATE);
    }
    for row in engine.history(&hook).await {
        let header = row.request.headers.iter().find(|(name, _)| name == "traceparent");
        assert!(header.is_some_and(|(_, value)| value.contains(TRACE)), "{row:#?}");
    }
}

#[tokio::test]
async fn retry_without_trace_keeps_the_derived_trace() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("untraced").await;
    engine.answers("untraced", 500).await;
    let first = task(&hook); // without a trace, like a message of an earlier release
    assert!(engine.send(std::slice::from_ref(&first)).await.is_empty());
    let retry = only(&engine.queues, SLOW);
    assert_eq!(retry.trace, Some(TraceContext::of(first.delivery_id)));
    let request = engine.requests("untraced").await.remove(0);
    assert_eq!(request.header("traceparent"), TraceContext::of(first.delivery_id).traceparent());
}

#[tokio::test]
async fn queue_message_passes_on_trace_and_time() {
    let engine = Engine::start(DisablePolicy::default()).await;
    engine.create("queued").await;
    let fanout = engine.fanout();
    let (xray, own) = ("5759e988bd862e3fe1be46a994272793", "0af7651916cd43dd8448eb211c80319c");
    let mut in_event = event("e3");
    in_event["traceparent"] = json!(format!("00-{own}-b7ad6b7169203331-00"));
    let attributes = json!({
        "SentTimestamp": "1763978400123", "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
    });
    let given = json!({ "traceparent": { "stringValue": PARENT, "dataType": "String" } });
    let message = |id: &str, event: Value, given: Value, attributes: Value| json!({ "messageId": id, "body": event.to_string(), "attributes": attributes, "messageAttributes": given });
    let messages = [
        message("m1", event("e1"), json!({}), attributes.clone()),
        message("m2", event("e2"), given.clone(), attributes.clone()),
        message("m3", in_event, given, attributes),
        message("m4", event("e4"), json!({}), json!({})),
    ];
    let batch: SqsEvent = serde_json::from_value(json!({ "Records": messages })).unwrap();
    assert!(fanout.handle(batch).await.batch_item_failures.is_empty());
    let mut tasks: Vec<_> = engine.queues.on(FAST).iter().map(crate::kit::queues::Sent::task).collect();
    tasks.sort_by(|a, b| a.event.id().cmp(b.event.id()));
    let traces: Vec<_> = tasks.iter().map(|task| task.trace().trace_id().to_owned()).collect();
    assert_eq!(traces[..3], [xray, TRACE, own]);
    assert!(![xray, TRACE, own].contains(&traces[3].as_str()), "a new trace");
    let sent_at = tasks[0].accepted_at.unwrap().unix_timestamp_nanos();
    assert_eq!(
        sent_at, 1_763_978_400_123_000_000,
        "latency counts from the time when the producer sent the message"
    );
}

#[tokio::test]
async fn webhook_header_overrides_traceparent() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("own").await;
    let own = [("TraceParent".to_owned(), "its own".to_owned())];
    let hook = changed(&engine, &hook, |hook| hook.spec.headers = Headers::parse(own.into()).unwrap()).await;
    let task = DeliveryTask { trace: Some(trace()), ..task(&hook) };
    assert!(engine.send(&[task]).await.is_empty());
    let request = engine.requests("own").await.remove(0);
    // The receiver joins the values of a repeated header.
    assert_eq!((request.header("traceparent"), request.header("tracestate")), ("its own", ""));
}

#[tokio::test]
async fn user_agent_and_signature_name_are_configurable() {
    let mut engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("named").await;
    let own = [("x-Acme-signature".to_owned(), "forged".to_owned())];
    let hook = changed(&engine, &hook, |hook| hook.spec.headers = Headers::parse(own.into()).unwrap()).await;
    let names =
        DeliveryHeaders { user_agent: "Acme/1.0".parse().ok(), signature: "X-Acme-Signature".parse().ok() };
    engine.sender.deliverer = engine.sender.deliverer.with_headers(names);
    assert!(engine.send(&[task(&hook)]).await.is_empty());
    let request = engine.requests("named").await.remove(0);
    assert_eq!((request.header("user-agent"), request.header("qlik-signature")), ("Acme/1.0", ""));
    let expected = anzol_tests::aws::hmac_sha256(SECRET.as_bytes(), &request.body().unwrap());
    assert_eq!(request.header("x-acme-signature"), hex::encode(expected), "only our signature");
    for taken in ["host", "Content-Type", "webhook-id", "a b", "", "x:y"] {
        assert!(taken.parse::<HeaderName>().is_err(), "{taken}");
    }
}

/// Collects this thread's log lines until the guard of [`Log::start`] is dropped.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start(level: Level) -> (Self, DefaultGuard) {
        // With a single subscriber, tracing caches for all threads whether a log line is enabled, at its first use on any thread. A
        // second subscriber disables that cache.
        static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
        LazyLock::force(&SECOND);
        let log = Self::default();
        let writer = log.clone();
        (log, tracing::subscriber::set_default(subscriber(level, move || writer.clone())))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn attempts(&self) -> Vec<Value> {
        let lines = self.text();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["message"] == "delivery attempt").collect()
    }
}

#[tokio::test]
async fn attempt_is_logged_in_one_line_without_secrets() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("logged?key=in-the-query").await;
    engine.behaves("logged", Behavior { body: "in-the-answer".to_owned(), ..Behavior::default() }).await;
    let own = [("X-Key".to_owned(), "in-a-header".to_owned())];
    let hook = changed(&engine, &hook, |hook| hook.spec.headers = Headers::parse(own.into()).unwrap()).await;
    let (log, guard) = Log::start(Level::TRACE);
    let accepted_at = Some(now() - time::Duration::milliseconds(1500));
    let event = Event::parse(&event("e1").to_string(), now()).unwrap();
    let sent = DeliveryTask { trace: Some(trace()), accepted_at, event, ..task(&hook) };
    let failing = DeliveryTask { delivery_id: DeliveryId::mint(now()), attempt: 3, ..sent.clone() };
    assert!(engine.send(std::slice::from_ref(&sent)).await.is_empty());
    engine.answers("logged", 503).await;
    assert!(engine.send(std::slice::from_ref(&failing)).await.is_empty());
    drop(guard);

    let attempts = log.attempts();
    let [success, failure] = attempts.as_slice() else { panic!("{}", log.text()) };
    for (line, task, outcome, status, attempt) in
        [(success, &sent, "success", 200, 1), (failure, &failing, "http_status", 503, 3)]
    {
        for (field, expected) in [
            ("level", json!("INFO")),
            ("tenant.id", json!("acme")),
            ("webhook.id", json!(hook.id.to_string())),
            ("delivery.id", json!(task.delivery_id.to_string())),
            ("event.id", json!("e1")),
            ("event.type", json!("com.qlik.v1.app.created")),
            ("trace.id", json!(TRACE)),
            ("trigger", json!("event")),
            ("lane", json!("slow")),
            ("outcome", json!(outcome)),
            ("status_code", json!(status)),
            ("attempt", json!(attempt)),
            ("recorded", json!(true)),
        ] {
            assert_eq!(line[field], expected, "{field} of {line:#}");
        }
        assert!(line["duration_ms"].is_u64(), "{line:#}");
    }
    let took = success["end_to_end_ms"].as_u64().unwrap_or_default();
    assert!((1500..10_000).contains(&took), "{success:#}");
    assert!(success.get("next_attempt").is_none() && failure.get("end_to_end_ms").is_none());
    let next = failure["next_attempt"].as_str().unwrap();
    let next = time::OffsetDateTime::parse(next, &time::format_description::well_known::Rfc3339).unwrap();
    let history = engine.history(&hook).await;
    let row = history.iter().find(|row| row.id == failing.delivery_id).unwrap();
    assert_eq!(row.next_attempt.unwrap().at, next);

    let text = log.text();
    for hidden in [
        "in-the-query",
        "in-a-header",
        "in-the-answer",
        SECRET,
        TOKEN,
        "only-for-the-receiver",
        "v1,",
        "receiver.test",
    ] {
        assert!(!text.contains(hidden), "{hidden} is in the log:\n{text}");
    }
}

#[tokio::test]
async fn attempt_without_queued_retry_is_logged_as_unrecorded() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("unrecorded").await;
    engine.answers("unrecorded", 500).await;
    engine.queues.refuse(hook.id.to_string()); // the retry cannot be queued
    let (log, guard) = Log::start(Level::INFO);
    assert_eq!(engine.send(&[task(&hook)]).await, ["m0"]);
    drop(guard);
    let attempts = log.attempts();
    assert_eq!((attempts.len(), &attempts[0]["recorded"]), (1, &json!(false)), "{attempts:#?}");
    assert!(attempts[0].get("next_attempt").is_none(), "{attempts:#?}");
}

#[tokio::test]
async fn failed_warm_up_is_logged_with_its_duration() {
    let (log, guard) = Log::start(Level::DEBUG);
    anzol_runtime::warm_up("a table", async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        Err::<(), _>("no answer")
    })
    .await;
    drop(guard);
    let text = log.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [failure, end] = lines.as_slice() else { panic!("{text}") };
    let logged = |line: &Value| (line["message"].clone(), line["what"].clone());
    assert_eq!(logged(failure), (json!("warm-up failed"), json!("a table")), "{text}");
    assert_eq!(logged(end), (json!("warmed up"), json!("a table")), "{text}");
    assert!(end["took_us"].as_u64().is_some_and(|took| took >= 20_000), "a number of microseconds: {text}");
}
