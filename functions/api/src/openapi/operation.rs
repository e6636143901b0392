//! Builds the documentation of a route, which [`crate::routes`] defines beside the route.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::errors::error_name;
use super::reference;
use crate::method::Method;
use crate::version::{DEPRECATION, SUNSET, Version};

/// The documentation of a route. [`Paths`] adds the method and path.
pub(crate) struct Operation {
    id: &'static str,
    json: Value,
    parameters: Vec<&'static str>,
    success: Value,
    status: u16,
    schema: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// The operations that the response links to, by id, with their parameters.
    links: Vec<(&'static str, Value)>,
}

impl Operation {
    /// Starts the documentation of a route. `id` is the operation's id in v1.
    pub(crate) fn new(id: &'static str, tag: &str, summary: &str, description: impl Into<String>) -> Self {
        let description: String = description.into();
        let json = json!({ "tags": [tag], "summary": summary, "description": description, "responses": {} });
        Self {
            id,
            json,
            parameters: Vec::new(),
            success: json!({}),
            status: 200,
            schema: None,
            links: Vec::new(),
        }
    }

    /// Adds query parameters by the names of their components.
    pub(crate) fn query(mut self, names: &[&'static str]) -> Self {
        self.parameters.extend(names);
        self
    }

    /// Adds a request body of this media type.
    pub(crate) fn body(mut self, media_type: &str, schema: &str, examples: &Value) -> Self {
        self.json["requestBody"]["required"] = json!(true);
        self.json["requestBody"]["content"][media_type] =
            json!({ "schema": reference(schema), "examples": examples });
        self
    }

    /// Makes the request body optional.
    pub(crate) fn optional_body(mut self) -> Self {
        self.json["requestBody"]["required"] = json!(false);
        self
    }

    /// Adds the successful response, with a JSON body.
    pub(crate) fn returns<T: JsonSchema>(mut self, status: u16, description: &str) -> Self {
        self.schema = Some(SchemaGenerator::subschema_for::<T>);
        self.returns_nothing(status, description)
    }

    /// Adds the successful response, without a body.
    pub(crate) fn returns_nothing(mut self, status: u16, description: &str) -> Self {
        self.status = status;
        self.success["description"] = json!(description);
        self
    }

    /// Adds a required header of the successful response.
    pub(crate) fn header(mut self, name: &str, description: &str, schema: &Value) -> Self {
        self.success["headers"][name] =
            json!({ "description": description, "required": true, "schema": schema });
        self
    }

    /// Adds links from the successful response to other operations, all with these parameters.
    pub(crate) fn links(mut self, ids: &[&'static str], parameters: &Value) -> Self {
        self.links.extend(ids.iter().map(|id| (*id, parameters.clone())));
        self
    }

    /// Adds error responses that do not follow from the path, the parameters and the body.
    pub(crate) fn errors(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            let response = format!("#/components/responses/{}", error_name(*status));
            self.json["responses"][status.to_string()] = json!({ "$ref": response });
        }
        self
    }

    /// Adds an error response that is specific to this operation.
    pub(crate) fn error(mut self, status: u16, response: Value) -> Self {
        self.json["responses"][status.to_string()] = response;
        self
    }

    /// Replaces the bearer token by these security requirements.
    pub(crate) fn security(mut self, requirements: Value) -> Self {
        self.json["security"] = requirements;
        self
    }

    /// Adds the errors that follow from the security requirements, the parameters and the body, and those of every operation: throttling,
    /// internal errors and unavailable dependencies.
    fn with_common_errors(self) -> Self {
        let has_body = self.json.get("requestBody").is_some();
        let mut statuses = vec![429, 500, 503];
        if self.json.get("security").is_none() {
            statuses.extend([401, 403]);
        }
        if has_body || !self.parameters.is_empty() {
            statuses.push(400);
        }
        if self.parameters.contains(&"WebhookId") {
            statuses.push(404);
        }
        if has_body {
            statuses.extend([413, 415]);
        }
        self.errors(&statuses)
    }

    /// Marks an operation of v1 as deprecated, as the headers of its responses do.
    fn deprecated(mut self) -> Self {
        self.json["deprecated"] = json!(true);
        let schema = |example: &str| json!({ "type": "string", "examples": [example] });
        self.header("Deprecation", "When v1 was deprecated (RFC 9745).", &schema(DEPRECATION))
            .header("Sunset", "When v1 may be removed (RFC 8594).", &schema(SUNSET))
            .header(
                "Link",
                "The same resource under `/api/core/webhooks`, with the relation `successor-version`.",
                &schema("</api/core/webhooks>; rel=\"successor-version\""),
            )
    }
}

/// Parameters of paths, and the names of their components.
const PATH_PARAMETERS: [(&str, &str); 3] =
    [("{id}", "WebhookId"), ("{deliveryId}", "DeliveryId"), ("{recoveryId}", "RecoveryId")];

/// Collects the `paths` of the document, and the schemas of their responses.
pub(crate) struct Paths {
    pub(crate) paths: Map<String, Value>,
    pub(crate) schemas: SchemaGenerator,
}

impl Paths {
    /// Adds an operation, with its path parameters and the errors that follow from the rest. The ids of core operations are derived from
    /// those of v1.
    pub(crate) fn add(
        &mut self,
        version: Option<Version>,
        method: Method,
        path: &str,
        mut operation: Operation,
    ) {
        let in_path = PATH_PARAMETERS.iter().filter(|(part, _)| path.contains(part)).map(|(_, name)| *name);
        operation.parameters = in_path.chain(operation.parameters).collect();
        operation = operation.with_common_errors();
        if version == Some(Version::V1) {
            operation = operation.deprecated();
        }
        let Operation { id, mut json, parameters, mut success, status, schema, links } = operation;
        if !parameters.is_empty() {
            let all =
                parameters.iter().map(|name| json!({ "$ref": format!("#/components/parameters/{name}") }));
            json["parameters"] = all.collect();
        }
        if let Some(schema) = schema {
            let schema = schema(&mut self.schemas);
            success["content"] = json!({ "application/json": { "schema": schema } });
        }
        for (target, parameters) in links {
            let target = operation_id(version, target);
            success["links"][&target] = json!({ "operationId": target, "parameters": parameters });
        }
        json["responses"][status.to_string()] = success;
        json["operationId"] = json!(operation_id(version, id));
        self.paths.entry(path).or_insert_with(|| json!({}))[method.name()] = json;
    }
}

fn operation_id(version: Option<Version>, id: &str) -> String {
    match (version, id.split_at_checked(1)) {
        (Some(Version::Core), Some((first, rest))) => format!("core{}{rest}", first.to_uppercase()),
        _ => id.to_owned(),
    }
}
