//! AWS in process, with a meter: `DynamoDB` by dynoxide, and the calls of SQS, KMS and EventBridge Scheduler that the functions make.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dynoxide::{Database, DynoxideError};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::meter::Meter;

/// Names of the tables; their keys and indexes are those of `infra/template.yaml`.
pub(crate) const WEBHOOKS: &str = "webhooks";
pub(crate) const DELIVERIES: &str = "deliveries";
/// Attributes of a row that the index of failures contains.
const INDEXED: [&str; 4] = ["pk", "sk", "failedOf", "eventType"];

/// URLs and ARNs of the queues. They are only names: every request goes to the endpoint.
pub(crate) const FAST: &str = "https://sqs.us-east-1.amazonaws.com/1/fast";
pub(crate) const SLOW: &str = "https://sqs.us-east-1.amazonaws.com/1/slow";
pub(crate) const EVENTS: &str = "https://sqs.us-east-1.amazonaws.com/1/events";
pub(crate) const DEAD: &str = "https://sqs.us-east-1.amazonaws.com/1/dead";
pub(crate) const FAST_ARN: &str = "arn:aws:sqs:us-east-1:1:fast";
pub(crate) const SLOW_ARN: &str = "arn:aws:sqs:us-east-1:1:slow";

/// Prefix of sealed texts, so that decrypting anything else fails.
const SEALED: &[u8] = b"sealed:";

/// A running emulator.
#[derive(Debug, Clone)]
pub(crate) struct EmulatedAws {
    shared: Arc<Shared>,
    endpoint: String,
}

struct Shared {
    database: Database,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    meter: Meter,
    messages: Vec<String>,
    /// Time spent in this emulator, which is not the function's.
    busy: Duration,
    first_call: Option<Instant>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl EmulatedAws {
    /// Creates empty tables and listens on loopback.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let database = Database::memory().map_err(|error| anyhow::anyhow!(error.to_json()))?;
        create_tables(&database)?;
        let shared = Arc::new(Shared { database, state: Mutex::default() });
        let server_state = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).ok();
                let shared = Arc::clone(&server_state);
                let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { shared, endpoint })
    }

    /// Returns the value for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Returns and resets the meter.
    #[must_use]
    pub(crate) fn take_meter(&self) -> Meter {
        std::mem::take(&mut self.state().meter)
    }

    /// Returns and removes the bodies of the sent messages.
    #[must_use]
    pub(crate) fn take_messages(&self) -> Vec<String> {
        std::mem::take(&mut self.state().messages)
    }

    /// Returns and resets the time spent in this emulator.
    pub(crate) fn take_busy(&self) -> Duration {
        std::mem::take(&mut self.state().busy)
    }

    /// Returns and resets the time of the first call.
    pub(crate) fn take_first_call(&self) -> Option<Instant> {
        self.state().first_call.take()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let arrived = Instant::now();
    shared.state().first_call.get_or_insert(arrived);
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let started = Instant::now();
    let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let result = match target.split_once('.') {
        Some((service, operation)) if service.starts_with("DynamoDB") => dynamo(&shared, operation, &body),
        Some(("AmazonSQS", operation)) => sqs(&shared, operation, &body),
        Some(("TrentService", operation)) => kms(&shared, operation, &body),
        _ if head.uri.path().starts_with("/schedules/") => {
            shared.state().meter.schedules += 1;
            Ok(json!({ "ScheduleArn": "arn" }).to_string())
        }
        _ => Err(Refusal::unknown(&format!("{} {} {target}", head.method, head.uri.path()))),
    };
    shared.state().busy += started.elapsed();
    let (status, text) = match result {
        Ok(text) => (StatusCode::OK, text),
        Err(Refusal(status, text)) => (status, text),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}

/// Status and body of an error response.
struct Refusal(StatusCode, String);

impl Refusal {
    fn unknown(what: &str) -> Self {
        eprintln!("bench: {what} is not emulated");
        let text = json!({ "__type": "UnknownOperationException", "message": what }).to_string();
        Self(StatusCode::BAD_REQUEST, text)
    }

    fn malformed(error: &impl std::fmt::Display) -> Self {
        let text = json!({ "__type": "SerializationException", "message": error.to_string() }).to_string();
        Self(StatusCode::BAD_REQUEST, text)
    }
}

impl From<DynoxideError> for Refusal {
    fn from(error: DynoxideError) -> Self {
        let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST);
        Self(status, error.to_json())
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::malformed(&error)
    }
}

fn dynamo(shared: &Shared, operation: &str, body: &[u8]) -> Result<String, Refusal> {
    let text = std::str::from_utf8(body).map_err(|error| Refusal::malformed(&error))?;
    // Needed by the meter.
    let text = text.replacen('{', r#"{"ReturnConsumedCapacity":"TOTAL","#, 1);
    let database = &shared.database;
    macro_rules! call {
        ($operation:ident) => {
            serde_json::to_value(database.$operation(serde_json::from_str(&text)?)?)?
        };
    }
    let (answer, writes) = match operation {
        "GetItem" => (call!(get_item), false),
        "BatchGetItem" => (call!(batch_get_item), false),
        "Query" => (call!(query), false),
        "PutItem" => (call!(put_item), true),
        "UpdateItem" => (call!(update_item), true),
        "DeleteItem" => (call!(delete_item), true),
        "BatchWriteItem" => (call!(batch_write_item), true),
        "TransactWriteItems" => (call!(transact_write_items), true),
        other => return Err(Refusal::unknown(other)),
    };
    let units = consumed(&answer);
    let history = if operation == "BatchWriteItem" { history_bytes(&text) } else { 0 };
    let meter = &mut shared.state().meter;
    *meter.dynamo_calls.entry(operation.to_owned()).or_default() += 1;
    *(if writes { &mut meter.write_units } else { &mut meter.read_units }) += units;
    meter.history_bytes += history;
    Ok(answer.to_string())
}

/// Returns the capacity units of tables and indexes.
fn consumed(answer: &Value) -> f64 {
    let units = |of: &Value| of.get("CapacityUnits").and_then(Value::as_f64).unwrap_or_default();
    match answer.get("ConsumedCapacity") {
        Some(Value::Array(tables)) => tables.iter().map(units).sum(),
        Some(one) => units(one),
        None => 0.0,
    }
}

/// Returns the billed storage in bytes that a call adds to the table of deliveries and to its index of failures: names, values, and 100
/// bytes for each item.
fn history_bytes(request: &str) -> u64 {
    let request: Value = serde_json::from_str(request).unwrap_or_default();
    let rows = request.pointer(&format!("/RequestItems/{DELIVERIES}")).and_then(Value::as_array);
    let items = rows.into_iter().flatten().filter_map(|row| row.pointer("/PutRequest/Item")?.as_object());
    let size = |(name, value): (&String, &Value)| {
        let text = |kind: &str| value.get(kind).and_then(Value::as_str);
        let binary = text("B").map(|text| STANDARD.decode(text).map_or(0, |bytes| bytes.len()));
        let number = text("N").map(|digits| digits.len().div_ceil(2) + 1);
        name.len() + text("S").map(str::len).or(binary).or(number).unwrap_or_default()
    };
    let bytes = items.map(|item| {
        let whole = item.iter().map(size).sum::<usize>() + 100;
        let indexed = item.iter().filter(|(name, _)| INDEXED.contains(&name.as_str())).map(size);
        whole + if item.contains_key("failedOf") { indexed.sum::<usize>() + 100 } else { 0 }
    });
    u64::try_from(bytes.sum::<usize>()).unwrap_or(u64::MAX)
}

fn sqs(shared: &Shared, operation: &str, body: &[u8]) -> Result<String, Refusal> {
    let request: Value = serde_json::from_slice(body)?;
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let entries = match operation {
        "SendMessage" => vec![request.clone()],
        "SendMessageBatch" => request.get("Entries").and_then(Value::as_array).cloned().unwrap_or_default(),
        other => return Err(Refusal::unknown(other)),
    };
    let sent = json!({ "MessageId": "m", "MD5OfMessageBody": "" });
    let bytes: usize = entries.iter().map(|entry| text(entry, "MessageBody").len()).sum();
    let fair = entries.iter().any(|entry| entry.get("MessageGroupId").is_some());
    let answer = if operation == "SendMessage" {
        sent
    } else {
        let good = entries.iter().map(|entry| {
            let mut good = sent.clone();
            if let Some(good) = good.as_object_mut() {
                good.insert("Id".to_owned(), entry.get("Id").cloned().unwrap_or_default());
            }
            good
        });
        json!({ "Successful": good.collect::<Vec<_>>(), "Failed": [] })
    };
    let mut state = shared.state();
    state.meter.send(bytes, fair);
    let messages = entries.iter().map(|entry| text(entry, "MessageBody"));
    state.messages.extend(messages);
    Ok(answer.to_string())
}

fn kms(shared: &Shared, operation: &str, body: &[u8]) -> Result<String, Refusal> {
    let request: Value = serde_json::from_slice(body)?;
    let bytes = |name: &str| {
        let text = request.get(name).and_then(Value::as_str).unwrap_or_default();
        STANDARD.decode(text).map_err(|error| Refusal::malformed(&error))
    };
    shared.state().meter.key_calls += 1;
    let key = "arn:aws:kms:us-east-1:1:key/1";
    let answer = match operation {
        "Encrypt" => {
            let sealed = [SEALED, &bytes("Plaintext")?].concat();
            json!({ "CiphertextBlob": STANDARD.encode(sealed), "KeyId": key, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" })
        }
        "Decrypt" => {
            let sealed = bytes("CiphertextBlob")?;
            let Some(plain) = sealed.strip_prefix(SEALED) else {
                return Err(Refusal::malformed(&"it was not sealed here"));
            };
            json!({ "Plaintext": STANDARD.encode(plain), "KeyId": key, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" })
        }
        other => return Err(Refusal::unknown(other)),
    };
    Ok(answer.to_string())
}

fn create_tables(database: &Database) -> Result<()> {
    let text = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    let key = |hash: &str| json!([{ "AttributeName": hash, "KeyType": "HASH" }, { "AttributeName": "sk", "KeyType": "RANGE" }]);
    let webhooks = json!({
        "TableName": WEBHOOKS, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [text("pk"), text("sk")], "KeySchema": key("pk"),
    });
    let deliveries = json!({
        "TableName": DELIVERIES, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [text("pk"), text("sk"), text("failedOf")], "KeySchema": key("pk"),
        "GlobalSecondaryIndexes": [{
            "IndexName": "failures", "KeySchema": key("failedOf"), "Projection": { "ProjectionType": "INCLUDE", "NonKeyAttributes": ["eventType"] },
        }],
    });
    for table in [webhooks, deliveries] {
        let request = serde_json::from_str(&table.to_string())?;
        let created = database.create_table(request).map_err(|error| anyhow::anyhow!(error.to_json()));
        let created = serde_json::to_value(created?).context("a table")?;
        ensure!(created.pointer("/TableDescription/TableName").is_some(), "no table: {created}");
    }
    Ok(())
}
