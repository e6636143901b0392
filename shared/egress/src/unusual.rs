//! Parses responses that hyper rejects, as leniently as browsers and curl, or describes what is wrong with them.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use anzol_domain::FailureKind;

use crate::error::Failure;
use crate::tap::MAX_KEPT;

/// Maximum number of headers. Our choice: as many as fit into the kept bytes and into a header map.
const MAX_HEADERS: usize = 16_384;

/// Maximum number of bytes skipped before the status line, such as a byte order mark or the end of an earlier response. As in Chromium.
const SLOP: usize = 4;

/// Maximum number of characters shown of a response that is not HTTP.
const MAX_SHOWN: usize = 40;

/// The head of a response, and the position of its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body_at: usize,
}

/// Parses the head of a response, if it is complete and valid. Skips interim responses (1xx).
pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let mut at = 0;
    loop {
        let head = first_head(bytes.get(at..)?)?;
        at += head.body_at;
        if !is_interim(head.status) {
            return Some(Head { body_at: at, ..head });
        }
    }
}

/// Returns whether another head follows this status (RFC 9110, section 15.2). After 101, another protocol follows.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

fn first_head(received: &[u8]) -> Option<Head> {
    let start = received.windows(7).take(SLOP + 1).position(|bytes| bytes == b"HTTP/1.")?;
    let mut bytes = received.get(start..)?.to_vec();
    // Every minor version is read as HTTP/1.1 (RFC 9110, section 2.5).
    if let Some(minor) = bytes.get_mut(7).filter(|minor| minor.is_ascii_digit()) {
        *minor = b'1';
    }
    replace_control_bytes(&mut bytes);
    let mut headers = vec![httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let mut config = httparse::ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_space_before_first_header_name(true)
        .ignore_invalid_headers_in_responses(true);
    let httparse::Status::Complete(length) = config.parse_response(&mut response, &bytes).ok()? else {
        return None;
    };
    let mut map = HeaderMap::new();
    for header in response.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        // Unfolds a value, like hyper.
        let value: Vec<u8> = header
            .value
            .iter()
            .map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte })
            .collect();
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) {
            map.try_append(name, value).ok()?;
        }
    }
    Some(Head { status: StatusCode::from_u16(response.code?).ok()?, headers: map, body_at: start + length })
}

/// Replaces bytes that are invalid but harmless in a head with spaces: NUL, and a CR that does not end a line.
fn replace_control_bytes(bytes: &mut [u8]) {
    for at in 0..bytes.len() {
        let lone = bytes.get(at) == Some(&b'\r') && bytes.get(at + 1).is_some_and(|next| *next != b'\n');
        if let Some(byte) = bytes.get_mut(at)
            && (*byte == 0 || lone)
        {
            *byte = b' ';
        }
    }
}

/// Describes why the received bytes are not a response.
pub(crate) fn failure(mut bytes: &[u8]) -> Failure {
    if bytes.len() >= MAX_KEPT {
        let message =
            format!("the response is not HTTP/1.1: its headers are longer than {} KB", MAX_KEPT / 1024);
        return Failure::new(FailureKind::Protocol, message);
    }
    while let Some(interim) = first_head(bytes).filter(|head| is_interim(head.status)) {
        bytes = bytes.get(interim.body_at..).unwrap_or_default();
    }
    if bytes.is_empty() {
        let message = "the receiver closed the connection before the status of the response";
        return Failure::new(FailureKind::Body, message);
    }
    let is_head = bytes.starts_with(b"HTTP/1.");
    if is_head
        && !bytes.windows(4).any(|end| end == b"\r\n\r\n")
        && !bytes.windows(2).any(|end| end == b"\n\n")
    {
        let message = "the receiver closed the connection within the headers of the response";
        return Failure::new(FailureKind::Body, message);
    }
    let message = if is_head {
        "the response is not HTTP/1.1: its headers cannot be read; check the receiver and any proxy before it"
            .to_owned()
    } else if bytes.starts_with(b"HTTP/") {
        format!("the response is not HTTP/1.1 but another version: it starts with {}", shown(bytes))
    } else if is_http2(bytes) {
        "the response is not HTTP/1.1 but HTTP/2, which requires negotiation (ALPN)".to_owned()
    } else {
        format!(
            "the response is not HTTP/1.1: it starts with {}; is this the port of a web server?",
            shown(bytes)
        )
    };
    Failure::new(FailureKind::Protocol, message)
}

/// Returns whether the bytes start with an HTTP/2 SETTINGS frame (RFC 9113, sections 3.4 and 4.1).
fn is_http2(bytes: &[u8]) -> bool {
    matches!(bytes, [0, _, _, 4, 0 | 1, 0, 0, 0, 0, ..])
}

/// Returns the start of the bytes as a quoted text.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..4 * MAX_SHOWN).unwrap_or(bytes));
    let text: String = text.chars().take(MAX_SHOWN).collect();
    format!("\"{}\"", text.escape_debug())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn k2_heads_that_browsers_accept_are_parsed() {
        let many = (0..5_000).map(|n| format!("x-{n}: {n}\r\n")).collect::<Vec<_>>().concat();
        for (came, status, header) in [
            ("HTTP/1.1  204  No Content\r\nA: 1\r\n\r\n".to_owned(), 204, ("a", "1")),
            ("\u{feff}HTTP/1.1 200 OK\r\nA: 1\r\n\r\n".to_owned(), 200, ("a", "1")),
            ("HTTP/1.7 410 Gone\r\nA: 1\r\n\r\n".to_owned(), 410, ("a", "1")),
            ("HTTP/1.1 200 OK\r\nA: 1\0 2\r\nB: 3\r4\r\n\r\n".to_owned(), 200, ("b", "3 4")),
            (
                "HTTP/1.1 429 Slow\r\nContent-Length: x\r\nRetry-After: 600\r\n\r\nok".to_owned(),
                429,
                ("retry-after", "600"),
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: 0\r\n\r\nHTTP/1.1 201 Created\r\nA: 1\r\n\r\nok".to_owned(),
                201,
                ("a", "1"),
            ),
            ("HTTP/1.1  302 F\r\nLocation: https://x\r\n /y\r\n\r\n".to_owned(), 302, ("location", "https://x   /y")),
            ("HTTP/1.1 200 OK\r\n X: 0\r\nno colon\r\nA: 1\r\n\r\n".to_owned(), 200, ("a", "1")),
            (format!("HTTP/1.1 200 OK\r\n{many}\r\n"), 200, ("x-4999", "4999")),
        ] {
            let head = head(came.as_bytes()).unwrap_or_else(|| panic!("{came:.60}"));
            assert_eq!(head.status.as_u16(), status);
            assert_eq!(head.headers.get(header.0).unwrap(), header.1);
            let body = &came.as_bytes()[head.body_at..];
            assert!(body.is_empty() || body == b"ok");
        }
    }

    #[test]
    fn k2_bytes_that_are_not_a_response_are_described() {
        for (came, kind, says) in [
            ("SSH-2.0-OpenSSH_9.2\r\n", FailureKind::Protocol, "starts with \"SSH-2.0"),
            ("220 mail.example ESMTP\r\n", FailureKind::Protocol, "not HTTP/1.1"),
            ("<html>hello</html>", FailureKind::Protocol, "not HTTP/1.1"),
            ("HTTP/2 200 OK\r\n\r\n", FailureKind::Protocol, "another version"),
            ("\0\0\u{12}\u{4}\0\0\0\0\0\0\u{3}", FailureKind::Protocol, "HTTP/2"),
            ("HTTP/1.1 abc OK\r\n\r\n", FailureKind::Protocol, "cannot be read"),
            ("HTTP/1.1 200 OK\r\nA: ", FailureKind::Body, "closed the connection"),
            ("HTTP/1.1 100 Continue\r\n\r\n", FailureKind::Body, "closed the connection"),
            ("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 2", FailureKind::Body, "closed the connection"),
            ("HTTP/1.1 103 Early\r\n\r\nhello", FailureKind::Protocol, "starts with \"hello\""),
        ] {
            assert!(head(came.as_bytes()).is_none(), "{came}");
            let failure = failure(came.as_bytes());
            assert!(failure.kind == kind && failure.message.contains(says), "{came}: {failure:?}");
        }
    }

    proptest! {
        #[test]
        fn k2_any_bytes_parse_without_panic(bytes: Vec<u8>, line in "HTTP/1\\.[0-9] ?[0-9]{0,4} ?[ -~]{0,20}(\r\n|\n)?") {
            let mut came = line.into_bytes();
            came.extend(bytes);
            if let Some(head) = head(&came) {
                prop_assert!(head.body_at <= came.len());
            }
            prop_assert!(failure(&came).message.len() < 1000);
        }
    }
}
