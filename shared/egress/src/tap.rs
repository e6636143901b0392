//! Counts what comes over a connection, and keeps its beginning: what an answer was when nobody can read it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes read before a final head was understood, all of which are kept. Our choice: the heads of answers have some hundred bytes.
pub(crate) const MOST_KEPT: usize = 256 * 1024;

/// What came over a connection since it was last asked to forget.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    bytes: u64,
    beginning: Vec<u8>,
    /// How much more to keep; nothing once the head of an answer was understood: its body is kept elsewhere.
    room: Option<usize>,
}

impl Seen {
    fn record(&self) -> MutexGuard<'_, Record> {
        // A panicking holder leaves the record whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An exchange begins: counts from zero and keeps again.
    pub(crate) fn begin(&self) {
        *self.record() = Record { room: Some(MOST_KEPT), ..Record::default() };
    }

    /// The head was understood: what follows is counted, and not kept.
    pub(crate) fn stop_keeping(&self) {
        let mut record = self.record();
        record.room = None;
        record.beginning = Vec::new();
    }

    /// Whether anything came since the exchange began.
    pub(crate) fn has_any(&self) -> bool {
        self.record().bytes > 0
    }

    /// What came since the exchange began, as far as it is kept.
    pub(crate) fn beginning(&self) -> Vec<u8> {
        self.record().beginning.clone()
    }

    /// Notes what came; answers whether there is room for more before a head is understood.
    fn add(&self, came: &[u8]) -> bool {
        let mut record = self.record();
        record.bytes += u64::try_from(came.len()).unwrap_or(u64::MAX);
        let Some(room) = record.room else { return true };
        let kept = came.get(..room).unwrap_or(came);
        record.beginning.extend_from_slice(kept);
        record.room = Some(room - kept.len());
        kept.len() < room
    }
}

/// A stream that is watched.
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
        Poll::Ready(Err(std::io::Error::other("too much came before a final status")))
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
