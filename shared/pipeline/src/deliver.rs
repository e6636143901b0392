//! Sends a delivery: builds and signs the POST, and converts the response to a history row.

use std::time::Duration;

use anzol_domain::delivery::{ReceivedResponse, SentRequest};
use anzol_domain::headers::{HeaderName, HeaderText};
use anzol_domain::trace::{TRACEPARENT, TRACESTATE};
use anzol_domain::url::OwnHosts;
use anzol_domain::{Clock, Delivery, DeliveryTask, EncryptedHeaders, FailureKind, Secrets, Status, Webhook};
use anzol_egress::{Answer, Egress, Failure, HttpResponse, Reuse};
use anzol_signing as signing;
use anzol_vault::Opened;
use http::HeaderValue;
use http::header::{LOCATION, RETRY_AFTER};
use time::OffsetDateTime;

use crate::redact;

/// The `User-Agent` of Qlik's sender. Receivers check it (contract section 3.1).
pub const USER_AGENT: &str = "Qlik Webhook";

/// Headers of deliveries that a deployment can configure; by default those of Qlik's sender.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryHeaders {
    /// Value of `User-Agent`; [`USER_AGENT`] if not set.
    pub user_agent: Option<HeaderText>,
    /// Name of the header with the signature; [`signing::QLIK_SIGNATURE`] if not set. A webhook's custom header of that name is not sent.
    pub signature: Option<HeaderName>,
}

impl DeliveryHeaders {
    fn user_agent(&self) -> &str {
        self.user_agent.as_ref().map_or(USER_AGENT, HeaderText::as_str)
    }

    fn signature(&self) -> &str {
        self.signature.as_ref().map_or(signing::QLIK_SIGNATURE, HeaderName::as_str)
    }
}

/// A connection that fails within this time is retried once, immediately.
const INSTANT: Duration = Duration::from_secs(1);

/// Maximum number of characters of a redirect's target that a status message shows.
const MAX_TARGET: usize = 500;

/// Statuses that redirect, if there is a `Location` (RFC 9110, section 15.4).
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// Statuses whose `Retry-After` is respected.
const WITH_RETRY_AFTER: [u16; 2] = [429, 503];

/// Sends deliveries to receivers.
#[derive(Debug, Clone)]
pub struct Deliverer {
    egress: Egress,
    headers: DeliveryHeaders,
    own_hosts: OwnHosts,
    clock: Clock,
}

impl Deliverer {
    /// Returns a deliverer that sends through `egress`.
    #[must_use]
    pub fn new(egress: Egress, clock: Clock) -> Self {
        Self { egress, headers: DeliveryHeaders::default(), own_hosts: OwnHosts::default(), clock }
    }

    /// Returns the deliverer with these headers in its requests.
    #[must_use]
    pub fn with_headers(self, headers: DeliveryHeaders) -> Self {
        Self { headers, ..self }
    }

    /// Returns the deliverer with the deployment's own hosts, to which it sends nothing.
    #[must_use]
    pub fn with_own_hosts(self, own_hosts: OwnHosts) -> Self {
        Self { own_hosts, ..self }
    }

    /// Returns the deployment's own hosts.
    #[must_use]
    pub fn own_hosts(&self) -> &OwnHosts {
        &self.own_hosts
    }

    /// Returns the maximum duration of sending.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.egress.timeout() + INSTANT
    }

    /// Sends the delivery. Returns its history row, with any outcome; [`crate::settle`] decides about a retry.
    pub async fn deliver(&self, opened: &Opened<'_>, task: &DeliveryTask) -> Delivery {
        let (webhook, secrets) = (opened.webhook(), opened.secrets());
        let mut request = self.request(webhook, secrets, task);
        let Answer { outcome, duration } = self.post(webhook, &request).await;
        // Decisions use the complete response; encrypted headers are redacted from everything that is stored or shown.
        let encrypted = &secrets.encrypted_headers;
        let failure = failure_of(&outcome, encrypted);
        let retry_after = outcome.as_ref().ok().and_then(|received| retry_after(received, self.clock));
        let mut response = outcome.ok().map(|received| received.kept);
        redact::request(&mut request, encrypted);
        if let Some(response) = &mut response {
            redact::response(response, encrypted);
        }
        Delivery { retry_after, ..row(task, request, failure, duration, response) }
    }

    /// Posts the request. Retries once, immediately and over a new connection, if the connection failed fast and before any byte of a
    /// response: the server restarted, or closed an idle connection while it was reused.
    async fn post(&self, webhook: &Webhook, request: &SentRequest) -> Answer {
        let url = webhook.spec.url.as_url();
        if let Err(refused) = self.own_hosts.check(url) {
            let failure = Failure { kind: FailureKind::Blocked, message: format!("not sent: {refused}") };
            return Answer { outcome: Err(failure), duration: Duration::ZERO };
        }
        let first = self.egress.post(url, &request.headers, request.body.clone(), Reuse::Allowed).await;
        let connection_failed = first.outcome.as_ref().is_err_and(|f| f.kind == FailureKind::Connect);
        if !connection_failed || first.duration >= INSTANT {
            return first;
        }
        let mut second = self.egress.post(url, &request.headers, request.body.clone(), Reuse::No).await;
        second.duration += first.duration;
        if let Err(failure) = &mut second.outcome {
            failure.message.push_str(" (tried twice)");
        }
        second
    }

    /// Returns the history row of a delivery that is skipped because its webhook is disabled. Nothing is sent, so nothing is signed.
    #[must_use]
    pub fn skip_disabled(&self, webhook: &Webhook, task: &DeliveryTask) -> Delivery {
        let mut request = self.request(webhook, &Secrets::default(), task);
        request.headers.extend(redact::omitted(webhook.encrypted_header_names()));
        let message = "not sent: the webhook was disabled before this attempt".to_owned();
        row(task, request, Some((FailureKind::Disabled, message)), Duration::ZERO, None)
    }

    /// Builds the request as sent, with encrypted headers in plaintext: the body in the webhook's format, Anzol's headers, then the
    /// webhook's custom headers.
    fn request(&self, webhook: &Webhook, secrets: &Secrets, task: &DeliveryTask) -> SentRequest {
        let body = task.event.outgoing(webhook.spec.cloud_events);
        let message_id = signing::message_id(&task.tenant_id, task.webhook_id, &task.event);
        let now = (self.clock)();
        let timestamp = now.unix_timestamp();
        let mut headers = vec![
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("User-Agent".to_owned(), self.headers.user_agent().to_owned()),
            (signing::WEBHOOK_ID.to_owned(), message_id.clone()),
            (signing::WEBHOOK_TIMESTAMP.to_owned(), timestamp.to_string()),
        ];
        if let Some(secret) = &secrets.secret {
            let bytes = body.as_bytes();
            let standard = signing::standard_signature(secrets.signing(now), &message_id, timestamp, bytes);
            headers.push((self.headers.signature().to_owned(), signing::qlik_signature(secret, bytes)));
            headers.push((signing::WEBHOOK_SIGNATURE.to_owned(), standard));
        }
        headers.extend(trace_headers(webhook, secrets, task));
        let own = webhook.spec.headers.iter().chain(secrets.encrypted_headers.expose());
        let own = own.filter(|(name, _)| !name.eq_ignore_ascii_case(self.headers.signature()));
        headers.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        SentRequest { url: webhook.spec.url.to_string(), headers, body }
    }
}

/// Returns the trace headers, with this attempt as the parent. Custom headers of a webhook take precedence: without Anzol's `traceparent`,
/// its `tracestate` has no meaning and is not sent.
fn trace_headers(webhook: &Webhook, secrets: &Secrets, task: &DeliveryTask) -> Vec<(String, String)> {
    let own = |name: &str| {
        let plain = webhook.spec.headers.iter().map(|(name, _)| name);
        plain.chain(secrets.encrypted_headers.names()).any(|own| own.eq_ignore_ascii_case(name))
    };
    if own(TRACEPARENT) {
        return Vec::new();
    }
    let trace = task.trace().calling(task.delivery_id);
    let state = trace.tracestate().filter(|_| !own(TRACESTATE));
    let state = state.map(|state| (TRACESTATE.to_owned(), state.to_owned()));
    [(TRACEPARENT.to_owned(), trace.traceparent().to_owned())].into_iter().chain(state).collect()
}

/// Returns why an attempt failed, with a message for the history, or `None` for a success: any 2xx status, even if the body cannot be read.
/// Our choice; the contract does not define success. Messages do not quote `encrypted` headers.
fn failure_of(
    outcome: &Result<HttpResponse, Failure>,
    encrypted: &EncryptedHeaders,
) -> Option<(FailureKind, String)> {
    let received = match outcome {
        Ok(received) => received,
        Err(failure) => {
            let mut message = failure.message.clone();
            redact::message(&mut message, encrypted);
            return Some((failure.kind, message));
        }
    };
    let status = received.kept.status_code;
    if (200..300).contains(&status) {
        return None;
    }
    match received.headers.get(LOCATION).filter(|_| REDIRECTS.contains(&status)) {
        None => Some((FailureKind::HttpStatus, format!("the receiver answered {status}"))),
        Some(target) => {
            let mut whole = String::from_utf8_lossy(target.as_bytes()).into_owned();
            redact::value(&mut whole, encrypted);
            let target: String = whole.chars().take(MAX_TARGET).collect();
            let message =
                format!("the receiver answered {status}, a redirect to {target}; redirects are not followed");
            Some((FailureKind::Redirect, message))
        }
    }
}

/// Returns the wait that the receiver requests: the first valid `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(received: &HttpResponse, clock: impl Fn() -> OffsetDateTime) -> Option<Duration> {
    if !WITH_RETRY_AFTER.contains(&received.kept.status_code) {
        return None;
    }
    let read = |value: &HeaderValue| {
        let value = value.to_str().ok()?.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number that is too large for the type becomes the type's maximum.
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
        }
        let date: OffsetDateTime = httpdate::parse_http_date(value).ok()?.into();
        Duration::try_from(date - clock()).ok()
    };
    received.headers.get_all(RETRY_AFTER).iter().find_map(read)
}

fn row(
    task: &DeliveryTask,
    request: SentRequest,
    failure: Option<(FailureKind, String)>,
    duration: Duration,
    response: Option<ReceivedResponse>,
) -> Delivery {
    let (failure, status_message) = failure.unzip();
    Delivery {
        id: task.delivery_id,
        tenant_id: task.tenant_id.clone(),
        webhook_id: task.webhook_id,
        event_type: task.event.event_type().to_owned(),
        status: if failure.is_some() { Status::Fail } else { Status::Success },
        failure,
        status_message,
        attempt: task.attempt,
        trigger: task.trigger,
        duration_ms: u32::try_from(duration.as_millis()).unwrap_or(u32::MAX),
        next_attempt: None,
        retry_after: None,
        request,
        response,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use time::macros::datetime;

    use super::*;

    fn received(status_code: u16, headers: &[(&'static str, &str)]) -> HttpResponse {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let kept = ReceivedResponse {
            status_code,
            headers: Vec::new(),
            headers_cut: false,
            body: String::new(),
            body_cut: false,
            body_error: None,
        };
        HttpResponse { headers, kept }
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_date() {
        let now = datetime!(2026-11-24 10:00 UTC);
        let asked = |status, value: &str| {
            retry_after(&received(status, &[("retry-after", value)]), || now).map(|wait| wait.as_secs())
        };
        assert_eq!(asked(429, "120"), Some(120));
        assert_eq!(asked(503, " 0 "), Some(0));
        assert_eq!(asked(503, "Tue, 24 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(asked(503, "Tue, 24 Nov 2026 09:00:00 GMT"), None, "the date has passed");
        assert_eq!(asked(500, "120"), None);
        assert_eq!(asked(429, "99999999999999999999999"), Some(u64::MAX));
        for nonsense in ["soon", "-5", "1.5", ""] {
            assert_eq!(asked(429, nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn k10_redirect_status_needs_a_location() {
        let failure = |status, headers: &[(&'static str, &str)]| {
            failure_of(&Ok(received(status, headers)), &EncryptedHeaders::default())
        };
        let to = [("location", "https://elsewhere.example/")];
        for status in 300..400 {
            let redirect = [301, 302, 303, 307, 308].contains(&status);
            let (kind, message) = failure(status, &to).unwrap();
            assert_eq!(kind == FailureKind::Redirect, redirect, "{status}");
            assert_eq!(kind == FailureKind::HttpStatus, !redirect, "{status}");
            assert_eq!(message.contains("https://elsewhere.example/"), redirect, "{message}");
            let without = (FailureKind::HttpStatus, format!("the receiver answered {status}"));
            assert_eq!(failure(status, &[]), Some(without));
        }
    }
}
