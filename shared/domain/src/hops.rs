//! The hop count: how often a delivery of an event was published again. It stops the endless loop of a webhook that points to an endpoint
//! for publishing events. An Anzol extension, modeled on `CDN-Loop` (RFC 8586).

use serde_json::value::RawValue;

use crate::error::Invalid;
use crate::members::as_text;
use crate::rule::Rule;

/// The attribute with the count. An event without the attribute has the count 0, and its deliveries have the count 1.
pub const HOPS: &str = "anzolhop";
/// Maximum hop count of an accepted event: one event leads to at most four generations of deliveries.
pub const MAX_HOPS: u32 = 3;

/// Parses the attribute of an event: a number, or digits in a string, as in a header. A count that does not fit the type becomes the type's
/// maximum.
pub(crate) fn read(attribute: Option<&RawValue>) -> Result<u32, Invalid> {
    let Some(value) = attribute else { return Ok(0) };
    let text = if value.get().starts_with('"') { as_text(value) } else { Some(value.get().to_owned()) };
    let digits = text.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let count = digits.map(|text| text.parse().unwrap_or(u32::MAX));
    count.ok_or_else(|| Invalid::one(HOPS, Rule::NotHopCount))
}

/// Checks the count of a published event.
pub(crate) fn check(hops: u32) -> Result<u32, Invalid> {
    if hops <= MAX_HOPS {
        return Ok(hops);
    }
    Err(Invalid::one(HOPS, Rule::TooManyHops { max: MAX_HOPS }))
}

/// Returns a count as a JSON value.
#[expect(clippy::expect_used, reason = "a whole number always has a JSON form")]
pub(crate) fn json(hops: u32) -> Box<RawValue> {
    serde_json::value::to_raw_value(&hops).expect("a whole number is JSON")
}
