//! The demonstration of `up`: creates a webhook, publishes an event, and prints and verifies the delivery that the receiver got.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::cloud::stack::Description;
use crate::tools::interrupt;
use crate::tools::progress::{say, seconds, step};

const SECRET: &str = "a-secret-for-the-demonstration-only";
const PATH: &str = "/demonstration";
const EVENT: &str = "tests/events/app-deleted.json";
const TIMEOUT: Duration = Duration::from_secs(20);
const SHOWN_OF_BODY: usize = 400;

/// A request as the receiver recorded it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    method: String,
    path: String,
    host: String,
    headers: BTreeMap<String, String>,
    body_base64: String,
}

pub(crate) fn run(root: &Path, stack: &Description) -> Result<()> {
    say("\nA webhook, an event, a signed delivery:\n");
    let client = Client::new();
    let webhook = step(&format!("acme.admin creates a webhook to {}{PATH}", stack.receiver.url), || {
        let body = json!({
            "name": "Demonstration",
            "url": format!("{}{PATH}", stack.receiver.url),
            "secret": SECRET,
            "eventTypes": ["com.qlik.v1.app.deleted"],
            "enabled": true,
        });
        let answer =
            client.call(stack, "acme.admin", "/api/v1/webhooks", Some(body.to_string().as_bytes()))?;
        answer.get("id").and_then(Value::as_str).map(str::to_owned).context("the new webhook has no id")
    })?;

    step(&format!("acme.publisher publishes {EVENT}"), || {
        let event = std::fs::read(root.join(EVENT)).with_context(|| format!("cannot read {EVENT}"))?;
        client.call(stack, "acme.publisher", "/api/v1/events", Some(&event))
    })?;
    let published = Instant::now();

    let received = step("the receiver gets the delivery", || {
        let url = format!("{}/requests?path={PATH}", stack.receiver.control_url);
        wait_for("delivery at the receiver", || {
            let mut all: Vec<Received> = serde_json::from_value(client.get(&url)?)?;
            Ok(all.pop())
        })
    })?;
    let took = published.elapsed();
    let body = STANDARD.decode(&received.body_base64).context("the receiver's body is not base64")?;
    print(&received, &body);
    verify(&received, &body)?;
    say(format!(
        "\n  Qlik-Signature verified: HMAC-SHA256 over the {} raw bytes. Arrived {} after the event.\n",
        body.len(),
        seconds(took)
    ));

    let row = step("the delivery is in the history", || {
        let path = format!("/api/v1/webhooks/{webhook}/deliveries");
        wait_for("history row", || {
            let page = client.call(stack, "acme.admin", &path, None)?;
            Ok(page.get("data").and_then(|rows| rows.get(0)).cloned())
        })
    })?;
    let field = |pointer: &str| row.pointer(pointer).map_or("-".to_owned(), plain);
    say(format!(
        "\n    {}  {}  {}  status {}  attempt {}  {} ms",
        field("/triggeredAt"),
        field("/eventType"),
        field("/status"),
        field("/response/statusCode"),
        field("/attempt"),
        field("/durationMs"),
    ));
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn print(received: &Received, body: &[u8]) {
    say(format!("\n    {} https://{}{}", received.method, received.host, received.path));
    for (name, value) in &received.headers {
        say(format!("    {name}: {value}"));
    }
    let text = String::from_utf8_lossy(body);
    let start: String = text.chars().take(SHOWN_OF_BODY).collect();
    say(format!("\n    {start}{}", if start.len() < text.len() { " …" } else { "" }));
}

/// Verifies the signature as a customer would: HMAC-SHA256 of the raw body with the secret, in hex.
fn verify(received: &Received, body: &[u8]) -> Result<()> {
    let signature =
        received.headers.get("qlik-signature").context("the delivery carries no Qlik-Signature")?;
    let signature = hex::decode(signature).context("Qlik-Signature is not hex")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
    mac.update(body);
    mac.verify_slice(&signature).context("Qlik-Signature does not match the body")
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(started.elapsed() < TIMEOUT, "no {what} within {}", seconds(TIMEOUT));
        interrupt::pause()?;
    }
}

/// Calls the API and the receiver.
struct Client(ureq::Agent);

impl Client {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .build();
        Self(config.into())
    }

    fn get(&self, url: &str) -> Result<Value> {
        Ok(self.0.get(url).call()?.body_mut().read_json()?)
    }

    /// Sends a POST with the body, or a GET without one. Connects to 127.0.0.1 with the name in the Host header, because not every resolver
    /// knows `*.localhost`.
    fn call(&self, stack: &Description, who: &str, path: &str, body: Option<&[u8]>) -> Result<Value> {
        let token = stack.tokens.get(who).with_context(|| format!("no token for {who}"))?;
        let host =
            stack.api_url.strip_prefix("http://").context("the API's URL does not start with http://")?;
        let port = host.rsplit_once(':').context("the API's URL has no port")?.1;
        let url = format!("http://127.0.0.1:{port}{path}");
        let bearer = format!("Bearer {token}");
        let mut answer = match body {
            Some(body) => self
                .0
                .post(url)
                .header("host", host)
                .header("authorization", bearer)
                .header("content-type", "application/json")
                .send(body)?,
            None => self.0.get(url).header("host", host).header("authorization", bearer).call()?,
        };
        let text = answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            bail!("{path} answered {}: {text}", answer.status());
        }
        serde_json::from_str(&text).with_context(|| format!("{path} did not answer with JSON: {text}"))
    }
}
