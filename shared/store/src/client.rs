//! A client of DynamoDB for each kind of record, made when it is first used.

use std::sync::{Arc, LazyLock};

use aws_sdk_dynamodb::Client;
use aws_types::SdkConfig;

/// To make a client takes as long as a call; an environment that never touches the history, say, needs none for it.
pub(crate) type LazyClient = Arc<LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>>;

/// A client with this configuration.
pub(crate) fn lazy_client(config: &SdkConfig) -> LazyClient {
    let config = config.clone();
    Arc::new(LazyLock::new(Box::new(move || Client::new(&config))))
}
