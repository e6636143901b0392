#![doc = include_str!("../README.md")]

mod error;
mod plain;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anzol_domain::{Sealed, Secrets, TenantId, Webhook, WebhookId};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::primitives::Blob;
use quick_cache::sync::Cache;
use zeroize::Zeroizing;

pub use error::VaultError;

/// Most bytes that KMS encrypts at once (KMS API reference, Encrypt).
pub const MAX_PLAINTEXT: usize = 4096;

/// Most bytes that secrets take: [`anzol_domain::headers::MAX_APART`] encrypted headers, each as large as can be, and the longest signing
/// secrets.
const LARGEST: usize = 5 * MAX_PLAINTEXT;

/// Begins the sealed form of what takes several calls of KMS; then come the ciphertexts, each after its length in two bytes. KMS begins
/// none of its own so.
const PARTS: &[u8] = b"anzol parts 1\n";

/// Webhooks whose secrets are kept open in memory: some 20 MB if all are as large as can be, usually less than one.
const KEPT_OPEN: usize = 1000;

/// Bounds on a try, and on a call with all its tries: a sender that waited for one still has time to send.
const ATTEMPT: Duration = Duration::from_secs(3);
const CALL: Duration = Duration::from_secs(6);

/// Seals secrets, and opens them again for their own webhook alone.
///
/// What was opened is kept in memory, found again by tenant, webhook and the sealed form itself: so secrets that did not change are
/// opened once in an execution environment, whatever else changes of their webhook, and changed ones are never mistaken for them.
/// Many who want the same at once wait for one call. What is no longer kept is wiped; copies inside the AWS SDK are beyond our reach.
#[derive(Debug, Clone)]
pub struct Vault {
    client: LazyClient,
    key_id: String,
    open: Arc<Cache<Key, Arc<Secrets>>>,
}

/// Made when it is first used: many execution environments never meet a secret.
type LazyClient = Arc<LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>>;

type Key = (TenantId, WebhookId, Vec<u8>);

/// A webhook with its secrets open.
#[derive(Debug, Clone)]
pub struct Opened<'a> {
    webhook: &'a Webhook,
    secrets: Arc<Secrets>,
}

impl Opened<'_> {
    /// The webhook.
    #[must_use]
    pub fn webhook(&self) -> &Webhook {
        self.webhook
    }

    /// All that is secret of it.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

impl Vault {
    /// A vault whose key is this one (an id or ARN), reached with this configuration.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, key_id: impl Into<String>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(ATTEMPT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(CALL)
            .build();
        let config = aws_sdk_kms::config::Builder::from(config).timeout_config(timeouts).build();
        let client: LazyClient = Arc::new(LazyLock::new(Box::new(move || Client::from_conf(config))));
        let open = Arc::new(Cache::new(KEPT_OPEN));
        Self { client, key_id: key_id.into(), open }
    }

    /// Seals secrets for a webhook; nothing when there are none. One call of KMS, unless there are none, or more than fit one.
    pub async fn seal(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        secrets: &Secrets,
    ) -> Result<Option<Sealed>, VaultError> {
        if secrets.is_empty() {
            return Ok(None);
        }
        let mut buffer = Zeroizing::new(vec![0; LARGEST]);
        let plain = plain::write(secrets, &mut buffer)?;
        tracing::debug!(kms = "encrypt", webhook.id = %webhook, "asking KMS to seal secrets");
        let mut ciphertexts = Vec::new();
        for part in plain.chunks(MAX_PLAINTEXT) {
            let request = self
                .client
                .encrypt()
                .key_id(&self.key_id)
                .set_encryption_context(Some(context(tenant, webhook)))
                .plaintext(Blob::new(part));
            let answer = request.send().await.map_err(|error| VaultError::from_sdk(&error))?;
            let ciphertext = answer.ciphertext_blob.map(Blob::into_inner).unwrap_or_default();
            if ciphertext.is_empty() {
                return Err(VaultError::Unavailable("KMS answered without a ciphertext".to_owned()));
            }
            ciphertexts.push(ciphertext);
        }
        Ok(Some(Sealed {
            ciphertext: joined(ciphertexts)?,
            has_secret: secrets.secret.is_some(),
            header_names: secrets.encrypted_headers.names().map(str::to_owned).collect(),
        }))
    }

    /// Opens a webhook's secrets. One call of KMS, unless there are none or they are open already.
    pub async fn open<'a>(&self, webhook: &'a Webhook) -> Result<Opened<'a>, VaultError> {
        let secrets = match &webhook.sealed {
            None => Arc::default(),
            Some(sealed) => {
                let key = (webhook.tenant_id.clone(), webhook.id, sealed.ciphertext.clone());
                let decrypt = self.decrypt(&webhook.tenant_id, webhook.id, sealed);
                self.open.get_or_insert_async(&key, decrypt).await?
            }
        };
        Ok(Opened { webhook, secrets })
    }

    async fn decrypt(
        &self,
        tenant: &TenantId,
        webhook: WebhookId,
        sealed: &Sealed,
    ) -> Result<Arc<Secrets>, VaultError> {
        tracing::debug!(kms = "decrypt", webhook.id = %webhook, "asking KMS to open secrets");
        // With room for all, so that it never leaves a part of itself behind in growing.
        let mut plain = Zeroizing::new(Vec::with_capacity(LARGEST));
        for ciphertext in parts(&sealed.ciphertext)? {
            let request = self
                .client
                .decrypt()
                .key_id(&self.key_id)
                .set_encryption_context(Some(context(tenant, webhook)))
                .ciphertext_blob(Blob::new(ciphertext));
            let answer = request.send().await.map_err(|error| VaultError::from_sdk(&error))?;
            let part = Zeroizing::new(answer.plaintext.map(Blob::into_inner).unwrap_or_default());
            plain.extend_from_slice(&part);
        }
        plain::read(&plain, &sealed.header_names).map(Arc::new)
    }
}

/// The sealed form of these ciphertexts: that of a single one is itself.
fn joined(mut ciphertexts: Vec<Vec<u8>>) -> Result<Vec<u8>, VaultError> {
    if ciphertexts.len() < 2 {
        return Ok(ciphertexts.pop().unwrap_or_default());
    }
    let mut all = PARTS.to_vec();
    for ciphertext in ciphertexts {
        let length =
            u16::try_from(ciphertext.len()).map_err(|_| VaultError::Corrupt("they are too large"))?;
        all.extend(length.to_be_bytes());
        all.extend(ciphertext);
    }
    Ok(all)
}

/// The ciphertexts in a sealed form.
fn parts(sealed: &[u8]) -> Result<Vec<&[u8]>, VaultError> {
    let Some(mut rest) = sealed.strip_prefix(PARTS) else { return Ok(vec![sealed]) };
    let mut parts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (part, after) = after.split_at_checked(length).ok_or(VaultError::Corrupt("a part is missing"))?;
        parts.push(part);
        rest = after;
    }
    if rest.is_empty() { Ok(parts) } else { Err(VaultError::Corrupt("a part is missing")) }
}

/// What has to be the same when a ciphertext is opened. The names are those of the key's policy in `infra/template.yaml`.
fn context(tenant: &TenantId, webhook: WebhookId) -> HashMap<String, String> {
    HashMap::from([
        ("tenant".to_owned(), tenant.as_str().to_owned()),
        ("webhook".to_owned(), webhook.to_string()),
    ])
}
