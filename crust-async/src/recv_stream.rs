//! The receiving side of a stream.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use crust_proto::streams::{AbandonError as NotAbandoned, ReadError as Refused};
use crust_proto::{AbandonStreamError, Instant, ReadStreamError, SessionId, StreamId};

use crate::connection::Held;
use crate::error::{AbandonError, ReadError, ReadExactError, ReadToEndError};
use crate::state::{Part, State};
use crate::waiters::Ticket;

/// How much [`RecvStream::read_to_end`] asks for at a time, in bytes.
const CHUNK: usize = 64 * 1024;

/// The receiving side of a stream.
///
/// Implements [`futures_io::AsyncRead`], and tokio's `AsyncRead` with the feature `tokio`.
///
/// What had arrived when the connection ended can still be read. Dropping it before the end was read tells the
/// peer to stop (code 0).
///
/// Any future can be dropped at any time: bytes that it had taken are read again by the next.
pub struct RecvStream {
    held: Arc<Held>,
    id: StreamId,
    /// Taken from the engine by a future that was then dropped, or that failed; read again before anything
    /// else.
    unread: VecDeque<u8>,
    end: Option<End>,
}

/// Why nothing more comes.
#[derive(Clone, Debug)]
enum End {
    /// All was read.
    Finished,
    /// Reading failed for good.
    Failed(ReadError),
}

impl RecvStream {
    pub(crate) const fn new(held: Arc<Held>, id: StreamId) -> Self {
        Self { held, id, unread: VecDeque::new(), end: None }
    }

    /// The stream's number, the same at both ends.
    pub const fn id(&self) -> StreamId {
        self.id
    }

    /// Reads some bytes and returns how many: none at the end of the stream, or if `buf` is empty.
    ///
    /// # Errors
    ///
    /// [`Reset`](ReadError::Reset) when the peer gave the stream up; [`Stopped`](ReadError::Stopped) after
    /// [`stop`](Self::stop); [`Connection`](ReadError::Connection) when the connection has ended and nothing that
    /// had arrived is left.
    pub async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        poll_fn(|cx| self.poll_read(cx, buf)).await
    }

    /// Fills all of `buf`.
    ///
    /// # Errors
    ///
    /// [`FinishedEarly`](ReadExactError::FinishedEarly) when the stream ends first; [`Read`](ReadExactError::Read)
    /// as for [`read`](Self::read). What there was can be read again.
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> Result<(), ReadExactError> {
        let mut part = Filling { stream: self, buf, filled: 0 };
        while part.filled < part.buf.len() {
            let Filling { stream, buf, filled } = &mut part;
            match stream.read(buf.get_mut(*filled..).unwrap_or_default()).await? {
                0 => return Err(ReadExactError::FinishedEarly(part.filled)),
                read => part.filled += read,
            }
        }
        part.filled = 0;
        Ok(())
    }

    /// Reads all that there is until the end, at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`TooLong`](ReadToEndError::TooLong) when there is more than `limit`; [`Read`](ReadToEndError::Read) as for
    /// [`read`](Self::read). What there was can be read again.
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Vec<u8>, ReadToEndError> {
        // What was read waits in `unread`, from where a dropped future loses nothing.
        let mut chunk = vec![0; CHUNK];
        while self.unread.len() <= limit {
            let read = poll_fn(|cx| self.poll_engine(cx, &mut chunk)).await?;
            if read == 0 {
                return Ok(std::mem::take(&mut self.unread).into());
            }
            self.unread.extend(chunk.get(..read).unwrap_or_default());
        }
        Err(ReadToEndError::TooLong(limit))
    }

    /// Says that nothing more of the stream is wanted; the peer hears `code`. What had arrived is dropped. Where
    /// the stream has ended already nothing happens.
    ///
    /// # Errors
    ///
    /// [`CodeTooLarge`](AbandonError::CodeTooLarge) for a `code` above 2^62 - 1;
    /// [`Connection`](AbandonError::Connection) when the connection has ended. Neither where the stream has ended
    /// already.
    pub fn stop(&mut self, code: u64) -> Result<(), AbandonError> {
        if self.end.is_none() {
            let (session, stream) = (self.held.session(), self.id);
            self.held.with(|state, now| state.stop_stream(session, stream, code, now))?;
            self.end = Some(End::Failed(ReadError::Stopped));
        }
        self.unread = VecDeque::new();
        Ok(())
    }

    fn poll_read(&mut self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<Result<usize, ReadError>> {
        if self.unread.is_empty() || buf.is_empty() {
            return self.poll_engine(cx, buf);
        }
        // Reading from memory does not fail.
        let read = self.unread.read(buf).unwrap_or(0);
        Poll::Ready(Ok(read))
    }

    fn poll_engine(&mut self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<Result<usize, ReadError>> {
        match &self.end {
            Some(End::Finished) => return Poll::Ready(Ok(0)),
            Some(End::Failed(e)) => return Poll::Ready(Err(e.clone())),
            None if buf.is_empty() => return Poll::Ready(Ok(0)),
            None => {}
        }
        let (session, stream) = (self.held.session(), self.id);
        let place = self.held.place(Part::Read(stream));
        let result = self
            .held
            .shared()
            .poll_at(cx, place, Ticket::SOLE, |state, now| state.read_stream(session, stream, buf, now));
        match &result {
            Poll::Ready(Ok(0)) => self.end = Some(End::Finished),
            Poll::Ready(Err(e)) => self.end = Some(End::Failed(e.clone())),
            _ => {}
        }
        result
    }

    /// Puts back what a caller never learnt of.
    fn put_back(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().rev() {
            self.unread.push_front(*byte);
        }
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        let (session, stream, unended) = (self.held.session(), self.id, self.end.is_none());
        self.held.with(|state, now| {
            if unended {
                // Fails only where there is nothing left to stop.
                let _ = state.stop_stream(session, stream, 0, now);
            }
            state.unregister(self.held.place(Part::Read(stream)), Ticket::SOLE);
        });
    }
}

impl fmt::Debug for RecvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvStream")
            .field("session", &self.held.session())
            .field("id", &self.id)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// A buffer that is partly filled; given back to the stream if that is never reported.
struct Filling<'a, 'b> {
    stream: &'a mut RecvStream,
    buf: &'b mut [u8],
    filled: usize,
}

impl Drop for Filling<'_, '_> {
    fn drop(&mut self) {
        self.stream.put_back(self.buf.get(..self.filled).unwrap_or_default());
    }
}

impl futures_io::AsyncRead for RecvStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_read(cx, buf).map_err(Into::into)
    }
}

#[cfg(feature = "tokio")]
impl tokio::io::AsyncRead for RecvStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = match self.get_mut().poll_read(cx, buf.initialize_unfilled()) {
            Poll::Ready(result) => result?,
            Poll::Pending => return Poll::Pending,
        };
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl State {
    fn read_stream(
        &mut self,
        id: SessionId,
        stream: StreamId,
        buf: &mut [u8],
        now: Instant,
    ) -> Poll<Result<usize, ReadError>> {
        match self.engine.session_mut(id, now).map(|mut session| session.read(stream, buf)) {
            Some(Ok(read)) => {
                // There is room for more, which the peer may have to hear.
                self.notify();
                Poll::Ready(Ok(read))
            }
            Some(Err(ReadStreamError::Stream(Refused::Blocked))) => self.pending(id).map_err(ReadError::from),
            Some(Err(ReadStreamError::Stream(Refused::Reset { code }))) => {
                self.notify();
                Poll::Ready(Err(ReadError::Reset(code)))
            }
            Some(Err(ReadStreamError::Stream(Refused::Stopped | Refused::Unknown))) => {
                Poll::Ready(Err(ReadError::Stopped))
            }
            Some(Err(ReadStreamError::Closed(_))) | None => {
                Poll::Ready(Err(self.closed_error(id, now).into()))
            }
        }
    }

    fn stop_stream(
        &mut self,
        id: SessionId,
        stream: StreamId,
        code: u64,
        now: Instant,
    ) -> Result<(), AbandonError> {
        self.check_open(id)?;
        let stopped = self.engine.session_mut(id, now).map(|mut session| session.stop(stream, code));
        self.notify();
        match stopped {
            // Unknown: the engine has forgotten it, since all of it is done.
            Some(Ok(()) | Err(AbandonStreamError::Stream(NotAbandoned::Unknown))) => Ok(()),
            Some(Err(AbandonStreamError::Stream(NotAbandoned::CodeTooLarge))) => {
                Err(AbandonError::CodeTooLarge)
            }
            Some(Err(AbandonStreamError::Closed(_))) | None => Err(self.closed_error(id, now).into()),
        }
    }
}
