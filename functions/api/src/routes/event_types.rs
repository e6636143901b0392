//! The catalogue of event types.

use axum::Json;
use serde::Serialize;

use anzol_domain::Level;
use anzol_domain::event_type::EVENT_TYPES;
use anzol_http::Verified;

#[derive(Debug, Serialize)]
pub(crate) struct EventTypes {
    data: Vec<EventTypeOut>,
}

#[derive(Debug, Serialize)]
struct EventTypeOut {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    category: &'static str,
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
