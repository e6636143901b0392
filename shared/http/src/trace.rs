//! Reads the trace of a request from its headers.

use anzol_domain::TraceContext;
use anzol_domain::trace::{TRACEPARENT, TRACESTATE};
use http::HeaderMap;

/// Returns the trace of a request: the caller's (`traceparent`), or else that of AWS X-Ray (`x-amzn-trace-id`).
#[must_use]
pub fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let given = text(TRACEPARENT).and_then(|parent| TraceContext::parse(parent, text(TRACESTATE)));
    given.or_else(|| text("x-amzn-trace-id").and_then(TraceContext::from_xray))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_trace_has_precedence_over_xray() {
        let mut headers = HeaderMap::new();
        assert_eq!(trace(&headers), None);
        let xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";
        headers.insert("x-amzn-trace-id", xray.parse().unwrap());
        assert_eq!(trace(&headers).unwrap().trace_id(), "5759e988bd862e3fe1be46a994272793");
        headers.insert("traceparent", "nonsense".parse().unwrap());
        assert_eq!(trace(&headers).unwrap().trace_id(), "5759e988bd862e3fe1be46a994272793");
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.insert("traceparent", given.parse().unwrap());
        headers.insert("tracestate", "a=b".parse().unwrap());
        let read = trace(&headers).unwrap();
        assert_eq!((read.traceparent(), read.tracestate()), (given, Some("a=b")));
    }
}
