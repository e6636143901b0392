//! The fault scenarios: each injects faults of one kind while events are published. They run in the order of [`SCENARIOS`].

use std::collections::BTreeSet;
use std::process::Command;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use anzol_domain::{DeliveryId, DeliveryTask, Event, TenantId, Trigger, WebhookId};
use anzol_tests::receiver::{Behavior, Mode};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::proxy::{Fault, FaultKind};
use crate::trial::{CALL, SECRET, Trial, id_of, publish_calls};

type Scenario = fn(&mut Trial<'_>) -> Result<()>;

pub(crate) const SCENARIOS: [(&str, Scenario); 17] = [
    ("burst", burst),
    ("kill-before-write", kill_before_write),
    ("kill-after-write", kill_after_write),
    ("received-twice", received_twice),
    ("poison", poison),
    ("table-throttled", table_throttled),
    ("cap-in-conflict", cap_in_conflict),
    ("cloud-unreachable", cloud_unreachable),
    ("queue-refuses", queue_refuses),
    ("scheduler-down", scheduler_down),
    ("keys-unreachable", keys_unreachable),
    ("receiver-misbehaves", receiver_misbehaves),
    ("webhook-deleted", webhook_deleted),
    ("webhook-disabled", webhook_disabled),
    ("secret-changed", secret_changed),
    ("clocks-apart", clocks_apart),
    ("dlq", dlq),
];

/// Time for thousands of messages on a busy machine.
const LONG: Duration = Duration::from_mins(5);
/// Time for a hundred messages.
const SOON: Duration = Duration::from_mins(2);

fn answering(status: u16) -> Behavior {
    Behavior { status, ..Behavior::default() }
}

fn slow(delay_ms: u64) -> Behavior {
    Behavior { delay_ms, ..Behavior::default() }
}

/// Publishes ten thousand events of one tenant at once while another tenant publishes a few.
fn burst(trial: &mut Trial<'_>) -> Result<()> {
    const QUIET: usize = 200;
    trial.harness.set_visibility_timeout(60)?;
    let (noisy, quiet) = (trial.hook("acme")?, trial.hook("globex")?);
    let (flood, few) = (trial.events(noisy, 10_000), trial.events(quiet, QUIET));
    let (flooding, trickling) = (trial.hooks[noisy].api.clone(), trial.hooks[quiet].api.clone());
    let published = scope(|scope| -> Result<Vec<_>> {
        let few = scope.spawn(|| {
            few.chunks(1)
                .map(|one| {
                    let at = OffsetDateTime::now_utc();
                    publish_calls(&trickling, one)?;
                    sleep(Duration::from_millis(50));
                    Ok((id_of(&one[0]), at))
                })
                .collect::<Result<Vec<_>>>()
        });
        publish_calls(&flooding, &flood)?;
        few.join().map_err(|_| anyhow::anyhow!("a publisher panicked"))?
    })?;
    trial.settle(LONG)?;
    let mut took: Vec<_> = published
        .iter()
        .filter_map(|(id, at)| Some((*trial.first.get(id)? - *at).as_seconds_f64()))
        .collect();
    took.sort_by(f64::total_cmp);
    let (middle, last) = (took.get(took.len() / 2).copied(), took.last().copied());
    trial.notes.push(format!(
        "the other tenant's {QUIET} events took {:.1} s at the median and {:.1} s at most",
        middle.unwrap_or_default(),
        last.unwrap_or_default()
    ));
    Ok(())
}

/// Kills senders after their POSTs, before they write the history.
fn kill_before_write(trial: &mut Trial<'_>) -> Result<()> {
    kill(trial, FaultKind::KillBefore)
}

/// Kills senders after they write the history, before their messages are deleted.
fn kill_after_write(trial: &mut Trial<'_>) -> Result<()> {
    kill(trial, FaultKind::KillAfter)
}

fn kill(trial: &mut Trial<'_>, kind: FaultKind) -> Result<()> {
    const KILLS: u64 = 10;
    trial.harness.set_visibility_timeout(10)?;
    let hook = trial.hook("acme")?;
    trial.publish(hook, 500)?;
    // A repeated attempt overwrites its row, so the history has one row for each event.
    trial.one_row_each = true;
    trial.inject(Fault::on("dynamodb.BatchWriteItem", kind).by("sender").chance(0.1).times(KILLS));
    trial.publish(hook, 4_000)?;
    trial.settle(LONG)?;
    trial.expect_hits(KILLS);
    Ok(())
}

/// Queues messages twice, and lets messages be received again while they are being processed.
fn received_twice(trial: &mut Trial<'_>) -> Result<()> {
    trial.harness.set_visibility_timeout(60)?;
    let hook = trial.hook("acme")?;
    // The SDK retries a call whose answer is lost.
    trial.inject(Fault::on("sqs.SendMessageBatch", FaultKind::DropAnswer).by("ingest").chance(0.2));
    trial.inject(Fault::on("sqs.SendMessageBatch", FaultKind::Twice).by("ingest").chance(0.2));
    trial.publish(hook, 2_500)?;
    trial.settle(LONG)?;
    trial.expect_hits(40);

    let twice = |trial: &Trial<'_>| trial.arrived.values().filter(|times| **times > 1).count();
    let before = twice(trial);
    trial.behave(hook, &slow(1_300))?;
    trial.harness.set_visibility_timeout(1)?;
    trial.publish(hook, 300)?;
    sleep(Duration::from_secs(2));
    trial.harness.set_visibility_timeout(60)?;
    trial.settle(SOON)?;
    let again = twice(trial) - before;
    ensure!(again >= 250, "only {again} of the 300 events arrived twice");
    Ok(())
}

/// Mixes malformed messages and messages for webhooks that do not exist with valid ones, on the deliveries queue and the events queue.
fn poison(trial: &mut Trial<'_>) -> Result<()> {
    const GOOD_CALLS: usize = 30;
    const FOREIGN: usize = 3;
    trial.harness.set_visibility_timeout(30)?;
    let hook = trial.hook("acme")?;
    let harness = trial.harness;
    let context = &harness.context;
    let queues = &context.stack.queues;
    let nested = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let unreadable = ["nonsense", "{}", r#"{"v":1}"#, r#"{"v":1,"task":{}}"#, &nested, "\u{fffd}", "null"];
    let events =
        ["nonsense", "{}", "[{}]", r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#, &nested];
    let (acme, globex) = (context.stack.tenant("acme")?, context.stack.tenant("globex")?);
    let own: WebhookId = trial.hooks[hook].id.parse()?;
    let unknown = WebhookId::mint(OffsetDateTime::now_utc());
    let misdirected = [task(acme, unknown)?, task(globex, own)?];
    for call in 0..GOOD_CALLS {
        harness.context.aws.send_message(&queues.deliveries, unreadable[call % unreadable.len()])?;
        harness.context.aws.send_message(&queues.deliveries, &misdirected[call % misdirected.len()])?;
        harness.context.aws.send_message(&queues.events, events[call % events.len()])?;
        trial.publish(hook, CALL)?;
        // An array is one message with several events.
        let array = Value::from(trial.events(hook, 50));
        harness.context.aws.send_message(&queues.events, &array.to_string())?;
    }
    trial.settle(LONG)?;
    // A message of a later release is retried, and moved to the dead-letter queue after five receives.
    harness.set_visibility_timeout(1)?;
    for _ in 0..FOREIGN {
        harness.context.aws.send_message(&queues.deliveries, r#"{"v":99,"task":{}}"#)?;
    }
    trial.settle(SOON)?;
    let dead = harness.drain_dlqs()?;
    let reasons =
        dead.iter().filter(|(_, reason)| reason.as_ref().is_some_and(|reason| !reason.is_empty())).count();
    ensure!(
        (dead.len(), reasons) == (2 * GOOD_CALLS + FOREIGN, 2 * GOOD_CALLS),
        "{} messages in the dead-letter queues, {reasons} of them with a reason",
        dead.len()
    );
    trial
        .notes
        .push(format!("{} messages in the dead-letter queues, {reasons} of them with a reason", dead.len()));
    Ok(())
}

/// Returns a message for a delivery to a webhook.
fn task(tenant: &str, webhook: WebhookId) -> Result<String> {
    let now = OffsetDateTime::now_utc();
    let event = json!({ "specversion": "1.0", "id": "misdirected", "source": "faults", "type": "t", "tenantid": tenant });
    Ok(anzol_queue::encode(&DeliveryTask {
        tenant_id: TenantId::parse(tenant)?,
        webhook_id: webhook,
        delivery_id: DeliveryId::mint(now),
        attempt: 1,
        trigger: Trigger::Event,
        accepted_at: None,
        trace: None,
        event: Event::parse(&event.to_string(), now)?,
    }))
}

/// Lets the tables throttle some calls and process some batches partially.
fn table_throttled(trial: &mut Trial<'_>) -> Result<()> {
    trial.harness.set_visibility_timeout(10)?;
    let hook = trial.hook("acme")?;
    let throttled = FaultKind::Answer(400, "ProvisionedThroughputExceededException");
    let condition = FaultKind::Answer(400, "ConditionalCheckFailedException");
    trial.inject(Fault::on("dynamodb.UpdateItem", condition).by("sender").chance(0.3));
    trial.inject(Fault::on("dynamodb.BatchWriteItem", FaultKind::Refuse(0.4)).chance(0.4));
    trial.inject(Fault::on("dynamodb.", throttled).chance(0.2));
    trial.inject(Fault::on("dynamodb.", FaultKind::Answer(500, "InternalServerError")).chance(0.05));
    trial.publish(hook, 6_000)?;
    trial.settle(LONG)?;
    trial.expect_hits(300);
    Ok(())
}

/// Creates thirty webhooks at once in a tenant with a cap of twenty, with transaction conflicts, while events are published.
fn cap_in_conflict(trial: &mut Trial<'_>) -> Result<()> {
    const CAP: usize = 20; // `WebhookCap` of the stack
    const CREATES: usize = 30;
    trial.harness.set_visibility_timeout(30)?;
    let hook = trial.hook("acme")?;
    let conflict = FaultKind::Answer(400, "TransactionCanceledException");
    trial.inject(Fault::on("dynamodb.TransactWriteItems", conflict).by("api").chance(0.4));
    trial.inject(Fault::on("dynamodb.TransactWriteItems", FaultKind::DropAnswer).by("api").chance(0.3));
    let globex = trial.harness.context.api("globex.admin")?;
    let create = |number: usize| -> Result<u16> {
        let url = format!("https://{}-{number}.receiver.test/cap", "cap");
        let webhook =
            json!({ "name": format!("cap {number}"), "url": url, "eventTypes": [], "enabled": false });
        loop {
            match globex.post("/api/v1/webhooks", &webhook)?.status {
                429 | 500.. => {} // retries, like a client
                status => return Ok(status),
            }
        }
    };
    let statuses = scope(|scope| -> Result<Vec<u16>> {
        let creators: Vec<_> = (0..6)
            .map(|creator| {
                let create = &create;
                scope.spawn(move || (creator..CREATES).step_by(6).map(create).collect::<Result<Vec<_>>>())
            })
            .collect();
        trial.publish(hook, 1_000)?;
        let mut all = Vec::new();
        for creator in creators {
            all.extend(creator.join().map_err(|_| anyhow::anyhow!("a creator panicked"))??);
        }
        Ok(all)
    })?;
    trial.expect_hits(5);
    trial.settle(LONG)?;
    trial.heal(); // the checks and the cleanup below run without faults
    let count = |status: u16| statuses.iter().filter(|one| **one == status).count();
    let page = globex.get("/api/v1/webhooks?limit=100")?.expect_status(200)?.json()?;
    let there = page["data"].as_array().context("no list")?.clone();
    for webhook in &there {
        let id = webhook["id"].as_str().context("no id")?;
        globex.delete(&format!("/api/v1/webhooks/{id}"))?.expect_status(204)?;
    }
    // A create whose answer was lost three times is repeated by the client and makes another webhook.
    ensure!(
        there.len() == CAP && count(201) + count(403) == CREATES && (CAP - 3..=CAP).contains(&count(201)),
        "{} webhooks where {CAP} may be; answers {statuses:?}",
        there.len()
    );
    trial.notes.push(format!("{CREATES} creates, cap {CAP}: {} created", count(201)));
    Ok(())
}

/// Breaks connections to tables and queues before or after the call, and delays some calls beyond every timeout.
fn cloud_unreachable(trial: &mut Trial<'_>) -> Result<()> {
    trial.harness.set_visibility_timeout(15)?;
    let hook = trial.hook("acme")?;
    for service in ["dynamodb.", "sqs."] {
        trial.inject(Fault::on(service, FaultKind::Drop).chance(0.05));
        trial.inject(Fault::on(service, FaultKind::DropAnswer).chance(0.05));
        trial.inject(Fault::on(service, FaultKind::Answer(503, "ServiceUnavailable")).chance(0.05));
        trial.inject(Fault::on(service, FaultKind::Hold(Duration::from_secs(5))).chance(0.005));
    }
    trial.publish(hook, 3_500)?;
    trial.settle(LONG)?;
    trial.expect_hits(100);
    Ok(())
}

/// Lets the queues accept batches partially, from ingest and from the sender, which queues retries.
fn queue_refuses(trial: &mut Trial<'_>) -> Result<()> {
    trial.harness.set_visibility_timeout(10)?;
    let hook = trial.hook("acme")?;
    trial.inject(Fault::on("sqs.SendMessageBatch", FaultKind::Refuse(0.4)).chance(0.4));
    trial.inject(Fault::on("sqs.SendMessageBatch", FaultKind::Answer(503, "ServiceUnavailable")).chance(0.1));
    // Some messages are refused so often that the function gives up, and the producer or the queue has to retry.
    trial.inject(Fault::on("sqs.SendMessageBatch", FaultKind::Refuse(1.0)).chance(0.1));
    trial.behave(hook, &answering(503))?;
    trial.publish(hook, 500)?;
    trial.await_refused(500, SOON)?;
    trial.behave(hook, &answering(200))?;
    trial.publish(hook, 5_500)?;
    trial.settle(LONG)?;
    trial.expect_hits(200);
    Ok(())
}

/// Lets the scheduler fail for a while, with waits that are too long for the queue.
fn scheduler_down(trial: &mut Trial<'_>) -> Result<()> {
    trial.harness.set_visibility_timeout(5)?;
    let hook = trial.hook("acme")?;
    trial.behave(hook, &answering(500))?;
    trial.inject(Fault::on("scheduler.CreateSchedule", FaultKind::Answer(503, "InternalServerException")));
    trial.publish(hook, 300)?;
    // Three attempts: the queue holds the first two retries, two seconds each; the retry of the third attempt needs the scheduler.
    trial.await_refused(3 * 300, SOON)?;
    sleep(Duration::from_secs(2));
    trial.expect_hits(100);
    trial.heal();
    trial.await_schedules(SOON)?;
    trial.behave(hook, &answering(200))?;
    trial.settle(LONG)
}

/// Lets KMS fail for a while. Deliveries wait and are signed afterwards; the trial checks the signature of every request.
fn keys_unreachable(trial: &mut Trial<'_>) -> Result<()> {
    trial.harness.set_visibility_timeout(15)?;
    let hook = trial.hook("acme")?;
    trial.inject(Fault::on("kms.Decrypt", FaultKind::Answer(500, "KMSInternalException")).by("sender"));
    trial.publish(hook, 500)?;
    trial.await_hits(10, SOON)?;
    trial.check_arrivals();
    ensure!(trial.arrived.is_empty(), "{} events arrived without a secret", trial.arrived.len());
    trial.heal();
    trial.settle(LONG)
}

/// Lets receivers fail in several ways and recover.
fn receiver_misbehaves(trial: &mut Trial<'_>) -> Result<()> {
    trial.harness.set_visibility_timeout(60)?;
    let faults = [
        // A 2xx would be a success, even with a body that stalls.
        Behavior { mode: Mode::Stall, status: 503, ..Behavior::default() },
        Behavior { mode: Mode::Reset, ..Behavior::default() },
        Behavior { mode: Mode::Endless, ..Behavior::default() },
        Behavior { mode: Mode::Cut, status: 500, body: "half of it".to_owned(), ..Behavior::default() },
        Behavior { mode: Mode::BadTls, ..Behavior::default() },
        answering(500),
    ];
    for fault in &faults {
        let hook = trial.hook("acme")?;
        trial.behave(hook, fault)?;
    }
    for hook in 0..faults.len() {
        trial.publish(hook, 200)?;
    }
    // The modes reset and cut and the status 500 fail 200 requests each. Stalling receivers take longer; with bad TLS no request arrives.
    trial.await_refused(3 * 200, SOON)?;
    sleep(Duration::from_secs(3));
    for hook in 0..faults.len() {
        trial.behave(hook, &Behavior::default())?;
    }
    trial.settle(LONG)?;
    for (hook, fault) in faults.iter().enumerate() {
        let delivered =
            trial.published.iter().filter(|(id, of)| **of == hook && trial.arrived.contains_key(*id));
        let count = delivered.count();
        ensure!(count == 200, "{count} of 200 events arrived where the receiver was {:?}", fault.mode);
    }
    Ok(())
}

/// Creates a webhook, publishes a thousand events, and returns the webhook's index when a hundred have arrived.
fn in_flight(trial: &mut Trial<'_>) -> Result<usize> {
    trial.harness.set_visibility_timeout(60)?;
    let hook = trial.hook("acme")?;
    trial.behave(hook, &slow(700))?;
    trial.publish(hook, 1_000)?;
    trial.await_arrived(100, SOON)?;
    Ok(hook)
}

/// Deletes a webhook with deliveries in flight: only batches that were already sending may still send to it.
fn webhook_deleted(trial: &mut Trial<'_>) -> Result<()> {
    /// Seconds in which a batch may still send to a webhook that it read before the deletion.
    const STILL_SENDING: i64 = 5;
    let hook = in_flight(trial)?;
    trial.hooks[hook].api.delete(&trial.hooks[hook].at())?.expect_status(204)?;
    let deleted = OffsetDateTime::now_utc();
    trial.withheld = trial.published.keys().cloned().collect();
    trial.settle(SOON)?;
    let after: Vec<_> =
        trial.first.values().map(|at| *at - deleted).filter(|after| after.is_positive()).collect();
    let last = after.iter().max().copied().unwrap_or_default();
    ensure!(last.whole_seconds() < STILL_SENDING, "an event arrived {last} after its webhook was deleted");
    let withheld = trial.published.len() - trial.arrived.len();
    ensure!(withheld >= 100, "only {withheld} events were pending when the webhook was deleted");
    trial.notes.push(format!("{} arrived within {last:.1} after the deletion", after.len()));
    Ok(())
}

/// Disables a webhook with deliveries in flight: they are recorded as not sent, and a recovery sends them.
fn webhook_disabled(trial: &mut Trial<'_>) -> Result<()> {
    let since = OffsetDateTime::now_utc();
    let hook = in_flight(trial)?;
    trial.hooks[hook].patch("/enabled", &json!(false))?;
    let published = std::mem::take(&mut trial.withheld);
    trial.withheld = trial.published.keys().cloned().collect(); // none of them is lost while the webhook is disabled
    trial.settle(SOON)?;
    trial.withheld = published;
    let (before, missing) = (trial.arrived.len(), trial.missing());
    ensure!(missing >= 100, "only {missing} events were pending when the webhook was disabled");

    trial.behave(hook, &answering(200))?;
    trial.hooks[hook].patch("/enabled", &json!(true))?;
    let at = format!("{}/actions/recover", trial.hooks[hook].at());
    let since = since.format(&time::format_description::well_known::Rfc3339)?;
    trial.hooks[hook].api.post(&at, &json!({ "since": since }))?.expect_status(202)?;
    trial.settle(LONG)?;
    trial.notes.push(format!("{before} arrived before, {missing} were recorded as not sent and recovered"));
    Ok(())
}

/// Changes a secret with deliveries in flight: all requests verify, and later ones with both secrets.
fn secret_changed(trial: &mut Trial<'_>) -> Result<()> {
    const NEW: &str = "fedcba9876543210fedcba9876543210";
    let hook = in_flight(trial)?;
    trial.hooks[hook].secrets.push(NEW.to_owned());
    trial.hooks[hook].patch("/secret", &json!(NEW))?;
    trial.settle(LONG)?;
    let by_new = trial.verified_by(NEW);
    ensure!(by_new >= 100, "only {by_new} events were pending when the secret was changed");

    trial.behave(hook, &answering(200))?;
    trial.hooks[hook].secrets = vec![NEW.to_owned()];
    trial.hooks[hook].also = Some(SECRET.to_owned());
    trial.publish(hook, 1_000)?;
    trial.settle(LONG)?;
    trial.notes.push(format!("{by_new} of the events in flight were signed with the new secret"));
    Ok(())
}

/// Sets the clocks of ingest and sender ten minutes off, in both directions, and the times of events too. Then kills a sender whose clock
/// is ahead during a probe.
fn clocks_apart(trial: &mut Trial<'_>) -> Result<()> {
    const OFF: i64 = 600;
    trial.harness.set_visibility_timeout(10)?;
    trial.skew = OFF;
    let hook = trial.hook("acme")?;
    for (ingest, sender) in [(OFF, -OFF), (-OFF, OFF)] {
        trial.harness.set_clock("ingest", ingest)?;
        trial.harness.set_clock("sender", sender)?;
        let arrived = trial.arrived.len();
        let mut events = trial.events(hook, 800);
        for (index, event) in events.iter_mut().enumerate() {
            let off = if index % 2 == 0 { OFF } else { -OFF };
            let time = OffsetDateTime::now_utc() + time::Duration::seconds(off);
            event["time"] = json!(time.format(&time::format_description::well_known::Rfc3339)?);
        }
        // Includes retries, whose waits must not become ten minutes longer.
        trial.behave(hook, &answering(500))?;
        trial.publish_these(hook, &events[..100])?;
        trial.await_refused(trial.refused + 50, SOON)?;
        trial.behave(hook, &answering(200))?;
        trial.publish_these(hook, &events[100..])?;
        trial.settle(SOON)?;
        let seen: BTreeSet<_> = trial.offsets.iter().map(|off| off.signum()).collect();
        ensure!(
            trial.arrived.len() > arrived && seen.contains(&-sender.signum()),
            "the sender's clock is right: {seen:?}"
        );
    }
    trial.harness.set_clock("ingest", 0)?;
    trial.harness.set_clock("sender", OFF)?;
    let other = trial.hook("acme")?;
    // Kills each sender after its probe found the receiver fast and before it records that, so its probe lease remains.
    trial.inject(
        Fault::on("dynamodb.UpdateItem", FaultKind::KillBefore).by("sender").containing("quickUntil"),
    );
    trial.publish(other, 100)?;
    trial.await_hits(1, SOON)?;
    trial.harness.set_clock("sender", 0)?;
    trial.heal();
    trial.publish(other, 200)?;
    trial.settle(SOON)
}

/// Fails messages five times, so that they move to the dead-letter queue, and redrives them with `cargo xtask redrive`. Malformed messages
/// stay in that queue, with the reason.
fn dlq(trial: &mut Trial<'_>) -> Result<()> {
    const UNREADABLE: usize = 5;
    let harness = trial.harness;
    let dead = || -> Result<u64> {
        harness.dlqs().into_iter().map(|queue| harness.context.aws.queue_length(queue)).sum()
    };
    let await_dead = |count: u64| -> Result<()> {
        let started = Instant::now();
        while dead()? != count {
            ensure!(
                started.elapsed() < SOON,
                "{} messages are in the dead-letter queues, not {count}",
                dead()?
            );
            sleep(Duration::from_millis(300));
        }
        Ok(())
    };
    let hook = trial.hook("acme")?;
    harness.set_visibility_timeout(60)?;
    for number in 0..UNREADABLE {
        harness
            .context
            .aws
            .send_message(&harness.context.stack.queues.deliveries, &format!("nonsense {number}"))?;
    }
    let unreadable = u64::try_from(UNREADABLE)?;
    await_dead(unreadable)?;
    harness.set_visibility_timeout(1)?;
    // The SDK does not retry this error. With another one, invocations would still be retrying after the fault is removed.
    trial.inject(
        Fault::on("dynamodb.BatchGetItem", FaultKind::Answer(400, "AccessDeniedException")).by("sender"),
    );
    trial.publish(hook, 100)?;
    let all = u64::try_from(trial.published.len())? + unreadable;
    await_dead(all)?;
    trial.heal();
    harness.set_visibility_timeout(60)?;
    trial.check_arrivals();
    ensure!(trial.arrived.is_empty(), "{} events arrived", trial.arrived.len());

    let said = redrive(&["--dry-run"])?;
    ensure!(
        dead()? == all && said.contains(&format!("{all} messages in total")),
        "a dry run moved something, or did not report {all}: {said}"
    );
    redrive(&[])?;
    trial.settle(SOON)?;
    await_dead(unreadable)?;
    let left = harness.drain_dlqs()?;
    let explained = left.iter().filter(|(body, reason)| {
        body.starts_with("nonsense")
            && reason.as_ref().is_some_and(|reason| reason.contains("not a delivery message"))
    });
    ensure!(explained.count() == UNREADABLE, "{left:?}");
    trial.notes.push(format!("{} redriven, {UNREADABLE} stayed with their reason", trial.arrived.len()));
    Ok(())
}

/// Runs `cargo xtask redrive` on this stack and returns its output.
fn redrive(words: &[&str]) -> Result<String> {
    let xtask = std::env::var_os("ANZOL_XTASK").context("ANZOL_XTASK does not name xtask")?;
    let output = Command::new(xtask).arg("redrive").args(words).output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "redrive failed: {said}");
    Ok(said)
}
