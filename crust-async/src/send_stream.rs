//! The sending side of a stream.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;

use crust_proto::streams::{AbandonError as NotAbandoned, WriteError as Refused};
use crust_proto::{AbandonStreamError, Instant, SessionId, StreamId, WriteStreamError};

use crate::connection::Held;
use crate::error::{AbandonError, ConnectionError, WriteError};
use crate::state::{Part, State};
use crate::waiters::Ticket;

/// The sending side of a stream.
///
/// Implements [`futures_io::AsyncWrite`], and tokio's `AsyncWrite` with the feature `tokio`. Nothing is
/// buffered in the handle: what a write accepted is on its way, so flushing is done at once. Closing (shutting
/// down) finishes the stream and doesn't wait for the peer; [`finished`](Self::finished) does.
///
/// Dropping it finishes the stream, so what was written arrives and the peer sees the end. To give the stream
/// up instead, [`reset`](Self::reset) it.
pub struct SendStream {
    held: Arc<Held>,
    id: StreamId,
    written: u64,
    /// Finished or reset here.
    ended: bool,
}

impl SendStream {
    pub(crate) const fn new(held: Arc<Held>, id: StreamId) -> Self {
        Self { held, id, written: 0, ended: false }
    }

    /// The stream's number, the same at both ends.
    pub const fn id(&self) -> StreamId {
        self.id
    }

    /// How many bytes all writes together have accepted.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Writes some bytes and returns how many; none only if `data` is empty. Waits while the peer, or the
    /// buffer here, takes no more.
    ///
    /// A future that was dropped before it was ready has written nothing.
    ///
    /// # Errors
    ///
    /// [`Stopped`](WriteError::Stopped) when the peer wants no more; [`Finished`](WriteError::Finished) after
    /// [`finish`](Self::finish) or [`reset`](Self::reset); [`Connection`](WriteError::Connection) when the
    /// connection has ended. Nothing was written by this call.
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        poll_fn(|cx| self.poll_write(cx, data)).await
    }

    /// Writes all bytes.
    ///
    /// If the future is dropped half-way some prefix was written; [`written`](Self::written) says how far.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write); what was written before stays so.
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<(), WriteError> {
        while !data.is_empty() {
            let written = self.write(data).await?;
            data = data.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that nothing more will be written. Does not wait. Finishing twice is no error.
    ///
    /// # Errors
    ///
    /// [`Stopped`](WriteError::Stopped) when the peer wants no more; [`Connection`](WriteError::Connection) when
    /// the connection has ended.
    pub fn finish(&mut self) -> Result<(), WriteError> {
        if self.ended {
            return Ok(());
        }
        let (session, stream) = (self.held.session(), self.id);
        self.held.with(|state, now| state.finish_stream(session, stream, now))?;
        self.ended = true;
        Ok(())
    }

    /// Finishes the stream and waits until the peer's side has acknowledged all of it.
    ///
    /// A future that was dropped has finished the stream and only forgoes the news. After a
    /// [`reset`](Self::reset) there is nothing to wait for: [`WriteError::Finished`].
    ///
    /// # Errors
    ///
    /// [`Stopped`](WriteError::Stopped) when the peer wanted no more before all had arrived;
    /// [`Finished`](WriteError::Finished) after a reset; [`Connection`](WriteError::Connection) when the connection
    /// ended first: the peer may have all of it or not.
    pub async fn finished(&mut self) -> Result<(), WriteError> {
        self.finish()?;
        let (session, stream) = (self.held.session(), self.id);
        let wait = self.held.until(Part::Fate(stream), move |state, _| {
            match state.sending_state(session, stream).map(|s| *s) {
                Some(sending) if sending.arrived => Poll::Ready(Ok(())),
                Some(sending) if sending.reset => Poll::Ready(Err(WriteError::Finished)),
                Some(crate::state::Sending { stopped: Some(code), .. }) => {
                    Poll::Ready(Err(WriteError::Stopped(code)))
                }
                _ => state.pending(session).map_err(WriteError::from),
            }
        });
        wait.await
    }

    /// Gives the stream up: what was not yet delivered is lost, and the peer hears `code`. Where all of it has
    /// arrived already nothing happens.
    ///
    /// # Errors
    ///
    /// [`CodeTooLarge`](AbandonError::CodeTooLarge) for a `code` above 2^62 - 1;
    /// [`Connection`](AbandonError::Connection) when the connection has ended.
    pub fn reset(&mut self, code: u64) -> Result<(), AbandonError> {
        let (session, stream) = (self.held.session(), self.id);
        self.held.with(|state, now| state.reset_stream(session, stream, code, now))?;
        self.ended = true;
        Ok(())
    }

    /// Waits until the peer wants no more of the stream: `Some(code)`; or until that can no longer be, since
    /// all of it arrived or it was reset or dropped: `None`.
    ///
    /// The future is independent of this handle, so that one can wait and write at once; while it lives it
    /// keeps the connection open.
    ///
    /// # Errors
    ///
    /// The future yields [`ConnectionError`] when the connection has ended.
    pub fn stopped(&self) -> impl Future<Output = Result<Option<u64>, ConnectionError>> + Send + 'static {
        let (held, stream) = (self.held.clone(), self.id);
        async move {
            let session = held.session();
            let wait = held.until(Part::Fate(stream), move |state, _| {
                match state.sending_state(session, stream).map(|s| *s) {
                    None => Poll::Ready(Ok(None)),
                    Some(s) if s.stopped.is_some() => Poll::Ready(Ok(s.stopped)),
                    Some(s) if s.arrived || s.reset => Poll::Ready(Ok(None)),
                    Some(_) => state.pending(session),
                }
            });
            wait.await
        }
    }

    /// Streams of higher priority send first; those of the same take turns. At the start it is zero.
    pub fn set_priority(&self, priority: i32) {
        self.held.with(|state, now| {
            if let Some(mut session) = state.engine.session_mut(self.held.session(), now) {
                session.set_priority(self.id, priority);
            }
        });
    }

    fn poll_write(&mut self, cx: &Context<'_>, data: &[u8]) -> Poll<Result<usize, WriteError>> {
        if self.ended {
            return Poll::Ready(Err(WriteError::Finished));
        }
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let (session, stream) = (self.held.session(), self.id);
        let place = self.held.place(Part::Write(stream));
        let result = self
            .held
            .shared()
            .poll_at(cx, place, Ticket::SOLE, |state, now| state.write_stream(session, stream, data, now));
        if let Poll::Ready(Ok(written)) = result {
            self.written = self.written.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        }
        result
    }

    /// For the traits: finishing is closing; a peer that wants no more will not mind.
    fn poll_close(&mut self) -> Poll<io::Result<()>> {
        match self.finish() {
            Ok(()) | Err(WriteError::Stopped(_)) => Poll::Ready(Ok(())),
            Err(e) => Poll::Ready(Err(e.into())),
        }
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        let (session, stream, ended) = (self.held.session(), self.id, self.ended);
        self.held.with(|state, now| {
            if !ended {
                // Fails only where there is nothing left to finish.
                let _ = state.finish_stream(session, stream, now);
            }
            state.forget_sending(session, stream);
        });
    }
}

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendStream")
            .field("session", &self.held.session())
            .field("id", &self.id)
            .field("written", &self.written)
            .field("ended", &self.ended)
            .finish()
    }
}

impl futures_io::AsyncWrite for SendStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write(cx, data).map_err(Into::into)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_close()
    }
}

#[cfg(feature = "tokio")]
impl tokio::io::AsyncWrite for SendStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write(cx, data).map_err(Into::into)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_close()
    }
}

impl State {
    fn write_stream(
        &mut self,
        id: SessionId,
        stream: StreamId,
        data: &[u8],
        now: Instant,
    ) -> Poll<Result<usize, WriteError>> {
        self.check_open(id)?;
        let written = self.engine.session_mut(id, now).map(|mut session| session.write(stream, data));
        // Blocked or not, there may be something to tell the peer.
        self.notify();
        match written {
            Some(Ok(written)) => Poll::Ready(Ok(written)),
            Some(Err(WriteStreamError::Stream(Refused::Blocked))) => Poll::Pending,
            Some(Err(refused)) => Poll::Ready(Err(self.write_error(id, refused, now))),
            None => Poll::Ready(Err(self.closed_error(id, now).into())),
        }
    }

    fn finish_stream(&mut self, id: SessionId, stream: StreamId, now: Instant) -> Result<(), WriteError> {
        self.check_open(id)?;
        let finished = self.engine.session_mut(id, now).map(|mut session| session.finish(stream));
        self.notify();
        match finished {
            Some(Ok(())) => Ok(()),
            Some(Err(refused)) => Err(self.write_error(id, refused, now)),
            None => Err(self.closed_error(id, now).into()),
        }
    }

    fn reset_stream(
        &mut self,
        id: SessionId,
        stream: StreamId,
        code: u64,
        now: Instant,
    ) -> Result<(), AbandonError> {
        self.check_open(id)?;
        match self.engine.session_mut(id, now).map(|mut session| session.reset(stream, code)) {
            // Unknown: the engine has forgotten it, since all of it is done.
            Some(Ok(()) | Err(AbandonStreamError::Stream(NotAbandoned::Unknown))) => {}
            Some(Err(AbandonStreamError::Stream(NotAbandoned::CodeTooLarge))) => {
                return Err(AbandonError::CodeTooLarge);
            }
            Some(Err(AbandonStreamError::Closed(_))) | None => {
                return Err(self.closed_error(id, now).into());
            }
        }
        if let Some(sending) = self.sending_state(id, stream) {
            sending.reset = !sending.arrived;
        }
        self.wake_at(id, Part::Fate(stream));
        self.notify();
        Ok(())
    }

    fn write_error(&mut self, id: SessionId, refused: WriteStreamError, now: Instant) -> WriteError {
        match refused {
            WriteStreamError::Stream(Refused::Stopped { code }) => WriteError::Stopped(code),
            // Unknown: the engine has forgotten it, since all of it is done.
            WriteStreamError::Stream(_) => WriteError::Finished,
            WriteStreamError::Closed(_) => self.closed_error(id, now).into(),
        }
    }
}
