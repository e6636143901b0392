//! The stack under test, and trials: a trial counts the published and received events of a scenario and checks each request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use anzol_tests::client::{Api, Control};
use anzol_tests::context::StackContext;
use anzol_tests::receiver::{Behavior, Received};
use anzol_tests::signatures::{qlik_signature, standard_signature};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::proxy::{Fault, Proxy};

/// Number of events in one call.
pub(crate) const CALL: usize = 100;
const PUBLISHERS: usize = 3;
/// Time for which a publisher retries a call that was not accepted.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(90);
/// Maximum difference between a delivery's timestamp and its arrival, in seconds: the tolerance of Standard Webhooks.
const TOLERANCE: i64 = 300;

const SOURCE: &str = "faults";
pub(crate) use anzol_tests::context::SECRET;

/// Event types, one for each webhook of a trial.
const TYPES: [&str; 6] = [
    "com.qlik.v1.app.created",
    "com.qlik.v1.app.deleted",
    "com.qlik.v1.app.data.updated",
    "com.qlik.v1.app.reload.finished",
    "com.qlik.v1.app.published",
    "com.qlik.v1.app.exported",
];

/// The stack under test with the proxy in front of its cloud, and the receiver's requests.
pub(crate) struct FaultHarness {
    pub(crate) context: StackContext,
    pub(crate) proxy: Proxy,
    mailbox: Arc<Mutex<Mailbox>>,
}

/// The receiver's requests that no trial has checked yet.
#[derive(Default)]
struct Mailbox {
    requests: Vec<Received>,
    newest: u64,
    trouble: Option<String>,
}

impl FaultHarness {
    pub(crate) fn new(port: u16, seed: u64) -> Result<Self> {
        let context = StackContext::load()?;
        let roles = context.stack.functions.iter().map(|(role, name)| (name.clone(), role.clone())).collect();
        let proxy = Proxy::start(port, context.aws.clone(), roles, seed)?;
        let mailbox = Arc::new(Mutex::new(Mailbox::default()));
        let (control, filled) = (context.control.clone(), Arc::clone(&mailbox));
        std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || copy_requests(&control, &filled))?;
        Ok(Self { context, proxy, mailbox })
    }

    fn sources(&self) -> [&str; 3] {
        let queues = &self.context.stack.queues;
        [&queues.deliveries, &queues.slow_lane, &queues.events]
    }

    pub(crate) fn dlqs(&self) -> [&str; 3] {
        let queues = &self.context.stack.queues;
        [&queues.deliveries_dlq, &queues.slow_lane_dlq, &queues.events_dlq]
    }

    /// Sets the queues' visibility timeout, in seconds. It is three minutes on AWS, too long for a test.
    pub(crate) fn set_visibility_timeout(&self, seconds: u32) -> Result<()> {
        let attributes = json!({ "VisibilityTimeout": seconds.to_string() });
        for queue in self.sources() {
            let request = json!({ "QueueUrl": queue, "Attributes": attributes });
            self.context.aws.call("sqs", "AmazonSQS.SetQueueAttributes", &request)?;
        }
        Ok(())
    }

    /// Sets a function's clock ahead of the others by this many seconds; a negative number sets it behind.
    pub(crate) fn set_clock(&self, function: &str, ahead: i64) -> Result<()> {
        let name = self.context.stack.functions.get(function).context("no such function")?;
        let value = ahead.to_string();
        self.context.aws.set_variable(name, "ANZOL_CLOCK_AHEAD", (ahead != 0).then_some(value.as_str()))
    }

    /// Returns the number of messages that are waiting, in flight or delayed, plus the number of schedules.
    pub(crate) fn under_way(&self) -> Result<u64> {
        let mut count = u64::try_from(self.context.aws.schedules()?.len())?;
        for queue in self.sources() {
            count += self.context.aws.queue_length(queue)?;
        }
        Ok(count)
    }

    /// Receives and deletes everything in the dead-letter queues: body and reason of each message.
    pub(crate) fn drain_dlqs(&self) -> Result<Vec<(String, Option<String>)>> {
        let mut drained = Vec::new();
        for queue in self.dlqs() {
            while self.context.aws.queue_length(queue)? > 0 {
                let request = json!({
                    "QueueUrl": queue, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "VisibilityTimeout": 30,
                });
                let answer = self.context.aws.call("sqs", "AmazonSQS.ReceiveMessage", &request)?;
                let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
                ensure!(!messages.is_empty(), "{queue} returns no message");
                for message in messages {
                    let reason = &message["MessageAttributes"]["reason"]["StringValue"];
                    drained.push((
                        message["Body"].as_str().unwrap_or_default().to_owned(),
                        reason.as_str().map(str::to_owned),
                    ));
                    let request = json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"] });
                    self.context.aws.call("sqs", "AmazonSQS.DeleteMessage", &request)?;
                }
            }
        }
        Ok(drained)
    }

    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies the receiver's requests until the process exits, before the receiver drops them.
fn copy_requests(control: &Control, mailbox: &Mutex<Mailbox>) {
    let lock = || mailbox.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let newest = lock().newest;
        match control.requests_after(newest) {
            Ok(requests) => {
                let mut mailbox = lock();
                let oldest = requests.first().map(|request| request.number);
                if oldest.is_some_and(|oldest| oldest != newest + 1) {
                    mailbox.trouble = Some("the receiver dropped requests before they were read".to_owned());
                }
                mailbox.newest = requests.last().map_or(newest, |request| request.number);
                mailbox.requests.extend(requests);
            }
            Err(error) => lock().trouble = Some(format!("the receiver's requests cannot be read: {error:#}")),
        }
        sleep(Duration::from_millis(100));
    }
}

/// A webhook of a trial.
pub(crate) struct Hook {
    pub(crate) api: Api,
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) tenant: String,
    pub(crate) event_type: &'static str,
    /// Secrets with which a request may be signed.
    pub(crate) secrets: Vec<String>,
    /// A further secret with which `webhook-signature` must verify.
    pub(crate) also: Option<String>,
    /// Host of its URL.
    pub(crate) host: String,
}

impl Hook {
    pub(crate) fn at(&self) -> String {
        format!("/api/v1/webhooks/{}", self.id)
    }

    pub(crate) fn patch(&self, member: &str, value: &Value) -> Result<()> {
        let patch = json!([{ "op": "replace", "path": member, "value": value }]);
        self.api.patch(&self.at(), &patch)?.expect_status(204).map(drop)
    }
}

/// The result of a scenario.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) published: usize,
    pub(crate) delivered: usize,
    /// Events that arrived again, with the same `webhook-id`.
    pub(crate) duplicates: usize,
    /// Events that were not delivered because their webhook was deleted.
    pub(crate) withheld: usize,
    pub(crate) lost: usize,
    pub(crate) seconds: f64,
    /// Number of calls that faults affected, by operation and effect.
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) notes: Vec<String>,
    pub(crate) problems: Vec<String>,
}

/// A running scenario.
pub(crate) struct Trial<'a> {
    pub(crate) harness: &'a FaultHarness,
    pub(crate) name: &'static str,
    started: Instant,
    pub(crate) hooks: Vec<Hook>,
    /// Index of the webhook by event id.
    pub(crate) published: BTreeMap<String, usize>,
    /// Number of requests answered with 2xx, by event id.
    pub(crate) arrived: BTreeMap<String, usize>,
    /// Time of the first arrival, by event id.
    pub(crate) first: BTreeMap<String, OffsetDateTime>,
    /// The secret that verified the first arrival, by event id.
    secrets: BTreeMap<String, String>,
    /// Differences between the receiver's clock and timestamps, in minutes.
    pub(crate) offsets: BTreeSet<i64>,
    /// Number of requests not answered with 2xx.
    pub(crate) refused: usize,
    /// Events that may stay undelivered: they do not count as lost.
    pub(crate) withheld: BTreeSet<String>,
    /// Maximum difference between the sender's clock and the receiver's, in seconds.
    pub(crate) skew: i64,
    pub(crate) notes: Vec<String>,
    problems: Vec<String>,
    /// Number of calls that the removed faults affected, by operation and effect.
    pub(crate) faults: BTreeMap<String, u64>,
    /// Whether the history must have exactly one row for each event.
    pub(crate) one_row_each: bool,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(harness: &'a FaultHarness, name: &'static str) -> Self {
        harness.mailbox().requests.clear();
        Self {
            harness,
            name,
            started: Instant::now(),
            hooks: Vec::new(),
            published: BTreeMap::new(),
            arrived: BTreeMap::new(),
            first: BTreeMap::new(),
            secrets: BTreeMap::new(),
            offsets: BTreeSet::new(),
            refused: 0,
            withheld: BTreeSet::new(),
            skew: 0,
            notes: Vec::new(),
            problems: Vec::new(),
            faults: BTreeMap::new(),
            one_row_each: false,
        }
    }

    /// Creates a webhook of `acme` or `globex` with its own receiver host. Returns its index.
    pub(crate) fn hook(&mut self, tenant: &str) -> Result<usize> {
        let index = self.hooks.len();
        let event_type = *TYPES.get(index).context("more webhooks than types")?;
        let host = format!("{}-{index}.receiver.test", self.name);
        let path = format!("/{}-{index}", self.name);
        let api = self.harness.context.api(&format!("{tenant}.admin"))?;
        let request = json!({
            "name": path, "url": format!("https://{host}{path}"), "eventTypes": [event_type], "secret": SECRET, "enabled": true,
        });
        let created = api.post("/api/v1/webhooks", &request)?.expect_status(201)?.json()?;
        let id = created["id"].as_str().context("no id")?.to_owned();
        let tenant = self.harness.context.stack.tenant(tenant)?.to_owned();
        let secrets = vec![SECRET.to_owned()];
        self.hooks.push(Hook { api, id, path, tenant, event_type, secrets, also: None, host });
        Ok(index)
    }

    pub(crate) fn inject(&self, fault: Fault) {
        self.harness.proxy.inject(fault);
    }

    /// Removes all faults.
    pub(crate) fn heal(&mut self) {
        for (fault, count) in self.harness.proxy.heal() {
            *self.faults.entry(fault).or_default() += count;
        }
    }

    /// Sets the behavior of a webhook's receiver.
    pub(crate) fn behave(&self, hook: usize, behavior: &Behavior) -> Result<()> {
        let host = &self.hooks[hook].host;
        self.harness.context.control.behave(&format!("/host:{host}"), behavior)
    }

    /// Returns new events for a webhook.
    pub(crate) fn events(&mut self, hook: usize, count: usize) -> Vec<Value> {
        let Hook { tenant, path, event_type, .. } = &self.hooks[hook];
        let start = self.published.len();
        let events: Vec<_> = (start..start + count)
            .map(|number| {
                let id = format!("{}-{number}", self.name);
                json!({
                    "specversion": "1.0", "id": id, "source": SOURCE, "type": event_type, "tenantid": tenant,
                    "datacontenttype": "application/json", "data": { "path": path, "number": number },
                })
            })
            .collect();
        self.published.extend(events.iter().map(|event| (id_of(event), hook)));
        events
    }

    /// Publishes this many events for a webhook over HTTP, a hundred per call, and retries each call until it is accepted.
    pub(crate) fn publish(&mut self, hook: usize, count: usize) -> Result<()> {
        let events = self.events(hook, count);
        self.publish_these(hook, &events)
    }

    /// Publishes these events for a webhook.
    pub(crate) fn publish_these(&mut self, hook: usize, events: &[Value]) -> Result<()> {
        let again = publish_calls(&self.hooks[hook].api, events)?;
        if again > 0 {
            self.notes.push(format!("{again} calls retried"));
        }
        Ok(())
    }

    /// Checks the requests that have arrived since the last check.
    pub(crate) fn check_arrivals(&mut self) {
        let (requests, trouble) = {
            let mut mailbox = self.harness.mailbox();
            (std::mem::take(&mut mailbox.requests), mailbox.trouble.take())
        };
        self.problems.extend(trouble);
        for request in &requests {
            let success = request.answered.is_some_and(|status| (200..300).contains(&status));
            match self.check(request) {
                Err(problem) => self.problems.push(format!("{problem:#}: {}", request.path)),
                Ok(_) if !success => self.refused += 1,
                Ok(id) => {
                    self.first.entry(id.clone()).or_insert(request.time);
                    *self.arrived.entry(id).or_default() += 1;
                }
            }
        }
    }

    /// Checks that a request is for its receiver, signed, and has the `webhook-id` of its event. Returns the event's id.
    fn check(&mut self, request: &Received) -> Result<String> {
        let index =
            self.hooks.iter().position(|hook| hook.path == request.path).context("a path of no webhook")?;
        let hook = &self.hooks[index];
        let body = request.body()?;
        let event: Value = serde_json::from_slice(&body)?;
        let id = id_of(&event);
        ensure!(request.host == hook.host, "{} is not its host", request.host);
        ensure!(self.published.get(&id) == Some(&index), "event {id} was not published for this webhook");
        ensure!(event["tenantid"] == hook.tenant.as_str(), "event {id} is of tenant {}", event["tenantid"]);

        let message_id = request.header("webhook-id");
        ensure!(
            message_id == webhook_id(&hook.tenant, &hook.id, &id),
            "{message_id} is not the webhook-id of {id}"
        );
        let timestamp: i64 = request.header("webhook-timestamp").parse().context("webhook-timestamp")?;
        let off = request.time.unix_timestamp() - timestamp;
        ensure!(off.abs() <= TOLERANCE + self.skew.abs(), "a webhook-timestamp {off} s off");
        let given = request.header("qlik-signature");
        let secret = hook.secrets.iter().find(|secret| given == qlik_signature(secret, &body));
        let secret = secret.with_context(|| format!("the Qlik-Signature of {id} is wrong"))?.clone();
        let standard = |secret: &String| standard_signature(secret, request, &body);
        let given: Vec<_> = request.header("webhook-signature").split(' ').collect();
        ensure!(
            std::iter::once(&secret)
                .chain(&hook.also)
                .all(|secret| given.contains(&standard(secret).as_str())),
            "the webhook-signature of {id} is wrong"
        );
        self.offsets.insert(off / 60);
        self.secrets.entry(id.clone()).or_insert(secret);
        Ok(id)
    }

    /// Returns the number of events that have not arrived yet.
    pub(crate) fn missing(&self) -> usize {
        let due = self.published.keys().filter(|id| !self.withheld.contains(*id));
        due.filter(|id| !self.arrived.contains_key(*id)).count()
    }

    /// Waits until this many events have arrived.
    pub(crate) fn await_arrived(&mut self, count: usize, limit: Duration) -> Result<()> {
        self.await_until(&format!("{count} events"), limit, |trial| Ok(trial.arrived.len() >= count))
    }

    fn await_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let started = Instant::now();
        loop {
            self.check_arrivals();
            if done(self)? {
                return Ok(());
            }
            ensure!(started.elapsed() < limit, "no {what} within {limit:?}");
            sleep(Duration::from_millis(100));
        }
    }

    /// Waits until this many requests were answered with a failure.
    pub(crate) fn await_refused(&mut self, count: usize, limit: Duration) -> Result<()> {
        self.await_until(&format!("{count} failures"), limit, |trial| Ok(trial.refused >= count))
    }

    /// Waits until faults have affected this many calls.
    pub(crate) fn await_hits(&mut self, times: u64, limit: Duration) -> Result<()> {
        self.await_until(&format!("{times} faults"), limit, |trial| Ok(trial.harness.proxy.hits() >= times))
    }

    /// Waits until there is a schedule.
    pub(crate) fn await_schedules(&mut self, limit: Duration) -> Result<()> {
        self.await_until("schedules", limit, |trial| Ok(!trial.harness.context.aws.schedules()?.is_empty()))
    }

    /// Records a problem when faults have affected fewer calls than this: without faults, the scenario tests nothing.
    pub(crate) fn expect_hits(&mut self, least: u64) {
        let hits = self.harness.proxy.hits();
        if hits < least {
            self.problems.push(format!("only {hits} calls were hit by faults, not {least}"));
        }
    }

    /// Returns the number of events whose first arrival was verified by this secret.
    pub(crate) fn verified_by(&self, secret: &str) -> usize {
        self.secrets.values().filter(|by| *by == secret).count()
    }

    /// Waits until no message is under way, at most for `limit`. Events that are missing then count as lost.
    pub(crate) fn settle(&mut self, limit: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            self.check_arrivals();
            if self.missing() == 0 && self.harness.under_way()? == 0 {
                break;
            }
            if started.elapsed() > limit {
                let left = self.harness.under_way()?;
                self.problems.push(format!(
                    "{} events missing and {left} messages under way after {limit:?}",
                    self.missing()
                ));
                break;
            }
            sleep(Duration::from_millis(200));
        }
        sleep(Duration::from_millis(150)); // gives the reader time to copy the last requests
        self.check_arrivals();
        Ok(())
    }

    /// Records a problem.
    pub(crate) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Deletes the webhooks and returns the scenario's result.
    pub(crate) fn end(mut self) -> Result<Line> {
        let seconds = self.started.elapsed().as_secs_f64();
        self.heal();
        for index in 0..self.hooks.len() {
            let hook = &self.hooks[index];
            // The history has at least one successful row for each event that arrived.
            let delivered = self.arrived.keys().filter(|id| self.published.get(*id) == Some(&index)).count();
            let partition = format!("{}#{}", hook.tenant, hook.id);
            let recorded = self
                .harness
                .context
                .aws
                .successes(&self.harness.context.stack.tables.deliveries, &partition)?;
            let delivered = u64::try_from(delivered)?;
            if recorded < delivered || self.one_row_each && recorded > delivered {
                let problem = format!("{delivered} delivered to {}, {recorded} recorded", hook.path);
                self.problems.push(problem);
            }
            let gone = self.hooks[index].api.delete(&self.hooks[index].at())?.status;
            if ![204, 404].contains(&gone) {
                bail!("{} was not deleted: {gone}", self.hooks[index].path);
            }
        }
        let dead = self.harness.drain_dlqs()?;
        if let Some((body, reason)) = dead.first() {
            self.problems.push(format!(
                "{} messages in the dead-letter queues, such as {body:.300} ({reason:?})",
                dead.len()
            ));
        }
        self.harness.context.control.forget_requests()?;
        self.harness.context.control.forget_behaviors()?;
        if self.refused > 0 {
            self.notes.push(format!("{} requests answered with a failure", self.refused));
        }
        let sent: usize = self.arrived.values().sum();
        Ok(Line {
            name: self.name,
            published: self.published.len(),
            delivered: self.arrived.len(),
            duplicates: sent - self.arrived.len(),
            withheld: self.withheld.iter().filter(|id| !self.arrived.contains_key(*id)).count(),
            lost: self.missing(),
            seconds,
            faults: self.faults,
            notes: self.notes,
            problems: self.problems,
        })
    }
}

/// Publishes events with concurrent publishers, a hundred per call. Returns the number of retried calls.
pub(crate) fn publish_calls(api: &Api, events: &[Value]) -> Result<usize> {
    let calls: Vec<_> = events.chunks(CALL).collect();
    scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let calls = &calls;
                scope.spawn(move || {
                    calls.iter().skip(publisher).step_by(PUBLISHERS).map(|call| publish(api, call)).sum()
                })
            })
            .collect();
        let mut again = 0;
        for publisher in publishers {
            let outcome: Result<usize> =
                publisher.join().map_err(|_| anyhow::anyhow!("a publisher panicked"))?;
            again += outcome?;
        }
        Ok(again)
    })
}

/// Publishes events in one call, which it retries until it is accepted. Returns the number of retries.
fn publish(api: &Api, events: &[Value]) -> Result<usize> {
    let (started, body) = (Instant::now(), Value::from(events));
    let mut again = 0;
    loop {
        let said = match api.post_as("/api/v1/events", "application/cloudevents-batch+json", &body) {
            Ok(answer) if answer.status == 202 => {
                let accepted = answer.json()?["deliveries"].as_u64();
                ensure!(
                    accepted == Some(u64::try_from(events.len())?),
                    "not one delivery per event: {answer}"
                );
                return Ok(again);
            }
            Ok(answer) if answer.status >= 500 || answer.status == 429 => answer.to_string(),
            Ok(answer) => bail!("an event was refused: {answer}"),
            Err(error) => format!("{error:#}"),
        };
        ensure!(started.elapsed() < PUBLISH_TIMEOUT, "not accepted within {PUBLISH_TIMEOUT:?}: {said}");
        again += 1;
        sleep(Duration::from_millis(100));
    }
}

pub(crate) fn id_of(event: &Value) -> String {
    event["id"].as_str().unwrap_or_default().to_owned()
}

/// Computes `webhook-id` as documented, without the product's code: SHA-256 over tenant, webhook, source and id, each preceded by its
/// length; the first half in base64.
fn webhook_id(tenant: &str, webhook: &str, event: &str) -> String {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    for part in [tenant, webhook, SOURCE, event] {
        hash.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finish();
    format!("msg_{}", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]))
}
