//! The deployed programs, built for release without the feature `local`: they resolve no name of the local stack, in any environment.
//! `cargo xtask test deployable` builds them, and local builds as a control.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anzol_domain::{FailureKind, WebhookUrl};
use anzol_runtime::config::optional;
use anzol_runtime::now;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::kit::kms::KEY;
use crate::kit::{TestContext, task, webhook_with};

const URLS: [&str; 2] = ["https://hooks.receiver.test/in", "https://1-1-1-1.address.test/in"];

/// Returns the program that a variable such as `ANZOL_DEPLOYABLE_SENDER` names.
fn program(variable: &str) -> PathBuf {
    optional(variable)
        .unwrap_or_else(|| panic!("{variable} is not set: use cargo xtask test deployable"))
        .into()
}

#[test]
#[ignore = "cargo xtask test deployable builds what it needs"]
fn deployed_build_has_no_local_variables() {
    let clock = "ANZOL_CLOCK_AHEAD";
    let all = &[clock, "ANZOL_RECEIVER_ADDRESS", "ANZOL_RECEIVER_CA_FILE"];
    for (function, names) in [("SENDER", all.as_slice()), ("API", all), ("INGEST", &[clock])] {
        for (build, expected) in [("DEPLOYABLE", false), ("LOCAL", true)] {
            let program = std::fs::read(program(&format!("ANZOL_{build}_{function}"))).unwrap();
            let program = String::from_utf8_lossy(&program);
            for text in names {
                assert_eq!(program.contains(text), expected, "{text} in {build} {function}");
            }
        }
    }
}

/// Observes the behavior, because an optimized build does not contain short names as text. The api is built together with the sender and
/// has the same egress client.
#[tokio::test]
#[ignore = "cargo xtask test deployable builds what it needs"]
async fn deployed_build_resolves_no_local_names() {
    let deployed = outcomes("ANZOL_DEPLOYABLE_SENDER").await;
    assert_eq!(deployed, URLS.map(|url| (url.to_owned(), Some(FailureKind::Dns))).into());
    let local = outcomes("ANZOL_LOCAL_SENDER").await;
    assert_eq!(local, URLS.map(|url| (url.to_owned(), None)).into());
}

/// Runs a sender on one message for each of [`URLS`], with the variables that lead a local build to a receiver. Returns each failure.
async fn outcomes(variable: &str) -> BTreeMap<String, Option<FailureKind>> {
    let (context, egress) = TestContext::with_egress().await;
    let mut webhooks = Vec::new();
    for url in URLS {
        let webhook = webhook_with("acme", |webhook| webhook.spec.url = WebhookUrl::parse(url).unwrap());
        context.webhooks.create(&webhook, 100).await.unwrap();
        webhooks.push(webhook);
    }
    let records = webhooks.iter().map(|webhook| {
        let message_id = webhook.id.to_string();
        json!({ "messageId": message_id, "body": anzol_queue::encode(&task(webhook)), "eventSourceARN": "arn:aws:sqs:us-east-1:1:slow" })
    });
    let runtime = Runtime::start(json!({ "Records": records.collect::<Vec<_>>() })).await;
    let mut sender = Command::new(program(variable));
    sender
        .env_clear()
        .envs(egress.variables())
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", runtime.address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "sender"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_ENDPOINT_URL", context.config.endpoint_url().unwrap()),
            ("AWS_ENDPOINT_URL_KMS", context.kms.endpoint()),
            ("SECRETS_KEY_ARN", KEY),
            // Nothing listens here: retries after `dns` failures cannot be queued, but the rows are written.
            ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1"),
            ("WEBHOOKS_TABLE", &context.webhooks_table),
            ("DELIVERIES_TABLE", &context.deliveries_table),
            ("SLOW_LANE_QUEUE_ARN", "arn:aws:sqs:us-east-1:1:slow"),
            ("SLOW_LANE_DLQ_ARN", "arn:aws:sqs:us-east-1:1:slow-dead"),
            ("SCHEDULE_GROUP", "retries"),
            ("SCHEDULER_ROLE_ARN", "arn:aws:iam::1:role/scheduler"),
        ])
        .envs(
            ["DELIVERIES_QUEUE_URL", "SLOW_LANE_QUEUE_URL", "EVENTS_QUEUE_URL", "DELIVERIES_DLQ_URL"]
                .map(|name| (name, "http://127.0.0.1:1/1/queue")),
        )
        .stdout(Stdio::null());
    let _sender = KilledOnDrop(sender.spawn().unwrap());
    tokio::time::timeout(Duration::from_mins(1), runtime.answered).await.unwrap().unwrap();

    let mut outcomes = BTreeMap::new();
    for webhook in webhooks {
        let rows = context.history(&webhook).await;
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        outcomes.insert(webhook.spec.url.to_string(), row.failure);
    }
    let received = egress.control(|receiver| receiver.all_requests()).await.unwrap().len();
    assert_eq!(received, outcomes.values().filter(|failure| failure.is_none()).count());
    outcomes
}

/// A process that is killed when its test ends.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The Lambda Runtime API with one event.
struct Runtime {
    address: String,
    answered: oneshot::Receiver<()>,
}

type Events = Arc<Mutex<mpsc::Receiver<Value>>>;

impl Runtime {
    async fn start(event: Value) -> Self {
        let (events, next) = mpsc::channel(1);
        events.send(event).await.unwrap();
        let (answer, answered) = oneshot::channel();
        let answer = Arc::new(Mutex::new(Some((answer, events))));
        let take = async move || {
            // The next poll returns once the event's sender is dropped.
            if let Some((answer, _events)) = answer.lock().await.take() {
                answer.send(()).ok();
            }
            StatusCode::ACCEPTED
        };
        let base = "/2018-06-01/runtime/invocation";
        let router = Router::new()
            .route(&format!("{base}/next"), get(next_event))
            .route(&format!("{base}/{{id}}/response"), post(take))
            .with_state(Arc::new(Mutex::new(next)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, answered }
    }
}

async fn next_event(State(events): State<Events>) -> impl IntoResponse {
    let Some(event) = events.lock().await.recv().await else { return std::future::pending().await };
    let deadline = now().unix_timestamp() * 1000 + 60_000;
    let headers = [
        ("lambda-runtime-aws-request-id", "r".to_owned()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:1:function:sender".to_owned()),
    ];
    (headers, axum::Json(event))
}
