//! The settings of `ingest`, from the environment.

use anzol_domain::config::Env;
use anzol_domain::event;
use anzol_domain::headers::HeaderName;
use anzol_http::Claims;
use anzol_pipeline::signature_header_from_env;
use anzol_queue::LaneUrls;
use anzol_store::TableNames;

/// All settings of the function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The tables.
    pub tables: TableNames,
    /// The queues of the lanes.
    pub lanes: LaneUrls,
    /// Maximum size of an event, in bytes of minified JSON.
    pub largest_event: usize,
    /// The deployment's signature header, if it is not the default.
    pub signature: Option<HeaderName>,
    /// The claims that identify the caller.
    pub claims: Claims,
}

impl Config {
    /// Reads all settings.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            tables: TableNames::from_env(env),
            lanes: LaneUrls::from_env(env),
            largest_event: event::largest_from_env(env),
            signature: signature_header_from_env(env),
            claims: Claims::from_env(env),
        }
    }
}
