//! The table of operations: what can be called, with what, and every answer that can come back.

use serde_json::{Map, Value, json};

use anzol_domain::access::admin_reserve;
use anzol_domain::page::{DEFAULT_LIMIT, MAX_LIMIT};
use anzol_domain::webhook::WEBHOOK_CAP;
use anzol_domain::{Level, Origin, Status};

use super::patterns;
use crate::routes;
use crate::version::{DEPRECATION, SUNSET, Version};

/// One operation; `json` is what the document says of it.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: String,
    json: Value,
}

impl Operation {
    fn new(
        method: &'static str,
        path: impl Into<String>,
        id: &str,
        tag: &str,
        summary: &str,
        text: &str,
    ) -> Self {
        let json = json!({
            "operationId": id, "tags": [tag], "summary": summary, "description": text, "responses": {},
        });
        Self { method, path: path.into(), json }
    }

    /// With these parameters, each the name of a component.
    fn taking(mut self, parameters: &[&str]) -> Self {
        let all = parameters.iter().map(|name| json!({ "$ref": format!("#/components/parameters/{name}") }));
        self.json["parameters"] = all.collect();
        self
    }

    /// With a body of these media types and this schema.
    fn reading(mut self, kinds: &[&str], schema: &str, examples: &Value) -> Self {
        let content = json!({ "schema": reference(schema), "examples": examples });
        let content: Map<_, _> = kinds.iter().map(|kind| ((*kind).to_owned(), content.clone())).collect();
        self.json["requestBody"] = json!({ "required": true, "content": content });
        self
    }

    /// Answering so when all is well.
    fn answering(mut self, status: u16, text: &str, schema: Option<&str>) -> Self {
        let mut response = json!({ "description": text });
        if let Some(schema) = schema {
            response["content"] = json!({ "application/json": { "schema": reference(schema) } });
        }
        self.json["responses"][status.to_string()] = response;
        self
    }

    /// The response that all is well with, for more to be said of it.
    fn success(&mut self) -> Option<&mut Value> {
        let responses = self.json["responses"].as_object_mut()?;
        responses.iter_mut().find(|(status, _)| status.starts_with('2')).map(|(_, response)| response)
    }

    /// With headers of that response, which are always there.
    fn with_headers(mut self, headers: &[(&str, Value)]) -> Self {
        if let Some(response) = self.success() {
            for (name, header) in headers {
                response["headers"][name] = header.clone();
            }
        }
        self
    }

    /// With links from that response to other operations.
    fn leading(mut self, links: &[(String, Value)]) -> Self {
        if let Some(response) = self.success() {
            for (operation, parameters) in links {
                response["links"][operation] = json!({ "operationId": operation, "parameters": parameters });
            }
        }
        self
    }

    /// Answering these statuses when something is wrong.
    fn failing(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            let response = json!({ "$ref": format!("#/components/responses/{}", error_name(*status)) });
            self.json["responses"][status.to_string()] = response;
        }
        self
    }

    /// With another answer of 409, as this one has a header of its own.
    fn conflicting(mut self, header: &Value) -> Self {
        self.json["responses"]["409"] = json!({
            "description": "The webhook is disabled, or a recovery of it is under way.",
            "content": { "application/json": { "schema": reference("Errors") } },
            "headers": { "Location": header },
        });
        self
    }

    /// Without a caller's token.
    fn public(mut self, security: Value) -> Self {
        self.json["security"] = security;
        self
    }

    /// Adds it to the document's paths.
    pub(super) fn add_to(self, paths: &mut Map<String, Value>) {
        let path = paths.entry(self.path).or_insert_with(|| json!({}));
        path[self.method] = self.json;
    }
}

/// What every operation can answer: the gateway's throttling, our faults, and a busy database.
const ALWAYS: [u16; 3] = [429, 500, 503];

/// All of them, in the order of the document.
pub(super) fn operations() -> Vec<Operation> {
    let mut operations = webhook_operations(Version::Core);
    operations.extend(webhook_operations(Version::V1));
    operations.push(publish());
    operations.extend(platform());
    operations
}

const WEBHOOKS: &str = "Webhooks";
const HISTORY: &str = "Delivery history";
/// The id of what an operation has made.
const MADE: &str = "$response.body#/id";

/// An operation's id: in v1 as the contract names it, in core after it.
fn id(version: Version, name: &str) -> String {
    match (version, name.split_at_checked(1)) {
        (Version::Core, Some((first, rest))) => format!("core{}{rest}", first.to_uppercase()),
        _ => name.to_owned(),
    }
}

fn at(version: Version, tail: &str) -> String {
    format!("{}{tail}", version.base())
}

/// The ten operations of contract section 1, and ours beyond them, at the base of this version.
fn webhook_operations(version: Version) -> Vec<Operation> {
    let operations =
        webhooks(version).into_iter().chain(history(version)).chain(beyond_the_contract(version));
    let operations = operations.map(|operation| operation.failing(&ALWAYS));
    match version {
        Version::V1 => operations.map(Operation::deprecated).collect(),
        Version::Core => operations.collect(),
    }
}

fn webhooks(version: Version) -> [Operation; 7] {
    let (patch_schema, patch_rule, put_rule) = match version {
        Version::V1 => (
            "WebhookPatchV1",
            "",
            "Without `enableCloudEventDelivery`, it stays as it is; read-only members are ignored.",
        ),
        Version::Core => (
            "WebhookPatch",
            " A patch of a read-only member is a conflict.",
            "Without `enableCloudEventDelivery`, it is off, which is forbidden once it was on; read-only members may be sent back as \
             they are, and other values of them are a conflict.",
        ),
    };
    let links = ["getWebhook", "updateWebhook", "patchWebhook", "deleteWebhook", "getWebhookDeliveryList"]
        .map(|name| (id(version, name), json!({ "id": MADE })));
    [
        Operation::new("get", at(version, ""), &id(version, "listWebhookEntries"), WEBHOOKS, "List webhooks",
            "Tenant admins see every webhook of the tenant, others their own of level `user`. Every filter that is given has to hold.")
            .taking(&[
                "Limit", "WebhookSort", "Next", "Prev", "NamePart", "UrlPart", "Enabled", "EventTypes", "EventTypeAlias", "LevelIs",
                "Origins", "CreatedByUserId", "UpdatedByUserId", "OwnerId",
            ])
            .answering(200, "A page of webhooks.", Some("WebhookPage"))
            .failing(&[400, 401, 403]),
        Operation::new("post", at(version, ""), &id(version, "createWebhook"), WEBHOOKS, "Create a webhook",
            &format!("A tenant has at most {WEBHOOK_CAP} webhooks, unless the deployment says otherwise; one more is forbidden. The \
                last {} of them are kept for tenant admins. A webhook of level `tenant` takes a tenant admin, and so does one that belongs to somebody else.", admin_reserve(WEBHOOK_CAP)))
            .reading(&["application/json"], "WebhookCreation", &webhook_examples(true))
            .answering(201, "The webhook as it was made.", Some("Webhook"))
            .leading(&links)
            .failing(&[400, 401, 403, 413, 415]),
        Operation::new("get", at(version, "/event-types"), &id(version, "listEventTypes"), WEBHOOKS, "List event types",
            "What webhooks can subscribe to.")
            .answering(200, "Every event type.", Some("EventTypes"))
            .failing(&[401, 403]),
        Operation::new("get", at(version, "/{id}"), &id(version, "getWebhook"), WEBHOOKS, "Get a webhook",
            "Secrets and the values of encrypted headers are never shown.")
            .taking(&["WebhookId"])
            .answering(200, "The webhook.", Some("Webhook"))
            .failing(&[400, 401, 403, 404]),
        Operation::new("put", at(version, "/{id}"), &id(version, "updateWebhook"), WEBHOOKS, "Replace a webhook",
            &format!("What is left out goes back to its default. {put_rule}"))
            .taking(&["WebhookId"])
            .reading(&["application/json"], "WebhookReplacement", &webhook_examples(false))
            .answering(200, "The webhook as it is now.", Some("Webhook"))
            .failing(&[400, 401, 403, 404, 409, 413, 415]),
        Operation::new("patch", at(version, "/{id}"), &id(version, "patchWebhook"), WEBHOOKS, "Change parts of a webhook",
            &format!("All operations are applied, or none.{patch_rule}"))
            .taking(&["WebhookId"])
            .reading(&["application/json", "application/json-patch+json"], patch_schema, &patch_examples())
            .answering(204, "It is changed.", None)
            .failing(&[400, 401, 403, 404, 409, 413, 415]),
        Operation::new("delete", at(version, "/{id}"), &id(version, "deleteWebhook"), WEBHOOKS, "Delete a webhook",
            "Its history goes with it, and what is queued for it is dropped.")
            .taking(&["WebhookId"])
            .answering(204, "It is gone.", None)
            .failing(&[400, 401, 403, 404]),
    ]
}

fn history(version: Version) -> [Operation; 3] {
    let links = ["getWebhookDelivery", "resendDelivery"]
        .map(|name| (id(version, name), json!({ "id": "$request.path.id", "deliveryId": MADE })));
    [
        Operation::new("get", at(version, "/{id}/deliveries"), &id(version, "getWebhookDeliveryList"), HISTORY, "List deliveries",
            "Seven days of them, retries and resends included.")
            .taking(&["WebhookId", "Limit", "DeliverySort", "Next", "Prev", "StatusIs", "EventTypeIs"])
            .answering(200, "A page of deliveries.", Some("DeliveryPage"))
            .failing(&[400, 401, 403, 404]),
        Operation::new("get", at(version, "/{id}/deliveries/{deliveryId}"), &id(version, "getWebhookDelivery"), HISTORY, "Get a delivery",
            "What was sent, and what came back.")
            .taking(&["WebhookId", "DeliveryId"])
            .answering(200, "The delivery.", Some("Delivery"))
            .failing(&[400, 401, 403, 404]),
        Operation::new("post", at(version, "/{id}/deliveries/{deliveryId}/actions/resend"),
            &id(version, "resendDelivery"), HISTORY, "Resend a delivery",
            "Sends the event again, now, to the webhook as it is now, enabled or not. A new delivery tells how that went, so `status` \
             may be `fail`; it is not retried. A body is ignored. While as many tests and resends are under way as a tenant or a user may have, \
             one more is refused (429).")
            .taking(&["WebhookId", "DeliveryId"])
            .answering(201, "The new delivery.", Some("Delivery"))
            .leading(&links)
            .failing(&[400, 401, 403, 404]),
    ]
}

/// What is ours, beyond the contract.
fn beyond_the_contract(version: Version) -> [Operation; 4] {
    let delivery = ["getWebhookDelivery", "resendDelivery"]
        .map(|name| (id(version, name), json!({ "id": "$request.path.id", "deliveryId": MADE })));
    let recovery = [(id(version, "getRecovery"), json!({ "id": "$request.path.id", "recoveryId": MADE }))];
    let test = json!({ "type": { "summary": "One of its types", "value": { "eventType": "com.qlik.v1.app.created" } } });
    let recover =
        json!({ "since": { "summary": "Since some time", "value": { "since": "2026-11-24T10:00:00Z" } } });
    let location = json!({ "description": "Where its progress is seen.", "required": true, "schema": { "type": "string", "format": "uri" } });
    let running = json!({
        "description": "Where the progress of the recovery under way is seen.", "schema": { "type": "string", "format": "uri" },
    });
    [
        Operation::new("post", at(version, "/{id}/actions/test"), &id(version, "testWebhook"), HISTORY, "Send a test event",
            "Sends an event of one of the webhook's types, made up and marked by the attribute `anzoltest`, now, enabled or not. The \
             delivery tells how that went, as for a resend, and as many may be under way. The body may be left out.")
            .taking(&["WebhookId"])
            .reading(&["application/json"], "TestRequest", &test)
            .optionally()
            .answering(201, "The delivery.", Some("Delivery"))
            .leading(&delivery)
            .failing(&[400, 401, 403, 404, 413, 415]),
        Operation::new("post", at(version, "/{id}/actions/recover"), &id(version, "recoverDeliveries"), HISTORY,
            "Send again what failed",
            "Queues again, once each and the oldest first, the events whose deliveries failed for good since some time: those still being \
             retried come by themselves. One recovery of a webhook runs at a time: another is a conflict, and `Location` names the one that \
             runs. Asking twice sends once. Large recoveries go on by themselves; a disabled webhook has to be enabled first.")
            .taking(&["WebhookId"])
            .reading(&["application/json"], "RecoveryRequest", &recover)
            .answering(202, "The recovery, and how far it came at once.", Some("Recovery"))
            .with_headers(&[("Location", location)])
            .leading(&recovery)
            .failing(&[400, 401, 403, 404, 409, 413, 415])
            .conflicting(&running),
        Operation::new("get", at(version, "/{id}/recoveries/{recoveryId}"), &id(version, "getRecovery"), HISTORY, "Get a recovery",
            "How far it has come.")
            .taking(&["WebhookId", "RecoveryId"])
            .answering(200, "The recovery.", Some("Recovery"))
            .failing(&[400, 401, 403, 404]),
        Operation::new("get", at(version, "/{id}/stats"), &id(version, "getWebhookStats"), HISTORY, "Get a webhook's stats",
            "What its history comes to, by day; and when it has none, why nothing arrives.")
            .taking(&["WebhookId"])
            .answering(200, "The stats.", Some("Stats"))
            .failing(&[400, 401, 403, 404]),
    ]
}

impl Operation {
    /// With a body that may be left out.
    fn optionally(mut self) -> Self {
        self.json["requestBody"]["required"] = json!(false);
        self
    }

    /// As those of v1 are, which say so in every answer of theirs.
    fn deprecated(mut self) -> Self {
        self.json["deprecated"] = json!(true);
        let header = |text: &str, example: &str| {
            let schema = json!({ "type": "string", "examples": [example] });
            json!({ "description": text, "required": true, "schema": schema })
        };
        self.with_headers(&[
            ("Deprecation", header("When it was deprecated (RFC 9745).", DEPRECATION)),
            ("Sunset", header("When it may go (RFC 8594).", SUNSET)),
            (
                "Link",
                header("Where the same is found in core.", "</api/core/webhooks>; rel=\"successor-version\""),
            ),
        ])
    }
}

/// Webhooks to be made, or to take another's place, which cannot say where it was made.
fn webhook_examples(origin: bool) -> Value {
    let mut full = full_webhook();
    if origin {
        full["origin"] = json!(Origin::Api);
    }
    json!({
        "minimal": {
            "summary": "As little as can be",
            "value": { "name": "Orders", "url": "https://hooks.example.com/orders", "eventTypes": ["com.qlik.v1.app.created"] },
        },
        "full": { "summary": "Everything there is", "value": full },
    })
}

fn patch_examples() -> Value {
    json!({
        "disable": { "summary": "Disable it", "value": [{ "op": "replace", "path": "/enabled", "value": false }] },
        "header": {
            "summary": "Set one header",
            "value": [{ "op": "add", "path": "/headers/X-Environment", "value": "production" }],
        },
    })
}

/// A webhook with every member that a request can have.
fn full_webhook() -> Value {
    json!({
        "name": "Reloads that failed",
        "description": "Tells the on-call team.",
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
    })
}

fn publish() -> Operation {
    let examples = json!({
        "cloudEvent": {
            "summary": "CloudEvents 1.0",
            "value": {
                "specversion": "1.0", "id": "1", "source": "com.example/apps", "type": "com.qlik.v1.app.created",
                "time": "2026-11-24T10:00:00Z", "data": { "id": "app-1", "name": "Quarterly sales" },
            },
        },
        "legacy": {
            "summary": "The older form",
            "value": [{
                "cloudEventsVersion": "0.1", "eventId": "2", "source": "com.example/apps", "eventType": "com.qlik.v1.app.deleted",
                "eventTime": "2026-11-24T10:00:00Z", "extensions": {}, "data": { "id": "app-1" },
            }],
        },
    });
    let kinds = ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"];
    Operation::new("post", "/api/v1/events", "publishEvents", "Events", "Publish events",
        "Takes the role TenantAdmin or Publisher, or a publish scope. Every form of body may come as any of the media types. The answer \
         comes when every delivery is queued. A request with a header that only deliveries have (`webhook-id`, `Qlik-Signature`, …) is \
         refused.")
        .reading(&kinds, "Events", &examples)
        .answering(202, "Every delivery is queued.", Some("Published"))
        .failing(&[400, 401, 403, 413, 415])
        .failing(&ALWAYS)
}

/// What clients ask of the platform around the webhooks.
fn platform() -> [Operation; 4] {
    let tag = "Platform";
    let caching = (
        "Cache-Control",
        json!({ "description": "How long it may be kept.", "required": true, "schema": { "type": "string" } }),
    );
    let token = json!({ "client": {
        "summary": "A publisher's client",
        "value": { "grant_type": "client_credentials", "client_id": "1example23456789", "client_secret": "of-that-client" },
    } });
    [
        Operation::new("get", "/api/openapi.json", "getOpenApi", tag, "This document", "The API in OpenAPI 3.1.")
            .answering(200, "The document.", Some("OpenApi"))
            .with_headers(std::slice::from_ref(&caching))
            .public(json!([]))
            .failing(&ALWAYS),
        Operation::new("get", "/resources/autogenerated/product-info.json", "getProductInfo", tag, "What this is",
            "Tells Qlik's clients that they talk to a cloud deployment.")
            .answering(200, "What this is.", Some("ProductInfo"))
            .with_headers(std::slice::from_ref(&caching))
            .public(json!([]))
            .failing(&ALWAYS),
        Operation::new("get", "/api/v1/csrf-token", "getCsrfToken", tag, "Get a CSRF token",
            "For clients that insist on one before they write. There are no cookie sessions here, so nothing checks it.")
            .answering(204, "The token is in the header.", None)
            .with_headers(&[
                ("qlik-csrf-token", json!({
                    "description": "192 random bits.", "required": true,
                    "schema": { "type": "string", "pattern": "^[A-Za-z0-9_-]{32}$" },
                })),
                caching,
            ])
            .public(json!([]))
            .failing(&ALWAYS),
        Operation::new("post", "/oauth/token", "createToken", tag, "Exchange client credentials for a token",
            "For clients of the deployment's own user pool (RFC 6749, section 4.4), which HTTP Basic may name as well. With an outside \
             issuer, ask that one's own token endpoint.")
            .reading(&["application/json"], "ClientCredentials", &token)
            .reading_also("application/x-www-form-urlencoded", "ClientCredentialsForm", &token)
            .answering(200, "The token.", Some("AccessToken"))
            .public(json!([{}, { "client": [] }]))
            .failing(&[400, 401, 413, 415, 501])
            .failing(&ALWAYS),
    ]
}

impl Operation {
    /// The same body in another media type.
    fn reading_also(mut self, kind: &str, schema: &str, examples: &Value) -> Self {
        self.json["requestBody"]["content"][kind] =
            json!({ "schema": reference(schema), "examples": examples });
        self
    }
}

/// Parameters by the names they have in the document.
pub(super) fn parameters() -> [(&'static str, Value); 20] {
    let path = |name: &str, text: &str| {
        let schema = json!({ "type": "string", "format": "uuid", "pattern": patterns::ID });
        json!({ "name": name, "in": "path", "required": true, "description": text, "schema": schema })
    };
    let query = |name: &str, text: &str, schema: Value| {
        // An empty one counts as absent.
        json!({ "name": name, "in": "query", "allowEmptyValue": true, "description": text, "schema": schema })
    };
    let text = || json!({ "type": "string" });
    let sort = |fields: &[&str], default: &str| {
        let all = fields.iter().flat_map(|field| ["", "+", "-"].map(|order| format!("{order}{field}")));
        json!({ "type": "string", "enum": all.collect::<Vec<_>>(), "default": default })
    };
    let list = |name: &str, text: &str, items: Value| {
        let mut parameter = query(name, text, json!({ "type": "array", "items": items }));
        parameter["style"] = json!("form");
        parameter["explode"] = json!(false);
        parameter
    };
    let event_types = || reference("EventTypeName");
    let sorting = "What the list is sorted by: a field, with `-` before it for the other way round.";
    let cursor = "A cursor taken from a link of this list, in the same order; the limit may change.";
    let mut alias = list("eventType", "An older name of `eventTypes`.", event_types());
    alias["deprecated"] = json!(true);
    [
        ("WebhookId", path("id", "A webhook.")),
        ("DeliveryId", path("deliveryId", "A delivery of it.")),
        ("RecoveryId", path("recoveryId", "A recovery of it.")),
        (
            "Limit",
            query(
                "limit",
                "Most items on the page.",
                json!({
                    "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT,
                }),
            ),
        ),
        ("Next", query("next", cursor, text())),
        ("Prev", query("prev", &format!("{cursor} Not together with `next`."), text())),
        ("WebhookSort", query("sort", sorting, sort(&routes::webhooks::SORT_FIELDS, "-createdAt"))),
        ("DeliverySort", query("sort", sorting, sort(&routes::deliveries::SORT_FIELDS, "-triggeredAt"))),
        ("NamePart", query("name", "A part of the name, in any case.", text())),
        ("UrlPart", query("url", "A part of the URL, in any case.", text())),
        ("Enabled", query("enabled", "Whether it is enabled.", json!({ "type": "boolean" }))),
        ("EventTypes", list("eventTypes", "Event types, all of which it hears.", event_types())),
        ("EventTypeAlias", alias),
        ("LevelIs", query("level", "Its level.", reference("Level"))),
        ("Origins", list("origins", "Where it was made: any of these.", reference("Origin"))),
        ("CreatedByUserId", query("createdByUserId", "Who created it.", text())),
        ("UpdatedByUserId", query("updatedByUserId", "Who last changed it.", text())),
        ("OwnerId", query("ownerId", "Who it belongs to.", text())),
        (
            "StatusIs",
            query(
                "status",
                "Whether the receiver took it.",
                json!({ "enum": [Status::Success, Status::Fail] }),
            ),
        ),
        ("EventTypeIs", query("eventType", "The event's type, by its name or its alias.", text())),
    ]
}

/// Every status that means that something is wrong: its name in the document, what it means, and whether the gateway answers it
/// too, in its own form.
const ERRORS: [(u16, &str, &str, bool); 11] = [
    (400, "BadRequest", "The request breaks rules; each is named with its field.", false),
    (
        401,
        "Unauthorized",
        "There is no token, or not a valid one; from the gateway, unless a claim is missing.",
        true,
    ),
    (403, "Forbidden", "The caller may not do this, or the tenant has as many webhooks as it may.", false),
    (404, "NotFound", "It does not exist, as far as this caller is concerned.", false),
    (
        409,
        "Conflict",
        "Somebody else changed it at the same time, or it has parts that cannot be changed.",
        false,
    ),
    (413, "ContentTooLarge", "The body is too large.", true),
    (415, "UnsupportedMediaType", "The body is of a kind that is not read here.", false),
    (429, "TooManyRequests", "Too many requests at once; nothing was done.", true),
    (500, "InternalError", "Our fault.", true),
    (501, "NotImplemented", "Tokens come from an outside issuer.", false),
    (503, "Unavailable", "Something does not answer; trying again soon will do.", true),
];

fn error_name(status: u16) -> &'static str {
    ERRORS.iter().find(|error| error.0 == status).map_or("InternalError", |error| error.1)
}

/// Responses by the names they have in the document.
pub(super) fn responses() -> Map<String, Value> {
    let response = |(status, name, text, gateway): (u16, &str, &str, bool)| {
        let errors = reference("Errors");
        let schema = if gateway { json!({ "anyOf": [errors, reference("GatewayError")] }) } else { errors };
        let mut response =
            json!({ "description": text, "content": { "application/json": { "schema": schema } } });
        if [429, 503].contains(&status) {
            let seconds = json!({ "type": "integer", "minimum": 1 });
            response["headers"] = json!({ "Retry-After": {
                "description": "Seconds to wait; not from the gateway.", "schema": seconds,
            } });
        }
        (name.to_owned(), response)
    };
    ERRORS.into_iter().map(response).collect()
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}
