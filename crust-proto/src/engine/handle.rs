//! What the application does with a session.

use bytes::Bytes;

use super::Engine;
use super::slots::slot_of;
use crate::Instant;
use crate::event::SessionId;
use crate::session::Session;
use crate::streams::{
    AbandonError, Dir, Message, MessageId, Priority, ReadError, SendMessageError, StreamId, WriteError,
};

/// A session, borrowed to be used. Whatever it is made to send leaves with the next polls.
#[derive(Debug)]
pub struct SessionMut<'a> {
    engine: &'a mut Engine,
    id: SessionId,
    now: Instant,
}

/// The session is closed; [`Session::close_reason`] says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is closed")]
pub struct SessionClosed;

/// Why a stream takes no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteStreamError {
    /// The stream's own reason.
    #[error(transparent)]
    Stream(#[from] WriteError),
    /// The session is closed.
    #[error(transparent)]
    Closed(#[from] SessionClosed),
}

/// Why a stream gives no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadStreamError {
    /// The stream's own reason.
    #[error(transparent)]
    Stream(#[from] ReadError),
    /// The session is closed and everything that had arrived was read.
    #[error(transparent)]
    Closed(#[from] SessionClosed),
}

/// Why a stream's half cannot be abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AbandonStreamError {
    /// The stream's own reason.
    #[error(transparent)]
    Stream(#[from] AbandonError),
    /// The session is closed.
    #[error(transparent)]
    Closed(#[from] SessionClosed),
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendMessageFailure {
    /// The queue's own reason.
    #[error(transparent)]
    Message(#[from] SendMessageError),
    /// The session is closed.
    #[error(transparent)]
    Closed(#[from] SessionClosed),
}

/// Why an unreliable datagram was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendDatagramError {
    /// It does not fit one packet.
    #[error("the datagram is larger than the {limit} bytes that fit now")]
    TooLarge {
        /// What fits, in bytes.
        limit: usize,
    },
    /// The peer takes no datagrams.
    #[error("the peer takes no datagrams")]
    Unsupported,
    /// The session is closed.
    #[error(transparent)]
    Closed(#[from] SessionClosed),
}

impl Engine {
    /// A session to be used; `None` where there is none of that name any more.
    pub fn session_mut(&mut self, id: SessionId, now: Instant) -> Option<SessionMut<'_>> {
        self.session(id)?;
        Some(SessionMut { engine: self, id, now })
    }
}

impl SessionMut<'_> {
    /// Opens a stream; `None` until the peer allows more ([`Event::StreamsAvailable`](crate::Event::StreamsAvailable)).
    ///
    /// # Errors
    ///
    /// [`SessionClosed`].
    pub fn open(&mut self, dir: Dir) -> Result<Option<StreamId>, SessionClosed> {
        self.writing()?;
        Ok(self.change(|s| s.streams().open(dir)).flatten())
    }

    /// The next stream that the peer opened.
    pub fn accept(&mut self, dir: Dir) -> Option<StreamId> {
        self.change(|s| s.streams().accept(dir)).flatten()
    }

    /// Writes to a stream; returns how many bytes were taken, at least one unless `data` is empty.
    ///
    /// # Errors
    ///
    /// [`WriteStreamError::Stream`] where the stream takes nothing now (blocked) or any more; [`WriteStreamError::Closed`].
    pub fn write(&mut self, stream: StreamId, data: &[u8]) -> Result<usize, WriteStreamError> {
        self.writing()?;
        let result = self.change(|s| s.streams().write(stream, data)).ok_or(SessionClosed)?;
        Ok(result?)
    }

    /// Ends a stream behind what was written.
    ///
    /// # Errors
    ///
    /// [`WriteStreamError::Stream`] where the stream has ended already; [`WriteStreamError::Closed`].
    pub fn finish(&mut self, stream: StreamId) -> Result<(), WriteStreamError> {
        self.writing()?;
        let result = self.change(|s| s.streams().finish(stream)).ok_or(SessionClosed)?;
        Ok(result?)
    }

    /// Abandons the sending half of a stream: what was not delivered yet is dropped, the peer reads `code`.
    ///
    /// # Errors
    ///
    /// [`AbandonStreamError::Stream`] where there is nothing to abandon; [`AbandonStreamError::Closed`].
    pub fn reset(&mut self, stream: StreamId, code: u64) -> Result<(), AbandonStreamError> {
        self.writing()?;
        let result = self.change(|s| s.streams().reset(stream, code)).ok_or(SessionClosed)?;
        Ok(result?)
    }

    /// Streams of a higher priority send first; the default is zero.
    pub fn set_priority(&mut self, stream: StreamId, priority: i32) {
        self.change(|s| s.streams().set_priority(stream, priority));
    }

    /// Reads from a stream. `Ok(0)` with a non-empty `buf` is its end.
    ///
    /// # Errors
    ///
    /// [`ReadStreamError::Stream`]: nothing has arrived (blocked), the peer reset the stream, or there is none of that name;
    /// [`ReadStreamError::Closed`] once all that had arrived was read.
    pub fn read(&mut self, stream: StreamId, buf: &mut [u8]) -> Result<usize, ReadStreamError> {
        match self.change(|s| s.streams().read(stream, buf)).ok_or(SessionClosed)? {
            Err(ReadError::Blocked) if self.is_closed() => Err(SessionClosed.into()),
            result => Ok(result?),
        }
    }

    /// Wants no more of a stream: what is unread is dropped, the peer's application hears `code`.
    ///
    /// # Errors
    ///
    /// [`AbandonStreamError::Stream`] where there is nothing to stop; [`AbandonStreamError::Closed`].
    pub fn stop(&mut self, stream: StreamId, code: u64) -> Result<(), AbandonStreamError> {
        let result = self.change(|s| s.streams().stop(stream, code)).ok_or(SessionClosed)?;
        Ok(result?)
    }

    /// Queues a message. With `notify`, [`Event::MessageAcked`](crate::Event::MessageAcked) follows once the peer's
    /// crust has all of it.
    ///
    /// # Errors
    ///
    /// [`SendMessageFailure::Message`]: it is too large, or the queue is full; nothing of it was taken then.
    /// [`SendMessageFailure::Closed`].
    pub fn send_message(
        &mut self,
        priority: Priority,
        data: &[u8],
        notify: bool,
    ) -> Result<MessageId, SendMessageFailure> {
        self.writing()?;
        let result =
            self.change(|s| s.streams().send_message(priority, data, notify)).ok_or(SessionClosed)?;
        Ok(result?)
    }

    /// The most urgent message that has arrived whole.
    pub fn recv_message(&mut self) -> Option<Message> {
        self.change(|s| s.streams().recv_message()).flatten()
    }

    /// The largest message that may be sent, in bytes.
    pub fn message_limit(&self) -> usize {
        self.session().map_or(0, Session::message_limit)
    }

    /// Sends an unreliable datagram: soon or never. Where the queue is full its oldest is dropped.
    ///
    /// # Errors
    ///
    /// [`SendDatagramError::TooLarge`], [`SendDatagramError::Unsupported`], [`SendDatagramError::Closed`].
    pub fn send_datagram(&mut self, data: &[u8]) -> Result<(), SendDatagramError> {
        self.writing()?;
        let limit = self.max_datagram().ok_or(SendDatagramError::Unsupported)?;
        if data.len() > limit {
            return Err(SendDatagramError::TooLarge { limit });
        }
        self.change(|s| s.datagrams().send(data));
        Ok(())
    }

    /// The next unreliable datagram that has arrived.
    pub fn recv_datagram(&mut self) -> Option<Bytes> {
        self.change(|s| s.datagrams().receive()).flatten()
    }

    /// The largest unreliable datagram that fits now; `None` where the peer takes none.
    pub fn max_datagram(&self) -> Option<usize> {
        self.session().and_then(Session::max_datagram)
    }

    /// Changes the session's keys: now, or as soon as the last change is complete.
    pub fn update_keys(&mut self) {
        self.change(Session::update_keys);
    }

    /// Closes at once. The peer's application hears `code` (below [`PROTOCOL_CODES`](crate::PROTOCOL_CODES)) and
    /// up to 256 bytes of `reason`; what was not delivered yet is dropped.
    pub fn close(&mut self, code: u64, reason: &[u8]) {
        let now = self.now;
        self.change(|s| s.close(code, reason, now));
    }

    /// Closes once everything that was written is delivered, or nothing of it was for
    /// [`linger`](crate::TransportConfig::linger).
    pub fn finish_and_close(&mut self, code: u64, reason: &[u8]) {
        let now = self.now;
        self.change(|s| s.finish_and_close(code, reason, now));
    }

    fn session(&self) -> Option<&Session> {
        self.engine.session(self.id)
    }

    fn is_closed(&self) -> bool {
        self.session().is_none_or(|s| s.close_reason().is_some())
    }

    fn writing(&self) -> Result<(), SessionClosed> {
        self.session().filter(|s| s.takes_data()).map(|_| ()).ok_or(SessionClosed)
    }

    fn change<T>(&mut self, change: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let slot = slot_of(self.id);
        if let Some(entry) = self.engine.slots.entry_mut(slot).filter(|e| e.session.id() == self.id) {
            let result = change(&mut entry.session);
            self.engine.enqueue(slot);
            self.engine.after(slot, self.now);
            return Some(result);
        }
        let entry = self.engine.ended.get_mut(&self.id)?;
        let result = change(&mut entry.session);
        if !core::mem::replace(&mut entry.eventful, true) {
            self.engine.eventful.push_back(self.id);
        }
        Some(result)
    }
}
