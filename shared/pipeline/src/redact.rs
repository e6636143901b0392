//! Keeps the values of encrypted headers out of the history: in what was sent, and where the receiver echoes them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anzol_domain::EncryptedHeaders;
use anzol_domain::delivery::{ReceivedResponse, SentRequest};
use zeroize::Zeroizing;

use self::needles::Needles;

mod needles;
mod views;

/// What stands in the place of a value (contract section 2.3).
const OMITTED: &str = "**OMITTED**";

/// How many spellings around one another are undone.
const DEEPEST: usize = 3;

/// Bytes of views that are made of a text, for each of its own. A text that needs more is a riddle, not an answer.
const MOST_VIEWS: usize = 48;

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

/// Takes out of an answer what may hold a part of a value in any usual spelling: the body, or a header, as a whole, since nobody knows
/// what else of the value is in it.
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
    // Wherever it ends, it may have been cut: at its greatest length, or by the receiver.
    if found_or_begun(&response.body, &needles) {
        OMITTED.clone_into(&mut response.body);
    }
}

/// The same for a message of a failure, which quotes an answer in quotation marks only; the other words are ours.
pub(crate) fn message(message: &mut String, encrypted: &EncryptedHeaders) {
    if encrypted.is_empty() {
        return;
    }
    let Some((before, rest)) = message.split_once('"') else { return };
    // Up to the last one: a quote may hold some itself.
    let (quote, after) = rest.rsplit_once('"').unwrap_or((rest, ""));
    if found(quote, &Needles::new(encrypted.expose().map(|(_, value)| value))) {
        *message = format!("{before}\"{OMITTED}\"{after}");
    }
}

/// The same for one value of an answer, as a whole.
pub(crate) fn value(value: &mut String, encrypted: &EncryptedHeaders) {
    if !encrypted.is_empty() && found(value, &Needles::new(encrypted.expose().map(|(_, value)| value))) {
        OMITTED.clone_into(value);
    }
}

fn found(text: &str, needles: &Needles) -> bool {
    needles.is_part(text) || looked_into(text, |view| needles.are_in(view))
}

fn found_or_begun(text: &str, needles: &Needles) -> bool {
    let is_there = |view: &[u8]| needles.are_in(view) || needles.begin_at_the_end_of(view);
    needles.is_part(text) || looked_into(text, is_there)
}

/// Whether a text, or what it says when its spellings are undone, one around another, is as asked; or whether that is too much to tell.
fn looked_into(text: &str, is_so: impl Fn(&[u8]) -> bool) -> bool {
    if is_so(text.as_bytes()) {
        return true;
    }
    let mut seen = HashSet::from([hash(text.as_bytes())]);
    let mut left = text.len().saturating_mul(MOST_VIEWS);
    let mut texts = vec![Zeroizing::new(text.as_bytes().to_vec())];
    for _ in 1..=DEEPEST {
        let mut next = Vec::new();
        for view in texts.iter().flat_map(|text| views::of(text)) {
            if !seen.insert(hash(&view)) {
                continue;
            }
            if is_so(&view) {
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
