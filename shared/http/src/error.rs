//! Errors as clients see them: `{"errors":[{code,title,detail}],"traceId"}` (contract section 2.4), and the one table of statuses.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, HeaderValue, RETRY_AFTER};
use schemars::JsonSchema;
use serde::Serialize;

use anzol_domain::error::MAX_PROBLEMS;
use anzol_domain::{FieldProblem, Invalid};
use anzol_pipeline::{DispatchError, RecoverError};
use anzol_store::StoreError;
use anzol_vault::VaultError;

use crate::body::ENCODINGS;
use crate::shell::MAX_TARGET;

/// Seconds that a client told to wait is told to wait.
const RETRY_SECONDS: u16 = 1;

/// Everything that can go wrong with a request. `details` are for the client; nothing internal goes in.
#[derive(Debug)]
pub enum ApiError {
    /// The input breaks rules, each named with its field.
    Invalid(Invalid),
    /// There are no verified claims, or not the ones we need.
    Unauthorized(String),
    /// The caller may not do this.
    Forbidden(String),
    /// It does not exist, as far as this caller is concerned.
    NotFound(String),
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// Somebody else changed it at the same time, it has parts that cannot be changed, or it is in no state for this: one text each.
    Conflict(Vec<String>),
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// Path and query are longer than [`crate::MAX_TARGET`].
    UriTooLong,
    /// The body is not of a kind that is read here; the text says which are.
    UnsupportedMediaType(String),
    /// The body is encoded in a way that is not read here; named as the request names it.
    UnsupportedEncoding(String),
    /// More calls than the tenant's webhooks can take at once; nothing was done. Trying again when `Retry-After` says so will do.
    Throttled,
    /// Something we need does not answer; trying again soon will do.
    Busy,
    /// Our fault; logged where it was noticed.
    Internal,
    /// This deployment does not do that; the text says who does.
    NotImplemented(String),
}

/// One thing that is wrong.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ErrorItem {
    /// `HTTP-` and the status.
    #[schemars(regex(pattern = "^HTTP-[45][0-9]{2}$"))]
    code: String,
    /// What the status means.
    title: String,
    /// What is wrong with this request: the field in backquotes, then the rule it breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// The errors of a response that is not written yet: the shell writes it, when it knows the trace id.
#[derive(Debug, Clone)]
pub(crate) struct Errors(pub(crate) Vec<ErrorItem>);

impl Errors {
    /// The errors of a status, one a detail; at least one.
    pub(crate) fn of(status: StatusCode, details: Vec<String>) -> Self {
        let item = |detail| ErrorItem {
            code: format!("HTTP-{}", status.as_u16()),
            title: title(status).to_owned(),
            detail,
        };
        if details.is_empty() {
            return Self(vec![item(None)]);
        }
        Self(details.into_iter().take(MAX_PROBLEMS).map(|detail| item(Some(detail))).collect())
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "The request is not valid",
        StatusCode::UNAUTHORIZED => "Authentication is required",
        StatusCode::FORBIDDEN => "This is not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::METHOD_NOT_ALLOWED => "The method is not allowed here",
        StatusCode::CONFLICT => "The resource was changed meanwhile, or does not allow this",
        StatusCode::PAYLOAD_TOO_LARGE => "The body is too large",
        StatusCode::URI_TOO_LONG => "The path and query are too long",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "The media type is not supported",
        // As Qlik's own (contract section 1.7).
        StatusCode::TOO_MANY_REQUESTS => "API rate limit reached.",
        StatusCode::NOT_IMPLEMENTED => "This deployment does not do that",
        StatusCode::SERVICE_UNAVAILABLE => "Busy; try again soon",
        _ => "Something went wrong on our side",
    }
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::UnsupportedMediaType(_) | Self::UnsupportedEncoding(_) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
        }
    }

    fn details(self) -> Vec<String> {
        match self {
            Self::Invalid(Invalid(problems)) => problems.iter().map(FieldProblem::to_string).collect(),
            Self::Unauthorized(detail)
            | Self::Forbidden(detail)
            | Self::NotFound(detail)
            | Self::UnsupportedMediaType(detail)
            | Self::NotImplemented(detail) => vec![detail],
            Self::Conflict(details) => details,
            Self::UnsupportedEncoding(encoding) => {
                vec![format!("the header Content-Encoding must be one of {ENCODINGS}; it is `{encoding}`")]
            }
            Self::TooLarge(bytes) => vec![format!("the body must have at most {bytes} bytes")],
            Self::UriTooLong => vec![format!("path and query must have at most {MAX_TARGET} bytes")],
            Self::Throttled => {
                vec![format!("You need to wait {RETRY_SECONDS} second until limit is lifted.")]
            }
            Self::MethodNotAllowed | Self::Busy | Self::Internal => Vec::new(),
        }
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::CapReached(cap) => Self::Forbidden(format!(
                "the tenant already has {cap} webhooks, which is the most it can have"
            )),
            StoreError::Changed => {
                Self::Conflict(vec!["it was changed or deleted meanwhile; read it again".to_owned()])
            }
            StoreError::Throttled(reason) => {
                tracing::warn!(reason, "the store is throttled");
                Self::Throttled
            }
            StoreError::Busy(reason) => {
                tracing::warn!(reason, "the store is busy");
                Self::Busy
            }
            StoreError::Unavailable(_) | StoreError::Corrupt(_) => {
                tracing::error!(%error, "the store failed");
                Self::Internal
            }
        }
    }
}

impl From<VaultError> for ApiError {
    /// Whatever it is, nothing was done, and nothing of the request is to blame.
    fn from(error: VaultError) -> Self {
        tracing::error!(%error, "the vault failed");
        Self::Busy
    }
}

impl From<DispatchError> for ApiError {
    fn from(error: DispatchError) -> Self {
        match error {
            DispatchError::Store(error) => error.into(),
            DispatchError::Queue(error) => {
                tracing::error!(%error, "the queue failed");
                Self::Busy
            }
        }
    }
}

impl From<RecoverError> for ApiError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Store(error) => error.into(),
            RecoverError::Queue(_) | RecoverError::NextStep(_) => {
                tracing::error!(%error, "the queue failed");
                Self::Busy
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let encoding = matches!(self, Self::UnsupportedEncoding(_));
        let again = matches!(self, Self::Throttled | Self::Busy);
        let mut response = status.into_response();
        if again {
            response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS.into());
        }
        if encoding {
            // RFC 9110, section 12.5.3.
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS));
        }
        response.extensions_mut().insert(Errors::of(status, self.details()));
        response
    }
}
