//! Hops: how often an event came out of a deployment like this one and was published again. Without a bound, webhooks that lead back to
//! where events are published make an endless loop of one event. Ours, beyond the contract; the idea is that of RFC 8586 (`CDN-Loop`).

use serde_json::value::RawValue;

use crate::error::Invalid;
use crate::members::as_text;
use crate::rule::Rule;

/// The attribute with the count: 1 in what is sent for an event that was published without it. Reserved.
pub const HOPS: &str = "anzolhop";
/// Most hops of an event that is taken. One publish so leads to at most four generations of deliveries.
pub const MAX_HOPS: u32 = 3;

/// The count of an event, by its attribute if it has one: a number, or its digits as a string, which is how headers have it. A count beyond the
/// type is its largest.
pub(crate) fn read(attribute: Option<&RawValue>) -> Result<u32, Invalid> {
    let Some(value) = attribute else { return Ok(0) };
    let text = if value.get().starts_with('"') { as_text(value) } else { Some(value.get().to_owned()) };
    let digits = text.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let count = digits.map(|text| text.parse().unwrap_or(u32::MAX));
    count.ok_or_else(|| Invalid::one(HOPS, Rule::NotHopCount))
}

/// The rule for the count of what is published.
pub(crate) fn check(hops: u32) -> Result<u32, Invalid> {
    if hops <= MAX_HOPS {
        return Ok(hops);
    }
    Err(Invalid::one(HOPS, Rule::TooManyHops { max: MAX_HOPS }))
}

/// A count as a JSON value.
#[expect(clippy::expect_used, reason = "a whole number always has a JSON form")]
pub(crate) fn json(hops: u32) -> Box<RawValue> {
    serde_json::value::to_raw_value(&hops).expect("a whole number is JSON")
}
