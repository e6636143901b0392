//! The catalogue of event types.

use axum::Json;
use schemars::JsonSchema;
use serde::Serialize;

use anzol_domain::Level;
use anzol_domain::event_type::EVENT_TYPES;
use anzol_http::Verified;

use crate::openapi::schemas;

/// Every event type a webhook can subscribe to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventTypes {
    /// In no particular order.
    data: Vec<EventTypeOut>,
}

/// An event type.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EventType")]
struct EventTypeOut {
    /// What `eventTypes` of webhooks name it by.
    #[schemars(with = "schemas::CanonicalEventTypeName")]
    name: &'static str,
    /// A short name for people.
    title: &'static str,
    /// When it happens.
    description: &'static str,
    /// The group it belongs to.
    category: &'static str,
    /// The webhook levels that may subscribe to it.
    levels: &'static [Level],
}

/// Lists every event type a webhook can subscribe to.
pub(crate) async fn list(_caller: Verified) -> Json<EventTypes> {
    let data = EVENT_TYPES.iter().map(|known| EventTypeOut {
        name: known.name,
        title: known.title,
        description: known.description,
        category: known.category,
        levels: known.levels,
    });
    Json(EventTypes { data: data.collect() })
}
