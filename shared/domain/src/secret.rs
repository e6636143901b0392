//! A webhook's signing secret: 32–64 characters, wiped from memory when dropped, never printed.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::Invalid;
use crate::rule::Rule;

/// Bounds of a secret, in characters (contract section 4).
pub const SECRET_CHARS: std::ops::RangeInclusive<usize> = 32..=64;

/// A signing secret. `Debug` shows no part of it, and there is no `Display` or `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Checks that a secret has 32 to 64 characters and no control characters.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        let text = Zeroizing::new(text);
        if !SECRET_CHARS.contains(&text.chars().count()) {
            let (min, max) = (*SECRET_CHARS.start(), *SECRET_CHARS.end());
            return Err(Invalid::one("secret", Rule::Length { min, max }));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::one("secret", Rule::ControlCharacters));
        }
        Ok(Self(text))
    }

    /// Returns the secret itself; for signing and storing only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_length_is_in_characters_and_debug_hides_it() {
        assert!(Secret::parse("s".repeat(31)).is_err());
        assert!(Secret::parse("s".repeat(65)).is_err());
        assert!(Secret::parse("é".repeat(64)).is_ok());
        assert!(Secret::parse("s".repeat(31) + "\n").is_err());
        let secret = Secret::parse("correct horse battery staple, well.".to_owned()).unwrap();
        assert!(!format!("{secret:?}").contains("horse"));
    }
}
