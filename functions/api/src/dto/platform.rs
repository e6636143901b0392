//! Responses to the platform requests of Qlik's clients.

use schemars::JsonSchema;
use serde::Serialize;

use anzol_egress::AccessToken;

/// The kind of this deployment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProductInfo {
    composition: Composition,
}

/// How the product is deployed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
struct Composition {
    deployment_type: DeploymentType,
}

/// The kind of deployment: always the cloud.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum DeploymentType {
    QlikCloudServices,
}

impl ProductInfo {
    /// Returns the product info of a cloud deployment.
    pub(crate) fn cloud() -> Self {
        Self { composition: Composition { deployment_type: DeploymentType::QlikCloudServices } }
    }
}

/// An access token (RFC 6749, section 5.1).
// Not `Debug`: it is a secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AccessToken")]
pub(crate) struct AccessTokenOut {
    /// The access token.
    access_token: String,
    /// How the token is used: `Bearer`.
    token_type: String,
    /// The lifetime of the token, in seconds.
    expires_in: u64,
}

impl From<AccessToken> for AccessTokenOut {
    fn from(token: AccessToken) -> Self {
        let AccessToken { access_token, token_type, expires_in } = token;
        Self { access_token, token_type, expires_in }
    }
}
