//! Recoveries, which send all permanently failed deliveries since a given time again. An Anzol extension.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::LOCATION;

use anzol_domain::{FieldProblem, Recovery, Rule};
use anzol_http::{ApiError, Json, PublicBase, Verified};
use anzol_pipeline::RecoverError;

use crate::dto::{self, RecoveryOut, RecoveryRequest};
use crate::handler_error::HandlerError;
use crate::state::Shared;
use crate::version::Version;

/// Starts a recovery and returns its progress so far: 202, with its URL in `Location`.
///
/// A disabled webhook is a conflict, because it would receive nothing. A running recovery of the webhook is a conflict too; `Location` is
/// then its URL.
pub(crate) async fn start(
    State(state): State<Shared>,
    Extension(version): Extension<Version>,
    Verified(caller): Verified,
    PublicBase(base): PublicBase,
    Path(id): Path<String>,
    Json(body): Json,
) -> Result<Response, HandlerError> {
    let webhook = state.visible(&caller, &id).await?;
    let since = dto::read::<RecoveryRequest>(&body)?.check((state.clock)())?;
    if !webhook.spec.enabled {
        let problem = FieldProblem::new("enabled", Rule::WebhookDisabled);
        return Err(ApiError::Conflict(vec![problem]).into());
    }
    let location = |recovery: &Recovery| {
        [(LOCATION, format!("{base}{}/{id}/recoveries/{}", version.base(), recovery.id))]
    };
    match state.recoverer.start(&webhook, since).await {
        Ok(recovery) => {
            let location = location(&recovery);
            Ok((StatusCode::ACCEPTED, location, axum::Json(RecoveryOut::from(recovery))).into_response())
        }
        Err(RecoverError::Running(running)) => {
            let location = location(&running);
            Ok((location, HandlerError::from(RecoverError::Running(running))).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the progress of a recovery.
pub(crate) async fn get(
    State(state): State<Shared>,
    Verified(caller): Verified,
    Path((id, recovery_id)): Path<(String, String)>,
) -> Result<axum::Json<RecoveryOut>, HandlerError> {
    let webhook = state.visible(&caller, &id).await?;
    let not_found = || ApiError::not_found("recovery", &recovery_id);
    let parsed = recovery_id.parse().map_err(|_| not_found())?;
    let recovery = state.recoverer.get(&webhook.tenant_id, webhook.id, parsed).await?;
    Ok(axum::Json(recovery.ok_or_else(not_found)?.into()))
}
