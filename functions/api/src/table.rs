//! The form of the rows in the route table ([`crate::routes`]).

use axum::handler::Handler;

use crate::method::Method;
use crate::openapi::Operation;
use crate::state::Shared;

/// Something built from the rows of the route table.
pub(crate) trait Table {
    /// Adds a row. `path` is relative to the base path of the table.
    fn route<H, T>(&mut self, method: Method, path: &str, handler: H, operation: impl FnOnce() -> Operation)
    where
        H: Handler<T, Shared>,
        T: 'static;
}
