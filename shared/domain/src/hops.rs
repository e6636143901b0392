//! Hops: how often an event came out of a deployment like this one and was published again. Without a bound, webhooks that lead back to
//! where events are published make an endless loop of one event. Ours, beyond the contract; the idea is that of RFC 8586 (`CDN-Loop`).

use serde_json::value::RawValue;

use crate::error::Invalid;
use crate::members::{as_text, json_string};

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
    count.ok_or_else(|| Invalid::one(HOPS, "must be a whole number, 0 or more"))
}

/// The rule for the count of what is published.
pub(crate) fn check(hops: u32) -> Result<u32, Invalid> {
    if hops <= MAX_HOPS {
        return Ok(hops);
    }
    let rule = format!(
        "must be at most {MAX_HOPS}: this event has been sent and published again too often, in a loop"
    );
    Err(Invalid::one(HOPS, rule))
}

/// A count as a JSON value.
pub(crate) fn json(hops: u32) -> Box<RawValue> {
    serde_json::value::to_raw_value(&hops).unwrap_or_else(|_| json_string("0"))
}
