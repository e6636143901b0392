//! The test kit: a database with both tables, a KMS stub, the egress client with a receiver, and the functions on top of them.

use std::path::PathBuf;

use anzol_api::{AppState, Cursors};
use anzol_domain::health::DisablePolicy;
use anzol_domain::webhook::{RawSpec, WEBHOOK_CAP};
use anzol_domain::{Health, Level, Origin, Sealed, TenantId, UserId, Webhook, WebhookId};
use anzol_egress::{Egress, Settings};
use anzol_http::Claims;
use anzol_pipeline::{Deliverer, HealthTracker, Recoverer};
use anzol_queue::{DeliveryQueues, Queue};
use anzol_runtime::now;
use anzol_store::{Deliveries, Webhooks};
use anzol_tests::aws::Aws;
use anzol_tests::client::Control;
use anzol_tests::receiver::{Options, Receiver};
use anzol_vault::Vault;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::HeaderMap;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::kms::Kms;

const REGION: &str = "us-east-1";

/// Everything that the functions need outside themselves, without queues: a database with both tables, KMS and the vault.
pub(crate) struct Cloud {
    pub(crate) webhooks: Webhooks,
    /// The KMS stub that the vault uses.
    pub(crate) kms: Kms,
    pub(crate) vault: Vault,
    pub(crate) deliveries: Deliveries,
    pub(crate) deliveries_table: String,
    pub(crate) webhooks_table: String,
    /// Delivery queues at an unreachable endpoint.
    pub(crate) no_queues: DeliveryQueues,
    /// A queue at an unreachable endpoint.
    pub(crate) no_queue: Queue,
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

impl Cloud {
    pub(crate) async fn start() -> Self {
        let endpoint = match anzol_runtime::config::optional("AWS_ENDPOINT_URL") {
            Some(endpoint) => endpoint,
            None => in_memory().await,
        };
        let raw = Aws::at(&endpoint, REGION);
        let unique = WebhookId::mint(now());
        let (webhooks, deliveries_table) = (format!("webhooks-{unique}"), format!("deliveries-{unique}"));
        let (key, text) = (key_attribute, text_attribute);
        create(&raw, json!({
            "TableName": webhooks, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [text("pk"), text("sk")], "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
        })).await;
        create_deliveries(&raw, &deliveries_table).await;
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
            no_queues: DeliveryQueues::new(
                &unreachable,
                "http://127.0.0.1:1/1/fast",
                "http://127.0.0.1:1/1/slow",
            ),
            no_queue: Queue::new(&unreachable, "http://127.0.0.1:1/1/events"),
            config,
            raw,
        }
    }

    /// Returns the router of `api` on this database, sending through `way_out`.
    pub(crate) fn api(&self, way_out: &EgressHarness) -> Api {
        Api(anzol_api::router(self.state(way_out)))
    }

    /// Returns the router's state, with an external token issuer.
    pub(crate) fn state(&self, way_out: &EgressHarness) -> AppState {
        AppState {
            webhooks: self.webhooks.clone(),
            vault: self.vault.clone(),
            deliveries: self.deliveries.clone(),
            deliverer: Deliverer::new(way_out.egress.clone(), now),
            health: self.health(DisablePolicy::default()),
            recoverer: Recoverer::new(self.deliveries.clone(), self.no_queues.clone(), now),
            tokens: None,
            claims: Claims::default(),
            cursors: Cursors::default(),
            cap: WEBHOOK_CAP,
            clock: now,
        }
    }

    /// Returns a health tracker on this database whose operational events are lost.
    pub(crate) fn health(&self, policy: DisablePolicy) -> HealthTracker {
        HealthTracker::new(self.webhooks.clone(), self.no_queue.clone(), policy, now)
    }

    /// Creates another deliveries table.
    pub(crate) async fn create_deliveries(&self, name: &str) {
        create_deliveries(&self.raw, name).await;
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

async fn create_deliveries(raw: &Aws, name: &str) {
    let (key, text) = (key_attribute, text_attribute);
    create(
        raw,
        json!({
            "TableName": name, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [text("pk"), text("sk"), text("failedOf")],
            "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
            "GlobalSecondaryIndexes": [{
                "IndexName": "failures", "KeySchema": [key("failedOf", "HASH"), key("sk", "RANGE")],
                "Projection": { "ProjectionType": "INCLUDE", "NonKeyAttributes": ["eventType"] },
            }],
        }),
    )
    .await;
}

async fn create(raw: &Aws, table: Value) {
    let raw = raw.clone();
    let created =
        tokio::task::spawn_blocking(move || raw.call("dynamodb", "DynamoDB_20120810.CreateTable", &table));
    created.await.unwrap().unwrap();
}

/// The egress client and a receiver that it reaches.
pub(crate) struct EgressHarness {
    pub(crate) egress: Egress,
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
        Self { egress: Egress::new(&settings).unwrap(), receiver, address: state.address, ca_file }
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

/// A caller: the claims that the gateway passes on.
#[derive(Clone)]
pub(crate) struct As(Value);

impl As {
    pub(crate) fn admin(tenant: &str) -> Self {
        Self(
            json!({ "sub": format!("{tenant}-admin"), "custom:tenantId": tenant, "cognito:groups": "[TenantAdmin]" }),
        )
    }

    pub(crate) fn user(tenant: &str, name: &str) -> Self {
        Self(json!({ "sub": name, "custom:tenantId": tenant }))
    }

    pub(crate) fn claims(claims: Value) -> Self {
        Self(claims)
    }
}

/// A router, called with the gateway's Lambda events.
pub(crate) struct Api(pub(crate) Router);

impl Api {
    /// Calls the router with a JSON body. Returns status and body.
    pub(crate) async fn call(
        &self,
        who: Option<&As>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let answer = self.exchange(who, method, path, Some("application/json"), body).await;
        (answer.status, answer.body)
    }

    /// Calls the router with any content type, or none. A body that is a string is sent unchanged.
    pub(crate) async fn exchange(
        &self,
        who: Option<&As>,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let headers: Vec<_> = content_type.into_iter().map(|kind| ("content-type", kind)).collect();
        self.exchange_with(who, method, path, &headers, body).await
    }

    /// Calls the router with any headers.
    pub(crate) async fn exchange_with(
        &self,
        who: Option<&As>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut context = json!({
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test" },
            "routeKey": "$default", "stage": "$default", "requestId": "r", "accountId": "1", "apiId": "a",
            "domainName": "hooks.example.com", "timeEpoch": 0,
        });
        if let Some(As(claims)) = who {
            context["authorizer"] = json!({ "jwt": { "claims": claims, "scopes": null } });
        }
        let mut all = json!({ "host": "hooks.example.com" });
        for (name, value) in headers {
            all[*name] = json!(value);
        }
        let headers = all;
        let event = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": headers,
            "requestContext": context, "isBase64Encoded": false,
            "body": body.map(|body| match body { Value::String(raw) => raw, json => json.to_string() }),
        });
        self.invoke(&event).await.unwrap()
    }

    /// Invokes the router with any event, valid or not. Returns `None` when Lambda's library cannot parse it, which fails the invocation.
    pub(crate) async fn invoke(&self, event: &Value) -> Option<Answer> {
        let request = lambda_http::request::from_str(&event.to_string()).ok()?;
        let response = self.0.clone().oneshot(request.map(Body::new)).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Some(Answer { status, headers, body })
    }
}

/// The router's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the details of all errors, one per line.
    pub(crate) fn details(&self) -> String {
        let errors = self.body["errors"].as_array().unwrap_or_else(|| panic!("no errors in {self:?}"));
        errors.iter().map(|error| error["detail"].as_str().unwrap_or_default()).collect::<Vec<_>>().join("\n")
    }
}

/// Signing secret of [`webhook`].
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Value of the encrypted header `X-Token` of [`webhook`].
pub(crate) const TOKEN: &str = "for the receiver alone";

/// Seals both in format 1: a secret of 32 bytes, no retired one, and one header value of 22 bytes. Must not change, because sealed
/// secrets have to stay readable.
fn sealed(tenant: &TenantId, id: WebhookId) -> Sealed {
    let plain = [b"\x01\x01\x20", SECRET.as_bytes(), b"\x00\x01\x16", TOKEN.as_bytes()].concat();
    Sealed {
        ciphertext: Kms::sealed(tenant, id, &plain),
        has_secret: true,
        header_names: vec!["X-Token".to_owned()],
    }
}

/// Returns a webhook of a tenant's admin that matches new apps.
pub(crate) fn webhook(tenant: &str) -> Webhook {
    let user = UserId::parse(&format!("{tenant}-admin")).unwrap();
    let raw = RawSpec {
        name: Some("Test".to_owned()),
        description: None,
        url: Some("https://hooks.receiver.test/in".to_owned()),
        event_types: vec!["com.qlik.v1.app.created".to_owned()],
        level: Level::Tenant,
        owner_id: user.to_string(),
        secret: None,
        filter: None,
        headers: [("X-Key".to_owned(), "value".to_owned())].into(),
        encrypted_headers: [].into(),
        enabled: true,
        cloud_events: false,
    };
    let (id, tenant_id) = (WebhookId::mint(now()), TenantId::parse(tenant).unwrap());
    Webhook {
        id,
        sealed: Some(sealed(&tenant_id, id)),
        tenant_id,
        spec: raw.check().unwrap().0,
        origin: Origin::Api,
        created_at: now(),
        updated_at: now(),
        created_by: user.clone(),
        updated_by: user,
        health: Health::default(),
        disabled: None,
        version: 1,
    }
}
