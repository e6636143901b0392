//! Hops: how often an event came out of a deployment like this one and was published again. Without a bound, webhooks that lead back to
//! where events are published make an endless loop of one event. Ours, beyond the contract; the idea is that of RFC 8586 (`CDN-Loop`).

use serde_json::value::RawValue;

use crate::error::Invalid;
use crate::members::{as_text, json_string};

/// The attribute with the count: 1 in what is sent for an event that was published without it. Reserved.
pub const HOPS: &str = "anzolhop";
/// Most hops of an event that is taken. One publish so leads to at most four generations of deliveries.
pub const MAX_HOPS: u32 = 3;

/// The count that an attribute says: a number, or its digits as a string, which is how headers have it. `None` when it is neither. A
/// count beyond the type is its largest.
pub(crate) fn count(value: &RawValue) -> Option<u32> {
    let text = if value.get().starts_with('"') { as_text(value)? } else { value.get().to_owned() };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

/// The rule for what is published; `hops` is what [`count`] made of the attribute, if there is one.
pub(crate) fn check(hops: Option<Option<u32>>) -> Result<(), Invalid> {
    match hops {
        Some(None) => Err(Invalid::one(HOPS, "must be a whole number, 0 or more")),
        Some(Some(hops)) if hops > MAX_HOPS => Err(Invalid::one(
            HOPS,
            format!(
                "must be at most {MAX_HOPS}: this event has been sent and published again too often, in a loop"
            ),
        )),
        Some(Some(_)) | None => Ok(()),
    }
}

/// A count as a JSON value.
pub(crate) fn json(hops: u32) -> Box<RawValue> {
    serde_json::value::to_raw_value(&hops).unwrap_or_else(|_| json_string("0"))
}
