//! The Lambda Runtime API for one function: starts its binary, hands it events one at a time, and says what it takes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::usage::Usage;

/// How long a function may take to start, and to answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// Time a function has for an event, as the template gives it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running function.
#[derive(Debug)]
pub(crate) struct Function {
    _child: Child,
    usage: Usage,
    started: Instant,
    events: mpsc::UnboundedSender<Invocation>,
    /// When and how it asked for its first event.
    pub(crate) ready: Ready,
}

/// The moment a function asks for its first event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    /// Since its process was started.
    pub(crate) after: Duration,
    /// CPU it has used by then.
    pub(crate) cpu: Duration,
    /// Resident memory then, in bytes.
    pub(crate) memory: u64,
}

struct Invocation {
    event: Bytes,
    answer: oneshot::Sender<Result<Bytes>>,
}

struct Api {
    events: Mutex<mpsc::UnboundedReceiver<Invocation>>,
    running: Mutex<Option<oneshot::Sender<Result<Bytes>>>>,
    first: Mutex<Option<oneshot::Sender<Instant>>>,
}

impl Function {
    /// Starts a function and waits until it asks for an event. Its log goes to `log`.
    pub(crate) async fn start(
        binary: &Path,
        environment: &BTreeMap<String, String>,
        log: &Path,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (events, receiver) = mpsc::unbounded_channel();
        let (first, ready) = oneshot::channel();
        let api = Arc::new(Api {
            events: Mutex::new(receiver),
            running: Mutex::default(),
            first: Mutex::new(Some(first)),
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).ok();
                let api = Arc::clone(&api);
                let service = service_fn(move |request| serve(request, Arc::clone(&api)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(environment)
            .env("AWS_LAMBDA_RUNTIME_API", &address)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let usage = Usage::of(child.id().context("it ended at once")?)?;
        let asked = tokio::select! {
            asked = tokio::time::timeout(PATIENCE, ready) => asked.context("it never asks for an event")??,
            ended = child.wait() => bail!("{} ended with {}", binary.display(), ended?),
        };
        let ready = Ready { after: asked - started, cpu: usage.cpu_exactly()?, memory: usage.memory()? };
        Ok(Self { _child: child, usage, started, events, ready })
    }

    /// When it was started.
    #[must_use]
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// What it has used so far.
    #[must_use]
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Hands it an event and waits for the answer.
    pub(crate) async fn invoke(&self, event: impl Into<Bytes>) -> Result<Bytes> {
        let (answer, answered) = oneshot::channel();
        let sent = self.events.send(Invocation { event: event.into(), answer });
        ensure!(sent.is_ok(), "the function is gone");
        tokio::time::timeout(PATIENCE, answered).await.context("the function does not answer")??
    }
}

async fn serve(request: Request<Incoming>, api: Arc<Api>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head.uri.path().strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
    let mut response = Response::new(Full::default());
    if path == "invocation/next" {
        if let Some(first) = api.first.lock().await.take() {
            first.send(Instant::now()).ok();
        }
        let Some(Invocation { event, answer }) = api.events.lock().await.recv().await else {
            *response.status_mut() = StatusCode::GONE;
            return Ok(response);
        };
        *api.running.lock().await = Some(answer);
        let deadline = SystemTime::now() + TIMEOUT;
        let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let headers = [
            ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
            ("lambda-runtime-deadline-ms", deadline.to_string()),
            ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:1:function:bench".to_owned()),
            ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0".to_owned()),
        ];
        for (name, value) in headers {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        *response.body_mut() = Full::new(event);
        return Ok(response);
    }
    let said = String::from_utf8_lossy(&body).into_owned();
    let outcome = match path.rsplit('/').next() {
        Some("response") => Ok(body),
        _ => Err(anyhow::anyhow!("the function failed: {path}: {said}")),
    };
    if let Some(answer) = api.running.lock().await.take() {
        answer.send(outcome).ok();
    }
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
