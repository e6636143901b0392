//! What handlers need, built once at cold start.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::OnceCell;

use anzol_domain::{Caller, Clock, Rule, TenantId, Webhook, WebhookId};
use anzol_egress::TokenEndpoint;
use anzol_http::{ApiError, Claims};
use anzol_pipeline::{Deliverer, HealthTracker, Recoverer};
use anzol_signing::CursorKey;
use anzol_store::{Deliveries, StoreError, Webhooks};
use anzol_vault::Vault;

use crate::dto::{HealthOut, WebhookOut};
use crate::failure::Failure;

/// State of the router.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The webhooks table.
    pub webhooks: Webhooks,
    /// Seals and opens what is secret of webhooks.
    pub vault: Vault,
    /// The history.
    pub deliveries: Deliveries,
    /// The way out, for resends and tests.
    pub deliverer: Deliverer,
    /// How receivers are doing, and what resends and tests say of them.
    pub health: HealthTracker,
    /// Sends again what failed.
    pub recoverer: Recoverer,
    /// Where client credentials become tokens; nothing with an outside issuer, whose own endpoint does that.
    pub tokens: Option<TokenEndpoint>,
    /// Which claims say what.
    pub claims: Claims,
    /// Page cursors.
    pub cursors: Cursors,
    /// Most webhooks a tenant may have.
    pub cap: u32,
    /// The time.
    pub clock: Clock,
}

/// Writes and reads page cursors, with a key that all environments of the deployment share through the webhooks table.
#[derive(Debug, Clone, Default)]
pub struct Cursors(Arc<OnceCell<CursorKey>>);

impl Cursors {
    /// The key: read once, at cold start, or by the first request that comes to need it.
    pub async fn key(&self, webhooks: &Webhooks) -> Result<&CursorKey, StoreError> {
        let read = || async {
            let fresh = CursorKey::random().map_err(|error| StoreError::Unavailable(error.to_string()))?;
            webhooks.cursor_key(&fresh).await
        };
        self.0.get_or_try_init(read).await
    }
}

/// The state as every request gets it, at the price of a count.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<AppState>);

impl Shared {
    pub(crate) fn new(state: AppState) -> Self {
        Self(Arc::new(state))
    }
}

impl Deref for Shared {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}

impl AsRef<Claims> for Shared {
    fn as_ref(&self) -> &Claims {
        &self.claims
    }
}

impl AppState {
    /// The webhook of that id, if it exists for this caller; someone else's does not.
    pub(crate) async fn visible(&self, caller: &Caller, id: &str) -> Result<Webhook, Failure> {
        let not_found = || ApiError::not_found("webhook", id);
        let tenant = tenant(caller)?;
        let id: WebhookId = id.parse().map_err(|_| not_found())?;
        let webhook = self.webhooks.get(tenant, id).await?;
        Ok(webhook.filter(|webhook| caller.sees(webhook)).ok_or_else(not_found)?)
    }

    /// The webhook as clients see it now.
    pub(crate) fn show(&self, webhook: Webhook) -> WebhookOut {
        let health = HealthOut::new(&webhook.health, self.health.state(&webhook.health));
        WebhookOut::new(webhook, health)
    }
}

/// The caller's tenant; webhooks belong to one, so without it there is nothing to manage.
pub(crate) fn tenant(caller: &Caller) -> Result<&TenantId, ApiError> {
    caller.tenant.as_ref().ok_or(ApiError::Forbidden(Rule::TokenWithoutTenant))
}
