//! Task → signed POST → what happened.

use std::time::Duration;

use anzol_domain::delivery::{ReceivedResponse, SentRequest};
use anzol_domain::headers::{HeaderName, HeaderText};
use anzol_domain::trace::{TRACEPARENT, TRACESTATE};
use anzol_domain::{Clock, Delivery, DeliveryTask, FailureKind, Secrets, Status, Webhook};
use anzol_egress::{Answer, Egress, Failure};
use anzol_signing as signing;
use anzol_vault::Opened;

use crate::redact;

/// What Qlik's own sender calls itself; receivers compare it (contract section 3.1).
pub const USER_AGENT: &str = "Qlik Webhook";

/// What the deployment calls itself and its signature; by default as Qlik does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Value of `User-Agent`; [`USER_AGENT`] when there is none.
    pub user_agent: Option<HeaderText>,
    /// Name of the header with the signature; [`signing::QLIK_SIGNATURE`] when there is none. A webhook's own header of that name is
    /// not sent.
    pub signature: Option<HeaderName>,
}

impl Names {
    fn user_agent(&self) -> &str {
        self.user_agent.as_ref().map_or(USER_AGENT, HeaderText::as_str)
    }

    fn signature(&self) -> &str {
        self.signature.as_ref().map_or(signing::QLIK_SIGNATURE, HeaderName::as_str)
    }
}

/// A connection that fails within this time is tried once more, at once.
const INSTANT: Duration = Duration::from_secs(1);

/// Characters of a redirect's target that a message shows.
const MAX_TARGET: usize = 500;

/// Sends what webhooks are owed.
#[derive(Debug, Clone)]
pub struct Deliverer {
    egress: Egress,
    names: Names,
    clock: Clock,
}

impl Deliverer {
    /// A deliverer that sends through `egress`.
    #[must_use]
    pub fn new(egress: Egress, clock: Clock) -> Self {
        Self { egress, names: Names::default(), clock }
    }

    /// The same, under other names.
    #[must_use]
    pub fn with_names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// The longest an attempt can take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.egress.timeout() + INSTANT
    }

    /// Makes the attempt. Whatever the receiver does, the answer is a history row; when to try again is for [`crate::settle`].
    pub async fn deliver(&self, opened: &Opened<'_>, task: &DeliveryTask) -> Delivery {
        let (webhook, secrets) = (opened.webhook(), opened.secrets());
        let mut request = self.request(webhook, secrets, task);
        let Answer { mut outcome, duration } = self.post(webhook, &request).await;
        // Before anything is made of them: messages may quote an answer.
        let encrypted = &secrets.encrypted_headers;
        redact::request(&mut request, encrypted);
        match &mut outcome {
            Ok(response) => redact::response(response, encrypted),
            Err(failure) => redact::message(&mut failure.message, encrypted),
        }
        row(task, request, judge(&outcome), duration, outcome.ok())
    }

    /// Posts; and once more, at once, when no connection came about and that took no time: a server that restarts, or one that closed a
    /// connection just as we used it. The receiver has answered nothing by then.
    async fn post(&self, webhook: &Webhook, request: &SentRequest) -> Answer {
        let url = webhook.spec.url.as_url();
        let first = self.egress.post(url, &request.headers, request.body.clone()).await;
        let connection_failed = first.outcome.as_ref().is_err_and(|f| f.kind == FailureKind::Connect);
        if !connection_failed || first.duration >= INSTANT {
            return first;
        }
        let mut second = self.egress.post(url, &request.headers, request.body.clone()).await;
        second.duration += first.duration;
        if let Err(failure) = &mut second.outcome {
            failure.message.push_str(" (tried twice)");
        }
        second
    }

    /// The row of an attempt whose turn came after its webhook was disabled: nothing is sent, so nothing is opened and signed.
    #[must_use]
    pub fn skip_disabled(&self, webhook: &Webhook, task: &DeliveryTask) -> Delivery {
        let mut request = self.request(webhook, &Secrets::default(), task);
        request.headers.extend(redact::omitted(webhook.encrypted_header_names()));
        let message = "not sent: the webhook was disabled before this delivery's turn came".to_owned();
        row(task, request, Some((FailureKind::Disabled, message)), Duration::ZERO, None)
    }

    /// The request as it goes out, encrypted headers in plain: the body in the form the webhook asked for, our headers, then
    /// the webhook's own.
    fn request(&self, webhook: &Webhook, secrets: &Secrets, task: &DeliveryTask) -> SentRequest {
        let body = task.event.payload(webhook.spec.cloud_events);
        let message_id = signing::message_id(&task.tenant_id, task.webhook_id, &task.event);
        let now = (self.clock)();
        let timestamp = now.unix_timestamp();
        let mut headers = vec![
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("User-Agent".to_owned(), self.names.user_agent().to_owned()),
            (signing::WEBHOOK_ID.to_owned(), message_id.clone()),
            (signing::WEBHOOK_TIMESTAMP.to_owned(), timestamp.to_string()),
        ];
        if let Some(secret) = &secrets.secret {
            let bytes = body.as_bytes();
            let standard = signing::standard_signature(secrets.signing(now), &message_id, timestamp, bytes);
            headers.push((self.names.signature().to_owned(), signing::qlik_signature(secret, bytes)));
            headers.push((signing::WEBHOOK_SIGNATURE.to_owned(), standard));
        }
        headers.extend(trace_headers(webhook, secrets, task));
        let own = webhook.spec.headers.iter().chain(secrets.encrypted_headers.expose());
        let own = own.filter(|(name, _)| !name.eq_ignore_ascii_case(self.names.signature()));
        headers.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        SentRequest { url: webhook.spec.url.to_string(), headers, body }
    }
}

/// The trace, with this attempt as the caller. A webhook that sets these headers itself keeps its own: `tracestate` means nothing beside
/// another `traceparent`.
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

/// Judges what came back. Success is 2xx; our choice, the contract does not say.
fn judge(outcome: &Result<ReceivedResponse, Failure>) -> Option<(FailureKind, String)> {
    let response = match outcome {
        Ok(response) if (200..300).contains(&response.status_code) => return None,
        Ok(response) => response,
        Err(failure) => return Some((failure.kind, failure.message.clone())),
    };
    let status = response.status_code;
    if !(300..400).contains(&status) {
        return Some((FailureKind::HttpStatus, format!("the receiver answered {status}")));
    }
    let target = response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
    let target: String = target.map_or("nowhere", |(_, target)| target).chars().take(MAX_TARGET).collect();
    let message =
        format!("the receiver answered {status}, a redirect to {target}; redirects are not followed");
    Some((FailureKind::Redirect, message))
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
        request,
        response,
    }
}
