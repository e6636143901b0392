//! Many items in one call, and again those that the database leaves over when it is throttled.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{KeysAndAttributes, WriteRequest};

use crate::backoff::pause;
use crate::error::StoreError;
use crate::keys::{Item, Key};

/// Items written in one call, the database's own bound.
pub(crate) const MAX_WRITES: usize = 25;
/// Items read in one call, the database's own bound.
const MAX_READS: usize = 100;
/// Calls for the same items. With the waits between, about 1 s in all.
const TRIES: u32 = 6;

/// Puts items, up to [`MAX_WRITES`].
///
/// # Errors
/// [`StoreError::Busy`] when not all were accepted; which were is not said.
pub(crate) async fn put(
    client: &Client,
    table: &str,
    mut writes: Vec<WriteRequest>,
) -> Result<(), StoreError> {
    for round in 0..TRIES {
        pause(round).await;
        let request = client.batch_write_item().request_items(table, writes);
        let answer = request.send().await.map_err(|error| StoreError::from_sdk(&error))?;
        writes = answer.unprocessed_items.unwrap_or_default().remove(table).unwrap_or_default();
        if writes.is_empty() {
            return Ok(());
        }
    }
    Err(StoreError::Busy(format!("{} items were not accepted", writes.len())))
}

/// Reads items, as they are now, in no order. Those that are not there are not among the answers.
///
/// # Errors
/// [`StoreError::Busy`] when some were left out of every answer.
pub(crate) async fn get(client: &Client, table: &str, keys: Vec<Key>) -> Result<Vec<Item>, StoreError> {
    let mut found = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(MAX_READS) {
        let mut wanted = chunk.to_vec();
        for round in 0..TRIES {
            pause(round).await;
            let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build();
            let keys = keys.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            let request = client.batch_get_item().request_items(table, keys);
            let answer = request.send().await.map_err(|error| StoreError::from_sdk(&error))?;
            found.extend(answer.responses.unwrap_or_default().remove(table).unwrap_or_default());
            // Throttled, or too large for one answer.
            let left = answer.unprocessed_keys.unwrap_or_default().remove(table);
            wanted = left.map_or_else(Vec::new, |left| left.keys);
            if wanted.is_empty() {
                break;
            }
        }
        if !wanted.is_empty() {
            return Err(StoreError::Busy(format!("{} items were left out of every answer", wanted.len())));
        }
    }
    Ok(found)
}
