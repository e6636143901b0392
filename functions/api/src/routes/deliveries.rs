//! The history of a webhook, and resending from it.

use axum::extract::{Path, State};
use http::StatusCode;

use anzol_domain::page::{self, Order};
use anzol_domain::{DeliveryId, DeliveryTask, Event, Invalid, Status, Trigger, Webhook};
use anzol_http::{ApiError, Params, PublicBase, Verified};
use anzol_store::{DeliveryFilter, DeliveryQuery};

use crate::dto::{DeliveryOut, PageOut};
use crate::state::AppState;

/// Lists a webhook's deliveries, newest first unless asked otherwise.
pub(crate) async fn list(
    State(state): State<AppState>,
    Verified(caller): Verified,
    PublicBase(base): PublicBase,
    Path(id): Path<String>,
    params: Params,
) -> Result<axum::Json<PageOut<DeliveryOut>>, ApiError> {
    let webhook = state.visible(&caller, &id).await?;
    let (_, order) = params
        .get("sort")
        .map_or(Ok(("triggeredAt", Order::Descending)), |sort| page::sort(sort, &["triggeredAt"]))?;
    let status = match params.get("status") {
        None => None,
        Some("success") => Some(Status::Success),
        Some("fail") => Some(Status::Fail),
        Some(_) => return Err(Invalid::one("status", "must be success or fail").into()),
    };
    let query = DeliveryQuery {
        filter: DeliveryFilter { status, event_type: params.get("eventType").map(str::to_owned) },
        order,
        position: page::position(params.get("next"), params.get("prev"))?,
        limit: page::limit(params.get("limit"))?,
    };
    let found = state.deliveries.list(&webhook.tenant_id, webhook.id, &query, (state.clock)()).await?;
    let cursor = |id: Option<DeliveryId>| id.map(|id| page::encode_cursor(&id));
    let links = params.links(
        &format!("{base}/api/v1/webhooks/{id}/deliveries"),
        cursor(found.next),
        cursor(found.prev),
    );
    Ok(axum::Json(PageOut { data: found.items.into_iter().map(DeliveryOut::from).collect(), links }))
}

/// Shows one delivery.
pub(crate) async fn get(
    State(state): State<AppState>,
    Verified(caller): Verified,
    Path((id, delivery_id)): Path<(String, String)>,
) -> Result<axum::Json<DeliveryOut>, ApiError> {
    let webhook = state.visible(&caller, &id).await?;
    let delivery = find(&state, &webhook, &delivery_id).await?;
    Ok(axum::Json(delivery.into()))
}

/// Sends a delivery's event again, to the webhook as it is now, and answers how that went: 201 also when the receiver refused it.
///
/// Allowed on a disabled webhook. A resend that fails is not tried again by itself.
pub(crate) async fn resend(
    State(state): State<AppState>,
    Verified(caller): Verified,
    Path((id, delivery_id)): Path<(String, String)>,
) -> Result<(StatusCode, axum::Json<DeliveryOut>), ApiError> {
    let webhook = state.visible(&caller, &id).await?;
    let original = find(&state, &webhook, &delivery_id).await?;
    let now = (state.clock)();
    let event = Event::from_payload(&original.request.body, now).map_err(|error| {
        tracing::error!(%error, webhook.id = %webhook.id, delivery.id = %original.id, "a stored payload cannot be read");
        ApiError::Internal
    })?;
    let task = DeliveryTask {
        tenant_id: webhook.tenant_id.clone(),
        webhook_id: webhook.id,
        delivery_id: DeliveryId::mint(now),
        attempt: 1,
        trigger: Trigger::Resend,
        event,
    };
    let delivery = state.deliverer.deliver(&webhook, &task).await;
    if !state.deliveries.put_all(std::slice::from_ref(&delivery)).await.is_empty() {
        return Err(ApiError::Busy);
    }
    Ok((StatusCode::CREATED, axum::Json(delivery.into())))
}

async fn find(state: &AppState, webhook: &Webhook, id: &str) -> Result<anzol_domain::Delivery, ApiError> {
    let not_found = || ApiError::NotFound(format!("webhook {} has no delivery {id}", webhook.id));
    let id = id.parse().map_err(|_| not_found())?;
    let found = state.deliveries.get(&webhook.tenant_id, webhook.id, id, (state.clock)()).await?;
    found.ok_or_else(not_found)
}
