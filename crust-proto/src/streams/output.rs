//! What goes to the network: frames, and what became of them.

use smallvec::SmallVec;

use super::Streams;
use super::buffer::lesser;
use super::recv::RecvHalf;
use super::send::{Ready, SendHalf};
use super::table::Bits;
use super::types::{Dir, Sent, StreamEvent, StreamId};
use crate::wire::codec::{Writer, varint_len};
use crate::wire::frame::{Frame, message_room, stream_room};

/// A packet that carries something is not topped up with less than this of a longer piece: a few bytes more
/// cost a frame of their own at both ends.
const MIN_PIECE: usize = 32;

type SentFrames = SmallVec<[Sent; 4]>;

impl Streams {
    /// Whether [`Streams::write_frames`] has something to write, given room. Not so where only the peer's limits
    /// hold things back. O(1).
    pub fn wants_to_send(&self) -> bool {
        self.max_data_due
            || self.max_streams_due.bi
            || self.max_streams_due.uni
            || !self.messages.credit.is_empty()
            || !self.control.is_empty()
            || self.messages.has_sendable()
            || self.next_stream().is_some()
    }

    /// Fills the room that `w` has left with frames, and notes them in `sent`. Returns whether there were any.
    /// One call is one packet, for which `sent` comes empty: messages and streams take turns in starting them.
    /// 32 bytes of room are always enough for something.
    pub fn write_frames(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) -> bool {
        let before = sent.len();
        self.write_session_control(w, sent);
        self.write_stream_control(w, sent);
        let control = sent.len();
        if self.messages_first {
            self.write_messages(w, sent);
            self.messages_first = sent.len() == control;
            self.write_streams(w, sent);
        } else {
            self.write_streams(w, sent);
            self.messages_first = sent.len() > control;
            self.write_messages(w, sent);
        }
        sent.len() > before
    }

    /// The peer has what `what` says. May be said any number of times.
    pub fn on_acked(&mut self, what: &Sent) {
        match *what {
            Sent::Stream { id, start, end, fin } => {
                let Some(slot) = self.table.find(id) else { return };
                let Some(send) = self.table.get_mut(slot).and_then(|stream| stream.send.as_mut()) else {
                    return;
                };
                let was_finished = send.is_finished();
                send.on_acked(&mut self.pool, start..end, fin);
                let finished = !was_finished && send.is_finished();
                if send.take_unblocked(self.send_buffer) {
                    self.notify(slot, Bits::WRITABLE);
                }
                if finished {
                    self.events.push_back(StreamEvent::Finished(id));
                }
                self.settle(slot);
            }
            Sent::Message { priority, start, end } => {
                self.messages.on_acked(&mut self.pool, priority, start..end, self.send_buffer);
            }
            Sent::ResetStream(id) => {
                let Some(slot) = self.table.find(id) else { return };
                if let Some(send) = self.send_half(slot) {
                    send.on_reset_acked();
                }
                self.settle(slot);
            }
            // The peer's answer to these is what counts.
            Sent::MaxData
            | Sent::MaxStreamData(_)
            | Sent::MaxStreams(_)
            | Sent::StopSending(_)
            | Sent::MaxMessageData(_) => {}
        }
    }

    /// What `what` says may not have arrived: as far as it still matters, it is sent again. May be said any
    /// number of times, also of what was acknowledged.
    pub fn on_lost(&mut self, what: &Sent) {
        match *what {
            Sent::Stream { id, start, end, fin } => {
                let Some(slot) = self.table.find(id) else { return };
                if let Some(send) = self.send_half(slot) {
                    send.on_lost(start..end, fin);
                }
                self.settle(slot);
            }
            Sent::Message { priority, start, end } => self.messages.on_lost(priority, start..end),
            Sent::MaxData => self.max_data_due = true,
            Sent::MaxStreams(dir) => *self.max_streams_due.get_mut(dir) = true,
            Sent::MaxMessageData(priority) => self.messages.credit.put(priority, true),
            Sent::MaxStreamData(id) => self.repeat_control(id, Bits::CREDIT),
            Sent::ResetStream(id) => self.repeat_control(id, Bits::RESET),
            Sent::StopSending(id) => self.repeat_control(id, Bits::STOP),
        }
    }

    /// A probe shall carry what `what` says once more, so that its acknowledgement tells something
    /// (RFC 9002 §6.2.4).
    pub fn on_probe(&mut self, what: &Sent) {
        self.on_lost(what);
    }

    fn repeat_control(&mut self, id: StreamId, bit: u8) {
        if let Some(slot) = self.table.find(id) {
            self.queue_control(slot, bit);
            self.settle(slot);
        }
    }

    fn write_session_control(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) {
        if self.max_data_due && put(w, &Frame::MaxData { limit: self.recv_flow.update() }) {
            self.max_data_due = false;
            sent.push(Sent::MaxData);
        }
        for dir in Dir::ALL {
            if *self.max_streams_due.get(dir) {
                let limit = self.theirs.get_mut(dir).update();
                if put(w, &Frame::MaxStreams { unidirectional: dir == Dir::Uni, limit }) {
                    *self.max_streams_due.get_mut(dir) = false;
                    sent.push(Sent::MaxStreams(dir));
                }
            }
        }
        while let Some(priority) = self.messages.credit.first() {
            if let Some(limit) = self.messages.update(priority) {
                if !put(w, &Frame::MaxMessageData { priority: priority.get(), limit }) {
                    break;
                }
                sent.push(Sent::MaxMessageData(priority));
            }
            self.messages.credit.put(priority, false);
        }
    }

    fn write_stream_control(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) {
        while let Some((_, slot)) = self.control.first() {
            let Some(stream) = self.table.get_mut(slot) else { return self.control.remove(slot) };
            let (id, number) = (stream.id, stream.id.as_u64());
            for bit in [Bits::RESET, Bits::STOP, Bits::CREDIT] {
                if !stream.control.has(bit) {
                    continue;
                }
                let frame = match bit {
                    Bits::RESET => {
                        stream.send.as_ref().and_then(SendHalf::unacked_reset).map(|(code, final_size)| {
                            (Frame::ResetStream { stream: number, code, final_size }, Sent::ResetStream(id))
                        })
                    }
                    Bits::STOP => stream
                        .recv
                        .as_ref()
                        .and_then(RecvHalf::unanswered_stop)
                        .map(|code| (Frame::StopSending { stream: number, code }, Sent::StopSending(id))),
                    _ => stream.recv.as_mut().filter(|recv| recv.takes_more()).map(|recv| {
                        let limit = recv.update();
                        (Frame::MaxStreamData { stream: number, limit }, Sent::MaxStreamData(id))
                    }),
                };
                if let Some((frame, note)) = frame {
                    if !put(w, &frame) {
                        return;
                    }
                    sent.push(note);
                }
                stream.control.clear(bit);
            }
            self.control.remove(slot);
        }
    }

    fn write_messages(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) {
        while let Some((priority, range)) = self.messages.next() {
            let Some(len) = piece(&range, message_room(w.remaining(), range.start), sent) else { return };
            // 0x19: with its length.
            w.u8(0x19);
            w.u8(priority.get());
            w.varint(range.start);
            w.varint_usize(len);
            if let Some(slot) = w.reserve(len) {
                self.messages.copy_to(priority, range.start, slot);
            }
            let end = range.start + len as u64;
            self.messages.on_sent(priority, range.start..end);
            sent.push(Sent::Message { priority, start: range.start, end });
        }
    }

    fn write_streams(&mut self, w: &mut Writer<'_>, sent: &mut SentFrames) {
        while let Some(slot) = self.next_stream() {
            let credit = self.send_flow.credit();
            let Some(stream) = self.table.get_mut(slot) else { return };
            let Some(send) = stream.send.as_mut() else { return };
            let range = send.next_range(credit);
            let number = stream.id.as_u64();
            let Some(len) = piece(&range, stream_room(w.remaining(), number, range.start), sent) else {
                return;
            };
            let end = range.start + len as u64;
            let fin = send.ends_at(end);
            write_stream_head(w, number, range.start, len, fin);
            if let Some(slot) = w.reserve(len) {
                send.copy_to(range.start, slot);
            }
            self.send_flow.on_sent(send.on_sent(range.start..end, fin));
            sent.push(Sent::Stream { id: stream.id, start: range.start, end, fin });
            // To the back of the line, if it stays in it.
            if send.ready() == stream.queued {
                match stream.queued {
                    Ready::Nothing => {}
                    Ready::Repeat => self.repeat.push(slot, stream.priority),
                    Ready::Fresh => self.fresh.push(slot, stream.priority),
                }
            }
            self.settle(slot);
        }
    }

    /// The stream whose turn it is.
    fn next_stream(&self) -> Option<u32> {
        let fresh = if self.send_flow.credit() > 0 { self.fresh.first() } else { None };
        match (self.repeat.first(), fresh) {
            (Some((repeat, slot)), Some((fresh, _))) if repeat >= fresh => Some(slot),
            (repeat, None) => repeat.map(|(_, slot)| slot),
            (_, Some((_, slot))) => Some(slot),
        }
    }
}

/// How much of `range` goes into a frame that has `room` for data; `None` where a frame isn't worth it.
fn piece(range: &core::ops::Range<u64>, room: Option<usize>, sent: &SentFrames) -> Option<usize> {
    let room = room?;
    let len = lesser(range.end - range.start, room);
    let is_whole = len as u64 == range.end - range.start;
    let is_worth_it = is_whole || len >= MIN_PIECE || (sent.is_empty() && len > 0);
    is_worth_it.then_some(len)
}

/// Writes a STREAM frame up to its data, which the caller copies straight from its buffer.
fn write_stream_head(w: &mut Writer<'_>, stream: u64, offset: u64, len: usize, fin: bool) {
    let has_offset = offset > 0;
    // RFC 9000 §19.8: offset, length (always, so that others may follow), fin.
    w.u8(0x08 | u8::from(has_offset) << 2 | 0x02 | u8::from(fin));
    w.varint(stream);
    if has_offset {
        w.varint(offset);
    }
    w.varint_usize(len);
}

/// Writes a control frame if it fits.
fn put(w: &mut Writer<'_>, frame: &Frame<'_>) -> bool {
    let len = match *frame {
        Frame::MaxData { limit } | Frame::MaxStreams { limit, .. } => 1 + varint_len(limit),
        Frame::MaxStreamData { stream, limit } => 1 + varint_len(stream) + varint_len(limit),
        Frame::MaxMessageData { limit, .. } => 2 + varint_len(limit),
        Frame::StopSending { stream, code } => 1 + varint_len(stream) + varint_len(code),
        Frame::ResetStream { stream, code, final_size } => {
            1 + varint_len(stream) + varint_len(code) + varint_len(final_size)
        }
        _ => return false,
    };
    let fits = len <= w.remaining();
    if fits {
        frame.encode(w);
    }
    fits
}
