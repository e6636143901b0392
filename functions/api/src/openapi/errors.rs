//! The error responses that operations share.

/// The error responses: status, component name, description, and whether the gateway also sends this status, in its own format.
pub(crate) const ERRORS: [(u16, &str, &str, bool); 11] = [
    (
        400,
        "BadRequest",
        "The request is invalid. Each error names the field and the rule that it violates.",
        false,
    ),
    (
        401,
        "Unauthorized",
        "The access token is missing or invalid. Sent by the gateway, unless a required claim is missing.",
        true,
    ),
    (
        403,
        "Forbidden",
        "The caller is not allowed to do this, or the tenant has reached its limit of webhooks.",
        false,
    ),
    (404, "NotFound", "The resource does not exist or is not visible to the caller.", false),
    (
        409,
        "Conflict",
        "The resource was changed concurrently, or the request changes a read-only member.",
        false,
    ),
    (413, "ContentTooLarge", "The request body is too large.", true),
    (415, "UnsupportedMediaType", "The media type or encoding of the request body is not supported.", false),
    (429, "TooManyRequests", "Too many requests. Nothing was changed.", true),
    (500, "InternalError", "An internal error.", true),
    (501, "NotImplemented", "Tokens for this deployment are issued by an external identity provider.", false),
    (503, "Unavailable", "A dependency is temporarily unavailable. Try again soon.", true),
];

/// Returns the component name of an error response.
pub(super) fn error_name(status: u16) -> &'static str {
    ERRORS.iter().find(|error| error.0 == status).map_or("InternalError", |error| error.1)
}
