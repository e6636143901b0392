//! Schemas of request bodies: a webhook to be made or replaced, a JSON Patch, events, and client credentials.

use serde_json::{Map, Value, json};

use anzol_domain::Level;
use anzol_domain::event::{MAX_ATTRIBUTE, MAX_EVENTS, OPERATIONAL_SOURCE, TEST_SOURCE};
use anzol_domain::hops::MAX_HOPS;
use anzol_domain::id::MAX_NAME as MAX_OUTSIDE_ID;

use super::{patterns, schemas};
use crate::patch;
use crate::version::Version;

/// A webhook to be made: enabled, unless the request says otherwise, and then it needs an event type.
pub(super) fn creation(webhook: &Value) -> Value {
    let disabled = json!({ "required": ["enabled"], "properties": { "enabled": { "const": false } } });
    webhook_with(
        webhook,
        &disabled,
        "A webhook to be made. It is enabled unless `enabled` is false. Members that are not known are ignored.",
    )
}

/// A webhook to take another's place: disabled, unless the request enables it.
pub(super) fn replacement(webhook: &Value) -> Value {
    let disabled = json!({ "properties": { "enabled": { "enum": [false, null] } } });
    webhook_with(
        webhook,
        &disabled,
        "The whole webhook anew: what is left out goes back to its default, but for `ownerId`, which stays. It is disabled unless \
         `enabled` is true. Members that are not known are ignored.",
    )
}

/// The webhook with the rules that hold between its members; `disabled` is how a request says that it is not enabled.
fn webhook_with(webhook: &Value, disabled: &Value, description: &str) -> Value {
    let mut schema = webhook.clone();
    schema["description"] = json!(description);
    schema["allOf"] = json!([
        {
            "description": "While it is enabled, it needs an event type.",
            "anyOf": [
                { "required": ["eventTypes"], "properties": { "eventTypes": { "type": "array", "minItems": 1 } } },
                disabled,
            ],
        },
        {
            "description": "Webhooks of level `user` hear only of what can belong to a user.",
            "anyOf": [
                { "properties": { "level": { "enum": [Level::Tenant, null] } } },
                { "properties": { "eventTypes": { "items": { "enum": schemas::event_types_of(Level::User) } } } },
            ],
        },
    ]);
    schema
}

/// A JSON Patch of the members that may change in this version; each with its own kind of value, as the webhook has it.
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
            let event_type = json!({ "$ref": "#/components/schemas/EventTypeName" });
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
        "description": "Operations as in RFC 6902, of which `add`, `remove` and `replace` are taken. All are applied, in order, or none; \
            what comes out has to be a valid webhook. A patch that changes `/url` has to give every encrypted header anew, or remove it.",
        "type": "array",
        "items": { "anyOf": operations },
    })
}

/// Schemas of events: one, in either form, and what may be published.
pub(super) fn events() -> [(&'static str, Value); 3] {
    let no_control = patterns::no_control();
    let text = |description: &str| json!({ "description": description, "type": "string", "minLength": 1, "maxLength": MAX_ATTRIBUTE, "pattern": no_control });
    let tenant = json!({
        "description": "The tenant it happened in; without it, the caller's own.",
        "type": ["string", "null"], "minLength": 1, "maxLength": MAX_OUTSIDE_ID, "pattern": patterns::OUTSIDE_ID,
    });
    let time = json!({
        "description": "When it happened; without it, now.", "type": ["string", "null"], "format": "date-time",
    });
    let attribute = json!({
        "type": ["string", "integer", "boolean", "null"], "pattern": no_control, "minimum": i32::MIN, "maximum": i32::MAX,
    });
    let described = |description: &str| {
        let mut attribute = attribute.clone();
        attribute["description"] = json!(description);
        attribute
    };
    let optional = |description: &str, pattern: &str| json!({ "description": description, "type": ["string", "null"], "pattern": pattern });
    let media_type = optional("The media type of `data`.", patterns::MEDIA_TYPE);
    let schema = optional("The schema of `data`.", patterns::URI);
    let base64 = optional("What the event says, when that is bytes. Not beside `data`.", patterns::BASE64);
    let hops = json!({
        "description": "How often it was sent by a deployment and published again.",
        "anyOf": [{ "type": "integer", "minimum": 0, "maximum": MAX_HOPS }, { "type": "string", "pattern": "^0*[0-3]$" }, { "type": "null" }],
    });
    let mark = json!({ "description": "Marks test events, which are our own.", "type": "null" });
    let reserved = json!([OPERATIONAL_SOURCE, TEST_SOURCE]);
    let mut source = text("The system it comes from; at most 1024 bytes.");
    source["not"] = json!({ "enum": reserved });
    let user = "Reaches webhooks of level `user` that belong to this user.";
    let cloud_event = json!({
        "description": "An event in the JSON format of CloudEvents 1.0. Other attributes are kept, and sent on as they are; those that are null are not set.",
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": { "description": "The version of the specification.", "type": "string", "pattern": patterns::SPEC_VERSION },
            "id": text("The producer's id of the event, unique together with `source`; at most 1024 bytes."),
            "source": source,
            "type": text("What happened. Webhooks hear of the types they subscribe to; others reach nobody."),
            "time": time,
            "subject": { "description": "What it is about, for the receiver.", "type": ["string", "null"], "minLength": 1, "pattern": no_control },
            "datacontenttype": media_type,
            "dataschema": schema,
            "tenantid": tenant,
            "userid": described(&format!("The user who caused it. {user}")),
            "ownerid": described(&format!("The user who owns the resource. {user}")),
            "spaceid": described("The space of the resource, for filters."),
            "toplevelresourceid": described("The resource it belongs to, for filters."),
            "anzolhop": hops,
            "anzoltest": mark,
            "extensions": { "description": "What Qlik's events have of that name. It says nothing else than the attributes do.", "type": ["object", "null"] },
            "data": { "description": "What the event says; any JSON, nested at most 64 deep." },
            "data_base64": base64,
        },
        "propertyNames": { "pattern": patterns::event_member(&[]) },
        "additionalProperties": attribute,
        "not": { "required": ["data", "data_base64"], "properties": { "data_base64": { "type": "string" } } },
    });
    let legacy_event = legacy_event(&cloud_event);
    let either = json!({ "anyOf": [reference("CloudEvent"), reference("LegacyEvent")] });
    let events = json!({
        "description": "An event, or an array of them, which is taken whole or not at all. An event has at most 64 KiB unless the deployment says otherwise (240 at most), a request 1 MiB.",
        "anyOf": [
            reference("CloudEvent"),
            reference("LegacyEvent"),
            { "type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": either },
        ],
    });
    [("CloudEvent", cloud_event), ("LegacyEvent", legacy_event), ("Events", events)]
}

/// The schema of an event in the older form; what both have in common is as in the newer one.
fn legacy_event(cloud_event: &Value) -> Value {
    let common = &cloud_event["properties"];
    let described = |description: &str| {
        let mut attribute = cloud_event["additionalProperties"].clone();
        attribute["description"] = json!(description);
        attribute
    };
    // Only scalars become attributes; the rest stays in `extensions` and says nothing of the tenant.
    let legacy_tenant = json!({ "anyOf": [common["tenantid"], { "type": ["array", "object"] }] });
    json!({
        "description": "An event in the form of CloudEvents 0.1 that older producers send. `specversion` would make it one of 1.0.",
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
            "eventTypeVersion": described("The version of the type."),
            "anzolhop": common["anzolhop"],
            "anzoltest": common["anzoltest"],
            "extensions": {
                "description": "What says where the event belongs.",
                "type": ["object", "null"],
                "properties": {
                    "tenantId": legacy_tenant,
                    "userId": { "description": common["userid"]["description"] },
                    "ownerId": { "description": common["ownerid"]["description"] },
                    "spaceId": { "description": "The space of the resource, for filters." },
                    "topLevelResourceId": { "description": "The resource it belongs to, for filters." },
                },
            },
            "data": { "description": "What the event says; any JSON, nested at most 64 deep." },
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

/// What `POST /oauth/token` reads, as JSON or as a form, in which nothing can be null.
pub(super) fn client_credentials() -> [(&'static str, Value); 2] {
    let text = |description: &str| json!({ "description": description, "type": "string", "minLength": 1 });
    let mut properties = Map::new();
    properties.insert(
        "grant_type".to_owned(),
        json!({ "description": "The one flow there is.", "const": "client_credentials" }),
    );
    properties.insert("client_id".to_owned(), text("The client's id, unless HTTP Basic names it."));
    let mut secret = text("The client's secret, unless HTTP Basic has it.");
    secret["format"] = json!("password");
    properties.insert("client_secret".to_owned(), secret);
    let schema = |scope: Value| {
        let mut properties = properties.clone();
        properties.insert("scope".to_owned(), scope);
        json!({
            "description": "A client's credentials (RFC 6749, section 4.4).",
            "type": "object",
            "required": ["grant_type", "client_id", "client_secret"],
            "properties": properties,
        })
    };
    let scope = "Scopes, separated by spaces. Without, or with `user_default`, all that the client may have.";
    [
        ("ClientCredentials", schema(json!({ "description": scope, "type": ["string", "null"] }))),
        ("ClientCredentialsForm", schema(json!({ "description": scope, "type": "string" }))),
    ]
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}
