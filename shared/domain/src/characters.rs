//! Characters that texts must not contain because of what they do to their surroundings.

/// Returns whether a character reverses the text next to it, even outside the text that contains it (UAX #9, section 2; Unicode security
/// considerations, section 2.10). The marks U+200E, U+200F and U+061C do not: they act like invisible letters.
pub(crate) fn overrides_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns whether a code point is not for interchange (The Unicode Standard, section 23.7).
pub(crate) fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}
