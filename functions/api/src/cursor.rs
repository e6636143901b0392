//! Page cursors with an authentication tag, so that clients cannot create or change them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::digest::common::Key;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Length of the tag before the position, in bytes. 128 bits cannot be guessed.
const TAG: usize = 16;

/// Maximum length of a cursor, in characters. The longest positions contain the name of a webhook.
const MAX_CURSOR: usize = 4096;

/// The deployment's key for page cursors.
#[derive(Clone)]
pub struct CursorKey(Zeroizing<[u8; 32]>);

impl CursorKey {
    /// Returns the key with these bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of a fresh random key.
    ///
    /// # Errors
    /// The system's random number generator failed.
    pub fn random() -> Result<Zeroizing<[u8; 32]>, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(bytes)
    }

    /// Returns a cursor: unpadded base64url of a tag and the position's JSON. `list` names the list and its order; the cursor is invalid
    /// for any other list.
    ///
    /// # Panics
    /// Never, because positions are tuples of strings and ids, which always have a JSON form.
    #[expect(clippy::expect_used, reason = "positions are tuples of strings and ids")]
    pub fn seal<T: Serialize>(&self, list: &str, position: &T) -> String {
        let position = serde_json::to_vec(position).expect("a position has a JSON form");
        let tag = self.mac(list, &position).finalize().into_bytes();
        let mut cursor: Vec<u8> = tag.iter().copied().take(TAG).collect();
        cursor.extend(position);
        URL_SAFE_NO_PAD.encode(cursor)
    }

    /// Returns the position of a cursor, or `None` if the key did not seal it for this list and order.
    #[must_use]
    pub fn open<T: DeserializeOwned>(&self, list: &str, cursor: &str) -> Option<T> {
        let cursor = Some(cursor).filter(|cursor| cursor.len() <= MAX_CURSOR)?;
        let cursor = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (tag, position) = cursor.split_at_checked(TAG)?;
        self.mac(list, position).verify_truncated_left(tag).ok()?;
        serde_json::from_slice(position).ok()
    }

    fn mac(&self, list: &str, position: &[u8]) -> Hmac<Sha256> {
        // A key of one block: 32 bytes, padded with zeros (RFC 2104).
        let mut block = Key::<Hmac<Sha256>>::default();
        for (place, byte) in block.iter_mut().zip(self.0.iter()) {
            *place = *byte;
        }
        let mut mac = Hmac::<Sha256>::new(&block);
        // The length first ensures that different pairs never yield the same text.
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
    fn sealed_cursor_opens_and_any_other_is_rejected() {
        let key = CursorKey::new([7; 32].into());
        let cursor = key.seal("webhooks +name", &("näme", 7));
        assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{cursor}");
        let open = |key: &CursorKey, list, cursor: &str| key.open::<(String, u8)>(list, cursor);
        assert_eq!(open(&key, "webhooks +name", &cursor), Some(("näme".to_owned(), 7)));
        assert_eq!(open(&key, "webhooks -name", &cursor), None);
        assert_eq!(open(&CursorKey::new([8; 32].into()), "webhooks +name", &cursor), None);
        assert_eq!(key.open::<u8>("webhooks +name", &cursor), None);
        for foreign in ["", "!!", "AAAA", &cursor[1..], &format!("{cursor}A")] {
            assert_eq!(open(&key, "webhooks +name", foreign), None, "{foreign}");
        }
        // A change of any bit is detected.
        let bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, "webhooks +name", &URL_SAFE_NO_PAD.encode(changed)), None, "bit {bit}");
        }
    }

    #[test]
    fn keys_are_random_and_debug_hides_them() {
        let (one, other) = (CursorKey::random().unwrap(), CursorKey::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(format!("{:?}", CursorKey::new(one)), "CursorKey(…)");
    }
}
