//! The delivery history of a webhook, and the requests that add to it: resends and tests.

use axum::Extension;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};

use anzol_domain::error::Problems;
use anzol_domain::page::{self, Order};
use anzol_domain::{
    DeliveryId, DeliveryTask, Event, Invalid, Rule, Status, Trigger, UserId, Webhook, event_type, test_event,
};
use anzol_http::{ApiError, Json, Params, PublicBase, Verified};
use anzol_pipeline::SentPayload;
use anzol_runtime::metrics;
use anzol_store::{DeliveryFilter, DeliveryQuery, LeaseError, StatusQuery, TENANT_LEASES, USER_LEASES};

use crate::dto::{self, DeliveryOut, PageOut, TestRequest};
use crate::handler_error::HandlerError;
use crate::state::{AppState, Shared};
use crate::version::Version;

/// `Retry-After` at the limit of concurrent tests and resends, in seconds. Most attempts take less time.
const AGAIN_SECONDS: u16 = 5;

/// The sort fields of the list (contract section 2.3).
pub(crate) const SORT_FIELDS: [&str; 2] = ["status", "triggeredAt"];

/// Lists the deliveries of a webhook, newest first by default.
pub(crate) async fn list(
    State(state): State<Shared>,
    Extension(version): Extension<Version>,
    Verified(caller): Verified,
    PublicBase(base): PublicBase,
    Path(id): Path<String>,
    params: Params,
) -> Result<axum::Json<PageOut<DeliveryOut>>, HandlerError> {
    let webhook = state.visible(&caller, &id).await?;
    let mut problems = Problems::default();
    let sort = problems.take(page::sort(params.get("sort").unwrap_or("-triggeredAt"), &SORT_FIELDS));
    let status = problems.take(match params.get("status") {
        None => Ok(None),
        Some("success") => Ok(Some(Status::Success)),
        Some("fail") => Ok(Some(Status::Fail)),
        Some(_) => Err(Invalid::one("status", Rule::OneOf { values: ["success", "fail"].into() })),
    });
    let limit = problems.take(page::limit(params.get("limit")));
    let read = (|| Some((sort?, status?, limit?)))();
    let ((field, order), status, limit) = problems.finish(read)?;
    let event_types = params.get("eventType").map(event_type::spellings).unwrap_or_default();
    let filter = DeliveryFilter { status, event_types: event_types.into_iter().map(str::to_owned).collect() };
    let cursors = state.cursors.key(&state.webhooks).await?;
    let (tenant, now) = (&webhook.tenant_id, (state.clock)());
    let list = format!("deliveries of {tenant} {} by {field} {order:?}", webhook.id);
    let (next, prev) = (params.get("next"), params.get("prev"));

    let (items, next, prev) = if field == "status" {
        let position = page::position(next, prev, |cursor| cursors.open(&list, cursor))?;
        // Ascending by name: `fail` before `success`.
        let first = if order == Order::Ascending { Status::Fail } else { Status::Success };
        let query = StatusQuery { filter, first, position, limit };
        let page = state.deliveries.list_by_status(tenant, webhook.id, &query, now).await?;
        let cursor = |at: Option<(Status, DeliveryId)>| at.map(|at| cursors.seal(&list, &at));
        (page.items, cursor(page.next), cursor(page.prev))
    } else {
        let position = page::position(next, prev, |cursor| cursors.open(&list, cursor))?;
        let query = DeliveryQuery { filter, order, position, limit };
        let page = state.deliveries.list(tenant, webhook.id, &query, now).await?;
        let cursor = |at: Option<DeliveryId>| at.map(|at| cursors.seal(&list, &at));
        (page.items, cursor(page.next), cursor(page.prev))
    };
    let links = params.links(&format!("{base}{}/{id}/deliveries", version.base()), next, prev);
    Ok(axum::Json(PageOut { data: items.into_iter().map(DeliveryOut::from).collect(), links }))
}

/// Returns a delivery.
pub(crate) async fn get(
    State(state): State<Shared>,
    Verified(caller): Verified,
    Path((id, delivery_id)): Path<(String, String)>,
) -> Result<axum::Json<DeliveryOut>, HandlerError> {
    let webhook = state.visible(&caller, &id).await?;
    let delivery = find(&state, &webhook, &delivery_id).await?;
    Ok(axum::Json(delivery.into()))
}

/// Sends the event of a delivery again, with the webhook's current configuration, and returns the outcome: 201 even if the receiver
/// rejected the event.
///
/// Also sends to a disabled webhook. A failed resend is not retried.
pub(crate) async fn resend(
    State(state): State<Shared>,
    Verified(caller): Verified,
    Path((id, delivery_id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<(StatusCode, axum::Json<DeliveryOut>), HandlerError> {
    let webhook = state.visible(&caller, &id).await?;
    let original = find(&state, &webhook, &delivery_id).await?;
    let now = (state.clock)();
    let event = SentPayload::of(&original).event(now).ok_or(ApiError::Internal)?;
    let task = task(&webhook, DeliveryId::mint(now), Trigger::Resend, event, &headers);
    send_leased(&state, &caller.user, &webhook, task).await
}

/// Sends a test event of one of the webhook's event types and returns the outcome, as [`resend`] does. Ignores the webhook's filter.
pub(crate) async fn test(
    State(state): State<Shared>,
    Verified(caller): Verified,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Option<Json>,
) -> Result<(StatusCode, axum::Json<DeliveryOut>), HandlerError> {
    let webhook = state.visible(&caller, &id).await?;
    let input = body.map(|Json(body)| dto::read::<TestRequest>(&body)).transpose()?.unwrap_or_default();
    let event_type = test_event::choose(&webhook, input.event_type.as_deref())?;
    let now = (state.clock)();
    let delivery_id = DeliveryId::mint(now);
    let event = test_event::event(&webhook, event_type, delivery_id, now)?;
    let task = task(&webhook, delivery_id, Trigger::Test, event, &headers);
    send_leased(&state, &caller.user, &webhook, task).await
}

/// Returns the task of a requested attempt, in the trace of the request.
fn task(
    webhook: &Webhook,
    delivery_id: DeliveryId,
    trigger: Trigger,
    event: Event,
    headers: &HeaderMap,
) -> DeliveryTask {
    DeliveryTask {
        tenant_id: webhook.tenant_id.clone(),
        webhook_id: webhook.id,
        delivery_id,
        attempt: 1,
        trigger,
        accepted_at: None,
        trace: anzol_http::trace(headers),
        event,
    }
}

/// Calls [`send_now`] under a lease, which limits the concurrent attempts of a tenant and of a user: each occupies an invocation until its
/// receiver responds.
async fn send_leased(
    state: &AppState,
    user: &UserId,
    webhook: &Webhook,
    task: DeliveryTask,
) -> Result<(StatusCode, axum::Json<DeliveryOut>), HandlerError> {
    let seconds = AGAIN_SECONDS.into();
    let too_many = |rule| ApiError::TooMany(rule, AGAIN_SECONDS).into();
    let lease = state.webhooks.lease(&webhook.tenant_id, user, (state.clock)()).await;
    let lease = lease.map_err(|error| match error {
        LeaseError::TenantFull => too_many(Rule::TooManyOfTenant { max: TENANT_LEASES, seconds }),
        LeaseError::UserFull => too_many(Rule::TooManyOfUser { max: USER_LEASES, seconds }),
        LeaseError::Store(error) => HandlerError::from(error),
    })?;
    let sent = send_now(state, webhook, task).await;
    if let Err(error) = state.webhooks.release(&lease).await {
        tracing::warn!(%error, tenant.id = %webhook.tenant_id, "failed to release a lease; it expires");
    }
    sent
}

/// Makes an attempt that a user requested.
///
/// If the history row could not be written, returns 500 instead of a status that invites a retry, because the delivery was sent.
async fn send_now(
    state: &AppState,
    webhook: &Webhook,
    task: DeliveryTask,
) -> Result<(StatusCode, axum::Json<DeliveryOut>), HandlerError> {
    let sent = state.attempt_runner().send_now(webhook, task).await?;
    metrics::flush();
    if !sent.recorded {
        return Err(ApiError::Internal.into());
    }
    Ok((StatusCode::CREATED, axum::Json(sent.delivery.into())))
}

async fn find(state: &AppState, webhook: &Webhook, id: &str) -> Result<anzol_domain::Delivery, HandlerError> {
    let not_found = || ApiError::not_found("delivery", id);
    let id = id.parse().map_err(|_| not_found())?;
    let found = state.deliveries.get(&webhook.tenant_id, webhook.id, id, (state.clock)()).await?;
    Ok(found.ok_or_else(not_found)?)
}
