//! The state that handlers share, built once at cold start.

use std::ops::Deref;
use std::sync::Arc;

use tokio::sync::OnceCell;

use anzol_domain::{Caller, Clock, Rule, TenantId, Webhook, WebhookId};
use anzol_egress::TokenEndpoint;
use anzol_http::{ApiError, Claims};
use anzol_pipeline::{AttemptRunner, Deliverer, HealthTracker, Recoverer, Settler, SlowAfter};
use anzol_runtime::metrics::METER;
use anzol_store::{Deliveries, StoreError, Webhooks};
use anzol_vault::Vault;

use crate::cursor::CursorKey;
use crate::dto::{HealthOut, WebhookOut};
use crate::handler_error::HandlerError;

/// The state of the router.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The webhooks table.
    pub webhooks: Webhooks,
    /// Seals and opens the secrets of webhooks.
    pub vault: Vault,
    /// The delivery history.
    pub deliveries: Deliveries,
    /// Sends resends and tests to receivers.
    pub deliverer: Deliverer,
    /// Records resends and tests.
    pub settler: Settler,
    /// Tracks the health of receivers, which resends and tests also affect.
    pub health: HealthTracker,
    /// Starts recoveries.
    pub recoverer: Recoverer,
    /// The endpoint that exchanges client credentials for tokens. `None` with an external issuer, which has a separate endpoint.
    pub tokens: Option<TokenEndpoint>,
    /// The names of the claims that identify the caller.
    pub claims: Claims,
    /// The key of page cursors.
    pub cursors: Cursors,
    /// The maximum number of webhooks of a tenant.
    pub cap: u32,
    /// Returns the current time.
    pub clock: Clock,
}

/// The key of page cursors, which all environments of the deployment share through the webhooks table.
#[derive(Debug, Clone, Default)]
pub struct Cursors(Arc<OnceCell<CursorKey>>);

impl Cursors {
    /// Returns the key. Reads it once, at cold start or on first use.
    pub async fn key(&self, webhooks: &Webhooks) -> Result<&CursorKey, StoreError> {
        let read = || async {
            let fresh = CursorKey::random().map_err(|error| StoreError::Unavailable(error.to_string()))?;
            webhooks.cursor_key(fresh).await.map(CursorKey::new)
        };
        self.0.get_or_try_init(read).await
    }
}

/// The state that each request receives. Cloning only increments a reference count.
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
    /// Returns the webhook with this id.
    ///
    /// # Errors
    /// 404 if the webhook does not exist or the caller may not see it; 403 if the caller has no tenant.
    pub(crate) async fn visible(&self, caller: &Caller, id: &str) -> Result<Webhook, HandlerError> {
        let not_found = || ApiError::not_found("webhook", id);
        let tenant = tenant(caller)?;
        let id: WebhookId = id.parse().map_err(|_| not_found())?;
        let webhook = self.webhooks.get(tenant, id).await?;
        Ok(webhook.filter(|webhook| caller.sees(webhook)).ok_or_else(not_found)?)
    }

    /// Returns the parts that make the attempts of resends and tests.
    pub(crate) fn attempt_runner(&self) -> AttemptRunner<'_> {
        let Self { vault, deliverer, settler, health, clock, .. } = self;
        let slow_after = SlowAfter::default();
        AttemptRunner { vault, deliverer, settler, health, slow_after, clock: *clock, meter: METER }
    }

    /// Returns the public form of a webhook, with its current health.
    pub(crate) fn show(&self, webhook: Webhook) -> WebhookOut {
        let health = HealthOut::new(&webhook.health, self.health.state(&webhook.health));
        WebhookOut::new(webhook, health)
    }
}

/// Returns the caller's tenant.
///
/// # Errors
/// 403 if the token names no tenant.
pub(crate) fn tenant(caller: &Caller) -> Result<&TenantId, ApiError> {
    caller.tenant.as_ref().ok_or(ApiError::Forbidden(Rule::TokenWithoutTenant))
}
