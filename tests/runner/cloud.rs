//! The endpoint for functions and tests: answers Lambda's `Invoke` and requests for tokens, and forwards all other calls.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONNECTION;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::{Answer, Runner, in_json};

pub(crate) async fn answer(request: Request<Incoming>, runner: Arc<Runner>) -> Answer {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    own(request, &runner).await.unwrap_or_else(|error| {
        eprintln!("{method} {uri}: {error:#}");
        in_json(502, &json!({ "message": format!("{error:#}") }))
    })
}

async fn own(request: Request<Incoming>, runner: &Runner) -> Result<Answer> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let called = head
        .uri
        .path()
        .strip_prefix("/2015-03-31/functions/")
        .and_then(|path| path.strip_suffix("/invocations"));
    let known = runner.plan.functions.iter().find(|(_, function)| Some(function.name.as_str()) == called);
    match (&head.method, head.uri.path(), known) {
        (&Method::POST, "/oauth2/token", _) => {
            let (status, answer) = runner.tokens.exchange(&head.headers, &String::from_utf8_lossy(&body))?;
            Ok(in_json(status, &answer))
        }
        (&Method::POST, _, Some((function, _))) => {
            let outcome = runner.invoke(function, body).await?;
            let mut answer = Response::new(Full::new(outcome.payload));
            if outcome.failed {
                answer.headers_mut().insert("x-amz-function-error", "Unhandled".parse()?);
            }
            Ok(answer)
        }
        _ => forward(head, body, &runner.plan.endpoint).await,
    }
}

/// Forwards a request on a new connection. The host is unchanged, because the signature covers it.
async fn forward(mut head: Parts, body: Bytes, endpoint: &str) -> Result<Answer> {
    let endpoint: Uri = endpoint.parse()?;
    let host = endpoint.host().context("the endpoint has no host")?;
    let stream = TcpStream::connect((host, endpoint.port_u16().unwrap_or(80)))
        .await
        .context("the endpoint does not answer")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    head.headers.remove(CONNECTION);
    let (head, body) = sender.send_request(Request::from_parts(head, Full::new(body))).await?.into_parts();
    let mut answer = Response::new(Full::new(body.collect().await?.to_bytes()));
    *answer.status_mut() = head.status;
    let forwarded = head
        .headers
        .iter()
        .filter(|(name, _)| !["connection", "transfer-encoding", "content-length"].contains(&name.as_str()));
    answer.headers_mut().extend(forwarded.map(|(name, value)| (name.clone(), value.clone())));
    Ok(answer)
}
