//! What every test starts from: a database with both tables, the way out to a receiver, and the router that stands on them.

use std::path::PathBuf;

use anzol_api::{AppState, Cursors};
use anzol_domain::health::DisablePolicy;
use anzol_domain::retry::Schedule;
use anzol_domain::webhook::{Defaults, WEBHOOK_CAP, WebhookInput};
use anzol_domain::{Sealed, TenantId, UserId, Webhook, WebhookId};
use anzol_egress::{Egress, Settings};
use anzol_http::Claims;
use anzol_pipeline::{Deliverer, HealthTracker, Recoverer, Settler};
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

pub(crate) struct Cloud {
    pub(crate) webhooks: Webhooks,
    /// Where secrets are sealed and opened.
    pub(crate) kms: Kms,
    pub(crate) vault: Vault,
    pub(crate) deliveries: Deliveries,
    pub(crate) deliveries_table: String,
    pub(crate) webhooks_table: String,
    /// Queues that nobody listens at: whoever needs them learns that they cannot be reached.
    pub(crate) no_queues: DeliveryQueues,
    /// The same, for one.
    pub(crate) no_queue: Queue,
    /// How it is reached.
    pub(crate) config: aws_types::SdkConfig,
    /// The database's own API, for looking past the store.
    pub(crate) raw: Aws,
}

/// What every client of AWS starts from, with an endpoint of the tests' own.
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

    /// The router of `api` on this database, sending to `way_out`.
    pub(crate) fn api(&self, way_out: &EgressHarness) -> Api {
        Api(anzol_api::router(self.state(way_out)))
    }

    /// What that router stands on, with an outside issuer of tokens.
    pub(crate) fn state(&self, way_out: &EgressHarness) -> AppState {
        AppState {
            webhooks: self.webhooks.clone(),
            vault: self.vault.clone(),
            deliveries: self.deliveries.clone(),
            deliverer: Deliverer::new(way_out.egress.clone(), now),
            health: self.health(DisablePolicy::default()),
            settler: Settler::new(self.deliveries.clone(), self.no_queues.clone(), Schedule::default(), now),
            recoverer: Recoverer::new(self.deliveries.clone(), self.no_queues.clone(), now),
            tokens: None,
            claims: Claims::default(),
            cursors: Cursors::default(),
            cap: WEBHOOK_CAP,
            clock: now,
        }
    }

    /// Keeps the record of receivers on this database; its news go nowhere.
    pub(crate) fn health(&self, policy: DisablePolicy) -> HealthTracker {
        HealthTracker::new(self.webhooks.clone(), self.no_queue.clone(), policy, now)
    }

    /// Makes another table of deliveries.
    pub(crate) async fn create_deliveries(&self, name: &str) {
        create_deliveries(&self.raw, name).await;
    }

    /// A stored item as the database holds it.
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

// Both tables are as infra/template.yaml has them.

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

/// The way out and the receiver at its end.
pub(crate) struct EgressHarness {
    pub(crate) egress: Egress,
    pub(crate) receiver: Control,
    address: String,
    ca_file: PathBuf,
}

impl EgressHarness {
    /// A receiver of its own, reached as `*.receiver.test`.
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

    /// What tells a local build the same.
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

/// Who calls, as the gateway would say it.
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

/// The router, called with the events that the gateway sends to Lambda.
pub(crate) struct Api(pub(crate) Router);

impl Api {
    /// Calls it; answers status and body.
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

    /// Calls it with any content type, or none; a body that is a string goes out as it is.
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

    /// Calls it with any headers.
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

    /// Hands it any event, right or wrong; `None` when Lambda's own library cannot read it, which ends the invocation.
    pub(crate) async fn invoke(&self, event: &Value) -> Option<Answer> {
        let request = lambda_http::request::from_str(&event.to_string()).ok()?;
        let response = self.0.clone().oneshot(request.map(Body::new)).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Some(Answer { status, headers, body })
    }
}

/// What the router answers.
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

    /// The errors, each as its field and rule; the field is empty when an error is not about one.
    pub(crate) fn rules(&self) -> Vec<(&str, &str)> {
        let errors = self.body["errors"].as_array().unwrap_or_else(|| panic!("no errors in {self:?}"));
        errors
            .iter()
            .map(|error| {
                (error["field"].as_str().unwrap_or_default(), error["rule"].as_str().unwrap_or_default())
            })
            .collect()
    }

    /// The fields of the errors.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.rules().into_iter().map(|(field, _)| field).collect()
    }

    /// The parameters of the first error's rule.
    pub(crate) fn params(&self) -> &Value {
        &self.body["errors"][0]["params"]
    }
}

/// Signing secret of [`webhook`].
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Value of its encrypted header, `X-Token`.
pub(crate) const TOKEN: &str = "for the receiver alone";

/// Both as they are sealed: format 1, a secret of 32 bytes, no retired one, and one header value of 22 bytes. What was once sealed has
/// to be readable for ever, so this stays as it is.
fn sealed(tenant: &TenantId, id: WebhookId) -> Sealed {
    let plain = [b"\x01\x01\x20", SECRET.as_bytes(), b"\x00\x01\x16", TOKEN.as_bytes()].concat();
    Sealed {
        ciphertext: Kms::sealed(tenant, id, &plain),
        has_secret: true,
        header_names: vec!["X-Token".to_owned()],
    }
}

/// A webhook of a tenant's admin that hears of new apps.
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
