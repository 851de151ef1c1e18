//! What the application calls.

use super::Streams;
use super::recv::RecvHalf;
use super::send::Ready;
use super::table::Bits;
use super::types::{
    AbandonError, Dir, Message, MessageId, Priority, ReadError, SendMessageError, StreamId, WriteError,
};
use crate::wire::codec::MAX_VARINT;

impl Streams {
    /// Opens a stream, of which the peer learns with its first frame. `None` where the peer's limit is reached:
    /// a [`StreamsAvailable`](super::StreamEvent::StreamsAvailable) follows when it was raised.
    pub fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let index = self.own.get_mut(dir).open()?;
        let id = StreamId::new(self.side, dir, index);
        self.create(id)?;
        Some(id)
    }

    /// The next stream that the peer opened, in the order of their numbers.
    pub fn accept(&mut self, dir: Dir) -> Option<StreamId> {
        let index = self.theirs.get_mut(dir).accept()?;
        let id = StreamId::new(self.side.peer(), dir, index);
        let slot = match self.table.find(id) {
            Some(slot) => slot,
            None => self.create(id)?,
        };
        // What happened so far was held back.
        let stream = self.table.get_mut(slot)?;
        let is_readable = stream.recv.as_ref().is_some_and(RecvHalf::is_readable);
        let is_stopped = stream.send.as_ref().is_some_and(|send| send.stopped().is_some());
        if is_readable {
            self.notify(slot, Bits::READABLE);
        }
        if is_stopped {
            self.notify(slot, Bits::STOPPED);
        }
        Some(id)
    }

    /// Takes as much of `data` as there is room for, and says how much; nothing for nothing. Room is this
    /// side's send buffer: the peer's limits hold back what is sent, not what is written.
    ///
    /// # Errors
    ///
    /// [`WriteError`]: blocked, stopped by the peer, or no such stream.
    pub fn write(&mut self, id: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        let slot = self.known(id).ok_or(WriteError::Unknown)?;
        let room = self.send_buffer;
        let send = self.table.get_mut(slot).and_then(|stream| stream.send.as_mut());
        let result = send.ok_or(WriteError::Unknown)?.write(&mut self.pool, data, room);
        self.settle(slot);
        result
    }

    /// Says that nothing more will be written. A [`Finished`](super::StreamEvent::Finished) follows when the
    /// peer has it all.
    ///
    /// # Errors
    ///
    /// [`WriteError`] where the stream has ended already, or there is none.
    pub fn finish(&mut self, id: StreamId) -> Result<(), WriteError> {
        let slot = self.known(id).ok_or(WriteError::Unknown)?;
        let send = self.table.get_mut(slot).and_then(|stream| stream.send.as_mut());
        let result = send.ok_or(WriteError::Unknown)?.finish();
        self.settle(slot);
        result
    }

    /// Abandons what was written (RFC 9000 §3.1): the peer's application is told `code`, and may or may not
    /// have got what was written before. Does nothing where the half is over.
    ///
    /// # Errors
    ///
    /// [`AbandonError`] where there is nothing to abandon.
    pub fn reset(&mut self, id: StreamId, code: u64) -> Result<(), AbandonError> {
        if code > MAX_VARINT {
            return Err(AbandonError::CodeTooLarge);
        }
        let slot = self.known(id).ok_or(AbandonError::Unknown)?;
        let send = self.table.get_mut(slot).and_then(|stream| stream.send.as_mut());
        if send.ok_or(AbandonError::Unknown)?.reset(&mut self.pool, code) {
            self.queue_control(slot, Bits::RESET);
        }
        self.settle(slot);
        Ok(())
    }

    /// Reads what fits into `buf`, and says how much. 0, where `buf` has room, is the end.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: blocked, reset by the peer, or no such stream.
    pub fn read(&mut self, id: StreamId, buf: &mut [u8]) -> Result<usize, ReadError> {
        let slot = self.known(id).ok_or(ReadError::Unknown)?;
        let recv = self.table.get_mut(slot).and_then(|stream| stream.recv.as_mut());
        let recv = recv.ok_or(ReadError::Unknown)?;
        let result = recv.read(&mut self.pool, &mut self.recv_flow, buf);
        if recv.wants_update() {
            self.queue_control(slot, Bits::CREDIT);
        }
        self.settle(slot);
        result
    }

    /// Asks the peer to send no more (RFC 9000 §3.5), and drops what has come. Does nothing where the half is
    /// over.
    ///
    /// # Errors
    ///
    /// [`AbandonError`] where there is nothing to stop.
    pub fn stop(&mut self, id: StreamId, code: u64) -> Result<(), AbandonError> {
        if code > MAX_VARINT {
            return Err(AbandonError::CodeTooLarge);
        }
        let slot = self.known(id).ok_or(AbandonError::Unknown)?;
        let recv = self.table.get_mut(slot).and_then(|stream| stream.recv.as_mut());
        if recv.ok_or(AbandonError::Unknown)?.stop(&mut self.pool, &mut self.recv_flow, code) {
            self.queue_control(slot, Bits::STOP);
        }
        self.settle(slot);
        Ok(())
    }

    /// Says how urgent a stream's data is: the higher goes first, 0 at first. Does nothing where there is no
    /// such stream.
    pub fn set_priority(&mut self, id: StreamId, priority: i32) {
        let Some(slot) = self.known(id) else { return };
        let Some(stream) = self.table.get_mut(slot) else { return };
        stream.priority = priority;
        match stream.queued {
            Ready::Nothing => {}
            Ready::Repeat => self.repeat.push(slot, priority),
            Ready::Fresh => self.fresh.push(slot, priority),
        }
    }

    /// Sends a message. With `notify`, a [`MessageAcked`](super::StreamEvent::MessageAcked) follows when the
    /// peer's crust has all of it.
    ///
    /// # Errors
    ///
    /// [`SendMessageError`]: too large for the peer, or the queue is full; nothing was taken then.
    pub fn send_message(
        &mut self,
        priority: Priority,
        data: &[u8],
        notify: bool,
    ) -> Result<MessageId, SendMessageError> {
        self.messages.send(&mut self.pool, priority, data, notify, self.send_buffer)
    }

    /// The most urgent message that has wholly arrived.
    pub fn recv_message(&mut self) -> Option<Message> {
        self.messages.take(&mut self.pool)
    }

    /// How long a message may be, in bytes: the lesser of both sides' limits.
    pub fn message_limit(&self) -> usize {
        self.messages.max_sent()
    }

    /// The slot of a stream that the application may speak of.
    fn known(&mut self, id: StreamId) -> Option<u32> {
        self.table.find(id).filter(|_| self.is_known(id))
    }
}
