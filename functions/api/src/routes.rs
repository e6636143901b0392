//! The route table: every method and path of the API with its handler and its OpenAPI operation.
//!
//! The router and the OpenAPI document are both built from these rows through [`Table`], so every route is documented. The operation of a
//! row is a closure that only the document calls, so its texts are not linked into the deployed binary.

pub(crate) mod deliveries;
pub(crate) mod event_types;
pub(crate) mod platform;
pub(crate) mod recoveries;
pub(crate) mod stats;
pub(crate) mod webhooks;

use serde_json::json;

use anzol_domain::access::admin_reserve;
use anzol_domain::published::Published;
use anzol_domain::webhook::WEBHOOK_CAP;

use crate::dto::{
    AccessTokenOut, DeliveryOut, EventTypes, PageOut, ProductInfo, RecoveryOut, StatsOut, WebhookOut,
};
use crate::method::Method::{self, Delete, Get, Patch, Post, Put};
use crate::openapi::{self, OpenApi, Operation, examples};
use crate::table::Table;
use crate::version::Version;

const JSON: &str = "application/json";

const WEBHOOKS: &str = "Webhooks";
const HISTORY: &str = "Delivery history";
const PLATFORM: &str = "Platform";

/// Adds the routes below the base path of a version: the ten operations of contract section 1, and the Anzol extensions.
pub(crate) fn webhook_routes(table: &mut impl Table, version: Version) {
    collection_rows(table);
    webhook_rows(table, version);
    delivery_rows(table);
    extension_rows(table);
}

/// Adds the rows of the list of webhooks and of the event types.
fn collection_rows(table: &mut impl Table) {
    table.route(Get, "", webhooks::list, || {
        Operation::new(
            "listWebhookEntries",
            WEBHOOKS,
            "List webhooks",
            "Tenant admins see all webhooks of the tenant. Other users see their own webhooks of level `user`. A webhook is returned if \
             it matches every filter in the query.",
        )
        .query(&[
            "Limit", "WebhookSort", "Next", "Prev", "NamePart", "UrlPart", "Enabled", "EventTypes", "EventTypeAlias", "LevelIs",
            "Origins", "CreatedByUserId", "UpdatedByUserId", "OwnerId",
        ])
        .returns::<PageOut<WebhookOut>>(200, "A page of webhooks.")
    });
    table.route(Post, "", webhooks::create, || {
        Operation::new(
            "createWebhook",
            WEBHOOKS,
            "Create a webhook",
            format!(
                "A tenant can have {WEBHOOK_CAP} webhooks, unless the deployment configures another limit. The last {} of them are \
                 reserved for tenant admins. Only a tenant admin can create a webhook of level `tenant` or a webhook for another user.",
                admin_reserve(WEBHOOK_CAP)
            ),
        )
        .body(JSON, "WebhookCreation", &examples::webhooks(true))
        .returns::<WebhookOut>(201, "The new webhook.")
        .links(
            &["getWebhook", "updateWebhook", "patchWebhook", "deleteWebhook", "getWebhookDeliveryList"],
            &json!({ "id": "$response.body#/id" }),
        )
    });
    table.route(Get, "/event-types", event_types::list, || {
        Operation::new(
            "listEventTypes",
            WEBHOOKS,
            "List event types",
            "Lists the event types that webhooks can subscribe to.",
        )
        .returns::<EventTypes>(200, "All event types.")
    });
}

/// Adds the rows of one webhook.
fn webhook_rows(table: &mut impl Table, version: Version) {
    table.route(Get, "/{id}", webhooks::get, || {
        Operation::new(
            "getWebhook",
            WEBHOOKS,
            "Get a webhook",
            "The signing secret and the values of encrypted headers are never returned.",
        )
        .returns::<WebhookOut>(200, "The webhook.")
    });
    table.route(Put, "/{id}", webhooks::replace, || {
        let rule = match version {
            Version::V1 => "`enableCloudEventDelivery` keeps its value if it is omitted. Read-only members are ignored.",
            Version::Core => {
                "`enableCloudEventDelivery` is false if it is omitted, which is forbidden once it is on. Read-only members can be sent \
                 back unchanged; other values of them are a conflict."
            }
        };
        Operation::new(
            "updateWebhook",
            WEBHOOKS,
            "Replace a webhook",
            format!("Members that are omitted are reset to their defaults. {rule}"),
        )
        .body(JSON, "WebhookReplacement", &examples::webhooks(false))
        .returns::<WebhookOut>(200, "The updated webhook.")
        .errors(&[409])
    });
    table.route(Patch, "/{id}", webhooks::patch, || {
        let (schema, rule) = match version {
            Version::V1 => ("WebhookPatchV1", ""),
            Version::Core => ("WebhookPatch", " A patch of a read-only member is a conflict."),
        };
        Operation::new(
            "patchWebhook",
            WEBHOOKS,
            "Update a webhook",
            format!("Applies a JSON Patch (RFC 6902): all operations, or none.{rule}"),
        )
        .body(JSON, schema, &examples::patches())
        .body("application/json-patch+json", schema, &examples::patches())
        .returns_nothing(204, "The webhook is updated.")
        .errors(&[409])
    });
    table.route(Delete, "/{id}", webhooks::delete, || {
        Operation::new(
            "deleteWebhook",
            WEBHOOKS,
            "Delete a webhook",
            "Deletes the webhook. Its delivery history can no longer be read, and expires within seven days. Pending deliveries are dropped.",
        )
        .returns_nothing(204, "The webhook is deleted.")
    });
}

/// The operations that the response to a new delivery links to.
const DELIVERY_LINKS: [&str; 2] = ["getWebhookDelivery", "resendDelivery"];

fn delivery_rows(table: &mut impl Table) {
    table.route(Get, "/{id}/deliveries", deliveries::list, || {
        Operation::new(
            "getWebhookDeliveryList",
            HISTORY,
            "List deliveries",
            "Lists the deliveries of the last seven days, including retries and resends.",
        )
        .query(&["Limit", "DeliverySort", "Next", "Prev", "StatusIs", "EventTypeIs"])
        .returns::<PageOut<DeliveryOut>>(200, "A page of deliveries.")
    });
    table.route(Get, "/{id}/deliveries/{deliveryId}", deliveries::get, || {
        Operation::new(
            "getWebhookDelivery",
            HISTORY,
            "Get a delivery",
            "Returns the request and the response of a delivery.",
        )
        .returns::<DeliveryOut>(200, "The delivery.")
    });
    table.route(Post, "/{id}/deliveries/{deliveryId}/actions/resend", deliveries::resend, || {
        Operation::new(
            "resendDelivery",
            HISTORY,
            "Resend a delivery",
            "Sends the event again immediately, with the current configuration of the webhook, even if the webhook is disabled. Returns \
             a new delivery with the outcome, so `status` can be `fail`. A failed resend is not retried. A request body is ignored. The \
             number of concurrent tests and resends is limited per tenant and per user; further requests are rejected with 429.",
        )
        .returns::<DeliveryOut>(201, "The new delivery.")
        .links(&DELIVERY_LINKS, &json!({ "id": "$request.path.id", "deliveryId": "$response.body#/id" }))
    });
}

/// Adds the Anzol extensions of the contract.
fn extension_rows(table: &mut impl Table) {
    table.route(Post, "/{id}/actions/test", deliveries::test, || {
        Operation::new(
            "testWebhook",
            HISTORY,
            "Send a test event",
            "Sends a sample event of one of the webhook's event types immediately, even if the webhook is disabled. The attribute \
             `anzoltest` marks the event as a test. Returns a delivery with the outcome; the limits of resends apply. The request body \
             is optional.",
        )
        .body(JSON, "TestRequest", &examples::test())
        .optional_body()
        .returns::<DeliveryOut>(201, "The delivery.")
        .links(&DELIVERY_LINKS, &json!({ "id": "$request.path.id", "deliveryId": "$response.body#/id" }))
    });
    table.route(Post, "/{id}/actions/recover", recoveries::start, || {
        let location = json!({ "type": "string", "format": "uri" });
        let running = json!({
            "description": "The webhook is disabled, or a recovery of it is running.",
            "content": { "application/json": { "schema": openapi::reference("Errors") } },
            "headers": { "Location": { "description": "The URL of the running recovery.", "schema": location } },
        });
        Operation::new(
            "recoverDeliveries",
            HISTORY,
            "Recover failed deliveries",
            "Queues every event again whose delivery has failed permanently since the given time, each event once, oldest first. Skips \
             deliveries that are still being retried. Repeating the request does not send an event twice. Large recoveries continue in \
             the background. A webhook can have one running recovery at a time: a second request returns a conflict, with the URL of the \
             running recovery in `Location`. A disabled webhook must be enabled first.",
        )
        .body(JSON, "RecoveryRequest", &examples::recovery())
        .returns::<RecoveryOut>(202, "The recovery and its progress so far.")
        .header("Location", "The URL of the recovery.", &location)
        .links(&["getRecovery"], &json!({ "id": "$request.path.id", "recoveryId": "$response.body#/id" }))
        .error(409, running)
    });
    table.route(Get, "/{id}/recoveries/{recoveryId}", recoveries::get, || {
        Operation::new("getRecovery", HISTORY, "Get a recovery", "Returns the progress of a recovery.")
            .returns::<RecoveryOut>(200, "The recovery.")
    });
    table.route(Get, "/{id}/stats", stats::get, || {
        Operation::new(
            "getWebhookStats",
            HISTORY,
            "Get delivery statistics",
            "Returns the numbers of a webhook's deliveries by day. If the webhook has no deliveries, also returns the reasons.",
        )
        .returns::<StatsOut>(200, "The statistics.")
    });
}

/// Adds the routes that Qlik's clients use besides those of webhooks. They require no access token.
pub(crate) fn platform_routes(table: &mut impl Table) {
    deployment_rows(table);
    token_rows(table);
}

/// Adds the header that permits caching to the response.
fn caching(operation: Operation) -> Operation {
    operation.header("Cache-Control", "How long the response can be cached.", &json!({ "type": "string" }))
}

/// Adds the rows that describe the deployment.
fn deployment_rows(table: &mut impl Table) {
    table.route(Get, "/api/openapi.json", openapi::serve, || {
        caching(
            Operation::new(
                "getOpenApi",
                PLATFORM,
                "Get the OpenAPI document",
                "Returns this document, in OpenAPI 3.1.",
            )
            .returns::<OpenApi>(200, "The document."),
        )
        .security(json!([]))
    });
    table.route(Get, "/resources/autogenerated/product-info.json", platform::product_info, || {
        caching(
            Operation::new(
                "getProductInfo",
                PLATFORM,
                "Get product information",
                "Identifies this deployment to Qlik's clients as a cloud deployment.",
            )
            .returns::<ProductInfo>(200, "The product information."),
        )
        .security(json!([]))
    });
}

/// Adds the rows that return tokens.
fn token_rows(table: &mut impl Table) {
    table.route(Get, "/api/v1/csrf-token", platform::csrf_token, || {
        caching(
            Operation::new(
                "getCsrfToken",
                PLATFORM,
                "Get a CSRF token",
                "Returns a token for clients that require one before they send changes. The API does not check the token, because it has no \
                 cookie sessions.",
            )
            .returns_nothing(204, "The token is in the header.")
            .header(
                "qlik-csrf-token",
                "192 random bits.",
                &json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{32}$" }),
            ),
        )
        .security(json!([]))
    });
    table.route(Post, "/oauth/token", platform::token, || {
        Operation::new(
            "createToken",
            PLATFORM,
            "Create an access token",
            "Exchanges client credentials for an access token of the deployment's user pool (RFC 6749, section 4.4). The credentials can \
             also be sent with HTTP Basic. If the deployment uses an external identity provider, use the token endpoint of that provider.",
        )
        .body(JSON, "ClientCredentials", &examples::client_credentials())
        .body("application/x-www-form-urlencoded", "ClientCredentialsForm", &examples::client_credentials())
        .returns::<AccessTokenOut>(200, "The access token.")
        .security(json!([{}, { "client": [] }]))
        .errors(&[401, 501])
    });
}

/// Returns the operation of `POST /api/v1/events`, the only route of the document that another function (`ingest`) serves.
pub(crate) fn publish() -> (Method, &'static str, Operation) {
    let media_types = [JSON, "application/cloudevents+json", "application/cloudevents-batch+json"];
    let operation = Operation::new(
        "publishEvents",
        "Events",
        "Publish events",
        "Requires the role TenantAdmin or Publisher, or a publish scope. Each media type accepts every form of the body. The response is \
         sent after all deliveries are queued. Requests with a header that only deliveries have, such as `webhook-id` or \
         `Qlik-Signature`, are rejected.",
    );
    let operation = media_types
        .into_iter()
        .fold(operation, |operation, media_type| operation.body(media_type, "Events", &examples::events()))
        .returns::<Published>(202, "All deliveries are queued.");
    (Post, "/api/v1/events", operation)
}
