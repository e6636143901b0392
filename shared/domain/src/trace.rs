//! W3C trace context: correlates everything that follows from one request (<https://www.w3.org/TR/trace-context/>).

use std::ops::Range;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::id::DeliveryId;

/// Name of the header, message attribute and `CloudEvents` attribute with the trace id and the parent span.
pub const TRACEPARENT: &str = "traceparent";
/// Name of the header, message attribute and `CloudEvents` attribute with vendor-specific data.
pub const TRACESTATE: &str = "tracestate";

/// Maximum length of a `tracestate` that is passed on, in bytes: the minimum that the specification requires (section 3.3.1.5).
const MAX_STATE: usize = 512;
/// Length of a `traceparent` of version 00, in characters.
const LENGTH: usize = 55;

/// A trace id with its parent span, as received or as sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire")]
pub struct TraceContext {
    /// A valid `traceparent` of version 00.
    traceparent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
}

#[derive(Deserialize)]
struct Wire {
    traceparent: String,
    tracestate: Option<String>,
}

impl TryFrom<Wire> for TraceContext {
    type Error = &'static str;
    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        Self::parse(&wire.traceparent, wire.tracestate.as_deref()).ok_or("an invalid traceparent")
    }
}

impl TraceContext {
    /// Parses both headers (sections 3.2 and 3.3). Returns `None` if `traceparent` is invalid, and drops a `tracestate` that cannot be
    /// passed on. Uses only the version 00 part of later versions.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let text = traceparent.trim();
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let mut parts = head.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let lengths = [version, trace, parent, flags].map(str::len);
        let is_hex = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let is_zero = |part: &str| part.bytes().all(|b| b == b'0');
        let fine = lengths == [2, 32, 16, 2]
            && [version, trace, parent, flags].into_iter().all(is_hex)
            && !is_zero(trace)
            && !is_zero(parent)
            && version != "ff"
            && (rest.is_empty() || (version != "00" && rest.starts_with('-')));
        if !fine {
            return None;
        }
        let state = tracestate.map(str::trim).filter(|state| {
            (1..=MAX_STATE).contains(&state.len()) && state.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
        });
        let traceparent = format!("00-{trace}-{parent}-{flags}");
        Some(Self { traceparent, tracestate: state.map(str::to_owned) })
    }

    /// Parses the AWS X-Ray header, such as `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1` (X-Ray developer
    /// guide, "Tracing header"). Without a parent, the end of the trace id is the parent span.
    #[must_use]
    pub fn from_xray(header: &str) -> Option<Self> {
        let field = |name: &str| {
            header.split(';').filter_map(|field| field.trim().split_once('=')).find(|(key, _)| *key == name)
        };
        let (_, root) = field("Root")?;
        let trace: String = root.strip_prefix("1-")?.split('-').collect();
        let parent = match field("Parent") {
            Some((_, parent)) => parent,
            None => trace.get(16..)?,
        };
        let flags = if field("Sampled").is_some_and(|(_, sampled)| sampled == "1") { "01" } else { "00" };
        Self::parse(&format!("00-{trace}-{parent}-{flags}"), None)
    }

    /// Starts a new trace. The trace is marked as not sampled, which leaves the decision to record it to the tracing system.
    #[must_use]
    pub fn start(now: OffsetDateTime) -> Self {
        Self::of(DeliveryId::mint(now))
    }

    /// Returns the trace of a delivery without a known trace, derived from the delivery id.
    #[must_use]
    pub fn of(delivery: DeliveryId) -> Self {
        let id = Uuid::from(delivery);
        Self { traceparent: format!("00-{}-{}-00", id.simple(), span(delivery)), tracestate: None }
    }

    /// Returns the trace with a delivery as the parent span, as sent to the receiver.
    #[must_use]
    pub fn calling(&self, delivery: DeliveryId) -> Self {
        let flags = self.part(LENGTH - 2..LENGTH);
        let traceparent = format!("00-{}-{}-{flags}", self.trace_id(), span(delivery));
        Self { traceparent, tracestate: self.tracestate.clone() }
    }

    /// Returns the trace id: 32 lower-case hex digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.part(3..35)
    }

    #[expect(clippy::expect_used, reason = "every constructor makes a traceparent of 55 ASCII characters")]
    fn part(&self, range: Range<usize>) -> &str {
        self.traceparent.get(range).expect("a traceparent of version 00")
    }

    /// Returns the value of `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// Returns the value of `tracestate`, if any.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }
}

/// Returns the span id of a delivery: the second half of the delivery id, so that each can be found from the other. It is never zero in a
/// `UUIDv7`.
fn span(delivery: DeliveryId) -> String {
    format!("{:016x}", Uuid::from(delivery).as_u64_pair().1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn invalid_headers_are_ignored() {
        let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let read = TraceContext::parse(&format!(" {valid} "), Some("congo=t61rcWkgMzE,rojo=1")).unwrap();
        assert_eq!((read.traceparent(), read.trace_id()), (valid.as_str(), TRACE));
        assert_eq!(read.tracestate(), Some("congo=t61rcWkgMzE,rojo=1"));
        let later = TraceContext::parse(&format!("01-{TRACE}-00f067aa0ba902b7-01-what-comes"), None);
        assert_eq!(later.unwrap().traceparent(), valid, "the version 00 part of a later version");
        for wrong in [
            String::new(),
            TRACE.to_owned(),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("01-{TRACE}-00f067aa0ba902b7-01more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-0é"),
            format!("00-{}é-00f067aa0ba902b7-01", &TRACE[..30]),
        ] {
            assert_eq!(TraceContext::parse(&wrong, Some("a=b")), None, "{wrong}");
        }
        for unfit in ["", "a=b\r\nx: y", "é=1", &"a".repeat(513)] {
            assert_eq!(TraceContext::parse(&valid, Some(unfit)).unwrap().tracestate(), None, "{unfit}");
        }
    }

    #[test]
    fn xray_header_is_converted() {
        let read = |header: &str| TraceContext::from_xray(header).map(|read| read.traceparent().to_owned());
        let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
        assert_eq!(
            read(&format!("{root};Parent=53995c3f42cd8ad8;Sampled=1")).unwrap(),
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
        );
        assert_eq!(
            read(&format!("Self=1-1-1; {root}")).unwrap(),
            "00-5759e988bd862e3fe1be46a994272793-e1be46a994272793-00"
        );
        for wrong in
            ["", "Root=", "Root=1-2-3", "Root=2-5759e988-bd862e3fe1be46a994272793", "Parent=53995c3f42cd8ad8"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn delivery_continues_the_events_trace_or_starts_one() {
        let delivery = DeliveryId::lowest_at(OffsetDateTime::UNIX_EPOCH);
        let own = TraceContext::of(delivery);
        assert_eq!(TraceContext::parse(own.traceparent(), None), Some(own.clone()), "{own:?}");
        assert_eq!(own.calling(delivery), own);
        let given = TraceContext::parse(&format!("00-{TRACE}-00f067aa0ba902b7-01"), Some("a=b")).unwrap();
        let sent = given.calling(delivery);
        assert_eq!(sent.traceparent(), format!("00-{TRACE}-8000000000000000-01"));
        assert_eq!(sent.tracestate(), Some("a=b"));
        let json = serde_json::to_string(&given).unwrap();
        assert_eq!(serde_json::from_str::<TraceContext>(&json).unwrap(), given);
        assert!(serde_json::from_str::<TraceContext>(r#"{"traceparent":"x"}"#).is_err());
    }
}
