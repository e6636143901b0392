//! Generates the API's OpenAPI 3.1 document from the route table, the types and the constants that the API uses.
//!
//! `cargo xtask openapi` writes [`document`] to `infra/openapi.json`, which the API serves; a test compares the two.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON object by name inserts the member or returns null; only the generator runs this, never a request"
)]

mod components;
mod requests;

use axum::handler::Handler;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use anzol_domain::webhook::WebhookInput;
use anzol_http::ErrorBody;

use crate::dto::{RecoveryRequest, TestRequest};
use crate::method::Method;
use crate::openapi::{Operation, Paths};
use crate::routes;
use crate::state::Shared;
use crate::table::Table;
use crate::version::Version;

/// Reads the operations of the route table into the document.
struct Documented<'a> {
    version: Option<Version>,
    paths: &'a mut Paths,
}

impl Table for Documented<'_> {
    fn route<H, T>(&mut self, method: Method, path: &str, _: H, operation: impl FnOnce() -> Operation)
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        let base = self.version.map_or("", Version::base);
        self.paths.add(self.version, method, &format!("{base}{path}"), operation());
    }
}

/// Generates the document.
#[must_use]
pub fn document() -> Value {
    let schemas = generator(SchemaSettings::draft2020_12().for_serialize());
    let mut paths = Paths { paths: Map::new(), schemas };
    for version in [Version::Core, Version::V1] {
        let mut table = Documented { version: Some(version), paths: &mut paths };
        routes::webhook_routes(&mut table, version);
    }
    routes::platform_routes(&mut Documented { version: None, paths: &mut paths });
    let (method, path, publish) = routes::publish();
    paths.add(None, method, path, publish);
    let Paths { paths, schemas } = paths;
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Anzol",
            "summary": "Outbound webhooks: signed deliveries, seven days of history, resend",
            "description": "Tenants register webhooks, systems publish events, and Anzol sends each event as a signed JSON `POST` request \
                to every webhook that subscribes to it. Implements the public Qlik Cloud webhooks API.\n\nUnknown query parameters and \
                unknown members of objects are ignored. An empty query parameter counts as absent; the last value of a repeated one \
                counts. Known paths respond to other methods with 405 and `Allow`.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The deployment that serves this document" }],
        "security": [{ "bearer": [] }],
        "tags": [
            { "name": "Webhooks", "description": "Manage the webhooks of a tenant. The paths under `/api/v1/webhooks` are deprecated in \
                favor of `/api/core/webhooks`; their responses have the headers `Deprecation`, \
                `Sunset` and `Link`." },
            { "name": "Delivery history", "description": "Inspect deliveries, send tests, and resend or recover events." },
            { "name": "Events", "description": "Publish events." },
            { "name": "Platform", "description": "Requests that clients make before they have an access token." },
        ],
        "paths": paths,
        "components": {
            "schemas": component_schemas(schemas),
            "parameters": components::parameters().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>(),
            "responses": components::responses(),
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "An access token of the deployment's issuer. Its claims identify the caller, the tenant and the roles.",
                },
                "client": { "type": "http", "scheme": "basic", "description": "The ID and secret of a client." },
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

/// Adds the schemas of errors and requests to those of the responses.
fn component_schemas(mut responses: SchemaGenerator) -> Map<String, Value> {
    responses.subschema_for::<ErrorBody>();
    let mut requests = generator(SchemaSettings::draft2020_12().for_deserialize());
    requests.subschema_for::<(WebhookInput, TestRequest, RecoveryRequest)>();

    let mut schemas = responses.take_definitions(true);
    let mut inputs = requests.take_definitions(true);
    let webhook = inputs.remove("WebhookInput").unwrap_or_default();
    schemas.append(&mut inputs);
    let mut replaceable = webhook.clone();
    if let Some(properties) = replaceable["properties"].as_object_mut() {
        properties.remove("origin");
    }
    let gateway_error = json!({
        "description": "An error that the gateway reports.",
        "type": "object",
        "required": ["message"],
        "properties": { "message": { "description": "A description of the error.", "type": "string" } },
    });
    let more = [
        ("WebhookCreation", requests::creation(&webhook)),
        ("WebhookReplacement", requests::replacement(&replaceable)),
        ("WebhookPatch", requests::json_patch(Version::Core, &webhook)),
        ("WebhookPatchV1", requests::json_patch(Version::V1, &webhook)),
        ("GatewayError", gateway_error),
    ];
    let all = more.into_iter().chain(requests::events()).chain(requests::client_credentials());
    schemas.extend(all.map(|(name, schema)| (name.to_owned(), schema)));
    schemas
}

/// Converts a choice of described constants to the plain `enum` that code generators support, with one description.
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

/// Joins the lines of a description that are wrapped only in the source code.
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
    use std::collections::BTreeSet;

    use super::*;
    use crate::openapi::OPENAPI;

    /// Counts the rows of the route table.
    #[derive(Default)]
    struct Count(usize);

    impl Table for Count {
        fn route<H, T>(&mut self, _: Method, _: &str, _: H, _: impl FnOnce() -> Operation)
        where
            H: Handler<T, Shared>,
            T: 'static,
        {
            self.0 += 1;
        }
    }

    #[test]
    fn openapi_file_is_up_to_date() {
        let file: Value = serde_json::from_str(OPENAPI).unwrap();
        assert!(file == document(), "infra/openapi.json is outdated: run `cargo xtask openapi`");
    }

    #[test]
    fn every_route_is_documented_under_a_unique_id() {
        let mut rows = Count::default();
        routes::webhook_routes(&mut rows, Version::Core);
        routes::webhook_routes(&mut rows, Version::V1);
        routes::platform_routes(&mut rows);
        let published_by_ingest = 1;
        let document = document();
        let operations: Vec<_> = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|operations| operations.as_object().unwrap().values())
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        assert_eq!(operations.len(), rows.0 + published_by_ingest);
        assert_eq!(BTreeSet::from_iter(&operations).len(), operations.len(), "{operations:?}");
    }

    #[test]
    fn every_reference_resolves_and_every_schema_is_used() {
        let document = document();
        let mut stack = vec![&document];
        let mut references = BTreeSet::new();
        while let Some(value) = stack.pop() {
            references.extend(value.get("$ref").and_then(Value::as_str));
            match value {
                Value::Array(items) => stack.extend(items),
                Value::Object(members) => stack.extend(members.values()),
                _ => {}
            }
        }
        for target in &references {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
        for kind in ["schemas", "parameters", "responses"] {
            for name in document["components"][kind].as_object().unwrap().keys() {
                let target = format!("#/components/{kind}/{name}");
                assert!(references.contains(target.as_str()), "{target} is not used");
            }
        }
    }
}
