#![doc = include_str!("../README.md")]

mod config;
mod cursor;
pub mod document;
mod dto;
mod handler_error;
mod method;
pub mod openapi;
mod patch;
mod read_only;
mod router;
mod routes;
mod state;
mod table;
mod version;

use axum::{Router, middleware};

pub use config::Config;
pub use cursor::CursorKey;
pub use patch::patched;
pub use state::{AppState, Cursors};
pub use version::Version;

use state::Shared;

/// Returns the router of all routes in the route table (contract section 1).
pub fn router(state: AppState) -> Router {
    let routes = router::Routes::all().with_state(Shared::new(state));
    anzol_http::shell(routes).layer(middleware::from_fn(version::deprecated))
}
