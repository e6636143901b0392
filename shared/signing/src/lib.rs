#![doc = include_str!("../README.md")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::digest::consts::U16;
use sha2::{Digest, Sha256};

use anzol_domain::{Event, Secret, TenantId, WebhookId};

/// Name of the header with [`qlik_signature`].
pub const QLIK_SIGNATURE: &str = "Qlik-Signature";
/// Name of the Standard Webhooks header with [`message_id`].
pub const WEBHOOK_ID: &str = "webhook-id";
/// Name of the Standard Webhooks header with the Unix time of the attempt in seconds.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// Name of the Standard Webhooks header with [`standard_signature`].
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// Returns `Qlik-Signature`: the lower-case hex HMAC-SHA256 of the raw body, keyed with the secret's UTF-8 bytes (contract section 3.1).
#[must_use]
pub fn qlik_signature(secret: &Secret, body: &[u8]) -> String {
    hex::encode(hmac(secret.expose().as_bytes(), &[body]))
}

/// Returns `webhook-signature`: for each secret `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`, separated by spaces (Standard
/// Webhooks 1.0.0). A receiver that knows one of the secrets can verify the signature, so secrets can be rotated without a gap.
///
/// The key is the secret's UTF-8 bytes, as in [`qlik_signature`]. For verifiers that require the `whsec_` form, encode these bytes in base64.
pub fn standard_signature<'a>(
    secrets: impl Iterator<Item = &'a Secret>,
    message_id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let one = |secret: &Secret| standard(secret.expose().as_bytes(), message_id, timestamp, body);
    secrets.map(one).collect::<Vec<_>>().join(" ")
}

fn standard(key: &[u8], message_id: &str, timestamp: i64, body: &[u8]) -> String {
    let head = format!("{message_id}.{timestamp}.");
    format!("v1,{}", STANDARD.encode(hmac(key, &[head.as_bytes(), body])))
}

#[expect(clippy::expect_used, reason = "HMAC accepts keys of every length (RFC 2104)")]
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Returns `webhook-id`, which is the same for every attempt to deliver an event to a webhook, even if its producer publishes the event
/// twice. Receivers use it to drop duplicates. Depends on the event's `source` and `id`, which make it unique, the tenant and the webhook.
#[must_use]
pub fn message_id(tenant: &TenantId, webhook: WebhookId, event: &Event) -> String {
    let mut hash = Sha256::new();
    // The length before each part ensures that different parts never hash the same text.
    for part in [tenant.as_str(), &webhook.to_string(), event.source(), event.id()] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let (half, _) = hash.finalize().split::<U16>();
    format!("msg_{}", URL_SAFE_NO_PAD.encode(half))
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn qlik_signature_equals_the_contracts_vector() {
        let secret = Secret::parse("0123456789abcdef0123456789abcdef".to_owned()).unwrap();
        let body = br#"{"specversion":"1.0","id":"e1","source":"com.qlik/engine","type":"com.qlik.v1.app.deleted","data":{"id":"a1"}}"#;
        assert_eq!(body.len(), 110);
        assert_eq!(
            qlik_signature(&secret, body),
            "04d0cb10af02069aabc4eb1b185d379574f9cc812bb3e4a346d4f6e1271e1805"
        );
    }

    #[test]
    fn standard_signature_equals_published_vectors() {
        for (key, id, timestamp, body, expected) in [
            (
                "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                "plJ3nmyCDGBKInavdOK15jsl",
                "msg_loFOjxBNrRLzqYUf",
                1_731_705_121,
                r#"{"event_type":"ping","data":{"success":true}}"#,
                "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
            ),
        ] {
            let key = STANDARD.decode(key).unwrap();
            assert_eq!(standard(&key, id, timestamp, body.as_bytes()), expected);
        }
    }

    #[test]
    fn several_secrets_yield_several_signatures() {
        let secret = |letter: &str| Secret::parse(letter.repeat(32)).unwrap();
        let (new, old) = (secret("n"), secret("o"));
        let sign = |secrets: &[&Secret]| standard_signature(secrets.iter().copied(), "msg_1", 1, b"{}");
        assert_eq!(sign(&[&new, &old]), format!("{} {}", sign(&[&new]), sign(&[&old])));
        assert!(sign(&[&new]).starts_with("v1,") && sign(&[&new]) != sign(&[&old]));
    }

    #[test]
    fn message_id_is_stable_and_unique_per_event_and_webhook() {
        let tenant = TenantId::parse("acme").unwrap();
        let webhook = WebhookId::mint(OffsetDateTime::UNIX_EPOCH);
        let event = |source: &str, id: &str| {
            let json = serde_json::json!({"specversion": "1.0", "id": id, "source": source, "type": "t"})
                .to_string();
            Event::parse(&json, OffsetDateTime::UNIX_EPOCH).unwrap()
        };
        let id = message_id(&tenant, webhook, &event("s", "1"));
        assert_eq!(id, message_id(&tenant, webhook, &event("s", "1")));
        assert!(id.len() == 26 && !id.contains('.'));
        let other_webhook = WebhookId::mint(OffsetDateTime::UNIX_EPOCH);
        for other in [
            message_id(&tenant, webhook, &event("s", "2")),
            message_id(&tenant, webhook, &event("s1", "1")),
            message_id(&tenant, other_webhook, &event("s", "1")),
            message_id(&TenantId::parse("globex").unwrap(), webhook, &event("s", "1")),
        ] {
            assert_ne!(id, other);
        }
    }
}
