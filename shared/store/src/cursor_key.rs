//! The deployment's key for page cursors, in the webhooks table.

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::keys;
use crate::webhooks::Webhooks;

/// The attribute that holds the key.
const KEY: &str = "key";

impl Webhooks {
    /// Returns the deployment's key for page cursors. The first caller stores its `fresh` key, and every later caller gets that key.
    pub async fn cursor_key(&self, fresh: Zeroizing<[u8; 32]>) -> Result<Zeroizing<[u8; 32]>, StoreError> {
        let key = keys::cursor_key();
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(key.clone()))
            .item(KEY, AttributeValue::B(Blob::new(*fresh)))
            .condition_expression("attribute_not_exists(pk)");
        let read = || {
            self.client.get_item().table_name(&self.table).set_key(Some(key.clone())).consistent_read(true)
        };
        for may_write in [true, false] {
            let answer = read().send().await.map_err(|error| StoreError::from_sdk(&error))?;
            if let Some(item) = answer.item {
                let bytes = item.get(KEY).and_then(|value| value.as_b().ok()?.as_ref().try_into().ok());
                return bytes
                    .map(Zeroizing::new)
                    .ok_or_else(|| StoreError::Corrupt("the cursor key".to_owned()));
            }
            if may_write {
                match put.clone().send().await {
                    Ok(_) => return Ok(fresh),
                    Err(error) if error.code() == Some("ConditionalCheckFailedException") => {}
                    Err(error) => return Err(StoreError::from_sdk(&error)),
                }
            }
        }
        Err(StoreError::Busy("the cursor key disappeared after a conditional write".to_owned()))
    }
}
