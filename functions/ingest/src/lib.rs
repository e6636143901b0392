#![doc = include_str!("../README.md")]

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use time::OffsetDateTime;

use anzol_domain::error::Problems;
use anzol_domain::event::{MAX_TEXT, parse_one_or_many};
use anzol_domain::{Caller, Clock, Event, Invalid, TenantId, operational};
use anzol_http::{ApiError, Claims, Verified, content_type};
use anzol_pipeline::{Arrival, Dispatcher};
use anzol_runtime::metrics::{self, Label, Metric};

/// Largest request body, in bytes.
pub const MAX_BODY: usize = MAX_TEXT;

/// How events come here, in the metrics.
const SOURCE: Label = Label::Source("http");

/// State of the router.
#[derive(Debug, Clone)]
pub struct IngestState {
    /// Finds and queues.
    pub dispatcher: Arc<Dispatcher>,
    /// Which claims say what.
    pub claims: Arc<Claims>,
    /// The time, for events that name none.
    pub clock: Clock,
    /// Largest event taken, in bytes of minified JSON.
    pub largest_event: usize,
}

impl AsRef<Claims> for IngestState {
    fn as_ref(&self) -> &Claims {
        &self.claims
    }
}

/// All routes.
pub fn router(state: IngestState) -> Router {
    let limit = axum::extract::DefaultBodyLimit::max(MAX_BODY);
    anzol_http::shell(Router::new().route("/api/v1/events", post(publish)).layer(limit).with_state(state))
}

/// What became of the events of a request.
#[derive(Debug, Serialize)]
struct Published {
    /// Events taken.
    accepted: usize,
    /// Deliveries queued for them.
    deliveries: usize,
}

async fn publish(
    State(state): State<IngestState>,
    Verified(caller): Verified,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<(StatusCode, axum::Json<Published>), ApiError> {
    let body = body.map_err(|_| ApiError::TooLarge(MAX_BODY))?;
    let events = read(&headers, &body, (state.clock)(), state.largest_event)?;
    let events = authorize(&caller, events)?;
    let arrival = Arrival::new((state.clock)(), anzol_http::trace(&headers));
    let dispatched = state.dispatcher.dispatch(&events, &arrival).await;
    let deliveries = *dispatched.as_ref().unwrap_or(&0);
    tracing::info!(
        trace.id = arrival.trace.trace_id(),
        tenant.id = caller.tenant.as_ref().map(TenantId::as_str),
        events = events.len(),
        deliveries,
        accepted = dispatched.is_ok(),
        "events taken"
    );
    if dispatched.is_ok() {
        metrics::count(Metric::EventsAccepted, SOURCE, events.len());
        metrics::count(Metric::DeliveriesQueued, SOURCE, deliveries);
        metrics::flush();
    }
    dispatched?;
    Ok((StatusCode::ACCEPTED, axum::Json(Published { accepted: events.len(), deliveries })))
}

/// Reads the events of a request: in binary mode (headers `ce-…` and a body that is the data), else one event or several in JSON.
fn read(
    headers: &HeaderMap,
    body: &[u8],
    now: OffsetDateTime,
    largest: usize,
) -> Result<Vec<Event>, ApiError> {
    if headers.contains_key("ce-specversion") {
        let named =
            headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value)));
        let (mut attributes, mut problems) = (Vec::new(), Problems::default());
        for (name, value) in named {
            // HTTP protocol binding, section 3.1.3.2.
            match percent_encoding::percent_decode(value.as_bytes()).decode_utf8() {
                Ok(value) => attributes.push((name, value)),
                Err(_) => problems.add(format!("ce-{name}"), "must be percent-encoded UTF-8"),
            }
        }
        problems.finish(Some(()))?;
        let attributes = attributes.iter().map(|(name, value)| (*name, value.as_ref()));
        let kind =
            headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).filter(|kind| !kind.is_empty());
        return Ok(vec![Event::from_binary(attributes, kind, body, now, largest)?]);
    }
    let kinds = ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"];
    if content_type(headers).is_some_and(|kind| !kinds.contains(&kind.as_str())) {
        let text =
            format!("the body must be one of {}; or send ce- headers, in binary mode", kinds.join(", "));
        return Err(ApiError::UnsupportedMediaType(text));
    }
    let text =
        std::str::from_utf8(body).map_err(|error| Invalid::one("body", format!("must be UTF-8: {error}")))?;
    Ok(parse_one_or_many(text, now, largest)?)
}

/// Events of tenants the caller may publish for; those that name no tenant belong to the caller's.
fn authorize(caller: &Caller, events: Vec<Event>) -> Result<Vec<Event>, ApiError> {
    if !(caller.roles.admin || caller.roles.publisher || caller.roles.platform) {
        return Err(ApiError::Forbidden(
            "publishing takes the role Publisher or TenantAdmin, or a publish scope".to_owned(),
        ));
    }
    let mut problems = Problems::default();
    let mut allowed = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        if event.event_type().starts_with(operational::PREFIX) {
            problems.add(format!("[{index}].type"), "must not begin with `anzol.`: those events are our own");
            continue;
        }
        let event = match (event.tenant(), &caller.tenant) {
            (None, Some(own)) => event.in_tenant(own.clone()),
            (None, None) => {
                problems.add(format!("[{index}].tenantid"), "is required, as your token names no tenant");
                continue;
            }
            (Some(_), _) => event,
        };
        if !event.tenant().is_some_and(|tenant| caller.may_publish_for(tenant)) {
            return Err(ApiError::Forbidden(format!(
                "event [{index}] is of a tenant that you may not publish for"
            )));
        }
        allowed.push(event);
    }
    Ok(problems.finish(Some(allowed))?)
}
