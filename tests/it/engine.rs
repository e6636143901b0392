//! The delivery engine against queues that record: retries and their waits, lanes, health, news, dead letters, deadlines.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anzol_domain::delivery::BodyError;
use anzol_domain::event::{EVENT_KIB, MAX_EVENT};
use anzol_domain::health::{DisablePolicy, FAST_SUCCESSES, Pace};
use anzol_domain::{DeliveryId, DeliveryTask, FailureKind, Health, Lane, Status, Trigger, WebhookUrl};
use anzol_fanout::Fanout;
use anzol_pipeline::{Accepted, Deliverer};
use anzol_runtime::now;
use anzol_tests::receiver::{Behavior, Mode};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::kit::queues::{DEAD, EVENTS, FAST, SLOW, SLOW_ARN, SLOW_DEAD_ARN, task_in};
use crate::kit::{Engine, batch_from, failed, task, webhook};

#[tokio::test]
async fn short_waits_are_the_queues_and_long_ones_the_schedulers() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    let mut task = task(&hook);
    let (mut waits, first) = (Vec::new(), task.event.id().to_owned());
    for attempt in 1..=9 {
        assert_eq!((task.attempt, task.event.id()), (attempt, first.as_str()));
        let already = (engine.queues.on(SLOW).len(), engine.queues.schedules().len());
        assert_eq!(engine.send(std::slice::from_ref(&task)).await, Vec::<String>::new());
        let (sent, schedules) = (engine.queues.on(SLOW), engine.queues.schedules());
        let row = engine.history(&hook).await.into_iter().find(|row| row.id == task.delivery_id).unwrap();
        assert_eq!((row.attempt, row.next_attempt.is_some()), (attempt, attempt < 9));
        let body = if sent.len() > already.0 {
            let sent = sent.last().unwrap();
            assert_eq!(sent.group, "acme");
            waits.push(sent.delay);
            sent.body.clone()
        } else if schedules.len() > already.1 {
            let (name, schedule) = schedules.last().unwrap();
            assert_eq!(schedule["ActionAfterCompletion"], "DELETE");
            assert_eq!(
                (&schedule["GroupName"], &schedule["Target"]["Arn"]),
                (&json!("retries"), &json!(SLOW_ARN))
            );
            assert_eq!(schedule["Target"]["RoleArn"], "arn:aws:iam::1:role/scheduler");
            assert_eq!(schedule["Target"]["SqsParameters"]["MessageGroupId"], "acme");
            assert_eq!(schedule["Target"]["DeadLetterConfig"]["Arn"], SLOW_DEAD_ARN);
            assert_eq!(schedule["FlexibleTimeWindow"]["Mode"], "OFF");
            let at = schedule["ScheduleExpression"].as_str().unwrap();
            let format =
                time::macros::format_description!("at([year]-[month]-[day]T[hour]:[minute]:[second])");
            let at = time::PrimitiveDateTime::parse(at, format).unwrap().assume_utc();
            waits.push(u64::try_from((at - now()).whole_seconds()).unwrap());
            let body = schedule["Target"]["Input"].as_str().unwrap().to_owned();
            assert_eq!(*name, task_in(&body).delivery_id.to_string());
            body
        } else {
            break;
        };
        let next = task_in(&body);
        assert_eq!(next.trigger, Trigger::Retry);
        assert_eq!(row.next_attempt.unwrap().id, next.delivery_id);
        task = next;
    }
    assert_eq!(task.attempt, 9, "nine attempts and no more");
    for (wait, plain) in waits.iter().zip(anzol_domain::retry::DEFAULT_WAITS) {
        assert!((plain..=plain + plain / 5 + 1).contains(wait), "{waits:?}");
    }
    assert_eq!((waits.len(), engine.queues.on(SLOW).len(), engine.queues.schedules().len()), (8, 4, 4));
    assert_eq!(engine.received("down").await, 9);
}

#[tokio::test]
async fn a_message_received_twice_leads_to_one_next_attempt() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 503).await;
    let mut late = task(&hook);
    late.attempt = 6;
    for _ in 0..2 {
        assert!(engine.send(std::slice::from_ref(&late)).await.is_empty());
    }
    let [(_, schedule)] = &engine.queues.schedules()[..] else { panic!("one schedule for both") };
    let next = task_in(schedule["Target"]["Input"].as_str().unwrap());
    assert_eq!((next.attempt, next.event.id()), (7, late.event.id()));
    assert_eq!(engine.history(&hook).await.len(), 1);
}

#[tokio::test]
async fn a_scheduler_that_takes_no_message_groups_gets_the_message_without() {
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
async fn k1_status_decides_whatever_becomes_of_the_body() {
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
async fn k1_k3_wait_that_was_asked_for_survives_any_answer() {
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
async fn however_large_a_batch_no_more_than_ten_requests_are_under_way() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("counted").await;
    engine.behaves("counted", Behavior { delay_ms: 1_000, ..Behavior::default() }).await;
    let tasks: Vec<_> = (0..25).map(|_| task(&hook)).collect();
    assert!(engine.send(&tasks).await.is_empty());
    let received = engine.egress.control(|receiver| receiver.requests("/counted")).await.unwrap();
    let times: Vec<_> = received.iter().map(|request| request.time).collect();
    assert_eq!(times.len(), 25);
    // Each takes a second, so what arrives within that time is under way together.
    let together = |from: &OffsetDateTime| {
        times
            .iter()
            .filter(|time| {
                (**time - *from) >= time::Duration::ZERO && **time - *from < time::Duration::SECOND
            })
            .count()
    };
    let most = times.iter().map(together).max().unwrap();
    assert!((9..=10).contains(&most), "{most} at once");
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it() {
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
async fn what_will_not_get_better_is_not_tried_again() {
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
    assert_eq!(engine.stored(&disabled).await.health, Health::default(), "not its receiver's fault");
}

#[tokio::test]
async fn retries_that_the_queue_refuses_come_back_and_the_others_do_not() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    let tasks: Vec<_> = (0..4).map(|_| task(&hook)).collect();
    engine.queues.refuse(tasks[2].event.id());
    assert_eq!(engine.send(&tasks).await, ["m2"]);
    assert_eq!(engine.queues.on(SLOW).len(), 3);
}

#[tokio::test]
async fn a_connection_that_breaks_at_once_is_tried_once_more_at_once() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("reset").await;
    engine.behaves("reset", Behavior { mode: Mode::Reset, ..Behavior::default() }).await;
    engine.send(&[task(&hook)]).await;
    let row = &engine.history(&hook).await[0];
    assert_eq!(row.failure, Some(FailureKind::Connect));
    assert!(row.status_message.as_ref().unwrap().ends_with("(tried twice)"), "{row:?}");
    assert_eq!(engine.received("reset").await, 2);
    // An answer, whatever it is, is an answer.
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    engine.send(&[task(&hook)]).await;
    assert_eq!(engine.received("down").await, 1);
}

#[tokio::test]
async fn a_slow_answer_moves_a_webhook_to_the_slow_lane_before_it_is_over() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("slow").await;
    engine.behaves("slow", Behavior { delay_ms: 4_500, ..Behavior::default() }).await;
    let body = anzol_queue::encode(&task(&hook));
    let sending = engine.handle(std::slice::from_ref(&body), "fast");
    let looking = async {
        tokio::time::sleep(Duration::from_millis(3_900)).await;
        engine.stored(&hook).await.health.lane
    };
    let (back, lane_meanwhile) = futures::join!(sending, looking);
    assert_eq!((back.len(), lane_meanwhile), (0, Lane::Slow));
    assert_eq!(engine.history(&hook).await[0].failure, None, "slow, and well");

    // From now on the fast lane hands its messages over instead of sending them.
    let waiting: Vec<_> = (0..3).map(|_| task(&hook)).collect();
    let bodies: Vec<_> = waiting.iter().map(anzol_queue::encode).collect();
    assert!(engine.handle(&bodies, "fast").await.is_empty());
    let handed: Vec<_> =
        engine.queues.on(SLOW).iter().map(|sent| (sent.task().delivery_id, sent.delay)).collect();
    let expected: Vec<_> = waiting.iter().map(|task| (task.delivery_id, 0)).collect();
    assert_eq!(handed, expected, "the same deliveries, at once");
    assert_eq!(engine.received("slow").await, 1);
}

#[tokio::test]
async fn a_burst_for_a_slow_receiver_costs_one_request_and_holds_up_one_sender() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("slow").await;
    let other = engine.create("quick").await;
    engine.behaves("slow", Behavior { delay_ms: 3_000, ..Behavior::default() }).await;
    let encoded = |tasks: &[DeliveryTask]| tasks.iter().map(anzol_queue::encode).collect::<Vec<_>>();
    let ids = |tasks: &[DeliveryTask]| tasks.iter().map(|task| task.delivery_id).collect::<Vec<_>>();
    let first: Vec<_> = (0..9).map(|_| task(&hook)).chain([task(&other)]).collect();
    let second: Vec<_> = (0..9).map(|_| task(&hook)).chain([task(&other)]).collect();
    let (first_bodies, second_bodies) = (encoded(&first), encoded(&second));
    let probing = engine.handle(&first_bodies, "fast");
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let started = std::time::Instant::now();
        let back = engine.handle(&second_bodies, "fast").await;
        (back, started.elapsed(), engine.stored(&hook).await.health.lane)
    };
    let (back, (second_back, took, lane)) = futures::join!(probing, meanwhile);
    assert_eq!((back.len(), second_back.len(), lane), (0, 0, Lane::Fast));
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!((engine.received("slow").await, engine.received("quick").await), (1, 2));
    let on = |queue| {
        let sent = engine.queues.on(queue);
        sent.iter().map(|sent| (sent.task().delivery_id, sent.delay)).collect::<BTreeSet<_>>()
    };
    let with = |ids: Vec<DeliveryId>, delay| ids.into_iter().map(|id| (id, delay)).collect::<BTreeSet<_>>();
    assert_eq!(on(SLOW), with(ids(&first[1..9]), 0), "handed over");
    assert_eq!(on(FAST), with(ids(&second[..9]), 1), "back in a moment");
    assert_eq!(engine.stored(&hook).await.health.lane, Lane::Slow);
    assert_eq!(engine.history(&hook).await.len(), 1);
    // Nor does a second burst probe what was found to be slow by then.
    assert!(engine.handle(&second_bodies[..9], "fast").await.is_empty());
    assert_eq!((engine.received("slow").await, engine.queues.on(SLOW).len()), (1, 17));
}

#[tokio::test]
async fn a_probe_announced_by_a_clock_far_ahead_holds_nobody_up() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("probed").await;
    let burst = || (0..10).map(|_| anzol_queue::encode(&task(&hook))).collect::<Vec<_>>();
    // Of a sender that died over it.
    let announce = async |ahead: time::Duration| {
        let at = now() + ahead;
        let until = at + anzol_domain::health::PROBE;
        engine.context.webhooks.acquire_probe(&hook.tenant_id, hook.id, at, until).await.unwrap()
    };
    assert!(announce(time::Duration::ZERO).await);
    assert!(engine.handle(&burst(), "fast").await.is_empty());
    assert_eq!(engine.received("probed").await, 0, "held back while it lasts");
    assert!(announce(time::Duration::minutes(10)).await, "the first is over by then");
    assert!(engine.handle(&burst(), "fast").await.is_empty());
    assert_eq!(engine.received("probed").await, 10);
}

#[tokio::test]
async fn a_burst_for_a_quick_receiver_goes_out_and_is_remembered_for_a_while() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("quick").await;
    let burst = || (0..10).map(|_| anzol_queue::encode(&task(&hook))).collect::<Vec<_>>();
    assert!(engine.handle(&burst(), "fast").await.is_empty());
    let pace = async || engine.context.webhooks.pace(&hook.tenant_id, hook.id).await.unwrap();
    let known = pace().await;
    assert!(known.is_known_fast(now()) && !known.is_probed(now()), "{known:?}");
    // Several at once now, and nothing is written.
    let (one, other) = (burst(), burst());
    let both = futures::join!(engine.handle(&one, "fast"), engine.handle(&other, "fast"));
    assert!(both.0.is_empty() && both.1.is_empty());
    assert_eq!(engine.received("quick").await, 30);
    assert_eq!(
        (pace().await, engine.stored(&hook).await),
        (known, hook.clone()),
        "success costs the webhook no write"
    );
    assert!(engine.queues.on(FAST).is_empty() && engine.queues.on(SLOW).is_empty());
    // Until it turns slow: that is noticed.
    engine.behaves("quick", Behavior { delay_ms: 1_500, ..Behavior::default() }).await;
    assert!(engine.handle(&burst(), "fast").await.is_empty());
    assert_eq!(engine.stored(&hook).await.health.lane, Lane::Slow);
    // What is known goes with the webhook.
    engine.context.webhooks.delete(&hook.tenant_id, hook.id).await.unwrap();
    assert_eq!(pace().await, Pace::default());
}

#[tokio::test]
async fn a_burst_for_a_failing_receiver_waits_in_the_slow_lane() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    let burst: Vec<_> = (0..5).map(|_| anzol_queue::encode(&task(&hook))).collect();
    assert!(engine.handle(&burst, "fast").await.is_empty());
    assert_eq!(engine.received("down").await, 1);
    let slow = engine.queues.on(SLOW);
    assert_eq!(slow.iter().filter(|sent| sent.delay == 0).count(), 4, "handed over");
    assert_eq!(slow.iter().filter(|sent| sent.delay >= 5).count(), 1, "tried again");
    assert_eq!(engine.stored(&hook).await.health.lane, Lane::Slow);
}

#[tokio::test]
async fn quick_successes_in_a_row_lead_back_to_the_fast_lane() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("shaky").await;
    let other = engine.create("well").await;
    engine.answers("shaky", 500).await;
    let revision = engine.context.webhooks.revision(&hook.tenant_id).await.unwrap();
    engine.send(&[task(&hook), task(&other)]).await;
    let health = engine.stored(&hook).await.health;
    assert_eq!((health.lane, health.failures), (Lane::Slow, 1));
    assert_eq!(engine.stored(&other).await, other, "success costs no write");
    let after = engine.context.webhooks.revision(&hook.tenant_id).await.unwrap();
    assert_eq!(after, revision + 1, "dispatch hears of the lane");

    engine.answers("shaky", 200).await;
    for n in 1..FAST_SUCCESSES {
        engine.send(&[task(&hook)]).await;
        let health = engine.stored(&hook).await.health;
        assert_eq!((health.lane, health.fast_successes, health.failures), (Lane::Slow, n, 0));
    }
    engine.answers("shaky", 500).await;
    engine.send(&[task(&hook)]).await;
    assert_eq!(engine.stored(&hook).await.health.fast_successes, 0, "from the start again");
    engine.answers("shaky", 200).await;
    for n in 1..FAST_SUCCESSES {
        engine.send(&[task(&hook)]).await;
        assert_eq!(engine.stored(&hook).await.health.fast_successes, n);
    }
    // Nor do successes count that come together with a failure.
    let mixed = anzol_pipeline::Verdict {
        tally: anzol_domain::health::Tally { failures: 1, successes: 5, slow: true },
        gone: false,
    };
    engine.sender.health.record(&engine.stored(&hook).await, mixed).await;
    assert_eq!(engine.stored(&hook).await.health.fast_successes, 0);
    let tasks: Vec<_> = (0..FAST_SUCCESSES).map(|_| task(&hook)).collect();
    engine.send(&tasks).await;
    assert_eq!(engine.stored(&hook).await.health, Health::default());
    // And dispatch sends its events there.
    let dispatcher = engine.dispatcher();
    dispatcher.dispatch(&[task(&hook).event], &Accepted::new(now(), None)).await.unwrap();
    assert_eq!(engine.queues.on(FAST).len(), 2);
}

#[tokio::test]
async fn events_of_slow_webhooks_are_dispatched_to_the_slow_lane() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let (slow, quick) = (engine.create("slow").await, engine.create("quick").await);
    let dispatcher = engine.dispatcher();
    let event = task(&slow).event;
    dispatcher.dispatch(std::slice::from_ref(&event), &Accepted::new(now(), None)).await.unwrap();
    assert!(engine.context.webhooks.set_lane(&slow.tenant_id, slow.id, Lane::Slow).await.unwrap());
    assert!(!engine.context.webhooks.set_lane(&slow.tenant_id, slow.id, Lane::Slow).await.unwrap());
    dispatcher.dispatch(&[event], &Accepted::new(now(), None)).await.unwrap();
    let to = |queue| engine.queues.on(queue).iter().map(|sent| sent.task().webhook_id).collect::<Vec<_>>();
    assert_eq!((to(FAST).len(), to(FAST)[2], to(SLOW)), (3, quick.id, vec![slow.id]));
    assert!(engine.queues.on(FAST).iter().chain(&engine.queues.on(SLOW)).all(|sent| sent.group == "acme"));
}

#[tokio::test]
async fn a_webhook_that_keeps_failing_is_warned_of_and_then_disabled() {
    // Hours cannot be waited for here: failures alone decide.
    let engine = Engine::start(DisablePolicy::new(6, 0)).await;
    let hook = engine.create("down").await;
    engine.answers("down", 500).await;
    for failures in 1..=5 {
        engine.send(&[task(&hook)]).await;
        let stored = engine.stored(&hook).await;
        assert_eq!((stored.health.failures, stored.spec.enabled), (failures, true));
        assert_eq!(stored.health.warned, failures >= 3);
    }
    let news = engine.operational_events();
    assert_eq!(news.len(), 1, "told once: {news:?}");
    assert_eq!(
        (&news[0]["type"], &news[0]["data"]["id"]),
        (&json!("anzol.webhook.failing"), &json!(hook.id))
    );

    engine.send(&[task(&hook), task(&hook)]).await;
    let stored = engine.stored(&hook).await;
    assert!(!stored.spec.enabled);
    let disabled = stored.disabled.unwrap();
    assert_eq!(disabled.code, "FAILURE_THRESHOLD");
    assert!(disabled.reason.starts_with("7 attempts in a row failed"), "{}", disabled.reason);
    let news = engine.operational_events();
    assert_eq!((news.len(), &news[1]["type"]), (2, &json!("anzol.webhook.disabled")));
    assert_eq!(news[1]["data"]["disabledReasonCode"], "FAILURE_THRESHOLD");
    // Its turn never comes again, and nothing more is told.
    engine.send(&[task(&hook)]).await;
    assert_eq!((engine.received("down").await, engine.operational_events().len()), (7, 2));
}

#[tokio::test]
async fn one_success_starts_the_count_anew_and_is_told_once_it_was_worth_a_warning() {
    let engine = Engine::start(DisablePolicy::new(6, 0)).await;
    let hook = engine.create("shaky").await;
    for (failures, told) in [(2, 0), (4, 2)] {
        engine.answers("shaky", 500).await;
        for _ in 0..failures {
            engine.send(&[task(&hook)]).await;
        }
        assert_eq!(engine.stored(&hook).await.health.failures, failures);
        engine.answers("shaky", 200).await;
        engine.send(&[task(&hook)]).await;
        let health = engine.stored(&hook).await.health;
        assert_eq!((health.failures, health.failing_since, health.warned), (0, None, false));
        assert_eq!(engine.operational_events().len(), told);
    }
    assert_eq!(engine.operational_events()[1]["type"], "anzol.webhook.recovered");
}

#[tokio::test]
async fn failures_at_the_same_time_are_all_counted() {
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
async fn a_receiver_that_is_gone_is_believed_at_once() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("gone").await;
    engine.answers("gone", 410).await;
    engine.send(&[task(&hook)]).await;
    let stored = engine.stored(&hook).await;
    assert_eq!((stored.spec.enabled, stored.disabled.unwrap().code.as_str()), (false, "GONE"));
    assert!(engine.queues.on(SLOW).is_empty());
    assert_eq!(engine.operational_events()[0]["type"], "anzol.webhook.disabled");

    // Whoever moved it to another receiver meanwhile meant that one.
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
async fn what_nobody_can_read_goes_to_the_dead_letters_and_holds_nobody_up() {
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
    assert_eq!(engine.handle(&messages, "fast").await, ["m4"], "a newer release may read it");
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
    let mut nobodys: Value = serde_json::from_str(&event("acme")).unwrap();
    nobodys.as_object_mut().unwrap().remove("tenantid");
    let messages = ["{}".to_owned(), event("acme"), nobodys.to_string(), event("not a tenant")];
    assert!(failed(fanout.handle(batch_from(&messages, "events")).await).is_empty());
    let reasons: Vec<_> = engine.queues.on(DEAD)[3..]
        .iter()
        .map(|sent| sent.attributes["reason"]["StringValue"].clone())
        .collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons[1].as_str().unwrap().contains("tenantid"), "{reasons:?}");
    assert_eq!(engine.queues.on(FAST).len(), 1);
}

/// Text that does not compress, of that many bytes.
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

/// The bounds that [`EVENT_KIB`] speaks of.
#[tokio::test]
async fn the_largest_event_that_a_deployment_may_allow_goes_all_the_way() {
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

    let [refused] = &engine.queues.on(DEAD)[..] else { panic!("one is too large") };
    assert!(refused.attributes.to_string().contains("at most 245760 bytes"), "{}", refused.attributes);
    let [message] = &engine.queues.on(FAST)[..] else { panic!("one is queued") };
    assert!(message.body.len() < 256 * 1024 - 1024, "{} bytes, and attributes", message.body.len());
    engine.answers("large", 500).await;
    assert_eq!(engine.handle(std::slice::from_ref(&message.body), SLOW_ARN).await, [""; 0]);
    assert_eq!(engine.received("large").await, 1);
    let [row] = &engine.history(&webhook).await[..] else { panic!("one attempt") };
    // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
    assert!(anzol_store::row_size(row).unwrap() < 400_000 - 100_000, "headers and an answer have to fit too");
    let [retry] = &engine.queues.on(SLOW)[..] else { panic!("one retry") };
    assert!(retry.body.len() < 256 * 1024 - 1024);
}

#[tokio::test]
async fn nothing_is_begun_that_could_not_be_finished() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("fine").await;
    let bodies = [anzol_queue::encode(&task(&hook))];
    // Five seconds to send, one for a second try, five to write it down.
    let soon = SystemTime::now() + Duration::from_secs(10);
    assert_eq!(failed(engine.sender.handle(batch_from(&bodies, "fast"), soon).await), ["m0"]);
    assert_eq!((engine.received("fine").await, engine.history(&hook).await.len()), (0, 0));
    let later = SystemTime::now() + Duration::from_secs(12);
    assert!(failed(engine.sender.handle(batch_from(&bodies, "fast"), later).await).is_empty());
    assert_eq!(engine.received("fine").await, 1);
}

#[tokio::test]
async fn an_answer_without_end_costs_no_more_than_what_is_kept() {
    let engine = Engine::start(DisablePolicy::default()).await;
    let hook = engine.create("endless").await;
    let endless = Behavior { mode: Mode::Endless, body: "x".repeat(1000), ..Behavior::default() };
    engine.behaves("endless", endless).await;
    let started = std::time::Instant::now();
    engine.send(&[task(&hook)]).await;
    assert!(started.elapsed() < Duration::from_secs(3), "it did not wait for the end");
    let row = &engine.history(&hook).await[0];
    let response = row.response.as_ref().unwrap();
    assert_eq!((row.failure, response.body.len(), response.body_cut), (None, 16 * 1024, true));
}

/// The time, and a panic at every third look: each attempt looks once.
fn a_clock_that_breaks() -> time::OffsetDateTime {
    static LOOKS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    assert!(!LOOKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(3), "the clock broke");
    now()
}

#[tokio::test]
async fn an_attempt_that_panics_comes_back_alone() {
    let mut engine = Engine::start(DisablePolicy::default()).await;
    engine.sender.deliverer = Deliverer::new(engine.egress.client.clone(), a_clock_that_breaks);
    let hook = engine.create("fine").await;
    let tasks: Vec<_> = (0..9).map(|_| task(&hook)).collect();
    assert_eq!(engine.send(&tasks).await, ["m2", "m5", "m8"]);
    assert_eq!((engine.received("fine").await, engine.history(&hook).await.len()), (6, 6));
}
