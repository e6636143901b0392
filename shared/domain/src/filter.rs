//! The `filter` of a webhook, in a subset of SCIM's filter language (contract section 2.2, RFC 7644 section 3.4.2.2).
//!
//! ```text
//! filter     = conjunction *( " or " conjunction )
//! conjunction = comparison *( " and " comparison )        ; `and` binds tighter
//! comparison = attribute ( " eq " / " ne " ) json-string
//! attribute  = "id" / "spaceId" / "topLevelResourceId" / "data.status"
//! ```
//!
//! Attributes and operators are case-insensitive, as in SCIM. Values are compared exactly.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Invalid;
use crate::event::Event;
use crate::event_type::RELOAD_FINISHED;
use crate::rule::Rule;

/// Longest normalized filter, in characters. Our choice; the contract names no bound.
pub const MAX_FILTER: usize = 4096;

/// The values of `data.status` (contract section 2.2).
pub const STATUSES: [&str; 2] = ["ok", "error"];

/// An attribute that a filter can compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The resource: `data.id`.
    Id,
    /// Its space: `data.spaceId`, or else the attribute `spaceid` of the event.
    SpaceId,
    /// Its parent resource: the attribute `toplevelresourceid` of the event.
    TopLevelResourceId,
    /// The result of a reload: `data.status`. Only for webhooks whose only event type is `com.qlik.v1.app.reload.finished`.
    Status,
}

impl Attribute {
    /// All attributes.
    pub const ALL: [Self; 4] = [Self::Id, Self::SpaceId, Self::TopLevelResourceId, Self::Status];

    /// Returns the name in filters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::SpaceId => "spaceId",
            Self::TopLevelResourceId => "topLevelResourceId",
            Self::Status => "data.status",
        }
    }

    fn of(self, event: &Event) -> Option<&str> {
        let subject = event.subject();
        match self {
            Self::Id => subject.id.as_deref(),
            Self::SpaceId => subject.space_id.as_deref(),
            Self::TopLevelResourceId => subject.top_level_resource_id.as_deref(),
            Self::Status => subject.status.as_deref(),
        }
    }
}

/// One comparison. For an event without the attribute, `eq` is false and `ne` is true.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison {
    attribute: Attribute,
    equal: bool,
    value: String,
}

/// A checked filter: a disjunction of conjunctions. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Filter(Vec<Vec<Comparison>>);

impl Filter {
    /// Parses a filter.
    ///
    /// # Errors
    /// The filter is too long, or has a syntax error: its position, in characters from 1, and the words expected there.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bounded = |text: &str| {
            if text.chars().count() > MAX_FILTER {
                return Err(Invalid::one("filter", Rule::FilterTooLong { max: MAX_FILTER }));
            }
            Ok(())
        };
        bounded(text)?;
        let mut rest = Rest { text, at: 0 };
        let mut alternatives = vec![vec![rest.comparison()?]];
        loop {
            rest.skip_spaces();
            if rest.left().is_empty() {
                let filter = Self(alternatives);
                // The normalized filter can be longer than the original, and must be parseable again.
                bounded(&filter.to_string())?;
                return Ok(filter);
            }
            let and = rest.word_of(&["and", "or"], &["and", "or", "end"])? == "and";
            let comparison = rest.comparison()?;
            match alternatives.last_mut() {
                Some(conjunction) if and => conjunction.push(comparison),
                _ => alternatives.push(vec![comparison]),
            }
        }
    }

    /// Checks the rules that depend on the webhook: only one event type has `data.status`.
    ///
    /// # Errors
    /// The rule that the filter breaks with these event types.
    pub fn check_for(&self, event_types: &[String]) -> Result<(), Invalid> {
        let on_status = || self.comparisons().filter(|comparison| comparison.attribute == Attribute::Status);
        if on_status().next().is_some() && event_types != [RELOAD_FINISHED] {
            return Err(Invalid::one("filter", Rule::FilterStatusOnly { name: RELOAD_FINISHED }));
        }
        if on_status().any(|comparison| !STATUSES.contains(&comparison.value.as_str())) {
            return Err(Invalid::one("filter", Rule::FilterStatusValue { values: STATUSES.into() }));
        }
        Ok(())
    }

    /// Returns whether an event matches the filter.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let holds = |comparison: &Comparison| {
            (comparison.attribute.of(event) == Some(&comparison.value)) == comparison.equal
        };
        self.0.iter().any(|conjunction| conjunction.iter().all(holds))
    }

    fn comparisons(&self) -> impl Iterator<Item = &Comparison> {
        self.0.iter().flatten()
    }
}

/// The normalized filter. Parsing it returns the same filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, conjunction) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " or " })?;
            for (index, Comparison { attribute, equal, value }) in conjunction.iter().enumerate() {
                let and = if index == 0 { "" } else { " and " };
                let value = serde_json::to_string(value).map_err(|_| fmt::Error)?;
                write!(f, "{and}{} {} {value}", attribute.name(), if *equal { "eq" } else { "ne" })?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Filter {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Filter> for String {
    fn from(filter: Filter) -> Self {
        filter.to_string()
    }
}

/// The notation for a value in errors: a string in double quotes.
const VALUE: &str = "\"…\"";

/// The part of a filter that is not parsed yet.
struct Rest<'a> {
    text: &'a str,
    /// Bytes already parsed.
    at: usize,
}

impl<'a> Rest<'a> {
    fn left(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.left().trim_start_matches(' ').len();
    }

    fn expected(&self, expected: &[&'static str]) -> Invalid {
        let position = self.text.get(..self.at).unwrap_or_default().chars().count() + 1;
        Invalid::one("filter", Rule::FilterSyntax { position, expected: expected.iter().copied().into() })
    }

    /// Parses the next word, which must be one of `words`, in any case. An error names `expected`.
    fn word_of(
        &mut self,
        words: &[&'static str],
        expected: &[&'static str],
    ) -> Result<&'static str, Invalid> {
        self.skip_spaces();
        let left = self.left();
        let word = left.split([' ', '"']).next().unwrap_or_default();
        let found = words.iter().find(|known| known.eq_ignore_ascii_case(word));
        let found = found.copied().ok_or_else(|| self.expected(expected))?;
        self.at += word.len();
        Ok(found)
    }

    fn comparison(&mut self) -> Result<Comparison, Invalid> {
        let names = Attribute::ALL.map(Attribute::name);
        let name = self.word_of(&names, &names)?;
        let attribute = Attribute::ALL.into_iter().find(|attribute| attribute.name() == name);
        let attribute = attribute.ok_or_else(|| self.expected(&names))?;
        let equal = self.word_of(&["eq", "ne"], &["eq", "ne"])? == "eq";
        self.skip_spaces();
        if !self.left().starts_with('"') {
            return Err(self.expected(&[VALUE]));
        }
        let mut strings = serde_json::Deserializer::from_str(self.left()).into_iter::<String>();
        let value = strings.next().and_then(Result::ok);
        let read = strings.byte_offset();
        let value = value.ok_or_else(|| self.expected(&[VALUE]))?;
        self.at += read;
        Ok(Comparison { attribute, equal, value })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    fn event(more: &str) -> Event {
        let json = format!(r#"{{"specversion":"1.0","id":"e","source":"s","type":"t"{more}}}"#);
        Event::parse(&json, datetime!(2026-11-24 10:00 UTC)).unwrap()
    }

    fn matches(filter: &str, more: &str) -> bool {
        Filter::parse(filter).unwrap().matches(&event(more))
    }

    const TOO_LONG: Rule = Rule::FilterTooLong { max: 4096 };

    fn rule(filter: &str) -> Rule {
        Filter::parse(filter).unwrap_err().0.remove(0).rule
    }

    #[test]
    fn contract_example_round_trips() {
        let text = r#"id eq "id123" or spaceId eq "spaceId123" or spaceId eq "spaceId456" or topLevelResourceId eq "id789""#;
        assert_eq!(Filter::parse(text).unwrap().to_string(), text);
    }

    #[test]
    fn attribute_is_read_from_its_place_in_the_event() {
        assert!(matches(r#"id eq "a""#, r#","data":{"id":"a"}"#));
        assert!(matches(r#"id eq "a""#, r#","data":{"attributes":{"id":"a"}}"#));
        assert!(matches(r#"spaceId eq "a""#, r#","data":{"spaceId":"a"},"spaceid":"b""#));
        assert!(matches(r#"spaceId eq "b""#, r#","data":{},"spaceid":"b""#));
        assert!(matches(r#"topLevelResourceId eq "a""#, r#","toplevelresourceid":"a""#));
        assert!(matches(r#"data.status eq "ok""#, r#","data":{"status":"ok"}"#));
        // The id of the event is not the id of the resource.
        assert!(!matches(r#"id eq "e""#, r#","data":[]"#));
    }

    #[test]
    fn legacy_event_is_filtered_like_a_cloudevent() {
        let json = r#"{"cloudEventsVersion":"0.1","eventId":"e","source":"s","eventType":"t",
            "extensions":{"spaceId":"s1","topLevelResourceId":"r1"},"data":{"attributes":{"id":"a1"}}}"#;
        let event = Event::parse(json, datetime!(2026-11-24 10:00 UTC)).unwrap();
        let filter =
            Filter::parse(r#"id eq "a1" and spaceId eq "s1" and topLevelResourceId eq "r1""#).unwrap();
        assert!(filter.matches(&event));
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let more = r#","data":{"id":"a"},"spaceid":"s""#;
        assert!(matches(r#"id eq "a" or id eq "b" and spaceId eq "none""#, more));
        assert!(!matches(r#"id eq "x" or id eq "a" and spaceId eq "none""#, more));
        assert!(matches(r#"id ne "b""#, more));
        assert!(!matches(r#"id ne "a""#, more));
        assert!(matches(r#"topLevelResourceId ne "a""#, more));
        assert!(!matches(r#"id eq "A""#, more));
    }

    #[test]
    fn words_are_case_insensitive_and_values_are_json() {
        let filter = Filter::parse("  ID EQ\"a\\u0041\\\"\"  AND SPACEID Ne \"ü\" ").unwrap();
        assert_eq!(filter.to_string(), r#"id eq "aA\"" and spaceId ne "ü""#);
    }

    #[test]
    fn syntax_error_has_position_and_expected_words() {
        let names = ["id", "spaceId", "topLevelResourceId", "data.status"].as_slice();
        for (filter, position, expected) in [
            ("", 1, names),
            ("name eq \"a\"", 1, names),
            ("id gt \"a\"", 4, &["eq", "ne"]),
            ("id eq a", 7, &[VALUE]),
            ("id eq \"a", 7, &[VALUE]),
            ("id eq \"\\ud800\"", 7, &[VALUE]),
            ("id eq \"ü\" xor", 11, &["and", "or", "end"]),
            ("id eq \"a\" and", 14, names),
            ("(id eq \"a\")", 1, names),
            ("id eq 'a'", 7, &[VALUE]),
            ("not id eq \"a\"", 1, names),
        ] {
            let expected = expected.iter().copied().into();
            assert_eq!(rule(filter), Rule::FilterSyntax { position, expected }, "{filter}");
        }
        assert_eq!(rule(&format!("id eq \"{}\"", "x".repeat(MAX_FILTER))), TOO_LONG);
    }

    #[test]
    fn max_length_applies_to_the_normalized_filter() {
        // The normalized filter has a space that this one does not have.
        let tight = |length: usize| format!("id eq\"{}\"", "x".repeat(length - 7));
        assert_eq!(rule(&tight(MAX_FILTER)), TOO_LONG);
        let kept = Filter::parse(&tight(MAX_FILTER - 1)).unwrap();
        assert_eq!(Filter::parse(&kept.to_string()).unwrap(), kept);
    }

    #[test]
    fn status_needs_the_reload_type_and_has_two_values() {
        let check = |text: &str, types: &[&str]| {
            let types: Vec<_> = types.iter().map(|name| (*name).to_owned()).collect();
            Filter::parse(text).unwrap().check_for(&types)
        };
        assert!(check(r#"data.status eq "error""#, &[RELOAD_FINISHED]).is_ok());
        assert!(check(r#"data.status eq "failed""#, &[RELOAD_FINISHED]).is_err());
        assert!(check(r#"data.status eq "ok""#, &[RELOAD_FINISHED, "com.qlik.v1.app.created"]).is_err());
        assert!(check(r#"id eq "a" or data.status eq "ok""#, &[]).is_err());
        assert!(check(r#"id eq "a""#, &["com.qlik.v1.app.created"]).is_ok());
    }

    fn any_filter() -> impl Strategy<Value = Filter> {
        let attribute = proptest::sample::select(&Attribute::ALL[..]);
        let comparison = (attribute, any::<bool>(), "\\PC{0,6}|[\"\\\\\n\t\u{0}]{0,4}")
            .prop_map(|(attribute, equal, value)| Comparison { attribute, equal, value });
        let conjunction = proptest::collection::vec(comparison, 1..4);
        proptest::collection::vec(conjunction, 1..4).prop_map(Filter)
    }

    proptest! {
        #[test]
        fn printed_filter_parses_to_itself(filter in any_filter()) {
            prop_assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter);
        }

        #[test]
        fn any_text_parses_without_panic(text in "\\PC{0,60}|(id|eq|ne|and|or|data\\.status|\"a\"|\"|\\\\| |é){0,20}") {
            if let Ok(filter) = Filter::parse(&text) {
                prop_assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter);
            }
        }
    }
}
