//! The needles that redaction searches for: parts of secret values, cut into fragments.

use zeroize::Zeroizing;

/// Length of a fragment, in characters. Fragments are searched anywhere in a text.
pub(super) const FRAGMENT: usize = 8;

/// Minimum length of a part that is searched inside other text, as a separate word.
pub(super) const SHORTEST: usize = 4;

/// Minimum number of secret characters in a fragment that also contains a scheme or the name of a parameter.
const SECRET_IN_FRAGMENT: usize = 6;

/// Maximum length of a parameter name.
const LONGEST_KEY: usize = 24;

/// Maximum length of an incomplete escape at the end of a view.
const LONGEST_REST: usize = 6;

/// First words of header values that are not secret: the schemes of IANA's HTTP authentication registry, and others in use.
const SCHEMES: [&str; 32] = [
    "basic",
    "bearer",
    "concealed",
    "digest",
    "dpop",
    "gnap",
    "hoba",
    "mutual",
    "negotiate",
    "oauth",
    "privatetoken",
    "scram-sha-1",
    "scram-sha-256",
    "vapid",
    "ntlm",
    "token",
    "apikey",
    "api-key",
    "key",
    "jwt",
    "hawk",
    "signature",
    "secret",
    "aws4-hmac-sha256",
    "splunk",
    "geniekey",
    "ssws",
    "sharedaccesssignature",
    "sharedkey",
    "hmac",
    "client-id",
    "password",
];

/// Short words that are common in responses and not secret.
const PLAIN_WORDS: [&str; 14] = [
    "true", "false", "null", "none", "http", "https", "json", "html", "text", "utf-8", "error", "type",
    "name", "test",
];

/// The needles, all in lower case.
pub(super) struct Needles {
    /// Whole parts, for texts that equal one, and for the end of a text that was cut.
    parts: Vec<Zeroizing<Vec<u8>>>,
    /// Whole values that start with a part that is not secret.
    values: Vec<Zeroizing<Vec<u8>>>,
    /// Unchanged fragments of parts.
    fragments: Set,
    /// Fragments of parts without whitespace and control characters.
    dense: Set,
    /// Fragments of the letters and digits of parts, also in base64.
    bare: Set,
    /// Parts shorter than a fragment, by length.
    short: Vec<(usize, Set)>,
}

impl Needles {
    pub(super) fn new<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut gathered = Gathered::default();
        for value in values.filter(|value| !value.is_empty()) {
            gathered.value(value);
        }
        let short = (SHORTEST..FRAGMENT).filter_map(|length| {
            let words = gathered.parts.iter().filter(|part| part.len() == length);
            let words =
                words.filter(|part| !PLAIN_WORDS.iter().any(|word| word.as_bytes() == part.as_slice()));
            let words: Vec<u64> = words.map(|part| packed(part)).collect();
            (!words.is_empty()).then(|| (length, Set::new(Zeroizing::new(words))))
        });
        Self {
            short: short.collect(),
            fragments: Set::new(gathered.fragments),
            dense: Set::new(gathered.dense),
            bare: Set::new(gathered.bare),
            parts: gathered.parts,
            values: gathered.values,
        }
    }

    /// Returns whether a text equals a part of any length.
    pub(super) fn is_part(&self, text: &str) -> bool {
        let text = text.trim().trim_matches('"');
        self.parts.iter().chain(&self.values).any(|part| part.eq_ignore_ascii_case(text.as_bytes()))
    }

    /// Returns whether a view contains a fragment of a part, or a short part as a word.
    pub(super) fn are_in(&self, view: &[u8]) -> bool {
        let (mut last, mut dense, mut bare) = (0_u64, 0_u64, 0_u64);
        let (mut seen, mut dense_seen, mut bare_seen) = (0_usize, 0_usize, 0_usize);
        let mut following = view.iter().skip(1);
        for byte in view {
            let byte = byte.to_ascii_lowercase();
            let next = following.next();
            last = (last << 8) | u64::from(byte);
            seen += 1;
            if seen >= FRAGMENT && self.fragments.has(last) {
                return true;
            }
            if byte.is_ascii_graphic() {
                dense = (dense << 8) | u64::from(byte);
                dense_seen += 1;
                if dense_seen >= FRAGMENT && self.dense.has(dense) {
                    return true;
                }
            }
            if byte.is_ascii_alphanumeric() {
                bare = (bare << 8) | u64::from(byte);
                bare_seen += 1;
                if bare_seen >= FRAGMENT && self.bare.has(bare) {
                    return true;
                }
            }
            if self.short.iter().any(|(length, words)| is_word(words, *length, seen, last, next)) {
                return true;
            }
        }
        false
    }

    /// Returns whether a view ends with the start of a part, because the text may have been cut there.
    pub(super) fn start_at_the_end_of(&self, view: &[u8]) -> bool {
        let tail = view.get(view.len().saturating_sub(FRAGMENT + LONGEST_REST)..).unwrap_or_default();
        let tail = Zeroizing::new(tail.to_ascii_lowercase());
        (0..=LONGEST_REST.min(tail.len())).any(|rest| {
            let (end, rest) = tail.split_at(tail.len() - rest);
            let is_escape = rest.first().is_none_or(|byte| b"\\%&=<".contains(byte));
            is_escape
                && self.parts.iter().any(|part| {
                    (SHORTEST..FRAGMENT.min(part.len()))
                        .any(|length| part.get(..length).is_some_and(|start| end.ends_with(start)))
                })
        })
    }
}

/// Returns whether the last characters are one of these words, without a letter or digit on either side that continues the word.
fn is_word(words: &Set, length: usize, seen: usize, last: u64, next: Option<&u8>) -> bool {
    let bits = length * 8;
    if seen < length || !words.has(last & !(u64::MAX << bits)) {
        return false;
    }
    let byte_at = |shift: usize| u8::try_from((last >> shift) & 0xff).unwrap_or_default();
    let continues =
        |inside: u8, outside: u8| inside.is_ascii_alphanumeric() && outside.is_ascii_alphanumeric();
    let before = if seen > length { byte_at(bits) } else { 0 };
    !continues(byte_at(bits - 8), before) && !continues(byte_at(0), next.copied().unwrap_or_default())
}

fn packed(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |packed, byte| (packed << 8) | u64::from(*byte))
}

// ---------------------------------------------------------------- the parts of a value

#[derive(Default)]
struct Gathered {
    parts: Vec<Zeroizing<Vec<u8>>>,
    values: Vec<Zeroizing<Vec<u8>>>,
    fragments: Zeroizing<Vec<u64>>,
    dense: Zeroizing<Vec<u64>>,
    bare: Zeroizing<Vec<u64>>,
}

impl Gathered {
    fn value(&mut self, value: &str) {
        let mask = secret_mask(value);
        if mask.iter().all(|secret| *secret) {
            self.whole(value.as_bytes());
        } else {
            self.values.push(Zeroizing::new(value.as_bytes().to_ascii_lowercase()));
            self.cut(value.as_bytes(), &mask);
        }
        let credentials = value.split_once([' ', '\t']).map_or(value, |(_, rest)| rest.trim());
        // Otherwise the value is a list, whose items are added below.
        if secret_mask(credentials).iter().all(|secret| *secret) {
            self.whole(credentials.as_bytes());
        }
        if let Some(plain) = credentials_in_base64(credentials) {
            self.whole(&plain);
            self.user_and_password(&plain);
        }
        self.user_and_password(credentials.as_bytes());
        for item in value.split([',', ';', '&', ' ', '\t']) {
            if let Some((_, item)) = item.split_once('=').filter(|(name, _)| is_key(name)) {
                self.whole(item.trim_matches('"').as_bytes());
            }
        }
    }

    fn user_and_password(&mut self, credentials: &[u8]) {
        if let Some(colon) = credentials.iter().position(|byte| *byte == b':') {
            let (user, password) = credentials.split_at(colon);
            self.whole(user);
            self.whole(password.get(1..).unwrap_or_default());
        }
    }

    /// Adds a part that is completely secret, and its decoded form if it is percent-encoded.
    fn whole(&mut self, part: &[u8]) {
        if part.is_empty() || self.parts.iter().any(|known| known.eq_ignore_ascii_case(part)) {
            return;
        }
        self.part(part);
        self.cut(part, &vec![true; part.len()]);
        if let Some(plain) = super::views::percent_decoded(part) {
            self.part(&plain);
            self.cut(&plain, &vec![true; plain.len()]);
        }
    }

    fn part(&mut self, part: &[u8]) {
        self.parts.push(Zeroizing::new(part.to_ascii_lowercase()));
    }

    /// Adds the fragments that are secret enough.
    fn cut(&mut self, part: &[u8], mask: &[bool]) {
        let lower = Zeroizing::new(part.to_ascii_lowercase());
        fragments(&lower, mask, &mut self.fragments);
        let only = |keep: fn(&u8) -> bool| {
            let kept = lower.iter().zip(mask).filter(|(byte, _)| keep(byte));
            let (bytes, mask): (Vec<u8>, Vec<bool>) = kept.unzip();
            (Zeroizing::new(bytes), mask)
        };
        let (dense, dense_mask) = only(u8::is_ascii_graphic);
        fragments(&dense, &dense_mask, &mut self.dense);
        let (bare, bare_mask) = only(u8::is_ascii_alphanumeric);
        fragments(&bare, &bare_mask, &mut self.bare);
        // Base64 that was lowercased or interrupted cannot be decoded, so its digits are searched.
        let start = mask.iter().position(|secret| *secret).unwrap_or(mask.len());
        let secret = part.get(start..).unwrap_or_default();
        for before in 0..3 {
            let mut digits = base64(secret, before);
            digits.retain(u8::is_ascii_alphanumeric);
            digits.make_ascii_lowercase();
            fragments(&digits, &vec![true; digits.len()], &mut self.bare);
        }
    }
}

fn fragments(text: &[u8], mask: &[bool], into: &mut Vec<u64>) {
    let secret = |flags: &[bool]| flags.iter().filter(|secret| **secret).count();
    let windows = text.windows(FRAGMENT).zip(mask.windows(FRAGMENT));
    into.extend(
        windows.filter(|(_, flags)| secret(flags) >= SECRET_IN_FRAGMENT).map(|(window, _)| packed(window)),
    );
    // A short secret after a long scheme has no such fragment, so its end is added with the characters before it.
    if secret(mask) < SECRET_IN_FRAGMENT && mask.last() == Some(&true) {
        into.extend(text.windows(FRAGMENT).last().map(packed));
    }
}

/// Returns the characters of a header value that are secret: all except its scheme, the names of its parameters, and the scheme of a URL.
fn secret_mask(value: &str) -> Vec<bool> {
    let mut mask = vec![true; value.len()];
    let mut open = |from: usize, length: usize| {
        if let Some(flags) = mask.get_mut(from..from + length) {
            flags.fill(false);
        }
    };
    let is_scheme = |word: &str| SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(word));
    if let Some((word, _)) = value.split_once(' ').filter(|(word, _)| is_scheme(word)) {
        open(0, word.len() + 1);
    }
    for scheme in ["https://", "http://"] {
        for (at, _) in value.match_indices(scheme) {
            open(at, scheme.len());
        }
    }
    let mut at = 0;
    for item in value.split([',', ';', '&', ' ', '\t']) {
        if let Some((name, _)) = item.split_once('=').filter(|(name, _)| is_key(name)) {
            open(at, name.len() + 1);
        }
        at += item.len() + 1;
    }
    mask
}

/// Returns whether a text is probably the name of a parameter, and not base64 with its padding.
fn is_key(name: &str) -> bool {
    (1..=LONGEST_KEY).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_.".contains(&byte))
}

/// Decodes `user:password` from base64.
fn credentials_in_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let decoded = super::views::base64_decoded(text.as_bytes())?;
    // The text can have any character set. Without control characters, it is unlikely to be a random token.
    let is_text = !decoded.iter().any(u8::is_ascii_control);
    (is_text && decoded.contains(&b':') && !decoded.starts_with(b"{")).then_some(decoded)
}

/// Returns the base64 digits of a text that do not depend on the bytes around it, if `before` bytes of a group precede it.
fn base64(text: &[u8], before: usize) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padding = std::iter::repeat_n(&0, before);
    let bytes = padding.chain(text);
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len() * 4 / 3 + 4));
    let (mut held, mut count) = (0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        count += 8;
        while count >= 6 {
            count -= 6;
            let digit = usize::try_from((held >> count) & 63).unwrap_or_default();
            digits.extend(DIGITS.get(digit));
        }
    }
    // The first digits also depend on the bytes before.
    let mixed = (before * 8).div_ceil(6).min(digits.len());
    digits.drain(..mixed);
    digits
}

// ---------------------------------------------------------------- sets

/// A set of numbers, optimized for lookups of missing numbers, the common case.
struct Set {
    sorted: Zeroizing<Vec<u64>>,
    /// One bit per hash of a number.
    hints: Zeroizing<Vec<u64>>,
}

const HINT_BITS: u32 = 16;

impl Set {
    fn new(mut numbers: Zeroizing<Vec<u64>>) -> Self {
        numbers.sort_unstable();
        numbers.dedup();
        let mut hints = Zeroizing::new(vec![0; 1 << (HINT_BITS - 6)]);
        for number in numbers.iter() {
            let (word, bit) = hint(*number);
            if let Some(word) = hints.get_mut(word) {
                *word |= bit;
            }
        }
        Self { sorted: numbers, hints }
    }

    fn has(&self, number: u64) -> bool {
        let (word, bit) = hint(number);
        self.hints.get(word).is_some_and(|word| word & bit != 0) && self.sorted.binary_search(&number).is_ok()
    }
}

fn hint(number: u64) -> (usize, u64) {
    let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HINT_BITS);
    (usize::try_from(hash >> 6).unwrap_or_default(), 1 << (hash & 63))
}
