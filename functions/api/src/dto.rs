//! Request and response bodies of the API (contract section 2), one file per resource, and their conversion from and to domain types.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use anzol_domain::rule::Reason;
use anzol_domain::{Invalid, Rule};
use anzol_http::Links;

mod delivery;
mod event_type;
mod health;
mod platform;
mod recovery;
mod stats;
mod webhook;

pub(crate) use delivery::{DeliveryOut, TestRequest};
pub(crate) use event_type::EventTypes;
pub(crate) use health::HealthOut;
pub(crate) use platform::{AccessTokenOut, ProductInfo};
pub(crate) use recovery::{RecoveryOut, RecoveryRequest};
pub(crate) use stats::{NoDeliveryOut, StatsOut};
pub(crate) use webhook::WebhookOut;

/// One page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub(crate) struct PageOut<T> {
    /// The items of the page, in the requested order.
    pub(crate) data: Vec<T>,
    /// Links to this page and its neighbors.
    pub(crate) links: Links,
}

/// Parses a request body, which must be an object.
///
/// # Errors
/// Names the member of the wrong type.
pub(crate) fn read<T: DeserializeOwned>(body: &Value) -> Result<T, Invalid> {
    if !body.is_object() {
        return Err(Invalid::one("body", Rule::NotObject));
    }
    serde_path_to_error::deserialize(body).map_err(|error| {
        let field = error.path().to_string();
        Invalid::one(field, Rule::Unreadable { reason: Reason::new(error.into_inner()) })
    })
}
