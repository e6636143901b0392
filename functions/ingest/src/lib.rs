#![doc = include_str!("../README.md")]

mod config;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use time::OffsetDateTime;

use anzol_domain::error::Problems;
use anzol_domain::event::{MAX_TEXT, parse_one_or_many, without_mark};
use anzol_domain::headers::HeaderName;
use anzol_domain::published::{Published, Refused, authorize};
use anzol_domain::{Clock, Event, Invalid, Rule, TenantId};
use anzol_http::{ApiError, Claims, Verified, check_charset, content_type, decoded};
use anzol_pipeline::{Accepted, DispatchError, Dispatcher};
use anzol_runtime::metrics::{self, Label, Metric};
use anzol_signing::{QLIK_SIGNATURE, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use anzol_store::StoreError;

pub use config::Config;

/// Maximum size of a request body, in bytes.
pub const MAX_BODY: usize = MAX_TEXT;

/// The media type of the JSON batch format.
const BATCH: &str = "application/cloudevents-batch+json";

/// The metric label of events from HTTP.
const SOURCE: Label = Label::Source("http");

/// The state of the router.
#[derive(Debug, Clone)]
pub struct IngestState {
    /// Matches webhooks and queues deliveries.
    pub dispatcher: Arc<Dispatcher>,
    /// The names of claims, scopes and roles.
    pub claims: Arc<Claims>,
    /// Returns the current time, which events without a time get.
    pub clock: Clock,
    /// Maximum size of an event, in bytes of minified JSON.
    pub largest_event: usize,
    /// The configured name of the signature header, if any.
    pub signature: Option<HeaderName>,
}

impl AsRef<Claims> for IngestState {
    fn as_ref(&self) -> &Claims {
        &self.claims
    }
}

/// Returns the router of the function.
pub fn router(state: IngestState) -> Router {
    let limit = axum::extract::DefaultBodyLimit::max(MAX_BODY);
    anzol_http::shell(Router::new().route("/api/v1/events", post(publish)).layer(limit).with_state(state))
}

async fn publish(
    State(state): State<IngestState>,
    Verified(caller): Verified,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<(StatusCode, axum::Json<Published>), ApiError> {
    check_not_delivered(&headers, state.signature.as_ref())?;
    let body = body.map_err(|_| ApiError::TooLarge(MAX_BODY))?;
    let body = decoded(&headers, body, MAX_BODY)?;
    let events = read(&headers, &body, (state.clock)(), state.largest_event)?;
    let events = authorize(&caller, events).map_err(refused)?;
    let accepted = Accepted::new((state.clock)(), anzol_http::trace(&headers));
    let dispatched = state.dispatcher.dispatch(&events, &accepted).await;
    let deliveries = *dispatched.as_ref().unwrap_or(&0);
    tracing::info!(
        trace.id = accepted.trace.trace_id(),
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
    dispatched.map_err(not_dispatched)?;
    Ok((StatusCode::ACCEPTED, axum::Json(Published { accepted: events.len(), deliveries })))
}

/// Rejects requests with the reserved headers of deliveries, of this deployment or another one: publishing a delivery would cause a loop.
fn check_not_delivered(headers: &HeaderMap, signature: Option<&HeaderName>) -> Result<(), Invalid> {
    let mut problems = Problems::default();
    let ours = [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE, QLIK_SIGNATURE];
    let own = signature.map(HeaderName::as_str).filter(|own| !own.eq_ignore_ascii_case(QLIK_SIGNATURE));
    let ours = ours.into_iter().chain(own);
    for name in ours.filter(|name| headers.contains_key(*name)) {
        problems.add(name, Rule::DeliveryHeader);
    }
    problems.finish(Some(()))
}

/// Parses the events of a request by its media type (`CloudEvents` 1.0.2, HTTP protocol binding, section 3). The media type of an event or
/// a batch means structured mode, regardless of headers. Any other type with a header `ce-specversion` means binary mode. Plain JSON
/// without that header is one event or several, as in Qlik's API.
fn read(
    headers: &HeaderMap,
    body: &[u8],
    now: OffsetDateTime,
    largest: usize,
) -> Result<Vec<Event>, ApiError> {
    let kind = content_type(headers);
    let is_cloudevent = kind.as_deref().is_some_and(|kind| kind.starts_with("application/cloudevents"));
    if !is_cloudevent && headers.contains_key("ce-specversion") {
        return Ok(vec![read_binary(headers, body, now, largest)?]);
    }
    let kinds = ["application/json", "application/cloudevents+json", BATCH];
    if kind.as_deref().is_some_and(|kind| !kinds.contains(&kind)) {
        let rule = Rule::UnsupportedEventMediaType { values: kinds.into() };
        return Err(ApiError::UnsupportedMediaType(rule));
    }
    check_charset(headers)?;
    let marked = without_mark(body)?.len() < body.len();
    // The parser of events skips the byte order mark itself, because messages can have one too.
    let text = std::str::from_utf8(body)
        .map_err(|error| Invalid::one("body", Rule::NotUtf8 { position: error.valid_up_to() }))?;
    // A batch can be empty (section 3.3.2). An empty array with another media type is more likely a mistake.
    let mut written = text.chars().skip(usize::from(marked)).filter(|c| !c.is_ascii_whitespace());
    if kind.as_deref() == Some(BATCH) {
        if written.clone().eq("[]".chars()) {
            return Ok(Vec::new());
        }
        if written.next() != Some('[') {
            return Err(Invalid::one("body", Rule::NotEventArray).into());
        }
    }
    Ok(parse_one_or_many(text, now, largest)?)
}

/// Parses an event in binary mode.
fn read_binary(
    headers: &HeaderMap,
    body: &[u8],
    now: OffsetDateTime,
    largest: usize,
) -> Result<Event, ApiError> {
    let named = headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value)));
    let (mut attributes, mut problems) = (Vec::new(), Problems::default());
    for (name, value) in named {
        // Section 3.1.3.2: remove the quotes first, then percent-decode once.
        let Some(value) = unquoted(value.as_bytes()) else {
            problems.add(format!("ce-{name}"), Rule::NotQuotedString);
            continue;
        };
        match percent_encoding::percent_decode(&value).decode_utf8() {
            Ok(value) => attributes.push((name, value.into_owned())),
            Err(_) => problems.add(format!("ce-{name}"), Rule::NotPercentEncoded),
        }
    }
    problems.finish(Some(()))?;
    let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
    let kind = headers.get(CONTENT_TYPE).filter(|kind| !kind.is_empty());
    let kind = kind
        .map(|kind| kind.to_str().map_err(|_| Invalid::one("content-type", Rule::NotVisibleAscii)))
        .transpose()?;
    Ok(Event::from_binary(attributes, kind, body, now, largest)?)
}

/// Removes the double quotes around a header value, and the backslashes of its escapes (RFC 7230, section 3.2.6). Returns a value that does
/// not start with a quote unchanged, and `None` for an incomplete quoted string.
fn unquoted(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(rest) = value.strip_prefix(b"\"") else { return Some(value.into()) };
    let (mut out, mut bytes) = (Vec::with_capacity(rest.len()), rest.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.push(*bytes.next()?),
            b'"' => return bytes.as_slice().is_empty().then_some(out.into()),
            byte => out.push(*byte),
        }
    }
    None
}

fn refused(refused: Refused) -> ApiError {
    match refused {
        Refused::Forbidden(rule) => ApiError::Forbidden(rule),
        Refused::Invalid(invalid) => invalid.into(),
    }
}

fn not_dispatched(error: DispatchError) -> ApiError {
    match error {
        DispatchError::Store(StoreError::Throttled(reason)) => {
            tracing::warn!(reason, "the store is throttled");
            ApiError::Throttled
        }
        DispatchError::Store(StoreError::Busy(reason)) => {
            tracing::warn!(reason, "the store is busy");
            ApiError::Busy
        }
        DispatchError::Store(error) => {
            tracing::error!(%error, "the store failed");
            ApiError::Internal
        }
        DispatchError::Queue(error) => {
            tracing::error!(%error, "the queue failed");
            ApiError::Busy
        }
        // A client error, so that the caller does not retry: the refused events stay refused, and the others would arrive twice.
        DispatchError::Refused(events) => {
            let mut problems = Problems::default();
            for (index, code) in events {
                problems.add(format!("[{index}]"), Rule::NotQueued { code: code.into() });
            }
            problems.finish(None::<()>).map_or_else(ApiError::Invalid, |()| ApiError::Internal)
        }
    }
}
