//! A JSON object read one level deep: names in order, values as the exact (minified) text that came in.
//!
//! Events pass through Anzol without being understood: numbers keep their digits, strings their escapes, members their order. So what
//! two parsers may read differently is refused (I-JSON, RFC 7493, section 2): receivers must not see another event than was matched.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Deepest nesting of arrays and objects accepted in a value; receivers' parsers commonly stop at 64 or more.
const MAX_DEPTH: usize = 64;
/// Most members of an event as a producer writes it, and of its extensions; `data` may have more. Our choice: they are looked up one by
/// one.
pub(crate) const MAX_MEMBERS: usize = 256;
/// Most members of an event as we write it: extensions become attributes, and the hybrid says some things twice.
const MOST_MEMBERS: usize = 2 * MAX_MEMBERS + 32;

/// The members of an object, in the order they came; names are unique.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    pub(crate) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_ref())
    }

    /// Sets a member: in its place when it is there, else at the end.
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

    /// Drops the members that do not hold; no copy, and no work for those that stay.
    pub(crate) fn retain(&mut self, holds: impl Fn(&str, &RawValue) -> bool) {
        self.0.retain(|(name, value)| holds(name, value));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_ref()))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if members.get(&name).is_some() {
                        return Err(A::Error::custom(twice(&name)));
                    }
                    if members.0.len() == MOST_MEMBERS {
                        return Err(A::Error::custom(format!(
                            "an object has more than {MOST_MEMBERS} members"
                        )));
                    }
                    members.0.push((name, minified(value).map_err(A::Error::custom)?));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(MembersVisitor)
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

/// The same value without the spaces between its tokens.
///
/// # Errors
/// What is wrong with it: a name that an object has twice, a string that is no text, or more nesting than [`MAX_DEPTH`].
pub(crate) fn minified(value: Box<RawValue>) -> Result<Box<RawValue>, String> {
    let text = value.get();
    let mut out = String::with_capacity(text.len());
    // The names so far of each object that is open; an array has none.
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
                        return Err(twice(name));
                    }
                    names.insert(string);
                }
            }
            '[' | '{' if open.len() == MAX_DEPTH => {
                return Err(format!("arrays and objects are nested more than {MAX_DEPTH} deep"));
            }
            '[' | '{' => open.push(BTreeSet::new()),
            ']' | '}' => drop(open.pop()),
            c if SPACES.contains(&c) => continue,
            _ => {}
        }
        out.push_str(token);
    }
    if out.len() == text.len() {
        Ok(value)
    } else {
        RawValue::from_string(out).map_err(|error| error.to_string())
    }
}

/// What JSON allows between tokens.
const SPACES: [char; 4] = [' ', '\t', '\n', '\r'];

fn twice(name: &str) -> String {
    format!("member `{name}` appears twice")
}

/// Bytes of the string that `text` begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    });
    end.map_or(text.len(), |end| end + 2)
}

/// The text of a JSON string. Half of a surrogate pair is none.
fn decoded(string: &str) -> Result<Cow<'_, str>, String> {
    if string.contains('\\') {
        let text = serde_json::from_str(string).map(Cow::Owned);
        return text.map_err(|_| "a string has an escape that stands for no character".to_owned());
    }
    Ok(string.trim_matches('"').into())
}

/// A string as a JSON value.
pub(crate) fn json_string(text: &str) -> Box<RawValue> {
    // A string always has a JSON form; `null` is the answer to what cannot happen.
    serde_json::value::to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The text of a JSON string value; `None` for any other kind of value.
pub(crate) fn as_text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_escapes_and_order_survive_and_spaces_between_tokens_go() {
        let text = r#" { "b" : 1.10e400 , "a" : [ 12345678901234567890 , "x \" y\\" , { } ] } "#;
        let members: Members = serde_json::from_str(text).unwrap();
        let out = serde_json::to_string(&members).unwrap();
        assert_eq!(out, r#"{"b":1.10e400,"a":[12345678901234567890,"x \" y\\",{}]}"#);
    }

    #[test]
    fn double_members_and_deep_nesting_are_refused() {
        assert!(serde_json::from_str::<Members>(r#"{"a":1,"a":2}"#).is_err());
        let nested = |n: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(serde_json::from_str::<Members>(&nested(64)).is_ok());
        assert!(serde_json::from_str::<Members>(&nested(65)).is_err());
        assert!(serde_json::from_str::<Members>(&nested(100_000)).is_err());
    }

    #[test]
    fn what_parsers_read_differently_is_refused_at_any_depth() {
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
    fn a_crowd_of_members_is_refused_before_it_costs_time() {
        let members = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| format!(r#""{n}":0"#)).collect();
            serde_json::from_str::<Members>(&format!("{{{}}}", members.join(",")))
        };
        assert!(members(MOST_MEMBERS).is_ok());
        for count in [MOST_MEMBERS + 1, 100_000] {
            assert!(members(count).unwrap_err().to_string().contains("more than 544 members"));
        }
    }

    proptest! {
        #[test]
        fn minifying_keeps_the_meaning(value in proptest::collection::vec("\\PC*", 0..4)) {
            let pretty = serde_json::to_string_pretty(&serde_json::json!({ "v": [&value, [[]], {"k": &value}] })).unwrap();
            let members: Members = serde_json::from_str(&pretty).unwrap();
            let out = serde_json::to_string(&members).unwrap();
            prop_assert_eq!(&out, &serde_json::to_string(&serde_json::from_str::<serde_json::Value>(&pretty).unwrap()).unwrap());
        }
    }
}
