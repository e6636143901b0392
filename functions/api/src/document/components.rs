//! The parameters and error responses of the document, by component name.

use serde_json::{Map, Value, json};

use anzol_domain::Status;
use anzol_domain::page::{DEFAULT_LIMIT, MAX_LIMIT};
use anzol_domain::schema::patterns;

use crate::openapi::{ERRORS, reference};
use crate::routes;

/// A parameter with its component name.
type Parameter = (&'static str, Value);

/// Returns the parameters.
pub(super) fn parameters() -> impl Iterator<Item = Parameter> {
    path_parameters().into_iter().chain(page_parameters()).chain(webhook_filters()).chain(delivery_filters())
}

fn path_parameters() -> [Parameter; 3] {
    let path = |name: &str, text: &str| {
        let schema = json!({ "type": "string", "format": "uuid", "pattern": patterns::ID });
        json!({ "name": name, "in": "path", "required": true, "description": text, "schema": schema })
    };
    [
        ("WebhookId", path("id", "The ID of the webhook.")),
        ("DeliveryId", path("deliveryId", "The ID of a delivery of the webhook.")),
        ("RecoveryId", path("recoveryId", "The ID of a recovery of the webhook.")),
    ]
}

/// Returns the parameters that select and order the items of a page.
fn page_parameters() -> [Parameter; 5] {
    let sort = |fields: &[&str], default: &str| {
        let all = fields.iter().flat_map(|field| ["", "+", "-"].map(|order| format!("{order}{field}")));
        json!({ "type": "string", "enum": all.collect::<Vec<_>>(), "default": default })
    };
    let sorting = "The field to sort by. Prefix it with `-` for descending order.";
    let cursor = "A cursor from a link of this list. The order must be the same; the limit may differ.";
    [
        (
            "Limit",
            query(
                "limit",
                "The maximum number of items per page.",
                json!({
                    "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT,
                }),
            ),
        ),
        ("Next", query("next", cursor, text())),
        ("Prev", query("prev", &format!("{cursor} Cannot be combined with `next`."), text())),
        ("WebhookSort", query("sort", sorting, sort(&routes::webhooks::SORT_FIELDS, "-createdAt"))),
        ("DeliverySort", query("sort", sorting, sort(&routes::deliveries::SORT_FIELDS, "-triggeredAt"))),
    ]
}

fn webhook_filters() -> [Parameter; 10] {
    let event_types = || reference("EventTypeName");
    let mut alias = list("eventType", "A deprecated alias of `eventTypes`.", event_types());
    alias["deprecated"] = json!(true);
    [
        ("NamePart", query("name", "Returns webhooks whose name contains this text, ignoring case.", text())),
        ("UrlPart", query("url", "Returns webhooks whose URL contains this text, ignoring case.", text())),
        (
            "Enabled",
            query("enabled", "Returns only enabled or only disabled webhooks.", json!({ "type": "boolean" })),
        ),
        (
            "EventTypes",
            list("eventTypes", "Returns webhooks that subscribe to all of these event types.", event_types()),
        ),
        ("EventTypeAlias", alias),
        ("LevelIs", query("level", "Returns webhooks of this level.", reference("Level"))),
        ("Origins", list("origins", "Returns webhooks of any of these origins.", reference("Origin"))),
        ("CreatedByUserId", query("createdByUserId", "Returns webhooks created by this user.", text())),
        ("UpdatedByUserId", query("updatedByUserId", "Returns webhooks last changed by this user.", text())),
        ("OwnerId", query("ownerId", "Returns webhooks owned by this user.", text())),
    ]
}

fn delivery_filters() -> [Parameter; 2] {
    [
        (
            "StatusIs",
            query(
                "status",
                "Returns deliveries with this status.",
                json!({ "enum": [Status::Success, Status::Fail] }),
            ),
        ),
        (
            "EventTypeIs",
            query(
                "eventType",
                "Returns deliveries of this event type. Both the name and an alias of the type match.",
                text(),
            ),
        ),
    ]
}

/// Returns a query parameter. An empty one counts as absent.
#[expect(clippy::needless_pass_by_value, reason = "callers build the schema in place")]
fn query(name: &str, text: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "allowEmptyValue": true, "description": text, "schema": schema })
}

/// Returns a query parameter whose value is a comma-separated list.
#[expect(clippy::needless_pass_by_value, reason = "callers build the schema in place")]
fn list(name: &str, text: &str, items: Value) -> Value {
    let mut parameter = query(name, text, json!({ "type": "array", "items": items }));
    parameter["style"] = json!("form");
    parameter["explode"] = json!(false);
    parameter
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// Returns the error responses.
pub(super) fn responses() -> Map<String, Value> {
    let response = |(status, name, text, gateway): (u16, &str, &str, bool)| {
        let errors = reference("Errors");
        let schema = if gateway { json!({ "anyOf": [errors, reference("GatewayError")] }) } else { errors };
        let mut response =
            json!({ "description": text, "content": { "application/json": { "schema": schema } } });
        if [429, 503].contains(&status) {
            let seconds = json!({ "type": "integer", "minimum": 1 });
            response["headers"] = json!({ "Retry-After": {
                "description": "Seconds to wait before trying again. Not sent by the gateway.", "schema": seconds,
            } });
        }
        (name.to_owned(), response)
    };
    ERRORS.into_iter().map(response).collect()
}
