//! Identifiers: tenants and users as the identity provider names them, webhooks and deliveries as `UUIDv7`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::{NoContext, Timestamp, Uuid};

use crate::error::Invalid;
use crate::rule::Rule;

/// Longest tenant or user id taken from a token or an event, in characters.
pub const MAX_NAME: usize = 128;

/// Parses an outside id: 1–128 visible ASCII characters other than `#`, which separates the parts of our table keys.
fn outside_id(field: &str, text: &str) -> Result<String, Invalid> {
    let fine =
        (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if fine { Ok(text.to_owned()) } else { Err(Invalid::one(field, Rule::NotIdentifier { max: MAX_NAME })) }
}

macro_rules! outside_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses an id: 1–128 visible ASCII characters without `#`.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                outside_id($field, text).map(Self)
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

outside_id!(
    /// A tenant, as the verified token or the trusted event names it. Part of every table key.
    TenantId,
    "tenantid"
);
outside_id!(
    /// A user (or client) of a tenant: the token's subject.
    UserId,
    "ownerId"
);

macro_rules! minted_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id that sorts at `at` (millisecond precision; the rest is random).
            #[must_use]
            pub fn mint(at: OffsetDateTime) -> Self {
                let seconds = u64::try_from(at.unix_timestamp()).unwrap_or(0);
                Self(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.nanosecond())))
            }

            /// The id of that moment with these bits in the place of random ones: the same from the same.
            #[must_use]
            pub fn with_bits(at: OffsetDateTime, bits: &[u8; 10]) -> Self {
                let millis = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, bits).into_uuid())
            }

            /// The smallest id of that moment: ids minted from then on are larger, those minted before are smaller.
            #[must_use]
            pub fn floor(at: OffsetDateTime) -> Self {
                Self::with_bits(at, &[0; 10])
            }

            /// The moment this id was minted for, to the millisecond.
            #[must_use]
            pub fn time(&self) -> OffsetDateTime {
                let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |t| t.to_unix());
                let seconds = i64::try_from(seconds).unwrap_or(0);
                OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
                    + time::Duration::nanoseconds(i64::from(nanos))
            }

            /// Random bits of this id as a fraction in `0.0..1.0`: a jitter that needs no further randomness.
            #[must_use]
            pub fn fraction(&self) -> f64 {
                let low = u32::try_from(self.0.as_u128() & 0xffff_ffff).unwrap_or(0);
                f64::from(low) / (f64::from(u32::MAX) + 1.0)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                // One spelling only: our own. Others would be valid ids that no key holds.
                match Uuid::from_str(text) {
                    Ok(id) if id.to_string() == text => Ok(Self(id)),
                    _ => Err(Invalid::one("id", Rule::NotUuid)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

minted_id!(
    /// A webhook.
    WebhookId
);
minted_id!(
    /// A recovery: all failed deliveries of a webhook since some time, sent again.
    RecoveryId
);
minted_id!(
    /// One delivery attempt: the sort key of its history row, so ids sort by the time they are due.
    DeliveryId
);

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_id_carries_its_time_and_sorts_by_it() {
        let early = DeliveryId::mint(datetime!(2026-11-24 10:00:00.123 UTC));
        let late = DeliveryId::mint(datetime!(2026-11-24 10:00:00.124 UTC));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.time(), datetime!(2026-11-24 10:00:00.123 UTC));
        assert!((0.0..1.0).contains(&early.fraction()));
        let floor = DeliveryId::floor(datetime!(2026-11-24 10:00:00.124 UTC));
        assert!(early < floor && floor < late);
    }

    #[test]
    fn only_our_own_spelling_of_an_id_is_read() {
        let id = WebhookId::mint(OffsetDateTime::UNIX_EPOCH);
        assert_eq!(id.to_string().parse::<WebhookId>().unwrap(), id);
        for other in [
            id.to_string().to_uppercase(),
            id.to_string().replace('-', ""),
            format!("{{{id}}}"),
            String::new(),
        ] {
            if other != id.to_string() {
                assert!(other.parse::<WebhookId>().is_err(), "{other}");
            }
        }
    }

    #[test]
    fn outside_ids_cannot_break_a_key() {
        assert!(TenantId::parse("oZcMPa_1PwH4FUdrh6839YHHdEJN").is_ok());
        assert!(TenantId::parse("auth0|b62a17").is_ok());
        for bad in ["", "a#b", "a b", "a\n", "é", &"x".repeat(129)] {
            assert!(TenantId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
