//! A proxy between the functions and the local cloud: forwards every call, except those for which a fault is set.
//!
//! Only the functions use it. The suite, the gateway and the queue poller call the cloud directly, so that faults affect only functions.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use anzol_tests::aws::Aws;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::process::Peer;

/// The effect of a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FaultKind {
    /// The call is answered with this status and error code, and not forwarded.
    Answer(u16, &'static str),
    /// The connection is closed before the call reaches the cloud.
    Drop,
    /// The call is forwarded, and the connection is closed without an answer.
    DropAnswer,
    /// The call is forwarded after this time.
    Hold(Duration),
    /// This share of a batch's entries fails: the answer lists them in `Failed` (`SendMessageBatch`; not as the sender's fault) or in
    /// `UnprocessedItems` (`BatchWriteItem`).
    Refuse(f64),
    /// The call is forwarded twice.
    Twice,
    /// The caller is killed (SIGKILL) before the call is forwarded.
    KillBefore,
    /// The caller is killed (SIGKILL) after the call, before it receives the answer.
    KillAfter,
}

/// A fault, and the calls that it affects.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// `dynamodb.GetItem`; or `dynamodb.` for every operation of the service.
    operation: &'static str,
    kind: FaultKind,
    /// The calling function, such as `sender`.
    by: Option<&'static str>,
    /// Text that the call's body contains.
    containing: Option<String>,
    chance: f64,
    left: Option<u64>,
}

impl Fault {
    /// Returns a fault for every call of the operation.
    pub(crate) fn on(operation: &'static str, kind: FaultKind) -> Self {
        Self { operation, kind, by: None, containing: None, chance: 1.0, left: None }
    }

    /// Restricts the fault to calls by this function.
    pub(crate) fn by(self, function: &'static str) -> Self {
        Self { by: Some(function), ..self }
    }

    /// Restricts the fault to calls whose body contains this text.
    pub(crate) fn containing(self, text: impl Into<String>) -> Self {
        Self { containing: Some(text.into()), ..self }
    }

    /// Restricts the fault to a random share of the calls.
    pub(crate) fn chance(self, chance: f64) -> Self {
        Self { chance, ..self }
    }

    /// Restricts the fault to this many calls.
    pub(crate) fn times(self, times: u64) -> Self {
        Self { left: Some(times), ..self }
    }
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    aws: Aws,
    /// Role by the function's name in AWS.
    functions: BTreeMap<String, String>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    faults: Vec<Fault>,
    /// Number of affected calls by operation and effect.
    hits: BTreeMap<String, u64>,
    rng: fastrand::Rng,
}

/// A listening proxy. It runs until the process exits.
#[derive(Debug, Clone)]
pub(crate) struct Proxy(Arc<Shared>);

impl Proxy {
    /// Listens on a local port and forwards to the endpoint of `aws`. The seed decides which calls a random fault affects.
    pub(crate) fn start(port: u16, aws: Aws, functions: BTreeMap<String, String>, seed: u64) -> Result<Self> {
        let upstream = aws.port().context("the endpoint has no port")?;
        let state = State { faults: Vec::new(), hits: BTreeMap::new(), rng: fastrand::Rng::with_seed(seed) };
        let shared = Arc::new(Shared {
            upstream: (Ipv4Addr::LOCALHOST, upstream).into(),
            aws,
            functions,
            state: Mutex::new(state),
        });
        let (listening, listens) = mpsc::channel();
        let proxy = Self(Arc::clone(&shared));
        std::thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(listening.send(Err(error))),
            };
            runtime.block_on(async {
                match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                    Err(error) => drop(listening.send(Err(error))),
                    Ok(listener) => {
                        drop(listening.send(Ok(())));
                        accept(listener, shared).await;
                    }
                }
            });
        })?;
        listens.recv()?.with_context(|| format!("the proxy cannot listen on port {port}"))?;
        Ok(proxy)
    }

    /// Adds a fault.
    pub(crate) fn inject(&self, fault: Fault) {
        self.0.state().faults.push(fault);
    }

    /// Removes all faults. Returns the number of calls that they affected since the last removal, by operation and effect.
    pub(crate) fn heal(&self) -> BTreeMap<String, u64> {
        let mut state = self.0.state();
        state.faults.clear();
        std::mem::take(&mut state.hits)
    }

    /// Returns the number of calls that faults have affected since the last [`Self::heal`].
    pub(crate) fn hits(&self) -> u64 {
        self.0.state().hits.values().sum()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // A failed accept is caused by the peer, or by a temporary lack of descriptors.
        let Ok((stream, address)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        stream.set_nodelay(true).ok();
        tokio::spawn(serve(stream, address, Arc::clone(&shared)));
    }
}

/// Serves one connection of a function through one connection to the cloud.
async fn serve(stream: TcpStream, address: SocketAddr, shared: Arc<Shared>) {
    let (Ok(own), Ok(upstream)) = (stream.local_addr(), connect(shared.upstream).await) else { return };
    let caller = Arc::new(Caller {
        shared,
        upstream: tokio::sync::Mutex::new(upstream),
        peer: Peer::new(address, own),
        hang_up: Notify::new(),
    });
    let service = service_fn(|request| {
        let caller = Arc::clone(&caller);
        async move {
            if let Ok(answer) = caller.answer(request).await {
                return Ok::<_, Infallible>(answer);
            }
            // Closes the connection: the fault drops the answer, or the cloud gave none.
            caller.hang_up.notify_one();
            std::future::pending().await
        }
    });
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        _ = &mut connection => {}
        () = caller.hang_up.notified() => {}
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

struct Caller {
    shared: Arc<Shared>,
    upstream: tokio::sync::Mutex<SendRequest<Full<Bytes>>>,
    peer: Peer,
    hang_up: Notify,
}

type Answer = Response<Full<Bytes>>;

impl Caller {
    async fn answer(&self, request: Request<Incoming>) -> Result<Answer> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = operation(target, head.method.as_str(), head.uri.path());
        let request = Request::from_parts(head, Full::new(body.clone()));
        let Some(kind) = self.hit(&operation, &body) else {
            return self.forward(request).await;
        };
        match kind {
            FaultKind::Answer(status, code) => answer(status, code),
            FaultKind::Drop => bail!("dropped"),
            FaultKind::DropAnswer => {
                self.forward(request).await?;
                bail!("dropped")
            }
            FaultKind::Hold(time) => {
                tokio::time::sleep(time).await;
                self.forward(request).await
            }
            FaultKind::Refuse(share) => self.refuse(&operation, &body, share).await,
            FaultKind::Twice => {
                self.forward(request.clone()).await?;
                self.forward(request).await
            }
            FaultKind::KillBefore => {
                self.peer.kill()?;
                bail!("killed")
            }
            FaultKind::KillAfter => {
                self.forward(request).await?;
                self.peer.kill()?;
                bail!("killed")
            }
        }
    }

    fn hit(&self, operation: &str, body: &[u8]) -> Option<FaultKind> {
        let mut state = self.shared.state();
        if state.faults.is_empty() {
            return None;
        }
        let State { faults, hits, rng } = &mut *state;
        let fault = faults.iter_mut().find(|fault| {
            let meant = operation == fault.operation
                || fault.operation.ends_with('.') && operation.starts_with(fault.operation);
            let holds = |text: &String| std::str::from_utf8(body).is_ok_and(|body| body.contains(text));
            meant
                && fault.left != Some(0)
                && fault.containing.as_ref().is_none_or(holds)
                && fault.by.is_none_or(|role| self.role() == Some(role))
                && rng.f64() < fault.chance
        })?;
        if let Some(left) = &mut fault.left {
            *left -= 1;
        }
        *hits.entry(format!("{operation} {}", fault.kind)).or_default() += 1;
        Some(fault.kind)
    }

    /// Returns the caller's role, such as `sender`.
    fn role(&self) -> Option<&str> {
        self.shared.functions.get(self.peer.function()?).map(String::as_str)
    }

    async fn forward(&self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let mut upstream = self.upstream.lock().await;
        if upstream.ready().await.is_err() {
            *upstream = connect(self.shared.upstream).await?; // the cloud closes idle connections
        }
        let (mut head, body) = upstream.send_request(request).await?.into_parts();
        // The body is complete, so its length is known.
        head.headers.remove(hyper::header::TRANSFER_ENCODING);
        Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
    }

    /// Forwards some of a batch's entries. Signs the new request, because the caller's signature covers all entries.
    async fn refuse(&self, operation: &str, body: &[u8], share: f64) -> Result<Answer> {
        let mut batch: Value = serde_json::from_slice(body)?;
        let entries = match operation {
            "sqs.SendMessageBatch" => batch.pointer_mut("/Entries"),
            "dynamodb.BatchWriteItem" => batch
                .pointer_mut("/RequestItems")
                .and_then(Value::as_object_mut)
                .and_then(|tables| tables.values_mut().next()),
            other => bail!("{other} is not a batch operation"),
        };
        let entries = entries.and_then(Value::as_array_mut).context("a batch without entries")?;
        let (refused, taken): (Vec<_>, Vec<_>) = {
            let rng = &mut self.shared.state().rng;
            std::mem::take(entries).into_iter().partition(|_| rng.f64() < share)
        };
        let any = !taken.is_empty();
        *entries = taken;
        let (service, target) = match operation {
            "sqs.SendMessageBatch" => ("sqs", "AmazonSQS.SendMessageBatch"),
            _ => ("dynamodb", "DynamoDB_20120810.BatchWriteItem"),
        };
        let table =
            batch.pointer("/RequestItems").and_then(Value::as_object).and_then(|t| t.keys().next().cloned());
        let mut answer = json!({ "Successful": [] });
        if any {
            let aws = self.shared.aws.clone();
            answer = tokio::task::spawn_blocking(move || aws.call(service, target, &batch)).await??;
        }
        if let Some(table) = table {
            answer["UnprocessedItems"] =
                if refused.is_empty() { json!({}) } else { json!({ table: refused }) };
        } else {
            let failed = refused.iter().map(|entry| {
                json!({ "Id": entry["Id"], "SenderFault": false, "Code": "InternalError", "Message": "injected" })
            });
            answer["Failed"] = failed.collect();
        }
        let response = Response::builder().status(200).header("content-type", "application/x-amz-json-1.0");
        Ok(response.body(Full::new(answer.to_string().into()))?)
    }
}

impl Shared {
    /// Locks the state, poisoned or not: a panicking holder leaves it consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the operation, such as `dynamodb.GetItem`. The scheduler is recognized by its path, because it has no targets.
fn operation(target: Option<&str>, method: &str, path: &str) -> String {
    let Some((service, name)) = target.and_then(|target| target.split_once('.')) else {
        let creates = method == "POST" && path.starts_with("/schedules/");
        return if creates { "scheduler.CreateSchedule".to_owned() } else { format!("{method} {path}") };
    };
    let service = match service {
        "AmazonSQS" => "sqs",
        "TrentService" => "kms",
        service if service.starts_with("DynamoDB") => "dynamodb",
        other => other,
    };
    format!("{service}.{name}")
}

/// Builds an error in the form of AWS's JSON protocols.
fn answer(status: u16, code: &str) -> Result<Answer> {
    ensure!(status >= 400, "{status} is not an error status");
    let mut body = json!({ "__type": code, "message": "injected" });
    if code == "TransactionCanceledException" {
        body["CancellationReasons"] = json!([{ "Code": "TransactionConflict", "Message": "injected" }]);
    }
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amzn-errortype", code);
    Ok(response.body(Full::new(body.to_string().into()))?)
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer(status, code) => write!(f, "{status} {code}"),
            Self::Drop => f.write_str("dropped"),
            Self::DropAnswer => f.write_str("answer dropped"),
            Self::Hold(time) => write!(f, "held {} s", time.as_secs()),
            Self::Refuse(_) => f.write_str("partly refused"),
            Self::Twice => f.write_str("done twice"),
            Self::KillBefore => f.write_str("killed before"),
            Self::KillAfter => f.write_str("killed after"),
        }
    }
}
