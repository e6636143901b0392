//! The signatures of a delivery, computed without the product's code.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::aws::hmac_sha256;
use crate::receiver::Received;

/// Computes `Qlik-Signature` over a body.
#[must_use]
pub fn qlik_signature(secret: &str, body: &[u8]) -> String {
    hex::encode(hmac_sha256(secret.as_bytes(), body))
}

/// Computes one signature of `webhook-signature` (Standard Webhooks), with the secret's bytes as the key.
#[must_use]
pub fn standard_signature(secret: &str, request: &Received, body: &[u8]) -> String {
    let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    format!("v1,{}", STANDARD.encode(hmac_sha256(secret.as_bytes(), &signed)))
}
