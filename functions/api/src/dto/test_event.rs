//! What a request for a test event may say.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::openapi::schemas;

/// The body of `actions/test`; an absent one says nothing.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TestRequest")]
pub(crate) struct TestIn {
    /// One of the webhook's own types; the first, when left out.
    #[schemars(with = "Option<schemas::EventTypeName>")]
    pub(crate) event_type: Option<String>,
}
