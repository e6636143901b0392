//! The environment of all parts: emulated AWS, a receiver, and the functions, which are called only as Lambda calls them.

use std::collections::BTreeMap;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use anzol_tests::client::Control;
use anzol_tests::receiver::{Options, Receiver};
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::emulated_aws::{self, EmulatedAws};
use crate::lambda::Function;

/// Number of events in one call of `ingest`, the API's maximum.
pub(crate) const EVENTS_A_CALL: usize = 100;
/// Number of messages in one batch of `sender`, as in the template.
pub(crate) const BATCH: usize = 10;

const EVENT_TYPE: &str = "com.qlik.v1.app.reload.finished";

/// Directories of a run.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The functions as they are deployed.
    pub(crate) functions: PathBuf,
    /// The functions with the feature `local`, which can reach the receiver.
    pub(crate) local: PathBuf,
    /// The baseline programs.
    pub(crate) baselines: PathBuf,
    /// The directory for figures and logs.
    pub(crate) out: PathBuf,
}

/// A running emulator of AWS and receiver.
pub(crate) struct BenchContext {
    pub(crate) paths: Paths,
    pub(crate) aws: EmulatedAws,
    pub(crate) receiver: Control,
    pub(crate) receiver_address: String,
    authority: PathBuf,
}

impl BenchContext {
    /// Starts the emulator and the receiver.
    pub(crate) async fn start(paths: &Paths) -> Result<Self> {
        let receiver = Receiver::start(Options { kept_requests: 100, ..Options::default() }).await?;
        let authority = std::path::absolute(paths.out.join("receiver-ca.pem"))?;
        std::fs::write(&authority, receiver.ca_pem())?;
        let state = receiver.state(&authority);
        tokio::spawn(receiver.run());
        Ok(Self {
            paths: paths.clone(),
            aws: EmulatedAws::start().await?,
            receiver: Control::new(&state.control_url),
            receiver_address: state.address,
            authority,
        })
    }

    /// Returns the path of the receiver's CA certificate (PEM).
    #[must_use]
    pub(crate) fn authority(&self) -> &Path {
        &self.authority
    }

    /// Sets how a path of the receiver answers.
    pub(crate) async fn behave(
        &self,
        path: &'static str,
        behavior: anzol_tests::receiver::Behavior,
    ) -> Result<()> {
        let control = self.receiver.clone();
        tokio::task::spawn_blocking(move || control.behave(path, &behavior)).await?
    }

    /// Returns the variables of all functions, as in the template, and the address of the receiver.
    #[must_use]
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> = [
            ("WEBHOOKS_TABLE", emulated_aws::WEBHOOKS),
            ("DELIVERIES_TABLE", emulated_aws::DELIVERIES),
            ("DELIVERIES_QUEUE_URL", emulated_aws::FAST),
            ("SLOW_LANE_QUEUE_URL", emulated_aws::SLOW),
            ("SLOW_LANE_QUEUE_ARN", emulated_aws::SLOW_ARN),
            ("SLOW_LANE_DLQ_ARN", "arn:aws:sqs:us-east-1:1:slow-dead"),
            ("EVENTS_QUEUE_URL", emulated_aws::EVENTS),
            ("EVENTS_DLQ_URL", emulated_aws::DEAD),
            ("DELIVERIES_DLQ_URL", emulated_aws::DEAD),
            ("SCHEDULE_GROUP", "retries"),
            ("SCHEDULER_ROLE_ARN", "arn:aws:iam::1:role/scheduler"),
            ("RETRY_SCHEDULE", "5,30,120,600,1800,7200,21600,43200"),
            ("LONGEST_QUEUE_DELAY", "900"),
            ("WEBHOOK_CAP", "100"),
            ("DISABLE_AFTER_FAILURES", "1000000"),
            ("DISABLE_AFTER_HOURS", "72"),
            ("TENANT_CLAIM", "custom:tenantId"),
            ("ROLES_CLAIM", "cognito:groups"),
            ("PUBLISH_SCOPE", "anzol/publish"),
            ("PLATFORM_SCOPE", "anzol/publish.any"),
            ("AUTH_ISSUER", "https://cognito-idp.us-east-1.amazonaws.com/pool"),
            ("SECRETS_KEY_ARN", "arn:aws:kms:us-east-1:1:key/1"),
            ("RUST_LOG", "info"),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("AWS_LAMBDA_FUNCTION_NAME", "bench"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        all.insert("AWS_ENDPOINT_URL".to_owned(), self.aws.endpoint().to_owned());
        all.insert("ANZOL_RECEIVER_ADDRESS".to_owned(), self.receiver_address.clone());
        all.insert("ANZOL_RECEIVER_CA_FILE".to_owned(), self.authority.display().to_string());
        all
    }

    /// Starts a function that can reach the receiver.
    pub(crate) async fn local(&self, name: &str) -> Result<Function> {
        self.start_in(&self.paths.local, name, &self.environment()).await
    }

    /// Starts a function as it is deployed.
    pub(crate) async fn deployed(&self, name: &str) -> Result<Function> {
        self.start_in(&self.paths.functions, name, &self.environment()).await
    }

    /// Starts a function as it is deployed, and returns the duration of its warm-up: its calls to AWS before it asks for an event.
    pub(crate) async fn deployed_with_warm_up(&self, name: &str) -> Result<(Function, Option<Duration>)> {
        let mut environment = self.environment();
        environment.insert("RUST_LOG".to_owned(), "debug".to_owned());
        let log = self.log(name);
        let from = std::fs::metadata(&log).map_or(0, |log| log.len());
        let function = self.start_in(&self.paths.functions, name, &environment).await?;
        let mut file = std::fs::File::open(&log)?;
        file.seek(SeekFrom::Start(from))?;
        let mut took = None;
        for line in std::io::read_to_string(file)?.lines() {
            let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            if line.get("message").is_some_and(|message| message == "warmed up") {
                took = line.get("took_us").and_then(Value::as_u64).map(Duration::from_micros);
            }
        }
        Ok((function, took))
    }

    /// Starts a baseline program.
    pub(crate) async fn baseline(&self, name: &str) -> Result<Function> {
        self.start_in(&self.paths.baselines, name, &self.environment()).await
    }

    fn log(&self, name: &str) -> PathBuf {
        self.paths.out.join(format!("{name}.log"))
    }

    /// Returns the number of bytes that functions of this name have logged.
    pub(crate) fn logged(&self, name: &str) -> Result<u64> {
        Ok(std::fs::metadata(self.log(name))?.len())
    }

    async fn start_in(
        &self,
        directory: &Path,
        name: &str,
        environment: &BTreeMap<String, String>,
    ) -> Result<Function> {
        let function = Function::start(&directory.join(name), environment, &self.log(name)).await;
        function.with_context(|| name.to_owned())
    }

    /// Creates a webhook for each path with `api`; the path is also its name.
    pub(crate) async fn create_webhooks(&self, api: &Function, tenant: &str, paths: &[String]) -> Result<()> {
        for path in paths {
            let answer =
                call(api, &http_call(tenant, "POST", "/api/core/webhooks", Some(&webhook(path)))).await?;
            ensure!(answer.status == 201, "not created: {answer:?}");
        }
        Ok(())
    }

    /// Publishes events with `ingest`, `a_call` in each call, and returns the queued messages, one for each webhook.
    pub(crate) async fn publish(
        &self,
        ingest: &Function,
        tenant: &str,
        events: usize,
        a_call: usize,
    ) -> Result<Vec<String>> {
        drop(self.aws.take_messages());
        let mut left = events;
        while left > 0 {
            let now = left.min(a_call);
            let answer =
                call(ingest, &http_call(tenant, "POST", "/api/v1/events", Some(&some_events(tenant, now))))
                    .await?;
            ensure!(answer.status == 202, "not published: {answer:?}");
            left -= now;
        }
        Ok(self.aws.take_messages())
    }
}

/// Returns one event as an object, or several as an array.
#[must_use]
pub(crate) fn some_events(tenant: &str, count: usize) -> Value {
    if count == 1 { event(tenant) } else { Value::Array((0..count).map(|_| event(tenant)).collect()) }
}

/// Returns an event of typical size, about 700 bytes, with a unique id.
#[must_use]
pub(crate) fn event(tenant: &str) -> Value {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let id = format!("e65c1481-0e8a-44be-a5ca-{:012}", COUNT.fetch_add(1, Ordering::Relaxed));
    json!({
        "specversion": "1.0", "id": id, "source": "com.qlik/reloads", "type": EVENT_TYPE, "time": "2026-11-24T10:00:00Z",
        "datacontenttype": "application/json", "tenantid": tenant, "userid": "vNRGrDZIypJzauw59BbpvkRhqbmI",
        "ownerid": "vNRGrDZIypJzauw59BbpvkRhqbmI", "spaceid": "617a3b1c2f8e4d0012345678",
        "data": {
            "id": "0984fec4-aa8c-4253-b1d1-4fd4f9c78000", "name": "Sales of the north", "status": "ok",
            "createdDate": "2026-11-24T09:58:28.888Z", "modifiedDate": "2026-11-24T09:59:29.316Z",
            "owner": "auth0|b62a17c577a4abe6e807b07d18c4d82286352542d633d120100b03fb11", "published": false,
        },
    })
}

/// Returns a webhook for reload events at this path of the receiver.
#[must_use]
pub(crate) fn webhook(path: &str) -> Value {
    json!({
        "name": path, "url": format!("https://hooks.receiver.test{path}"), "eventTypes": [EVENT_TYPE], "enabled": true,
        "secret": "0123456789abcdef0123456789abcdef", "headers": { "X-Environment": "production" },
    })
}

/// The response of an HTTP function.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) body: Value,
}

/// Calls an HTTP function.
pub(crate) async fn call(function: &Function, event: &str) -> Result<Answer> {
    let answer: Value = serde_json::from_slice(&function.invoke(event.to_owned()).await?)?;
    let status =
        answer.get("statusCode").and_then(Value::as_u64).with_context(|| format!("no response: {answer}"))?;
    let body = answer.get("body").and_then(Value::as_str).unwrap_or_default();
    Ok(Answer { status, body: serde_json::from_str(body).unwrap_or_default() })
}

/// Returns API Gateway's event for a call by the tenant's admin.
#[must_use]
pub(crate) fn http_call(tenant: &str, method: &str, path: &str, body: Option<&Value>) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let claims = json!({
        "sub": "b62a17c5-77a4-4be6-a807-b07d18c4d822", "custom:tenantId": tenant, "cognito:groups": "[TenantAdmin]",
        "iss": "https://cognito-idp.us-east-1.amazonaws.com/pool", "token_use": "id", "exp": "1795600000", "iat": "1795596400",
    });
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "isBase64Encoded": false,
        "headers": {
            "accept": "*/*", "content-type": "application/json", "host": "abc123.execute-api.us-east-1.amazonaws.com",
            "user-agent": "bench/1", "x-amzn-trace-id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
            "x-forwarded-for": "192.0.2.1", "x-forwarded-port": "443", "x-forwarded-proto": "https",
            "authorization": format!("Bearer {}", "x".repeat(900)),
        },
        "requestContext": {
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "bench/1" },
            "routeKey": "$default", "stage": "$default", "requestId": "JKJaXmPLvHcESHA=", "accountId": "123456789012", "apiId": "abc123",
            "domainName": "abc123.execute-api.us-east-1.amazonaws.com", "domainPrefix": "abc123",
            "time": "24/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_600_000_000_u64,
            "authorizer": { "jwt": { "claims": claims, "scopes": null } },
        },
        "body": body.map(Value::to_string),
    })
    .to_string()
}

/// Returns the event source mapping's event for a batch of messages.
#[must_use]
pub(crate) fn batch(queue_arn: &str, bodies: &[String]) -> Bytes {
    let records = bodies.iter().enumerate().map(|(index, body)| {
        json!({
            "messageId": format!("059f36b4-87a3-44ab-83d2-6619756{index:05}"), "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": body, "attributes": {
                "ApproximateReceiveCount": "1", "SentTimestamp": "1795600000000", "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1795600000001", "MessageGroupId": "acme",
            },
            "messageAttributes": {}, "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3", "eventSource": "aws:sqs",
            "eventSourceARN": queue_arn, "awsRegion": "us-east-1",
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() }).to_string().into()
}

/// Invokes `sender` with a batch; fails unless every message succeeds.
pub(crate) async fn send(sender: &Function, batch: Bytes) -> Result<()> {
    let answer: Value = serde_json::from_slice(&sender.invoke(batch).await?)?;
    let failures = answer.get("batchItemFailures").and_then(Value::as_array);
    ensure!(failures.is_some_and(Vec::is_empty), "messages failed: {answer}");
    Ok(())
}
