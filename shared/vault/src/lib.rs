#![doc = include_str!("../README.md")]

mod error;
mod plain;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anzol_domain::config::Env;
use anzol_domain::{Sealed, Secrets, TenantId, Webhook, WebhookId};
use anzol_lazy::Lazy;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::primitives::Blob;
use quick_cache::sync::Cache;
use zeroize::Zeroizing;

pub use error::VaultError;

/// Maximum number of bytes that KMS encrypts in one call (KMS API reference, Encrypt).
pub const MAX_PLAINTEXT: usize = 4096;

/// Maximum size of a webhook's secrets, in bytes: [`anzol_domain::headers::MAX_APART`] encrypted headers and the signing secrets, each of
/// maximum size.
const LARGEST: usize = 5 * MAX_PLAINTEXT;

/// Prefix of a sealed form with several ciphertexts, each preceded by its length in two bytes. No ciphertext of KMS starts with this
/// prefix.
const PARTS: &[u8] = b"anzol parts 1\n";

/// Maximum number of webhooks whose opened secrets are cached: at most about 20 MB, usually less than 1 MB.
const CACHE_CAPACITY: usize = 1000;

/// Timeouts of one try and of a call with all its tries. They leave a sender enough time to send.
const ATTEMPT: Duration = Duration::from_secs(3);
const CALL: Duration = Duration::from_secs(6);

/// Seals the secrets of a webhook, and opens them for that webhook only.
///
/// Opened secrets are cached by tenant, webhook and sealed form. An execution environment therefore opens unchanged secrets once, even if
/// other members of the webhook change, and never uses outdated secrets. Concurrent requests for the same secrets share one call. Evicted
/// secrets are wiped; copies inside the AWS SDK are not.
#[derive(Debug, Clone)]
pub struct Vault {
    client: Lazy<Client>,
    key_id: String,
    open: Arc<Cache<Key, Arc<Secrets>>>,
}

type Key = (TenantId, WebhookId, Vec<u8>);

/// A webhook with its opened secrets. Only [`Vault::open`] creates this type, so nothing is sent without the secrets.
#[derive(Debug, Clone)]
pub struct Opened<'a> {
    webhook: &'a Webhook,
    secrets: Arc<Secrets>,
}

impl Opened<'_> {
    /// Returns the webhook.
    #[must_use]
    pub fn webhook(&self) -> &Webhook {
        self.webhook
    }

    /// Returns the secrets.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

/// Returns the ARN of the KMS key, from the variable `SECRETS_KEY_ARN`.
pub fn key_arn_from_env(env: &mut Env) -> String {
    env.required("SECRETS_KEY_ARN")
}

impl Vault {
    /// Returns a vault with a KMS key, given by id or ARN. Makes no call.
    #[must_use]
    pub fn new(config: &aws_types::SdkConfig, key_id: impl Into<String>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(ATTEMPT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(CALL)
            .build();
        let config = aws_sdk_kms::config::Builder::from(config).timeout_config(timeouts).build();
        let client = Lazy::new(move || Client::from_conf(config));
        Self { client, key_id: key_id.into(), open: Arc::new(Cache::new(CACHE_CAPACITY)) }
    }

    /// Seals secrets for a webhook. Returns `None`, without a call, if there are none. Calls KMS once for every [`MAX_PLAINTEXT`] bytes.
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
        tracing::debug!(kms = "encrypt", webhook.id = %webhook, "sealing secrets");
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
                return Err(VaultError::Unavailable("KMS returned no ciphertext".to_owned()));
            }
            ciphertexts.push(ciphertext);
        }
        Ok(Some(Sealed {
            ciphertext: joined(ciphertexts)?,
            has_secret: secrets.secret.is_some(),
            header_names: secrets.encrypted_headers.names().map(str::to_owned).collect(),
        }))
    }

    /// Opens a webhook's secrets. Makes no call if there are none or they are cached.
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
        tracing::debug!(kms = "decrypt", webhook.id = %webhook, "opening secrets");
        // Allocates the maximum at once, because a growing buffer would leave copies of secrets in freed memory.
        let mut plain = Zeroizing::new(Vec::with_capacity(LARGEST));
        for ciphertext in parts(&sealed.ciphertext)? {
            let request = self
                .client
                .decrypt()
                .key_id(&self.key_id)
                .set_encryption_context(Some(context(tenant, webhook)))
                .ciphertext_blob(Blob::new(ciphertext));
            let answer = request.send().await.map_err(|error| VaultError::from_sdk(&error))?;
            let missing = || VaultError::Unavailable("KMS returned no plaintext".to_owned());
            let part = Zeroizing::new(answer.plaintext.map(Blob::into_inner).ok_or_else(missing)?);
            plain.extend_from_slice(&part);
        }
        plain::read(&plain, &sealed.header_names).map(Arc::new)
    }
}

/// Returns the sealed form of ciphertexts. The sealed form of a single ciphertext is the ciphertext.
fn joined(ciphertexts: Vec<Vec<u8>>) -> Result<Vec<u8>, VaultError> {
    let ciphertexts = match <[_; 1]>::try_from(ciphertexts) {
        Ok([only]) => return Ok(only),
        Err(several) => several,
    };
    let mut all = PARTS.to_vec();
    for ciphertext in ciphertexts {
        let length =
            u16::try_from(ciphertext.len()).map_err(|_| VaultError::Corrupt("they are too large"))?;
        all.extend(length.to_be_bytes());
        all.extend(ciphertext);
    }
    Ok(all)
}

/// Returns the ciphertexts of a sealed form.
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

/// Returns the encryption context, which must be the same when a ciphertext is opened. The key policy in `infra/template.yaml` contains its
/// names.
fn context(tenant: &TenantId, webhook: WebhookId) -> HashMap<String, String> {
    HashMap::from([
        ("tenant".to_owned(), tenant.as_str().to_owned()),
        ("webhook".to_owned(), webhook.to_string()),
    ])
}
