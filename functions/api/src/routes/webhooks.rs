//! Creates, lists, returns, replaces, patches and deletes webhooks.

use axum::Extension;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::Value;

use anzol_domain::error::Problems;
use anzol_domain::page::{self, Order, Position};
use anzol_domain::text::search_form;
use anzol_domain::webhook::{Defaults, Earlier, WebhookInput};
use anzol_domain::{
    Caller, FieldProblem, Invalid, Level, Origin, Rule, Sealed, Secrets, UserId, Webhook, WebhookId,
    WebhookSpec, event_type,
};
use anzol_http::{ApiError, Json, Params, PublicBase, Verified};
use anzol_store::StoreError;

use crate::dto::{self, PageOut, WebhookOut};
use crate::handler_error::HandlerError;
use crate::state::{AppState, Shared, tenant};
use crate::version::Version;
use crate::{patch, read_only};

/// The fields that the list can be sorted by (contract section 1.1).
pub(crate) const SORT_FIELDS: [&str; 4] = ["name", "url", "createdAt", "updatedAt"];

/// Number of tries to change a webhook that other requests change concurrently. Each try reads the webhook again.
const TRIES: usize = 4;

/// Creates a webhook. It is enabled unless the request disables it.
pub(crate) async fn create(
    State(state): State<Shared>,
    Verified(caller): Verified,
    Json(body): Json,
) -> Result<(StatusCode, axum::Json<WebhookOut>), HandlerError> {
    let tenant_id = tenant(&caller)?.clone();
    let input: WebhookInput = dto::read(&body)?;
    let origin = input.origin.unwrap_or_default();
    let (spec, secrets) = input.check(&Defaults::creation(&caller.user))?;
    authorize(&caller, &spec, &caller.user)?;
    state.deliverer.own_hosts().check(spec.url.as_url())?;
    let cap = caller.cap(state.cap);
    let now = (state.clock)();
    let id = WebhookId::mint(now);
    let sealed = state.vault.seal(&tenant_id, id, &secrets).await?;
    let webhook = Webhook { origin, sealed, ..Webhook::new(id, tenant_id, spec, caller.user, now) };
    state.webhooks.create(&webhook, cap).await.map_err(|error| match error {
        StoreError::CapReached(cap) if cap < state.cap => {
            let reserved = state.cap - cap;
            HandlerError(ApiError::Forbidden(Rule::WebhookCapForUsersReached {
                max: cap,
                reserved,
                cap: state.cap,
            }))
        }
        error => error.into(),
    })?;
    Ok((StatusCode::CREATED, axum::Json(state.show(webhook))))
}

/// Returns a webhook.
pub(crate) async fn get(
    State(state): State<Shared>,
    Verified(caller): Verified,
    Path(id): Path<String>,
) -> Result<axum::Json<WebhookOut>, HandlerError> {
    let webhook = state.visible(&caller, &id).await?;
    Ok(axum::Json(state.show(webhook)))
}

/// Replaces a webhook. Members that the request omits are reset to their defaults, and the webhook is disabled unless the request
/// enables it.
///
/// The owner is kept unless the request names another one. Our choice: a client that omits the owner does not intend to give the webhook
/// away.
pub(crate) async fn replace(
    State(state): State<Shared>,
    Extension(version): Extension<Version>,
    Verified(caller): Verified,
    Path(id): Path<String>,
    Json(body): Json,
) -> Result<axum::Json<WebhookOut>, HandlerError> {
    let webhook = change(&state, &caller, &id, false, |webhook, _| {
        let input: WebhookInput = dto::read(&body)?;
        let (spec, secrets) = input.check(&Defaults {
            level: Level::Tenant,
            owner: &webhook.spec.owner_id,
            enabled: false,
            // In core, an omitted member means false; clients of v1 do not know the member (contract section 1.4).
            cloud_events: version == Version::V1 && webhook.spec.cloud_events,
            earlier: Earlier { spec: Some(&webhook.spec), headers: patch::before(webhook, &Value::Null) },
        })?;
        if version == Version::Core {
            let shown = serde_json::to_value(state.show(webhook.clone())).map_err(|_| ApiError::Internal)?;
            let changes = read_only::changes(&body, &shown);
            if !changes.is_empty() {
                let problems = changes.iter().map(|name| FieldProblem::new(*name, Rule::ReadOnly)).collect();
                return Err(ApiError::Conflict(problems).into());
            }
        }
        Ok((spec, Some(secrets)))
    })
    .await?;
    Ok(axum::Json(state.show(webhook)))
}

/// Applies a JSON Patch to a webhook: all operations, or none.
pub(crate) async fn patch(
    State(state): State<Shared>,
    Extension(version): Extension<Version>,
    Verified(caller): Verified,
    Path(id): Path<String>,
    Json(body): Json,
) -> Result<StatusCode, HandlerError> {
    if patch::is_empty(&body) {
        state.visible(&caller, &id).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let touched = patch::touches_secrets(&body);
    change(&state, &caller, &id, touched, |webhook, secrets| {
        Ok(patch::patched(webhook, secrets, &body, version)?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a webhook. Deliveries that are already queued are dropped when the sender receives them.
pub(crate) async fn delete(
    State(state): State<Shared>,
    Verified(caller): Verified,
    Path(id): Path<String>,
) -> Result<StatusCode, HandlerError> {
    let webhook = state.visible(&caller, &id).await?;
    match state.webhooks.delete(&webhook.tenant_id, webhook.id).await {
        Err(StoreError::Changed) => Err(ApiError::not_found("webhook", &id).into()),
        done => done.map(|()| StatusCode::NO_CONTENT).map_err(HandlerError::from),
    }
}

/// Reads a webhook, builds its new spec with `make`, and writes it. Retries if another request changed the webhook in between.
///
/// `make` also returns the new secrets, or `None` to keep the stored ones. It receives the stored secrets if `open` is true, and empty
/// secrets otherwise.
async fn change(
    state: &AppState,
    caller: &Caller,
    id: &str,
    open: bool,
    make: impl Fn(&Webhook, &Secrets) -> Result<(WebhookSpec, Option<Secrets>), HandlerError>,
) -> Result<Webhook, HandlerError> {
    for _ in 0..TRIES {
        let stored = state.visible(caller, id).await?;
        let (spec, secrets) = if open {
            make(&stored, state.vault.open(&stored).await?.secrets())?
        } else {
            make(&stored, &Secrets::default())?
        };
        authorize(caller, &spec, &stored.spec.owner_id)?;
        state.deliverer.own_hosts().check(spec.url.as_url())?;
        let changed = stored.clone().changed(spec, caller.user.clone(), (state.clock)());
        let mut changed = changed.map_err(ApiError::ForbiddenField)?;
        if let Some(secrets) = secrets {
            changed.sealed = reseal(state, &stored, secrets).await?;
        }
        match state.webhooks.replace(&stored, &changed).await {
            Err(StoreError::Changed) => {}
            done => return done.map(|()| changed).map_err(HandlerError::from),
        }
    }
    Err(StoreError::Changed.into())
}

/// Seals the new secrets of a webhook. Opens the old secrets only if the old signing secret may have to stay valid for a while.
async fn reseal(
    state: &AppState,
    stored: &Webhook,
    mut secrets: Secrets,
) -> Result<Option<Sealed>, HandlerError> {
    if secrets.secret.is_some() && stored.has_secret() {
        let old = state.vault.open(stored).await?;
        secrets = secrets.replacing(old.secrets(), (state.clock)());
        if secrets == *old.secrets() {
            return Ok(stored.sealed.clone());
        }
    }
    Ok(state.vault.seal(&stored.tenant_id, stored.id, &secrets).await?)
}

/// Checks that the caller may give a webhook this spec. `owner` is the webhook's current owner.
///
/// # Errors
/// 403 if the level or the new owner requires a tenant admin.
fn authorize(caller: &Caller, spec: &WebhookSpec, owner: &UserId) -> Result<(), HandlerError> {
    if !caller.may_set_level(spec.level) {
        return Err(ApiError::Forbidden(Rule::AdminRequiredForLevel).into());
    }
    if spec.owner_id != *owner && !caller.may_set_owner(&spec.owner_id) {
        return Err(ApiError::Forbidden(Rule::AdminRequiredForOwner).into());
    }
    Ok(())
}

/// Lists the webhooks that the caller may see, filtered, sorted and paged (contract section 1.1).
pub(crate) async fn list(
    State(state): State<Shared>,
    Extension(version): Extension<Version>,
    Verified(caller): Verified,
    PublicBase(base): PublicBase,
    params: Params,
) -> Result<axum::Json<PageOut<WebhookOut>>, HandlerError> {
    let tenant = tenant(&caller)?;
    let mut problems = Problems::default();
    let query = WebhookQuery::read(&params, &mut problems);
    let sort = problems.take(page::sort(params.get("sort").unwrap_or("-createdAt"), &SORT_FIELDS));
    let limit = problems.take(page::limit(params.get("limit")));
    let read = (|| Some((sort?, limit?)))();
    let ((field, order), limit) = problems.finish(read)?;
    let cursors = state.cursors.key(&state.webhooks).await?;
    let list = format!("webhooks of {tenant} by {field} {order:?}");
    let position: Position<(String, WebhookId)> =
        page::position(params.get("next"), params.get("prev"), |cursor| cursors.open(&list, cursor))?;

    let mut webhooks = state.webhooks.list(tenant).await?;
    webhooks.retain(|webhook| caller.sees(webhook) && query.matches(webhook));
    let key = |webhook: &Webhook| (sort_key(webhook, field), webhook.id);
    webhooks.sort_by_cached_key(key);
    if order == Order::Descending {
        webhooks.reverse();
    }
    let page = page::cut(webhooks, key, order, &position, limit);
    let cursor = |webhook: Option<&Webhook>| webhook.map(|webhook| cursors.seal(&list, &key(webhook)));
    let next = if page.has_next { cursor(page.items.last()) } else { None };
    let prev = if page.has_prev { cursor(page.items.first()) } else { None };
    let links = params.links(&format!("{base}{}", version.base()), next, prev);
    Ok(axum::Json(PageOut {
        data: page.items.into_iter().map(|webhook| state.show(webhook)).collect(),
        links,
    }))
}

fn sort_key(webhook: &Webhook, field: &str) -> String {
    let time = |at: time::OffsetDateTime| format!("{:020}", at.unix_timestamp_nanos());
    match field {
        "name" => search_form(&webhook.spec.name),
        "url" => webhook.spec.url.as_str().to_lowercase(),
        "updatedAt" => time(webhook.updated_at),
        _ => time(webhook.created_at),
    }
}

/// The filters of a list of webhooks. A webhook must match all of them.
struct WebhookQuery {
    /// A part of the name, in the form in which names are compared.
    name: Option<String>,
    url: Option<String>,
    enabled: Option<bool>,
    event_types: Vec<&'static str>,
    level: Option<Level>,
    origins: Vec<Origin>,
    created_by: Option<String>,
    updated_by: Option<String>,
    owner: Option<String>,
}

impl WebhookQuery {
    /// Reads the filters from the query parameters and adds their problems. An invalid filter matches every webhook.
    fn read(params: &Params, problems: &mut Problems) -> Self {
        let text = |name: &str| params.get(name).map(str::to_owned);
        let items = |name: &str| params.get(name).into_iter().flat_map(|list| list.split(',')).map(str::trim);
        let enabled = params.get("enabled").map(str::to_lowercase);
        let enabled = problems.take(match enabled.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Invalid::one("enabled", Rule::OneOf { values: ["true", "false"].into() })),
        });
        let level = problems.take(match params.get("level") {
            None => Ok(None),
            Some("tenant") => Ok(Some(Level::Tenant)),
            Some("user") => Ok(Some(Level::User)),
            Some(_) => Err(Invalid::one("level", Rule::OneOf { values: ["tenant", "user"].into() })),
        });
        let mut event_types = Vec::new();
        for parameter in ["eventTypes", "eventType"] {
            let known: Option<Vec<_>> =
                items(parameter).map(|name| Some(event_type::find(name)?.name)).collect();
            event_types.extend(
                problems
                    .take(known.ok_or_else(|| Invalid::one(parameter, Rule::UnknownEventTypes)))
                    .unwrap_or_default(),
            );
        }
        let origin = |name: &str| match name {
            "api" => Some(Origin::Api),
            "automations" => Some(Origin::Automations),
            "management-console" => Some(Origin::ManagementConsole),
            _ => None,
        };
        let origins: Option<Vec<_>> = items("origins").map(origin).collect();
        let rule = || Rule::ListOf { values: ["api", "automations", "management-console"].into() };
        let origins = problems.take(origins.ok_or_else(|| Invalid::one("origins", rule())));
        Self {
            name: text("name").map(|name| search_form(&name)),
            url: text("url").map(|url| url.to_lowercase()),
            enabled: enabled.flatten(),
            event_types,
            level: level.flatten(),
            origins: origins.unwrap_or_default(),
            created_by: text("createdByUserId"),
            updated_by: text("updatedByUserId"),
            owner: text("ownerId"),
        }
    }

    fn matches(&self, webhook: &Webhook) -> bool {
        let spec = &webhook.spec;
        let part = |wanted: &Option<String>, text: &str, form: fn(&str) -> String| {
            // A text without visible characters is empty in this form, and matches no name.
            wanted.as_ref().is_none_or(|part| !part.is_empty() && form(text).contains(part))
        };
        let same =
            |wanted: &Option<String>, id: &UserId| wanted.as_ref().is_none_or(|wanted| wanted == id.as_str());
        part(&self.name, &spec.name, search_form)
            && part(&self.url, spec.url.as_str(), str::to_lowercase)
            && self.enabled.is_none_or(|enabled| enabled == spec.enabled)
            && self.event_types.iter().all(|wanted| spec.event_types.iter().any(|name| name == wanted))
            && self.level.is_none_or(|level| level == spec.level)
            && (self.origins.is_empty() || self.origins.contains(&webhook.origin))
            && same(&self.created_by, &webhook.created_by)
            && same(&self.updated_by, &webhook.updated_by)
            && same(&self.owner, &spec.owner_id)
    }
}
