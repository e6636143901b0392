//! Converts the errors of handlers, the store, the vault and recoveries to [`ApiError`].

use axum::response::{IntoResponse, Response};

use anzol_domain::{FieldProblem, Invalid, Rule};
use anzol_http::ApiError;
use anzol_pipeline::RecoverError;
use anzol_store::StoreError;
use anzol_vault::VaultError;

/// An API error. Every error of a handler converts to it.
#[derive(Debug)]
pub(crate) struct HandlerError(pub(crate) ApiError);

impl IntoResponse for HandlerError {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<ApiError> for HandlerError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<Invalid> for HandlerError {
    fn from(invalid: Invalid) -> Self {
        Self(invalid.into())
    }
}

impl From<StoreError> for HandlerError {
    fn from(error: StoreError) -> Self {
        Self(match error {
            StoreError::CapReached(max) => ApiError::Forbidden(Rule::WebhookCapReached { max }),
            StoreError::Changed => ApiError::Changed,
            StoreError::Throttled(reason) => {
                tracing::warn!(reason, "the store is throttled");
                ApiError::Throttled
            }
            StoreError::Busy(reason) => {
                tracing::warn!(reason, "the store is busy");
                ApiError::Busy
            }
            StoreError::Unavailable(_) | StoreError::Corrupt(_) => {
                tracing::error!(%error, "the store failed");
                ApiError::Internal
            }
        })
    }
}

impl From<VaultError> for HandlerError {
    /// Converts to 503: nothing was changed, and the request is not the cause.
    fn from(error: VaultError) -> Self {
        tracing::error!(%error, "the vault failed");
        Self(ApiError::Busy)
    }
}

impl From<RecoverError> for HandlerError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Store(error) => error.into(),
            RecoverError::Running(recovery) => {
                let rule = Rule::RecoveryRunning { recovery: recovery.id.to_string().into() };
                Self(ApiError::Conflict(vec![FieldProblem::new("recovery", rule)]))
            }
            RecoverError::Queue(_) | RecoverError::NextStep(_) => {
                tracing::error!(%error, "the queue failed");
                Self(ApiError::Busy)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use axum::routing::get;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;

    async fn response(error: fn() -> StoreError) -> (u16, String, Value) {
        let handler = get(move || async move { HandlerError::from(error()) });
        let router = anzol_http::shell(Router::new().route("/", handler));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        let status = response.status().as_u16();
        let wait =
            response.headers().get("retry-after").map_or("", |value| value.to_str().unwrap()).to_owned();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, wait, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn throttled_store_is_429() {
        let (status, wait, body) = response(|| StoreError::Throttled("a hot partition".to_owned())).await;
        assert_eq!((status, wait.as_str()), (429, "1"));
        assert_eq!(body["errors"][0]["rule"], "rate_limit");
        assert!(!body.to_string().contains("partition"), "{body}");
    }

    #[tokio::test]
    async fn internal_causes_stay_internal() {
        let (status, wait, body) = response(|| StoreError::Unavailable("table x of y".to_owned())).await;
        assert_eq!((status, wait.as_str()), (500, ""));
        assert!(!body.to_string().contains("table"), "{body}");
        let (status, wait, body) = response(|| StoreError::Busy("10.0.0.1 does not answer".to_owned())).await;
        assert_eq!((status, wait.as_str()), (503, "1"));
        assert!(!body.to_string().contains("10.0"), "{body}");
    }
}
