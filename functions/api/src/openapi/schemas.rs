//! Schemas of values that have no type of their own in the API's requests and answers, or a looser one.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use anzol_domain::event_type::EVENT_TYPES;
use anzol_domain::id::MAX_NAME as MAX_OUTSIDE_ID;
use anzol_domain::url::MAX_URL;
use anzol_domain::{Level, Status};

use super::patterns;

/// A type that exists for its schema alone: in the document under its name, or `inline` wherever it is used.
macro_rules! schema {
    ($(#[$doc:meta])* $name:ident, inline = $inline:literal, $schema:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;

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
    /// A webhook's or a delivery's id.
    Id, inline = true,
    json_schema!({ "type": "string", "format": "uuid", "pattern": patterns::ID })
);
schema!(
    /// A tenant or a user, as the identity provider names it.
    User, inline = true,
    json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX_OUTSIDE_ID, "pattern": patterns::OUTSIDE_ID })
);
schema!(
    /// A moment as in RFC 3339.
    DateTime, inline = true,
    json_schema!({ "type": "string", "format": "date-time" })
);
schema!(
    /// A day.
    Date, inline = true,
    json_schema!({ "type": "string", "format": "date" })
);
schema!(
    /// Where a webhook may post to.
    TargetUrl, inline = true,
    json_schema!({ "type": "string", "maxLength": MAX_URL, "pattern": patterns::url() })
);
schema!(
    /// An event type as requests may name it.
    EventTypeName, inline = false,
    json_schema!({
        "description": "An event type by its name, or by the name it is being renamed to.",
        "type": "string", "enum": event_type_names(|_| true),
    })
);
schema!(
    /// An event type as answers name it.
    CanonicalEventTypeName, inline = false,
    json_schema!({
        "description": "An event type by its name.",
        "type": "string", "enum": EVENT_TYPES.iter().map(|known| known.name).collect::<Vec<_>>(),
    })
);
schema!(
    /// Headers of a request, values by name.
    HeadersIn, inline = false,
    json_schema!({
        "description": "Values by name. Names that frame a message, or that we set, are reserved.",
        "type": "object",
        "propertyNames": { "pattern": patterns::header_name() },
        "additionalProperties": { "type": "string", "pattern": patterns::HEADER_VALUE },
    })
);
schema!(
    /// What a request may say of a thing that we never do.
    OnlyFalse, inline = true,
    json_schema!({ "type": "boolean", "enum": [false] })
);

schema!(
    /// The one outcome that can be recovered.
    OnlyFail, inline = true,
    json_schema!({ "type": "string", "enum": [Status::Fail] })
);

/// Headers whose values are kept from sight: as `HeadersIn`, or the empty list of names that answers may have.
pub(crate) struct EncryptedHeadersIn;

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

/// The names and aliases of event types that webhooks of this level may subscribe to.
pub(crate) fn event_types_of(level: Level) -> Vec<&'static str> {
    event_type_names(|levels| levels.contains(&level))
}

fn event_type_names(of: impl Fn(&[Level]) -> bool) -> Vec<&'static str> {
    let known = EVENT_TYPES.iter().filter(|known| of(known.levels));
    known.flat_map(|known| [known.name].into_iter().chain(known.aliases.iter().copied())).collect()
}
