//! Decodes a text into views: escapes, entities, base64, hex. Each view takes one pass over the text.

use zeroize::Zeroizing;

/// A decoded text. ASCII is exact; any other character is one byte that is neither a letter nor a digit.
pub(super) type View = Zeroizing<Vec<u8>>;

/// Replaces every character outside ASCII; header values have none.
const OTHER: u8 = 0x80;

/// Maximum length of an HTML tag that is removed from a text.
const LONGEST_TAG: usize = 80;

/// Minimum number of characters that a run of base64 or hex digits must decode to.
const SHORTEST_RUN: usize = 4;

/// Returns every view of a text that differs from the text.
pub(super) fn of(text: &[u8]) -> Vec<View> {
    let mut views = Vec::new();
    for step in [percent, entity, escape, quoted_printable, joined] {
        views.extend(rewritten(text, step));
    }
    views.extend(base64(text));
    views.extend(hex(text));
    views.extend(decimal(text));
    views
}

/// Decodes the start of a text. Returns the character (`None` joins the text around it) and the length of its encoding.
type Step = fn(&[u8]) -> Option<(Option<u8>, usize)>;

fn rewritten(text: &[u8], step: Step) -> Option<View> {
    let mut view = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut rest, mut changed) = (text, false);
    while let Some((first, after)) = rest.split_first() {
        if let Some((byte, length)) = step(rest) {
            view.extend(byte);
            rest = rest.get(length..).unwrap_or_default();
            changed = true;
        } else {
            view.push(*first);
            rest = after;
        }
    }
    changed.then_some(view)
}

/// Decodes `%41`, `%u0041`, and `+` for a space.
fn percent(text: &[u8]) -> Option<(Option<u8>, usize)> {
    match text {
        [b'+', ..] => Some((Some(b' '), 1)),
        [b'%', b'u' | b'U', digits @ ..] => {
            code(digits, 16, 4, 4).map(|(byte, length)| (Some(byte), length + 2))
        }
        [b'%', digits @ ..] => code(digits, 16, 2, 2).map(|(byte, length)| (Some(byte), length + 1)),
        _ => None,
    }
}

/// Decodes `&amp;`, `&#65;` and `&#x41;`, and removes tags such as `<br>`.
fn entity(text: &[u8]) -> Option<(Option<u8>, usize)> {
    let (byte, length) = match text {
        [b'<', b'a'..=b'z' | b'A'..=b'Z' | b'/', rest @ ..] => {
            let end = rest.iter().take(LONGEST_TAG).position(|byte| *byte == b'>')?;
            return Some((None, end + 3));
        }
        [b'&', b'#', b'x' | b'X', digits @ ..] => {
            code(digits, 16, 1, 8).map(|(byte, length)| (byte, length + 3))?
        }
        [b'&', b'#', digits @ ..] => code(digits, 10, 1, 8).map(|(byte, length)| (byte, length + 2))?,
        [b'&', rest @ ..] => {
            let (name, byte) = ENTITIES.iter().find(|(name, _)| {
                rest.get(..name.len()).is_some_and(|b| b.eq_ignore_ascii_case(name.as_bytes()))
            })?;
            return Some((Some(*byte), name.len() + 1));
        }
        _ => return None,
    };
    let closed = text.get(length) == Some(&b';');
    Some((Some(byte), length + usize::from(closed)))
}

/// HTML's names of ASCII characters.
const ENTITIES: [(&str, u8); 42] = [
    ("amp;", b'&'),
    ("lt;", b'<'),
    ("gt;", b'>'),
    ("quot;", b'"'),
    ("apos;", b'\''),
    ("nbsp;", b' '),
    ("tab;", b'\t'),
    ("newline;", b'\n'),
    ("excl;", b'!'),
    ("num;", b'#'),
    ("dollar;", b'$'),
    ("percnt;", b'%'),
    ("lpar;", b'('),
    ("rpar;", b')'),
    ("ast;", b'*'),
    ("midast;", b'*'),
    ("plus;", b'+'),
    ("comma;", b','),
    ("hyphen;", b'-'),
    ("dash;", b'-'),
    ("period;", b'.'),
    ("sol;", b'/'),
    ("colon;", b':'),
    ("semi;", b';'),
    ("equals;", b'='),
    ("quest;", b'?'),
    ("commat;", b'@'),
    ("lsqb;", b'['),
    ("lbrack;", b'['),
    ("bsol;", b'\\'),
    ("rsqb;", b']'),
    ("rbrack;", b']'),
    ("hat;", b'^'),
    ("lowbar;", b'_'),
    ("underbar;", b'_'),
    ("grave;", b'`'),
    ("lcub;", b'{'),
    ("lbrace;", b'{'),
    ("verbar;", b'|'),
    ("vert;", b'|'),
    ("rcub;", b'}'),
    ("rbrace;", b'}'),
];

/// Decodes backslash escapes of JSON, C and similar languages.
fn escape(text: &[u8]) -> Option<(Option<u8>, usize)> {
    let [b'\\', after @ ..] = text else { return None };
    let (byte, length) = match after {
        [b'u' | b'U', b'{', digits @ ..] => {
            let (byte, length) = code(digits, 16, 1, 6)?;
            (byte, length + 3)
        }
        [b'U', digits @ ..] => {
            // Eight digits, or four if the whole text was uppercased.
            let (byte, length) = code(digits, 16, 8, 8).or_else(|| code(digits, 16, 4, 4))?;
            (byte, length + 1)
        }
        [b'u', digits @ ..] => code(digits, 16, 4, 4).map(|(byte, length)| (byte, length + 1))?,
        [b'x' | b'X', digits @ ..] => code(digits, 16, 2, 2).map(|(byte, length)| (byte, length + 1))?,
        [b'0'..=b'7', ..] => code(after, 8, 1, 3)?,
        [b'\r', b'\n', ..] => return Some((None, 3)),
        [b'\n', ..] => return Some((None, 2)),
        [b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'a' | b'e', ..] => (b'\n', 1),
        [other, ..] => (*other, 1),
        [] => return None,
    };
    Some((Some(byte), length + 1))
}

/// Decodes `=41`, and removes soft line breaks.
fn quoted_printable(text: &[u8]) -> Option<(Option<u8>, usize)> {
    match text {
        [b'=', b'\r', b'\n', ..] => Some((None, 3)),
        [b'=', b'\n', ..] => Some((None, 2)),
        [b'=', digits @ ..] => code(digits, 16, 2, 2).map(|(byte, length)| (Some(byte), length + 1)),
        _ => None,
    }
}

/// Joins folded lines, including the indentation that follows, and UTF-16 that was read as another encoding.
fn joined(text: &[u8]) -> Option<(Option<u8>, usize)> {
    match text {
        [0, ..] => Some((None, 1)),
        [b'\r' | b'\n', ..] => {
            let blank = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            Some((None, blank))
        }
        _ => None,
    }
}

/// Decodes a number of `least` to `most` digits to its character. Also returns the number of digits.
fn code(text: &[u8], base: u32, least: usize, most: usize) -> Option<(u8, usize)> {
    let digits = text.iter().take(most).map_while(|byte| char::from(*byte).to_digit(base));
    let (mut number, mut length) = (0_u32, 0);
    for digit in digits {
        number = number.saturating_mul(base).saturating_add(digit);
        length += 1;
    }
    let byte = u8::try_from(number).ok().filter(u8::is_ascii).unwrap_or(OTHER);
    (length >= least).then_some((byte, length))
}

/// Decodes the base64 in a text, in both alphabets, with lines joined. Returns four views: each of four consecutive digits can be the first
/// of a group, because the text before can look like digits too.
fn base64(text: &[u8]) -> Vec<View> {
    let views = runs(text, |rest| match rest {
        [b' ' | b'\t' | b'\r' | b'\n', ..] => Some((None, 1)),
        [byte, ..] => sextet(*byte).map(|value| (Some(value), 1)),
        [] => None,
    });
    (0..4).filter_map(|skipped| decoded(&views, skipped, 6, SHORTEST_RUN * 8 / 6)).collect()
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

/// Decodes the hex digits in a text, with any common separator.
fn hex(text: &[u8]) -> Vec<View> {
    let views = runs(text, |rest| match rest {
        [b'0' | b'\\', b'x' | b'X', ..] => Some((None, 2)),
        [b' ' | b'\t' | b'\r' | b'\n' | b':' | b'-' | b',' | b'.' | b'"' | b'\'', ..] => Some((None, 1)),
        [byte, ..] => {
            char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).map(|d| (Some(d), 1))
        }
        [] => None,
    });
    (0..2).filter_map(|skipped| decoded(&views, skipped, 4, SHORTEST_RUN * 2)).collect()
}

/// Returns the digits of a text: `Some` is a digit, `None` is the end of a run.
fn runs(text: &[u8], digit: impl Fn(&[u8]) -> Option<(Option<u8>, usize)>) -> Zeroizing<Vec<Option<u8>>> {
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((_, after)) = rest.split_first() {
        if let Some((digit, length)) = digit(rest) {
            digits.extend(digit.map(Some));
            rest = rest.get(length..).unwrap_or_default();
        } else {
            if digits.last().is_some_and(Option::is_some) {
                digits.push(None);
            }
            rest = after;
        }
    }
    digits
}

/// Decodes runs of digits of this many bits, each without its first few. Returns `None` when no run is long enough.
fn decoded(digits: &[Option<u8>], skipped: usize, bits: u32, shortest: usize) -> Option<View> {
    let mut view = Zeroizing::new(Vec::with_capacity(digits.len() * 3 / 4));
    let mut found = false;
    for run in digits.split(Option::is_none).filter(|run| run.len() >= shortest + skipped) {
        if found {
            view.push(OTHER);
        }
        let (mut held, mut count) = (0_u32, 0);
        let mut readable = view.len();
        for digit in run.iter().skip(skipped).flatten() {
            held = (held << bits) | u32::from(*digit);
            count += bits;
            if count < 8 {
                continue;
            }
            count -= 8;
            let byte = u8::try_from((held >> count) & 0xff).unwrap_or(OTHER);
            if byte.is_ascii_graphic() || b" \t\r\n\0".contains(&byte) {
                view.push(byte);
                continue;
            }
            // Bytes that are not text were not encoded text: keep only stretches that are long enough.
            if view.len() < readable + SHORTEST_RUN {
                view.truncate(readable);
            }
            if view.last() != Some(&OTHER) {
                view.push(OTHER);
            }
            readable = view.len();
        }
        found = true;
    }
    found.then_some(view)
}

/// Decodes lists of numbers, such as `[66,101,97]`.
fn decimal(text: &[u8]) -> Option<View> {
    let mut view = Zeroizing::new(Vec::new());
    let mut in_a_row = 0;
    let mut found = false;
    for word in text.split(|byte| b", \t\r\n;".contains(byte)).filter(|word| !word.is_empty()) {
        let word = without_brackets(word);
        if let Some((byte, _)) = code(word, 10, 1, 3).filter(|(_, length)| *length == word.len()) {
            view.push(byte);
            in_a_row += 1;
            found |= in_a_row >= SHORTEST_RUN;
        } else {
            view.push(OTHER);
            in_a_row = 0;
        }
    }
    found.then_some(view)
}

/// Returns the number in a word, which may be in brackets or follow the name of a member.
fn without_brackets(word: &[u8]) -> &[u8] {
    let start = word.iter().rposition(|byte| b"[({:".contains(byte)).map_or(0, |at| at + 1);
    let word = word.get(start..).unwrap_or_default();
    let end = word.iter().position(|byte| b"])}".contains(byte)).unwrap_or(word.len());
    word.get(..end).unwrap_or_default()
}

/// Decodes a percent-encoded text. Returns `None` if the text contains no `%`.
pub(super) fn percent_decoded(text: &[u8]) -> Option<View> {
    text.contains(&b'%').then(|| rewritten(text, percent)).flatten()
}

/// Decodes a text that is base64 as a whole.
pub(super) fn base64_decoded(text: &[u8]) -> Option<View> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let text = text.get(..text.len() - padding).unwrap_or_default();
    let digits: Option<Vec<_>> = text.iter().map(|byte| sextet(*byte).map(Some)).collect();
    decoded(&Zeroizing::new(digits?), 0, 6, SHORTEST_RUN)
}
