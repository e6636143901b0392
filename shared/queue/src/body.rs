//! Encodes the text of messages in the characters that SQS and the scheduler accept.

use std::fmt::Write as _;

use serde::de::IgnoredAny;

/// Maximum size of a message with its attributes, in bytes: the limit of SQS since 2025.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub(crate) const MAX_MESSAGE: usize = 1024 * 1024;

/// The text of a message. [`Body::new`] is the only constructor, so every message that is sent is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body(String);

impl Body {
    /// Returns the text in characters that SQS accepts. In JSON, refused characters can only be in strings and names, where they are
    /// escaped, so the value does not change. In other text they are replaced with U+FFFD. An empty text becomes a space, because a message
    /// must not be empty.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() {
            return Self(" ".to_owned());
        }
        if text.bytes().all(is_harmless) || text.chars().all(is_allowed) {
            return Self(text);
        }
        // Only valid JSON is escaped. In other text, a refused character can follow a backslash, where the escape would change the meaning.
        let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        Self(if is_json { escaped(&text) } else { replaced(&text) })
    }

    /// Cuts the text to at most `most` bytes.
    pub(crate) fn within(mut self, most: usize) -> Self {
        self.0.truncate(self.0.floor_char_boundary(most));
        self
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the length in bytes, as SQS counts.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<Body> for String {
    fn from(body: Body) -> Self {
        body.0
    }
}

/// Returns a value of at most `most` bytes for a message attribute of type `String`, which must follow the same rules.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_MessageAttributeValue.html>
pub(crate) fn attribute(value: &str, most: usize) -> String {
    let mut value = replaced(value);
    value.truncate(value.floor_char_boundary(most));
    value
}

/// Returns whether SQS accepts a character: `#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF`.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
pub(crate) fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Returns whether a byte of UTF-8 can only be part of an allowed character. U+FFFE and U+FFFF start with 0xEF.
fn is_harmless(byte: u8) -> bool {
    byte >= b' ' && byte != 0xef
}

fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 8);
    for c in json.chars() {
        if is_allowed(c) {
            out.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
    }
    out
}

fn replaced(text: &str) -> String {
    text.chars().map(|c| if is_allowed(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn text_of(body: &Body) -> &str {
        assert!(body.as_str().chars().all(is_allowed), "{body:?}");
        body.as_str()
    }

    #[test]
    fn k4_json_with_ffff_is_queued_as_its_escape() {
        for (json, queued) in [
            ("{\"t\":\"a\u{ffff}b\"}", r#"{"t":"a\uffffb"}"#),
            ("{\"\u{fffe}\":[\"\u{ffff}\u{ffff}\"]}", r#"{"\ufffe":["\uffff\uffff"]}"#),
            ("\"\\\\\u{ffff}\"", r#""\\\uffff""#),
            ("\"\\\\\\\"\u{ffff}\\n\"", r#""\\\"\uffff\n""#),
            (" \"\u{fffd}\u{1fffe}\u{7f}\"\n", " \"\u{fffd}\u{1fffe}\u{7f}\"\n"),
        ] {
            let body = Body::new(json);
            assert_eq!(text_of(&body), queued);
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(read(body.as_str()), read(json));
        }
    }

    #[test]
    fn k4_ffff_in_text_that_is_not_json_is_replaced() {
        for (text, queued) in [
            ("", " "),
            ("\u{ffff}", "\u{fffd}"),
            ("{\"a\":\"\\\u{ffff}\"}", "{\"a\":\"\\\u{fffd}\"}"),
            ("{\"a\":\"\u{0}\"}", "{\"a\":\"\u{fffd}\"}"),
            ("\u{ffff}{}", "\u{fffd}{}"),
            ("a\u{1b}[2J\tb", "a\u{fffd}[2J\tb"),
        ] {
            assert_eq!(text_of(&Body::new(text)), queued);
        }
    }

    #[test]
    fn k4_cut_is_between_characters() {
        assert_eq!(Body::new("aéb").within(2).as_str(), "a");
        assert_eq!(attribute("a\u{ffff}b", 4), "a\u{fffd}");
        assert_eq!(attribute("a\u{ffff}b", 3), "a");
    }

    /// Pieces that form valid and invalid JSON often enough.
    const PIECES: [&str; 22] = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\"a\"",
        "\"\u{ffff}\"",
        "\"b\":",
        "\\",
        "\\\\",
        "\\\"",
        "\\uffff",
        "\\u",
        "\u{ffff}",
        "\u{fffe}",
        "\u{0}",
        "\n",
        "1.50",
        "null",
        "é",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn k4_any_text_is_accepted_and_json_keeps_its_value(picks in proptest::collection::vec(0..PIECES.len(), 0..14)) {
            let text: String = picks.iter().map(|pick| PIECES[*pick]).collect();
            check(&text)?;
        }

        #[test]
        fn k4_any_string_is_accepted_and_keeps_its_value(text in any::<String>(), name in "[\u{fffd}-\u{ffff}\\\\\"a\u{0}-\u{1f}]{0,8}") {
            check(&text)?;
            let json = serde_json::json!({ &name: [&text, &name], "x": { &name: 1 } });
            check(&json.to_string())?;
            check(&serde_json::to_string_pretty(&json).unwrap())?;
        }
    }

    fn check(text: &str) -> Result<(), TestCaseError> {
        let body = Body::new(text);
        prop_assert!(!body.as_str().is_empty() && body.as_str().chars().all(is_allowed), "{:?}", body);
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            prop_assert_eq!(serde_json::from_str::<Value>(body.as_str()).unwrap(), value);
        }
        if text.chars().all(is_allowed) && !text.is_empty() {
            prop_assert_eq!(body.as_str(), text);
        }
        prop_assert_eq!(Body::new(body.as_str()), body.clone());
        prop_assert!(attribute(text, 10).chars().all(is_allowed) && attribute(text, 10).len() <= 10);
        Ok(())
    }
}
