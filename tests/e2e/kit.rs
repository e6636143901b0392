//! The kit of the end-to-end tests: the stack and its callers, webhooks that delete themselves, unique events, and polling.

use std::io::{self, Write as _};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anzol_tests::client::{Answer, Api};
pub(crate) use anzol_tests::context::{SECRET, StackContext};
use anzol_tests::receiver::{Behavior, End, Received};
pub(crate) use anzol_tests::signatures::{qlik_signature, standard_signature};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) const WEBHOOKS: &str = "/api/v1/webhooks";
pub(crate) const EVENTS: &str = "/api/v1/events";

/// The eight required event types.
pub(crate) const APP_CREATED: &str = "com.qlik.v1.app.created";
pub(crate) const APP_DELETED: &str = "com.qlik.v1.app.deleted";
pub(crate) const APP_DATA_UPDATED: &str = "com.qlik.v1.app.data.updated";
pub(crate) const APP_RELOAD_FINISHED: &str = "com.qlik.v1.app.reload.finished";
pub(crate) const APP_PUBLISHED: &str = "com.qlik.v1.app.published";
pub(crate) const APP_EXPORTED: &str = "com.qlik.v1.app.exported";
pub(crate) const USER_CREATED: &str = "com.qlik.v1.user.created";
pub(crate) const USER_DELETED: &str = "com.qlik.v1.user.deleted";
pub(crate) const EVENT_TYPES: [&str; 8] = [
    APP_CREATED,
    APP_DELETED,
    APP_DATA_UPDATED,
    APP_RELOAD_FINISHED,
    APP_PUBLISHED,
    APP_EXPORTED,
    USER_CREATED,
    USER_DELETED,
];

/// Time for an event to pass through every queue of a busy local cloud.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Time to wait for an unexpected request, after the expected ones have arrived.
const GRACE_PERIOD: Duration = Duration::from_millis(1500);

static CONTEXT: LazyLock<StackContext> = LazyLock::new(|| {
    StackContext::load().unwrap_or_else(|error| {
        // One line for all tests together, written directly to stderr, because the harness holds back the tests' output.
        writeln!(io::stderr(), "\ne2e: {error:#}").ok();
        process::exit(2)
    })
});

/// Returns the stack under test and its callers.
pub(crate) fn context() -> &'static StackContext {
    &CONTEXT
}

/// Reserves globex for one test, without webhooks, so that the test can count.
pub(crate) fn globex_alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    delete_all(&context().globex_admin);
    guard
}

/// Deletes every webhook the caller sees.
pub(crate) fn delete_all(api: &Api) {
    loop {
        let page =
            api.get(&format!("{WEBHOOKS}?limit=100")).unwrap().expect_status(200).unwrap().json().unwrap();
        let webhooks = page["data"].as_array().unwrap().clone();
        if webhooks.is_empty() {
            return;
        }
        for webhook in webhooks {
            let id = webhook["id"].as_str().unwrap();
            let gone = api.delete(&format!("{WEBHOOKS}/{id}")).unwrap();
            assert!([204, 404].contains(&gone.status), "{gone}");
        }
    }
}

/// Returns the items of each page of a list, following only its links.
pub(crate) fn pages(api: &Api, first: String) -> Vec<Vec<Value>> {
    const MAX_PAGES: usize = 20;
    let (mut pages, mut next) = (Vec::new(), Some(first));
    while let Some(at) = next {
        let mut page = api.get(&at).unwrap().expect_status(200).unwrap().json().unwrap();
        let Value::Array(data) = page["data"].take() else { panic!("no data in {page:#}") };
        pages.push(data);
        assert!(pages.len() <= MAX_PAGES, "more than {MAX_PAGES} pages: {}", page["links"]);
        next = page["links"]["next"]["href"].as_str().map(str::to_owned);
    }
    pages
}

/// Returns a name that is unique across tests and runs.
pub(crate) fn unique(word: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    format!("{word}-{:x}{now:x}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

// ---------------------------------------------------------------- webhooks

/// A webhook with its own receiver path. It is deleted when it is dropped.
pub(crate) struct Hook {
    api: &'static Api,
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) created: Value,
}

impl Hook {
    /// Creates a webhook of `api`'s tenant for `event_types`; `more` adds members to the request or overrides them.
    pub(crate) fn new(api: &'static Api, word: &str, event_types: &[&str], more: &Value) -> Self {
        let name = unique(word);
        let path = format!("/{name}");
        let url = format!("{}{path}", context().stack.receiver.url);
        let mut request = json!({ "name": name, "url": url, "eventTypes": event_types });
        for (member, value) in more.as_object().expect("an object") {
            request[member] = value.clone();
        }
        let created = api.post(WEBHOOKS, &request).unwrap().expect_status(201).unwrap().json().unwrap();
        let id = created["id"].as_str().unwrap_or_else(|| panic!("no id in {created}")).to_owned();
        Self { api, id, path, created }
    }

    /// Returns the webhook's path in the API.
    pub(crate) fn at(&self) -> String {
        format!("{WEBHOOKS}/{}", self.id)
    }

    /// Returns the requests of one event that the receiver got, oldest first.
    pub(crate) fn received(&self, event_id: &str) -> Vec<Received> {
        let mut all = context().control.requests(&self.path).unwrap();
        all.retain(|request| body_json(request)["id"] == event_id);
        all
    }

    /// Waits until the receiver has got exactly `count` requests of one event.
    pub(crate) fn await_received(&self, event_id: &str, count: usize) -> Vec<Received> {
        self.await_received_within(SOON, event_id, count)
    }

    pub(crate) fn await_received_within(
        &self,
        limit: Duration,
        event_id: &str,
        count: usize,
    ) -> Vec<Received> {
        eventually(limit, &format!("{count} requests of event {event_id} on {}", self.path), || {
            let received = self.received(event_id);
            if received.len() == count { Ok(received) } else { Err(format!("{received:#?}")) }
        })
    }

    /// Waits briefly and asserts that no request of an event has arrived.
    pub(crate) fn assert_not_received(&self, event_id: &str) {
        sleep(GRACE_PERIOD);
        let received = self.received(event_id);
        assert!(received.is_empty(), "{} got event {event_id}: {received:#?}", self.path);
    }

    /// Waits briefly and asserts that exactly `count` requests of an event have arrived.
    pub(crate) fn assert_received_exactly(&self, event_id: &str, count: usize) {
        sleep(GRACE_PERIOD);
        let received = self.received(event_id);
        assert_eq!(received.len(), count, "{received:#?}");
    }

    /// Returns the history rows of one event, newest first.
    pub(crate) fn rows(&self, event_id: &str) -> Vec<Value> {
        let mut rows = self.history("");
        rows.retain(|row| row["request"]["body"]["id"] == event_id);
        rows
    }

    /// Returns the history from all pages, because it also contains other tests' events of the same type. `query` is added to the
    /// first page's query.
    pub(crate) fn history(&self, query: &str) -> Vec<Value> {
        pages(self.api, format!("{}/deliveries?limit=100{query}", self.at())).concat()
    }

    /// Waits until one event has exactly `count` history rows.
    pub(crate) fn await_rows(&self, event_id: &str, count: usize, limit: Duration) -> Vec<Value> {
        eventually(limit, &format!("{count} history rows of event {event_id} for {}", self.path), || {
            let rows = self.rows(event_id);
            if rows.len() == count { Ok(rows) } else { Err(format!("{rows:#?}")) }
        })
    }

    /// Sets how the receiver answers this webhook.
    pub(crate) fn receiver_behaves(&self, behavior: &Behavior) {
        context().control.behave(&self.path, behavior).unwrap();
    }

    /// Makes the receiver write exactly these bytes, then end the connection like this.
    pub(crate) fn receiver_writes(&self, bytes: impl Into<Vec<u8>>, end: End) {
        self.receiver_behaves(&Behavior::raw(bytes, end));
    }

    pub(crate) fn patch(&self, path: &str, value: &Value) -> Answer {
        self.api.patch(&self.at(), &json!([{ "op": "replace", "path": path, "value": value }])).unwrap()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.api.delete(&self.at()).ok();
    }
}

// ---------------------------------------------------------------- events

/// Returns the example event of the contract.
pub(crate) fn example() -> Value {
    serde_json::from_str(include_str!("../events/app-deleted.json")).unwrap()
}

/// Returns the example event with this tenant and a unique id.
pub(crate) fn legacy_event(tenant: &str) -> (String, Value) {
    let (id, mut event) = (unique("event"), example());
    event["eventId"] = json!(id);
    event["extensions"]["tenantId"] = json!(tenant);
    (id, event)
}

/// Returns a `CloudEvents` 1.0 event with a unique id.
pub(crate) fn cloud_event(event_type: &str, tenant: &str) -> (String, Value) {
    let id = unique("event");
    let event = json!({
        "specversion": "1.0", "id": id, "source": "com.qlik/engine", "type": event_type, "time": "2026-11-24T08:00:00Z",
        "datacontenttype": "application/json", "tenantid": tenant, "userid": "user-1",
        "data": { "id": "app-1", "name": "São Paulo \"quarterly\"", "size": { "file": 12.5, "memory": 0 }, "published": false },
    });
    (id, event)
}

/// Returns an event of acme in a space that no other test uses.
pub(crate) fn event_in(space: &str, event_type: &str) -> (String, Value) {
    let (id, mut event) = cloud_event(event_type, &context().acme);
    event["spaceid"] = json!(space);
    (id, event)
}

/// Returns a filter that matches the events of one space only.
pub(crate) fn only_in(space: &str) -> String {
    format!("spaceId eq \"{space}\"")
}

/// Publishes an event, which must be accepted. Returns the counts of the answer.
pub(crate) fn publish(api: &Api, event: &Value) -> Value {
    let legacy = event.get("cloudEventsVersion").is_some();
    let content_type = match event {
        Value::Array(_) => "application/cloudevents-batch+json",
        _ if legacy => "application/json",
        _ => "application/cloudevents+json",
    };
    api.post_as(EVENTS, content_type, event).unwrap().expect_status(202).unwrap().json().unwrap()
}

// ---------------------------------------------------------------- polling and assertions

/// Polls until `look` returns `Ok`. Panics with the last `Err` after `limit`.
pub(crate) fn eventually<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(started.elapsed() < limit, "no {what} within {limit:?}; last seen: {seen}"),
        }
        sleep(Duration::from_millis(100));
    }
}

/// Returns a time of a history row.
pub(crate) fn moment(row: &Value, member: &str) -> OffsetDateTime {
    let text = row[member].as_str().unwrap_or_else(|| panic!("no {member} in {row:#}"));
    OffsetDateTime::parse(text, &Rfc3339).unwrap()
}

pub(crate) fn body_json(request: &Received) -> Value {
    serde_json::from_slice(&request.body().unwrap()).unwrap_or_default()
}

/// Asserts an error in the contract's format: the status, at least one error, each with code, title and rule, and one of them with `named` as
/// its rule or as a part of its field.
#[track_caller]
pub(crate) fn assert_refused(answer: &Answer, status: u16, named: &str) {
    assert_eq!(answer.status, status, "{answer}");
    assert!(
        answer.header("content-type").starts_with("application/json"),
        "{:?} of {answer}",
        answer.headers
    );
    let body = answer.json().unwrap();
    let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors in {answer}"));
    assert!(!errors.is_empty(), "{answer}");
    for error in errors {
        for member in ["code", "title", "rule"] {
            assert!(error[member].as_str().is_some_and(|text| !text.is_empty()), "no {member} in {answer}");
        }
    }
    let text = |error: &Value, member: &str| error[member].as_str().unwrap_or_default().to_owned();
    let fits = |error: &Value| {
        text(error, "rule") == named || text(error, "field").split(['.', '[', ']']).any(|part| part == named)
    };
    assert!(named.is_empty() || errors.iter().any(fits), "no error names {named:?}: {answer}");
}
