//! The configuration of all AWS clients: region, endpoints and credentials from the environment, a shared HTTP client, timeouts.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::aws_http;
use crate::config::optional;

/// Returns the configuration. Makes no network call.
///
/// Does not use `aws-config`: on Lambda, the environment contains everything that its provider chain would find, and its code and the SDK's
/// HTTP client would take a sixth of each package. For local stacks and tests, reads `AWS_ENDPOINT_URL`, also by service
/// (`AWS_ENDPOINT_URL_SQS`).
///
/// # Errors
/// TLS cannot be set up.
pub fn config() -> Result<SdkConfig, rustls::Error> {
    // Three calls of at most 9 s, or two calls and a POST of 10 s, fit into a function's 30 s. These timeouts also stop a stalled attempt,
    // so stalled stream protection is disabled.
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_secs(4))
        .operation_timeout(Duration::from_secs(9))
        .build();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(optional("AWS_REGION").or_else(|| optional("AWS_DEFAULT_REGION")).map(Region::new))
        .service_config(Endpoints)
        .http_client(aws_http::client()?)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    config.set_endpoint_url(optional("AWS_ENDPOINT_URL"));
    config.set_credentials_provider(credentials());
    Ok(config.build())
}

/// Returns the credentials of the role from environment variables that Lambda sets. They are valid longer than the execution environment
/// exists. Without credentials, every call fails with a clear error.
fn credentials() -> Option<SharedCredentialsProvider> {
    let credentials = Credentials::builder()
        .provider_name("environment")
        .access_key_id(optional("AWS_ACCESS_KEY_ID")?)
        .secret_access_key(optional("AWS_SECRET_ACCESS_KEY")?);
    let credentials = match optional("AWS_SESSION_TOKEN") {
        Some(token) => credentials.session_token(token),
        None => credentials,
    };
    Some(SharedCredentialsProvider::new(credentials.build()))
}

/// Reads endpoints by service, under the names that all AWS SDKs use.
#[derive(Debug)]
struct Endpoints;

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        optional(&format!("{}_{}", key.env(), key.service_id().to_uppercase().replace(' ', "_")))
    }
}
