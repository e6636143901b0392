//! Event types in responses.

use schemars::JsonSchema;
use serde::Serialize;

use anzol_domain::event_type::EVENT_TYPES;
use anzol_domain::{Level, schema};

/// All event types that webhooks can subscribe to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventTypes {
    /// The event types, in no particular order.
    data: Vec<EventTypeOut>,
}

/// An event type.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EventType")]
struct EventTypeOut {
    /// The name, as used in `eventTypes` of webhooks.
    #[schemars(with = "schema::CanonicalEventTypeName")]
    name: &'static str,
    /// A short title.
    title: &'static str,
    /// When events of this type occur.
    description: &'static str,
    /// The category the event type belongs to.
    category: &'static str,
    /// The levels of webhooks that can subscribe to it.
    levels: &'static [Level],
}

impl EventTypes {
    /// Returns the catalog.
    pub(crate) fn all() -> Self {
        let data = EVENT_TYPES.iter().map(|known| EventTypeOut {
            name: known.name,
            title: known.title,
            description: known.description,
            category: known.category,
            levels: known.levels,
        });
        Self { data: data.collect() }
    }
}
