//! The sending end of a sequence of bytes, and of a stream.
//!
//! [`SendBuffer`] is what streams and message queues have in common: bytes wait in it until they were
//! acknowledged, however often they have to be sent. [`SendHalf`] adds what only a stream has (RFC 9000 §3.1):
//!
//! ```text
//! open ── finish ──> fin queued ──> fin sent ── all acknowledged ──> done
//!   └──── reset, or STOP_SENDING from the peer ──> reset sent ── acknowledged ──> done
//! ```

use core::ops::Range;

use super::WriteError;
use super::buffer::{Buffer, Pool, lesser};
use crate::wire::ranges::RangeSet;

/// Bytes that were not acknowledged yet, sent or not.
#[derive(Debug, Default)]
pub(super) struct SendBuffer {
    /// From the lowest unacknowledged byte to the last that was written.
    data: Buffer,
    /// Acknowledged, though something below them is not.
    acked: RangeSet,
    /// To be sent again.
    lost: RangeSet,
    /// The first byte that was never sent.
    next: u64,
}

impl SendBuffer {
    /// Bytes that were written and not acknowledged.
    pub(super) const fn buffered(&self) -> u64 {
        self.data.end() - self.data.start()
    }

    /// Everything below was acknowledged.
    pub(super) const fn acked_to(&self) -> u64 {
        self.data.start()
    }

    /// How much was ever written.
    pub(super) const fn written(&self) -> u64 {
        self.data.end()
    }

    /// How much was ever sent.
    pub(super) const fn sent(&self) -> u64 {
        self.next
    }

    /// Whether something has to be sent again.
    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether everything that was written was sent once, and nothing has to be sent again.
    pub(super) fn all_sent(&self) -> bool {
        self.next == self.data.end() && self.lost.is_empty()
    }

    /// Appends `data`.
    pub(super) fn write(&mut self, pool: &mut Pool, data: &[u8]) {
        self.data.append(pool, data);
    }

    /// What to send next: what was lost before what is new; of the new, only what lies below `limit`.
    pub(super) fn next_range(&self, limit: u64) -> Option<Range<u64>> {
        if let Some(lost) = self.lost.first() {
            return Some(lost);
        }
        let range = self.next..self.data.end().min(limit);
        (!range.is_empty()).then_some(range)
    }

    /// Copies the bytes from `offset` on into a packet.
    pub(super) fn copy_to(&self, offset: u64, out: &mut [u8]) {
        self.data.copy_to(offset, out);
    }

    /// Notes that `range`, the front of what [`SendBuffer::next_range`] said, is on its way.
    pub(super) fn on_sent(&mut self, range: Range<u64>) {
        if range.start == self.next {
            self.next = range.end;
        } else {
            self.lost.remove(range);
        }
    }

    /// The peer has `range`.
    pub(super) fn on_acked(&mut self, pool: &mut Pool, range: Range<u64>) {
        let range = range.start.max(self.data.start())..range.end.min(self.next);
        if range.is_empty() {
            return;
        }
        if !self.lost.is_empty() {
            self.lost.remove(range.clone());
        }
        if self.acked.is_empty() && range.start == self.data.start() {
            self.data.free_to(pool, range.end);
        } else {
            self.acked.insert(range);
            if let Some(first) = self.acked.first().filter(|first| first.start <= self.data.start()) {
                self.acked.pop_first();
                self.data.free_to(pool, first.end);
            }
        }
        if self.buffered() == 0 {
            self.acked = RangeSet::default();
            self.lost = RangeSet::default();
        }
    }

    /// `range` may not have arrived: whatever of it was not acknowledged is sent again.
    pub(super) fn on_lost(&mut self, range: Range<u64>) {
        let range = range.start.max(self.data.start())..range.end.min(self.next);
        if range.is_empty() {
            return;
        }
        self.lost.insert(range.clone());
        let held = self.acked.iter().skip_while(|acked| acked.end <= range.start);
        for acked in held.take_while(|acked| acked.start < range.end) {
            self.lost.remove(acked);
        }
    }

    /// Forgets everything that waits.
    pub(super) fn discard(&mut self, pool: &mut Pool) {
        self.data.free_all(pool, self.next);
        self.acked = RangeSet::default();
        self.lost = RangeSet::default();
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.data.memory() + (self.acked.len() + self.lost.len()) * size_of::<Range<u64>>()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    /// More may be written.
    Open,
    /// To be sent, once more or for the first time.
    Queued,
    Sent,
    Acked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reset {
    code: u64,
    acked: bool,
}

/// What a stream could send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// Nothing.
    Nothing,
    /// Something that needs no credit of the session: bytes that were sent before, or a bare end.
    Repeat,
    /// New bytes.
    Fresh,
}

/// The sending half of a stream.
#[derive(Debug)]
pub(super) struct SendHalf {
    buffer: SendBuffer,
    /// MAX_STREAM_DATA: how much the peer allows in all.
    limit: u64,
    fin: Fin,
    reset: Option<Reset>,
    /// The code of the peer's STOP_SENDING.
    stopped: Option<u64>,
    /// Whether the application knows that there is nothing left for it to do here.
    left: bool,
    /// Whether a write found no room since the last time there was some.
    blocked: bool,
}

impl SendHalf {
    /// A half that may send `limit` bytes at first.
    pub(super) fn new(limit: u64) -> Self {
        let buffer = SendBuffer::default();
        Self { buffer, limit, fin: Fin::Open, reset: None, stopped: None, left: false, blocked: false }
    }

    pub(super) const fn buffered(&self) -> u64 {
        self.buffer.buffered()
    }

    pub(super) fn write(&mut self, pool: &mut Pool, data: &[u8], room: u64) -> Result<usize, WriteError> {
        self.check_open()?;
        let free = lesser(room.saturating_sub(self.buffered()), usize::MAX);
        if free == 0 && !data.is_empty() {
            self.blocked = true;
            return Err(WriteError::Blocked);
        }
        let data = data.get(..free).unwrap_or(data);
        self.buffer.write(pool, data);
        Ok(data.len())
    }

    pub(super) fn finish(&mut self) -> Result<(), WriteError> {
        self.check_open()?;
        self.fin = Fin::Queued;
        self.left = true;
        Ok(())
    }

    fn check_open(&mut self) -> Result<(), WriteError> {
        if let Some(code) = self.stopped {
            self.left = true;
            return Err(WriteError::Stopped { code });
        }
        match self.fin {
            Fin::Open if self.reset.is_none() => Ok(()),
            _ => Err(WriteError::Finished),
        }
    }

    /// The application gives up. Returns whether a RESET_STREAM is due for it.
    pub(super) fn reset(&mut self, pool: &mut Pool, code: u64) -> bool {
        self.left = true;
        self.abandon(pool, code)
    }

    /// STOP_SENDING: the peer wants no more, which is answered with a reset (RFC 9000 §3.5).
    /// Returns whether a RESET_STREAM is due for it.
    pub(super) fn on_stop(&mut self, pool: &mut Pool, code: u64) -> bool {
        let due = self.abandon(pool, code);
        if due {
            self.stopped = Some(code);
        }
        due
    }

    fn abandon(&mut self, pool: &mut Pool, code: u64) -> bool {
        if self.reset.is_some() || self.is_finished() {
            return false;
        }
        self.reset = Some(Reset { code, acked: false });
        self.buffer.discard(pool);
        true
    }

    /// The code of the peer's STOP_SENDING, where it ended this half.
    pub(super) const fn stopped(&self) -> Option<u64> {
        self.stopped
    }

    /// Code and final size of the RESET_STREAM that has to arrive, if there is one.
    pub(super) fn unacked_reset(&self) -> Option<(u64, u64)> {
        self.reset.filter(|reset| !reset.acked).map(|reset| (reset.code, self.buffer.sent()))
    }

    pub(super) const fn on_reset_acked(&mut self) {
        if let Some(reset) = &mut self.reset {
            reset.acked = true;
        }
    }

    /// MAX_STREAM_DATA; a limit never sinks (RFC 9000 §4.1).
    pub(super) fn raise_limit(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    pub(super) fn ready(&self) -> Ready {
        if self.reset.is_some() {
            Ready::Nothing
        } else if self.buffer.has_lost() || (self.fin == Fin::Queued && self.buffer.all_sent()) {
            Ready::Repeat
        } else if self.buffer.next_range(self.limit).is_some() {
            Ready::Fresh
        } else {
            Ready::Nothing
        }
    }

    /// What to send next where the session may carry `credit` new bytes; empty for a bare end.
    pub(super) fn next_range(&self, credit: u64) -> Range<u64> {
        let limit = self.limit.min(self.buffer.sent().saturating_add(credit));
        self.buffer.next_range(limit).unwrap_or(self.buffer.sent()..self.buffer.sent())
    }

    /// Whether a frame that ends at `end` ends the stream.
    pub(super) fn ends_at(&self, end: u64) -> bool {
        self.fin != Fin::Open && end == self.buffer.written()
    }

    pub(super) fn copy_to(&self, offset: u64, out: &mut [u8]) {
        self.buffer.copy_to(offset, out);
    }

    /// Notes what a frame took. Returns how many of its bytes are new, hence cost credit of the session.
    pub(super) fn on_sent(&mut self, range: Range<u64>, fin: bool) -> u64 {
        let before = self.buffer.sent();
        self.buffer.on_sent(range);
        if fin && self.fin == Fin::Queued {
            self.fin = Fin::Sent;
        }
        self.buffer.sent() - before
    }

    pub(super) fn on_acked(&mut self, pool: &mut Pool, range: Range<u64>, fin: bool) {
        if self.reset.is_some() {
            return;
        }
        self.buffer.on_acked(pool, range);
        if fin {
            self.fin = Fin::Acked;
        }
    }

    pub(super) fn on_lost(&mut self, range: Range<u64>, fin: bool) {
        if self.reset.is_some() {
            return;
        }
        self.buffer.on_lost(range);
        if fin && self.fin == Fin::Sent {
            self.fin = Fin::Queued;
        }
    }

    /// Whether a writer that found no room should try again, now that a good part of `room` is free.
    pub(super) fn take_unblocked(&mut self, room: u64) -> bool {
        let unblocked = self.blocked && self.reset.is_none() && self.buffered() <= room - room.div_ceil(8);
        if unblocked {
            self.blocked = false;
        }
        unblocked
    }

    /// Everything including the end was acknowledged.
    pub(super) fn is_finished(&self) -> bool {
        self.fin == Fin::Acked && self.buffered() == 0
    }

    /// Nothing that the application did waits for an acknowledgement.
    pub(super) fn is_flushed(&self) -> bool {
        match self.reset {
            Some(reset) => reset.acked,
            None => self.buffered() == 0 && matches!(self.fin, Fin::Open | Fin::Acked),
        }
    }

    /// Nothing will happen here any more, and the application knows.
    pub(super) fn is_done(&self) -> bool {
        match self.reset {
            Some(reset) => reset.acked && self.left,
            None => self.is_finished(),
        }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.buffer.memory()
    }
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
