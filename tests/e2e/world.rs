//! What every test starts from: callers, webhooks that clean up after themselves, events nobody else publishes, and patience.

use std::io::{self, Write as _};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anzol_tests::aws::{Aws, hmac_sha256};
use anzol_tests::client::{Answer, Api, Control};
use anzol_tests::receiver::{Behaviour, End, Received};
use anzol_tests::stack::Stack;
use serde_json::{Value, json};

pub(crate) const WEBHOOKS: &str = "/api/v1/webhooks";
pub(crate) const EVENTS: &str = "/api/v1/events";

/// The eight event types of the mission.
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

/// A signing secret of the shortest length allowed.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Long enough for an event to pass through every queue of a busy local cloud.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Long enough to notice something that should not have come, once what should have come is there.
const A_MOMENT: Duration = Duration::from_millis(1500);

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let stack = Stack::load().unwrap_or_else(|error| {
        // One line for all tests together, past the harness that would keep it until the end.
        writeln!(io::stderr(), "\ne2e: {error:#}").ok();
        process::exit(2)
    });
    let caller = |who| Api::new(&stack.api_url, Some(stack.token(who).unwrap()));
    World {
        acme: stack.tenant("acme").unwrap().to_owned(),
        globex: stack.tenant("globex").unwrap().to_owned(),
        admin: caller("acme.admin"),
        user: caller("acme.user"),
        publisher: caller("acme.publisher"),
        platform: caller("platform.publisher"),
        globex_admin: caller("globex.admin"),
        nobody: Api::new(&stack.api_url, None),
        control: Control::new(&stack.receiver.control_url),
        aws: Aws::new(&stack),
        stack,
    }
});

/// The stack and everyone who calls it.
pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) acme: String,
    pub(crate) globex: String,
    pub(crate) admin: Api,
    pub(crate) user: Api,
    pub(crate) publisher: Api,
    pub(crate) platform: Api,
    pub(crate) globex_admin: Api,
    pub(crate) nobody: Api,
    pub(crate) control: Control,
    pub(crate) aws: Aws,
}

pub(crate) fn world() -> &'static World {
    &WORLD
}

/// Globex for one test alone, without any webhook: its tests count.
pub(crate) fn globex_alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    delete_all(&world().globex_admin);
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

/// What a list has on each page, by the links alone.
pub(crate) fn pages(api: &Api, first: String) -> Vec<Vec<Value>> {
    const MOST: usize = 20;
    let (mut pages, mut next) = (Vec::new(), Some(first));
    while let Some(at) = next {
        let mut page = api.get(&at).unwrap().expect_status(200).unwrap().json().unwrap();
        let Value::Array(data) = page["data"].take() else { panic!("no data in {page:#}") };
        pages.push(data);
        assert!(pages.len() <= MOST, "pages without end: {}", page["links"]);
        next = page["links"]["next"]["href"].as_str().map(str::to_owned);
    }
    pages
}

/// A name nobody else uses, in this run or another.
pub(crate) fn unique(word: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    format!("{word}-{:x}{now:x}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

// ---------------------------------------------------------------- webhooks

/// A webhook with a receiver path of its own, deleted when the test is over, however it ends.
pub(crate) struct Hook {
    api: &'static Api,
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) created: Value,
}

impl Hook {
    /// A webhook of `api`'s tenant for `event_types`; `more` adds to the request or overrides it.
    pub(crate) fn new(api: &'static Api, word: &str, event_types: &[&str], more: &Value) -> Self {
        let name = unique(word);
        let path = format!("/{name}");
        let url = format!("{}{path}", world().stack.receiver.url);
        let mut request = json!({ "name": name, "url": url, "eventTypes": event_types });
        for (member, value) in more.as_object().expect("an object") {
            request[member] = value.clone();
        }
        let created = api.post(WEBHOOKS, &request).unwrap().expect_status(201).unwrap().json().unwrap();
        let id = created["id"].as_str().unwrap_or_else(|| panic!("no id in {created}")).to_owned();
        Self { api, id, path, created }
    }

    /// Where the API keeps it.
    pub(crate) fn at(&self) -> String {
        format!("{WEBHOOKS}/{}", self.id)
    }

    /// What the receiver got of one event, oldest first.
    pub(crate) fn received(&self, event_id: &str) -> Vec<Received> {
        let mut all = world().control.requests(&self.path).unwrap();
        all.retain(|request| body_json(request)["id"] == event_id);
        all
    }

    /// Waits until the receiver got one event `count` times, and no more than that.
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

    /// Gives what should not come a moment to come after all.
    pub(crate) fn got_nothing_of(&self, event_id: &str) {
        sleep(A_MOMENT);
        let received = self.received(event_id);
        assert!(received.is_empty(), "{} should have got nothing of {event_id}: {received:#?}", self.path);
    }

    /// Gives a further sending of one event a moment to come after all.
    pub(crate) fn got_no_more_than(&self, event_id: &str, count: usize) {
        sleep(A_MOMENT);
        let received = self.received(event_id);
        assert_eq!(received.len(), count, "{received:#?}");
    }

    /// The history rows of one event, newest first.
    pub(crate) fn rows(&self, event_id: &str) -> Vec<Value> {
        let mut rows = self.history("");
        rows.retain(|row| row["request"]["body"]["id"] == event_id);
        rows
    }

    /// The whole history, page by page: other tests' events of the same type fill pages too. `query` goes into the first one's.
    pub(crate) fn history(&self, query: &str) -> Vec<Value> {
        pages(self.api, format!("{}/deliveries?limit=100{query}", self.at())).concat()
    }

    /// Waits for one event to have `count` history rows.
    pub(crate) fn await_rows(&self, event_id: &str, count: usize, limit: Duration) -> Vec<Value> {
        eventually(limit, &format!("{count} history rows of event {event_id} for {}", self.path), || {
            let rows = self.rows(event_id);
            if rows.len() == count { Ok(rows) } else { Err(format!("{rows:#?}")) }
        })
    }

    /// How the receiver answers this webhook from now on.
    pub(crate) fn receiver_behaves(&self, behaviour: &Behaviour) {
        world().control.behave(&self.path, behaviour).unwrap();
    }

    /// The receiver writes exactly these bytes from now on, then brings the connection to that end.
    pub(crate) fn receiver_writes(&self, bytes: impl Into<Vec<u8>>, end: End) {
        self.receiver_behaves(&Behaviour::raw(bytes, end));
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

/// The example of the mission's page, as it stands there.
pub(crate) fn example() -> Value {
    serde_json::from_str(include_str!("../events/app-deleted.json")).unwrap()
}

/// The same, of this tenant and with an id of its own.
pub(crate) fn legacy_event(tenant: &str) -> (String, Value) {
    let (id, mut event) = (unique("event"), example());
    event["eventId"] = json!(id);
    event["extensions"]["tenantId"] = json!(tenant);
    (id, event)
}

/// A `CloudEvents` 1.0 event with an id of its own.
pub(crate) fn cloud_event(event_type: &str, tenant: &str) -> (String, Value) {
    let id = unique("event");
    let event = json!({
        "specversion": "1.0", "id": id, "source": "com.qlik/engine", "type": event_type, "time": "2026-11-24T08:00:00Z",
        "datacontenttype": "application/json", "tenantid": tenant, "userid": "user-1",
        "data": { "id": "app-1", "name": "São Paulo \"quarterly\"", "size": { "file": 12.5, "memory": 0 }, "published": false },
    });
    (id, event)
}

/// The same of acme's, in a space that no other test's events are in.
pub(crate) fn event_in(space: &str, event_type: &str) -> (String, Value) {
    let (id, mut event) = cloud_event(event_type, &world().acme);
    event["spaceid"] = json!(space);
    (id, event)
}

/// The filter of a webhook that hears the events of one space only.
pub(crate) fn only_in(space: &str) -> String {
    format!("spaceId eq \"{space}\"")
}

/// Publishes as `api`, which has to be accepted; the counts that came back.
pub(crate) fn publish(api: &Api, event: &Value) -> Value {
    let legacy = event.get("cloudEventsVersion").is_some();
    let content_type = match event {
        Value::Array(_) => "application/cloudevents-batch+json",
        _ if legacy => "application/json",
        _ => "application/cloudevents+json",
    };
    api.post_as(EVENTS, content_type, event).unwrap().expect_status(202).unwrap().json().unwrap()
}

// ---------------------------------------------------------------- looking

/// Looks again and again until it likes what it sees; `Err` says what it saw instead.
pub(crate) fn eventually<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(begun.elapsed() < limit, "no {what} within {limit:?}; last seen: {seen}"),
        }
        sleep(Duration::from_millis(100));
    }
}

pub(crate) fn body_json(request: &Received) -> Value {
    serde_json::from_slice(&request.body().unwrap()).unwrap_or_default()
}

/// `Qlik-Signature` by ring, over the raw bytes that arrived.
pub(crate) fn qlik_signature(secret: &str, body: &[u8]) -> String {
    hex::encode(hmac_sha256(secret.as_bytes(), body))
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
