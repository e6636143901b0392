#![doc = include_str!("../README.md")]

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures::stream::StreamExt as _;

use anzol_domain::{Delivery, DeliveryTask, TenantId, Webhook, WebhookId};
use anzol_pipeline::{Deliverer, Settler};
use anzol_store::{StoreError, Webhooks};

/// POSTs under way at the same time: a whole batch.
const CONCURRENCY: usize = 10;

/// Webhooks by tenant and id: an id alone would let a message that names another tenant find its neighbour's webhook.
type Found = BTreeMap<(TenantId, WebhookId), Webhook>;

fn key(task: &DeliveryTask) -> (TenantId, WebhookId) {
    (task.tenant_id.clone(), task.webhook_id)
}

/// What the sender works with.
#[derive(Debug)]
pub struct Sender {
    /// The webhooks table.
    pub webhooks: Webhooks,
    /// The way out.
    pub deliverer: Deliverer,
    /// History and retries.
    pub settler: Settler,
}

impl Sender {
    /// Works off a batch. A message that cannot be settled comes back alone; the others are done.
    pub async fn handle(&self, batch: SqsEvent) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        let mut failed = BTreeSet::new();
        let (mut tasks, mut messages) = (Vec::new(), Vec::new());
        for message in batch.records {
            let message_id = message.message_id.unwrap_or_default();
            match anzol_queue::decode(message.body.as_deref().unwrap_or_default()) {
                Ok(task) => {
                    messages.push((task.delivery_id, message_id));
                    tasks.push(task);
                }
                Err(error) => {
                    tracing::error!(message_id, error, "a delivery message cannot be read");
                    failed.insert(message_id);
                }
            }
        }
        match self.webhooks_of(&tasks).await {
            Err(error) => {
                tracing::error!(%error, "the webhooks of a batch cannot be read");
                failed.extend(messages.into_iter().map(|(_, message_id)| message_id));
            }
            Ok(webhooks) => {
                let outcomes = self.deliver_all(tasks, &webhooks).await;
                let unsettled = self.settler.settle(outcomes).await;
                let lost = messages.into_iter().filter(|(id, _)| unsettled.contains(id));
                failed.extend(lost.map(|(_, message_id)| message_id));
            }
        }
        response.set_failures(failed);
        response
    }

    async fn webhooks_of(&self, tasks: &[DeliveryTask]) -> Result<Found, StoreError> {
        let ids: BTreeSet<_> = tasks.iter().map(key).collect();
        let webhooks = self.webhooks.get_many(&ids).await?;
        Ok(webhooks.into_iter().map(|webhook| ((webhook.tenant_id.clone(), webhook.id), webhook)).collect())
    }

    async fn deliver_all(&self, tasks: Vec<DeliveryTask>, webhooks: &Found) -> Vec<(DeliveryTask, Delivery)> {
        futures::stream::iter(tasks)
            .map(|task| async move {
                let Some(webhook) = webhooks.get(&key(&task)) else {
                    // Nobody can see its history any more, so there is nothing to record this in.
                    tracing::info!(webhook.id = %task.webhook_id, delivery.id = %task.delivery_id, "dropped: the webhook is deleted");
                    return None;
                };
                let delivery = if webhook.spec.enabled {
                    self.deliverer.deliver(webhook, &task).await
                } else {
                    self.deliverer.skip_disabled(webhook, &task)
                };
                Some((task, delivery))
            })
            .buffer_unordered(CONCURRENCY)
            .filter_map(|outcome| async { outcome })
            .collect()
            .await
    }
}
