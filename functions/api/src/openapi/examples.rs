//! The document's example request bodies. Tests send them to the API.

use serde_json::{Value, json};

use anzol_domain::{Level, Origin};

/// Returns webhooks for creation or replacement. Only a new webhook can have an `origin`.
pub(crate) fn webhooks(origin: bool) -> Value {
    let mut full = json!({
        "name": "Failed reloads",
        "description": "Notifies the on-call team.",
        "url": "https://hooks.example.com/reloads",
        "eventTypes": ["com.qlik.v1.app.reload.finished"],
        "level": Level::Tenant,
        "filter": "data.status eq \"error\"",
        "secret": "0123456789abcdef0123456789abcdef",
        "headers": { "X-Environment": "production" },
        "encryptedHeaders": { "Authorization": "Bearer of-the-receiver" },
        "enabled": true,
        "enableCloudEventDelivery": true,
        "checkCertificateRevocation": false,
    });
    if origin {
        full["origin"] = json!(Origin::Api);
    }
    json!({
        "minimal": {
            "summary": "Required members only",
            "value": { "name": "Orders", "url": "https://hooks.example.com/orders", "eventTypes": ["com.qlik.v1.app.created"] },
        },
        "full": { "summary": "All members", "value": full },
    })
}

/// Returns JSON Patches of a webhook.
pub(crate) fn patches() -> Value {
    json!({
        "disable": { "summary": "Disable the webhook", "value": [{ "op": "replace", "path": "/enabled", "value": false }] },
        "header": {
            "summary": "Set a header",
            "value": [{ "op": "add", "path": "/headers/X-Environment", "value": "production" }],
        },
    })
}

/// Returns a request for a test event.
pub(crate) fn test() -> Value {
    json!({ "type": { "summary": "A specific event type", "value": { "eventType": "com.qlik.v1.app.created" } } })
}

/// Returns a request for a recovery.
pub(crate) fn recovery() -> Value {
    json!({ "since": { "summary": "Since a given time", "value": { "since": "2026-11-24T10:00:00Z" } } })
}

/// Returns events in both forms.
pub(crate) fn events() -> Value {
    json!({
        "cloudEvent": {
            "summary": "CloudEvents 1.0",
            "value": {
                "specversion": "1.0", "id": "1", "source": "com.example/apps", "type": "com.qlik.v1.app.created",
                "time": "2026-11-24T10:00:00Z", "data": { "id": "app-1", "name": "Quarterly sales" },
            },
        },
        "legacy": {
            "summary": "The legacy form",
            "value": [{
                "cloudEventsVersion": "0.1", "eventId": "2", "source": "com.example/apps", "eventType": "com.qlik.v1.app.deleted",
                "eventTime": "2026-11-24T10:00:00Z", "extensions": {}, "data": { "id": "app-1" },
            }],
        },
    })
}

/// Returns the credentials of a client.
pub(crate) fn client_credentials() -> Value {
    json!({ "client": {
        "summary": "A publisher",
        "value": { "grant_type": "client_credentials", "client_id": "1example23456789", "client_secret": "of-that-client" },
    } })
}
