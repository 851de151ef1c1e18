//! The receiving end of a sequence of bytes, and of a stream.
//!
//! [`RecvBuffer`] is what streams and message queues have in common: what arrives is put in its place, what
//! arrived without a gap can be read. [`RecvHalf`] adds what only a stream has (RFC 9000 §3.2):
//!
//! ```text
//! open ── all data and fin arrived ── read to the end ──> done
//!   ├──── RESET_STREAM ── told by a read ──> done
//!   └──── stopped by the application ── final size known ──> done
//! ```
//!
//! However it ends, the session gets all the credit back that the peer used up for the stream: what is thrown
//! away counts as read.

use super::buffer::{Buffer, Pool, lesser};
use super::flow::RecvFlow;
use super::{ReadError, Violation};

/// Bytes that arrived and were not read yet.
#[derive(Debug, Default)]
pub(super) struct RecvBuffer {
    /// From the next byte to read to the highest that arrived.
    data: Buffer,
    /// Everything below has arrived.
    ready: u64,
}

impl RecvBuffer {
    /// The next byte to read.
    pub(super) const fn read_to(&self) -> u64 {
        self.data.start()
    }

    /// Everything below has arrived.
    pub(super) const fn ready_to(&self) -> u64 {
        self.ready
    }

    /// How much can be read.
    pub(super) const fn readable(&self) -> u64 {
        self.ready - self.data.start()
    }

    /// How much is held, gaps included.
    pub(super) const fn buffered(&self) -> u64 {
        self.data.end() - self.data.start()
    }

    /// Takes `data` that belongs at `offset`; what is there already is left alone.
    pub(super) fn insert(&mut self, pool: &mut Pool, offset: u64, data: &[u8]) {
        let known = lesser(self.ready.saturating_sub(offset), usize::MAX);
        let Some(new) = data.get(known..).filter(|new| !new.is_empty()) else { return };
        let offset = offset.max(self.ready);
        let end = offset + new.len() as u64;
        let gap_before = offset > self.ready;
        let more_after = self.data.end() > self.ready;
        self.data.put(pool, offset, new);
        if gap_before {
            self.data.mark(offset..end);
        } else {
            self.ready = if more_after { self.data.marked_run(end) } else { end };
        }
    }

    /// Reads what fits into `out`.
    pub(super) fn read(&mut self, pool: &mut Pool, out: &mut [u8]) -> usize {
        let len = lesser(self.readable(), out.len());
        if let Some(out) = out.get_mut(..len) {
            self.peek(self.read_to(), out);
        }
        self.skip(pool, len as u64);
        len
    }

    /// Copies what stands at `offset` on into `out`, without reading it.
    pub(super) fn peek(&self, offset: u64, out: &mut [u8]) {
        self.data.copy_to(offset, out);
    }

    /// The `len` bytes from `offset` on, without reading them.
    pub(super) fn peek_vec(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len);
        self.data.append_to(offset, len, &mut out);
        out
    }

    /// Drops `len` bytes that can be read.
    pub(super) fn skip(&mut self, pool: &mut Pool, len: u64) {
        self.data.free_to(pool, self.data.start() + len.min(self.readable()));
    }

    fn discard(&mut self, pool: &mut Pool) {
        self.data.free_all(pool, self.ready);
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.data.memory()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The peer gave up; the application doesn't know yet.
    Reset {
        code: u64,
    },
    /// The application gave up.
    Stopped {
        code: u64,
    },
    /// The application knows how it ended: with a reset of this code, or at its end.
    Told {
        reset: Option<u64>,
    },
}

/// The receiving half of a stream.
#[derive(Debug)]
pub(super) struct RecvHalf {
    buffer: RecvBuffer,
    /// How much the peer may be ahead of the reader.
    window: u64,
    /// What was announced: no byte may lie beyond.
    limit: u64,
    /// One past the highest byte that is known to exist: what the peer's use of the session's credit is
    /// reckoned by.
    highest: u64,
    final_size: Option<u64>,
    state: State,
}

impl RecvHalf {
    /// A half whose reader the peer may be `window` bytes ahead of.
    pub(super) fn new(window: u64) -> Self {
        let buffer = RecvBuffer::default();
        Self { buffer, window, limit: window, highest: 0, final_size: None, state: State::Open }
    }

    pub(super) const fn buffered(&self) -> u64 {
        self.buffer.buffered()
    }

    /// STREAM (RFC 9000 §19.8). Returns whether there is something to read now where there was nothing.
    pub(super) fn on_data(
        &mut self,
        pool: &mut Pool,
        flow: &mut RecvFlow,
        offset: u64,
        data: &[u8],
        fin: bool,
    ) -> Result<bool, Violation> {
        let end = offset.checked_add(data.len() as u64).ok_or(Violation::FlowControl)?;
        let was_readable = self.is_readable();
        let new = self.account(flow, end, fin)?;
        match self.state {
            State::Open => {}
            State::Stopped { .. } => {
                flow.on_read(new);
                return Ok(false);
            }
            State::Reset { .. } | State::Told { .. } => return Ok(false),
        }
        self.buffer.insert(pool, offset, data);
        Ok(!was_readable && self.is_readable())
    }

    /// RESET_STREAM (RFC 9000 §19.4). Returns whether the application has to hear of it.
    pub(super) fn on_reset(
        &mut self,
        pool: &mut Pool,
        flow: &mut RecvFlow,
        code: u64,
        final_size: u64,
    ) -> Result<bool, Violation> {
        let was_readable = self.is_readable();
        let is_whole = self.final_size == Some(self.buffer.ready_to());
        let new = self.account(flow, final_size, true)?;
        match self.state {
            // Nothing is missing: the application gets it all (RFC 9000 §3.2 leaves the choice).
            State::Open if is_whole => Ok(false),
            State::Open => {
                flow.on_read(final_size - self.buffer.read_to());
                self.buffer.discard(pool);
                self.state = State::Reset { code };
                Ok(!was_readable)
            }
            State::Stopped { .. } => {
                flow.on_read(new);
                Ok(false)
            }
            State::Reset { .. } | State::Told { .. } => Ok(false),
        }
    }

    /// Checks the end of something that arrived against limits and final size (RFC 9000 §4.1, §4.5).
    /// Returns by how much the stream is longer than was known.
    fn account(&mut self, flow: &mut RecvFlow, end: u64, is_final: bool) -> Result<u64, Violation> {
        let contradicts = match self.final_size {
            Some(size) => end > size || (is_final && end != size),
            None => is_final && end < self.highest,
        };
        if contradicts {
            return Err(Violation::FinalSize);
        }
        if end > self.limit {
            return Err(Violation::FlowControl);
        }
        let new = end.saturating_sub(self.highest);
        flow.on_received(new)?;
        self.highest += new;
        if is_final {
            self.final_size = Some(end);
        }
        Ok(new)
    }

    /// Reads what fits into `out`; 0 where `out` has room means the end.
    pub(super) fn read(
        &mut self,
        pool: &mut Pool,
        flow: &mut RecvFlow,
        out: &mut [u8],
    ) -> Result<usize, ReadError> {
        match self.state {
            State::Open => {}
            State::Reset { code } | State::Told { reset: Some(code) } => {
                self.state = State::Told { reset: Some(code) };
                return Err(ReadError::Reset { code });
            }
            State::Stopped { .. } => return Err(ReadError::Stopped),
            State::Told { reset: None } => return Ok(0),
        }
        if out.is_empty() {
            return Ok(0);
        }
        if self.buffer.readable() > 0 {
            let len = self.buffer.read(pool, out);
            flow.on_read(len as u64);
            return Ok(len);
        }
        if self.final_size == Some(self.buffer.ready_to()) {
            self.state = State::Told { reset: None };
            return Ok(0);
        }
        Err(ReadError::Blocked)
    }

    /// The application wants no more. Returns whether a STOP_SENDING is due for it.
    pub(super) fn stop(&mut self, pool: &mut Pool, flow: &mut RecvFlow, code: u64) -> bool {
        match self.state {
            State::Open => {
                flow.on_read(self.highest - self.buffer.read_to());
                self.buffer.discard(pool);
                self.state = State::Stopped { code };
                self.final_size.is_none()
            }
            State::Reset { code } => {
                self.state = State::Told { reset: Some(code) };
                false
            }
            State::Stopped { .. } | State::Told { .. } => false,
        }
    }

    /// The code of the STOP_SENDING that the peer has not answered, if there is one.
    pub(super) const fn unanswered_stop(&self) -> Option<u64> {
        match (self.state, self.final_size) {
            (State::Stopped { code }, None) => Some(code),
            _ => None,
        }
    }

    /// Whether a read would say something else than [`ReadError::Blocked`].
    pub(super) fn is_readable(&self) -> bool {
        match self.state {
            State::Open => self.buffer.readable() > 0 || self.final_size == Some(self.buffer.ready_to()),
            State::Reset { .. } => true,
            State::Stopped { .. } | State::Told { .. } => false,
        }
    }

    /// Whether the peer may still want credit.
    pub(super) fn takes_more(&self) -> bool {
        self.state == State::Open && self.final_size.is_none()
    }

    /// Whether so much was read that a new limit should be announced.
    pub(super) fn wants_update(&self) -> bool {
        self.takes_more() && super::flow::is_update_due(self.limit, self.buffer.read_to(), self.window)
    }

    /// The limit to announce now.
    pub(super) fn update(&mut self) -> u64 {
        self.limit = self.limit.max(super::flow::limit(self.buffer.read_to(), self.window));
        self.limit
    }

    /// Nothing will happen here any more, and the application knows.
    pub(super) const fn is_done(&self) -> bool {
        match self.state {
            State::Told { .. } => true,
            State::Stopped { .. } => self.final_size.is_some(),
            State::Open | State::Reset { .. } => false,
        }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.buffer.memory()
    }
}

#[cfg(test)]
#[path = "recv_tests.rs"]
mod tests;
