//! Text that people write and search: the characters that names can contain, and the comparison of spellings.

use icu_normalizer::uts46::Uts46MapperBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;

use crate::characters::{is_noncharacter, overrides_direction};
use crate::rule::Rule;

/// Returns the form by which names are compared and sorted: equal for spellings that differ in case, in their Unicode form (NFC, NFD, and
/// the compatibility forms, such as full-width letters), or in invisible characters. Uses the mapping of UTS #46, which is already linked
/// for host names; tables for NFC would make the binary larger.
#[must_use]
pub fn search_form(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mapper = Uts46MapperBorrowed::new();
    let folded = |part: &str| -> String {
        // A final sigma has to match a search for any sigma.
        mapper.map_normalize(part.chars()).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
    };
    // The mapping replaces characters that host names cannot contain with U+FFFD. This function keeps them.
    let is_own = |c: char| folded(c.encode_utf8(&mut [0; 4])).starts_with(char::REPLACEMENT_CHARACTER);
    let mut form = String::with_capacity(text.len());
    for part in text.split_inclusive(is_own) {
        match part.char_indices().next_back() {
            Some((at, last)) if is_own(last) => {
                form.push_str(&folded(part.get(..at).unwrap_or_default()));
                form.push(last);
            }
            _ => form.push_str(&folded(part)),
        }
    }
    form
}

/// Returns the rule that forbids a character in a text that people read, if there is one.
pub(crate) fn refusal(c: char) -> Option<Rule> {
    match c {
        c if c.is_control() => Some(Rule::ControlCharacters),
        // The marks U+200E, U+200F and U+061C are allowed, because names in two scripts need them.
        c if overrides_direction(c) => Some(Rule::DirectionOverrides),
        c if is_noncharacter(c) => Some(Rule::Noncharacters),
        _ => None,
    }
}

/// Returns whether a character is visible by itself. Marks are not: they belong to the letter before them.
pub(crate) fn is_visible(c: char) -> bool {
    use GeneralCategory as G;
    let shapeless = matches!(
        CodePointMapData::<GeneralCategory>::new().get(c),
        G::Control
            | G::Format
            | G::Surrogate
            | G::SpaceSeparator
            | G::LineSeparator
            | G::ParagraphSeparator
            | G::NonspacingMark
            | G::SpacingMark
            | G::EnclosingMark
    );
    !shapeless && !is_blank(c)
}

/// Returns whether a letter, a symbol or a reserved code point is blank: characters with the property `Default_Ignorable_Code_Point`
/// outside the categories above, and the blanks of braille, musical notation and hieroglyphs.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{115f}' | '\u{1160}' | '\u{2065}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
            | '\u{13441}' | '\u{13442}' | '\u{1d159}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn k8_search_form_ignores_case_and_unicode_form() {
        for (one, other) in [
            ("Café", "cafe\u{301}"),
            ("ÅNGSTRÖM", "a\u{30a}ngstro\u{308}m"),
            ("한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"),
            ("ΟΔΟΣ", "οδος"),
            ("ＡＢＣ", "abc"),
            ("Reloads ❤\u{fe0f}", "reloads ❤"),
            ("a\u{200b}b", "AB"),
            ("\u{2028}é", "\u{2028}E\u{301}"),
        ] {
            assert_eq!(search_form(one), search_form(other), "{one} {other}");
        }
        for (one, other) in
            [("é", "e"), ("\u{2028}é", "\u{2029}é"), ("\u{e000}ä", "\u{e001}ä"), ("क्ष", "क\u{94d}\u{200c}ष")]
        {
            assert_ne!(search_form(one), search_form(other), "{one} {other}");
        }
        assert_eq!(search_form("A b_C-1"), "a b_c-1");
        assert!(search_form("Bestellungen für KÖLN").contains(&search_form("ko\u{308}ln")));
    }

    #[test]
    fn k8_letters_are_visible_and_blanks_are_not() {
        for c in ['a', '1', '-', '€', 'é', '中', 'ي', '😀', '\u{e000}', '\u{fffd}'] {
            assert!(is_visible(c), "{c:?}");
        }
        for c in [
            ' ',
            '\t',
            '\u{a0}',
            '\u{ad}',
            '\u{300}',
            '\u{34f}',
            '\u{903}',
            '\u{115f}',
            '\u{1160}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{2060}',
            '\u{2065}',
            '\u{20dd}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{1d173}',
            '\u{e0041}',
            '\u{e0100}',
        ] {
            assert!(!is_visible(c), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn k8_search_form_is_idempotent(text in any::<String>()) {
            let form = search_form(&text);
            prop_assert_eq!(search_form(&form), form.clone());
            prop_assert_eq!(search_form(&text.to_lowercase()), search_form(&text));
        }
    }
}
