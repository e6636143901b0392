//! The delivery engine against recording queues: retries and their waits, lanes, health, operational events, the DLQ, deadlines.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anzol_domain::delivery::BodyError;
use anzol_domain::event::{EVENT_KIB, MAX_EVENT};
use anzol_domain::health::{DisablePolicy, FAST_SUCCESSES, Pace};
use anzol_domain::{
    DeliveryId, DeliveryTask, FailureKind, Health, Lane, Rule, Status, Trigger, Webhook, WebhookUrl,
};
use anzol_fanout::Fanout;
use anzol_pipeline::{Accepted, Deliverer, SlowAfter};
use anzol_runtime::now;
use anzol_tests::receiver::{Behavior, Mode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::kit::queues::{DEAD, EVENTS, FAST, SLOW, SLOW_ARN, SLOW_DEAD_ARN, task_in};
use crate::kit::{Engine, batch_from, failed, task, webhook};

/// Waits until `condition` holds.
async fn until(condition: impl AsyncFn() -> bool) {
    while !condition().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A retry and the way it waits.
#[derive(Debug)]
struct Retry {
    task: DeliveryTask,
    /// Seconds until the retry.
    wait: u64,
    /// Whether it waits in the scheduler instead of the queue.
    scheduled: bool,
}

/// Returns the seconds until a schedule fires.
fn seconds_until(schedule: &Value) -> u64 {
    let format = time::macros::format_description!("at([year]-[month]-[day]T[hour]:[minute]:[second])");
    let at = schedule["ScheduleExpression"].as_str().unwrap();
    let at = time::PrimitiveDateTime::parse(at, format).unwrap().assume_utc();
    u64::try_from((at - now()).whole_seconds()).unwrap()
}

/// Makes an attempt and returns the retry that follows.
async fn retry_of(engine: &Engine, task: &DeliveryTask) -> Option<Retry> {
    let (queued, scheduled) = (engine.queues.on(SLOW).len(), engine.queues.schedules().len());
    assert_eq!(engine.send(std::slice::from_ref(task)).await, Vec::<String>::new());
    if let Some(sent) = engine.queues.on(SLOW).get(queued) {
        assert_eq!(sent.group, "acme");
        return Some(Retry { task: sent.task(), wait: sent.delay, scheduled: false });
    }
    let (_, schedule) = engine.queues.schedules().get(scheduled)?.clone();
    let task = task_in(schedule["Target"]["Input"].as_str().unwrap());
    Some(Retry { task, wait: seconds_until(&schedule), scheduled: true })
}

#[tokio::test]
async fn short_waits_use_the_queue_and_long_waits_the_scheduler() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    let mut task = task(&hook);
    let mut retries = Vec::new();
    while let Some(retry) = retry_of(&engine, &task).await {
        task = retry.task.clone();
        retries.push(retry);
    }
    assert_eq!((retries.len(), engine.received("down").await), (8, 9), "nine attempts");
    for (retry, plain) in retries.iter().zip(anzol_domain::retry::DEFAULT_WAITS) {
        assert!((plain..=plain + plain / 5 + 1).contains(&retry.wait), "{retries:?}");
        assert_eq!(retry.scheduled, plain > crate::kit::queues::LONGEST_DELAY.as_secs(), "{retry:?}");
    }
    assert_eq!((engine.queues.on(SLOW).len(), engine.queues.schedules().len()), (4, 4));
}

#[tokio::test]
async fn retry_is_the_next_attempt_of_the_same_event() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    for attempt in [1, 4, 5, 8, 9] {
        let failing = DeliveryTask { attempt, ..task(&hook) };
        let retry = retry_of(&engine, &failing).await;
        let history = engine.history(&hook).await;
        let row = history.iter().find(|row| row.id == failing.delivery_id).unwrap();
        assert_eq!(row.attempt, attempt);
        assert_eq!(row.next_attempt.map(|next| next.id), retry.as_ref().map(|retry| retry.task.delivery_id));
        assert_eq!(retry.is_some(), attempt < 9);
        if let Some(Retry { task, .. }) = retry {
            let expected = (attempt + 1, Trigger::Retry, failing.event.id());
            assert_eq!((task.attempt, task.trigger, task.event.id()), expected);
        }
    }
}

#[tokio::test]
async fn schedule_targets_the_slow_lane_and_deletes_itself() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    let retry = retry_of(&engine, &DeliveryTask { attempt: 5, ..task(&hook) }).await.unwrap();
    let [(name, schedule)] = &engine.queues.schedules()[..] else { panic!("no schedule") };
    assert_eq!(*name, retry.task.delivery_id.to_string());
    assert_eq!(schedule["ActionAfterCompletion"], "DELETE");
    assert_eq!((&schedule["GroupName"], &schedule["Target"]["Arn"]), (&json!("retries"), &json!(SLOW_ARN)));
    assert_eq!(schedule["Target"]["RoleArn"], "arn:aws:iam::1:role/scheduler");
    assert_eq!(schedule["Target"]["SqsParameters"]["MessageGroupId"], "acme");
    assert_eq!(schedule["Target"]["DeadLetterConfig"]["Arn"], SLOW_DEAD_ARN);
    assert_eq!(schedule["FlexibleTimeWindow"]["Mode"], "OFF");
}

#[tokio::test]
async fn message_received_twice_leads_to_one_retry() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 503).await;
    let mut late = task(&hook);
    late.attempt = 6;
    for _ in 0..2 {
        assert!(engine.send(std::slice::from_ref(&late)).await.is_empty());
    }
    let [(_, schedule)] = &engine.queues.schedules()[..] else { panic!("not exactly one schedule") };
    let next = task_in(schedule["Target"]["Input"].as_str().unwrap());
    assert_eq!((next.attempt, next.event.id()), (7, late.event.id()));
    assert_eq!(engine.history(&hook).await.len(), 1);
}

#[tokio::test]
async fn scheduler_without_groups_gets_no_message_group() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 503).await;
    engine.queues.schedule_without_groups();
    assert!(engine.send(&[DeliveryTask { attempt: 6, ..task(&hook) }]).await.is_empty());
    let [(_, schedule)] = &engine.queues.schedules()[..] else { panic!("no schedule") };
    assert_eq!(task_in(schedule["Target"]["Input"].as_str().unwrap()).attempt, 7);
}

#[tokio::test]
async fn k1_success_with_a_cut_body_is_one_post_and_no_retry() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("cut").await;
    let cut = Behavior { mode: Mode::Cut, body: "half of this is missing".to_owned(), ..Behavior::default() };
    engine.behaves("cut", cut).await;
    assert!(engine.send(&[task(&hook)]).await.is_empty());
    let row = &engine.history(&hook).await[0];
    let response = row.response.as_ref().unwrap();
    assert_eq!((row.status, row.failure, &row.status_message), (Status::Success, None, &None), "{row:?}");
    assert_eq!((response.status_code, response.body.as_str()), (200, "half of thi"));
    assert_eq!((response.body_cut, response.body_error), (true, Some(BodyError::Cut)));
    assert_eq!(engine.received("cut").await, 1);
    assert!(engine.queues.on(SLOW).is_empty() && engine.stored(&hook).await.health == Health::default());
}

#[tokio::test]
async fn k1_status_decides_even_if_the_body_is_unreadable() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let gzip = [("content-encoding".to_owned(), "gzip".to_owned())];
    for (name, status, mode, headers, error) in [
        ("gone", 410, Mode::Cut, vec![], BodyError::Cut),
        ("gone-gzip", 410, Mode::Ok, gzip.to_vec(), BodyError::Encoding),
        ("error", 500, Mode::Cut, vec![], BodyError::Cut),
        ("error-gzip", 502, Mode::Ok, gzip.to_vec(), BodyError::Encoding),
        ("success-gzip", 200, Mode::Ok, gzip.to_vec(), BodyError::Encoding),
    ] {
        let hook = engine.create(name).await;
        let headers = headers.into_iter().collect();
        let answer = Behavior { status, mode, headers, body: "not quite".to_owned(), ..Behavior::default() };
        engine.behaves(name, answer).await;
        engine.send(&[task(&hook)]).await;
        let row = &engine.history(&hook).await[0];
        let failure = (status != 200).then_some(FailureKind::HttpStatus);
        let response = row.response.as_ref().unwrap();
        assert_eq!((row.failure, response.status_code), (failure, status), "{name}: {row:?}");
        assert_eq!(response.body_error, Some(error), "{name}");
        assert_eq!(engine.received(name).await, 1, "{name}");
        let stored = engine.stored(&hook).await;
        let code = stored.disabled.as_ref().map(|disabled| disabled.code.as_str());
        assert_eq!(code, (status == 410).then_some("GONE"), "{name}");
    }
}

#[tokio::test]
async fn k1_k3_retry_after_is_respected_in_any_answer() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("busy").await;
    let wait = ("retry-after".to_owned(), "600".to_owned());
    let gzip = ("content-encoding".to_owned(), "gzip".to_owned());
    let big = ("a-big".to_owned(), "v".repeat(9_000));
    for (status, mode, more) in [
        (429, Mode::Cut, None),
        (503, Mode::Ok, Some(gzip)),
        (429, Mode::Ok, Some(big.clone())),
        (503, Mode::Ok, Some(("x-huge".to_owned(), "v".repeat(60_000)))),
    ] {
        let headers = [wait.clone()].into_iter().chain(more).collect();
        let answer = Behavior { status, mode, headers, body: "not now".to_owned(), ..Behavior::default() };
        engine.behaves("busy", answer).await;
        engine.send(&[task(&hook)]).await;
        let delay = engine.queues.on(SLOW).last().unwrap().delay;
        assert!((600..=601).contains(&delay), "{status}: {delay}");
    }
    let headers = [wait, big].into_iter().collect();
    engine.behaves("busy", Behavior { status: 429, headers, ..Behavior::default() }).await;
    let asked = task(&hook);
    engine.send(std::slice::from_ref(&asked)).await;
    let rows = engine.history(&hook).await;
    let row = rows.iter().find(|row| row.id == asked.delivery_id).unwrap();
    let response = row.response.as_ref().unwrap();
    let names: Vec<_> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"retry-after") && !names.contains(&"a-big"), "{names:?}");
    assert!(response.headers_cut);
}

#[tokio::test]
async fn batch_of_any_size_sends_ten_requests_at_a_time() {
    const DELAY: time::Duration = time::Duration::SECOND;
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("counted").await;
    engine.behaves("counted", Behavior { delay_ms: 1_000, ..Behavior::default() }).await;
    let tasks: Vec<_> = (0..25).map(|_| task(&hook)).collect();
    assert!(engine.send(&tasks).await.is_empty());
    let received = engine.egress.control(|receiver| receiver.requests("/counted")).await.unwrap();
    let mut times: Vec<_> = received.iter().map(|request| request.time).collect();
    times.sort();
    assert_eq!(times.len(), 25);
    // At most ten requests at a time: each request arrives only after one of the ten before it was answered. This holds on a machine of
    // any speed.
    let apart = |places: usize| times.windows(places + 1).map(move |window| window[places] - window[0]);
    assert!(apart(10).all(|apart| apart >= DELAY), "more than ten at once: {times:?}");
    assert!(apart(8).any(|apart| apart < DELAY), "fewer than nine at once: {times:?}");
}

#[tokio::test]
async fn retry_after_is_respected_for_429_and_503() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("busy").await;
    for (status, seconds, expected) in [(429, "120", 120..=121), (503, "1", 5..=6), (500, "120", 5..=6)] {
        let headers = [("Retry-After".to_owned(), seconds.to_owned())].into();
        engine.behaves("busy", Behavior { status, headers, ..Behavior::default() }).await;
        engine.send(&[task(&hook)]).await;
        let delay = engine.queues.on(SLOW).last().unwrap().delay;
        assert!(expected.contains(&delay), "{status} {seconds}: {delay}");
    }
}

#[tokio::test]
async fn final_failures_are_not_retried() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let mut disabled = webhook("acme");
    disabled.spec.enabled = false;
    engine.context.webhooks.create(&disabled, 100).await.unwrap();
    let moved = engine.create("moved").await;
    let headers = [("Location".to_owned(), "https://elsewhere.example/x".to_owned())].into();
    engine.behaves("moved", Behavior { status: 308, headers, ..Behavior::default() }).await;
    let asked = engine.create("asked").await;
    engine.answers("asked", 500).await;
    let resend = DeliveryTask { trigger: Trigger::Resend, ..task(&asked) };
    assert!(engine.send(&[task(&disabled), task(&moved), resend]).await.is_empty());
    assert!(engine.queues.on(SLOW).is_empty() && engine.queues.schedules().is_empty());
    let row = &engine.history(&moved).await[0];
    assert_eq!(row.failure, Some(FailureKind::Redirect));
    assert!(row.status_message.as_ref().unwrap().contains("https://elsewhere.example/x"), "{row:?}");
    assert_eq!(engine.history(&disabled).await[0].failure, Some(FailureKind::Disabled));
    assert_eq!(engine.stored(&disabled).await.health, Health::default(), "the receiver did not fail");
}

#[tokio::test]
async fn unqueued_retry_fails_only_its_message() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    let tasks: Vec<_> = (0..4).map(|_| task(&hook)).collect();
    engine.queues.refuse(tasks[2].event.id());
    assert_eq!(engine.send(&tasks).await, ["m2"]);
    assert_eq!(engine.queues.on(SLOW).len(), 3);
}

#[tokio::test]
async fn connection_reset_is_retried_once_immediately() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("reset").await;
    engine.behaves("reset", Behavior { mode: Mode::Reset, ..Behavior::default() }).await;
    engine.send(&[task(&hook)]).await;
    let row = &engine.history(&hook).await[0];
    assert_eq!(row.failure, Some(FailureKind::Connect));
    assert!(row.status_message.as_ref().unwrap().ends_with("(tried twice)"), "{row:?}");
    assert_eq!(engine.received("reset").await, 2);
    // Any answer counts as one attempt.
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    engine.send(&[task(&hook)]).await;
    assert_eq!(engine.received("down").await, 1);
}

#[tokio::test]
async fn slow_answer_moves_its_webhook_before_it_arrives() {
    let mut engine = Engine::start(DisablePolicy::default()).await;
    let default = SlowAfter { single: Duration::from_secs(2), burst: Duration::from_secs(1) };
    assert_eq!((engine.sender.slow_after, SlowAfter::default()), (default, default));
    engine.sender.slow_after.single = Duration::from_millis(200);
    let hook = engine.create("slow").await;
    engine.behaves("slow", Behavior { delay_ms: 2_500, ..Behavior::default() }).await;
    let body = anzol_queue::encode(&task(&hook));
    let answered = Cell::new(false);
    let sending = async {
        let to_retry = engine.handle(std::slice::from_ref(&body), "fast").await;
        answered.set(true);
        to_retry
    };
    let looking = async {
        until(async || answered.get() || engine.stored(&hook).await.health.lane == Lane::Slow).await;
        answered.get()
    };
    let (to_retry, moved_late) = futures::join!(sending, looking);
    assert_eq!((to_retry.len(), moved_late), (0, false), "it moves before the answer");
    assert_eq!(engine.stored(&hook).await.health.lane, Lane::Slow);
    assert_eq!(engine.history(&hook).await[0].failure, None, "a slow attempt is a success");
}

#[tokio::test]
async fn fast_lane_hands_slow_webhooks_to_the_slow_lane() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("slow").await;
    assert!(engine.context.webhooks.set_lane(&hook.tenant_id, hook.id, Lane::Slow).await.unwrap());
    let waiting: Vec<_> = (0..3).map(|_| task(&hook)).collect();
    let bodies: Vec<_> = waiting.iter().map(anzol_queue::encode).collect();
    assert!(engine.handle(&bodies, "fast").await.is_empty());
    let handed: Vec<_> =
        engine.queues.on(SLOW).iter().map(|sent| (sent.task().delivery_id, sent.delay)).collect();
    let expected: Vec<_> = waiting.iter().map(|task| (task.delivery_id, 0)).collect();
    assert_eq!(handed, expected, "the same deliveries without a delay");
    assert_eq!(engine.received("slow").await, 0);
}

/// Returns nine deliveries to one webhook and one to another: their ids and messages.
fn burst_and_one(hook: &Webhook, other: &Webhook) -> (Vec<DeliveryId>, Vec<String>) {
    let tasks: Vec<_> = (0..9).map(|_| task(hook)).chain([task(other)]).collect();
    (tasks.iter().map(|task| task.delivery_id).collect(), tasks.iter().map(anzol_queue::encode).collect())
}

#[tokio::test]
async fn burst_for_a_slow_receiver_occupies_one_sender() {
    let mut engine = Engine::start(DisablePolicy::default()).await;
    // The first batch waits as long as a probe lasts. Until then, another batch defers its burst.
    engine.sender.slow_after.burst = anzol_domain::health::PROBE;
    let hook = engine.create("slow").await;
    let other = engine.create("fast").await;
    engine.behaves("slow", Behavior { delay_ms: 3_500, ..Behavior::default() }).await;
    let (first, first_bodies) = burst_and_one(&hook, &other);
    let (second, second_bodies) = burst_and_one(&hook, &other);
    let probed = Cell::new(false);
    let probing = async {
        let to_retry = engine.handle(&first_bodies, "fast").await;
        probed.set(true);
        to_retry
    };
    let meanwhile = async {
        until(async || engine.received("slow").await > 0).await;
        let to_retry = engine.handle(&second_bodies, "fast").await;
        (to_retry, probed.get(), engine.stored(&hook).await.health.lane)
    };
    let (first_retry, (second_retry, was_probed, lane)) = futures::join!(probing, meanwhile);
    assert_eq!((first_retry.len(), second_retry.len()), (0, 0));
    assert_eq!((was_probed, lane), (false, Lane::Fast), "the second batch does not wait for the probe");
    assert_eq!((engine.received("slow").await, engine.received("fast").await), (1, 2));
    let on = |queue| {
        let sent = engine.queues.on(queue);
        sent.iter().map(|sent| (sent.task().delivery_id, sent.delay)).collect::<BTreeSet<_>>()
    };
    let with = |ids: &[DeliveryId], delay| ids.iter().map(|id| (*id, delay)).collect::<BTreeSet<_>>();
    assert_eq!(on(SLOW), with(&first[1..9], 0), "handed over");
    assert_eq!(on(FAST), with(&second[..9], 1), "deferred for a moment");
    assert_eq!(engine.stored(&hook).await.health.lane, Lane::Slow);
    assert_eq!(engine.history(&hook).await.len(), 1);
    // A webhook in the slow lane is not probed again.
    assert!(engine.handle(&second_bodies[..9], "fast").await.is_empty());
    assert_eq!((engine.received("slow").await, engine.queues.on(SLOW).len()), (1, 17));
}

#[tokio::test]
async fn probe_by_a_clock_far_ahead_is_ignored() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("probed").await;
    let burst = || (0..10).map(|_| anzol_queue::encode(&task(&hook))).collect::<Vec<_>>();
    // Simulates a sender that stopped during its probe and reported no result.
    let announce = async |ahead: time::Duration| {
        let at = now() + ahead;
        let until = at + anzol_domain::health::PROBE;
        engine.context.webhooks.acquire_probe(&hook.tenant_id, hook.id, at, until).await.unwrap()
    };
    assert!(announce(time::Duration::ZERO).await);
    assert!(engine.handle(&burst(), "fast").await.is_empty());
    assert_eq!(engine.received("probed").await, 0, "deferred while the probe lasts");
    assert!(announce(time::Duration::minutes(10)).await, "the first probe has expired by then");
    assert!(engine.handle(&burst(), "fast").await.is_empty());
    assert_eq!(engine.received("probed").await, 10);
}

#[tokio::test]
async fn burst_for_a_fast_receiver_is_sent_and_remembered() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("fast-receiver").await;
    let burst = || (0..10).map(|_| anzol_queue::encode(&task(&hook))).collect::<Vec<_>>();
    assert!(engine.handle(&burst(), "fast").await.is_empty());
    let pace = async || engine.context.webhooks.pace(&hook.tenant_id, hook.id).await.unwrap();
    let known = pace().await;
    assert!(known.is_known_fast(now()) && !known.is_probed(now()), "{known:?}");
    // Later bursts for a fast receiver are sent concurrently, without a write.
    let (one, other) = (burst(), burst());
    let both = futures::join!(engine.handle(&one, "fast"), engine.handle(&other, "fast"));
    assert!(both.0.is_empty() && both.1.is_empty());
    assert_eq!(engine.received("fast-receiver").await, 30);
    assert_eq!((pace().await, engine.stored(&hook).await), (known, hook.clone()), "success writes nothing");
    assert!(engine.queues.on(FAST).is_empty() && engine.queues.on(SLOW).is_empty());
    // A receiver that becomes slow moves its webhook to the slow lane.
    engine.behaves("fast-receiver", Behavior { delay_ms: 1_500, ..Behavior::default() }).await;
    assert!(engine.handle(&burst(), "fast").await.is_empty());
    assert_eq!(engine.stored(&hook).await.health.lane, Lane::Slow);
    // The pace is deleted with the webhook.
    engine.context.webhooks.delete(&hook.tenant_id, hook.id).await.unwrap();
    assert_eq!(pace().await, Pace::default());
}

#[tokio::test]
async fn burst_for_a_failing_receiver_moves_to_the_slow_lane() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    let burst: Vec<_> = (0..5).map(|_| anzol_queue::encode(&task(&hook))).collect();
    assert!(engine.handle(&burst, "fast").await.is_empty());
    assert_eq!(engine.received("down").await, 1);
    let slow = engine.queues.on(SLOW);
    assert_eq!(slow.iter().filter(|sent| sent.delay == 0).count(), 4, "handed over");
    assert_eq!(slow.iter().filter(|sent| sent.delay >= 5).count(), 1, "retried");
    assert_eq!(engine.stored(&hook).await.health.lane, Lane::Slow);
}

#[tokio::test]
async fn fast_successes_in_a_row_restore_the_fast_lane() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("shaky").await;
    let other = engine.create("well").await;
    engine.answers("shaky", 500).await;
    let revision = engine.context.webhooks.revision(&hook.tenant_id).await.unwrap();
    engine.send(&[task(&hook), task(&other)]).await;
    let health = engine.stored(&hook).await.health;
    assert_eq!((health.lane, health.failures), (Lane::Slow, 1));
    assert_eq!(engine.stored(&other).await, other, "success writes nothing");
    let after = engine.context.webhooks.revision(&hook.tenant_id).await.unwrap();
    assert_eq!(after, revision + 1, "dispatch reads the lane again");

    engine.answers("shaky", 200).await;
    for n in 1..FAST_SUCCESSES {
        engine.send(&[task(&hook)]).await;
        let health = engine.stored(&hook).await.health;
        assert_eq!((health.lane, health.fast_successes, health.failures), (Lane::Slow, n, 0));
    }
    engine.answers("shaky", 500).await;
    engine.send(&[task(&hook)]).await;
    assert_eq!(engine.stored(&hook).await.health.fast_successes, 0, "the count restarts");
    engine.answers("shaky", 200).await;
    for n in 1..FAST_SUCCESSES {
        engine.send(&[task(&hook)]).await;
        assert_eq!(engine.stored(&hook).await.health.fast_successes, n);
    }
    // Successes in a batch with a failure do not count.
    let mixed = anzol_pipeline::Verdict {
        tally: anzol_domain::health::Tally { failures: 1, successes: 5, slow: true },
        gone: false,
    };
    engine.sender.health.record(&engine.stored(&hook).await, mixed).await;
    assert_eq!(engine.stored(&hook).await.health.fast_successes, 0);
    let tasks: Vec<_> = (0..FAST_SUCCESSES).map(|_| task(&hook)).collect();
    engine.send(&tasks).await;
    assert_eq!(engine.stored(&hook).await.health, Health::default());
    // Dispatch then uses the fast lane.
    let dispatcher = engine.dispatcher();
    dispatcher.dispatch(&[task(&hook).event], &Accepted::new(now(), None)).await.unwrap();
    assert_eq!(engine.queues.on(FAST).len(), 2);
}

#[tokio::test]
async fn dispatch_to_a_slow_webhook_uses_the_slow_lane() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let (slow, fast) = (engine.create("slow").await, engine.create("fast-receiver").await);
    let dispatcher = engine.dispatcher();
    let event = task(&slow).event;
    dispatcher.dispatch(std::slice::from_ref(&event), &Accepted::new(now(), None)).await.unwrap();
    assert!(engine.context.webhooks.set_lane(&slow.tenant_id, slow.id, Lane::Slow).await.unwrap());
    assert!(!engine.context.webhooks.set_lane(&slow.tenant_id, slow.id, Lane::Slow).await.unwrap());
    dispatcher.dispatch(&[event], &Accepted::new(now(), None)).await.unwrap();
    let to = |queue| engine.queues.on(queue).iter().map(|sent| sent.task().webhook_id).collect::<Vec<_>>();
    assert_eq!((to(FAST).len(), to(FAST)[2], to(SLOW)), (3, fast.id, vec![slow.id]));
    assert!(engine.queues.on(FAST).iter().chain(&engine.queues.on(SLOW)).all(|sent| sent.group == "acme"));
}

#[tokio::test]
async fn failing_webhook_gets_a_warning_and_is_then_disabled() {
    // Without a minimum time, only the number of failures decides.
    let engine = Engine::start(DisablePolicy::new(6, 0)).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    for failures in 1..=5 {
        engine.send(&[task(&hook)]).await;
        let stored = engine.stored(&hook).await;
        assert_eq!((stored.health.failures, stored.spec.enabled), (failures, true));
        assert_eq!(stored.health.warned, failures >= 3);
    }
    let events = engine.operational_events();
    assert_eq!(events.len(), 1, "published once: {events:?}");
    assert_eq!(
        (&events[0]["type"], &events[0]["data"]["id"]),
        (&json!("anzol.webhook.failing"), &json!(hook.id))
    );
    // The event type says `failing`, the health state `warning`: the state `failing` publishes no event.
    assert_eq!(events[0]["data"]["healthState"], "warning");

    engine.send(&[task(&hook), task(&hook)]).await;
    let stored = engine.stored(&hook).await;
    assert!(!stored.spec.enabled);
    let disabled = stored.disabled.unwrap();
    assert_eq!(disabled.code, "FAILURE_THRESHOLD");
    assert!(disabled.reason.starts_with("7 attempts in a row failed"), "{}", disabled.reason);
    let events = engine.operational_events();
    assert_eq!((events.len(), &events[1]["type"]), (2, &json!("anzol.webhook.disabled")));
    assert_eq!(events[1]["data"]["disabledReasonCode"], "FAILURE_THRESHOLD");
    assert_eq!(events[1]["data"]["healthState"], "disabled");
    // A disabled webhook gets no further attempt, and no further event is published.
    engine.send(&[task(&hook)]).await;
    assert_eq!((engine.received("down").await, engine.operational_events().len()), (7, 2));
}

#[tokio::test]
async fn success_resets_failures_and_ends_a_warning() {
    let engine = Engine::start(DisablePolicy::new(6, 0)).await;
    let hook = engine.create("shaky").await;
    for (failures, published) in [(2, 0), (4, 2)] {
        engine.answers("shaky", 500).await;
        for _ in 0..failures {
            engine.send(&[task(&hook)]).await;
        }
        assert_eq!(engine.stored(&hook).await.health.failures, failures);
        engine.answers("shaky", 200).await;
        engine.send(&[task(&hook)]).await;
        let health = engine.stored(&hook).await.health;
        assert_eq!((health.failures, health.failing_since, health.warned), (0, None, false));
        assert_eq!(engine.operational_events().len(), published);
    }
    let recovered = &engine.operational_events()[1];
    assert_eq!(
        (&recovered["type"], &recovered["data"]["healthState"]),
        (&json!("anzol.webhook.recovered"), &json!("healthy"))
    );
}

#[tokio::test]
async fn concurrent_failures_are_all_counted() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    let batches = (0..6).map(|_| {
        let tasks = [task(&hook), task(&hook)];
        let engine = &engine;
        async move { engine.send(&tasks).await }
    });
    futures::future::join_all(batches).await;
    let health = engine.stored(&hook).await.health;
    assert_eq!((health.failures, health.lane), (12, Lane::Slow));
}

#[tokio::test]
async fn gone_receiver_disables_its_webhook_at_once() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("gone").await;
    engine.answers("gone", 410).await;
    engine.send(&[task(&hook)]).await;
    let stored = engine.stored(&hook).await;
    assert_eq!((stored.spec.enabled, stored.disabled.unwrap().code.as_str()), (false, "GONE"));
    assert!(engine.queues.on(SLOW).is_empty());
    assert_eq!(engine.operational_events()[0]["type"], "anzol.webhook.disabled");

    // An answer from the old URL does not disable a webhook whose URL has changed.
    let hook = engine.create("gone").await;
    let mut elsewhere = hook.clone();
    elsewhere.spec.url = WebhookUrl::parse("https://hooks.receiver.test/elsewhere").unwrap();
    elsewhere.version += 1;
    engine.context.webhooks.replace(&hook, &elsewhere).await.unwrap();
    let verdict = anzol_pipeline::Verdict { gone: true, ..Default::default() };
    engine.sender.health.record(&hook, verdict).await;
    assert!(engine.stored(&hook).await.spec.enabled);
}

#[tokio::test]
async fn only_unreadable_messages_go_to_the_dlq() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("fine").await;
    let newer = r#"{"v":2,"task":{}}"#.to_owned();
    let messages = [
        "poison".to_owned(),
        anzol_queue::encode(&task(&hook)),
        r#"{"v":1,"task":{"x":1}}"#.to_owned(),
        String::new(),
        newer,
    ];
    assert_eq!(engine.handle(&messages, "fast").await, ["m4"], "a newer release can read the message");
    let dead = engine.queues.on(DEAD);
    assert_eq!(dead.iter().map(|sent| sent.body.as_str()).collect::<Vec<_>>(), ["poison", &messages[2], " "]);
    let reason = dead[0].attributes["reason"]["StringValue"].as_str().unwrap();
    assert!(reason.contains("not a delivery message"), "{reason}");
    assert_eq!(engine.received("fine").await, 1);

    let dispatcher = engine.dispatcher();
    let fanout = Fanout { dispatcher, dlq: engine.queues.queue(DEAD), clock: now, largest_event: MAX_EVENT };
    let event = |tenant: &str| {
        json!({ "specversion": "1.0", "id": "1", "source": "s", "type": "com.qlik.v1.app.created", "tenantid": tenant }).to_string()
    };
    let mut without_tenant: Value = serde_json::from_str(&event("acme")).unwrap();
    without_tenant.as_object_mut().unwrap().remove("tenantid");
    let messages = ["{}".to_owned(), event("acme"), without_tenant.to_string(), event("not a tenant")];
    assert!(failed(fanout.handle(batch_from(&messages, "events")).await).is_empty());
    let reasons: Vec<_> = engine.queues.on(DEAD)[3..]
        .iter()
        .map(|sent| sent.attributes["reason"]["StringValue"].clone())
        .collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons[1].as_str().unwrap().contains("tenantid"), "{reasons:?}");
    assert_eq!(engine.queues.on(FAST).len(), 1);
}

/// Returns this many bytes of text that does not compress.
fn noise(length: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + u8::try_from(state % 90).unwrap())
    };
    let letter = |c: char| if c == '"' || c == '\\' { 'x' } else { c };
    (0..length).map(|_| letter(next())).collect()
}

/// Checks the limits that [`EVENT_KIB`] is derived from.
#[tokio::test]
async fn largest_configurable_event_is_delivered_and_retried() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let webhook = engine.create("large").await;
    let largest_event = EVENT_KIB.end() * 1024;
    let fanout =
        Fanout { dispatcher: engine.dispatcher(), dlq: engine.queues.queue(DEAD), clock: now, largest_event };
    let event = |length| {
        let head = json!({
            "specversion": "1.0", "id": "1", "source": "s", "type": "com.qlik.v1.app.created", "tenantid": "acme",
            "time": "2026-11-24T10:00:00Z", "data": noise(length),
        });
        head.to_string()
    };
    let without_data = event(0).len();
    let (fits, too_large) = (event(largest_event - without_data), event(largest_event - without_data + 2));
    assert_eq!(fanout.handle(batch_from(&[fits, too_large], EVENTS)).await.batch_item_failures.len(), 0);

    let [refused] = &engine.queues.on(DEAD)[..] else { panic!("not exactly one message in the DLQ") };
    let sentence = Rule::EventTooLarge { max: 245_760 }.to_string();
    assert!(sentence.contains("at most 245760 bytes"), "{sentence}");
    assert!(refused.attributes.to_string().contains(&sentence), "{}", refused.attributes);
    let [message] = &engine.queues.on(FAST)[..] else { panic!("not exactly one message in the fast lane") };
    assert!(message.body.len() < 256 * 1024 - 1024, "{} bytes, and attributes", message.body.len());
    engine.answers("large", 500).await;
    assert_eq!(engine.handle(std::slice::from_ref(&message.body), SLOW_ARN).await, [""; 0]);
    assert_eq!(engine.received("large").await, 1);
    let [row] = &engine.history(&webhook).await[..] else { panic!("not exactly one attempt") };
    // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
    assert!(
        anzol_store::row_size(row).unwrap() < 400_000 - 100_000,
        "headers and a response must fit in the item too"
    );
    let [retry] = &engine.queues.on(SLOW)[..] else { panic!("not exactly one retry") };
    assert!(retry.body.len() < 256 * 1024 - 1024);
}

#[tokio::test]
async fn attempt_starts_only_if_it_ends_before_the_deadline() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("fine").await;
    let bodies = [anzol_queue::encode(&task(&hook))];
    // The timeout, a second for another try, and five seconds to record the attempt.
    let longest = Duration::from_secs(5 + 1 + 5);
    assert_eq!(engine.sender.attempt_runner().longest_attempt(), longest);
    let too_soon = Instant::now() + longest;
    assert_eq!(failed(engine.sender.handle(batch_from(&bodies, "fast"), too_soon).await), ["m0"]);
    assert_eq!((engine.received("fine").await, engine.history(&hook).await.len()), (0, 0));
    let in_time = Instant::now() + longest + Duration::from_secs(2);
    assert!(failed(engine.sender.handle(batch_from(&bodies, "fast"), in_time).await).is_empty());
    assert_eq!(engine.received("fine").await, 1);
}

#[tokio::test]
async fn endless_body_is_read_up_to_the_stored_size() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("endless").await;
    let endless = Behavior { mode: Mode::Endless, body: "x".repeat(1000), ..Behavior::default() };
    engine.behaves("endless", endless).await;
    engine.send(&[task(&hook)]).await;
    let row = &engine.history(&hook).await[0];
    let response = row.response.as_ref().unwrap();
    assert_eq!((row.failure, response.body.len(), response.body_cut), (None, 16 * 1024, true));
    // A read of the whole body would stop only at the timeout, which is a body error.
    assert_eq!(response.body_error, None, "{row:?}");
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Returns the time, and panics at every third call.
fn failing_clock() -> OffsetDateTime {
    static CALLS: AtomicUsize = AtomicUsize::new(1);
    if CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
        PANICS.fetch_add(1, Ordering::Relaxed);
        panic!("the clock failed");
    }
    now()
}

#[tokio::test]
async fn panic_in_an_attempt_retries_only_its_message() {
    let mut engine = Engine::start(DisablePolicy::default()).await;
    engine.sender.deliverer = Deliverer::new(engine.egress.client.clone(), failing_clock);
    let hook = engine.create("fine").await;
    let tasks: Vec<_> = (0..9).map(|_| task(&hook)).collect();
    let to_retry = engine.send(&tasks).await;
    let panics = PANICS.load(Ordering::Relaxed);
    assert!((1..9).contains(&panics), "some attempts panic, and some do not: {panics}");
    assert_eq!(to_retry.len(), panics);
    let done = 9 - panics;
    let history = engine.history(&hook).await;
    assert_eq!((engine.received("fine").await, history.len()), (done, done));
    let recorded: BTreeSet<_> = history.iter().map(|row| row.id).collect();
    for (index, task) in tasks.iter().enumerate() {
        assert_ne!(recorded.contains(&task.delivery_id), to_retry.contains(&format!("m{index}")));
    }
}
