//! What comes from the network: frames.

use super::Streams;
use super::flow::MAX_STREAMS;
use super::send::SendHalf;
use super::table::Bits;
use super::types::{Dir, Priority, StreamId, Violation};
use crate::wire::frame::{Frame, StreamFrame};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Send,
    Recv,
}

impl Streams {
    /// Takes a frame that the peer sent. Frames that are not of streams and messages are none of this floor's
    /// business, and ignored.
    ///
    /// After a [`Violation`] the session ends; nothing here panics if it goes on nevertheless.
    ///
    /// # Errors
    ///
    /// [`Violation`]: the rule that the peer broke.
    pub fn on_frame(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        match *frame {
            Frame::Stream(ref frame) => self.on_stream(frame)?,
            Frame::Message { priority, offset, data } => {
                let priority = Priority::new(priority).ok_or(Violation::FrameEncoding)?;
                self.messages.on_data(&mut self.pool, priority, offset, data)?;
            }
            Frame::MaxStreamData { stream, limit } => {
                if let Some(slot) = self.slot_of_frame(StreamId::from_u64(stream), Half::Send)? {
                    self.send_half(slot).ok_or(Violation::StreamState)?.raise_limit(limit);
                    self.settle(slot);
                }
            }
            Frame::MaxData { limit } => self.send_flow.raise_limit(limit),
            Frame::MaxMessageData { priority, limit } => {
                let priority = Priority::new(priority).ok_or(Violation::FrameEncoding)?;
                self.messages.raise_limit(priority, limit);
            }
            Frame::MaxStreams { unidirectional, limit } => {
                if limit > MAX_STREAMS {
                    return Err(Violation::FrameEncoding);
                }
                let dir = if unidirectional { Dir::Uni } else { Dir::Bi };
                if self.own.get_mut(dir).raise_limit(limit) {
                    *self.available.get_mut(dir) = true;
                }
            }
            Frame::ResetStream { stream, code, final_size } => {
                self.on_reset(StreamId::from_u64(stream), code, final_size)?;
            }
            Frame::StopSending { stream, code } => self.on_stop(StreamId::from_u64(stream), code)?,
            Frame::Padding
            | Frame::Ping
            | Frame::Ack(_)
            | Frame::Close { .. }
            | Frame::PathChallenge(_)
            | Frame::PathResponse(_)
            | Frame::Datagram(_)
            | Frame::Unknown { .. } => {}
        }
        Ok(())
    }

    fn on_stream(&mut self, frame: &StreamFrame<'_>) -> Result<(), Violation> {
        let StreamFrame { stream, offset, data, fin } = *frame;
        let Some(slot) = self.slot_of_frame(StreamId::from_u64(stream), Half::Recv)? else { return Ok(()) };
        let recv = self.table.get_mut(slot).and_then(|stream| stream.recv.as_mut());
        let recv = recv.ok_or(Violation::StreamState)?;
        if recv.on_data(&mut self.pool, &mut self.recv_flow, offset, data, fin)? {
            self.notify(slot, Bits::READABLE);
        }
        self.settle(slot);
        Ok(())
    }

    fn on_reset(&mut self, id: StreamId, code: u64, final_size: u64) -> Result<(), Violation> {
        let Some(slot) = self.slot_of_frame(id, Half::Recv)? else { return Ok(()) };
        let recv = self.table.get_mut(slot).and_then(|stream| stream.recv.as_mut());
        let recv = recv.ok_or(Violation::StreamState)?;
        if recv.on_reset(&mut self.pool, &mut self.recv_flow, code, final_size)? {
            self.notify(slot, Bits::READABLE);
        }
        self.settle(slot);
        Ok(())
    }

    fn on_stop(&mut self, id: StreamId, code: u64) -> Result<(), Violation> {
        let Some(slot) = self.slot_of_frame(id, Half::Send)? else { return Ok(()) };
        let send = self.table.get_mut(slot).and_then(|stream| stream.send.as_mut());
        if send.ok_or(Violation::StreamState)?.on_stop(&mut self.pool, code) {
            self.queue_control(slot, Bits::RESET);
            self.notify(slot, Bits::STOPPED);
        }
        self.settle(slot);
        Ok(())
    }

    /// The slot of the stream that a frame speaks of, made if that opens it. `None` where the stream is over.
    fn slot_of_frame(&mut self, id: StreamId, half: Half) -> Result<Option<u32>, Violation> {
        if let Some(slot) = self.table.find(id) {
            return Ok(Some(slot));
        }
        let is_ours = id.side() == self.side;
        let has_half = id.dir() == Dir::Bi || is_ours == (half == Half::Send);
        if !has_half {
            return Err(Violation::StreamState);
        }
        if is_ours {
            let was_opened = id.index() < self.own.get(id.dir()).opened;
            return if was_opened { Ok(None) } else { Err(Violation::StreamState) };
        }
        let theirs = self.theirs.get_mut(id.dir());
        if theirs.on_used(id.index())? {
            *self.opened.get_mut(id.dir()) = true;
        } else if theirs.is_accepted(id.index()) {
            return Ok(None);
        }
        Ok(self.create(id))
    }

    pub(super) fn send_half(&mut self, slot: u32) -> Option<&mut SendHalf> {
        self.table.get_mut(slot)?.send.as_mut()
    }
}
