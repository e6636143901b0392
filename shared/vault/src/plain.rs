//! The plaintext format of sealed secrets. The plaintext fits into one call of KMS, unless encrypted headers were added one by one.
//!
//! The format does not contain the names of headers. Clients can see them, so they are stored beside the ciphertext, and a thousand short
//! names would not fit.

use anzol_domain::{EncryptedHeaders, RetiredSecret, Secret, Secrets};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::VaultError;

/// The first byte of the plaintext. A reader of another format rejects it.
const FORMAT: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Plain<'a> {
    format: u8,
    #[serde(borrow)]
    secret: Option<&'a str>,
    /// Replaced secrets, each with the Unix time in seconds until when it still signs.
    #[serde(borrow)]
    retired: Vec<(&'a str, i64)>,
    /// The values of encrypted headers, in the order of their names.
    #[serde(borrow)]
    header_values: Vec<&'a str>,
}

/// Writes secrets to `buffer`. Returns the used part.
pub(crate) fn write<'b>(secrets: &Secrets, buffer: &'b mut [u8]) -> Result<&'b mut [u8], VaultError> {
    let retired = secrets.retired.iter();
    let plain = Plain {
        format: FORMAT,
        secret: secrets.secret.as_ref().map(Secret::expose),
        retired: retired
            .map(|RetiredSecret { secret, until }| (secret.expose(), until.unix_timestamp()))
            .collect(),
        header_values: secrets.encrypted_headers.expose().map(|(_, value)| value).collect(),
    };
    postcard::to_slice(&plain, buffer).map_err(|_| VaultError::Corrupt("they are too large"))
}

/// Reads secrets whose headers have these names.
pub(crate) fn read(plain: &[u8], header_names: &[String]) -> Result<Secrets, VaultError> {
    // The underlying error could quote a secret.
    let unknown = || VaultError::Corrupt("they have an unknown format");
    let plain: Plain<'_> = postcard::from_bytes(plain).map_err(|_| unknown())?;
    if plain.format != FORMAT {
        return Err(unknown());
    }
    if plain.header_values.len() != header_names.len() {
        return Err(VaultError::Corrupt("the numbers of header values and names differ"));
    }
    let secret = |text: &str| Secret::parse(text.to_owned()).map_err(|_| unknown());
    let headers = header_names.iter().cloned().zip(plain.header_values.into_iter().map(str::to_owned));
    let retired = plain.retired.into_iter().map(|(text, until)| {
        let until = OffsetDateTime::from_unix_timestamp(until).map_err(|_| unknown())?;
        Ok(RetiredSecret { secret: secret(text)?, until })
    });
    Ok(Secrets {
        secret: plain.secret.map(secret).transpose()?,
        retired: retired.collect::<Result<_, VaultError>>()?,
        encrypted_headers: EncryptedHeaders::stored(headers),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use anzol_domain::headers::{Before, MAX_APART, MAX_HEADERS};
    use anzol_domain::secret::SECRET_CHARS;
    use anzol_domain::secrets::MAX_RETIRED;

    use super::*;
    use crate::{LARGEST, MAX_PLAINTEXT};

    /// Returns the maximum number of secrets, each of maximum length.
    fn largest_secrets() -> Secrets {
        let longest = |letter: &str| Secret::parse(letter.repeat(*SECRET_CHARS.end())).unwrap();
        let until = OffsetDateTime::from_unix_timestamp(253_402_300_799).unwrap();
        let retired = RetiredSecret { secret: longest("🪝"), until };
        Secrets {
            secret: Some(longest("🎣")),
            retired: vec![retired; MAX_RETIRED],
            encrypted_headers: EncryptedHeaders::default(),
        }
    }

    fn headers(pairs: impl IntoIterator<Item = (String, String)>) -> EncryptedHeaders {
        EncryptedHeaders::parse(pairs.into_iter().collect()).unwrap()
    }

    /// Returns short names that differ in more than case, as many as fit into `MAX_HEADERS` bytes.
    fn short_names() -> Vec<String> {
        let letters = "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~";
        let ones = letters.chars().map(|one| one.to_string());
        let twos = letters.chars().flat_map(|one| letters.chars().map(move |two| format!("{one}{two}")));
        let mut left = MAX_HEADERS;
        let fits = |name: &String| left.checked_sub(name.len()).map(|rest| left = rest).is_some();
        // "te" is reserved.
        ones.chain(twos).filter(|name| name != "te").take_while(fits).collect()
    }

    #[test]
    fn largest_secrets_fit_one_call_of_kms() {
        let one = [("n".to_owned(), "v".repeat(MAX_HEADERS - 1))];
        // The length of a value of 128 bytes or more takes two bytes.
        let long = (0..15).map(|n| (char::from(b'a' + n).to_string(), "v".repeat(128)));
        let ones = short_names().into_iter().take(51).map(|name| (name, "v".repeat(39)));
        let most = short_names().into_iter().map(|name| (name, String::new()));
        assert!(short_names().len() > 1000);
        for headers in [headers(one), headers(long), headers(ones), headers(most)] {
            let secrets = Secrets { encrypted_headers: headers, ..largest_secrets() };
            let mut buffer = [0; MAX_PLAINTEXT];
            let plain = write(&secrets, &mut buffer).unwrap();
            let names: Vec<_> = secrets.encrypted_headers.names().map(str::to_owned).collect();
            assert!(plain.len() < MAX_PLAINTEXT - 512, "room is left: {}", plain.len());
            assert_eq!(read(plain, &names).unwrap(), secrets);
        }
    }

    #[test]
    fn l8_largest_headers_added_one_by_one_can_be_sealed() {
        let all: BTreeMap<_, _> =
            (0..MAX_APART).map(|n| (format!("{n}"), "v".repeat(MAX_HEADERS - 1))).collect();
        let kept = all.keys().skip(1).cloned().collect();
        let all = EncryptedHeaders::parse_after(all, &Before { kept, ..Before::default() }).unwrap();
        let secrets = Secrets { encrypted_headers: all, ..largest_secrets() };
        let mut buffer = vec![0; LARGEST];
        let plain = write(&secrets, &mut buffer).unwrap();
        let names: Vec<_> = secrets.encrypted_headers.names().map(str::to_owned).collect();
        assert!(plain.len() < LARGEST - 512, "room is left: {}", plain.len());
        assert_eq!(read(plain, &names).unwrap(), secrets);
    }

    #[test]
    fn unreadable_secrets_are_rejected_without_quoting_them() {
        let value = "for the receiver alone".to_owned();
        let secrets = Secrets { encrypted_headers: headers([("X".to_owned(), value)]), ..Secrets::default() };
        let mut buffer = [0; MAX_PLAINTEXT];
        let plain = write(&secrets, &mut buffer).unwrap().to_vec();
        let names = ["X".to_owned(), "Y".to_owned()];
        let mut newer = plain.clone();
        newer[0] = FORMAT + 1;
        for (plain, names) in [
            (&plain, &names[..0]),
            (&plain, &names[..2]),
            (&newer, &names[..1]),
            (&vec![FORMAT, 9], &names[..1]),
        ] {
            let error = read(plain, names).unwrap_err();
            assert!(matches!(error, VaultError::Corrupt(_)), "{error:?}");
            assert!(!format!("{error:?} {error}").contains("alone"));
        }
        assert!(write(&secrets, &mut [0; 8]).is_err());
        assert!(read(&plain, &names[..1]).is_ok());
    }
}
