//! Removes the values of encrypted headers from requests, and from responses that echo them, before they are stored.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anzol_domain::EncryptedHeaders;
use anzol_domain::delivery::{ReceivedResponse, SentRequest};
use zeroize::Zeroizing;

use self::needles::Needles;

mod needles;
mod views;

/// Replaces a value (contract section 2.3).
const OMITTED: &str = "**OMITTED**";

/// Maximum number of nested encodings that are decoded.
const DEEPEST: usize = 3;

/// Maximum number of bytes of decoded views per byte of text. A text that needs more is treated as if it contained a value.
const MAX_VIEWS: usize = 48;

/// Removes the values from the headers of a request.
pub(crate) fn request(request: &mut SentRequest, encrypted: &EncryptedHeaders) {
    for (name, value) in &mut request.headers {
        if encrypted.names().any(|secret| secret == name) {
            OMITTED.clone_into(value);
        }
    }
}

/// Returns headers of these names as the history shows them.
pub(crate) fn omitted<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (String, String)> {
    names.map(|name| (name.to_owned(), OMITTED.to_owned()))
}

/// Redacts a response: replaces the body and each header that may contain a part of a value in any common encoding. Replaces them
/// completely, because the rest may contain more of the value.
pub(crate) fn response(response: &mut ReceivedResponse, encrypted: &EncryptedHeaders) {
    if encrypted.is_empty() {
        return;
    }
    let needles = Needles::new(encrypted.expose().map(|(_, value)| value));
    for (name, value) in &mut response.headers {
        if found(name, &needles) {
            OMITTED.clone_into(name);
            OMITTED.clone_into(value);
        } else if found(value, &needles) {
            OMITTED.clone_into(value);
        }
    }
    // A body can be cut, at its maximum length or by the receiver, so its end can be the start of a value.
    if found_or_started(&response.body, &needles) {
        OMITTED.clone_into(&mut response.body);
    }
}

/// Redacts a failure message. Only the part in quotation marks can come from the response.
pub(crate) fn message(message: &mut String, encrypted: &EncryptedHeaders) {
    if encrypted.is_empty() {
        return;
    }
    let Some((before, rest)) = message.split_once('"') else { return };
    // The quote ends at the last quotation mark, because it can contain others.
    let (quote, after) = rest.rsplit_once('"').unwrap_or((rest, ""));
    if found(quote, &Needles::new(encrypted.expose().map(|(_, value)| value))) {
        *message = format!("{before}\"{OMITTED}\"{after}");
    }
}

/// Redacts a single value of a response.
pub(crate) fn value(value: &mut String, encrypted: &EncryptedHeaders) {
    if !encrypted.is_empty() && found(value, &Needles::new(encrypted.expose().map(|(_, value)| value))) {
        OMITTED.clone_into(value);
    }
}

fn found(text: &str, needles: &Needles) -> bool {
    needles.is_part(text) || any_view(text, |view| needles.are_in(view))
}

fn found_or_started(text: &str, needles: &Needles) -> bool {
    let matches = |view: &[u8]| needles.are_in(view) || needles.start_at_the_end_of(view);
    needles.is_part(text) || any_view(text, matches)
}

/// Returns whether a text or any of its decoded views meets a condition. Returns `true` if there are too many views to decide.
fn any_view(text: &str, matches: impl Fn(&[u8]) -> bool) -> bool {
    if matches(text.as_bytes()) {
        return true;
    }
    let mut seen = HashSet::from([hash(text.as_bytes())]);
    let mut left = text.len().saturating_mul(MAX_VIEWS);
    let mut texts = vec![Zeroizing::new(text.as_bytes().to_vec())];
    for _ in 1..=DEEPEST {
        let mut next = Vec::new();
        for view in texts.iter().flat_map(|text| views::of(text)) {
            if !seen.insert(hash(&view)) {
                continue;
            }
            if matches(&view) {
                return true;
            }
            let Some(rest) = left.checked_sub(view.len()) else { return true };
            left = rest;
            next.push(view);
        }
        texts = next;
    }
    false
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
