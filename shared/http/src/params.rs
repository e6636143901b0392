//! Reads query parameters, and builds the links of a page, which repeat the parameters. Unknown parameters are ignored.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Serialize;
use url::form_urlencoded;

/// The parameters of a request. If a parameter is repeated, the last value counts. An empty value counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// Returns the value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the links of a page (contract section 1.6): absolute, with all parameters of the request.
    #[must_use]
    pub fn links(&self, list: &str, next: Option<String>, prev: Option<String>) -> Links {
        let link = |cursor: Option<(&str, String)>| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            let cursors = ["next", "prev"];
            match cursor {
                // The same page, with unchanged parameters.
                None => query.extend_pairs(&self.0),
                Some(cursor) => {
                    let kept = self.0.iter().filter(|(name, _)| !cursors.contains(&name.as_str()));
                    query.extend_pairs(kept).append_pair(cursor.0, &cursor.1)
                }
            };
            let query = query.finish();
            Link { href: if query.is_empty() { list.to_owned() } else { format!("{list}?{query}") } }
        };
        Links {
            this: link(None),
            next: next.map(|cursor| link(Some(("next", cursor)))),
            prev: prev.map(|cursor| link(Some(("prev", cursor)))),
        }
    }
}

/// The links to a page and its neighbors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Links {
    /// This page.
    #[serde(rename = "self")]
    this: Link,
    /// The next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Link>,
    /// The previous page; absent on the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    prev: Option<Link>,
}

/// An absolute URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
struct Link {
    /// Repeats all parameters of the request.
    #[schemars(extend("format" = "uri"))]
    href: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_repeat_the_query_and_replace_the_cursor() {
        let params = Params(
            [("sort", "+name"), ("limit", "2"), ("next", "abc")].map(|(n, v)| (n.into(), v.into())).into(),
        );
        let links = params.links("https://h/api", Some("xyz".into()), None);
        assert_eq!(links.this.href, "https://h/api?limit=2&next=abc&sort=%2Bname");
        assert_eq!(links.next.unwrap().href, "https://h/api?limit=2&sort=%2Bname&next=xyz");
        assert_eq!(links.prev, None);
        assert_eq!(Params::default().links("https://h/api", None, None).this.href, "https://h/api");
    }
}
