//! Counts the bytes received on a connection and keeps the first ones, to describe a response that cannot be parsed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Maximum number of bytes received before a complete head; all are kept. Our choice: a head has a few hundred bytes.
pub(crate) const MAX_KEPT: usize = 256 * 1024;

/// The bytes received on a connection since the exchange started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    bytes: u64,
    beginning: Vec<u8>,
    /// How many more bytes to keep; `None` after the head, because the body is kept elsewhere.
    room: Option<usize>,
}

impl Seen {
    fn record(&self) -> MutexGuard<'_, Record> {
        // A panic while the lock is held leaves the record valid.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an exchange: counts from zero and keeps bytes again.
    pub(crate) fn start(&self) {
        *self.record() = Record { room: Some(MAX_KEPT), ..Record::default() };
    }

    /// Stops keeping bytes, after the head.
    pub(crate) fn stop_keeping(&self) {
        let mut record = self.record();
        record.room = None;
        record.beginning = Vec::new();
    }

    /// Returns whether any bytes were received in this exchange.
    pub(crate) fn has_any(&self) -> bool {
        self.record().bytes > 0
    }

    /// Returns the kept bytes of this exchange.
    pub(crate) fn beginning(&self) -> Vec<u8> {
        self.record().beginning.clone()
    }

    /// Adds received bytes. Returns whether more bytes are allowed before a complete head.
    fn add(&self, bytes: &[u8]) -> bool {
        let mut record = self.record();
        record.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let Some(room) = record.room else { return true };
        let kept = bytes.get(..room).unwrap_or(bytes);
        record.beginning.extend_from_slice(kept);
        record.room = Some(room - kept.len());
        kept.len() < room
    }
}

/// A stream that records the received bytes.
#[derive(Debug)]
pub(crate) struct Tap<S> {
    stream: S,
    seen: Seen,
}

impl<S> Tap<S> {
    pub(crate) fn new(stream: S, seen: Seen) -> Self {
        Self { stream, seen }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if self.seen.add(buffer.filled().get(before..).unwrap_or_default()) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(std::io::Error::other("too many bytes before a final status")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
