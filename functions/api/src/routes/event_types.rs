//! The catalog of event types.

use axum::Json;

use anzol_http::Verified;

use crate::dto::EventTypes;

/// Lists the event types that webhooks can subscribe to.
pub(crate) async fn list(_caller: Verified) -> Json<EventTypes> {
    Json(EventTypes::all())
}
