//! Identifiers: tenants and users as the identity provider names them; webhooks, deliveries and recoveries as `UUIDv7`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::digest::consts::U10;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::{NoContext, Timestamp, Uuid};

use crate::error::Invalid;
use crate::rule::Rule;

/// Maximum length of a tenant or user id from a token or an event, in characters.
pub const MAX_NAME: usize = 128;

/// Parses an external id: 1–128 visible ASCII characters other than `#`, which separates the parts of table keys.
fn external_id(field: &str, text: &str) -> Result<String, Invalid> {
    let fine =
        (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if fine { Ok(text.to_owned()) } else { Err(Invalid::one(field, Rule::NotIdentifier { max: MAX_NAME })) }
}

macro_rules! external_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses an id: 1–128 visible ASCII characters without `#`.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                external_id($field, text).map(Self)
            }

            /// Returns the id as text.
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

external_id!(
    /// A tenant, as named by a verified token or a trusted event. Part of every table key.
    TenantId,
    "tenantid"
);
external_id!(
    /// A user or client of a tenant: the token's subject.
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
            /// Returns a new id that sorts by `at`, to the millisecond; the other bits are random. A time before 1970 counts as 1970.
            #[must_use]
            pub fn mint(at: OffsetDateTime) -> Self {
                let seconds = u64::try_from(at.unix_timestamp()).unwrap_or(0);
                Self(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.nanosecond())))
            }

            /// Returns the id of a moment with given bits in place of random ones. A time before 1970 counts as 1970.
            #[must_use]
            pub fn with_bits(at: OffsetDateTime, bits: &[u8; 10]) -> Self {
                let millis = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, bits).into_uuid())
            }

            /// Returns the smallest id of a moment: ids minted from then on are larger, ids minted before are smaller.
            #[must_use]
            pub fn lowest_at(at: OffsetDateTime) -> Self {
                Self::with_bits(at, &[0; 10])
            }

            /// Returns the time the id was minted for, to the millisecond. For an id that is not a `UUIDv7`, returns the start of 1970.
            #[must_use]
            pub fn time(&self) -> OffsetDateTime {
                let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |t| t.to_unix());
                let seconds = i64::try_from(seconds).unwrap_or(0);
                OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
                    + time::Duration::nanoseconds(i64::from(nanos))
            }

            /// Returns random bits of the id as a fraction in `0.0..1.0`: a jitter that needs no other randomness.
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
                // Only the canonical spelling is accepted, because table keys have no other.
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
    /// A recovery, which sends a webhook's failed deliveries since some time again.
    RecoveryId
);
minted_id!(
    /// A delivery attempt. Also the sort key of the history row: ids sort by the time when the attempt is due.
    DeliveryId
);

impl DeliveryId {
    /// Returns the id of an attempt at `at` that follows from this one. The result depends on the arguments only, so a message that is
    /// received twice leads to one further attempt. `why` distinguishes attempts that follow from the same one.
    #[must_use]
    pub fn following(self, why: &str, at: OffsetDateTime) -> Self {
        let digest = Sha256::new().chain_update(self.to_string()).chain_update(why).finalize();
        let (bits, _) = digest.split::<U10>();
        Self::with_bits(at, &bits.into())
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn id_contains_its_time_and_sorts_by_it() {
        let early = DeliveryId::mint(datetime!(2026-11-24 10:00:00.123 UTC));
        let late = DeliveryId::mint(datetime!(2026-11-24 10:00:00.124 UTC));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.time(), datetime!(2026-11-24 10:00:00.123 UTC));
        assert!((0.0..1.0).contains(&early.fraction()));
        let lowest = DeliveryId::lowest_at(datetime!(2026-11-24 10:00:00.124 UTC));
        assert!(early < lowest && lowest < late);
    }

    #[test]
    fn id_in_other_spelling_is_rejected() {
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
    fn following_id_is_deterministic() {
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let (one, other) = (DeliveryId::mint(now), DeliveryId::mint(now));
        let at = now + time::Duration::minutes(10);
        assert_eq!(one.following("retry", at), one.following("retry", at));
        assert_eq!(one.following("retry", at).time(), at);
        assert_ne!(one.following("retry", at), one.following("recover", at));
        assert_ne!(one.following("retry", at), other.following("retry", at));
        let known: DeliveryId = "0193602b-0c7b-7000-8000-000000000000".parse().unwrap();
        let stored = "01a20cff-7d00-7114-acb6-26eb0fe59a07";
        assert_eq!(known.following("retry", datetime!(2026-11-24 10:00 UTC)).to_string(), stored);
    }

    #[test]
    fn external_id_that_breaks_a_table_key_is_rejected() {
        assert!(TenantId::parse("oZcMPa_1PwH4FUdrh6839YHHdEJN").is_ok());
        assert!(TenantId::parse("auth0|b62a17").is_ok());
        for bad in ["", "a#b", "a b", "a\n", "é", &"x".repeat(129)] {
            assert!(TenantId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
