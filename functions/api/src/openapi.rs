//! The OpenAPI document as the API serves it, and the parts of it that routes declare: operations and examples.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON object by name inserts the member or returns null; only the generator runs this, never a request"
)]

mod errors;
pub(crate) mod examples;
mod operation;

use std::borrow::Cow;

use axum::response::IntoResponse;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

pub(crate) use errors::ERRORS;
pub(crate) use operation::{Operation, Paths};

/// The document that the API serves.
pub const OPENAPI: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));

/// Serves the document.
pub(crate) async fn serve() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "public, max-age=300")], OPENAPI)
}

/// The schema of an OpenAPI document.
pub(crate) struct OpenApi;

impl JsonSchema for OpenApi {
    fn schema_name() -> Cow<'static, str> {
        "OpenApi".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An OpenAPI document.", "type": "object", "required": ["openapi", "info", "paths"],
            "properties": { "openapi": { "type": "string", "pattern": "^3\\.1\\." } },
        })
    }
}

/// Returns a reference to a schema of the document.
pub(crate) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}
