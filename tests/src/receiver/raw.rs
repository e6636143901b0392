//! Raw answers: bytes written to the connection without the HTTP server, and the ways to end it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::Behavior;

/// Time for the written bytes to arrive before a reset, which discards bytes in flight.
const BEFORE_RESET: Duration = Duration::from_millis(100);
/// Time that a closed connection is still read: unread bytes would turn the close into a reset.
const LINGER: Duration = Duration::from_secs(2);

/// The end of the connection after a raw answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// TLS `close_notify`, then FIN.
    #[default]
    Close,
    /// FIN without `close_notify`.
    Abrupt,
    /// RST.
    Reset,
    /// The connection stays open and serves further requests, until the client closes it or a minute passes without a request.
    Open,
}

/// Bytes to write, piece by piece. In JSON one base64 string or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raw(pub Vec<Vec<u8>>);

impl Raw {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|piece| STANDARD.encode(piece)))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "raw: neither a base64 string nor a list of them")]
        enum Pieces {
            One(String),
            More(Vec<String>),
        }
        let pieces = match Pieces::deserialize(deserializer)? {
            Pieces::One(piece) => vec![piece],
            Pieces::More(pieces) => pieces,
        };
        let decoded = pieces.iter().enumerate().map(|(at, piece)| {
            STANDARD
                .decode(piece)
                .map_err(|error| Error::custom(format!("raw: piece {} is not base64: {error}", at + 1)))
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }
}

/// A TLS connection with bytes that were read from it too early.
#[derive(Debug)]
pub(super) struct Rewound {
    unread: Bytes,
    stream: TlsStream<TcpStream>,
}

impl Rewound {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { unread: Bytes::new(), stream }
    }

    /// Puts back bytes that an HTTP server read from the connection and did not use. They are read first.
    pub(super) fn unreading(mut self, read: &Bytes) -> Self {
        if !read.is_empty() {
            self.unread = [&**read, &*self.unread].concat().into();
        }
        self
    }

    /// Writes the raw answer and ends the connection as `end` says. Returns the connection when it stays open.
    pub(super) async fn answer(mut self, behavior: &Behavior) -> Option<Self> {
        self.write(behavior).await.ok()?;
        match behavior.end {
            End::Open => return Some(self),
            End::Close => {
                self.stream.shutdown().await.ok()?;
                linger(self.stream.get_mut().0).await;
            }
            End::Abrupt => {
                let (socket, _) = self.stream.get_mut();
                socket.shutdown().await.ok()?;
                linger(socket).await;
            }
            End::Reset => {
                if behavior.raw.0.iter().any(|piece| !piece.is_empty()) {
                    tokio::time::sleep(BEFORE_RESET).await;
                }
                self.reset();
            }
        }
        None
    }

    /// Closes with a linger time of zero, so the kernel sends RST instead of FIN.
    pub(super) fn reset(self) {
        self.stream.get_ref().0.set_zero_linger().ok();
    }

    async fn write(&mut self, behavior: &Behavior) -> io::Result<()> {
        for (at, piece) in behavior.raw.0.iter().enumerate() {
            if at > 0 {
                tokio::time::sleep(Duration::from_millis(behavior.pause_ms)).await;
            }
            self.stream.write_all(piece).await?;
            self.stream.flush().await?;
        }
        Ok(())
    }
}

/// Writes plain HTTP to a client that has started a TLS handshake.
pub(super) async fn answer_in_plain(mut socket: TcpStream, answer: &[u8]) -> io::Result<()> {
    socket.write_all(answer).await?;
    socket.shutdown().await?;
    linger(&mut socket).await;
    Ok(())
}

/// Reads and discards bytes until the client has closed its side, at most for [`LINGER`].
pub(super) async fn linger(socket: &mut TcpStream) {
    let mut discarded = [0; 4096];
    let read = async { while socket.read(&mut discarded).await.is_ok_and(|length| length > 0) {} };
    tokio::time::timeout(LINGER, read).await.ok();
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
