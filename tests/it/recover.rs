//! Recoveries: events of permanently failed deliveries are sent again, once each, one page per step, even after interruptions.

use std::collections::BTreeSet;

use anzol_api::AppState;
use anzol_domain::delivery::{NextAttempt, RETENTION};
use anzol_domain::health::DisablePolicy;
use anzol_domain::recovery::RecoveryStatus;
use anzol_domain::{
    Delivery, DeliveryId, Event, FailureKind, Recovery, Status, Trigger, Webhook, test_event,
};
use anzol_pipeline::SentPayload;
use anzol_runtime::now;
use anzol_store::StoreError;
use anzol_tests::receiver::Behavior;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::kit::queues::{SLOW, SLOW_ARN, Sent};
use crate::kit::{Answer, Api, As, Engine, delivery, webhook};

const BASE: &str = "/api/v1/webhooks";

/// An engine with one webhook, and the API that starts recoveries for it.
struct RecoveryTest {
    engine: Engine,
    api: Api,
    hook: Webhook,
}

impl RecoveryTest {
    async fn start() -> Self {
        let engine = Box::pin(Engine::start(DisablePolicy::default())).await;
        let hook = engine.create("in").await;
        let recoverer = engine.sender.recoverer.clone();
        let state = AppState { recoverer, ..engine.context.state(&engine.egress) };
        Self { engine, api: Api(anzol_api::router(state)), hook }
    }

    async fn put(&self, rows: &[Delivery]) {
        self.engine.context.put_deliveries(rows).await;
    }

    async fn post(&self, body: Value) -> Answer {
        let path = format!("{BASE}/{}/actions/recover", self.hook.id);
        self.api.exchange(Some(&As::admin("acme")), "POST", &path, Some("application/json"), Some(body)).await
    }

    /// Makes the receiver redirect, which is a final failure.
    async fn sends_elsewhere(&self) {
        let headers = [("location".to_owned(), "https://elsewhere.example/".to_owned())].into();
        self.engine.behaves("in", Behavior { status: 308, headers, ..Behavior::default() }).await;
    }

    /// Starts a recovery of all failures since `ago` and runs it to its end.
    async fn recover_all(&self, ago: Duration) -> Value {
        let done = self.queued().1.len();
        let started = self.recover(ago).await;
        self.run_steps_from(done).await;
        self.progress(&started).await
    }

    /// Starts a recovery of all failures since `ago`.
    async fn recover(&self, ago: Duration) -> Value {
        let answer = self.post(json!({ "since": rfc3339(now() - ago), "status": "fail" })).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.body
    }

    async fn progress(&self, recovery: &Value) -> Value {
        let path = format!("{BASE}/{}/recoveries/{}", self.hook.id, recovery["id"].as_str().unwrap());
        let (status, progress) = self.api.call(Some(&As::admin("acme")), "GET", &path, None).await;
        assert_eq!(status, 200, "{progress}");
        progress
    }

    /// Deletes the record of the running recovery.
    async fn forget_running(&self) {
        let pk = format!("{}#{}#RECOVERIES", self.hook.tenant_id, self.hook.id);
        let key = json!({ "pk": { "S": pk }, "sk": { "S": "RUNNING" } });
        let request = json!({ "TableName": self.engine.context.deliveries_table, "Key": key });
        self.dynamodb("DeleteItem", request).await;
    }

    async fn dynamodb(&self, call: &str, request: Value) -> Value {
        let (raw, target) = (self.engine.context.raw.clone(), format!("DynamoDB_20120810.{call}"));
        tokio::task::spawn_blocking(move || raw.call("dynamodb", &target, &request)).await.unwrap().unwrap()
    }

    /// Returns the deliveries and the recovery steps on the slow lane.
    fn queued(&self) -> (Vec<Sent>, Vec<Sent>) {
        let step = |sent: &Sent| sent.body.contains(r#""recovery":"#);
        let (steps, deliveries) = self.engine.queues.on(SLOW).into_iter().partition(step);
        (deliveries, steps)
    }

    /// Returns the ids of the events queued so far.
    fn events(&self) -> Vec<String> {
        self.queued().0.iter().map(|sent| sent.task().event.id().to_owned()).collect()
    }

    /// Has the sender process messages from the slow lane. Asserts that it settles all of them.
    async fn process_batch(&self, messages: &[Sent]) {
        for batch in messages.chunks(10) {
            let bodies: Vec<_> = batch.iter().map(|sent| sent.body.clone()).collect();
            assert!(self.engine.handle(&bodies, SLOW_ARN).await.is_empty());
        }
    }

    /// Runs every queued step and the steps that follow. Returns their number.
    async fn run_all_steps(&self) -> usize {
        self.run_steps_from(0).await
    }

    /// Runs the queued steps except the first `made`, and the steps that follow. Returns the number of all steps.
    async fn run_steps_from(&self, mut made: usize) -> usize {
        loop {
            let steps = self.queued().1.split_off(made);
            if steps.is_empty() {
                return made;
            }
            made += steps.len();
            self.process_batch(&steps).await;
        }
    }
}

fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap()
}

/// Returns the row of an event's last attempt, which failed `ago` before now.
fn failed(hook: &Webhook, ago: Duration, event_id: &str) -> Delivery {
    let json =
        json!({ "specversion": "1.0", "id": event_id, "source": "s", "type": "com.qlik.v1.app.created" });
    let event = Event::parse(&json.to_string(), now()).unwrap();
    let mut row = delivery(hook, now() - ago, Status::Fail);
    row.request.body = event.outgoing(false);
    row
}

/// Returns the rows of `count` failed events, the newest first: `e0` failed 10 seconds ago, `e1` 11 seconds ago.
fn many(hook: &Webhook, count: usize) -> Vec<Delivery> {
    (0..count)
        .map(|n| failed(hook, Duration::seconds(10 + i64::try_from(n).unwrap()), &format!("e{n}")))
        .collect()
}

fn counts(recovery: &Value) -> (u64, u64, u64) {
    let count = |name: &str| recovery[name].as_u64().unwrap();
    (count("found"), count("requeued"), count("skipped"))
}

const HOUR: Duration = Duration::HOUR;

fn followed_by(next: &Delivery, at: OffsetDateTime) -> NextAttempt {
    NextAttempt { id: next.id, at }
}

#[tokio::test]
async fn lost_attempt_ends_the_retries() {
    let it = RecoveryTest::start().await;
    let of = |event: &str, hours| failed(&it.hook, Duration::hours(hours), event);
    let lost = of("lost", 1);
    let mut rows = [of("made", 5), of("made", 3), of("lost in between", 4), of("late", 2)];
    rows[0].next_attempt = Some(followed_by(&rows[1], now() - HOUR * 3));
    rows[2].next_attempt = Some(followed_by(&lost, now() - HOUR * 2));
    rows[3].next_attempt = Some(followed_by(&lost, now() - Duration::minutes(50)));
    it.put(&rows).await;
    let recovery = it.recover(HOUR * 24).await;
    assert_eq!(counts(&recovery), (2, 2, 0), "{recovery}");
    assert_eq!(it.events(), ["made", "lost in between"]);
}

/// Stores rows of every kind. Three of the events failed permanently.
async fn put_every_kind(it: &RecoveryTest) {
    let minutes = Duration::minutes;
    let of = |event: &str, ago| failed(&it.hook, minutes(ago), event);
    let mut tried = of("still tried", 9);
    tried.next_attempt = Some(followed_by(&of("still tried", 9), now() + HOUR));
    let mut disabled = of("was disabled", 8);
    (disabled.failure, disabled.response) = (Some(FailureKind::Disabled), None);
    let mut retried = [of("gave up", 30), of("gave up", 20)];
    retried[0].next_attempt = Some(followed_by(&retried[1], now() - minutes(20)));
    (retried[1].attempt, retried[1].trigger) = (2, Trigger::Retry);
    let resent = [of("resend failed", 40), Delivery { trigger: Trigger::Resend, ..of("resend failed", 3) }];
    let mut arrived = of("arrived", 2);
    (arrived.status, arrived.failure) = (Status::Success, None);
    let test =
        test_event::event(&it.hook, "com.qlik.v1.app.created", DeliveryId::mint(now()), now()).unwrap();
    let mut tested = of("a test", 1);
    (tested.request.body, tested.trigger) = (test.outgoing(false), Trigger::Test);
    it.put(&[tried, disabled, arrived, tested]).await;
    it.put(&retried).await;
    it.put(&resent).await;
}

#[tokio::test]
async fn recovery_counts_permanent_failures_and_adds_no_history() {
    let it = RecoveryTest::start().await;
    put_every_kind(&it).await;
    let before = it.engine.history(&it.hook).await;
    let answer = it.post(json!({ "since": rfc3339(now() - HOUR) })).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let recovery = &answer.body;
    let at = format!("{BASE}/{}/recoveries/{}", it.hook.id, recovery["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), format!("https://hooks.example.com{at}"));
    // Found: the disabled one, the last of the retries, an event's failure and the failure of its resend, and a test.
    assert_eq!((recovery["status"].as_str(), counts(recovery)), (Some("done"), (5, 3, 2)), "{recovery}");
    assert!(recovery["finishedAt"].is_string() && recovery["startedAt"] == recovery["until"]);
    assert_eq!(recovery["webhookId"], json!(it.hook.id));
    assert_eq!(it.progress(recovery).await, *recovery);
    let shown = it.engine.history(&it.hook).await;
    assert_eq!(shown, before, "a recovery adds no history before its deliveries are sent");
}

#[tokio::test]
async fn recovery_queues_first_attempts_oldest_first() {
    let it = RecoveryTest::start().await;
    put_every_kind(&it).await;
    let recovery = it.recover(HOUR).await;
    let (deliveries, steps) = it.queued();
    assert_eq!(it.events(), ["resend failed", "gave up", "was disabled"]);
    assert!(deliveries.iter().all(|sent| sent.group == "acme" && sent.delay == 0));
    assert!(
        deliveries.iter().all(|sent| (sent.task().attempt, sent.task().trigger) == (1, Trigger::Recover))
    );
    assert_eq!((steps.len(), steps[0].delay), (1, 5), "in case the first step does not finish");
    assert_eq!(it.run_all_steps().await, 1);
    assert_eq!(it.progress(&recovery).await, recovery);
}

#[tokio::test]
async fn recovered_events_arrive_once() {
    let it = RecoveryTest::start().await;
    put_every_kind(&it).await;
    let before = it.engine.history(&it.hook).await.len();
    it.recover(HOUR).await;
    let (deliveries, _) = it.queued();
    // Queues deliver at least once.
    it.process_batch(&deliveries).await;
    it.process_batch(&deliveries).await;
    assert_eq!(it.engine.received("in").await, 3);
    let rows = it.engine.history(&it.hook).await;
    let recovered: Vec<_> = rows.iter().filter(|row| row.trigger == Trigger::Recover).collect();
    assert_eq!((recovered.len(), rows.len()), (3, before + 3));
    assert!(recovered.iter().all(|row| row.status == Status::Success && row.attempt == 1));
    assert!(recovered.iter().all(|row| now() - row.triggered_at() < Duration::MINUTE), "triggered now");
    let id = |row: &Delivery| {
        row.request.headers.iter().find(|(name, _)| name == "webhook-id").map(|(_, id)| id.clone()).unwrap()
    };
    let ids: BTreeSet<_> = recovered.iter().map(|row| id(row)).collect();
    let requests = it.engine.egress.control(|receiver| receiver.requests("/in")).await.unwrap();
    assert_eq!(ids, requests.iter().map(|request| request.header("webhook-id").to_owned()).collect());
}

#[tokio::test]
async fn second_recovery_sends_only_new_failures() {
    let it = RecoveryTest::start().await;
    it.put(&many(&it.hook, 7)).await;
    let first = it.recover(HOUR).await;
    assert_eq!(counts(&first), (7, 7, 0));
    let (queued, _) = it.queued();
    // No delivery was sent yet, so a second recovery queues nothing.
    assert_eq!(counts(&it.recover(HOUR).await), (7, 0, 7));
    it.sends_elsewhere().await;
    it.process_batch(&queued[..2]).await;
    it.engine.answers("in", 500).await;
    it.process_batch(&queued[2..3]).await;
    it.engine.answers("in", 200).await;
    it.process_batch(&queued[3..]).await;
    let history = it.engine.history(&it.hook).await;
    assert_eq!(history.iter().filter(|row| row.trigger == Trigger::Recover).count(), 7);

    // The seven old failures remain; two deliveries failed permanently again; one is retried like any delivery.
    let retry = it.queued().0.split_off(7);
    let [retry] = retry.as_slice() else { panic!("{retry:?}") };
    let retry = retry.task();
    let expected = (queued[2].task().event.id().to_owned(), 2, Trigger::Retry);
    assert_eq!((retry.event.id().to_owned(), retry.attempt, retry.trigger), expected);
    assert_eq!(counts(&it.recover(HOUR).await), (9, 2, 7));
    let again: BTreeSet<_> = it.events().split_off(8).into_iter().collect();
    assert_eq!(again, queued[..2].iter().map(|sent| sent.task().event.id().to_owned()).collect());
    assert_eq!(counts(&it.recover(HOUR).await), (9, 0, 9));
}

#[tokio::test]
async fn event_that_arrived_by_a_resend_is_skipped() {
    let it = RecoveryTest::start().await;
    let rows = many(&it.hook, 3);
    it.put(&rows).await;
    for (row, status, expected) in [(&rows[0], 200, "success"), (&rows[1], 500, "fail")] {
        it.engine.answers("in", status).await;
        let path = format!("{BASE}/{}/deliveries/{}/actions/resend", it.hook.id, row.id);
        let (created, resent) = it.api.call(Some(&As::admin("acme")), "POST", &path, None).await;
        assert_eq!((created, resent["status"].as_str()), (201, Some(expected)), "{resent}");
    }
    // Three old failures and one failed resend.
    assert_eq!(counts(&it.recover(HOUR).await), (4, 2, 2));
    assert_eq!(it.events(), ["e2", "e1"]);
}

#[tokio::test]
async fn event_resent_between_its_retries_is_skipped() {
    let it = RecoveryTest::start().await;
    let of = |minutes| failed(&it.hook, Duration::minutes(minutes), "e");
    let mut rows = [of(50), Delivery { trigger: Trigger::Retry, attempt: 2, ..of(20) }];
    rows[0].next_attempt = Some(followed_by(&rows[1], now() - Duration::minutes(20)));
    it.put(&rows).await;
    let resent = of(30);
    let event = SentPayload::of(&rows[0]).event(now()).unwrap();
    let message_id = anzol_signing::message_id(&resent.tenant_id, resent.webhook_id, &event);
    it.engine.sender.settler.note_arrival(&resent, &message_id).await;
    assert_eq!(counts(&it.recover(HOUR).await), (1, 0, 1), "the last retry failed after the event arrived");
    assert_eq!(
        counts(&it.recover(Duration::minutes(25)).await),
        (1, 0, 1),
        "also when the window contains only that retry"
    );
    // A later resend that fails makes it recoverable again.
    it.put(&[Delivery { trigger: Trigger::Resend, ..of(5) }]).await;
    assert_eq!(counts(&it.recover(HOUR).await), (2, 1, 1));
}

#[tokio::test]
async fn long_recovery_continues_page_by_page_in_the_sender() {
    let it = RecoveryTest::start().await;
    let mut rows = many(&it.hook, 250);
    // An event with failures on two pages is queued at the older one.
    rows.push(failed(&it.hook, Duration::minutes(30), "e7"));
    it.put(&rows).await;
    let started = it.recover(HOUR).await;
    assert_eq!((started["status"].as_str(), counts(&started)), (Some("running"), (100, 100, 0)), "{started}");
    assert!(started["finishedAt"].is_null());

    let (_, steps) = it.queued();
    it.process_batch(&steps).await;
    let halfway = it.progress(&started).await;
    assert_eq!((halfway["status"].as_str(), counts(&halfway)), (Some("running"), (200, 200, 0)), "{halfway}");
    // The same message received again runs the next step; the message that this step queues finds nothing left to do.
    assert_eq!(it.run_all_steps().await, 2);
    let done = it.progress(&started).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("done"), (251, 250, 1)), "{done}");
    let events = it.events();
    assert_eq!((events.len(), events.into_iter().collect::<BTreeSet<_>>().len()), (250, 250));
    let ids: BTreeSet<_> = it.queued().0.iter().map(|sent| sent.task().delivery_id).collect();
    assert_eq!(ids.len(), 250);
}

#[tokio::test]
async fn concurrent_steps_send_no_event_twice() {
    let it = RecoveryTest::start().await;
    it.put(&many(&it.hook, 230)).await;
    // Two recoveries run concurrently, as when one is considered lost, and each step is received three times at once.
    let one = it.recover(HOUR).await;
    it.forget_running().await;
    let other = it.recover(HOUR).await;
    let mut made = 0;
    for round in 0.. {
        assert!(round < 20, "the recoveries do not end");
        let steps = it.queued().1.split_off(made);
        if steps.is_empty() {
            break;
        }
        made += steps.len();
        let bodies: Vec<_> = steps.iter().map(|sent| vec![sent.body.clone(); 3]).collect();
        let all = bodies.iter().flat_map(|copies| {
            copies.iter().map(|body| it.engine.handle(std::slice::from_ref(body), SLOW_ARN))
        });
        // On a busy machine the database may answer too late. The message is then received again, as from SQS.
        let to_retry = futures::future::join_all(all).await;
        for (body, _) in bodies.iter().flatten().zip(to_retry).filter(|(_, ids)| !ids.is_empty()) {
            assert!(it.engine.handle(std::slice::from_ref(body), SLOW_ARN).await.is_empty());
        }
    }
    let (one, other) = (it.progress(&one).await, it.progress(&other).await);
    for recovery in [&one, &other] {
        assert_eq!((recovery["status"].as_str(), counts(recovery).0), (Some("done"), 230), "{recovery}");
    }
    assert_eq!(counts(&one).1 + counts(&other).1, 230, "{one} {other}");
    let events: BTreeSet<_> = it.events().into_iter().collect();
    let ids: BTreeSet<_> = it.queued().0.iter().map(|sent| sent.task().delivery_id).collect();
    assert_eq!(
        (events.len(), ids.len()),
        (230, 230),
        "an event may be queued twice, but as the same delivery"
    );
    it.process_batch(&it.queued().0).await;
    let requests = it.engine.egress.control(|receiver| receiver.requests("/in")).await.unwrap();
    let seen: BTreeSet<_> = requests.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!(seen.len(), 230, "every event arrives");
}

#[tokio::test]
async fn recovery_window_goes_from_since_to_its_start() {
    let it = RecoveryTest::start().await;
    let since = now() - HOUR;
    let since = since.replace_nanosecond(since.nanosecond() / 1_000_000 * 1_000_000).unwrap();
    let at = |at: OffsetDateTime, event: &str| failed(&it.hook, now() - at, event);
    let mut rows = [at(since, "first"), at(since, "too old"), at(since, "not yet")];
    rows[0].id = DeliveryId::lowest_at(since);
    rows[1].id = DeliveryId::with_bits(since - Duration::MILLISECOND, &[0xff; 10]);
    rows[2].id = DeliveryId::lowest_at(now() + HOUR);
    it.put(&rows).await;
    let answer = it.post(json!({ "since": rfc3339(since) })).await;
    assert_eq!(counts(&answer.body), (1, 1, 0), "{answer:?}");
    assert_eq!((it.events(), &answer.body["since"]), (vec!["first".to_owned()], &json!(rfc3339(since))));
    // History is kept for seven days.
    let whole = it.recover(RETENTION).await;
    assert_eq!(counts(&whole), (2, 1, 1), "{whole}");
    let nothing = it.post(json!({ "since": rfc3339(now()) })).await;
    assert_eq!((nothing.status, counts(&nothing.body)), (202, (0, 0, 0)));
}

#[tokio::test]
async fn invalid_recovery_is_refused_with_field_and_rule() {
    let it = RecoveryTest::start().await;
    it.put(&many(&it.hook, 1)).await;
    for (body, problem) in [
        (json!({}), ("since", "required")),
        (json!({ "since": "yesterday" }), ("since", "date_time")),
        (json!({ "since": rfc3339(now() + HOUR) }), ("since", "not_in_future")),
        (json!({ "since": rfc3339(now() - RETENTION - HOUR) }), ("since", "max_age")),
        (json!({ "since": 5 }), ("since", "unreadable")),
        (json!({ "since": rfc3339(now()), "status": "success" }), ("status", "must_be")),
        (json!([]), ("body", "object")),
    ] {
        let answer = it.post(body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.rules(), [problem]);
    }
    // A webhook of another tenant is 404.
    let admin = As::admin("globex");
    let theirs = format!("{BASE}/{}", it.hook.id);
    let since = Some(json!({ "since": rfc3339(now() - HOUR) }));
    let refused =
        it.api.call(Some(&admin), "POST", &format!("{theirs}/actions/recover"), since.clone()).await;
    assert_eq!(refused.0, 404);
    let recovery = it.recover(HOUR).await;
    let id = recovery["id"].as_str().unwrap();
    assert_eq!(it.api.call(Some(&admin), "GET", &format!("{theirs}/recoveries/{id}"), None).await.0, 404);
    // A recovery of another webhook and an unknown recovery are 404 too.
    let other = it.engine.create("other").await;
    for path in [format!("{}/recoveries/{id}", other.id), format!("{}/recoveries/none", it.hook.id)] {
        let (status, _) = it.api.call(Some(&As::admin("acme")), "GET", &format!("{BASE}/{path}"), None).await;
        assert_eq!(status, 404, "{path}");
    }

    let mut disabled = webhook("acme");
    disabled.spec.enabled = false;
    it.engine.context.webhooks.create(&disabled, 100).await.unwrap();
    let path = format!("{BASE}/{}/actions/recover", disabled.id);
    let (status, answer) = it.api.call(Some(&As::admin("acme")), "POST", &path, since).await;
    assert_eq!(status, 409, "{answer}");
    let error = &answer["errors"][0];
    assert_eq!((&error["field"], &error["rule"]), (&json!("enabled"), &json!("webhook_disabled")));
}

#[tokio::test]
async fn recovery_stops_when_its_webhook_is_disabled_or_deleted() {
    let it = RecoveryTest::start().await;
    it.put(&many(&it.hook, 250)).await;
    let started = it.recover(HOUR).await;
    let mut disabled = it.hook.clone();
    (disabled.spec.enabled, disabled.version) = (false, disabled.version + 1);
    it.engine.context.webhooks.replace(&it.hook, &disabled).await.unwrap();
    assert_eq!(it.run_all_steps().await, 1);
    let stopped = it.progress(&started).await;
    assert_eq!((stopped["status"].as_str(), counts(&stopped)), (Some("stopped"), (200, 200, 0)), "{stopped}");
    assert!(stopped["finishedAt"].is_string());
    // Deliveries that are queued by then are not sent. They are recorded as failed.
    it.process_batch(&it.queued().0[..150]).await;
    assert_eq!(it.engine.received("in").await, 0);

    // After the webhook is enabled, a new recovery finds the remaining failures and the deliveries that were not sent. The other queued
    // deliveries are sent.
    let mut enabled = disabled.clone();
    (enabled.spec.enabled, enabled.version) = (true, disabled.version + 1);
    it.engine.context.webhooks.replace(&disabled, &enabled).await.unwrap();
    let rest = it.recover(HOUR).await;
    it.run_all_steps().await;
    assert_eq!(counts(&it.progress(&rest).await), (400, 200, 200));
    it.process_batch(&it.queued().0[150..]).await;
    let requests = it.engine.egress.control(|receiver| receiver.requests("/in")).await.unwrap();
    let events: BTreeSet<_> = requests.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!((events.len(), requests.len()), (250, 250));

    let started = it.recover(HOUR).await;
    let steps = it.queued().1;
    it.engine.context.webhooks.delete(&it.hook.tenant_id, it.hook.id).await.unwrap();
    it.process_batch(&steps[steps.len() - 1..]).await;
    assert_eq!(it.queued().1.len(), steps.len(), "no step follows");
    let read = it.engine.context.deliveries.recovery(
        &it.hook.tenant_id,
        it.hook.id,
        started["id"].as_str().unwrap().parse().unwrap(),
        now(),
    );
    assert!(read.await.unwrap().is_some_and(|recovery| recovery.finished_at.is_none()));
}

#[tokio::test]
async fn failing_queue_loses_no_recovered_event() {
    let it = RecoveryTest::start().await;
    it.put(&many(&it.hook, 3)).await;
    // With an unreachable queue a recovery claims no event, so another recovery can claim all of them.
    let state = it.engine.context.state(&it.engine.egress);
    let unreachable = Api(anzol_api::router(state));
    let path = format!("{BASE}/{}/actions/recover", it.hook.id);
    let body = json!({ "since": rfc3339(now() - HOUR) });
    let (status, answer) = unreachable.call(Some(&As::admin("acme")), "POST", &path, Some(body)).await;
    assert_eq!(status, 503, "{answer}");

    // The queue accepts some messages: the sender runs the step again, and the events queued before are not sent twice.
    it.engine.queues.refuse(r#""id":"e1""#);
    let started = it.recover(HOUR).await;
    assert_eq!((started["status"].as_str(), counts(&started)), (Some("running"), (0, 0, 0)), "{started}");
    assert_eq!(it.events(), ["e2", "e0"]);
    let (deliveries, steps) = it.queued();
    let step = std::slice::from_ref(&steps[0].body);
    assert_eq!(it.engine.handle(step, SLOW_ARN).await, ["m0"], "the step must be received again");
    it.process_batch(&deliveries).await;
    it.engine.queues.accept_all();
    assert!(it.engine.handle(step, SLOW_ARN).await.is_empty());
    let done = it.progress(&started).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("done"), (3, 3, 0)), "{done}");
    it.process_batch(&it.queued().0).await;
    assert_eq!(it.engine.received("in").await, 3, "each once");
}

#[tokio::test]
async fn m1_recovery_skips_permanently_refused_deliveries() {
    let it = RecoveryTest::start().await;
    it.put(&many(&it.hook, 3)).await;
    it.engine.queues.refuse_permanently(r#""id":"e1""#);
    let done = it.recover(HOUR).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("done"), (3, 2, 1)), "{done}");
    assert_eq!(it.events(), ["e2", "e0"], "the oldest first");
}

#[tokio::test]
async fn recovery_expires_with_the_history() {
    let it = RecoveryTest::start().await;
    let (tenant, id) = (&it.hook.tenant_id, it.hook.id);
    let old = now() - RETENTION - Duration::MINUTE;
    let gone = Recovery::new(tenant.clone(), id, old - HOUR, old);
    assert_eq!(it.engine.context.deliveries.start_recovery(&gone, now()).await.unwrap(), None);
    assert_eq!(it.engine.context.deliveries.recovery(tenant, id, gone.id, now()).await.unwrap(), None);
    it.put(&many(&it.hook, 1)).await;
    let started = it.recover(HOUR).await;
    let failed = it.engine.history(&it.hook).await[0].id;
    let items = [
        it.engine.context.raw_deliveries(started["id"].as_str().unwrap().to_owned()).await,
        it.engine.context.raw_deliveries("msg_".to_owned()).await,
    ];
    for (item, from) in items.concat().iter().zip([now(), failed.time()]) {
        let expires: i64 = item["expiresAt"]["N"].as_str().unwrap().parse().unwrap();
        assert!(((from + RETENTION).unix_timestamp() - expires).abs() < 60, "{item:#}");
        assert!(item.get("failedOf").is_none(), "not in the index: {item:#}");
    }
    assert_eq!(items.concat().len(), 2);
}

#[tokio::test]
async fn step_run_twice_is_counted_once() {
    let it = RecoveryTest::start().await;
    let deliveries = &it.engine.context.deliveries;
    let read = Recovery::new(it.hook.tenant_id.clone(), it.hook.id, now() - HOUR, now());
    assert_eq!(deliveries.start_recovery(&read, now()).await.unwrap(), None);
    let above = DeliveryId::mint(now() - Duration::MINUTE);
    let further = Recovery { newer_than: Some(above), found: 5, requeued: 5, ..read.clone() };
    deliveries.advance_recovery(&read, &further).await.unwrap();
    let again = deliveries.advance_recovery(&read, &further).await;
    assert!(matches!(again, Err(StoreError::Changed)), "{again:?}");
    let done = further.clone().finished(RecoveryStatus::Done, now());
    deliveries.advance_recovery(&further, &done).await.unwrap();
    let reopened = deliveries.advance_recovery(&done, &further).await;
    assert!(matches!(reopened, Err(StoreError::Changed)), "finished stays finished: {reopened:?}");
    let stored = deliveries.recovery(&read.tenant_id, read.webhook_id, read.id, now()).await.unwrap();
    assert_eq!(stored, Some(done));
}

/// Returns the ids of the first `count` events of [`many`] from the oldest to `e{last}`, the order in which they are queued.
fn numbers(count: usize, last: usize) -> Vec<String> {
    (last..count).rev().map(|n| format!("e{n}")).collect()
}

#[tokio::test]
async fn k9_recovery_queues_the_oldest_first() {
    let it = RecoveryTest::start().await;
    it.put(&many(&it.hook, 230)).await;
    let started = it.recover(HOUR).await;
    assert_eq!(it.events(), numbers(230, 130));
    // Later failures belong to another recovery.
    it.put(&[failed(&it.hook, Duration::ZERO, "later")]).await;
    it.run_all_steps().await;
    let done = it.progress(&started).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("done"), (230, 230, 0)), "{done}");
    assert_eq!(it.events(), numbers(230, 0));
    assert_eq!(counts(&it.recover_all(HOUR).await), (231, 1, 230));
}

#[tokio::test]
async fn k9_event_has_the_place_of_its_first_failure() {
    let it = RecoveryTest::start().await;
    let of = |event: &str, minutes| failed(&it.hook, Duration::minutes(minutes), event);
    // The event `first` was attempted three times, the last time after `second` failed; then its resend failed.
    let mut rows = [of("first", 50), of("first", 40), of("first", 20), of("second", 30), of("third", 10)];
    rows[0].next_attempt = Some(followed_by(&rows[1], now() - Duration::minutes(40)));
    rows[1].next_attempt = Some(followed_by(&rows[2], now() - Duration::minutes(20)));
    it.put(&rows).await;
    it.put(&[Delivery { trigger: Trigger::Resend, ..of("first", 5) }]).await;
    let recovery = it.recover(HOUR).await;
    assert_eq!(it.events(), ["first", "second", "third"]);
    assert_eq!(counts(&recovery), (4, 3, 1), "the last attempt and the resend of the first: {recovery}");
    assert_eq!(counts(&it.recover(HOUR).await), (4, 0, 4), "no event is queued again");
}

#[tokio::test]
async fn k9_event_keeps_its_place_after_a_failed_recovery() {
    let it = RecoveryTest::start().await;
    let of = |event: &str, minutes| failed(&it.hook, Duration::minutes(minutes), event);
    it.put(&[of("first", 50), of("second", 30)]).await;
    it.recover(HOUR).await;
    it.sends_elsewhere().await;
    it.process_batch(&it.queued().0).await;
    it.put(&[of("third", 10)]).await;
    let recovery = it.recover(HOUR).await;
    assert_eq!(it.events().split_off(2), ["first", "second", "third"]);
    assert_eq!(counts(&recovery), (5, 3, 2), "{recovery}");
}

#[tokio::test]
async fn k9_events_of_one_request_are_ordered_by_their_time() {
    let it = RecoveryTest::start().await;
    let at = now() - Duration::MINUTE;
    let rows: Vec<_> = (0..20_u8)
        .map(|n| {
            let mut row = failed(&it.hook, Duration::MINUTE, &format!("e{n}"));
            let json = json!({
                "specversion": "1.0", "id": format!("e{n}"), "source": "s", "type": "com.qlik.v1.app.created",
                "time": format!("2026-11-24T10:00:{n:02}Z"),
            });
            row.request.body = Event::parse(&json.to_string(), now()).unwrap().payload(n % 2 == 0);
            row.id = DeliveryId::with_bits(at, &[255 - n; 10]);
            row
        })
        .collect();
    it.put(&rows).await;
    it.recover(HOUR).await;
    assert_eq!(it.events(), (0..20).map(|n| format!("e{n}")).collect::<Vec<_>>());
}

/// Returns failures of one millisecond. Only the `time` of their events gives their order; their ids are unordered.
fn of_one_moment(hook: &Webhook, ago: Duration, count: u8) -> Vec<Delivery> {
    let at = now() - ago;
    let row = |n: u8| {
        let mut row = failed(hook, ago, "any");
        let json = json!({
            "specversion": "1.0", "id": format!("m{n}"), "source": "s", "type": "com.qlik.v1.app.created",
            "time": format!("2026-11-24T10:00:00.{n:03}Z"),
        });
        row.request.body = Event::parse(&json.to_string(), now()).unwrap().outgoing(false);
        row.id = DeliveryId::with_bits(at, &[n.wrapping_mul(97); 10]);
        row
    };
    (0..count).map(row).collect()
}

#[tokio::test]
async fn k9_events_of_one_request_stay_on_one_page() {
    let it = RecoveryTest::start().await;
    // A page boundary would separate the events of that moment.
    it.put(&many(&it.hook, 210)[150..]).await;
    it.put(&of_one_moment(&it.hook, Duration::seconds(30), 80)).await;
    it.put(&many(&it.hook, 5)).await;
    let started = it.recover(HOUR).await;
    assert_eq!((started["status"].as_str(), counts(&started)), (Some("running"), (60, 60, 0)), "{started}");
    it.run_all_steps().await;
    assert_eq!(counts(&it.progress(&started).await), (145, 145, 0));
    let mut expected = numbers(210, 150);
    expected.extend((0..80).map(|n| format!("m{n}")));
    expected.extend(numbers(5, 0));
    assert_eq!(it.events(), expected);
}

#[tokio::test]
async fn k9_moment_larger_than_a_page_is_recovered_whole() {
    let it = RecoveryTest::start().await;
    it.put(&of_one_moment(&it.hook, Duration::seconds(30), 230)).await;
    let done = it.recover_all(HOUR).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("done"), (230, 230, 0)), "{done}");
    assert_eq!(it.events().into_iter().collect::<BTreeSet<_>>().len(), 230);
}

#[tokio::test]
async fn k9_pages_with_only_tests_do_not_end_a_recovery() {
    let it = RecoveryTest::start().await;
    let test =
        test_event::event(&it.hook, "com.qlik.v1.app.created", DeliveryId::mint(now()), now()).unwrap();
    let mut rows = many(&it.hook, 230);
    for row in &mut rows[5..] {
        (row.request.body, row.trigger) = (test.outgoing(false), Trigger::Test);
    }
    it.put(&rows).await;
    let done = it.recover_all(HOUR).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("done"), (230, 5, 225)), "{done}");
    assert_eq!(it.events(), numbers(5, 0));
}

#[tokio::test]
async fn k9_repeated_step_queues_and_counts_the_same() {
    let it = RecoveryTest::start().await;
    let of = |event: &str, minutes| failed(&it.hook, Duration::minutes(minutes), event);
    // One event that an earlier recovery failed to send, one attempted twice, one with a failed resend, and one that the queue refuses.
    it.put(&[of("before", 50)]).await;
    it.recover(HOUR).await;
    it.sends_elsewhere().await;
    it.process_batch(&it.queued().0).await;
    let mut rows = [of("twice", 40), of("twice", 20), of("resent", 30), of("resent", 10), of("never", 15)];
    rows[0].next_attempt = Some(followed_by(&rows[1], now() - Duration::minutes(20)));
    it.put(&rows).await;
    it.engine.queues.refuse(r#""id":"never""#);
    let started = it.recover(HOUR).await;
    assert_eq!(counts(&started), (0, 0, 0), "{started}");
    let first: Vec<_> = it.queued().0[1..].iter().map(Sent::task).collect();
    it.engine.queues.accept_all();
    it.run_steps_from(1).await;
    let done = it.progress(&started).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("done"), (6, 4, 2)), "{done}");
    let second: Vec<_> = it.queued().0[1 + first.len()..].iter().map(Sent::task).collect();
    let ids = |tasks: &[anzol_domain::DeliveryTask]| {
        tasks.iter().map(|task| (task.event.id().to_owned(), task.delivery_id)).collect::<Vec<_>>()
    };
    assert_eq!(
        second.iter().map(|task| task.event.id()).collect::<Vec<_>>(),
        ["before", "twice", "resent", "never"]
    );
    assert_eq!(ids(&first), ids(&second)[..3], "under the same ids");
}

#[tokio::test]
async fn k9_expired_rows_are_not_recovered() {
    let it = RecoveryTest::start().await;
    it.put(&many(&it.hook, 3)).await;
    // The oldest row has expired, but DynamoDB has not removed it or its index entry yet.
    let rows = it.engine.history(&it.hook).await;
    let key = json!({ "pk": { "S": format!("acme#{}", it.hook.id) }, "sk": { "S": rows[0].id } });
    let expired = json!({ ":over": { "N": (now() - HOUR).unix_timestamp().to_string() } });
    let table = it.engine.context.deliveries_table.clone();
    let request = json!({
        "TableName": table, "Key": key, "UpdateExpression": "SET expiresAt = :over", "ExpressionAttributeValues": expired,
    });
    it.dynamodb("UpdateItem", request).await;
    let done = it.recover_all(HOUR).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("done"), (2, 2, 0)), "{done}");
    assert_eq!(it.events(), ["e1", "e0"]);
}

#[tokio::test]
async fn k9_recovery_of_the_previous_release_continues() {
    let it = RecoveryTest::start().await;
    let rows = many(&it.hook, 230);
    it.put(&rows).await;
    // Recoveries of that release went from the newest failure to the oldest. This one has finished a page. Its row has that release's form.
    let mut old = Recovery::new(it.hook.tenant_id.clone(), it.hook.id, now() - HOUR, now());
    old.older_than = rows[99].id;
    (old.found, old.requeued) = (100, 100);
    let pk = format!("acme#{}#RECOVERIES", it.hook.id);
    let text = |text: String| json!({ "S": text });
    let item = json!({
        "pk": text(pk), "sk": text(old.id.to_string()), "expiresAt": { "N": old.expires_at().unix_timestamp().to_string() },
        "since": text(rfc3339(old.since)), "until": text(rfc3339(old.until)), "status": text("running".to_owned()),
        "olderThan": text(old.older_than.to_string()), "found": { "N": "100" }, "requeued": { "N": "100" }, "skipped": { "N": "0" },
    });
    let table = it.engine.context.deliveries_table.clone();
    it.dynamodb("PutItem", json!({ "TableName": table, "Item": item })).await;
    let step = anzol_queue::encode_recovery(&old.task());
    assert!(it.engine.handle(&[step], SLOW_ARN).await.is_empty());
    it.run_all_steps().await;
    let done = it.progress(&json!({ "id": old.id })).await;
    assert_eq!((done["status"].as_str(), counts(&done)), (Some("done"), (230, 230, 0)), "{done}");
    assert_eq!(it.events(), numbers(230, 100), "the rest, oldest first");
}

#[tokio::test]
async fn h3_only_one_of_forty_concurrent_recoveries_starts() {
    let it = RecoveryTest::start().await;
    it.put(&many(&it.hook, 120)).await;
    let since = json!({ "since": rfc3339(now() - HOUR) });
    let answers = futures::future::join_all((0..40).map(|_| it.post(since.clone()))).await;
    let (started, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
    assert_eq!((started.len(), refused.len()), (1, 39));
    for answer in refused {
        assert_eq!(
            (answer.status, answer.header("location")),
            (409, started[0].header("location")),
            "{answer:?}"
        );
        assert_eq!(answer.rules(), [("recovery", "recovery_running")]);
    }
    assert_eq!(it.events().len(), 100);
    // Another recovery can start once this one has ended.
    it.run_all_steps().await;
    assert_eq!(it.progress(&started[0].body).await["status"], "done");
    assert_eq!(counts(&it.recover_all(HOUR).await), (120, 0, 120));
}

#[tokio::test]
async fn h3_lost_recovery_blocks_others_for_an_hour() {
    let it = RecoveryTest::start().await;
    let deliveries = &it.engine.context.deliveries;
    let at =
        |ago: Duration| Recovery::new(it.hook.tenant_id.clone(), it.hook.id, now() - HOUR * 5, now() - ago);
    let lost = at(HOUR * 4);
    assert_eq!(deliveries.start_recovery(&lost, now() - HOUR * 4).await.unwrap(), None);
    let other = at(HOUR * 3);
    // The same recovery can be started again, because the response of the first call may have been lost.
    assert_eq!(deliveries.start_recovery(&lost, lost.until).await.unwrap(), None);
    let soon = deliveries.start_recovery(&other, lost.until + Duration::minutes(59)).await.unwrap();
    assert_eq!(soon, Some(lost.clone()));
    // The recovery runs another step, and the hour counts from that step.
    let stepped =
        Recovery { stepped_at: Some(lost.until + HOUR), newer_than: Some(other.end()), ..lost.clone() };
    deliveries.advance_recovery(&lost, &stepped).await.unwrap();
    assert!(deliveries.start_recovery(&other, lost.until + Duration::minutes(90)).await.unwrap().is_some());
    assert_eq!(deliveries.start_recovery(&other, lost.until + HOUR * 2).await.unwrap(), None);
    assert_eq!(deliveries.start_recovery(&at(HOUR), other.until).await.unwrap(), Some(other));
    assert_eq!(it.recover(HOUR).await["status"], "done");
}

#[tokio::test]
async fn h3_concurrent_recoveries_queue_an_event_once_each() {
    let it = RecoveryTest::start().await;
    // The failure of this event is on the first page, the failure of its resend on the second.
    it.put(&[failed(&it.hook, Duration::minutes(30), "twice")]).await;
    it.put(&many(&it.hook, 120)).await;
    it.put(&[Delivery { trigger: Trigger::Resend, ..failed(&it.hook, Duration::seconds(5), "twice") }]).await;
    it.sends_elsewhere().await;
    let one = it.recover(HOUR).await;
    it.process_batch(&it.queued().0[..1]).await;
    it.forget_running().await;
    let other = it.recover(HOUR).await;
    it.process_batch(&it.queued().0[100..]).await;
    assert_eq!(it.events().split_off(100), ["twice"], "the first recovery failed to send it");
    it.run_all_steps().await;
    for recovery in [&one, &other] {
        assert_eq!(it.progress(recovery).await["status"], "done");
    }
    assert_eq!(it.events().iter().filter(|event| *event == "twice").count(), 2);
}

#[tokio::test]
async fn h3_recoveries_of_other_webhooks_run_concurrently() {
    let it = RecoveryTest::start().await;
    it.put(&many(&it.hook, 120)).await;
    assert_eq!(it.recover(HOUR).await["status"], "running");
    let other = it.engine.create("other").await;
    let path = format!("{BASE}/{}/actions/recover", other.id);
    let since = Some(json!({ "since": rfc3339(now() - HOUR) }));
    assert_eq!(it.api.call(Some(&As::admin("acme")), "POST", &path, since).await.0, 202);
}
