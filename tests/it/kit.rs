//! The test kit: a database with both tables, a KMS stub, the egress client with a receiver, and the functions on top of them.

use std::path::PathBuf;
use std::sync::Arc;

use anzol_api::{AppState, Cursors};
use anzol_domain::delivery::{ReceivedResponse, SentRequest};
use anzol_domain::event::MAX_EVENT;
use anzol_domain::health::DisablePolicy;
use anzol_domain::page::{Order, Position};
use anzol_domain::retry::Schedule;
use anzol_domain::webhook::{Defaults, WEBHOOK_CAP, WebhookInput};
use anzol_domain::{
    Delivery, DeliveryId, Event, FailureKind, Sealed, Status, TenantId, Trigger, UserId, Webhook, WebhookId,
    WebhookUrl,
};
use anzol_egress::{Egress, Settings};
use anzol_fanout::Fanout;
use anzol_http::Claims;
use anzol_ingest::IngestState;
use anzol_pipeline::{Deliverer, Dispatcher, HealthTracker, Recoverer, Settler, SlowAfter};
use anzol_queue::{DeliveryQueues, Queue};
use anzol_runtime::now;
use anzol_sender::Sender;
use anzol_store::{Deliveries, DeliveryFilter, DeliveryQuery, Webhooks};
use anzol_tests::aws::Aws;
use anzol_tests::client::Control;
use anzol_tests::receiver::{Options, Receiver};
use anzol_vault::Vault;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::{Value, json};
use time::OffsetDateTime;

use self::kms::Kms;
use self::queues::SLOW_ARN;

mod engine;
mod gateway;
pub(crate) mod kms;
pub(crate) mod queue_rules;
pub(crate) mod queues;

pub(crate) use self::engine::{Engine, Publisher, batch, batch_from, deadline, failed, task};
pub(crate) use self::gateway::{Answer, Api, As};

const REGION: &str = "us-east-1";

/// The services that the functions use, without queues: a database with both tables, KMS and the vault.
pub(crate) struct TestContext {
    pub(crate) webhooks: Webhooks,
    /// The KMS stub that the vault uses.
    pub(crate) kms: Kms,
    pub(crate) vault: Vault,
    pub(crate) deliveries: Deliveries,
    pub(crate) deliveries_table: String,
    pub(crate) webhooks_table: String,
    /// Delivery queues at an unreachable endpoint.
    pub(crate) unreachable_queues: DeliveryQueues,
    /// A queue at an unreachable endpoint.
    pub(crate) unreachable_queue: Queue,
    /// Configuration of the SDK clients.
    pub(crate) config: aws_types::SdkConfig,
    /// A client of the database that does not use the store.
    pub(crate) raw: Aws,
}

/// Returns the SDK configuration of the functions with a test's endpoint.
pub(crate) fn config(endpoint: String) -> aws_types::SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "tests");
    anzol_runtime::aws::config()
        .unwrap()
        .into_builder()
        .endpoint_url(endpoint)
        .region(aws_types::region::Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// The queues that a sender uses besides its own.
pub(crate) struct SenderQueues {
    /// For retries and deferred deliveries.
    pub(crate) deliveries: DeliveryQueues,
    /// For operational events.
    pub(crate) events: Queue,
    pub(crate) dlq: Queue,
}

impl TestContext {
    /// Starts a context with an egress client of default settings.
    pub(crate) async fn with_egress() -> (Self, EgressHarness) {
        (Box::pin(Self::start()).await, EgressHarness::start(Settings::default()).await)
    }

    /// Starts a context with an egress client and the router of `api`.
    pub(crate) async fn with_api() -> (Self, EgressHarness, Api) {
        let (context, egress) = Box::pin(Self::with_egress()).await;
        let api = context.api(&egress);
        (context, egress, api)
    }

    pub(crate) async fn start() -> Self {
        let endpoint = match anzol_runtime::config::optional("AWS_ENDPOINT_URL") {
            Some(endpoint) => endpoint,
            None => in_memory().await,
        };
        let raw = Aws::at(&endpoint, REGION);
        let unique = WebhookId::mint(now());
        let (webhooks, deliveries_table) = (format!("webhooks-{unique}"), format!("deliveries-{unique}"));
        create(&raw, webhooks_schema(&webhooks)).await;
        create(&raw, deliveries_schema(&deliveries_table)).await;
        let config = config(endpoint);
        let unreachable = config.to_builder().endpoint_url("http://127.0.0.1:1").build();
        let kms = Box::pin(Kms::start(&config)).await;
        Self {
            vault: kms.vault(),
            kms,
            webhooks: Webhooks::new(&config, &webhooks),
            webhooks_table: webhooks,
            deliveries: Deliveries::new(&config, &deliveries_table),
            deliveries_table,
            unreachable_queues: DeliveryQueues::new(
                &unreachable,
                "http://127.0.0.1:1/1/fast",
                "http://127.0.0.1:1/1/slow",
            ),
            unreachable_queue: Queue::new(&unreachable, "http://127.0.0.1:1/1/events"),
            config,
            raw,
        }
    }

    /// Returns the router of `api` on this database, sending through `egress`.
    pub(crate) fn api(&self, egress: &EgressHarness) -> Api {
        Api(anzol_api::router(self.state(egress)))
    }

    /// Returns the state of that router, with an external token issuer.
    pub(crate) fn state(&self, egress: &EgressHarness) -> AppState {
        AppState {
            webhooks: self.webhooks.clone(),
            vault: self.vault.clone(),
            deliveries: self.deliveries.clone(),
            deliverer: Deliverer::new(egress.client.clone(), now),
            health: self.health(DisablePolicy::default()),
            settler: Settler::new(
                self.deliveries.clone(),
                self.unreachable_queues.clone(),
                Schedule::default(),
                now,
            ),
            recoverer: Recoverer::new(self.deliveries.clone(), self.unreachable_queues.clone(), now),
            tokens: None,
            claims: Claims::default(),
            cursors: Cursors::default(),
            cap: WEBHOOK_CAP,
            clock: now,
        }
    }

    /// Returns a health tracker on this database whose operational events are lost.
    pub(crate) fn health(&self, policy: DisablePolicy) -> HealthTracker {
        HealthTracker::new(self.webhooks.clone(), self.unreachable_queue.clone(), policy, now)
    }

    /// Returns a sender on this database.
    pub(crate) fn sender(
        &self,
        egress: &EgressHarness,
        queues: SenderQueues,
        policy: DisablePolicy,
    ) -> Sender {
        let SenderQueues { deliveries: retries, events, dlq } = queues;
        Sender {
            webhooks: self.webhooks.clone(),
            vault: self.vault.clone(),
            deliverer: Deliverer::new(egress.client.clone(), now),
            settler: Settler::new(self.deliveries.clone(), retries.clone(), Schedule::default(), now),
            recoverer: Recoverer::new(self.deliveries.clone(), retries, now),
            health: HealthTracker::new(self.webhooks.clone(), events, policy, now),
            dlq,
            slow_lane_arn: SLOW_ARN.to_owned(),
            slow_after: SlowAfter::default(),
            clock: now,
        }
    }

    /// Returns a sender whose queues are unreachable.
    pub(crate) fn sender_without_queues(&self, egress: &EgressHarness) -> Sender {
        let queue = || self.unreachable_queue.clone();
        let queues =
            SenderQueues { deliveries: self.unreachable_queues.clone(), events: queue(), dlq: queue() };
        self.sender(egress, queues, DisablePolicy::default())
    }

    /// Returns a dispatcher on this database that queues deliveries on `queues`.
    pub(crate) fn dispatcher(&self, queues: DeliveryQueues) -> Dispatcher {
        Dispatcher::new(self.webhooks.clone(), queues, self.deliveries.match_records(), now)
    }

    /// Returns the router of `ingest` with unreachable queues.
    pub(crate) fn ingest(&self) -> Api {
        Api(anzol_ingest::router(ingest_state(self.dispatcher(self.unreachable_queues.clone()))))
    }

    /// Stores rows of the history.
    pub(crate) async fn put_deliveries(&self, rows: &[Delivery]) {
        assert!(self.deliveries.put_all(rows).await.is_empty());
    }

    /// Returns a webhook's history, oldest first, at most 100 rows.
    pub(crate) async fn history(&self, webhook: &Webhook) -> Vec<Delivery> {
        let query = DeliveryQuery {
            filter: DeliveryFilter::default(),
            order: Order::Ascending,
            position: Position::Start,
            limit: 100,
        };
        self.deliveries.list(&webhook.tenant_id, webhook.id, &query, now()).await.unwrap().items
    }

    /// Creates another deliveries table.
    pub(crate) async fn create_deliveries(&self, name: &str) {
        create(&self.raw, deliveries_schema(name)).await;
    }

    /// Calls an operation of the database without the store.
    pub(crate) async fn dynamodb(&self, operation: &str, request: Value) -> Value {
        let (raw, target) = (self.raw.clone(), format!("DynamoDB_20120810.{operation}"));
        tokio::task::spawn_blocking(move || raw.call("dynamodb", &target, &request)).await.unwrap().unwrap()
    }

    /// Returns the table and key of a webhook's item, for [`Self::dynamodb`].
    pub(crate) fn webhook_key(&self, tenant: &str, id: impl std::fmt::Display) -> Value {
        let key =
            json!({ "pk": { "S": format!("TENANT#{tenant}") }, "sk": { "S": format!("WEBHOOK#{id}") } });
        json!({ "TableName": self.webhooks_table, "Key": key })
    }

    /// Returns deliveries as stored in the database.
    pub(crate) async fn raw_deliveries(&self, sort_key: String) -> Vec<Value> {
        let (raw, table) = (self.raw.clone(), self.deliveries_table.clone());
        tokio::task::spawn_blocking(move || raw.items_with_sort_key_like(&table, &sort_key))
            .await
            .unwrap()
            .unwrap()
    }
}

async fn in_memory() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory().unwrap()));
    endpoint
}

// The tables' schemas, as in infra/template.yaml.

fn key_attribute(name: &str, kind: &str) -> Value {
    json!({ "AttributeName": name, "KeyType": kind })
}

fn text_attribute(name: &str) -> Value {
    json!({ "AttributeName": name, "AttributeType": "S" })
}

fn webhooks_schema(name: &str) -> Value {
    let (key, text) = (key_attribute, text_attribute);
    json!({
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [text("pk"), text("sk")], "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
    })
}

fn deliveries_schema(name: &str) -> Value {
    let (key, text) = (key_attribute, text_attribute);
    json!({
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [text("pk"), text("sk"), text("failedOf")],
        "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
        "GlobalSecondaryIndexes": [{
            "IndexName": "failures", "KeySchema": [key("failedOf", "HASH"), key("sk", "RANGE")],
            "Projection": { "ProjectionType": "INCLUDE", "NonKeyAttributes": ["eventType"] },
        }],
    })
}

async fn create(raw: &Aws, table: Value) {
    let raw = raw.clone();
    let created =
        tokio::task::spawn_blocking(move || raw.call("dynamodb", "DynamoDB_20120810.CreateTable", &table));
    created.await.unwrap().unwrap();
}

/// The egress client and a receiver that it reaches.
pub(crate) struct EgressHarness {
    pub(crate) client: Egress,
    pub(crate) receiver: Control,
    address: String,
    ca_file: PathBuf,
}

impl EgressHarness {
    /// Starts a receiver, which the client reaches as `*.receiver.test`.
    pub(crate) async fn start(settings: Settings) -> Self {
        let receiver = Receiver::start(Options::default()).await.unwrap();
        let ca_file = std::env::temp_dir().join(format!("anzol-ca-{}.pem", WebhookId::mint(now())));
        std::fs::write(&ca_file, receiver.ca_pem()).unwrap();
        let state = receiver.state(&ca_file);
        tokio::spawn(receiver.run());
        let settings = Settings {
            receiver: Some(state.address.parse().unwrap()),
            receiver_ca: Some(ca_file.clone()),
            ..settings
        };
        let receiver = Control::new(&state.control_url);
        Self { client: Egress::new(&settings).unwrap(), receiver, address: state.address, ca_file }
    }

    /// Returns the variables that make a local build reach the receiver.
    pub(crate) fn variables(&self) -> [(&str, String); 2] {
        let ca_file = self.ca_file.display().to_string();
        [("ANZOL_RECEIVER_ADDRESS", self.address.clone()), ("ANZOL_RECEIVER_CA_FILE", ca_file)]
    }

    /// Calls the receiver's control API, which blocks.
    pub(crate) async fn control<T: Send + 'static>(
        &self,
        call: impl FnOnce(Control) -> T + Send + 'static,
    ) -> T {
        let receiver = self.receiver.clone();
        tokio::task::spawn_blocking(move || call(receiver)).await.unwrap()
    }
}

impl Drop for EgressHarness {
    fn drop(&mut self) {
        std::fs::remove_file(&self.ca_file).ok();
    }
}

/// Signing secret of [`webhook`].
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Value of the encrypted header `X-Token` of [`webhook`].
pub(crate) const TOKEN: &str = "for the receiver alone";

/// Seals [`SECRET`] and [`TOKEN`] in format 1: a secret of 32 bytes, no retired one, and one header value of 22 bytes. The format must
/// not change, because stored secrets must stay readable.
fn sealed(tenant: &TenantId, id: WebhookId) -> Sealed {
    let plain = [b"\x01\x01\x20", SECRET.as_bytes(), b"\x00\x01\x16", TOKEN.as_bytes()].concat();
    Sealed {
        ciphertext: Kms::sealed(tenant, id, &plain),
        has_secret: true,
        header_names: vec!["X-Token".to_owned()],
    }
}

/// Returns [`webhook`] with a change.
pub(crate) fn webhook_with(tenant: &str, change: impl FnOnce(&mut Webhook)) -> Webhook {
    let mut webhook = webhook(tenant);
    change(&mut webhook);
    webhook
}

/// Returns [`webhook`] with this path of `hooks.receiver.test` as its URL.
pub(crate) fn webhook_at(tenant: &str, path: &str) -> Webhook {
    webhook_with(tenant, |webhook| {
        webhook.spec.url = WebhookUrl::parse(&format!("https://hooks.receiver.test/{path}")).unwrap();
    })
}

/// Returns a webhook of a tenant's admin that matches new apps.
pub(crate) fn webhook(tenant: &str) -> Webhook {
    let user = UserId::parse(&format!("{tenant}-admin")).unwrap();
    let input = WebhookInput {
        name: Some("Test".to_owned()),
        url: Some("https://hooks.receiver.test/in".to_owned()),
        event_types: Some(vec!["com.qlik.v1.app.created".to_owned()]),
        headers: Some([("X-Key".to_owned(), "value".to_owned())].into()),
        ..WebhookInput::default()
    };
    let (id, tenant_id) = (WebhookId::mint(now()), TenantId::parse(tenant).unwrap());
    let sealed = Some(sealed(&tenant_id, id));
    let spec = input.check(&Defaults::creation(&user)).unwrap().0;
    Webhook { sealed, ..Webhook::new(id, tenant_id, spec, user, now()) }
}

/// The example event of the contract.
const EXAMPLE: &str = include_str!("../events/app-deleted.json");

/// Returns a delivery of the example event to a webhook.
pub(crate) fn delivery(webhook: &Webhook, at: OffsetDateTime, status: Status) -> Delivery {
    let body = Event::parse(EXAMPLE, now()).unwrap().outgoing(false);
    let signature = "04d0cb10af02069aabc4eb1b185d379574f9cc812bb3e4a346d4f6e1271e1805";
    let headers = [
        ("Content-Type", "application/json"),
        ("User-Agent", "Qlik Webhook"),
        ("webhook-id", "msg_KvIfq6wmPGoSJ2PfVqtvFw"),
        ("webhook-timestamp", "1795514400"),
        ("Qlik-Signature", signature),
        ("traceparent", "00-5759e988bd862e3fe1be46a994272793-9f3c61d2b07e45aa-01"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ("X-Key", "value"),
    ];
    let pairs =
        |list: &[(&str, &str)]| list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let fail = status == Status::Fail;
    Delivery {
        id: DeliveryId::mint(at),
        tenant_id: webhook.tenant_id.clone(),
        webhook_id: webhook.id,
        event_type: "com.qlik.v1.app.deleted".to_owned(),
        status,
        failure: fail.then_some(FailureKind::HttpStatus),
        status_message: fail.then(|| "the receiver answered 500".to_owned()),
        attempt: 1,
        trigger: Trigger::Event,
        duration_ms: 87,
        next_attempt: None,
        retry_after: None,
        request: SentRequest { url: webhook.spec.url.to_string(), headers: pairs(&headers), body },
        response: Some(ReceivedResponse {
            status_code: if fail { 500 } else { 200 },
            headers: pairs(&[
                ("content-type", "text/plain"),
                ("content-length", "2"),
                ("date", "Tue, 24 Nov 2026 10:00:00 GMT"),
            ]),
            body: "OK".to_owned(),
            headers_cut: false,
            body_cut: false,
            body_error: None,
        }),
    }
}

/// Returns the state of `ingest` with a dispatcher and default settings.
pub(crate) fn ingest_state(dispatcher: Dispatcher) -> IngestState {
    IngestState {
        dispatcher: Arc::new(dispatcher),
        claims: Claims::default().into(),
        clock: now,
        largest_event: MAX_EVENT,
        signature: None,
    }
}

/// Returns a fanout with a dispatcher, a dead-letter queue and default settings.
pub(crate) fn fanout(dispatcher: Dispatcher, dlq: Queue) -> Fanout {
    Fanout { dispatcher, dlq, clock: now, largest_event: MAX_EVENT }
}
