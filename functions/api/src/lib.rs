#![doc = include_str!("../README.md")]

mod dto;
mod patch;
mod routes;
mod state;

use axum::Router;
use axum::routing::{get, post};

pub use state::AppState;

use routes::{deliveries, event_types, webhooks};

/// All routes, in one table (contract section 1).
pub fn router(state: AppState) -> Router {
    let webhook = get(webhooks::get).put(webhooks::replace).patch(webhooks::patch).delete(webhooks::delete);
    let routes = Router::new()
        .route("/api/v1/webhooks", get(webhooks::list).post(webhooks::create))
        .route("/api/v1/webhooks/event-types", get(event_types::list))
        .route("/api/v1/webhooks/{id}", webhook)
        .route("/api/v1/webhooks/{id}/deliveries", get(deliveries::list))
        .route("/api/v1/webhooks/{id}/deliveries/{delivery_id}", get(deliveries::get))
        .route("/api/v1/webhooks/{id}/deliveries/{delivery_id}/actions/resend", post(deliveries::resend))
        .with_state(state);
    anzol_http::shell(routes)
}
