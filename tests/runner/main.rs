//! Runs the functions for an endpoint without Lambda: emulates Lambda, event source mappings, API Gateway and the user pool on loopback.
//!
//! `runner PLAN STATE` reads a plan (JSON). Once everything listens, it writes the addresses and tokens for clients to STATE.

#![allow(clippy::disallowed_methods, reason = "the rules on clock and environment are for deployed code")]

mod cloud;
mod gateway;
mod plan;
mod queues;
mod tokens;

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use anzol_tests::aws::Aws;
use anzol_tests::lambda::{Outcome, Process};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};

use crate::plan::{Function, Plan};
use crate::tokens::Tokens;

/// Maximum number of processes of one function: the concurrency of the sender's queues.
const PROCESSES: usize = 12;
/// Bytes of log in one call; the limit of `PutLogEvents` is 1 MiB.
const LOG_CHUNK: u64 = 500_000;

/// A response to a caller.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Shared state of all handlers.
pub(crate) struct Runner {
    pub(crate) plan: Plan,
    pub(crate) tokens: Tokens,
    aws: Aws,
    pools: BTreeMap<String, Pool>,
}

/// The processes of one function: the idle ones, and permits for all.
struct Pool {
    idle: Mutex<Vec<Process>>,
    permits: Semaphore,
}

impl Runner {
    /// Invokes a function in a process that handles one event at a time; idle processes are reused.
    pub(crate) async fn invoke(&self, name: &str, event: impl Into<Bytes>) -> Result<Outcome> {
        let function = self.plan.functions.get(name).with_context(|| format!("no function {name}"))?;
        let pool = self.pools.get(name).context("no pool")?;
        let _permit = pool.permits.acquire().await?;
        let waiting = pool.idle.lock().await.pop();
        let process = match waiting {
            Some(process) => process,
            None => Process::start(&function.binary, &function.environment, &self.log(name)).await?,
        };
        let outcome = process.invoke(event).await?; // after an error, the process is not reused
        pool.idle.lock().await.push(process);
        Ok(outcome)
    }

    /// Calls an operation of the endpoint and returns its answer.
    pub(crate) async fn call(
        &self,
        service: &'static str,
        target: &'static str,
        request: Value,
    ) -> Result<Value> {
        let aws = self.aws.clone();
        tokio::task::spawn_blocking(move || aws.call(service, target, &request)).await?
    }

    fn log(&self, function: &str) -> std::path::PathBuf {
        self.plan.logs.join(format!("{function}.log"))
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.context("no runtime").and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runner: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(plan), Some(state)) = (words.next(), words.next()) else {
        anyhow::bail!("usage: runner PLAN STATE");
    };
    let mut plan: Plan =
        serde_json::from_slice(&std::fs::read(&plan)?).with_context(|| format!("{plan} is not a plan"))?;
    let gateway =
        TcpListener::bind((Ipv4Addr::LOCALHOST, plan.port)).await.context("the gateway cannot listen")?;
    let cloud = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = format!("http://localhost:{}", cloud.local_addr()?.port());
    for function in plan.functions.values_mut() {
        finish_environment(function, &plan.endpoint, &address);
    }
    let pool =
        |name: &String| (name.clone(), Pool { idle: Mutex::default(), permits: Semaphore::new(PROCESSES) });
    let runner = Arc::new(Runner {
        tokens: Tokens::new(&plan)?,
        aws: Aws::at(&plan.endpoint, &plan.region),
        pools: plan.functions.keys().map(pool).collect(),
        plan,
    });
    for (name, function) in &runner.plan.functions {
        for mapping in &function.queues {
            tokio::spawn(queues::poll(Arc::clone(&runner), name.clone(), mapping.clone()));
        }
        tokio::spawn(ship_log(Arc::clone(&runner), name.clone(), function.log_group.clone()));
    }
    tokio::spawn(serve(cloud, Arc::clone(&runner), cloud::answer));
    let mut state_file = runner.tokens.seed(&runner.plan.users)?;
    if let Some(members) = state_file.as_object_mut() {
        members.insert("awsEndpointUrl".to_owned(), address.into());
    }
    let draft = Path::new(&state).with_extension("draft");
    std::fs::write(&draft, state_file.to_string()).and_then(|()| std::fs::rename(&draft, &state))?;
    serve(gateway, runner, gateway::answer).await;
    Ok(())
}

/// Adds the variables that Lambda sets, and the addresses of the services: the token endpoint is here, all others are at the endpoint.
fn finish_environment(function: &mut Function, endpoint: &str, own: &str) {
    let given = |name: &str| std::env::var(name).unwrap_or_else(|_| "test".to_owned());
    let variables = [
        ("AWS_ACCESS_KEY_ID", given("AWS_ACCESS_KEY_ID")),
        ("AWS_SECRET_ACCESS_KEY", given("AWS_SECRET_ACCESS_KEY")),
        ("AWS_ENDPOINT_URL", own.to_owned()),
    ];
    function.environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
    function
        .environment
        .extend(std::env::var("AWS_SESSION_TOKEN").map(|token| ("AWS_SESSION_TOKEN".to_owned(), token)));
    let services = ["DYNAMODB", "SQS", "KMS", "SCHEDULER"];
    let urls = services.map(|service| (format!("AWS_ENDPOINT_URL_{service}"), endpoint.to_owned()));
    function.environment.extend(urls);
}

async fn serve<F>(listener: TcpListener, runner: Arc<Runner>, answer: fn(Request<Incoming>, Arc<Runner>) -> F)
where
    F: Future<Output = Answer> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        let runner = Arc::clone(&runner);
        let service = service_fn(move |request| {
            // A separate task, so that it continues when the caller disconnects.
            let answered = tokio::spawn(answer(request, Arc::clone(&runner)));
            let lost = |_| in_json(500, &json!({ "message": "Internal Server Error" }));
            async move { Ok::<_, std::convert::Infallible>(answered.await.unwrap_or_else(lost)) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Returns a response in JSON.
pub(crate) fn in_json(status: u16, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Copies a function's log to its log group while the process runs.
async fn ship_log(runner: Arc<Runner>, function: String, group: String) {
    let (file, mut read) = (runner.log(&function), 0);
    let stream = json!({ "logGroupName": group, "logStreamName": "runner" });
    if let Err(error) = runner.call("logs", "Logs_20140328.CreateLogStream", stream.clone()).await {
        return eprintln!("no log stream in {group}: {error:#}");
    }
    loop {
        let (lines, whole) = whole_lines(&file, read).unwrap_or_default();
        if lines.is_empty() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            continue;
        }
        let now = OffsetDateTime::now_utc().unix_timestamp() * 1000;
        let events =
            lines.lines().map(|line| json!({ "timestamp": now, "message": line })).collect::<Vec<_>>();
        let mut request = stream.clone();
        if let Some(members) = request.as_object_mut() {
            members.insert("logEvents".to_owned(), events.into());
        }
        if let Err(error) = runner.call("logs", "Logs_20140328.PutLogEvents", request).await {
            eprintln!("the log of {function}: {error:#}");
        }
        read += whole;
    }
}

/// Returns the complete lines of a file from an offset, and their length in bytes.
fn whole_lines(file: &Path, from: u64) -> Result<(String, u64)> {
    let mut file = std::fs::File::open(file)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_CHUNK).read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    Ok((String::from_utf8_lossy(&bytes).into_owned(), u64::try_from(end)?))
}
