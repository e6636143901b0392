//! The body of an answer: as much as is kept, decoded, and what was wrong with the rest.

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

/// Most bytes read of a body that is encoded: it may be as many and stand for nothing. Our choice: 64 times what is kept.
const MOST_READ: usize = 64 * MAX_RESPONSE_BODY;

/// What is kept of a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its beginning; what is not UTF-8 is replaced.
    pub(crate) text: String,
    /// Whether that is not all of it.
    pub(crate) cut: bool,
    /// What was wrong with it.
    pub(crate) error: Option<BodyError>,
    /// Whether the connection is at the end of it, and fit for another request.
    pub(crate) complete: bool,
}

/// Reads a body up to [`MAX_RESPONSE_BODY`], until `deadline` at the latest.
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
            Ok(Some(Err(error))) => return reader.end(Some(what_broke(&error))),
            Ok(Some(Ok(frame))) => frame,
        };
        if let Some(data) = frame.data_ref()
            && !reader.take(data)
        {
            return reader.end(None);
        }
    }
}

/// What is kept of a body that is there already, as far as it came. How long it is, only its headers tell.
pub(crate) fn of_what_came(status: StatusCode, headers: &HeaderMap, bytes: &[u8]) -> Kept {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(|length| length.to_str().ok()?.parse().ok());
    let length = match (lengths.next(), lengths.next()) {
        // RFC 9110, sections 15.3.5 and 15.4.5.
        _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => Some(0),
        (Some(length), None) if !headers.contains_key(TRANSFER_ENCODING) => length,
        _ => None,
    };
    let whole = length.and_then(|length| bytes.get(..length));
    let mut reader = Reader::of(headers);
    reader.take(whole.unwrap_or(bytes));
    reader.end(whole.is_none().then_some(BodyError::Length))
}

/// Whether a body ended too early, or never had a form that can be read.
fn what_broke(error: &hyper::Error) -> BodyError {
    use std::io::ErrorKind::{InvalidData, InvalidInput};
    let io = error::find::<std::io::Error>(error).map(std::io::Error::kind);
    let of_tls = error::find::<rustls::Error>(error).is_some();
    // hyper says so of chunks whose sizes cannot be read, or are too large.
    if matches!(io, Some(InvalidInput | InvalidData)) && !of_tls || error.is_parse() {
        BodyError::Length
    } else {
        BodyError::Cut
    }
}

/// How a body is encoded.
enum Encoding {
    Plain,
    Gzip(Box<MultiGzDecoder<Bounded>>),
    /// In a way that is not decoded here, or that turned out not to be what was announced.
    Unreadable,
}

struct Reader {
    encoding: Encoding,
    /// Bytes that came.
    came: usize,
    /// As it came.
    raw: Bounded,
    /// Decoded.
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
        Self { encoding, came: 0, raw: Bounded::default(), decoded: Bounded::default() }
    }

    /// Takes a piece; answers whether there is room for more.
    fn take(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        // Of what is encoded too: where it cannot be decoded, this is what is shown.
        let raw = self.raw.write_all(bytes);
        let Encoding::Gzip(decoder) = &mut self.encoding else { return raw.is_ok() };
        self.came += bytes.len();
        let is_readable = decoder.write_all(bytes).is_ok();
        if is_readable && self.came <= MOST_READ {
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
        let came = !self.raw.bytes.is_empty();
        let mut shown = self.raw;
        match self.encoding {
            Encoding::Plain => {}
            Encoding::Gzip(mut decoder) => {
                if !self.decoded.is_over {
                    let whole = decoder.try_finish();
                    self.decoded = std::mem::take(decoder.get_mut());
                    if whole.is_err() && came && !self.decoded.is_over {
                        error = error.or(Some(BodyError::Encoding));
                    }
                }
                if !self.decoded.bytes.is_empty() || error.is_none() {
                    shown = self.decoded;
                }
            }
            Encoding::Unreadable => {
                if came {
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

/// The first [`MAX_RESPONSE_BODY`] bytes of what is written.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    /// Whether there was more.
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
            if !reader.take(piece) {
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
        // As many bytes as anybody likes to send, which stand for nothing.
        let nothing = gzip(b"").repeat(1000);
        let pieces = vec![nothing.as_slice(); 10_000];
        let mut reader = Reader::of(&[(CONTENT_ENCODING, "gzip".parse().unwrap())].into_iter().collect());
        let read = pieces.iter().take_while(|piece| reader.take(piece)).count() * nothing.len();
        assert!(read <= MOST_READ, "{read}");
        is(&reader.end(None), "", true, None);
        is(&kept("gzip", &[], None), "", false, None);
        is(&kept("gzip", &[&gzip(b"")], None), "", false, None);
    }

    #[test]
    fn k1_unreadable_encoding_shows_what_came() {
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
    fn k1_connection_fault_outranks_its_broken_encoding() {
        let cut = Some(BodyError::Cut);
        let whole = gzip(b"hello world, hello world");
        assert_eq!(kept("gzip", &[&whole[..whole.len() - 4]], cut).error, cut);
        is(&kept("", &[b"hello"], cut), "hello", true, cut);
    }
}
