//! The table that routes data packets: an index and a check value name a session.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::attempt::HalfXx;
use crate::Instant;
use crate::event::{AttemptId, SessionId};
use crate::io::SocketId;
use crate::session::Session;
use crate::wire::packet::MAX_SLOT;

/// The low bits of a session's name are its slot.
const SLOT_BITS: u32 = MAX_SLOT.trailing_zeros();

/// The slot that a session of that name has, or had.
pub(super) fn slot_of(id: SessionId) -> u32 {
    u32::try_from(id.0 & u64::from(MAX_SLOT - 1)).unwrap_or(0)
}

#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<(u32, Slot)>,
    /// Oldest first, so that a slot rests as long as possible before it is used again.
    free: VecDeque<u32>,
    used: usize,
    limit: usize,
    names: u64,
}

#[derive(Debug)]
pub(super) enum Slot {
    Free,
    /// Taken; what it is for follows in the same call.
    Reserved,
    /// Told to a peer in a hello of ours.
    Attempt(AttemptId),
    /// Told to a stranger who opened a handshake by address.
    HalfXx(Box<HalfXx>),
    Session(Box<Entry>),
}

/// A session and what the engine keeps with it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) session: Session,
    /// The first Noise message that it came from, where we responded.
    pub(super) initiation: Option<[u8; 32]>,
    /// The second Noise message, to be repeated to copies of the first until the session is confirmed.
    pub(super) response: Option<Vec<u8>>,
    /// The timer that is set for it.
    pub(super) armed: Option<Instant>,
    /// Whether that timer is to be looked at.
    pub(super) stale: bool,
    /// Whether it waits in `ready`.
    pub(super) queued: bool,
    /// Full sockets that it is to go on with when they are writable.
    pub(super) waits_for: SmallVec<[SocketId; 1]>,
    /// Whether it waits in `eventful`.
    pub(super) eventful: bool,
    /// Whether the application was told of it.
    pub(super) announced: bool,
    /// Whether the application will not ask for it again.
    pub(super) released: bool,
}

impl Slots {
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.min(MAX_SLOT as usize);
        Self { slots: Vec::new(), free: VecDeque::new(), used: 0, limit, names: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Takes a free slot, and gives it `check` and its first content.
    pub(super) fn take(&mut self, check: u32, slot: Slot) -> Option<u32> {
        if self.used >= self.limit {
            return None;
        }
        let index = match self.free.pop_front() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).ok()?;
                self.slots.push((0, Slot::Free));
                index
            }
        };
        *self.slots.get_mut(index as usize)? = (check, slot);
        self.used += 1;
        Some(index)
    }

    /// A name, never used before, for a session in that slot.
    pub(super) fn name(&mut self, slot: u32) -> SessionId {
        self.names += 1;
        SessionId(self.names << SLOT_BITS | u64::from(slot))
    }

    /// Empties a slot.
    pub(super) fn free(&mut self, index: u32) -> Slot {
        let Some((check, slot)) = self.slots.get_mut(index as usize) else { return Slot::Free };
        let old = core::mem::replace(slot, Slot::Free);
        *check = 0;
        if !matches!(old, Slot::Free) {
            self.used -= 1;
            self.free.push_back(index);
        }
        old
    }

    /// Puts a session in place of what the slot held.
    pub(super) fn fill(&mut self, index: u32, entry: Box<Entry>) {
        if let Some((_, slot)) = self.slots.get_mut(index as usize) {
            *slot = Slot::Session(entry);
        }
    }

    /// The check value of a slot that is in use.
    pub(super) fn check_of(&self, index: u32) -> Option<u32> {
        match self.slots.get(index as usize)? {
            (_, Slot::Free) => None,
            (check, _) => Some(*check),
        }
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize).map(|(_, slot)| slot)
    }

    pub(super) fn entry_mut(&mut self, index: u32) -> Option<&mut Entry> {
        match self.slots.get_mut(index as usize)? {
            (_, Slot::Session(entry)) => Some(entry),
            _ => None,
        }
    }

    /// The session of that name, unless it is over.
    pub(super) fn session(&self, id: SessionId) -> Option<&Session> {
        match self.slots.get(slot_of(id) as usize)? {
            (_, Slot::Session(entry)) if entry.session.id() == id => Some(&entry.session),
            _ => None,
        }
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = &Session> + '_ {
        self.slots.iter().filter_map(|(_, slot)| match slot {
            Slot::Session(entry) => Some(&entry.session),
            _ => None,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> + '_ {
        self.slots.iter().map(|(_, slot)| slot)
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }
}

impl Entry {
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            initiation: None,
            response: None,
            armed: None,
            stale: false,
            queued: false,
            waits_for: SmallVec::new(),
            eventful: false,
            announced: false,
            released: false,
        }
    }
}
