//! A JSON object read one level deep: names in order, values as the exact (minified) text that came in.
//!
//! Events pass through Anzol without being understood: numbers keep their digits, strings their escapes, members their order.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Deepest nesting of arrays and objects accepted in a value; receivers' parsers commonly stop at 64 or more.
const MAX_DEPTH: usize = 64;

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

    pub(crate) fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        let index = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.remove(index).1)
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
                        return Err(A::Error::custom(format!("member `{name}` appears twice")));
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
pub(crate) fn minified(value: Box<RawValue>) -> Result<Box<RawValue>, String> {
    let text = value.get();
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped, mut depth) = (false, false, 0_usize);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            match c {
                '"' => in_string = true,
                '[' | '{' => depth += 1,
                ']' | '}' => depth = depth.saturating_sub(1),
                ' ' | '\t' | '\n' | '\r' => continue,
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(format!("arrays and objects are nested more than {MAX_DEPTH} deep"));
            }
        }
        out.push(c);
    }
    if out.len() == text.len() {
        Ok(value)
    } else {
        RawValue::from_string(out).map_err(|error| error.to_string())
    }
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
