//! Keeps the values of encrypted headers out of the history: in what was sent, and where the receiver echoes them.

use anzol_domain::EncryptedHeaders;
use anzol_domain::delivery::{ReceivedResponse, SentRequest};
use zeroize::Zeroizing;

/// What stands in the place of a value (contract section 2.3).
const OMITTED: &str = "**OMITTED**";

/// Shortest value that is looked for inside other text. Shorter ones are no secrets, and would leave their mark all over an answer.
const SHORTEST_ECHO: usize = 8;

/// Takes the values out of the headers that were sent.
pub(crate) fn request(request: &mut SentRequest, encrypted: &EncryptedHeaders) {
    for (name, value) in &mut request.headers {
        if encrypted.names().any(|secret| secret == name) {
            OMITTED.clone_into(value);
        }
    }
}

/// Headers of these names as history shows them.
pub(crate) fn omitted<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (String, String)> {
    names.map(|name| (name.to_owned(), OMITTED.to_owned()))
}

/// Takes the values out of an answer's headers and body.
pub(crate) fn response(response: &mut ReceivedResponse, encrypted: &EncryptedHeaders) {
    for (_, value) in &mut response.headers {
        if encrypted.expose().any(|(_, secret)| value == secret && !secret.is_empty()) {
            OMITTED.clone_into(value);
        }
    }
    for secret in spellings(encrypted) {
        for (_, value) in &mut response.headers {
            omit(value, &secret);
        }
        omit(&mut response.body, &secret);
        if response.body_cut {
            cut_short(&mut response.body, &secret);
        }
    }
}

/// Takes the values out of a text that may quote an answer.
pub(crate) fn text(text: &mut String, encrypted: &EncryptedHeaders) {
    for secret in spellings(encrypted) {
        omit(text, &secret);
    }
}

/// The values as an echo may have them: as they are, and as JSON strings spell them, some with every slash escaped. Longest first, so
/// that one which is part of another leaves nothing of that.
fn spellings(encrypted: &EncryptedHeaders) -> Vec<Zeroizing<String>> {
    let values = encrypted.expose().map(|(_, value)| value).filter(|value| value.len() >= SHORTEST_ECHO);
    let all = values.flat_map(|value| {
        let json = value.replace('\\', r"\\").replace('"', r#"\""#);
        let slashes = json.replace('/', r"\/");
        [value.to_owned(), json, slashes]
    });
    let mut all: Vec<_> = all.map(Zeroizing::new).collect();
    all.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
    all.dedup();
    all
}

fn omit(text: &mut String, secret: &str) {
    if text.contains(secret) {
        *text = text.replace(secret, OMITTED);
    }
}

/// Takes away the beginning of a value that a cut-off body ends with.
fn cut_short(body: &mut String, secret: &str) {
    let beginnings = secret.char_indices().map(|(end, _)| secret.get(..end).unwrap_or_default()).rev();
    let longest =
        beginnings.filter(|start| start.len() >= SHORTEST_ECHO / 2).find(|start| body.ends_with(start));
    if let Some(rest) = longest.and_then(|start| body.strip_suffix(start)) {
        *body = format!("{rest}{OMITTED}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_gone_wherever_they_were() {
        let values = [("Authorization", "Bearer 0123456789"), ("X-Pin", "1")];
        let encrypted =
            EncryptedHeaders::parse(values.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
                .unwrap();
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut sent = SentRequest {
            url: "https://a.example".to_owned(),
            headers: pairs(&[("Authorization", "Bearer 0123456789"), ("X-Pin", "1"), ("X-Plain", "1")]),
            body: "{}".to_owned(),
        };
        request(&mut sent, &encrypted);
        assert_eq!(sent.headers, pairs(&[("Authorization", OMITTED), ("X-Pin", OMITTED), ("X-Plain", "1")]));
        let mut received = ReceivedResponse {
            status_code: 400,
            headers: pairs(&[("x-echo", "got Bearer 0123456789!"), ("x-pin", "1"), ("content-length", "11")]),
            body: r#"{"authorization":"Bearer 0123456789","count":1}"#.to_owned(),
            body_cut: false,
            headers_cut: false,
            body_error: None,
        };
        response(&mut received, &encrypted);
        assert_eq!(
            received.headers,
            pairs(&[("x-echo", "got **OMITTED**!"), ("x-pin", OMITTED), ("content-length", "11")])
        );
        assert_eq!(received.body, r#"{"authorization":"**OMITTED**","count":1}"#);
    }

    #[test]
    fn nothing_of_a_value_is_left_by_overlap_by_escapes_or_by_the_cut() {
        let values = [("A-User", "robot-user"), ("B-Auth", "robot-user:hunter2/se\"cret")];
        let encrypted =
            EncryptedHeaders::parse(values.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
                .unwrap();
        for (body, cut, left) in [
            ("robot-user:hunter2/se\"cret", false, OMITTED),
            (r#"{"b":"robot-user:hunter2/se\"cret"}"#, false, r#"{"b":"**OMITTED**"}"#),
            (r#"{"b":"robot-user:hunter2\/se\"cret"}"#, false, r#"{"b":"**OMITTED**"}"#),
            ("x robot-u", true, "x **OMITTED**"),
            ("x robot-user:hunter2/s", true, "x **OMITTED**"),
            ("x robot-u", false, "x robot-u"),
            ("nothing here", true, "nothing here"),
        ] {
            let mut received = ReceivedResponse {
                status_code: 200,
                headers: Vec::new(),
                body: body.to_owned(),
                body_cut: cut,
                headers_cut: false,
                body_error: None,
            };
            response(&mut received, &encrypted);
            assert!(!received.body.contains("hunter"), "{}", received.body);
            assert!(received.body == left || received.body.starts_with(left), "{body}: {}", received.body);
        }
    }
}
