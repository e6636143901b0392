//! Characters and sizes that the queues refuse, for every sender of messages (K4, M1), and names by Unicode's rules (K8).

use anzol_domain::event::{MAX_EVENT, parse_one_or_many};
use anzol_domain::health::DisablePolicy;
use anzol_domain::{DeliveryId, DeliveryTask, Event, TenantId, Trigger, Webhook, WebhookId};
use anzol_runtime::now;
use anzol_tests::receiver::Received;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::kit::queue_rules;
use crate::kit::queues::{DEAD, EVENTS, SLOW};
use crate::kit::{
    Answer, As, Engine, Publisher, SECRET, TestContext, batch, failed, task, webhook, webhook_at,
};

const PUBLISH: &str = "/api/v1/events";
const TYPE: &str = "com.qlik.v1.app.created";

/// Returns an event of acme as JSON, with more members.
fn event(id: &str, more: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"{TYPE}","tenantid":"acme"{more}}}"#)
}

impl Publisher {
    async fn publish(&self, body: &str) -> Answer {
        let kind = Some("application/json");
        self.ingest.exchange(Some(&As::admin("acme")), "POST", PUBLISH, kind, Some(json!(body))).await
    }

    /// Sends the messages on the fast lane and returns the requests that arrived.
    async fn deliver(&self) -> Vec<Received> {
        let bodies: Vec<_> = self.queued().into_iter().map(|sent| sent.body).collect();
        assert!(self.engine.handle(&bodies, "fast").await.is_empty());
        self.engine.requests("in").await
    }
}

#[tokio::test]
async fn k4_raw_ffff_in_data_arrives_once_and_signed() {
    let publisher = Publisher::start().await;
    let answer = publisher.publish(&event("1", ",\"data\":{\"t\":\"a\u{ffff}b\"}")).await;
    assert_eq!((answer.status, &answer.body["deliveries"]), (202, &json!(1)), "{answer:?}");
    let [request] = &publisher.deliver().await[..] else { panic!("not one POST") };
    let body = request.body().unwrap();
    let payload: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(payload["data"]["t"], "a\u{ffff}b");
    let secret = anzol_domain::Secret::parse(SECRET.to_owned()).unwrap();
    assert_eq!(request.header("qlik-signature"), anzol_signing::qlik_signature(&secret, &body));
}

#[tokio::test]
async fn m1_characters_refused_by_sqs_are_accepted_everywhere() {
    let publisher = Publisher::start().await;
    let raw = "x\u{fffe}\u{ffff}";
    let hybrid = format!(
        r#"{{"cloudEventsVersion":"0.1","specversion":"1.0","id":"h","source":"s","type":"{TYPE}","extensions":{{"tenantId":"acme","userId":"{raw}","{raw}":["{raw}"]}},"eventTypeVersion":"{raw}"}}"#
    );
    let legacy = format!(
        r#"{{"cloudEventsVersion":"0.1","eventId":"{raw}","source":"{raw}","eventType":"{TYPE}","extensions":{{"tenantId":"acme","ownerId":"{raw}"}},"data":{{"{raw}":"\\{raw}"}}}}"#
    );
    let bodies = [
        event("1", ",\"data\":{\"a\u{fffe}\":[\"\u{ffff}\"]}"),
        event("2", r#","data":"\uffff""#),
        event("5\u{ffff}", r#","source2":"\ufffe","userid":"u\uffff","ownerid":"\uffff""#),
        event("6", r#","data":{"\\\uffff\u0000\u001f":"\u007f\u0085"}"#),
        event("7", ",\"traceparent\":\"\u{ffff}\",\"data\":[\"\u{fffe}\"]"),
        hybrid,
        legacy,
    ];
    for (count, body) in bodies.iter().enumerate() {
        let answer = publisher.publish(body).await;
        assert_eq!(answer.status, 202, "{body:?}: {answer:?}");
        assert_eq!(publisher.queued().len(), count + 1);
    }
    // The queued event is the published one.
    for (sent, body) in publisher.queued().iter().zip(&bodies) {
        let came = Event::parse(body, now()).unwrap().payload(true);
        let mut expected: Value = serde_json::from_str(&came).unwrap();
        let mut queued: Value = serde_json::from_str(&sent.task().event.payload(true)).unwrap();
        (expected["time"], queued["time"]) = (Value::Null, Value::Null);
        assert_eq!(queued, expected, "{body:?}");
    }
    assert_eq!(publisher.deliver().await.len(), bodies.len());
    // Attribute names consist of letters and digits, so the character is refused in them, and the error names the attribute.
    for name in [r"x\uffff", "x\u{ffff}", "\u{fffe}"] {
        let answer = publisher.publish(&event("3", &format!(",\"{name}\":1"))).await;
        assert_eq!((answer.status, answer.rules()[0].1), (400, "attribute_name"), "{answer:?}");
    }
    // Publishes all of them at once through the events queue.
    let many = format!("[{}]", bodies.join(","));
    assert!(failed(publisher.fanout.handle(batch(&[many])).await).is_empty());
    assert_eq!((publisher.queued().len(), publisher.engine.queues.on(DEAD).len()), (2 * bodies.len(), 0));
}

#[tokio::test]
async fn m1_binary_mode_header_with_ffff_is_queued() {
    let publisher = Publisher::start().await;
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "%EF%BF%BF"),
        ("ce-source", "s%EF%BF%BE"),
        ("ce-type", TYPE),
        ("ce-tenantid", "acme"),
        ("content-type", "text/plain"),
    ];
    let admin = As::admin("acme");
    let answer = publisher
        .ingest
        .exchange_with(Some(&admin), "POST", PUBLISH, &headers, Some(json!("d\u{ffff}")))
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let sent = publisher.queued()[0].task();
    assert_eq!((sent.event.id(), sent.event.source()), ("\u{ffff}", "s\u{fffe}"));
    // A tenant or user of an identity provider cannot have such an id: the error names the member.
    let mut foreign = headers;
    foreign[4] = ("ce-tenantid", "acme%EF%BF%BF");
    let answer =
        publisher.ingest.exchange_with(Some(&admin), "POST", PUBLISH, &foreign, Some(json!(""))).await;
    assert_eq!((answer.status, answer.rules()), (400, vec![("tenantid", "identifier")]), "{answer:?}");
}

/// Publishes like a conforming client: it retries after 429 and 503 only.
async fn publish_with_retries(publisher: &Publisher, body: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(publisher.publish(body).await.status);
        if ![429, 503].contains(statuses.last().unwrap()) {
            break;
        }
    }
    statuses
}

#[tokio::test]
async fn m1_events_beside_one_with_ffff_are_queued_once() {
    let publisher = Publisher::start().await;
    let mut events: Vec<_> = (0..24).map(|n| event(&n.to_string(), "")).collect();
    events.push(event("24", ",\"data\":{\"id\":\"\u{ffff}\"}"));
    assert_eq!(publish_with_retries(&publisher, &format!("[{}]", events.join(","))).await, [202]);
    assert_eq!(publisher.deliver().await.len(), 25);
}

#[tokio::test]
async fn m1_event_refused_by_sqs_is_400_without_duplicates() {
    let publisher = Publisher::start().await;
    publisher.engine.queues.refuse_permanently("unwanted");
    let mut events: Vec<_> = (0..24).map(|n| event(&n.to_string(), "")).collect();
    events.insert(7, event("7b", r#","data":"unwanted""#));
    let body = format!("[{}]", events.join(","));
    assert_eq!(publish_with_retries(&publisher, &body).await, [400]);
    assert_eq!(publisher.queued().len(), 24, "each valid event once");
    let answer = publisher.publish(&events[7]).await;
    assert_eq!((answer.status, publisher.queued().len()), (400, 24));
    assert_eq!(answer.rules(), [("[0]", "not_queued")]);
    assert_eq!(*answer.params(), json!({ "code": "InvalidMessageContents" }));
    assert_eq!(publisher.publish(&body).await.rules(), [("[7]", "not_queued")]);
}

#[tokio::test]
async fn m1_throttled_queue_is_503() {
    let publisher = Publisher::start().await;
    publisher.engine.queues.refuse(r#""id":"1""#);
    let answer = publisher.publish(&event("1", "")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn m1_fanout_sends_only_refused_events_to_dlq() {
    let publisher = Publisher::start().await;
    publisher.engine.create("other").await; // two webhooks match the events
    publisher.engine.queues.refuse_permanently("unwanted-by-fast");
    // The dead-letter queue accepts the event, whose text differs there.
    let mut events: Vec<_> = (0..20).map(|n| event(&n.to_string(), "")).collect();
    events.push(event("20", r#","data":{"x\uffff":"unwanted-by\u002dfast"}"#));
    let message = format!("[{}]", events.join(","));
    publisher.engine.queues.refuse_permanently(r"unwanted-by\u002dfast");
    assert_eq!(
        failed(publisher.fanout.handle(batch(std::slice::from_ref(&message))).await),
        ["m0"],
        "the dead-letter queue refuses it too"
    );
    publisher.engine.queues.accept_all();
    publisher.engine.queues.refuse_permanently(r#""trigger":"event","acceptedAt""#);
    let alone = event("a", "");
    let before = publisher.queued().len();
    assert!(failed(publisher.fanout.handle(batch(&[message, alone.clone()])).await).is_empty());
    assert_eq!(publisher.queued().len(), before);
    let dead = publisher.engine.queues.on(DEAD);
    assert_eq!(dead.len(), 22, "each event of the array, and the single one");
    assert!(dead.iter().any(|message| message.body == alone), "unchanged");
    for message in &dead {
        let reason = message.attributes["reason"]["StringValue"].as_str().unwrap();
        assert!(reason.contains("cannot be queued: InvalidMessageContents"), "{reason}");
        assert_eq!(parse_one_or_many(&message.body, now(), MAX_EVENT).unwrap().len(), 1, "can be redriven");
    }
}

#[tokio::test]
async fn m1_retry_refused_by_sqs_is_dropped() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    let tasks = [task(&hook), task(&hook)];
    engine.queues.refuse_permanently(tasks[1].event.id());
    assert_eq!(engine.send(&tasks).await, Vec::<String>::new());
    assert_eq!((engine.received("down").await, engine.queues.on(SLOW).len()), (2, 1));
    for row in engine.history(&hook).await {
        assert_eq!(row.next_attempt.is_some(), row.id == tasks[0].delivery_id, "{row:?}");
    }
    // A message that cannot move to the slow lane has not been sent, so it stays in its queue.
    let mut moved = engine.stored(&hook).await;
    moved.spec.enabled = true;
    assert!(
        engine.sender.health.move_to_slow_lane(&moved).await
            || engine.stored(&hook).await.health.lane == anzol_domain::Lane::Slow
    );
    let bodies = [anzol_queue::encode(&tasks[1])];
    assert_eq!(engine.handle(&bodies, "fast").await, ["m0"]);
    assert_eq!(engine.received("down").await, 2);
}

#[tokio::test]
async fn k4_operational_event_of_name_with_ffff_is_sent() {
    let engine = Engine::start(DisablePolicy::new(1, 0)).await;
    let mut hook = webhook_at("acme", "gone");
    hook.spec.name = "n\u{ffff}x".to_owned(); // accepted by an earlier release
    engine.context.webhooks.create(&hook, 100).await.unwrap();
    engine.answers("gone", 410).await;
    engine.send(&[task(&hook)]).await;
    assert!(!engine.stored(&hook).await.spec.enabled);
    let [sent] = &engine.queues.on(EVENTS)[..] else { panic!("no operational event") };
    let event: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(
        (&event["type"], &event["data"]["name"]),
        (&json!("anzol.webhook.disabled"), &json!("n\u{ffff}x"))
    );
}

#[tokio::test]
async fn k4_dlq_message_with_any_content_is_sent() {
    let publisher = Publisher::start().await;
    let queue = publisher.engine.queues.queue(DEAD);
    let whole = "é".repeat(512 * 1024);
    for (body, reason, dead) in [
        ("", "", " "),
        ("no\u{0} JSON\u{ffff}", "bad \u{ffff}\u{1b}", "no\u{fffd} JSON\u{fffd}"),
        ("{\"a\":\"\u{ffff}\"}", "\u{0}", r#"{"a":"\uffff"}"#),
        (&whole, "no room beside it", &whole),
        (&format!("x{whole}"), "too long by itself", &format!("x{}", &whole[2..])),
        ("long reason", &"\u{ffff}".repeat(300_000), "long reason"),
    ] {
        queue.send_to_dlq(body, reason).await.unwrap();
        let message = publisher.engine.queues.on(DEAD).pop().unwrap();
        assert!(message.body == dead, "{reason}");
        let said = message.attributes["reason"]["StringValue"].as_str().unwrap_or_default();
        assert!(
            said.len() <= 4096 && said.is_empty() == (reason.is_empty() || dead.len() > 1_000_000),
            "{said}"
        );
    }
    // An implementation with a smaller limit gets the message without its reason.
    publisher.engine.queues.take_at_most(100);
    queue.send_to_dlq(&"b".repeat(98), "why").await.unwrap();
    assert_eq!(publisher.engine.queues.on(DEAD).pop().unwrap().attributes, Value::Null);
    // A malformed message on a sender's queue.
    publisher.engine.queues.take_at_most(queue_rules::MAX_BYTES);
    assert!(
        publisher.engine.handle(&["{\"v\":1,\"task\":\"\u{ffff}\"}".to_owned()], "fast").await.is_empty()
    );
    assert_eq!(publisher.engine.queues.on(DEAD).pop().unwrap().body, r#"{"v":1,"task":"\uffff"}"#);
}

#[tokio::test]
async fn k4_event_too_large_after_escaping_is_400() {
    let publisher = Publisher::start().await;
    // Each U+FFFF takes 3 bytes when published and 6 when queued.
    let raw = |count: usize| event("1", &format!(",\"data\":\"{}\"", "\u{ffff}".repeat(count)));
    for (body, status) in [
        (raw(10_000), 202),
        (raw(MAX_EVENT / 3 - 100), 400),
        (event("2", &format!(",\"data\":{{\"{}\":1}}", r"\u0001".repeat(MAX_EVENT / 6 - 200))), 202),
        (event("3", &format!(",\"data\":{{\"{}\":1}}", r"\u0001".repeat(MAX_EVENT / 3))), 400),
        (
            event(
                "4",
                &format!(r#","cloudEventsVersion":"0.1","eventTypeVersion":"{}""#, "v".repeat(MAX_EVENT)),
            ),
            400,
        ),
    ] {
        let answer = publisher.publish(&body).await;
        assert_eq!(answer.status, status, "{} bytes: {answer:?}", body.len());
        if status == 400 {
            assert_eq!(answer.rules(), [("event", "event_max_bytes")]);
            assert_eq!(*answer.params(), json!({ "max": MAX_EVENT }));
        }
        assert!(publisher.queued().iter().all(|sent| sent.body.len() < MAX_EVENT + 2048));
    }
    // A request of the maximum size, 1 MiB.
    let one = event("1", &format!(",\"data\":\"{}\"", "\u{ffff}".repeat(10_000)));
    let many = format!("[{}]", vec![one; 30].join(","));
    let before = publisher.queued().len();
    assert_eq!(publisher.publish(&many).await.status, 202);
    assert_eq!(publisher.queued().len(), before + 30);
}

#[tokio::test]
async fn k4_smaller_queue_limit_is_applied_per_message() {
    let publisher = Publisher::with(128 * 1024, None).await;
    publisher.engine.queues.take_at_most(100_000);
    let sized = |id: &str, bytes| event(id, &format!(r#","data":"{}""#, "x".repeat(bytes)));
    let body = format!("[{},{},{}]", sized("0", 50_000), sized("1", 110_000), sized("2", 60_000));
    assert_eq!(publish_with_retries(&publisher, &body).await, [400]);
    let queued: Vec<_> = publisher.queued().iter().map(|sent| sent.task().event.id().to_owned()).collect();
    assert_eq!(queued, ["0", "2"]);
}

/// Returns a task for one of the last attempts of a failing delivery, whose retries wait in the scheduler.
fn late(hook: &Webhook, data: &str) -> DeliveryTask {
    let event = Event::from_payload(&event("late", &format!(r#","data":"{data}""#)), now()).unwrap();
    DeliveryTask { attempt: 6, trigger: Trigger::Retry, event, ..task(hook) }
}

#[tokio::test]
async fn k4_html_is_scheduled_and_oversized_input_is_queued() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    // HTML of the maximum size, and text like the scheduler's context attributes.
    let html = late(&hook, &"<p>".repeat(MAX_EVENT / 3));
    let odd = late(&hook, "<aws.scheduler.attempt-number>\u{ffff}<AWS.x>");
    assert!(engine.send(&[html, odd]).await.is_empty());
    assert_eq!((engine.queues.schedules().len(), engine.queues.on(SLOW).len()), (2, 0));
    let inputs = engine
        .queues
        .schedules()
        .into_iter()
        .map(|(_, made)| made["Target"]["Input"].as_str().unwrap().to_owned());
    let input = inputs.min_by_key(String::len).unwrap();
    let back: Value = serde_json::from_str(&crate::kit::queues::task_in(&input).event.payload(true)).unwrap();
    assert_eq!(back["data"], "<aws.scheduler.attempt-number>\u{ffff}<AWS.x>");
    // A task that the scheduler cannot hold is queued early, and only once.
    let large = late(&hook, &"<aws.".repeat(240 * 1024 / 5 - 100));
    assert!(engine.send(std::slice::from_ref(&large)).await.is_empty());
    let [early] = &engine.queues.on(SLOW)[..] else { panic!("the task is lost") };
    assert_eq!((early.delay, early.task().attempt, engine.queues.schedules().len()), (900, 7, 2));
    assert_eq!(engine.received("down").await, 3);
}

#[tokio::test]
async fn k4_every_tenant_id_is_a_valid_message_group() {
    for c in ' '..='\u{ff}' {
        if let Ok(tenant) = TenantId::parse(&format!("a{c}")) {
            assert!(queue_rules::is_group(tenant.as_str()), "{c}");
        }
    }
    let longest = TenantId::parse(&"~".repeat(128)).unwrap();
    assert!(queue_rules::is_group(longest.as_str()));
    assert!(!queue_rules::is_group(&"~".repeat(129)) && TenantId::parse(&"~".repeat(129)).is_err());
    let engine = Engine::start(DisablePolicy::default()).await;
    let tenant = TenantId::parse(r#"!"$%&'()*+,-./:;<=>?@[\]^_`{|}~"#).unwrap();
    engine.queues.queue(EVENTS).send(&tenant, "{}").await.unwrap();
    assert_eq!(engine.queues.on(EVENTS)[0].group, tenant.as_str());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn k4_any_accepted_event_can_be_queued(
        texts in proptest::collection::vec("[\u{0}-\u{7f}\u{fff0}-\u{10010}]{0,12}", 4), form in 0..3_u8, times in 1..400_usize,
    ) {
        let [id, name, value, user] = &texts[..] else { unreachable!() };
        let long = name.repeat(times);
        let json = match form {
            0 => json!({ "specversion": "1.0", "id": id, "source": "s", "type": TYPE, "tenantid": "acme", &long: value, "userid": user, "data": { &long: [value] } }),
            1 => json!({ "cloudEventsVersion": "0.1", "eventId": id, "source": "s", "eventType": TYPE, "eventTypeVersion": long, "extensions": { "tenantId": "acme", "userId": user, &long: value } }),
            _ => json!({ "cloudEventsVersion": "0.1", "specversion": "1.0", "id": id, "source": "s", "type": TYPE, "extensions": { "tenantId": "acme", &long: value, "ownerId": long } }),
        };
        let Ok(event) = Event::parse(&json.to_string(), now()) else { return Ok(()) };
        let at = now();
        let task = DeliveryTask {
            tenant_id: TenantId::parse(&"t".repeat(128)).unwrap(), webhook_id: WebhookId::mint(at), delivery_id: DeliveryId::mint(at),
            attempt: u32::MAX, trigger: Trigger::Event, accepted_at: Some(at),
            trace: anzol_domain::TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some(&"a".repeat(512))),
            event,
        };
        let body = anzol_queue::encode(&task);
        prop_assert!(body.len() <= task.event.size() + 2048, "{} of {}", body.len(), task.event.size());
        let message = json!({ "MessageBody": body, "MessageGroupId": task.tenant_id });
        prop_assert_eq!(queue_rules::refusal(&message, queue_rules::MAX_BYTES), None);
        let anzol_queue::QueueMessage::Delivery(back) = anzol_queue::decode(&body).unwrap() else { panic!("no delivery") };
        let read = |event: &Event| serde_json::from_str::<Value>(&event.payload(false)).unwrap();
        prop_assert_eq!(read(&back.event), read(&task.event));
    }
}

#[tokio::test]
async fn k8_names_match_and_sort_in_any_normalization_form() {
    let (context, egress) = TestContext::with_egress().await;
    let (api, admin) = (context.api(&egress), As::admin("acme"));
    let composed = ["Café Ünï", "Zebra", "Cafe\u{301} B", "ＡＢＣ"];
    for name in composed {
        let mut hook = webhook("acme");
        hook.spec.name = name.to_owned();
        context.webhooks.create(&hook, 100).await.unwrap();
    }
    let names = async |query: &str| {
        let (status, page) =
            api.call(Some(&admin), "GET", &format!("/api/core/webhooks?{query}"), None).await;
        assert_eq!(status, 200, "{page}");
        let names =
            page["data"].as_array().unwrap().iter().map(|hook| hook["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    for wanted in ["caf%C3%A9", "cafe%CC%81", "CAF%C3%89", "CAFE%CC%81"] {
        let mut found = names(&format!("name={wanted}")).await;
        found.sort();
        assert_eq!(found, ["Cafe\u{301} B", "Café Ünï"], "{wanted}");
    }
    assert_eq!(names("name=abc").await, ["ＡＢＣ"]);
    assert_eq!(names("name=u%CC%88n").await, ["Café Ünï"]);
    assert!(names("name=caf%C3%A8").await.is_empty());
    assert_eq!(names("sort=name").await, ["ＡＢＣ", "Cafe\u{301} B", "Café Ünï", "Zebra"]);
}

#[tokio::test]
async fn k8_earlier_name_stays_readable_and_changeable() {
    let (context, egress) = TestContext::with_egress().await;
    let (api, admin) = (context.api(&egress), As::admin("acme"));
    let mut old = webhook("acme");
    old.sealed = None;
    old.spec.name = "\u{200b}".to_owned();
    old.spec.description = Some("to \u{202e}left".to_owned());
    context.webhooks.create(&old, 100).await.unwrap();
    let at = format!("/api/core/webhooks/{}", old.id);
    let (status, mut shown) = api.call(Some(&admin), "GET", &at, None).await;
    assert_eq!((status, &shown["name"]), (200, &json!("\u{200b}")));
    let patch = |path: &str, value: Value| Some(json!([{ "op": "replace", "path": path, "value": value }]));
    assert_eq!(api.call(Some(&admin), "PATCH", &at, patch("/enabled", json!(false))).await.0, 204);
    shown["enabled"] = json!(false);
    for member in ["updatedAt", "encryptedHeaders", "health"] {
        shown.as_object_mut().unwrap().remove(member);
    }
    let (status, answer) = api.call(Some(&admin), "PUT", &at, Some(shown)).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = api.call(Some(&admin), "PATCH", &at, patch("/name", json!("\u{200b} "))).await;
    assert_eq!(
        (status, &answer["errors"][0]["field"], &answer["errors"][0]["rule"]),
        (400, &json!("name"), &json!("visible_character_required"))
    );
    assert_eq!(api.call(Some(&admin), "PATCH", &at, patch("/name", json!("new"))).await.0, 204);
}

#[tokio::test]
async fn k8_invisible_and_bidi_names_are_refused() {
    let (context, egress) = TestContext::with_egress().await;
    let (api, admin) = (context.api(&egress), As::admin("acme"));
    let body =
        |name: &str| json!({ "name": name, "url": "https://hooks.receiver.test/in", "eventTypes": [TYPE] });
    for (name, status) in [
        ("\u{200b}", 400),
        ("\u{2800}\u{3164}\u{301}", 400),
        ("Pay\u{202e}fdp.exe", 400),
        ("n\u{ffff}x", 400),
        ("\u{2066}x\u{2069}", 400),
        ("👩\u{200d}👩\u{200d}👧", 201),
        ("می\u{200c}خواهم", 201),
    ] {
        let (answered, answer) = api.call(Some(&admin), "POST", "/api/core/webhooks", Some(body(name))).await;
        assert_eq!(answered, status, "{name:?}: {answer}");
        if status == 400 {
            assert_eq!(answer["errors"][0]["field"], "name", "{answer}");
        }
    }
}
