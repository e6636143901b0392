//! The router, built from the route table.

use axum::Router;
use axum::handler::Handler;
use axum::routing::on;

use crate::method::Method;
use crate::openapi::Operation;
use crate::routes;
use crate::state::Shared;
use crate::table::Table;
use crate::version::Version;

/// Builds the router of the rows below a base path.
pub(crate) struct Routes {
    base: &'static str,
    router: Router<Shared>,
}

impl Routes {
    /// Returns the router of both versions and the platform routes.
    pub(crate) fn all() -> Router<Shared> {
        let versioned = |version: Version| {
            let mut table = Self::below(version.base());
            routes::webhook_routes(&mut table, version);
            table.router.layer(axum::Extension(version))
        };
        let mut platform = Self::below("");
        routes::platform_routes(&mut platform);
        versioned(Version::V1).merge(versioned(Version::Core)).merge(platform.router)
    }

    fn below(base: &'static str) -> Self {
        Self { base, router: Router::new() }
    }
}

impl Table for Routes {
    fn route<H, T>(&mut self, method: Method, path: &str, handler: H, _: impl FnOnce() -> Operation)
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        let router = std::mem::take(&mut self.router);
        self.router = router.route(&format!("{}{path}", self.base), on(method.filter(), handler));
    }
}
