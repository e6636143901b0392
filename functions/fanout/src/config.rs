//! The settings of `fanout`, from the environment.

use anzol_domain::config::Env;
use anzol_domain::event;
use anzol_queue::LaneUrls;
use anzol_store::TableNames;

/// All settings of the function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The tables.
    pub tables: TableNames,
    /// The queues of the lanes.
    pub lanes: LaneUrls,
    /// URL of the dead-letter queue of events.
    pub dlq: String,
    /// Maximum size of an event, in bytes of minified JSON.
    pub largest_event: usize,
}

impl Config {
    /// Reads all settings.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            tables: TableNames::from_env(env),
            lanes: LaneUrls::from_env(env),
            dlq: env.required("EVENTS_DLQ_URL"),
            largest_event: event::largest_from_env(env),
        }
    }
}
