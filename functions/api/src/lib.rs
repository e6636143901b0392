#![doc = include_str!("../README.md")]

mod dto;
mod patch;
mod read_only;
mod routes;
mod state;
mod version;

use axum::routing::{get, post};
use axum::{Extension, Router, middleware};

pub use state::{AppState, Cursors};

use routes::{deliveries, event_types, webhooks};
use version::Version;

/// All routes, in one table (contract section 1).
pub fn router(state: AppState) -> Router {
    let v1 = webhook_routes(Version::V1).layer(middleware::from_fn(version::deprecated));
    let routes = v1.merge(webhook_routes(Version::Core)).with_state(state);
    anzol_http::shell(routes)
}

fn webhook_routes(version: Version) -> Router<AppState> {
    let at = |tail: &str| format!("{}{tail}", version.base());
    let webhook = get(webhooks::get).put(webhooks::replace).patch(webhooks::patch).delete(webhooks::delete);
    Router::new()
        .route(&at(""), get(webhooks::list).post(webhooks::create))
        .route(&at("/event-types"), get(event_types::list))
        .route(&at("/{id}"), webhook)
        .route(&at("/{id}/deliveries"), get(deliveries::list))
        .route(&at("/{id}/deliveries/{delivery_id}"), get(deliveries::get))
        .route(&at("/{id}/deliveries/{delivery_id}/actions/resend"), post(deliveries::resend))
        .layer(Extension(version))
}
