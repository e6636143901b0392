//! Delivery statistics of a webhook. An Anzol extension.

use axum::extract::{Path, State};

use anzol_domain::match_log;
use anzol_http::Verified;

use crate::dto::{NoDeliveryOut, StatsOut};
use crate::handler_error::HandlerError;
use crate::state::Shared;

/// Returns the numbers of a webhook's deliveries by day and, if there are none, the reasons.
pub(crate) async fn get(
    State(state): State<Shared>,
    Verified(caller): Verified,
    Path(id): Path<String>,
) -> Result<axum::Json<StatsOut>, HandlerError> {
    let webhook = state.visible(&caller, &id).await?;
    let now = (state.clock)();
    let found = state.deliveries.stats(&webhook.tenant_id, webhook.id, now).await?;
    let no_delivery = if found.last.is_none() {
        let history = state.deliveries.match_records().read(&webhook).await?;
        Some(NoDeliveryOut::from(match_log::no_delivery_reasons(&webhook, &history, now)))
    } else {
        None
    };
    Ok(axum::Json(StatsOut::new(found, no_delivery)))
}
