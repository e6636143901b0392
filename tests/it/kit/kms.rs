//! An in-process stub of the KMS operations that Anzol uses: it counts calls, checks the encryption context, and fails on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anzol_domain::{TenantId, WebhookId};
use anzol_vault::Vault;
use aws_types::SdkConfig;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) const KEY: &str = "arn:aws:kms:us-east-1:1:key/secrets";

/// Number of calls by operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) encrypt: usize,
    pub(crate) decrypt: usize,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Calls,
    /// The error with which every call is answered.
    refuses: Option<&'static str>,
}

/// A ciphertext of the stub: the encryption context, and the plaintext in an unreadable form.
#[derive(Serialize, Deserialize)]
struct Ciphertext {
    context: BTreeMap<String, String>,
    hidden: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Kms {
    inner: Arc<Mutex<Inner>>,
    config: Box<SdkConfig>,
}

impl Kms {
    pub(crate) async fn start(config: &SdkConfig) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Mutex::new(Inner::default()));
        let router = Router::new().route("/", post(kms)).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { inner, config: Box::new(config.to_builder().endpoint_url(endpoint).build()) }
    }

    /// Returns the stub's endpoint.
    pub(crate) fn endpoint(&self) -> &str {
        self.config.endpoint_url().unwrap()
    }

    /// Returns a vault with an empty cache, as in a new execution environment.
    pub(crate) fn vault(&self) -> Vault {
        Vault::new(&self.config, KEY)
    }

    /// Encrypts `plain` like this KMS, without a call.
    pub(crate) fn sealed(tenant: &TenantId, webhook: WebhookId, plain: &[u8]) -> Vec<u8> {
        let context = BTreeMap::from([
            ("tenant".to_owned(), tenant.to_string()),
            ("webhook".to_owned(), webhook.to_string()),
        ]);
        seal(context, plain)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns and resets the number of calls.
    pub(crate) fn take_calls(&self) -> Calls {
        std::mem::take(&mut self.inner().calls)
    }

    /// Answers every call with this error from now on.
    pub(crate) fn refuse(&self, code: &'static str) {
        self.inner().refuses = Some(code);
    }

    pub(crate) fn recover(&self) {
        self.inner().refuses = None;
    }
}

fn seal(context: BTreeMap<String, String>, plain: &[u8]) -> Vec<u8> {
    serde_json::to_vec(&Ciphertext { context, hidden: plain.iter().map(|byte| byte ^ 0xa5).collect() })
        .unwrap()
}

fn open(context: &BTreeMap<String, String>, ciphertext: &[u8]) -> Option<Vec<u8>> {
    let ciphertext: Ciphertext = serde_json::from_slice(ciphertext).ok()?;
    (ciphertext.context == *context).then(|| ciphertext.hidden.iter().map(|byte| byte ^ 0xa5).collect())
}

async fn kms(
    State(inner): State<Arc<Mutex<Inner>>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let target = headers.get("x-amz-target").unwrap().to_str().unwrap().to_owned();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let error = |code: &str| (StatusCode::BAD_REQUEST, json!({ "__type": code, "message": "" }).to_string());
    // Lets concurrent callers overlap.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut inner = inner.lock().unwrap();
    let context: BTreeMap<String, String> =
        serde_json::from_value(request["EncryptionContext"].clone()).unwrap();
    assert_eq!(request["KeyId"], KEY);
    assert_eq!(context.keys().collect::<Vec<_>>(), ["tenant", "webhook"]);
    let bytes = |member: &str| STANDARD.decode(request[member].as_str().unwrap()).unwrap();
    match target.as_str() {
        "TrentService.Encrypt" => inner.calls.encrypt += 1,
        "TrentService.Decrypt" => inner.calls.decrypt += 1,
        other => panic!("{other} is not stubbed"),
    }
    if let Some(code) = inner.refuses {
        return error(code);
    }
    if target == "TrentService.Encrypt" {
        let plain = bytes("Plaintext");
        assert!(plain.len() <= 4096, "KMS accepts at most 4096 bytes");
        let answer = json!({ "KeyId": KEY, "CiphertextBlob": STANDARD.encode(seal(context, &plain)) });
        return (StatusCode::OK, answer.to_string());
    }
    match open(&context, &bytes("CiphertextBlob")) {
        Some(plain) => {
            let answer = json!({ "KeyId": KEY, "Plaintext": STANDARD.encode(plain) });
            (StatusCode::OK, answer.to_string())
        }
        None => error("InvalidCiphertextException"),
    }
}
