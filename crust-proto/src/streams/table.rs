//! The streams that exist, by number and by slot.
//!
//! A slot is a small integer that stays with a stream for its life: queues hold slots. Frames hold numbers; a
//! small cache in front of the map spares a busy stream the search.

use std::collections::BTreeMap;

use super::recv::RecvHalf;
use super::send::{Ready, SendHalf};
use super::types::StreamId;

/// Capacity that stays when everything else is given back.
const KEPT: usize = 8;

const CACHE: usize = 4;

/// A set of small flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(u8);

impl Bits {
    /// A RESET_STREAM is to be sent.
    pub(super) const RESET: u8 = 1;
    /// A STOP_SENDING is to be sent.
    pub(super) const STOP: u8 = 2;
    /// A MAX_STREAM_DATA is to be sent.
    pub(super) const CREDIT: u8 = 4;

    /// A `Readable` waits to be polled.
    pub(super) const READABLE: u8 = 1;
    /// A `Writable` waits to be polled.
    pub(super) const WRITABLE: u8 = 2;
    /// A `Stopped` waits to be polled.
    pub(super) const STOPPED: u8 = 4;

    /// Returns whether the flag was not set before.
    pub(super) const fn set(&mut self, bit: u8) -> bool {
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new
    }

    pub(super) const fn clear(&mut self, bit: u8) {
        self.0 &= !bit;
    }

    pub(super) const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) send: Option<SendHalf>,
    pub(super) recv: Option<RecvHalf>,
    pub(super) priority: i32,
    /// Control frames that are to be sent.
    pub(super) control: Bits,
    /// Events that wait to be polled.
    pub(super) events: Bits,
    /// Which queue it stands in.
    pub(super) queued: Ready,
    /// Whether it counts as having unacknowledged data.
    pub(super) unflushed: bool,
}

impl Stream {
    /// Forgets control frames that no longer matter.
    pub(super) fn drop_needless_control(&mut self) {
        if self.send.as_ref().and_then(SendHalf::unacked_reset).is_none() {
            self.control.clear(Bits::RESET);
        }
        if self.recv.as_ref().and_then(RecvHalf::unanswered_stop).is_none() {
            self.control.clear(Bits::STOP);
        }
        if !self.recv.as_ref().is_some_and(RecvHalf::takes_more) {
            self.control.clear(Bits::CREDIT);
        }
    }

    /// Both halves came to their end.
    pub(super) fn is_done(&self) -> bool {
        self.send.as_ref().is_none_or(SendHalf::is_done) && self.recv.as_ref().is_none_or(RecvHalf::is_done)
    }
}

/// All streams of a session.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Option<Box<Stream>>>,
    free: Vec<u32>,
    index: BTreeMap<StreamId, u32>,
    cache: [Option<(StreamId, u32)>; CACHE],
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.slots.iter().filter_map(Option::as_deref)
    }

    /// The slot of a stream.
    pub(super) fn find(&mut self, id: StreamId) -> Option<u32> {
        let cached = self.cache.get_mut(cache_place(id))?;
        if let Some((_, slot)) = cached.filter(|(cached_id, _)| *cached_id == id) {
            return Some(slot);
        }
        let slot = *self.index.get(&id)?;
        *cached = Some((id, slot));
        Some(slot)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Stream> {
        self.slots.get_mut(usize::try_from(slot).ok()?)?.as_deref_mut()
    }

    /// Takes a stream in. `None` where the slots don't suffice, which is beyond any machine's memory.
    pub(super) fn insert(&mut self, stream: Stream) -> Option<u32> {
        let id = stream.id;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len()).ok().filter(|&slot| slot < u32::MAX)?;
                self.slots.push(None);
                slot
            }
        };
        *self.slots.get_mut(usize::try_from(slot).ok()?)? = Some(Box::new(stream));
        self.index.insert(id, slot);
        Some(slot)
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Box<Stream>> {
        let stream = self.slots.get_mut(usize::try_from(slot).ok()?)?.take()?;
        self.index.remove(&stream.id);
        if let Some(cached) = self.cache.get_mut(cache_place(stream.id)) {
            *cached = None;
        }
        self.free.push(slot);
        if self.index.is_empty() {
            self.slots.clear();
            self.slots.shrink_to(KEPT);
            self.free.clear();
            self.free.shrink_to(KEPT);
        }
        Some(stream)
    }
}

/// Neighbours in number and kind, the likeliest to be busy together, fall into different places.
fn cache_place(id: StreamId) -> usize {
    let id = id.as_u64();
    usize::try_from((id ^ id >> 2) % CACHE as u64).unwrap_or(0)
}
