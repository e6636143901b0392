//! Counts what comes over a connection, and keeps its beginning: what an answer was when nobody can read it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes kept of one answer. Our choice: the heads of answers have some hundred bytes, and hyper itself reads no head above 400 KB.
const MOST_KEPT: usize = 256 * 1024;

/// What came over a connection since it was last asked to forget.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    bytes: u64,
    beginning: Vec<u8>,
    /// How far to keep. Nothing once the head of an answer was understood: its body is kept elsewhere.
    room: usize,
}

impl Seen {
    fn record(&self) -> MutexGuard<'_, Record> {
        // A panicking holder leaves the record whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An exchange begins: counts from zero and keeps again.
    pub(crate) fn begin(&self) {
        *self.record() = Record { room: MOST_KEPT, ..Record::default() };
    }

    /// The head was understood: what follows is counted, and not kept.
    pub(crate) fn stop_keeping(&self) {
        let mut record = self.record();
        record.room = 0;
        record.beginning = Vec::new();
    }

    /// Whether anything came since the exchange began.
    pub(crate) fn has_any(&self) -> bool {
        self.record().bytes > 0
    }

    /// What came since the exchange began, as far as it is kept.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.record().beginning)
    }

    fn add(&self, came: &[u8]) {
        let mut record = self.record();
        record.bytes += u64::try_from(came.len()).unwrap_or(u64::MAX);
        let kept = came.get(..record.room).unwrap_or(came);
        record.beginning.extend_from_slice(kept);
        record.room -= kept.len();
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
        self.seen.add(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
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
