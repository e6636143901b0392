//! Statistics of a webhook's deliveries, the reasons for having none, and the match records that these are derived from.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use anzol_api::AppState;
use anzol_domain::health::DisablePolicy;
use anzol_domain::match_log::Mismatch;
use anzol_domain::{Clock, Event, Filter, Level, Status, UserId, Webhook};
use anzol_pipeline::{Accepted, Dispatcher};
use anzol_runtime::now;
use anzol_store::{MatchRecords, Stats};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, Time};

use crate::kit::queues::FAST;
use crate::kit::{Api, As, Engine, delivery, webhook, webhook_with};

const BASES: [&str; 2] = ["/api/v1/webhooks", "/api/core/webhooks"];
const CREATED: &str = "com.qlik.v1.app.created";

async fn engine() -> Engine {
    Engine::start(DisablePolicy::default()).await
}

impl Engine {
    fn dispatcher_recording(&self, records: MatchRecords, clock: Clock) -> Dispatcher {
        Dispatcher::new(self.context.webhooks.clone(), self.queues.both(), records, clock)
    }

    fn dispatcher_at(&self, clock: Clock) -> Dispatcher {
        self.dispatcher_recording(self.context.deliveries.match_records(), clock)
    }

    /// Creates a webhook of acme that is 30 days old, changed by `change`.
    async fn create_old(&self, change: impl FnOnce(&mut Webhook)) -> Webhook {
        let webhook = webhook_with("acme", |webhook| {
            webhook.created_at -= Duration::days(30);
            webhook.updated_at = webhook.created_at;
            change(webhook);
        });
        self.context.webhooks.create(&webhook, 100).await.unwrap();
        webhook
    }

    /// Returns the statistics that the API shows at the time of `clock`.
    async fn stats(&self, webhook: &Webhook, clock: Clock) -> Value {
        let api = Api(anzol_api::router(AppState { clock, ..self.context.state(&self.egress) }));
        let path = format!("/api/core/webhooks/{}/stats", webhook.id);
        let (code, stats) = api.call(Some(&As::admin("acme")), "GET", &path, None).await;
        assert_eq!(code, 200, "{stats}");
        stats
    }

    async fn no_delivery_reasons(&self, webhook: &Webhook) -> Vec<Value> {
        let stats = self.stats(webhook, now).await;
        assert_eq!((&stats["lastDelivery"], &stats["complete"]), (&Value::Null, &json!(true)), "{stats}");
        stats["silence"]["reasons"].as_array().unwrap_or_else(|| panic!("no reasons in {stats}")).clone()
    }

    async fn codes(&self, webhook: &Webhook) -> Vec<String> {
        let reasons = self.no_delivery_reasons(webhook).await;
        reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect()
    }

    async fn count(&self, webhook: &Webhook, now: OffsetDateTime) -> Stats {
        self.context.deliveries.stats(&webhook.tenant_id, webhook.id, now).await.unwrap()
    }
}

fn event(tenant: &str, event_type: &str, user: &str, app: &str) -> Event {
    let event = json!({
        "specversion": "1.0", "id": "e1", "source": "s", "type": event_type, "tenantid": tenant, "userid": user,
        "data": { "id": app },
    });
    Event::parse(&event.to_string(), now()).unwrap()
}

fn of_user(owner: &str) -> impl FnOnce(&mut Webhook) {
    move |webhook| {
        webhook.spec.level = Level::User;
        webhook.spec.owner_id = UserId::parse(owner).unwrap();
    }
}

fn with_filter(filter: &str) -> impl FnOnce(&mut Webhook) {
    move |webhook| webhook.spec.filter = Some(Filter::parse(filter).unwrap())
}

fn time(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

#[tokio::test]
async fn stats_count_rows_by_day_and_last_24_hours() {
    let engine = engine().await;
    let hook = engine.create_old(|_| {}).await;
    let noon = now().replace_time(Time::from_hms(12, 0, 0).unwrap());
    let mut rows = Vec::new();
    let mut add = |at: OffsetDateTime, status, count: i64| {
        rows.extend((0..count).map(|n| delivery(&hook, at + Duration::milliseconds(n), status)));
    };
    add(noon - Duration::minutes(10), Status::Fail, 1); // the last
    add(noon - Duration::hours(2), Status::Success, 2);
    add(noon - Duration::hours(13), Status::Success, 3); // yesterday, within the last 24 hours
    add(noon - Duration::hours(25), Status::Fail, 4); // yesterday, before the last 24 hours
    add(noon - Duration::days(6) - Duration::hours(11), Status::Success, 5); // on the first day
    add(noon - Duration::days(6) - Duration::hours(13), Status::Success, 6); // on the day before the first day
    add(noon - Duration::days(7) - Duration::hours(1), Status::Fail, 7); // expired
    engine.context.put_deliveries(&rows).await;
    // Rows of other webhooks do not count.
    let other = engine.create_old(|_| {}).await;
    engine.context.put_deliveries(&[delivery(&other, noon - Duration::hours(1), Status::Success)]).await;

    let stats = engine.count(&hook, noon).await;
    let counted = stats.days.map(|(_, counts)| (counts.success, counts.fail));
    assert_eq!(counted, [(5, 0), (0, 0), (0, 0), (0, 0), (0, 0), (3, 4), (2, 1)]);
    assert_eq!((stats.last_24_hours.success, stats.last_24_hours.fail), (5, 1));
    assert_eq!((stats.last.map(|last| last.id), stats.complete), (Some(rows[0].id), true));
    // A day later the first day has expired, a week later all days.
    let later = engine.count(&hook, noon + Duration::DAY).await;
    assert_eq!(later.days.map(|(_, counts)| counts.success + counts.fail), [0, 0, 0, 0, 7, 3, 0]);
    let empty = engine.count(&hook, noon + Duration::days(7)).await;
    assert_eq!(
        (empty.last, empty.days.iter().any(|(_, counts)| counts.success + counts.fail > 0)),
        (None, false)
    );
}

#[tokio::test]
async fn api_shows_stats_on_both_base_paths() {
    let engine = engine().await;
    let hook = engine.create_old(|_| {}).await;
    let row = delivery(&hook, now() - Duration::seconds(1), Status::Success);
    engine.context.put_deliveries(std::slice::from_ref(&row)).await;
    let api = engine.context.api(&engine.egress);
    for base in BASES {
        let path = format!("{base}/{}/stats", hook.id);
        let (code, stats) = api.call(Some(&As::admin("acme")), "GET", &path, None).await;
        assert_eq!(code, 200, "{stats}");
        let days = stats["days"].as_array().unwrap();
        let dates: Vec<_> = days.iter().map(|day| day["date"].as_str().unwrap().to_owned()).collect();
        let today = now().date();
        let wanted: Vec<_> = (0..7).rev().map(|age| (today - Duration::days(age)).to_string()).collect();
        assert_eq!(dates, wanted);
        assert!(days.iter().all(|day| day.as_object().unwrap().len() == 3), "{stats}");
        assert_eq!(stats["last24Hours"], json!({ "success": 1, "fail": 0 }));
        let last = &stats["lastDelivery"];
        assert_eq!((&last["id"], &last["status"]), (&json!(row.id), &json!("success")));
        assert_eq!(
            (time(&last["triggeredAt"]), &last["eventType"]),
            (row.triggered_at(), &json!(row.event_type))
        );
        assert_eq!((&stats["complete"], &stats["silence"]), (&json!(true), &Value::Null));
        assert_eq!(stats.as_object().unwrap().len(), 5);

        // Another tenant's webhook and an unknown webhook are both 404.
        for (who, path) in
            [("globex", path), ("acme", format!("{base}/0198b4a5-0000-7000-8000-000000000000/stats"))]
        {
            assert_eq!(api.call(Some(&As::admin(who)), "GET", &path, None).await.0, 404);
        }
    }
}

#[tokio::test]
async fn long_history_gives_lower_bounds_and_all_failures() {
    let engine = engine().await;
    let hook = engine.create_old(|_| {}).await;
    let noon = now().replace_time(Time::from_hms(12, 0, 0).unwrap());
    // About 200 KB of incompressible text per row: five rows per page of the database, forty on the eight pages that are read.
    let mut seed = 1_u64;
    let noise: String = (0..270_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + u8::try_from((seed >> 33) % 64).unwrap())
        })
        .collect();
    let row = |age: Duration, status| {
        let mut row = delivery(&hook, noon - age, status);
        row.response.as_mut().unwrap().body.clone_from(&noise);
        row
    };
    // Today 10 rows, 3 of them failures. Two days ago only failures, some of which only the index returns. Five days ago 5 failures,
    // which the index returns too, and 5 successes that are not read.
    let outcome = |fail: bool| if fail { Status::Fail } else { Status::Success };
    let mut rows: Vec<_> = (0..10).map(|n| row(Duration::minutes(n), outcome(n < 3))).collect();
    rows.extend((0..50).map(|n| row(Duration::days(2) + Duration::minutes(n), Status::Fail)));
    rows.extend((0..10).map(|n| row(Duration::days(5) + Duration::minutes(n), outcome(n % 2 == 0))));
    for few in rows.chunks(4) {
        engine.context.put_deliveries(few).await;
    }
    let stats = engine.count(&hook, noon + Duration::minutes(1)).await;
    assert!(!stats.complete, "{stats:?}");
    let counted = stats.days.map(|(_, counts)| (counts.success, counts.fail));
    assert_eq!(counted, [(0, 0), (0, 5), (0, 0), (0, 0), (0, 50), (0, 0), (7, 3)], "{stats:?}");
    assert_eq!(stats.last.map(|last| last.id), rows.first().map(|row| row.id));
}

/// Webhooks of acme, each with a different reason for having no deliveries of [`CREATED`] by bob for the app `app-1`.
struct Candidates {
    disabled: Webhook,
    empty: Webhook,
    of_ann: Webhook,
    /// The only one that matches.
    of_bob: Webhook,
    filtered: Webhook,
    other_type: Webhook,
    /// Matches too, but was changed after the event.
    new: Webhook,
}

impl Candidates {
    async fn create(engine: &Engine) -> Self {
        let exported = || vec!["com.qlik.v1.app.exported".to_owned()];
        Self {
            disabled: engine.create_old(|webhook| webhook.spec.enabled = false).await,
            empty: engine
                .create_old(|webhook| {
                    webhook.spec.enabled = false;
                    webhook.spec.event_types.clear();
                })
                .await,
            of_ann: engine.create_old(of_user("ann")).await,
            of_bob: engine.create_old(of_user("bob")).await,
            filtered: engine.create_old(with_filter(r#"id eq "app-2""#)).await,
            other_type: engine.create_old(|webhook| webhook.spec.event_types = exported()).await,
            new: engine.create_old(|webhook| webhook.updated_at = now() + Duration::minutes(1)).await,
        }
    }
}

impl Engine {
    /// Dispatches one event.
    async fn dispatch(&self, event: Event) {
        let dispatcher = self.dispatcher_at(now);
        dispatcher.dispatch(&[event], &Accepted::new(now(), None)).await.unwrap();
    }
}

#[tokio::test]
async fn webhook_without_events_has_reason_no_events() {
    let engine = engine().await;
    let all = Candidates::create(&engine).await;
    let assert_no_events = async || {
        for webhook in [&all.of_ann, &all.of_bob, &all.filtered, &all.other_type, &all.new] {
            assert_eq!(engine.codes(webhook).await, ["no_events"]);
        }
        assert_eq!(engine.codes(&all.disabled).await, ["disabled", "no_events"]);
    };
    assert_no_events().await;
    // Events of other tenants and of unknown types do not count.
    engine.dispatch(event("globex", CREATED, "bob", "app-1")).await;
    engine.dispatch(event("acme", "com.example.unknown", "bob", "app-1")).await;
    assert_no_events().await;
}

#[tokio::test]
async fn each_mismatch_has_its_reason() {
    let engine = engine().await;
    let all = Candidates::create(&engine).await;
    // The type's old name counts as the same type.
    engine.dispatch(event("acme", "com.qlik.app.created", "bob", "app-1")).await;
    let matched: BTreeSet<_> = engine.queues.on(FAST).iter().map(|sent| sent.task().webhook_id).collect();
    assert_eq!(matched, BTreeSet::from([all.of_bob.id, all.new.id]));
    for (webhook, codes) in [
        (&all.disabled, vec!["disabled"]),
        (&all.empty, vec!["disabled", "no_event_types"]),
        (&all.of_ann, vec!["level"]),
        (&all.filtered, vec!["filter"]),
        (&all.other_type, vec!["no_events"]),
        (&all.new, vec!["no_events"]),
        (&all.of_bob, vec![]), // its delivery is queued
    ] {
        assert_eq!(engine.codes(webhook).await, codes, "{webhook:?}");
    }
}

#[tokio::test]
async fn reasons_have_the_times_of_events_and_webhook() {
    let engine = engine().await;
    let all = Candidates::create(&engine).await;
    let started = now();
    engine.dispatch(event("acme", CREATED, "bob", "app-1")).await;
    for webhook in [&all.of_ann, &all.filtered, &all.new] {
        let at = time(&engine.no_delivery_reasons(webhook).await[0]["lastEventAt"]);
        assert!(at >= started - Duration::milliseconds(1) && at <= now(), "{at}");
    }
    let [no_events] = engine.no_delivery_reasons(&all.other_type).await.try_into().unwrap();
    let since = now() - time(&no_events["since"]);
    assert!(since >= Duration::days(7) && since < Duration::days(7) + Duration::minutes(1), "{since}");
    assert_eq!(no_events.get("lastEventAt"), None);
    let [no_events] = engine.no_delivery_reasons(&all.new).await.try_into().unwrap();
    assert_eq!(time(&no_events["since"]), engine.stored(&all.new).await.updated_at);
}

#[tokio::test]
async fn delivery_clears_the_reasons_until_it_expires() {
    let engine = engine().await;
    let hook = engine.create_old(of_user("ann")).await;
    engine.dispatch(event("acme", CREATED, "bob", "app-1")).await;
    assert_eq!(engine.codes(&hook).await, ["level"]);
    engine.context.put_deliveries(&[delivery(&hook, now(), Status::Fail)]).await;
    assert_eq!(engine.stats(&hook, now).await["silence"], Value::Null);
    let next_week = engine.stats(&hook, || now() + Duration::days(7)).await;
    assert_eq!(next_week["silence"]["reasons"][0]["code"], "no_events", "{next_week}");
    assert_eq!(next_week["silence"]["reasons"][0].get("lastEventAt"), None, "{next_week}");
}

#[tokio::test]
async fn changed_filter_clears_the_reason_until_the_next_event() {
    let engine = engine().await;
    let hook = engine.create_old(with_filter(r#"id eq "app-2""#)).await;
    let dispatcher = engine.dispatcher_at(now);
    let published = [event("acme", CREATED, "bob", "app-1")];
    let accepted = Accepted::new(now(), None);
    dispatcher.dispatch(&published, &accepted).await.unwrap();
    assert_eq!(engine.codes(&hook).await, ["filter"]);

    let mut changed = hook.clone();
    changed.spec.filter = Some(Filter::parse(r#"id eq "app-3""#).unwrap());
    changed.version += 1;
    engine.context.webhooks.replace(&hook, &changed).await.unwrap();
    assert_ne!(engine.codes(&hook).await, ["filter"]);
    // The new mismatch is recorded although the hour of the old record is not over.
    dispatcher.dispatch(&published, &accepted).await.unwrap();
    assert_eq!(engine.codes(&hook).await, ["filter"]);
}

#[tokio::test]
async fn match_records_are_not_deliveries() {
    let engine = engine().await;
    let hook = engine.create_old(with_filter(r#"id eq "app-2""#)).await;
    engine.dispatch(event("acme", CREATED, "bob", "app-1")).await;
    assert_eq!(engine.codes(&hook).await, ["filter"]);
    let api = engine.context.api(&engine.egress);
    for query in ["", "?status=fail", "?sort=status", "?sort=-triggeredAt&status=success"] {
        let path = format!("/api/core/webhooks/{}/deliveries{query}", hook.id);
        let (status, page) = api.call(Some(&As::admin("acme")), "GET", &path, None).await;
        assert_eq!((status, &page["data"]), (200, &json!([])), "{path}");
    }
}

#[tokio::test]
async fn match_record_is_written_once_an_hour_and_expires() {
    static MINUTES: AtomicI64 = AtomicI64::new(0);
    const START: OffsetDateTime = time::macros::datetime!(2026-11-24 10:20 UTC);
    let clock: Clock = || START + Duration::minutes(MINUTES.load(Ordering::Relaxed));
    let engine = engine().await;
    let hook = engine.create_old(of_user("ann")).await;
    let records = engine.context.deliveries.match_records();
    let dispatcher = engine.dispatcher_at(clock);
    let events: Vec<_> = (0..100).map(|n| event("acme", CREATED, "bob", &format!("app-{n}"))).collect();
    let written = async || {
        let history = records.read(&hook).await.unwrap();
        let [missed] = history.mismatches.try_into().unwrap();
        assert_eq!(
            (missed.mismatch, missed.rule.as_str(), missed.event_type.as_str()),
            (Mismatch::Level, "ann", CREATED)
        );
        assert_eq!((history.events.len(), history.events[CREATED]), (1, missed.at));
        (missed.at - START).whole_minutes()
    };
    for (minute, wanted) in [(0, 0), (1, 0), (30, 0), (59, 0), (60, 60), (61, 60), (119, 60), (300, 300)] {
        MINUTES.store(minute, Ordering::Relaxed);
        dispatcher.dispatch(&events, &Accepted::new(now(), None)).await.unwrap();
        dispatcher.dispatch(&events, &Accepted::new(now(), None)).await.unwrap();
        assert_eq!(written().await, wanted, "at minute {minute}");
    }
    // A new execution environment has no record in its cache, so it writes one.
    MINUTES.store(301, Ordering::Relaxed);
    engine.dispatcher_at(clock).dispatch(&events, &Accepted::new(now(), None)).await.unwrap();
    assert_eq!(written().await, 301);

    // Records expire, and each takes one write unit.
    for key in ["level", CREATED] {
        let items = engine.context.raw_deliveries(key.to_owned()).await;
        let [item] = items.as_slice() else { panic!("{items:?}") };
        let expires: i64 = item["expiresAt"]["N"].as_str().unwrap().parse().unwrap();
        let wanted = START + Duration::minutes(301) + Duration::days(8);
        assert_eq!(expires, wanted.unix_timestamp());
        assert!(item.to_string().len() < 1024 && item.get("failedOf").is_none(), "{item}");
    }
}

#[tokio::test]
async fn tenant_without_webhooks_gets_no_match_records() {
    let engine = engine().await;
    let hook = webhook("globex");
    engine
        .dispatcher_at(now)
        .dispatch(&[event("globex", CREATED, "bob", "app-1")], &Accepted::new(now(), None))
        .await
        .unwrap();
    assert_eq!(
        engine.context.deliveries.match_records().read(&hook).await.unwrap(),
        anzol_domain::match_log::MatchHistory::default()
    );
}

#[tokio::test]
async fn failing_match_log_does_not_fail_or_delay_events() {
    static MINUTES: AtomicI64 = AtomicI64::new(0);
    let clock: Clock = || now() + Duration::minutes(MINUTES.load(Ordering::Relaxed));
    let engine = engine().await;
    let hook = engine.create_old(|_| {}).await;
    let of_ann = engine.create_old(of_user("ann")).await;
    let created = event("acme", CREATED, "bob", "app-1");
    // An endpoint that refuses connections, one that never answers, and a table that does not exist.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = |url: String| engine.context.config.to_builder().endpoint_url(url).build();
    let table = &engine.context.deliveries_table;
    let broken = [
        MatchRecords::new(&at("http://127.0.0.1:1".to_owned()), table),
        MatchRecords::new(&at(format!("http://{}", silent.local_addr().unwrap())), table),
        MatchRecords::new(&engine.context.config, "no-such-table"),
    ];
    for (index, records) in broken.into_iter().enumerate() {
        let started = Instant::now();
        let dispatcher = engine.dispatcher_recording(records, clock);
        for _ in 0..3 {
            assert_eq!(
                dispatcher
                    .dispatch(std::slice::from_ref(&created), &Accepted::new(now(), None))
                    .await
                    .unwrap(),
                1
            );
        }
        assert!(
            started.elapsed().as_millis() < 2900,
            "only the first dispatch waits: {:?}",
            started.elapsed()
        );
        assert_eq!(engine.queues.on(FAST).len(), 3 * (index + 1));
    }
    assert!(engine.queues.on(FAST).iter().all(|sent| sent.task().webhook_id == hook.id));
    assert_eq!(engine.codes(&of_ann).await, ["no_events"], "no record was written");
}

#[tokio::test]
async fn failed_match_record_is_retried_after_a_minute() {
    static SECONDS: AtomicI64 = AtomicI64::new(0);
    let clock: Clock = || now() + Duration::seconds(SECONDS.load(Ordering::Relaxed));
    let engine = engine().await;
    let of_ann = engine.create_old(of_user("ann")).await;
    let missed = event("acme", CREATED, "bob", "app-1");
    // A table that does not exist yet.
    let table = format!("late-{}", engine.context.deliveries_table);
    let late = anzol_store::Deliveries::new(&engine.context.config, &table);
    let dispatcher = engine.dispatcher_recording(late.match_records(), clock);
    dispatcher.dispatch(std::slice::from_ref(&missed), &Accepted::new(now(), None)).await.unwrap();
    engine.context.create_deliveries(&table).await;
    SECONDS.store(30, Ordering::Relaxed);
    dispatcher.dispatch(std::slice::from_ref(&missed), &Accepted::new(now(), None)).await.unwrap();
    assert!(late.match_records().read(&of_ann).await.unwrap().mismatches.is_empty());
    SECONDS.store(61, Ordering::Relaxed);
    dispatcher.dispatch(std::slice::from_ref(&missed), &Accepted::new(now(), None)).await.unwrap();
    assert_eq!(late.match_records().read(&of_ann).await.unwrap().mismatches.len(), 1);
}
