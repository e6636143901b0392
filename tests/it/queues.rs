//! SQS and the scheduler as far as we use them, in process: they record what they are given and can refuse it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anzol_domain::DeliveryTask;
use anzol_queue::{DeliveryQueues, Message, Queue, Scheduler, SchedulerSettings};
use anzol_runtime::now;
use aws_types::SdkConfig;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

pub(crate) const FAST: &str = "https://sqs.us-east-1.amazonaws.com/1/fast";
pub(crate) const SLOW: &str = "https://sqs.us-east-1.amazonaws.com/1/slow";
pub(crate) const EVENTS: &str = "https://sqs.us-east-1.amazonaws.com/1/events";
pub(crate) const DEAD: &str = "https://sqs.us-east-1.amazonaws.com/1/dead";
pub(crate) const SLOW_ARN: &str = "arn:aws:sqs:us-east-1:1:slow";
pub(crate) const SLOW_DEAD_ARN: &str = "arn:aws:sqs:us-east-1:1:slow-dead";

/// Longest wait that is left to a queue here.
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

/// The delivery that a message asks for.
pub(crate) fn task_in(body: &str) -> DeliveryTask {
    match anzol_queue::decode(body).unwrap() {
        Message::Delivery(task) => *task,
        Message::Recovery(step) => panic!("no delivery: {step:?}"),
    }
}

#[derive(Debug, Default)]
struct Inner {
    sent: Vec<Sent>,
    schedules: Vec<(String, Value)>,
    names: BTreeSet<String>,
    refused: BTreeSet<String>,
    no_groups: bool,
}

/// What the queues were given.
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

    /// Everything sent to a queue so far.
    pub(crate) fn on(&self, queue: &str) -> Vec<Sent> {
        self.inner().sent.iter().filter(|sent| sent.queue == queue).cloned().collect()
    }

    /// Every schedule made so far, by name.
    pub(crate) fn schedules(&self) -> Vec<(String, Value)> {
        self.inner().schedules.clone()
    }

    /// From now on messages with this text in them are refused as the sender's fault.
    pub(crate) fn refuse(&self, text: impl Into<String>) {
        self.inner().refused.insert(text.into());
    }

    /// From now on the scheduler takes no message groups.
    pub(crate) fn schedule_without_groups(&self) {
        self.inner().no_groups = true;
    }

    /// From now on nothing is refused any more.
    pub(crate) fn accept_all(&self) {
        self.inner().refused.clear();
    }

    pub(crate) fn both(&self) -> DeliveryQueues {
        DeliveryQueues::new(&self.config, FAST, SLOW)
    }

    pub(crate) fn with_scheduler(&self) -> DeliveryQueues {
        let settings = SchedulerSettings {
            group: "retries".to_owned(),
            role_arn: "arn:aws:iam::1:role/scheduler".to_owned(),
            queue_arn: SLOW_ARN.to_owned(),
            dead_letters_arn: SLOW_DEAD_ARN.to_owned(),
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
    let answer = match target.as_str() {
        "AmazonSQS.SendMessage" => {
            inner.sent.push(sent(&request));
            json!({ "MessageId": "m", "MD5OfMessageBody": "" })
        }
        "AmazonSQS.SendMessageBatch" => {
            let entries = request["Entries"].as_array().unwrap();
            assert!((1..=10).contains(&entries.len()));
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            for entry in entries {
                let one = sent(entry);
                assert!(one.delay <= 900, "SQS takes no longer delay");
                if inner.refused.iter().any(|text| one.body.contains(text)) {
                    bad.push(
                        json!({ "Id": entry["Id"], "Code": "InvalidMessageContents", "SenderFault": true }),
                    );
                } else {
                    good.push(json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "" }));
                    inner.sent.push(one);
                }
            }
            json!({ "Successful": good, "Failed": bad })
        }
        other => panic!("{other} is not played here"),
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
