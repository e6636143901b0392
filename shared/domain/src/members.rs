//! A JSON object parsed one level deep: names in order, values as their minified source text.
//!
//! Events pass through Anzol unchanged: numbers keep their digits, strings keep their escapes, and members keep their order. JSON that
//! parsers can read differently is rejected (I-JSON, RFC 7493, section 2), so that receivers see the event that was matched.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::rule::Rule;

/// Maximum depth of nested arrays and objects in a value. Parsers of receivers commonly accept at least 64.
pub(crate) const MAX_DEPTH: usize = 64;
/// Maximum number of members of an event from a producer, and of its extensions; `data` can have more. Our choice, because lookups are
/// linear.
pub(crate) const MAX_MEMBERS: usize = 256;
/// Maximum number of members of an event that Anzol writes: extensions become attributes, and the hybrid repeats values.
const MAX_WRITTEN_MEMBERS: usize = 2 * MAX_MEMBERS + 32;

/// The members of an object, in their original order. Names are unique.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    /// Parses a JSON object.
    pub(crate) fn parse(json: &str) -> Result<Self, Rule> {
        let entries: Entries = serde_json::from_str(json)
            .map_err(|error| if error.is_data() { Rule::NotObject } else { Rule::from(&error) })?;
        Self::checked(entries.0)
    }

    fn checked(entries: Vec<(String, Box<RawValue>)>) -> Result<Self, Rule> {
        if entries.len() > MAX_WRITTEN_MEMBERS {
            return Err(Rule::TooManyMembers { max: MAX_WRITTEN_MEMBERS });
        }
        for (index, (name, _)) in entries.iter().enumerate() {
            if entries.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(Rule::DuplicateMember { name: name.as_str().into() });
            }
        }
        let minify = |(name, value)| Ok((name, minified(value, MAX_DEPTH)?));
        entries.into_iter().map(minify).collect::<Result<_, Rule>>().map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_ref())
    }

    /// Sets a member, in place if it exists, or else at the end.
    pub(crate) fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some(member) => member.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        let index = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.remove(index).1)
    }

    /// Removes the members for which `holds` is false.
    pub(crate) fn retain(&mut self, holds: impl Fn(&str, &RawValue) -> bool) {
        self.0.retain(|(name, value)| holds(name, value));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_ref()))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::checked(Entries::deserialize(deserializer)?.0).map_err(D::Error::custom)
    }
}

/// The unchecked members of an object, at most one more than allowed.
struct Entries(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while entries.len() <= MAX_WRITTEN_MEMBERS {
                    let Some(entry) = map.next_entry()? else { return Ok(Entries(entries)) };
                    entries.push(entry);
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Checks that no object in a JSON text has a member twice. Parsers differ in which of the two they use (RFC 8259, section 4), so a
/// firewall in front of Anzol could have checked the other one.
///
/// # Errors
/// The first name that appears twice, or the syntax error of a text that is not JSON.
pub fn check_unique_members(json: &[u8]) -> Result<(), Rule> {
    let value: &RawValue = serde_json::from_slice(json).map_err(|error| Rule::from(&error))?;
    for_each_token(value.get(), usize::MAX, |_| ())
}

/// Returns a JSON value without whitespace between its tokens.
///
/// # Errors
/// An object has a member twice, a string has an invalid escape, or arrays and objects are nested more than `max_depth` levels deep.
#[expect(clippy::expect_used, reason = "JSON without the spaces between its tokens is JSON")]
pub(crate) fn minified(value: Box<RawValue>, max_depth: usize) -> Result<Box<RawValue>, Rule> {
    let text = value.get();
    let mut out = String::with_capacity(text.len());
    for_each_token(text, max_depth, |token| out.push_str(token))?;
    if out.len() == text.len() {
        Ok(value)
    } else {
        Ok(RawValue::from_string(out).expect("minified JSON is JSON"))
    }
}

/// Passes each token of a JSON text to `write`.
///
/// # Errors
/// See [`minified`].
fn for_each_token(text: &str, max_depth: usize, mut write: impl FnMut(&str)) -> Result<(), Rule> {
    // The names seen so far in each open object; empty for arrays.
    let mut open: Vec<BTreeSet<Cow<'_, str>>> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if c == '"' { string_length(rest) } else { c.len_utf8() };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = after;
        match c {
            '"' => {
                let string = decoded(token)?;
                let is_name = rest.trim_start_matches(SPACES).starts_with(':');
                if let (true, Some(names)) = (is_name, open.last_mut()) {
                    if let Some(name) = names.get(&string) {
                        return Err(Rule::DuplicateMember { name: name.as_ref().into() });
                    }
                    names.insert(string);
                }
            }
            '[' | '{' if open.len() == max_depth => return Err(Rule::TooDeep { max: max_depth }),
            '[' | '{' => open.push(BTreeSet::new()),
            ']' | '}' => drop(open.pop()),
            c if SPACES.contains(&c) => continue,
            _ => {}
        }
        write(token);
    }
    Ok(())
}

/// Whitespace of JSON.
const SPACES: [char; 4] = [' ', '\t', '\n', '\r'];

/// Returns the length of the string at the start of `text`, in bytes with its quotes.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Decodes a JSON string. Half of a surrogate pair is an error.
fn decoded(string: &str) -> Result<Cow<'_, str>, Rule> {
    if string.contains('\\') {
        let text = serde_json::from_str(string).map(Cow::Owned);
        return text.map_err(|_| Rule::InvalidEscape);
    }
    Ok(string.trim_matches('"').into())
}

/// Returns the length of a name in JSON, in bytes without its quotes.
pub(crate) fn written_name(name: &str) -> usize {
    let escape = |byte| match byte {
        b'"' | b'\\' => 1,
        0..b' ' => 5, // 1 for a few, such as `\n`; the difference is not worth a table
        _ => 0,
    };
    written(name) + name.bytes().map(escape).sum::<usize>()
}

/// Returns the length of a JSON value in a message, in bytes. SQS accepts neither U+FFFE nor U+FFFF (API reference of `SendMessage`), so
/// messages contain their escapes, which are twice as long.
pub(crate) fn written(json: &str) -> usize {
    let more = if json.as_bytes().contains(&0xef) {
        json.matches(['\u{fffe}', '\u{ffff}']).count() * (r"\uffff".len() - '\u{ffff}'.len_utf8())
    } else {
        0
    };
    json.len() + more
}

/// Returns a string as a JSON value.
#[expect(clippy::expect_used, reason = "a string always has a JSON form")]
pub(crate) fn json_string(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).expect("a string is JSON")
}

/// Returns the text of a JSON string, and `None` for any other value.
pub(crate) fn as_text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn minified_object_keeps_digits_escapes_and_order() {
        let text = r#" { "b" : 1.10e400 , "a" : [ 12345678901234567890 , "x \" y\\" , { } ] } "#;
        let members: Members = serde_json::from_str(text).unwrap();
        let out = serde_json::to_string(&members).unwrap();
        assert_eq!(out, r#"{"b":1.10e400,"a":[12345678901234567890,"x \" y\\",{}]}"#);
    }

    #[test]
    fn duplicate_members_and_deep_nesting_are_refused() {
        assert!(serde_json::from_str::<Members>(r#"{"a":1,"a":2}"#).is_err());
        let nested = |n: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(serde_json::from_str::<Members>(&nested(64)).is_ok());
        assert!(serde_json::from_str::<Members>(&nested(65)).is_err());
        assert!(serde_json::from_str::<Members>(&nested(100_000)).is_err());
    }

    #[test]
    fn ambiguous_json_is_refused_at_any_depth() {
        let read = |value: &str| serde_json::from_str::<Members>(&format!(r#"{{"a":{value}}}"#));
        for bad in [
            r#"{"id":1,"id":2}"#,
            r#"[{"x":[{"id":1, "b":{} , "id" :2}]}]"#,
            r#"{"id":1,"\u0069d":2}"#,
            r#"{"\"":1,"\u0022":2}"#,
            r#""\ud800""#,
            r#""\udc00\ud800""#,
            r#"["x\ud83dy"]"#,
            r#"{"\ud800":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        for good in [
            r#"{"id":1,"Id":2,"x":{"id":3},"y":[{"id":4},{"id":5}]}"#,
            r#"["id","id",{"a":"id","b":"id"}]"#,
            r#""\ud83d\ude00""#,
            r#"{"a\\":1,"a":2,"\\":{"\\":[]}}"#,
            r#""\u0000""#,
            r#"{"":""}"#,
        ] {
            assert_eq!(serde_json::to_string(&read(good).unwrap()).unwrap(), format!(r#"{{"a":{good}}}"#));
        }
    }

    #[test]
    fn too_many_members_are_refused() {
        let members = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| format!(r#""{n}":0"#)).collect();
            Members::parse(&format!("{{{}}}", members.join(",")))
        };
        assert_eq!(members(MAX_WRITTEN_MEMBERS).unwrap().len(), MAX_WRITTEN_MEMBERS);
        for count in [MAX_WRITTEN_MEMBERS + 1, 100_000] {
            assert_eq!(members(count).unwrap_err(), Rule::TooManyMembers { max: 544 });
        }
    }

    proptest! {
        #[test]
        fn minified_value_equals_the_original(value in proptest::collection::vec("\\PC*", 0..4)) {
            let pretty = serde_json::to_string_pretty(&serde_json::json!({ "v": [&value, [[]], {"k": &value}] })).unwrap();
            let members: Members = serde_json::from_str(&pretty).unwrap();
            let out = serde_json::to_string(&members).unwrap();
            prop_assert_eq!(&out, &serde_json::to_string(&serde_json::from_str::<serde_json::Value>(&pretty).unwrap()).unwrap());
        }
    }
}
