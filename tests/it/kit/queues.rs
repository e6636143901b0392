//! In-process stubs of SQS and the scheduler: they record messages and schedules, enforce the documented limits, and refuse more on demand.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anzol_domain::DeliveryTask;
use anzol_queue::{DeliveryQueues, Queue, QueueMessage, Scheduler, SchedulerSettings};
use anzol_runtime::now;
use aws_types::SdkConfig;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

use super::queue_rules;

pub(crate) const FAST: &str = "https://sqs.us-east-1.amazonaws.com/1/fast";
pub(crate) const SLOW: &str = "https://sqs.us-east-1.amazonaws.com/1/slow";
pub(crate) const EVENTS: &str = "https://sqs.us-east-1.amazonaws.com/1/events";
pub(crate) const DEAD: &str = "https://sqs.us-east-1.amazonaws.com/1/dead";
pub(crate) const SLOW_ARN: &str = "arn:aws:sqs:us-east-1:1:slow";
pub(crate) const SLOW_DEAD_ARN: &str = "arn:aws:sqs:us-east-1:1:slow-dead";

/// Longest delay of a queue in these tests.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// A message on a queue.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) queue: String,
    pub(crate) body: String,
    pub(crate) group: String,
    pub(crate) delay: u64,
    pub(crate) attributes: Value,
}

impl Sent {
    pub(crate) fn task(&self) -> DeliveryTask {
        task_in(&self.body)
    }
}

/// Decodes the delivery task of a message.
pub(crate) fn task_in(body: &str) -> DeliveryTask {
    match anzol_queue::decode(body).unwrap() {
        QueueMessage::Delivery(task) => *task,
        QueueMessage::Recovery(step) => panic!("not a delivery: {step:?}"),
    }
}

#[derive(Debug, Default)]
struct Inner {
    sent: Vec<Sent>,
    schedules: Vec<(String, Value)>,
    names: BTreeSet<String>,
    refused: BTreeSet<String>,
    busy: BTreeSet<String>,
    /// Maximum bytes of a message, if it differs from SQS's.
    most: Option<usize>,
    no_groups: bool,
}

impl Inner {
    fn most(&self) -> usize {
        self.most.unwrap_or(queue_rules::MAX_BYTES)
    }

    /// Returns why a message is refused permanently.
    fn refusal(&self, message: &Value) -> Option<&'static str> {
        let body = message["MessageBody"].as_str().unwrap_or_default();
        let unwanted = self.refused.iter().any(|text| body.contains(text));
        queue_rules::refusal(message, self.most()).or(unwanted.then_some("InvalidMessageContents"))
    }
}

/// The stubs, with all messages and schedules that they received.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    inner: Arc<Mutex<Inner>>,
    config: SdkConfig,
}

impl Queues {
    pub(crate) async fn start(config: &SdkConfig) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Mutex::new(Inner::default()));
        let router = Router::new()
            .route("/", post(sqs))
            .route("/schedules/{name}", post(schedule))
            .with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { inner, config: config.to_builder().endpoint_url(endpoint).build() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns everything sent to a queue so far.
    pub(crate) fn on(&self, queue: &str) -> Vec<Sent> {
        self.inner().sent.iter().filter(|sent| sent.queue == queue).cloned().collect()
    }

    /// Returns every schedule created so far, by name.
    pub(crate) fn schedules(&self) -> Vec<(String, Value)> {
        self.inner().schedules.clone()
    }

    /// Refuses messages that contain this text from now on, as a throttled queue does.
    pub(crate) fn refuse(&self, text: impl Into<String>) {
        self.inner().busy.insert(text.into());
    }

    /// Refuses messages that contain this text from now on, permanently: SQS calls that the sender's fault.
    pub(crate) fn refuse_permanently(&self, text: impl Into<String>) {
        self.inner().refused.insert(text.into());
    }

    /// Limits messages and batches to this many bytes from now on, as another implementation of SQS may.
    pub(crate) fn take_at_most(&self, bytes: usize) {
        self.inner().most = Some(bytes);
    }

    /// Makes the scheduler refuse message groups from now on.
    pub(crate) fn schedule_without_groups(&self) {
        self.inner().no_groups = true;
    }

    /// Accepts everything from now on.
    pub(crate) fn accept_all(&self) {
        let mut inner = self.inner();
        inner.refused.clear();
        inner.busy.clear();
    }

    pub(crate) fn both(&self) -> DeliveryQueues {
        DeliveryQueues::new(&self.config, FAST, SLOW)
    }

    pub(crate) fn with_scheduler(&self) -> DeliveryQueues {
        let settings = SchedulerSettings {
            group: "retries".to_owned(),
            role_arn: "arn:aws:iam::1:role/scheduler".to_owned(),
            queue_arn: SLOW_ARN.to_owned(),
            dlq_arn: SLOW_DEAD_ARN.to_owned(),
        };
        let scheduler = Scheduler::new(&self.config, settings, LONGEST_DELAY, now);
        self.both().with_scheduler(scheduler)
    }

    pub(crate) fn queue(&self, url: &str) -> Queue {
        Queue::new(&self.config, url)
    }
}

async fn sqs(
    State(inner): State<Arc<Mutex<Inner>>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let target = headers.get("x-amz-target").unwrap().to_str().unwrap().to_owned();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let mut inner = inner.lock().unwrap();
    let queue = request["QueueUrl"].as_str().unwrap().to_owned();
    let sent = |entry: &Value| Sent {
        queue: queue.clone(),
        body: entry["MessageBody"].as_str().unwrap().to_owned(),
        group: entry["MessageGroupId"].as_str().unwrap_or_default().to_owned(),
        delay: entry["DelaySeconds"].as_u64().unwrap_or_default(),
        attributes: entry["MessageAttributes"].clone(),
    };
    let error = |code: &str| {
        let body = json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": "refused" });
        (StatusCode::BAD_REQUEST, body.to_string())
    };
    let answer = match target.as_str() {
        "AmazonSQS.SendMessage" => {
            if let Some(code) = inner.refusal(&request) {
                return error(code);
            }
            inner.sent.push(sent(&request));
            json!({ "MessageId": "m", "MD5OfMessageBody": "" })
        }
        "AmazonSQS.SendMessageBatch" => {
            let entries = request["Entries"].as_array().unwrap();
            if entries.is_empty() || entries.len() > 10 {
                return error("TooManyEntriesInBatchRequest");
            }
            if entries.iter().map(queue_rules::size).sum::<usize>() > inner.most() {
                return error("BatchRequestTooLong");
            }
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            for entry in entries {
                if let Some(code) = inner.refusal(entry) {
                    bad.push(json!({ "Id": entry["Id"], "Code": code, "SenderFault": true }));
                } else if inner.busy.iter().any(|text| entry["MessageBody"].as_str().unwrap().contains(text))
                {
                    bad.push(
                        json!({ "Id": entry["Id"], "Code": "ThrottlingException", "SenderFault": false }),
                    );
                } else {
                    good.push(json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "" }));
                    inner.sent.push(sent(entry));
                }
            }
            json!({ "Successful": good, "Failed": bad })
        }
        other => panic!("{other} is not implemented here"),
    };
    (StatusCode::OK, answer.to_string())
}

async fn schedule(
    State(inner): State<Arc<Mutex<Inner>>>,
    Path(name): Path<String>,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let mut inner = inner.lock().unwrap();
    let wanted: Value = serde_json::from_slice(&body).unwrap();
    if let Some(wrong) = queue_rules::schedule_refusal(&name, &wanted) {
        let invalid = json!({ "Message": wrong }).to_string();
        return (StatusCode::BAD_REQUEST, [("x-amzn-errortype", "ValidationException")], invalid);
    }
    if inner.no_groups && wanted["Target"].get("SqsParameters").is_some() {
        let invalid = json!({ "Message": "SqsParameters are for FIFO queues" }).to_string();
        return (StatusCode::BAD_REQUEST, [("x-amzn-errortype", "ValidationException")], invalid);
    }
    if !inner.names.insert(name.clone()) {
        let conflict = json!({ "Message": "exists" }).to_string();
        return (StatusCode::CONFLICT, [("x-amzn-errortype", "ConflictException")], conflict);
    }
    inner.schedules.push((name, wanted));
    (StatusCode::OK, [("x-amzn-errortype", "")], json!({ "ScheduleArn": "arn" }).to_string())
}
