//! What a request for a test event may say.

use serde::Deserialize;

/// The body of `actions/test`; an absent one says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestIn {
    pub(crate) event_type: Option<String>,
}
