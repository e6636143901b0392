//! The interface of the route table in [`crate::routes`], and the router that is built from its rows.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};

use crate::openapi::Operation;
use crate::routes;
use crate::state::Shared;
use crate::version::Version;

/// The methods that routes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Delete,
    Get,
    Patch,
    Post,
    Put,
}

impl Method {
    /// Returns the name that the OpenAPI document uses.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Get => "get",
            Self::Patch => "patch",
            Self::Post => "post",
            Self::Put => "put",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Delete => MethodFilter::DELETE,
            Self::Get => MethodFilter::GET,
            Self::Patch => MethodFilter::PATCH,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
        }
    }
}

/// Something built from the rows of the route table.
pub(crate) trait Table {
    /// Adds a row. `path` is relative to the base path of the table.
    fn route<H, T>(&mut self, method: Method, path: &str, handler: H, operation: impl FnOnce() -> Operation)
    where
        H: Handler<T, Shared>,
        T: 'static;
}

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
