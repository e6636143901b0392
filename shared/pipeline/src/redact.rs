//! Keeps the values of encrypted headers out of the history: in what was sent, and where the receiver echoes them.

use anzol_domain::EncryptedHeaders;
use anzol_domain::delivery::{ReceivedResponse, SentRequest};

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

/// Takes the values out of an answer's headers and body.
pub(crate) fn response(response: &mut ReceivedResponse, encrypted: &EncryptedHeaders) {
    for (_, secret) in encrypted.expose() {
        for (_, value) in &mut response.headers {
            if value == secret && !secret.is_empty() {
                OMITTED.clone_into(value);
            }
            omit(value, secret);
        }
        omit(&mut response.body, secret);
    }
}

fn omit(text: &mut String, secret: &str) {
    if secret.len() >= SHORTEST_ECHO && text.contains(secret) {
        *text = text.replace(secret, OMITTED);
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
        };
        response(&mut received, &encrypted);
        assert_eq!(
            received.headers,
            pairs(&[("x-echo", "got **OMITTED**!"), ("x-pin", OMITTED), ("content-length", "11")])
        );
        assert_eq!(received.body, r#"{"authorization":"**OMITTED**","count":1}"#);
    }
}
