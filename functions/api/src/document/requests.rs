//! Schemas of request bodies that no type describes: a new webhook, a replacement, a JSON Patch, events, and client credentials.

use serde_json::{Map, Value, json};

use anzol_domain::Level;
use anzol_domain::event::{MAX_ATTRIBUTE, MAX_EVENTS, OPERATIONAL_SOURCE, TEST_SOURCE};
use anzol_domain::hops::MAX_HOPS;
use anzol_domain::id::MAX_NAME as MAX_OUTSIDE_ID;
use anzol_domain::schema::{self, patterns};

use crate::openapi::reference;
use crate::patch;
use crate::version::Version;

/// Returns the schema of a new webhook.
pub(super) fn creation(webhook: &Value) -> Value {
    let disabled = json!({ "required": ["enabled"], "properties": { "enabled": { "const": false } } });
    webhook_with(
        webhook,
        &disabled,
        "A new webhook. It is enabled unless `enabled` is false. Unknown members are ignored.",
    )
}

/// Returns the schema of a webhook that replaces another.
pub(super) fn replacement(webhook: &Value) -> Value {
    let disabled = json!({ "properties": { "enabled": { "enum": [false, null] } } });
    webhook_with(
        webhook,
        &disabled,
        "The complete webhook. Members that are omitted are reset to their defaults, except `ownerId`, which keeps its value. The \
         webhook is disabled unless `enabled` is true. Unknown members are ignored.",
    )
}

/// Adds the rules that concern more than one member. `disabled` is a schema that matches requests for a disabled webhook.
fn webhook_with(webhook: &Value, disabled: &Value, description: &str) -> Value {
    let mut schema = webhook.clone();
    schema["description"] = json!(description);
    schema["allOf"] = json!([
        {
            "description": "An enabled webhook needs at least one event type.",
            "anyOf": [
                { "required": ["eventTypes"], "properties": { "eventTypes": { "type": "array", "minItems": 1 } } },
                disabled,
            ],
        },
        {
            "description": "Webhooks of level `user` can subscribe only to event types of that level.",
            "anyOf": [
                { "properties": { "level": { "enum": [Level::Tenant, null] } } },
                { "properties": { "eventTypes": { "items": { "enum": schema::event_types_of(Level::User) } } } },
            ],
        },
    ]);
    schema
}

/// Returns the schema of a JSON Patch in this version: the members that can be patched, each with the schema of its values.
pub(super) fn json_patch(version: Version, webhook: &Value) -> Value {
    let required = |name: &str| webhook["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
    let set = |path: Value, value: &Value| {
        json!({
            "title": "Set",
            "type": "object",
            "required": ["op", "path", "value"],
            "properties": { "op": { "enum": ["add", "replace"] }, "path": path, "value": value },
        })
    };
    let remove = |path: Value| {
        json!({
            "title": "Remove",
            "type": "object",
            "required": ["op", "path"],
            "properties": { "op": { "const": "remove" }, "path": path },
        })
    };
    let pattern = |pattern: String| json!({ "type": "string", "pattern": pattern });

    let mut operations = Vec::new();
    let mut removable = Vec::new();
    for member in patch::members(version) {
        let path = format!("/{}", member.name);
        operations.push(set(json!({ "const": path }), &webhook["properties"][member.name]));
        if !required(member.name) {
            removable.push(path.clone());
        }
        if member.nested && member.name == "eventTypes" {
            let event_type = reference("EventTypeName");
            operations.push(set(pattern(format!("^{path}/(?:-|0|[1-9][0-9]*)$")), &event_type));
            operations.push(remove(pattern(format!("^{path}/(?:0|[1-9][0-9]*)$"))));
        } else if member.nested {
            let header = pattern(patterns::header_pointer(member.name));
            operations.push(set(header.clone(), &pattern(patterns::HEADER_VALUE.to_owned())));
            operations.push(remove(header));
        }
    }
    operations.push(remove(json!({ "enum": removable })));
    json!({
        "description": "JSON Patch operations (RFC 6902): `add`, `remove` and `replace`. They are applied in order, all or none, and the result \
            must be a valid webhook. A patch that changes `/url` must also set or remove every encrypted header.",
        "type": "array",
        "items": { "anyOf": operations },
    })
}

/// Returns the schemas of an event, in either form, and of the body of a publish request.
pub(super) fn events() -> [(&'static str, Value); 3] {
    let cloud_event = cloud_event();
    let legacy_event = legacy_event(&cloud_event);
    let either = json!({ "anyOf": [reference("CloudEvent"), reference("LegacyEvent")] });
    let events = json!({
        "description": "An event, or an array of events that is accepted as a whole or not at all. The maximum size of an event is 64 KiB, unless the deployment configures another limit (at most 240 KiB). The maximum size of a request is 1 MiB.",
        "anyOf": [
            reference("CloudEvent"),
            reference("LegacyEvent"),
            { "type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": either },
        ],
    });
    [("CloudEvent", cloud_event), ("LegacyEvent", legacy_event), ("Events", events)]
}

/// Returns the schema of an attribute that any event can have.
fn attribute() -> Value {
    json!({
        "type": ["string", "integer", "boolean", "null"], "pattern": patterns::no_control(), "minimum": i32::MIN, "maximum": i32::MAX,
    })
}

fn described(description: &str) -> Value {
    let mut attribute = attribute();
    attribute["description"] = json!(description);
    attribute
}

fn required_text(description: &str) -> Value {
    json!({ "description": description, "type": "string", "minLength": 1, "maxLength": MAX_ATTRIBUTE, "pattern": patterns::no_control() })
}

fn optional_text(description: &str, pattern: &str) -> Value {
    json!({ "description": description, "type": ["string", "null"], "pattern": pattern })
}

/// Returns the schema of the hop count.
fn hops() -> Value {
    json!({
        "description": "The hop count: how many times the event was delivered and then published again. Keep it when you publish a delivery again.",
        "anyOf": [{ "type": "integer", "minimum": 0, "maximum": MAX_HOPS }, { "type": "string", "pattern": "^0*[0-3]$" }, { "type": "null" }],
    })
}

/// Returns the schema of an event in the JSON format of `CloudEvents` 1.0.
fn cloud_event() -> Value {
    let tenant = json!({
        "description": "The tenant of the event. Defaults to the tenant of the caller.",
        "type": ["string", "null"], "minLength": 1, "maxLength": MAX_OUTSIDE_ID, "pattern": patterns::OUTSIDE_ID,
    });
    let time = json!({
        "description": "When the event occurred. Defaults to the current time.", "type": ["string", "null"], "format": "date-time",
    });
    let mut source = required_text("The system that the event comes from. At most 1024 bytes.");
    source["not"] = json!({ "enum": [OPERATIONAL_SOURCE, TEST_SOURCE] });
    let subject = json!({
        "description": "The subject of the event.", "type": ["string", "null"], "minLength": 1, "pattern": patterns::no_control(),
    });
    let user = "Webhooks of level `user` that this user owns receive the event.";
    json!({
        "description": "An event in the JSON format of CloudEvents 1.0. Extension attributes are delivered unchanged. A null attribute counts as absent.",
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": { "description": "The version of the specification.", "type": "string", "pattern": patterns::SPEC_VERSION },
            "id": required_text("The ID of the event, unique together with `source`. At most 1024 bytes."),
            "source": source,
            "type": required_text("The type of the event. Webhooks receive events of the types they subscribe to."),
            "time": time,
            "subject": subject,
            "datacontenttype": optional_text("The media type of `data`.", patterns::MEDIA_TYPE),
            "dataschema": optional_text("The schema of `data`.", patterns::URI),
            "tenantid": tenant,
            "userid": described(&format!("The user who caused the event. {user}")),
            "ownerid": described(&format!("The user who owns the resource. {user}")),
            "spaceid": described("The space of the resource, for filters."),
            "toplevelresourceid": described("The top-level resource that the resource belongs to, for filters."),
            "anzolhop": hops(),
            "anzoltest": { "description": "Marks test events. Reserved.", "type": "null" },
            "extensions": { "description": "The `extensions` member of Qlik's events. Must agree with the attributes.", "type": ["object", "null"] },
            "data": { "description": "The event data: any JSON value, nested at most 64 levels deep." },
            "data_base64": optional_text("Binary event data. Cannot be combined with `data`.", patterns::BASE64),
        },
        "propertyNames": { "pattern": patterns::event_member(&[]) },
        "additionalProperties": attribute(),
        "not": { "required": ["data", "data_base64"], "properties": { "data_base64": { "type": "string" } } },
    })
}

/// Returns the schema of an event in the legacy form. Common members have the same schemas as in `CloudEvent`.
fn legacy_event(cloud_event: &Value) -> Value {
    let common = &cloud_event["properties"];
    // Only scalars become attributes; any other value stays in `extensions` and does not name the tenant.
    let legacy_tenant = json!({ "anyOf": [common["tenantid"], { "type": ["array", "object"] }] });
    json!({
        "description": "An event in the legacy form, CloudEvents 0.1. An event with `specversion` is read as CloudEvents 1.0.",
        "type": "object",
        "required": ["cloudEventsVersion", "eventId", "source", "eventType"],
        "properties": {
            "cloudEventsVersion": { "description": "The version of the specification.", "const": "0.1" },
            "eventId": common["id"],
            "source": common["source"],
            "eventType": common["type"],
            "eventTime": common["time"],
            "contentType": common["datacontenttype"],
            "schemaURL": common["dataschema"],
            "eventTypeVersion": described("The version of the event type."),
            "anzolhop": common["anzolhop"],
            "anzoltest": common["anzoltest"],
            "extensions": {
                "description": "Attributes that identify the tenant, the users and the resource of the event.",
                "type": ["object", "null"],
                "properties": {
                    "tenantId": legacy_tenant,
                    "userId": { "description": common["userid"]["description"] },
                    "ownerId": { "description": common["ownerid"]["description"] },
                    "spaceId": { "description": "The space of the resource, for filters." },
                    "topLevelResourceId": { "description": "The top-level resource that the resource belongs to, for filters." },
                },
            },
            "data": { "description": "The event data: any JSON value, nested at most 64 levels deep." },
            "data_base64": common["data_base64"],
            "subject": common["subject"],
            "datacontenttype": common["datacontenttype"],
            "dataschema": common["dataschema"],
            "specversion": { "type": "null" },
        },
        "propertyNames": { "pattern": patterns::event_member(&["schemaURL"]) },
        "additionalProperties": cloud_event["additionalProperties"],
        "not": cloud_event["not"],
    })
}

/// Returns the schemas of a token request, as JSON and as a form, which cannot contain null.
pub(super) fn client_credentials() -> [(&'static str, Value); 2] {
    let text = |description: &str| json!({ "description": description, "type": "string", "minLength": 1 });
    let mut properties = Map::new();
    properties.insert(
        "grant_type".to_owned(),
        json!({ "description": "The only supported grant type.", "const": "client_credentials" }),
    );
    properties
        .insert("client_id".to_owned(), text("The ID of the client, unless it is sent with HTTP Basic."));
    let mut secret = text("The secret of the client, unless it is sent with HTTP Basic.");
    secret["format"] = json!("password");
    properties.insert("client_secret".to_owned(), secret);
    let schema = |scope: Value| {
        let mut properties = properties.clone();
        properties.insert("scope".to_owned(), scope);
        json!({
            "description": "The credentials of a client (RFC 6749, section 4.4).",
            "type": "object",
            "required": ["grant_type", "client_id", "client_secret"],
            "properties": properties,
        })
    };
    let scope = "The requested scopes, separated by spaces. Without scopes, or with `user_default`, the token has all scopes of the client.";
    [
        ("ClientCredentials", schema(json!({ "description": scope, "type": ["string", "null"] }))),
        ("ClientCredentialsForm", schema(json!({ "description": scope, "type": "string" }))),
    ]
}
