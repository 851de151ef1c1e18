//! Bytes of a sequence, addressed by their absolute offset and held in chunks.
//!
//! One [`Buffer`] serves either end of a sequence. The sender appends at the end and frees from the start as
//! acknowledgements come; the receiver puts what arrives straight into its place, in whatever order, and frees
//! from the start as the application reads. Either way a byte is copied once on its way in and once on its
//! way out.
//!
//! Chunk `k` holds the offsets `[k · CHUNK, (k + 1) · CHUNK)`, so finding a byte is a shift and a
//! subtraction. A chunk that is alone in its buffer may hold less than that, so that small streams cost little.
//! A buffer with nothing in it holds no chunk: whole ones go back to the session's [`Pool`].

use core::ops::Range;
use std::collections::VecDeque;

/// Bytes of a whole chunk.
pub(super) const CHUNK: usize = 16 * 1024;

/// Bytes of the smallest chunk.
const SMALLEST_CHUNK: usize = 512;

/// How many whole chunks a session keeps for reuse: a little more than one acknowledgement frees of a batch of
/// segments in either direction, and what is written in its place.
const MAX_SPARES: usize = 16;

/// How many places for chunks an empty buffer keeps, so that one that is emptied with every packet doesn't
/// allocate with every packet.
const KEPT_PLACES: usize = 4;

const WORD: usize = 64;

/// Whole chunks that wait to be used again: bulk transfer allocates nothing once it flows.
#[derive(Default)]
pub(super) struct Pool {
    spares: Vec<Box<[u8]>>,
}

impl Pool {
    pub(super) const fn is_empty(&self) -> bool {
        self.spares.is_empty()
    }

    /// Frees everything.
    pub(super) fn clear(&mut self) {
        self.spares = Vec::new();
    }

    fn give(&mut self, bytes: Box<[u8]>) {
        if bytes.len() == CHUNK && self.spares.len() < MAX_SPARES {
            self.spares.push(bytes);
        }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.spares.len() * CHUNK
    }
}

impl core::fmt::Debug for Pool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pool").field("spares", &self.spares.len()).finish()
    }
}

/// Bytes `start..end` of a sequence, with or without holes.
#[derive(Default)]
pub(super) struct Buffer {
    /// The first is the one that `start` falls into.
    chunks: VecDeque<Chunk>,
    start: u64,
    end: u64,
}

impl Buffer {
    /// The offset of the first byte that was not freed.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// One past the highest byte that was ever put in.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Puts `data` at the end.
    pub(super) fn append(&mut self, pool: &mut Pool, data: &[u8]) {
        self.put(pool, self.end, data);
    }

    /// Puts `data` at `offset`, which is not below the start. What lies in between is a hole.
    pub(super) fn put(&mut self, pool: &mut Pool, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let (index, within) = self.place(at);
            let (now, later) = rest.split_at_checked(CHUNK - within).unwrap_or((rest, &[]));
            while self.chunks.len() <= index {
                self.chunks.push_back(Chunk::default());
            }
            let alone = self.chunks.len() == 1;
            if let Some(chunk) = self.chunks.get_mut(index) {
                let slot = chunk.cover(within..within + now.len(), alone, pool);
                if slot.len() == now.len() {
                    slot.copy_from_slice(now);
                }
            }
            at += now.len() as u64;
            rest = later;
        }
        self.end = self.end.max(at);
    }

    /// Copies what stands at `offset` and after it into `out`, which the caller has sized to what there is.
    pub(super) fn copy_to(&self, offset: u64, out: &mut [u8]) {
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let (index, within) = self.place(at);
            let len = rest.len().min(CHUNK - within);
            let Some((now, later)) = rest.split_at_mut_checked(len) else { return };
            let bytes = self.chunks.get(index).and_then(|c| c.get(within..within + len));
            debug_assert!(bytes.is_some(), "{at} is not held in {self:?}");
            let Some(bytes) = bytes else { return };
            now.copy_from_slice(bytes);
            at += len as u64;
            rest = later;
        }
    }

    /// Appends the `len` bytes from `offset` on to `out`.
    pub(super) fn append_to(&self, offset: u64, len: usize, out: &mut Vec<u8>) {
        let mut at = offset;
        let mut left = len;
        while left > 0 {
            let (index, within) = self.place(at);
            let now = left.min(CHUNK - within);
            let bytes = self.chunks.get(index).and_then(|c| c.get(within..within + now));
            debug_assert!(bytes.is_some(), "{at} is not held in {self:?}");
            let Some(bytes) = bytes else { return };
            out.extend_from_slice(bytes);
            at += now as u64;
            left -= now;
        }
    }

    /// Frees everything below `offset`, which is not above the end.
    pub(super) fn free_to(&mut self, pool: &mut Pool, offset: u64) {
        if offset >= self.end {
            self.free_all(pool, offset);
            return;
        }
        let mut passed = (offset / CHUNK as u64).saturating_sub(self.start / CHUNK as u64);
        self.start = offset;
        while passed > 0
            && let Some(chunk) = self.chunks.pop_front()
        {
            pool.give(chunk.bytes);
            passed -= 1;
        }
    }

    /// Frees everything; the sequence goes on at `offset`.
    pub(super) fn free_all(&mut self, pool: &mut Pool, offset: u64) {
        for chunk in self.chunks.drain(..) {
            pool.give(chunk.bytes);
        }
        self.chunks.shrink_to(KEPT_PLACES);
        self.start = offset;
        self.end = offset;
    }

    /// Remembers that `range` has arrived although something before it has not.
    pub(super) fn mark(&mut self, range: Range<u64>) {
        let mut at = range.start;
        while at < range.end {
            let (index, within) = self.place(at);
            let len = lesser(range.end - at, CHUNK - within);
            if let Some(chunk) = self.chunks.get_mut(index) {
                chunk.marks.get_or_insert_default().set(within..within + len);
            }
            at += len as u64;
        }
    }

    /// The end of the unbroken run of marked bytes that starts at `offset`; `offset` itself where none does.
    pub(super) fn marked_run(&self, offset: u64) -> u64 {
        let mut at = offset;
        loop {
            let (index, within) = self.place(at);
            let Some(marks) = self.chunks.get(index).and_then(|c| c.marks.as_deref()) else { return at };
            let run = marks.run(within);
            at += run as u64;
            if within + run < CHUNK {
                return at;
            }
        }
    }

    /// Index of the chunk that holds `offset`, and where in it.
    fn place(&self, offset: u64) -> (usize, usize) {
        let index = (offset / CHUNK as u64).saturating_sub(self.start / CHUNK as u64);
        let within = offset % CHUNK as u64;
        (usize::try_from(index).unwrap_or(usize::MAX), usize::try_from(within).unwrap_or(0))
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let held = |c: &Chunk| c.bytes.len() + c.marks.as_ref().map_or(0, |m| size_of_val(&**m));
        self.chunks.iter().map(held).sum::<usize>() + self.chunks.capacity() * size_of::<Chunk>()
    }
}

/// Never prints what applications send.
impl core::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { chunks, start, end } = self;
        f.debug_struct("Buffer").field("held", &(start..end)).field("chunks", &chunks.len()).finish()
    }
}

/// Bytes `from..from + bytes.len()` of the `CHUNK` bytes that it stands for.
#[derive(Default)]
struct Chunk {
    bytes: Box<[u8]>,
    from: usize,
    /// Which bytes arrived before their turn; made when the first did.
    marks: Option<Box<Marks>>,
}

impl Chunk {
    fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        self.bytes.get(range.start.checked_sub(self.from)?..range.end.checked_sub(self.from)?)
    }

    /// The bytes of `range`, made room for.
    fn cover(&mut self, range: Range<usize>, alone: bool, pool: &mut Pool) -> &mut [u8] {
        if range.start < self.from || range.end > self.from + self.bytes.len() {
            self.grow(&range, alone, pool);
        }
        self.bytes.get_mut(range.start - self.from..range.end - self.from).unwrap_or_default()
    }

    fn grow(&mut self, range: &Range<usize>, alone: bool, pool: &mut Pool) {
        let (from, to) = match self.bytes.len() {
            0 => (range.start, range.end),
            len => (range.start.min(self.from), range.end.max(self.from + len)),
        };
        let size = (to - from).next_power_of_two().max(SMALLEST_CHUNK);
        let (from, mut bytes) = match pool.spares.pop() {
            Some(spare) => (0, spare),
            // More than a trickle: the rest of the chunk will be wanted too.
            None if !alone || size >= CHUNK / 2 => (0, vec![0; CHUNK].into_boxed_slice()),
            None => (from, vec![0; size.min(CHUNK - from)].into_boxed_slice()),
        };
        let old_at = self.from.saturating_sub(from);
        if let Some(slot) = bytes.get_mut(old_at..old_at + self.bytes.len()) {
            slot.copy_from_slice(&self.bytes);
        }
        self.from = from;
        self.bytes = bytes;
    }
}

/// One bit for each byte of a chunk. Bits rather than ranges: an eighth of the data whatever a peer sends in
/// whatever pieces, where a range for every other byte would be eight times the data and a limit on their
/// number would end honest sessions on bad networks.
struct Marks([u64; CHUNK / WORD]);

impl Default for Marks {
    fn default() -> Self {
        Self([0; CHUNK / WORD])
    }
}

impl Marks {
    fn set(&mut self, range: Range<usize>) {
        let mut at = range.start;
        for word in self.0.iter_mut().skip(range.start / WORD) {
            if at >= range.end {
                return;
            }
            let bit = at % WORD;
            let count = (WORD - bit).min(range.end - at);
            *word |= (u64::MAX >> (WORD - count)) << bit;
            at += count;
        }
    }

    /// How many bits are set from `from` on without a gap.
    fn run(&self, from: usize) -> usize {
        let mut bit = from % WORD;
        let mut run = 0;
        for word in self.0.iter().skip(from / WORD) {
            let ones = usize::try_from((word >> bit).trailing_ones()).unwrap_or(0);
            run += ones;
            if bit + ones < WORD {
                break;
            }
            bit = 0;
        }
        run
    }
}

/// The lesser of an amount of bytes and what fits somewhere.
pub(super) fn lesser(amount: u64, room: usize) -> usize {
    usize::try_from(amount).map_or(room, |amount| amount.min(room))
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
