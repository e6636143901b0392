//! Page cursors that only we can write: a client can carry one, and nobody can make or change one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::digest::common::Key;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of the tag in front of a cursor: 128 bits, of which no guess will ever hit one.
const TAG: usize = 16;

/// Longest cursor read, in characters. Ours hold a webhook's name at most.
const MAX_CURSOR: usize = 4096;

/// The deployment's key for cursors.
#[derive(Clone)]
pub struct CursorKey(Zeroizing<[u8; 32]>);

impl CursorKey {
    /// The key with these bytes, which nobody else should know.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A fresh key from the system's random numbers.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self::new(bytes))
    }

    /// The key itself, for storing only.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Writes a cursor: unpadded base64url of a tag and the position's JSON. `list` names the list and the order it is in;
    /// in another one the cursor does not count.
    pub fn seal<T: Serialize>(&self, list: &str, position: &T) -> String {
        // Positions are small tuples of strings and ids: they always have a JSON form.
        let position = serde_json::to_vec(position).unwrap_or_default();
        let tag = self.mac(list, &position).finalize().into_bytes();
        let mut cursor: Vec<u8> = tag.iter().copied().take(TAG).collect();
        cursor.extend(position);
        URL_SAFE_NO_PAD.encode(cursor)
    }

    /// Reads a cursor back; `None` when it is not one of ours, of this list and order.
    #[must_use]
    pub fn open<T: DeserializeOwned>(&self, list: &str, cursor: &str) -> Option<T> {
        let cursor = Some(cursor).filter(|cursor| cursor.len() <= MAX_CURSOR)?;
        let cursor = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (tag, position) = cursor.split_at_checked(TAG)?;
        self.mac(list, position).verify_truncated_left(tag).ok()?;
        serde_json::from_slice(position).ok()
    }

    fn mac(&self, list: &str, position: &[u8]) -> Hmac<Sha256> {
        // The block-sized key of RFC 2104: 32 bytes and zeros.
        let mut block = Key::<Hmac<Sha256>>::default();
        for (place, byte) in block.iter_mut().zip(self.0.iter()) {
            *place = *byte;
        }
        let mut mac = Hmac::<Sha256>::new(&block);
        // Its length first, so that no two different pairs are the same text.
        mac.update(&u64::try_from(list.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(list.as_bytes());
        mac.update(position);
        mac
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_nothing_else_passes_for_one() {
        let key = CursorKey::new([7; 32]);
        let cursor = key.seal("webhooks +name", &("näme", 7));
        assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{cursor}");
        let open = |key: &CursorKey, list, cursor: &str| key.open::<(String, u8)>(list, cursor);
        assert_eq!(open(&key, "webhooks +name", &cursor), Some(("näme".to_owned(), 7)));
        assert_eq!(open(&key, "webhooks -name", &cursor), None);
        assert_eq!(open(&CursorKey::new([8; 32]), "webhooks +name", &cursor), None);
        assert_eq!(key.open::<u8>("webhooks +name", &cursor), None);
        for foreign in ["", "!!", "AAAA", &cursor[1..], &format!("{cursor}A")] {
            assert_eq!(open(&key, "webhooks +name", foreign), None, "{foreign}");
        }
        // Not one bit of it can be changed.
        let bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, "webhooks +name", &URL_SAFE_NO_PAD.encode(changed)), None, "bit {bit}");
        }
    }

    #[test]
    fn keys_are_random_and_not_shown() {
        let (one, other) = (CursorKey::random().unwrap(), CursorKey::random().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(format!("{one:?}"), "CursorKey(…)");
    }
}
