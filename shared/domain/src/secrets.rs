//! Webhook secrets, in plaintext (`Secrets`) and encrypted at rest (`Sealed`).

use std::fmt;

use time::{Duration, OffsetDateTime};

use crate::headers::EncryptedHeaders;
use crate::secret::Secret;

/// How long a replaced secret still signs, in the header that can contain several signatures.
pub const SECRET_GRACE: Duration = Duration::hours(24);
/// Maximum number of retired secrets. If secrets change faster, the oldest is dropped first.
pub const MAX_RETIRED: usize = 4;

/// A secret that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredSecret {
    /// The secret.
    pub secret: Secret,
    /// Until when the secret still signs.
    pub until: OffsetDateTime,
}

/// The secrets of a webhook in plaintext: in memory only, and wiped when dropped. `Debug` shows no part of them, and there is no
/// `Serialize`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The signing secret. Without one, requests carry no signature.
    pub secret: Option<Secret>,
    /// Replaced secrets that still sign, the latest first.
    pub retired: Vec<RetiredSecret>,
    /// Additional headers whose values only the receiver sees.
    pub encrypted_headers: EncryptedHeaders,
}

impl Secrets {
    /// Returns whether there are no secrets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.secret.is_none() && self.retired.is_empty() && self.encrypted_headers.is_empty()
    }

    /// Returns these secrets as the replacement of `old` at `now`: a replaced signing secret still signs for [`SECRET_GRACE`].
    #[must_use]
    pub fn replacing(mut self, old: &Self, now: OffsetDateTime) -> Self {
        self.retired = match &self.secret {
            // Without a secret there are no signatures at all.
            None => Vec::new(),
            Some(new) => {
                let until = now + SECRET_GRACE;
                let replaced = old.secret.as_ref().filter(|old| *old != new);
                let replaced = replaced.map(|old| RetiredSecret { secret: old.clone(), until });
                let before = old.retired.iter().filter(|retired| retired.until > now).cloned();
                replaced.into_iter().chain(before).take(MAX_RETIRED).collect()
            }
        };
        self
    }

    /// Returns the secrets that sign at `now`, the current one first.
    pub fn signing(&self, now: OffsetDateTime) -> impl Iterator<Item = &Secret> {
        let retired = self.retired.iter().filter(move |retired| retired.until > now);
        self.secret.iter().chain(retired.map(|retired| &retired.secret))
    }
}

/// [`Secrets`] as stored: encrypted for one tenant and webhook, with the parts that clients can see.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The encrypted secrets, which only a vault can open.
    pub ciphertext: Vec<u8>,
    /// Whether the ciphertext contains a signing secret.
    pub has_secret: bool,
    /// The names of the encrypted headers whose values the ciphertext contains, sorted.
    pub header_names: Vec<String>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("has_secret", &self.has_secret)
            .field("header_names", &self.header_names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn with(n: Option<u32>) -> Secrets {
        let secret = n.map(|n| Secret::parse(format!("{n:032}")).unwrap());
        Secrets { secret, ..Secrets::default() }
    }

    fn signing(secrets: &Secrets, now: OffsetDateTime) -> Vec<&str> {
        secrets.signing(now).map(|secret| secret.expose().trim_start_matches('0')).collect()
    }

    #[test]
    fn replaced_secret_signs_for_the_grace_period() {
        let start = time::macros::datetime!(2026-11-24 10:00 UTC);
        let after = |hours| start + Duration::hours(hours);
        let first = with(Some(1));
        assert_eq!(signing(&first, start), ["1"]);
        let unchanged = with(Some(1)).replacing(&first, start);
        assert_eq!(unchanged, first);
        let second = with(Some(2)).replacing(&unchanged, after(1));
        let third = with(Some(3)).replacing(&second, after(2));
        assert_eq!(signing(&third, after(24)), ["3", "2", "1"]);
        assert_eq!(signing(&third, after(25)), ["3", "2"]);
        assert_eq!(signing(&third, after(26)), ["3"]);
        let bare = with(None).replacing(&third, after(3));
        assert!(bare.is_empty());
        let again = with(Some(4)).replacing(&bare, after(4));
        assert_eq!(signing(&again, after(4)), ["4"], "a removed secret stays removed");
        let many = (5..20).fold(again, |old, n| with(Some(n)).replacing(&old, after(4)));
        assert_eq!(signing(&many, after(4)).len(), 1 + MAX_RETIRED);
        assert_eq!(signing(&many, after(28)), ["19"]);
    }

    #[test]
    fn debug_shows_no_secret() {
        let values = BTreeMap::from([("X-Token".to_owned(), "for the receiver alone".to_owned())]);
        let secrets = Secrets {
            encrypted_headers: EncryptedHeaders::parse(values).unwrap(),
            ..with(Some(2)).replacing(&with(Some(1)), OffsetDateTime::UNIX_EPOCH)
        };
        let shown = format!("{secrets:?}");
        assert!(shown.contains("X-Token") && !shown.contains("000") && !shown.contains("alone"), "{shown}");
        let sealed = Sealed { ciphertext: vec![77, 77], has_secret: true, header_names: Vec::new() };
        assert!(!format!("{sealed:?}").contains("77"));
    }
}
