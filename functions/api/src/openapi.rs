//! The API's own description in OpenAPI 3.1, made from the types and constants it runs on.
//!
//! `cargo xtask openapi` writes [`document`] to `infra/openapi.json`, which is what the API serves; a test compares the two.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing an object of JSON by a name makes the member or gives null; only the generator runs this, never a request"
)]

mod operations;
pub(crate) mod patterns;
mod requests;
pub(crate) mod schemas;

use axum::response::IntoResponse;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use anzol_domain::{FailureKind, Level, Origin, Status, Trigger};
use anzol_http::ErrorBody;

use crate::dto::{DeliveryOut, PageOut, RecoverIn, RecoveryOut, TestIn, WebhookIn, WebhookOut};
use crate::routes::event_types::EventTypes;
use crate::routes::stats::StatsOut;
use crate::version::Version;

/// The document as it is served.
pub const OPENAPI: &str = include_str!("../../../infra/openapi.json");

/// Serves the document.
pub(crate) async fn serve() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=300")], OPENAPI)
}

/// The document, made anew.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    for operation in operations::operations() {
        operation.add_to(&mut paths);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Anzol",
            "summary": "Outbound webhooks: signed deliveries, seven days of history, resend",
            "description": "Tenants register webhooks, systems publish events, and every webhook that subscribes to an event gets it as a \
                signed JSON POST. It speaks the public Qlik Cloud webhooks API.\n\nUnknown query parameters, and unknown members of objects, \
                are ignored. An empty query parameter counts as absent; of one given twice, the last counts. Known paths answer other \
                methods with 405 and `Allow`.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The deployment that serves this document" }],
        "security": [{ "bearer": [] }],
        "tags": [
            { "name": "Webhooks", "description": "What a tenant registers. The paths under `/api/v1/webhooks` are deprecated for the same \
                ones under `/api/core/webhooks`, and every answer of them says so." },
            { "name": "Delivery history", "description": "What was sent, and what came back." },
            { "name": "Events", "description": "What systems publish." },
            { "name": "Platform", "description": "What clients ask before they have a token." },
        ],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "parameters": operations::parameters().into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>(),
            "responses": operations::responses(),
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "A token of the deployment's issuer. Its claims say who calls, for which tenant, and in which roles.",
                },
                "client": { "type": "http", "scheme": "basic", "description": "A client's id and secret." },
            },
        },
    })
}

fn generator(settings: SchemaSettings) -> SchemaGenerator {
    let settings = settings.with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings
        .with_transform(RecursiveTransform(plain_enums))
        .with_transform(RecursiveTransform(plain_text))
        .into_generator()
}

fn schemas() -> Map<String, Value> {
    let mut answers = generator(SchemaSettings::draft2020_12().for_serialize());
    answers.subschema_for::<WebhookOut>();
    answers.subschema_for::<PageOut<WebhookOut>>();
    answers.subschema_for::<DeliveryOut>();
    answers.subschema_for::<PageOut<DeliveryOut>>();
    answers.subschema_for::<RecoveryOut>();
    answers.subschema_for::<StatsOut>();
    answers.subschema_for::<EventTypes>();
    answers.subschema_for::<ErrorBody>();
    answers.subschema_for::<(Level, Origin, Status, Trigger, FailureKind)>();
    let mut requests = generator(SchemaSettings::draft2020_12().for_deserialize());
    requests.subschema_for::<WebhookIn>();
    requests.subschema_for::<(TestIn, RecoverIn)>();

    let mut schemas = answers.take_definitions(true);
    let mut inputs = requests.take_definitions(true);
    let webhook = inputs.remove("WebhookIn").unwrap_or_default();
    schemas.append(&mut inputs);
    let mut replaceable = webhook.clone();
    if let Some(properties) = replaceable["properties"].as_object_mut() {
        properties.remove("origin");
    }
    let own = [
        ("WebhookCreation", requests::creation(&webhook)),
        ("WebhookReplacement", requests::replacement(&replaceable)),
        ("WebhookPatch", requests::json_patch(Version::Core, &webhook)),
        ("WebhookPatchV1", requests::json_patch(Version::V1, &webhook)),
    ];
    let all = own
        .into_iter()
        .chain(requests::events())
        .chain(requests::client_credentials())
        .chain(answers_of_others());
    schemas.extend(all.map(|(name, schema)| (name.to_owned(), schema)));
    schemas
}

/// Answers that other crates, or the gateway, give.
fn answers_of_others() -> [(&'static str, Value); 5] {
    let count = |text: &str| json!({ "description": text, "type": "integer", "minimum": 0 });
    let text = |text: &str| json!({ "description": text, "type": "string" });
    let object = |text: &str, properties: Value| {
        let required: Vec<_> = properties.as_object().into_iter().flat_map(Map::keys).collect();
        json!({ "description": text, "type": "object", "required": required, "properties": properties })
    };
    [
        (
            "GatewayError",
            object("What the gateway says by itself.", json!({ "message": text("What is wrong.") })),
        ),
        (
            "Published",
            object(
                "What became of the events.",
                json!({
                    "accepted": count("Events taken."), "deliveries": count("Deliveries queued for them."),
                }),
            ),
        ),
        (
            "AccessToken",
            object(
                "A token (RFC 6749, section 5.1).",
                json!({
                    "access_token": text("The token."), "token_type": text("`Bearer`."), "expires_in": count("Seconds it is good for."),
                }),
            ),
        ),
        (
            "ProductInfo",
            object(
                "What this is.",
                json!({
                    "composition": object("How it is deployed.", json!({ "deploymentType": { "const": "qlikcloudservices" } })),
                }),
            ),
        ),
        (
            "OpenApi",
            json!({
                "description": "An OpenAPI document.", "type": "object", "required": ["openapi", "info", "paths"],
                "properties": { "openapi": { "type": "string", "pattern": "^3\\.1\\." } },
            }),
        ),
    ]
}

/// Writes a choice of described constants as the plain `enum` that code generators know, the descriptions in one.
fn plain_enums(schema: &mut Schema) {
    let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let values: Option<Vec<_>> = choices.iter().map(|choice| choice.get("const").cloned()).collect();
    let Some(values) = values else { return };
    let lines = choices.iter().filter_map(|choice| {
        Some(format!("\n- `{}`: {}", choice.get("const")?.as_str()?, choice.get("description")?.as_str()?))
    });
    let lines: String = lines.collect();
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let text = format!("{text}\n{lines}");
    schema.remove("oneOf");
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), values.into());
    schema.insert("description".to_owned(), text.into());
}

/// Writes a description without the line ends that only the code's width asks for.
fn plain_text(schema: &mut Schema) {
    let Some(Value::String(text)) = schema.get_mut("description") else { return };
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let lines = paragraph.replace("\n- ", "\u{0}- ").replace('\n', " ");
        lines.replace('\u{0}', "\n")
    });
    *text = paragraphs.collect::<Vec<_>>().join("\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_the_code_says() {
        let file: Value = serde_json::from_str(OPENAPI).unwrap();
        assert!(
            file == document(),
            "infra/openapi.json is not what the code says: run `cargo xtask openapi`"
        );
    }

    #[test]
    fn references_lead_somewhere_and_every_operation_has_an_id_of_its_own() {
        let document = document();
        let mut stack = vec![&document];
        let (mut references, mut ids) = (0, Vec::new());
        while let Some(value) = stack.pop() {
            if let Some(target) = value.get("$ref").and_then(Value::as_str) {
                let pointer = target.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{target}");
                references += 1;
            }
            // Links have the member too, to name another operation.
            if value.get("responses").is_some() {
                ids.extend(value.get("operationId").and_then(Value::as_str));
            }
            match value {
                Value::Array(items) => stack.extend(items),
                Value::Object(members) => stack.extend(members.values()),
                _ => {}
            }
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert!(references > 100 && count == 33, "{references} references, {count} operations");
    }
}
