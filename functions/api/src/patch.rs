//! JSON Patch on a webhook (contract section 1.3): `add`, `remove` and `replace` on the members that may change.

use json_patch::Patch;
use serde_json::{Value, json};

use anzol_domain::error::Problems;
use anzol_domain::{Invalid, WebhookSpec};

use crate::dto::WebhookIn;

/// Members a patch may name. Those that hold several values may be named down to one of them, like `/headers/X-Key`.
const MEMBERS: [(&str, bool); 9] = [
    ("name", false),
    ("description", false),
    ("url", false),
    ("eventTypes", true),
    ("headers", true),
    ("enabled", false),
    ("secret", false),
    ("encryptedHeaders", true),
    ("enableCloudEventDelivery", false),
];

/// The webhook as it would be after the patch, still to be checked. Nothing is done when any operation cannot be.
pub(crate) fn apply(spec: &WebhookSpec, patch: &Value) -> Result<WebhookIn, Invalid> {
    let operations =
        patch.as_array().ok_or_else(|| Invalid::one("body", "must be an array of JSON Patch operations"))?;
    let mut problems = Problems::default();
    for (index, operation) in operations.iter().enumerate() {
        check_operation(index, operation, &mut problems);
    }
    problems.finish(Some(()))?;
    let patch: Patch = serde_json::from_value(patch.clone()).map_err(|error| {
        Invalid::one("body", format!("must be an array of JSON Patch operations: {error}"))
    })?;

    // Members without a value are there as null, so that `replace` works on them as it does in Qlik's clients.
    let mut document = json!({
        "name": spec.name,
        "description": spec.description,
        "url": spec.url.as_str(),
        "eventTypes": spec.event_types,
        "level": spec.level,
        "ownerId": spec.owner_id,
        "headers": spec.headers,
        "enabled": spec.enabled,
        "secret": spec.secret.as_ref().map(anzol_domain::Secret::expose),
        "encryptedHeaders": {},
        "enableCloudEventDelivery": spec.cloud_events,
    });
    json_patch::patch(&mut document, &patch).map_err(|error| {
        Invalid::one(
            format!("[{}]", error.operation),
            format!("cannot be applied at {}: {}", error.path, error.kind),
        )
    })?;
    WebhookIn::read(&document)
}

fn check_operation(index: usize, operation: &Value, problems: &mut Problems) {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let op = text("op");
    if !matches!(op, Some("add" | "remove" | "replace")) {
        problems.add(format!("[{index}].op"), "must be add, remove or replace");
    }
    if matches!(op, Some("add" | "replace")) && operation.get("value").is_none() {
        problems.add(format!("[{index}].value"), "is required for add and replace");
    }
    let mut parts = text("path").unwrap_or_default().split('/');
    let (root, member, rest, more) = (parts.next(), parts.next(), parts.next(), parts.next());
    let allowed = root == Some("")
        && more.is_none()
        && MEMBERS.iter().any(|(name, nested)| Some(*name) == member && (*nested || rest.is_none()));
    if !allowed {
        let names: Vec<_> = MEMBERS.iter().map(|(name, _)| format!("/{name}")).collect();
        problems.add(format!("[{index}].path"), format!("must be one of {}", names.join(", ")));
    }
}

/// Whether a patch does nothing; such a one is answered without a write.
pub(crate) fn is_empty(patch: &Value) -> bool {
    patch.as_array().is_some_and(Vec::is_empty)
}
