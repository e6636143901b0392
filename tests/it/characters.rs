//! Characters and sizes that the queues refuse, on every way into one (K4, M1), and names by Unicode's rules (K8).

use std::sync::Arc;

use anzol_domain::event::{MAX_EVENT, parse_one_or_many};
use anzol_domain::health::DisablePolicy;
use anzol_domain::{DeliveryId, DeliveryTask, Event, TenantId, Trigger, Webhook, WebhookId};
use anzol_egress::Settings;
use anzol_fanout::Fanout;
use anzol_http::Claims;
use anzol_ingest::IngestState;
use anzol_runtime::now;
use anzol_tests::receiver::Received;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cloud::{Answer, Api, As, Cloud, EgressHarness, SECRET, webhook};
use crate::engine::{Engine, task};
use crate::functions::{batch, failed};
use crate::queue_rules;
use crate::queues::{DEAD, EVENTS, FAST, SLOW, Sent};

const PUBLISH: &str = "/api/v1/events";
const TYPE: &str = "com.qlik.v1.app.created";

/// An event of acme's as JSON, with more members.
fn event(id: &str, more: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"{TYPE}","tenantid":"acme"{more}}}"#)
}

/// An engine, a webhook that hears the events, and both doors they come in by.
struct Doors {
    engine: Engine,
    ingest: Api,
    fanout: Fanout,
}

impl Doors {
    async fn open() -> Self {
        Self::within(MAX_EVENT).await
    }

    async fn within(largest_event: usize) -> Self {
        let engine = Engine::start(DisablePolicy::default()).await;
        engine.create("in").await;
        let ingest = Api(anzol_ingest::router(IngestState {
            dispatcher: Arc::new(engine.dispatcher()),
            claims: Claims::default().into(),
            clock: now,
            largest_event,
            signature: None,
        }));
        let fanout = Fanout {
            dispatcher: engine.dispatcher(),
            dlq: engine.queues.queue(DEAD),
            clock: now,
            largest_event,
        };
        Self { engine, ingest, fanout }
    }

    async fn publish(&self, body: &str) -> Answer {
        let kind = Some("application/json");
        self.ingest.exchange(Some(&As::admin("acme")), "POST", PUBLISH, kind, Some(json!(body))).await
    }

    fn queued(&self) -> Vec<Sent> {
        self.engine.queues.on(FAST)
    }

    /// Sends what is on the fast lane; answers what arrived.
    async fn deliver(&self) -> Vec<Received> {
        let bodies: Vec<_> = self.queued().into_iter().map(|sent| sent.body).collect();
        assert!(self.engine.handle(&bodies, "fast").await.is_empty());
        self.engine.way_out.control(|receiver| receiver.requests("/in")).await.unwrap()
    }
}

#[tokio::test]
async fn k4_raw_ffff_in_data_arrives_once_and_signed() {
    let doors = Doors::open().await;
    let answer = doors.publish(&event("1", ",\"data\":{\"t\":\"a\u{ffff}b\"}")).await;
    assert_eq!((answer.status, &answer.body["deliveries"]), (202, &json!(1)), "{answer:?}");
    let [request] = &doors.deliver().await[..] else { panic!("not one POST") };
    let body = request.body().unwrap();
    let payload: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(payload["data"]["t"], "a\u{ffff}b");
    let secret = anzol_domain::Secret::parse(SECRET.to_owned()).unwrap();
    assert_eq!(request.header("qlik-signature"), anzol_signing::qlik_signature(&secret, &body));
}

#[tokio::test]
async fn m1_every_place_of_an_event_may_hold_what_sqs_refuses() {
    let doors = Doors::open().await;
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
        let answer = doors.publish(body).await;
        assert_eq!(answer.status, 202, "{body:?}: {answer:?}");
        assert_eq!(doors.queued().len(), count + 1);
    }
    // What is queued is the event that came.
    for (sent, body) in doors.queued().iter().zip(&bodies) {
        let came = Event::parse(body, now()).unwrap().payload(true);
        let mut expected: Value = serde_json::from_str(&came).unwrap();
        let mut queued: Value = serde_json::from_str(&sent.task().event.payload(true)).unwrap();
        (expected["time"], queued["time"]) = (Value::Null, Value::Null);
        assert_eq!(queued, expected, "{body:?}");
    }
    assert_eq!(doors.deliver().await.len(), bodies.len());
    // Names of attributes have letters and digits alone, so there it is refused, and named.
    for name in [r"x\uffff", "x\u{ffff}", "\u{fffe}"] {
        let answer = doors.publish(&event("3", &format!(",\"{name}\":1"))).await;
        assert_eq!((answer.status, answer.rules()[0].1), (400, "attribute_name"), "{answer:?}");
    }
    // By the events queue, all of them at once.
    let many = format!("[{}]", bodies.join(","));
    assert!(failed(doors.fanout.handle(batch(&[many])).await).is_empty());
    assert_eq!((doors.queued().len(), doors.engine.queues.on(DEAD).len()), (2 * bodies.len(), 0));
}

#[tokio::test]
async fn m1_binary_mode_with_ffff_in_a_header_is_queued() {
    let doors = Doors::open().await;
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "%EF%BF%BF"),
        ("ce-source", "s%EF%BF%BE"),
        ("ce-type", TYPE),
        ("ce-tenantid", "acme"),
        ("content-type", "text/plain"),
    ];
    let admin = As::admin("acme");
    let answer =
        doors.ingest.exchange_with(Some(&admin), "POST", PUBLISH, &headers, Some(json!("d\u{ffff}"))).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let sent = doors.queued()[0].task();
    assert_eq!((sent.event.id(), sent.event.source()), ("\u{ffff}", "s\u{fffe}"));
    // A tenant or user of an identity provider cannot have such a name: the member is named.
    let mut foreign = headers;
    foreign[4] = ("ce-tenantid", "acme%EF%BF%BF");
    let answer = doors.ingest.exchange_with(Some(&admin), "POST", PUBLISH, &foreign, Some(json!(""))).await;
    assert_eq!((answer.status, answer.rules()), (400, vec![("tenantid", "identifier")]), "{answer:?}");
}

/// A client that does as it is told: it sends again after 429 and 503, and after nothing else.
async fn send_as_told(doors: &Doors, body: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(doors.publish(body).await.status);
        if ![429, 503].contains(statuses.last().unwrap()) {
            break;
        }
    }
    statuses
}

#[tokio::test]
async fn m1_24_good_events_beside_such_a_one_are_not_copied() {
    let doors = Doors::open().await;
    let mut events: Vec<_> = (0..24).map(|n| event(&n.to_string(), "")).collect();
    events.push(event("24", ",\"data\":{\"id\":\"\u{ffff}\"}"));
    assert_eq!(send_as_told(&doors, &format!("[{}]", events.join(","))).await, [202]);
    assert_eq!(doors.deliver().await.len(), 25);
}

#[tokio::test]
async fn m1_what_sqs_refuses_for_good_is_a_400_and_no_copies() {
    let doors = Doors::open().await;
    doors.engine.queues.refuse_permanently("unwanted");
    let mut events: Vec<_> = (0..24).map(|n| event(&n.to_string(), "")).collect();
    events.insert(7, event("7b", r#","data":"unwanted""#));
    let body = format!("[{}]", events.join(","));
    assert_eq!(send_as_told(&doors, &body).await, [400]);
    assert_eq!(doors.queued().len(), 24, "each good one once");
    let answer = doors.publish(&events[7]).await;
    assert_eq!((answer.status, doors.queued().len()), (400, 24));
    assert_eq!(answer.rules(), [("[0]", "not_queued")]);
    assert_eq!(*answer.params(), json!({ "code": "InvalidMessageContents" }));
    assert_eq!(doors.publish(&body).await.rules(), [("[7]", "not_queued")]);
}

#[tokio::test]
async fn m1_what_is_busy_is_still_a_503() {
    let doors = Doors::open().await;
    doors.engine.queues.refuse(r#""id":"1""#);
    let answer = doors.publish(&event("1", "")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn m1_fanout_buries_the_refused_event_alone_with_its_reason() {
    let doors = Doors::open().await;
    doors.engine.create("other").await; // two webhooks hear them
    doors.engine.queues.refuse_permanently("unwanted-by-fast");
    // The dead-letter queue takes it: there it is another text.
    let mut events: Vec<_> = (0..20).map(|n| event(&n.to_string(), "")).collect();
    events.push(event("20", r#","data":{"x\uffff":"unwanted-by\u002dfast"}"#));
    let message = format!("[{}]", events.join(","));
    doors.engine.queues.refuse_permanently(r"unwanted-by\u002dfast");
    assert_eq!(
        failed(doors.fanout.handle(batch(std::slice::from_ref(&message))).await),
        ["m0"],
        "where it cannot be buried"
    );
    doors.engine.queues.accept_all();
    doors.engine.queues.refuse_permanently(r#""trigger":"event","acceptedAt""#);
    let alone = event("a", "");
    let before = doors.queued().len();
    assert!(failed(doors.fanout.handle(batch(&[message, alone.clone()])).await).is_empty());
    assert_eq!(doors.queued().len(), before);
    let buried = doors.engine.queues.on(DEAD);
    assert_eq!(buried.len(), 22, "each event of the array, and the one alone");
    assert!(buried.iter().any(|letter| letter.body == alone), "as it came");
    for letter in &buried {
        let reason = letter.attributes["reason"]["StringValue"].as_str().unwrap();
        assert!(reason.contains("InvalidMessageContents"), "{reason}");
        assert_eq!(parse_one_or_many(&letter.body, now(), MAX_EVENT).unwrap().len(), 1, "may be put back");
    }
}

#[tokio::test]
async fn m1_a_retry_refused_for_good_does_not_come_back() {
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
    // Moved to another lane nothing was sent yet: its queue keeps it.
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
async fn k4_news_of_a_webhook_named_with_ffff_goes_out() {
    let engine = Engine::start(DisablePolicy::new(1, 0)).await;
    let mut hook = webhook("acme");
    hook.spec.name = "n\u{ffff}x".to_owned(); // as an older release took it
    hook.spec.url = anzol_domain::WebhookUrl::parse("https://hooks.receiver.test/gone").unwrap();
    engine.cloud.webhooks.create(&hook, 100).await.unwrap();
    engine.answers("gone", 410).await;
    engine.send(&[task(&hook)]).await;
    assert!(!engine.stored(&hook).await.spec.enabled);
    let [news] = &engine.queues.on(EVENTS)[..] else { panic!("nobody is told") };
    let news: Value = serde_json::from_str(&news.body).unwrap();
    assert_eq!(
        (&news["type"], &news["data"]["name"]),
        (&json!("anzol.webhook.disabled"), &json!("n\u{ffff}x"))
    );
}

#[tokio::test]
async fn k4_dead_letters_are_taken_whatever_they_hold() {
    let doors = Doors::open().await;
    let queue = doors.engine.queues.queue(DEAD);
    let whole = "é".repeat(512 * 1024);
    for (body, reason, buried) in [
        ("", "", " "),
        ("no\u{0} JSON\u{ffff}", "bad \u{ffff}\u{1b}", "no\u{fffd} JSON\u{fffd}"),
        ("{\"a\":\"\u{ffff}\"}", "\u{0}", r#"{"a":"\uffff"}"#),
        (&whole, "no room beside it", &whole),
        (&format!("x{whole}"), "too long by itself", &format!("x{}", &whole[2..])),
        ("long reason", &"\u{ffff}".repeat(300_000), "long reason"),
    ] {
        queue.send_to_dlq(body, reason).await.unwrap();
        let letter = doors.engine.queues.on(DEAD).pop().unwrap();
        assert!(letter.body == buried, "{reason}");
        let said = letter.attributes["reason"]["StringValue"].as_str().unwrap_or_default();
        assert!(
            said.len() <= 4096 && said.is_empty() == (reason.is_empty() || buried.len() > 1_000_000),
            "{said}"
        );
    }
    // Another implementation takes less, and the letter without its reason.
    doors.engine.queues.take_at_most(100);
    queue.send_to_dlq(&"b".repeat(98), "why").await.unwrap();
    assert_eq!(doors.engine.queues.on(DEAD).pop().unwrap().attributes, Value::Null);
    // A message of a sender's queue that nobody can read.
    doors.engine.queues.take_at_most(queue_rules::MAX_BYTES);
    assert!(doors.engine.handle(&["{\"v\":1,\"task\":\"\u{ffff}\"}".to_owned()], "fast").await.is_empty());
    assert_eq!(doors.engine.queues.on(DEAD).pop().unwrap().body, r#"{"v":1,"task":"\uffff"}"#);
}

#[tokio::test]
async fn k4_what_outgrows_the_bound_by_its_escapes_is_a_400() {
    let doors = Doors::open().await;
    // 3 bytes each as they come, 6 as they are queued.
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
        let answer = doors.publish(&body).await;
        assert_eq!(answer.status, status, "{} bytes: {answer:?}", body.len());
        if status == 400 {
            assert_eq!(answer.rules(), [("event", "event_max_bytes")]);
            assert_eq!(*answer.params(), json!({ "max": MAX_EVENT }));
        }
        assert!(doors.queued().iter().all(|sent| sent.body.len() < MAX_EVENT + 2048));
    }
    // A whole request of the largest: 1 MiB of it.
    let one = event("1", &format!(",\"data\":\"{}\"", "\u{ffff}".repeat(10_000)));
    let many = format!("[{}]", vec![one; 30].join(","));
    let before = doors.queued().len();
    assert_eq!(doors.publish(&many).await.status, 202);
    assert_eq!(doors.queued().len(), before + 30);
}

#[tokio::test]
async fn k4_a_queue_that_takes_less_than_sqs_is_told_apart_by_message() {
    let doors = Doors::within(128 * 1024).await;
    doors.engine.queues.take_at_most(100_000);
    let sized = |id: &str, bytes| event(id, &format!(r#","data":"{}""#, "x".repeat(bytes)));
    let body = format!("[{},{},{}]", sized("0", 50_000), sized("1", 110_000), sized("2", 60_000));
    assert_eq!(send_as_told(&doors, &body).await, [400]);
    let queued: Vec<_> = doors.queued().iter().map(|sent| sent.task().event.id().to_owned()).collect();
    assert_eq!(queued, ["0", "2"]);
}

/// A task of a failing delivery's last attempts, which wait in the scheduler.
fn late(hook: &Webhook, data: &str) -> DeliveryTask {
    let event = Event::from_payload(&event("late", &format!(r#","data":"{data}""#)), now()).unwrap();
    DeliveryTask { attempt: 6, trigger: Trigger::Retry, event, ..task(hook) }
}

#[tokio::test]
async fn k4_html_is_scheduled_and_what_is_too_large_comes_early() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    // HTML of the usual bound, and context attributes, as far as they fit.
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
    let back: Value = serde_json::from_str(&crate::queues::task_in(&input).event.payload(true)).unwrap();
    assert_eq!(back["data"], "<aws.scheduler.attempt-number>\u{ffff}<AWS.x>");
    // What the scheduler will never take comes early, and only once.
    let large = late(&hook, &"<aws.".repeat(240 * 1024 / 5 - 100));
    assert!(engine.send(std::slice::from_ref(&large)).await.is_empty());
    let [early] = &engine.queues.on(SLOW)[..] else { panic!("it is lost") };
    assert_eq!((early.delay, early.task().attempt, engine.queues.schedules().len()), (900, 7, 2));
    assert_eq!(engine.received("down").await, 3);
}

#[tokio::test]
async fn k4_every_tenant_is_a_message_group() {
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
    fn k4_any_event_that_is_taken_can_be_queued(
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
async fn k8_names_are_found_and_sorted_by_either_form() {
    let (cloud, way_out) = (Cloud::start().await, EgressHarness::start(Settings::default()).await);
    let (api, admin) = (cloud.api(&way_out), As::admin("acme"));
    let composed = ["Café Ünï", "Zebra", "Cafe\u{301} B", "ＡＢＣ"];
    for name in composed {
        let mut hook = webhook("acme");
        hook.spec.name = name.to_owned();
        cloud.webhooks.create(&hook, 100).await.unwrap();
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
async fn k8_an_old_name_is_shown_and_the_webhook_can_be_changed() {
    let (cloud, way_out) = (Cloud::start().await, EgressHarness::start(Settings::default()).await);
    let (api, admin) = (cloud.api(&way_out), As::admin("acme"));
    let mut old = webhook("acme");
    old.sealed = None;
    old.spec.name = "\u{200b}".to_owned();
    old.spec.description = Some("to \u{202e}left".to_owned());
    cloud.webhooks.create(&old, 100).await.unwrap();
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
async fn k8_the_api_refuses_names_of_nothing_and_turned_text() {
    let (cloud, way_out) = (Cloud::start().await, EgressHarness::start(Settings::default()).await);
    let (api, admin) = (cloud.api(&way_out), As::admin("acme"));
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
