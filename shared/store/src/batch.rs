//! Reads and writes items in batches. Retries the items that the database leaves unprocessed when it throttles.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{KeysAndAttributes, WriteRequest};

use crate::backoff::pause;
use crate::error::StoreError;
use crate::keys::{Item, Key};

/// Maximum number of items written in one call, the database's limit.
pub(crate) const MAX_WRITES: usize = 25;
/// Maximum number of items read in one call, the database's limit.
const MAX_READS: usize = 100;
/// Number of tries for the same items. The waits between them add up to at most 0.6 s.
const TRIES: u32 = 6;

/// Writes up to [`MAX_WRITES`] items.
///
/// # Errors
/// [`StoreError::Busy`] if not all items were written. Some may have been written.
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
    Err(StoreError::Busy(format!("{} items were not written", writes.len())))
}

/// Reads items with strong consistency, in no order. Leaves out items that do not exist.
///
/// # Errors
/// [`StoreError::Busy`] if items stayed unprocessed.
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
            // Throttled, or too large for one response.
            let left = answer.unprocessed_keys.unwrap_or_default().remove(table);
            wanted = left.map_or_else(Vec::new, |left| left.keys);
            if wanted.is_empty() {
                break;
            }
        }
        if !wanted.is_empty() {
            return Err(StoreError::Busy(format!("{} items were not read", wanted.len())));
        }
    }
    Ok(found)
}
