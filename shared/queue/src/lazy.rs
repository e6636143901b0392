//! AWS clients that are created at their first use.

use std::sync::{Arc, LazyLock};

use aws_types::SdkConfig;

/// A client that is created when it is first dereferenced. Creating one takes longer than a call, and an execution environment uses few of
/// the clients it has.
pub(crate) type LazyClient<C> = Arc<LazyLock<C, Box<dyn FnOnce() -> C + Send>>>;

/// Returns a client that `create` will make from this configuration.
pub(crate) fn lazy_client<C: 'static>(config: &SdkConfig, create: fn(&SdkConfig) -> C) -> LazyClient<C> {
    let config = config.clone();
    Arc::new(LazyLock::new(Box::new(move || create(&config))))
}
