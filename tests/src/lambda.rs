//! The Lambda Runtime API for one process of a function: starts its binary and passes it events one at a time.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Time that a function has to start.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Time that a function has for one event, as in the template.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running process of a function; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    id: u32,
    started: Instant,
    ready: Instant,
    events: mpsc::UnboundedSender<Invocation>,
    owner: JoinHandle<()>,
}

/// A function's response to an event.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Whether the function reported an error; the payload then holds `errorType` and `errorMessage`.
    pub failed: bool,
    /// The response body.
    pub payload: Bytes,
}

#[derive(Debug)]
struct Invocation {
    event: Bytes,
    outcome: oneshot::Sender<Outcome>,
}

struct Api {
    events: Mutex<mpsc::UnboundedReceiver<Invocation>>,
    running: Mutex<Option<oneshot::Sender<Outcome>>>,
    first: Mutex<Option<oneshot::Sender<Instant>>>,
    arn: String,
}

impl Process {
    /// Starts a function with exactly this environment and waits until it asks for an event. Its log is appended to `log`.
    ///
    /// # Errors
    /// When the function cannot be started, exits, or does not ask for an event within a minute.
    pub async fn start(binary: &Path, environment: &BTreeMap<String, String>, log: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (events, receiver) = mpsc::unbounded_channel();
        let (first, ready) = oneshot::channel();
        let name = environment.get("AWS_LAMBDA_FUNCTION_NAME").map_or("function", String::as_str);
        let api = Arc::new(Api {
            events: Mutex::new(receiver),
            running: Mutex::default(),
            first: Mutex::new(Some(first)),
            arn: format!("arn:aws:lambda:us-east-1:000000000000:function:{name}"),
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
        let id = child.id().context("it exited at once")?;
        let owner = tokio::spawn(async move {
            let of_server = Arc::clone(&api);
            let serving = async move {
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).ok();
                    let api = Arc::clone(&of_server);
                    let service = service_fn(move |request| serve(request, Arc::clone(&api)));
                    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
            };
            tokio::select! {
                () = serving => {}
                _ = child.wait() => {}
            }
            // Callers that wait for an answer or for the start get an error.
            drop((api.first.lock().await.take(), api.running.lock().await.take()));
            api.events.lock().await.close();
        });
        let mut process = Self { id, started, ready: started, events, owner };
        match tokio::time::timeout(START_TIMEOUT, ready).await {
            Ok(Ok(ready)) => process.ready = ready,
            Ok(Err(_)) => bail!("{} exited at once, see its log", binary.display()),
            Err(_) => bail!("{} never asks for an event", binary.display()),
        }
        Ok(process)
    }

    /// Returns the process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Returns when the process was started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Returns when the process asked for its first event.
    #[must_use]
    pub fn ready(&self) -> Instant {
        self.ready
    }

    /// Passes an event to the function and waits for its response.
    ///
    /// # Errors
    /// When the function exits or takes too long. The process cannot be used afterwards.
    pub async fn invoke(&self, event: impl Into<Bytes>) -> Result<Outcome> {
        let (outcome, answered) = oneshot::channel();
        self.events.send(Invocation { event: event.into(), outcome }).ok().context("the function is gone")?;
        let outcome = tokio::time::timeout(TIMEOUT, answered).await.context("the function took too long")?;
        outcome.context("the function exited during the event")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.owner.abort(); // drops the process too, which kills it
    }
}

async fn serve(request: Request<Incoming>, api: Arc<Api>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head.uri.path().strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
    let mut response = Response::new(Full::default());
    if path == "invocation/next" {
        if let Some(first) = api.first.lock().await.take() {
            first.send(Instant::now()).ok();
        }
        let Some(Invocation { event, outcome }) = api.events.lock().await.recv().await else {
            *response.status_mut() = StatusCode::GONE;
            return Ok(response);
        };
        *api.running.lock().await = Some(outcome);
        let deadline = SystemTime::now() + TIMEOUT;
        let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (count, seconds) = (COUNT.fetch_add(1, Ordering::Relaxed), deadline.as_secs());
        let headers = [
            ("lambda-runtime-aws-request-id", format!("8476a536-e9f4-11e8-9739-{count:012x}")),
            ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
            ("lambda-runtime-invoked-function-arn", api.arn.clone()),
            ("lambda-runtime-trace-id", format!("Root=1-{seconds:08x}-{count:024x};Sampled=0")),
        ];
        for (name, value) in headers {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        *response.body_mut() = Full::new(event);
        return Ok(response);
    }
    if let Some(outcome) = api.running.lock().await.take() {
        outcome.send(Outcome { failed: !path.ends_with("/response"), payload: body }).ok();
    }
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
