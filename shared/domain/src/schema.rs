//! JSON Schemas of values that the API's request and response types describe too loosely or not at all. They document the API; no request
//! is validated against them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::event_type::EVENT_TYPES;
use crate::id::MAX_NAME;
use crate::url::MAX_URL;
use crate::{Level, Status};

pub mod patterns;

/// Defines a type that exists only for its schema: a named component of the document, or `inline` at each use.
macro_rules! schema {
    ($(#[$doc:meta])* $name:ident, inline = $inline:literal, $schema:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                $inline
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

schema!(
    /// The ID of a webhook, delivery or recovery.
    Id, inline = true,
    json_schema!({ "type": "string", "format": "uuid", "pattern": patterns::ID })
);
schema!(
    /// A time (RFC 3339).
    DateTime, inline = true,
    json_schema!({ "type": "string", "format": "date-time" })
);
schema!(
    /// A date (RFC 3339).
    Date, inline = true,
    json_schema!({ "type": "string", "format": "date" })
);
schema!(
    /// A tenant or user ID of the identity provider.
    User, inline = true,
    json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": patterns::OUTSIDE_ID })
);
schema!(
    /// The URL of a webhook.
    TargetUrl, inline = true,
    json_schema!({ "type": "string", "maxLength": MAX_URL, "pattern": patterns::url() })
);
schema!(
    /// An event type in a request: a name or an alias.
    EventTypeName, inline = false,
    json_schema!({
        "description": "The name of an event type, or an alias of it.",
        "type": "string", "enum": event_type_names(|_| true),
    })
);
schema!(
    /// An event type in a response: a name.
    CanonicalEventTypeName, inline = false,
    json_schema!({
        "description": "The name of an event type.",
        "type": "string", "enum": EVENT_TYPES.iter().map(|known| known.name).collect::<Vec<_>>(),
    })
);
schema!(
    /// Request headers of a webhook: values by name.
    HeadersIn, inline = false,
    json_schema!({
        "description": "Header values by name. Names that HTTP or Anzol itself uses are reserved.",
        "type": "object",
        "propertyNames": { "pattern": patterns::header_name() },
        "additionalProperties": { "type": "string", "pattern": patterns::HEADER_VALUE },
    })
);
schema!(
    /// A flag that can only be false.
    OnlyFalse, inline = true,
    json_schema!({ "type": "boolean", "enum": [false] })
);

schema!(
    /// The only delivery status that can be recovered.
    OnlyFail, inline = true,
    json_schema!({ "type": "string", "enum": [Status::Fail] })
);

/// Encrypted request headers: values by name, as in [`HeadersIn`], or the empty list of names that a response may contain.
#[derive(Debug)]
pub struct EncryptedHeadersIn;

impl JsonSchema for EncryptedHeadersIn {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "EncryptedHeadersIn".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [generator.subschema_for::<HeadersIn>(), { "type": "array", "maxItems": 0 }],
        })
    }
}

/// Returns the names and aliases of the event types that webhooks of this level may subscribe to.
#[must_use]
pub fn event_types_of(level: Level) -> Vec<&'static str> {
    event_type_names(|levels| levels.contains(&level))
}

fn event_type_names(available: impl Fn(&[Level]) -> bool) -> Vec<&'static str> {
    let known = EVENT_TYPES.iter().filter(|known| available(known.levels));
    known.flat_map(|known| [known.name].into_iter().chain(known.aliases.iter().copied())).collect()
}
