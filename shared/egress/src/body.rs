//! Reads the body of a response: decodes it, keeps its start, and reports what is wrong with it.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use anzol_domain::delivery::{BodyError, MAX_RESPONSE_BODY};

use crate::connection::Connection;
use crate::error;

/// Maximum number of bytes read of an encoded body, because they can decode to nothing. Our choice: 64 times the stored maximum.
const MAX_READ: usize = 64 * MAX_RESPONSE_BODY;

/// The stored part of a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The start of the body. Bytes that are not UTF-8 are replaced.
    pub(crate) text: String,
    /// Whether the body is longer.
    pub(crate) cut: bool,
    /// The problem with the body.
    pub(crate) error: Option<BodyError>,
    /// Whether the whole body was read, so that the connection can be reused.
    pub(crate) complete: bool,
}

/// Reads a body up to [`MAX_RESPONSE_BODY`], at most until `deadline`.
pub(crate) async fn read(
    connection: &mut Connection,
    headers: &HeaderMap,
    mut body: Incoming,
    deadline: Instant,
) -> Kept {
    let mut reader = Reader::of(headers);
    loop {
        let frame = tokio::time::timeout_at(deadline, connection.wait_for(body.frame())).await;
        let frame = match frame {
            Err(_) => return reader.end(Some(BodyError::Timeout)),
            Ok(None) => return Kept { complete: true, ..reader.end(None) },
            Ok(Some(Err(error))) => return reader.end(Some(body_error(&error))),
            Ok(Some(Ok(frame))) => frame,
        };
        if let Some(data) = frame.data_ref()
            && !reader.add(data)
        {
            return reader.end(None);
        }
    }
}

/// Returns the stored part of a body whose bytes have already arrived. Its length is known only from the headers.
pub(crate) fn from_bytes(status: StatusCode, headers: &HeaderMap, bytes: &[u8]) -> Kept {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(|length| length.to_str().ok()?.parse().ok());
    let length = match (lengths.next(), lengths.next()) {
        // RFC 9110, sections 15.3.5 and 15.4.5.
        _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => Some(0),
        (Some(length), None) if !headers.contains_key(TRANSFER_ENCODING) => length,
        _ => None,
    };
    let whole = length.and_then(|length| bytes.get(..length));
    let mut reader = Reader::of(headers);
    reader.add(whole.unwrap_or(bytes));
    reader.end(whole.is_none().then_some(BodyError::Length))
}

/// Distinguishes a body that ended too early from one with an invalid length.
fn body_error(error: &hyper::Error) -> BodyError {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    let io = error::find::<std::io::Error>(error).map(std::io::Error::kind);
    let of_tls = error::find::<rustls::Error>(error).is_some();
    // hyper's errors for invalid or too large chunk sizes.
    if matches!(io, Some(InvalidInput | InvalidData)) && !of_tls || error.is_parse() {
        BodyError::Length
    } else {
        BodyError::Cut
    }
}

/// The encoding of a body.
enum Encoding {
    Plain,
    Gzip(Box<MultiGzDecoder<Bounded>>),
    /// An unsupported encoding, or one that differs from the announced one.
    Unreadable,
}

struct Reader {
    encoding: Encoding,
    /// Number of encoded bytes received.
    received: usize,
    /// The bytes as received.
    raw: Bounded,
    /// The decoded bytes.
    decoded: Bounded,
}

impl Reader {
    fn of(headers: &HeaderMap) -> Self {
        let mut codings = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .map(|coding| coding.trim().to_ascii_lowercase())
            .filter(|coding| !coding.is_empty() && coding != "identity");
        let encoding = match (codings.next().as_deref(), codings.next()) {
            (None, _) => Encoding::Plain,
            (Some("gzip" | "x-gzip"), None) => {
                Encoding::Gzip(Box::new(MultiGzDecoder::new(Bounded::default())))
            }
            _ => Encoding::Unreadable,
        };
        Self { encoding, received: 0, raw: Bounded::default(), decoded: Bounded::default() }
    }

    /// Adds a piece of the body. Returns whether there is room for more.
    fn add(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        // Raw bytes of an encoded body are kept too, and shown if the body cannot be decoded.
        let raw = self.raw.write_all(bytes);
        let Encoding::Gzip(decoder) = &mut self.encoding else { return raw.is_ok() };
        self.received += bytes.len();
        let is_readable = decoder.write_all(bytes).is_ok();
        if is_readable && self.received <= MAX_READ {
            return true;
        }
        self.decoded = std::mem::take(decoder.get_mut());
        if is_readable {
            self.decoded.is_over = true;
        } else if !self.decoded.is_over {
            self.encoding = Encoding::Unreadable;
        }
        false
    }

    fn end(mut self, error: Option<BodyError>) -> Kept {
        let mut error = error;
        let has_bytes = !self.raw.bytes.is_empty();
        let mut shown = self.raw;
        match self.encoding {
            Encoding::Plain => {}
            Encoding::Gzip(mut decoder) => {
                if !self.decoded.is_over {
                    let whole = decoder.try_finish();
                    self.decoded = std::mem::take(decoder.get_mut());
                    if whole.is_err() && has_bytes && !self.decoded.is_over {
                        error = error.or(Some(BodyError::Encoding));
                    }
                }
                if !self.decoded.bytes.is_empty() || error.is_none() {
                    shown = self.decoded;
                }
            }
            Encoding::Unreadable => {
                if has_bytes {
                    error = error.or(Some(BodyError::Encoding));
                }
                if !self.decoded.bytes.is_empty() {
                    shown = self.decoded;
                }
            }
        }
        Kept {
            text: String::from_utf8_lossy(&shown.bytes).into_owned(),
            cut: shown.is_over || error.is_some(),
            error,
            complete: false,
        }
    }
}

/// A writer that keeps the first [`MAX_RESPONSE_BODY`] bytes.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    /// Whether more bytes were written.
    is_over: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = MAX_RESPONSE_BODY - self.bytes.len();
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if bytes.len() > room {
            self.is_over = true;
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(encoding: &str, pieces: &[&[u8]], error: Option<BodyError>) -> Kept {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
        let mut reader = Reader::of(&headers);
        for piece in pieces {
            if !reader.add(piece) {
                break;
            }
        }
        reader.end(error)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn is(kept: &Kept, text: &str, cut: bool, error: Option<BodyError>) {
        assert_eq!((kept.text.as_str(), kept.cut, kept.error), (text, cut, error));
    }

    #[test]
    fn k1_gzip_body_is_decoded_and_bounded() {
        is(&kept("gzip", &[&gzip(b"hello")], None), "hello", false, None);
        is(&kept("X-GZIP", &[&gzip(b"hel"), &gzip(b"lo")], None), "hello", false, None);
        let bomb = gzip(&vec![b'a'; 8 * 1024 * 1024]);
        is(&kept("gzip", &[&bomb], None), &"a".repeat(MAX_RESPONSE_BODY), true, None);
        is(&kept("identity", &[b"hello"], None), "hello", false, None);
        // Any number of bytes that decode to nothing.
        let nothing = gzip(b"").repeat(1000);
        let pieces = vec![nothing.as_slice(); 10_000];
        let mut reader = Reader::of(&[(CONTENT_ENCODING, "gzip".parse().unwrap())].into_iter().collect());
        let read = pieces.iter().take_while(|piece| reader.add(piece)).count() * nothing.len();
        assert!(read <= MAX_READ, "{read}");
        is(&reader.end(None), "", true, None);
        is(&kept("gzip", &[], None), "", false, None);
        is(&kept("gzip", &[&gzip(b"")], None), "", false, None);
    }

    #[test]
    fn k1_unreadable_encoding_shows_raw_bytes() {
        let wrong = Some(BodyError::Encoding);
        is(&kept("gzip", &[b"ok"], None), "ok", true, wrong);
        is(&kept("br", &[b"ok"], None), "ok", true, wrong);
        is(&kept("gzip, gzip", &[b"ok"], None), "ok", true, wrong);
        let text: Vec<u8> = (0..4000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let whole = gzip(&text);
        let half = kept("gzip", &[&whole[..whole.len() / 2]], None);
        assert!(half.text.starts_with("0123456789101112") && half.cut && half.error == wrong, "{half:?}");
        let mut broken = whole.clone();
        broken[whole.len() / 2] ^= 0xff;
        let broken = kept("gzip", &[&broken], None);
        assert!(broken.text.starts_with("0123456789101112") && broken.error == wrong, "{broken:?}");
    }

    #[test]
    fn k1_connection_error_outranks_encoding_error() {
        let cut = Some(BodyError::Cut);
        let whole = gzip(b"hello world, hello world");
        assert_eq!(kept("gzip", &[&whole[..whole.len() - 4]], cut).error, cut);
        is(&kept("", &[b"hello"], cut), "hello", true, cut);
    }
}
