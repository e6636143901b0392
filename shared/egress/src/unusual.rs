//! Answers that hyper refuses: read as browsers and curl read them where that is possible, else put into words.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use anzol_domain::FailureKind;

use crate::error::Failure;
use crate::tap::MOST_KEPT;

/// Most headers of such an answer. Our choice: as many as the bytes that are kept of it can hold and a map of headers takes.
const MAX_HEADERS: usize = 16_384;

/// Bytes before the status line that are passed over: a byte order mark, or the end of an earlier answer. As Chromium does.
const SLOP: usize = 4;

/// Characters shown of what is no HTTP.
const MOST_SHOWN: usize = 40;

/// The head of an answer, and where its body begins.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body_at: usize,
}

/// Reads the head of what came, if it is whole and can be understood at all. Heads that only announce it (1xx) are passed over.
pub(crate) fn head(came: &[u8]) -> Option<Head> {
    let mut at = 0;
    loop {
        let head = first_head(came.get(at..)?)?;
        at += head.body_at;
        if !is_interim(head.status) {
            return Some(Head { body_at: at, ..head });
        }
    }
}

/// Whether another head follows (RFC 9110, section 15.2); not after 101, where another protocol does.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

fn first_head(came: &[u8]) -> Option<Head> {
    let start = came.windows(7).take(SLOP + 1).position(|bytes| bytes == b"HTTP/1.")?;
    let mut bytes = came.get(start..)?.to_vec();
    // Any minor version is HTTP/1.1 to its reader (RFC 9110, section 2.5).
    if let Some(minor) = bytes.get_mut(7).filter(|minor| minor.is_ascii_digit()) {
        *minor = b'1';
    }
    mend(&mut bytes);
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
        // A value folded over lines is one line, as hyper has it too.
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

/// Replaces what may not stand in a head, and does harm to nobody, by spaces: NUL, and a CR that ends no line.
fn mend(bytes: &mut [u8]) {
    for at in 0..bytes.len() {
        let lone = bytes.get(at) == Some(&b'\r') && bytes.get(at + 1).is_some_and(|next| *next != b'\n');
        if let Some(byte) = bytes.get_mut(at)
            && (*byte == 0 || lone)
        {
            *byte = b' ';
        }
    }
}

/// Why what came is no answer.
pub(crate) fn failure(mut came: &[u8]) -> Failure {
    if came.len() >= MOST_KEPT {
        let message =
            format!("the answer is not HTTP/1.1: its headers do not end within {} KB", MOST_KEPT / 1024);
        return Failure::new(FailureKind::Protocol, message);
    }
    while let Some(interim) = first_head(came).filter(|head| is_interim(head.status)) {
        came = came.get(interim.body_at..).unwrap_or_default();
    }
    if came.is_empty() {
        let message = "the answer broke off before its status: the receiver closed the connection";
        return Failure::new(FailureKind::Body, message);
    }
    let is_head = came.starts_with(b"HTTP/1.");
    if is_head && !came.windows(4).any(|end| end == b"\r\n\r\n") && !came.windows(2).any(|end| end == b"\n\n")
    {
        let message = "the answer broke off within its headers: the receiver closed the connection";
        return Failure::new(FailureKind::Body, message);
    }
    let message = if is_head {
        "the answer is not HTTP/1.1: its headers cannot be read; check what the receiver, or a proxy before it, writes".to_owned()
    } else if came.starts_with(b"HTTP/") {
        format!("the answer is not HTTP/1.1, but another version: it begins with {}", shown(came))
    } else if is_http2(came) {
        "the answer is not HTTP/1.1, but HTTP/2, which has to be agreed on first (ALPN)".to_owned()
    } else {
        format!(
            "the answer is not HTTP/1.1: it begins with {}; is this the port of a web server?",
            shown(came)
        )
    };
    Failure::new(FailureKind::Protocol, message)
}

/// Whether it is what a server of HTTP/2 says first: a frame of settings for the whole connection (RFC 9113, sections 3.4 and 4.1).
fn is_http2(came: &[u8]) -> bool {
    matches!(came, [0, _, _, 4, 0 | 1, 0, 0, 0, 0, ..])
}

/// The beginning of a text of unknown kind.
fn shown(came: &[u8]) -> String {
    let text = String::from_utf8_lossy(came.get(..4 * MOST_SHOWN).unwrap_or(came));
    let text: String = text.chars().take(MOST_SHOWN).collect();
    format!("\"{}\"", text.escape_debug())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn k2_heads_that_browsers_take_are_read() {
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
    fn k2_what_is_no_answer_is_put_into_words() {
        for (came, kind, says) in [
            ("SSH-2.0-OpenSSH_9.2\r\n", FailureKind::Protocol, "begins with \"SSH-2.0"),
            ("220 mail.example ESMTP\r\n", FailureKind::Protocol, "not HTTP/1.1"),
            ("<html>hello</html>", FailureKind::Protocol, "not HTTP/1.1"),
            ("HTTP/2 200 OK\r\n\r\n", FailureKind::Protocol, "another version"),
            ("\0\0\u{12}\u{4}\0\0\0\0\0\0\u{3}", FailureKind::Protocol, "HTTP/2"),
            ("HTTP/1.1 abc OK\r\n\r\n", FailureKind::Protocol, "cannot be read"),
            ("HTTP/1.1 200 OK\r\nA: ", FailureKind::Body, "broke off"),
            ("HTTP/1.1 100 Continue\r\n\r\n", FailureKind::Body, "broke off"),
            ("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 2", FailureKind::Body, "broke off"),
            ("HTTP/1.1 103 Early\r\n\r\nhello", FailureKind::Protocol, "begins with \"hello\""),
        ] {
            assert!(head(came.as_bytes()).is_none(), "{came}");
            let failure = failure(came.as_bytes());
            assert!(failure.kind == kind && failure.message.contains(says), "{came}: {failure:?}");
        }
    }

    proptest! {
        #[test]
        fn k2_no_bytes_break_the_reader(bytes: Vec<u8>, line in "HTTP/1\\.[0-9] ?[0-9]{0,4} ?[ -~]{0,20}(\r\n|\n)?") {
            let mut came = line.into_bytes();
            came.extend(bytes);
            if let Some(head) = head(&came) {
                prop_assert!(head.body_at <= came.len());
            }
            prop_assert!(failure(&came).message.len() < 1000);
        }
    }
}
