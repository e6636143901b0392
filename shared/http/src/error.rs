//! API errors: `{"errors":[{code,title,detail,field,rule,params}],"traceId"}` (contract section 2.4), and the status of each error.
//!
//! `field`, `rule` and `params` are an Anzol extension: clients should use them instead of the sentence in `detail`.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, HeaderValue, RETRY_AFTER};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use anzol_domain::error::MAX_PROBLEMS;
use anzol_domain::rule::Params;
use anzol_domain::{FieldProblem, Invalid, Rule};

/// Supported content encodings of requests.
const ENCODINGS: &str = "gzip, identity";
/// Value of `Retry-After` of throttled and failed calls, in seconds.
const RETRY_SECONDS: u16 = 1;

/// An error of a request. Clients see the rules, which contain nothing internal.
#[derive(Debug)]
pub enum ApiError {
    /// 400: fields break rules.
    Invalid(Invalid),
    /// 401: there are no verified claims, or required claims are missing.
    Unauthorized(Rule),
    /// 403: the caller is not allowed to do this.
    Forbidden(Rule),
    /// 403: the caller is not allowed to set a field to this value.
    ForbiddenField(FieldProblem),
    /// 404: the resource does not exist, or is not visible to the caller.
    NotFound(Rule),
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 409: fields that cannot be changed, or that do not allow the operation.
    Conflict(Vec<FieldProblem>),
    /// 409: the resource was changed at the same time.
    Changed,
    /// 413: the body is larger than this many bytes.
    TooLarge(usize),
    /// 414: path and query are longer than this many bytes.
    UriTooLong(usize),
    /// 415: the body has another media type or charset than the rule names.
    UnsupportedMediaType(Rule),
    /// 415: the body has this content encoding, which is not supported.
    UnsupportedEncoding(String),
    /// 429: too many concurrent changes of the tenant's webhooks, or the database throttles. Nothing was changed; retry after
    /// `Retry-After`.
    Throttled,
    /// 429: the maximum number of concurrent calls of this kind is reached. Nothing was done; retry after this many seconds.
    TooMany(Rule, u16),
    /// 503: a service does not respond; retry soon.
    Busy,
    /// 500: an internal error; the cause is in the log.
    Internal,
    /// 501: this deployment does not support the request.
    NotImplemented(Rule),
}

/// An error of a request.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ErrorItem {
    /// The HTTP status of the error, such as `HTTP-404`.
    #[schemars(regex(pattern = "^HTTP-[45][0-9]{2}$"))]
    code: String,
    /// A short description of the HTTP status.
    title: String,
    /// An explanation of the error for people. Its wording can change; use `rule` in programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The field that caused the error, as the request spells it, such as `url`, `headers.X-Key` or `eventTypes[1]`. Absent if no single
    /// field caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    field: Option<String>,
    /// A stable code that identifies the rule that the request breaks. Use it to handle errors in programs.
    #[schemars(schema_with = "rule_schema")]
    rule: &'static str,
    /// The values that the rule depends on, such as `max`. Absent if there are none.
    #[serde(skip_serializing_if = "Params::is_empty")]
    #[schemars(schema_with = "params_schema")]
    params: Params,
}

fn rule_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": Rule::CODES })
}

fn params_schema(_: &mut SchemaGenerator) -> Schema {
    let param = json_schema!({
        "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ],
    });
    json_schema!({ "type": "object", "additionalProperties": param })
}

/// The errors of a response. The shell writes them to the body, with the trace id.
#[derive(Debug, Clone)]
pub(crate) struct Errors(pub(crate) Vec<ErrorItem>);

impl Errors {
    /// Returns the error of a response that the framework created, such as for a bad path parameter.
    pub(crate) fn of(status: StatusCode) -> Self {
        let rule = if status.is_client_error() { Rule::BadRequest } else { Rule::Internal };
        Self(vec![item(status, None, &rule)])
    }
}

fn item(status: StatusCode, field: Option<String>, rule: &Rule) -> ErrorItem {
    let detail = match (&field, rule) {
        // The titles of these errors say everything.
        (None, Rule::BadRequest | Rule::MethodNotAllowed | Rule::Unavailable | Rule::Internal) => None,
        (None, rule) => Some(rule.to_string()),
        (Some(field), rule) => Some(format!("`{field}` {rule}")),
    };
    ErrorItem {
        code: format!("HTTP-{}", status.as_u16()),
        title: title(status).to_owned(),
        detail,
        field,
        rule: rule.code(),
        params: rule.params(),
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "The request is not valid",
        StatusCode::UNAUTHORIZED => "Authentication is required",
        StatusCode::FORBIDDEN => "This is not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::METHOD_NOT_ALLOWED => "The method is not allowed here",
        StatusCode::CONFLICT => "The resource was changed at the same time, or does not allow this",
        StatusCode::PAYLOAD_TOO_LARGE => "The body is too large",
        StatusCode::URI_TOO_LONG => "The path and query are too long",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "The media type is not supported",
        // The same text as Qlik's (contract section 1.7).
        StatusCode::TOO_MANY_REQUESTS => "API rate limit reached.",
        StatusCode::NOT_IMPLEMENTED => "This deployment does not do that",
        StatusCode::SERVICE_UNAVAILABLE => "Busy; try again soon",
        _ => "Something went wrong on our side",
    }
}

impl ApiError {
    /// Returns the error for an unknown path.
    pub fn no_route(path: impl Into<String>) -> Self {
        Self::NotFound(Rule::RouteNotFound { path: path.into().into() })
    }

    /// Returns the error for a resource that does not exist or is not visible to the caller.
    #[must_use]
    pub fn not_found(resource: &'static str, id: &str) -> Self {
        Self::NotFound(Rule::NotFound { resource, id: id.into() })
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::ForbiddenField(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) | Self::Changed => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong(_) => StatusCode::URI_TOO_LONG,
            Self::UnsupportedMediaType(_) | Self::UnsupportedEncoding(_) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::Throttled | Self::TooMany(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
        }
    }

    fn errors(self) -> Errors {
        let status = self.status();
        let rule = match self {
            Self::Invalid(Invalid(problems)) | Self::Conflict(problems) => {
                let items = problems.into_iter().take(MAX_PROBLEMS);
                return Errors(
                    items.map(|problem| item(status, Some(problem.field), &problem.rule)).collect(),
                );
            }
            Self::ForbiddenField(problem) => {
                return Errors(vec![item(status, Some(problem.field), &problem.rule)]);
            }
            Self::Unauthorized(rule)
            | Self::Forbidden(rule)
            | Self::NotFound(rule)
            | Self::UnsupportedMediaType(rule)
            | Self::TooMany(rule, _)
            | Self::NotImplemented(rule) => rule,
            Self::MethodNotAllowed => Rule::MethodNotAllowed,
            Self::Changed => Rule::Conflict,
            Self::TooLarge(max) => Rule::BodyTooLarge { max },
            Self::UriTooLong(max) => Rule::UriTooLong { max },
            Self::UnsupportedEncoding(encoding) => {
                Rule::UnsupportedEncoding { values: ENCODINGS.split(", ").into(), encoding: encoding.into() }
            }
            Self::Throttled => Rule::RateLimit { seconds: RETRY_SECONDS.into() },
            Self::Busy => Rule::Unavailable,
            Self::Internal => Rule::Internal,
        };
        Errors(vec![item(status, None, &rule)])
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let headers = response.headers_mut();
        match self {
            Self::Throttled | Self::Busy => drop(headers.insert(RETRY_AFTER, RETRY_SECONDS.into())),
            Self::TooMany(_, seconds) => drop(headers.insert(RETRY_AFTER, seconds.into())),
            // RFC 9110, section 12.5.3.
            Self::UnsupportedEncoding(_) => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS));
            }
            _ => {}
        }
        response.extensions_mut().insert(self.errors());
        response
    }
}
