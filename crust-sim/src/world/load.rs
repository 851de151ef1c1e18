//! What a world holds at present, and what its hosts are about to hear: for whoever watches over a run.

use crust_proto::Instant;

use super::World;
use crate::host::{HostEvent, HostId};

/// What a world holds at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldLoad {
    /// Packets on their way.
    pub packets: usize,
    /// Things that will happen.
    pub pending: usize,
    /// Events that wait for [`World::poll_event`].
    pub told: usize,
}

/// What a host or a router holds at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLoad {
    /// UDP sockets.
    pub sockets: usize,
    /// Bytes in the fullest of their receive queues, and how many it may hold.
    pub queue: (usize, usize),
    /// Timers that are set.
    pub timers: usize,
    /// The earliest of them, by the host's monotonic clock.
    pub next_timer: Option<Instant>,
    /// Entries in the fullest of its middleboxes' tables, and how many that may hold.
    pub table: (usize, usize),
}

impl World {
    /// What the world holds at present. O(1).
    pub fn load(&self) -> WorldLoad {
        WorldLoad {
            packets: self.on_wires + self.moving.len() - self.free_moving.len(),
            pending: self.heap.len(),
            told: self.events.len(),
        }
    }

    /// What a host or a router holds at present. Walks over its sockets.
    pub fn host_load(&self, host: HostId) -> HostLoad {
        let node = self.node(host);
        let (sockets, queue) = node.udp.load();
        let tables = node.boxes.iter().flatten().filter_map(|middlebox| middlebox.load());
        HostLoad {
            sockets,
            queue,
            timers: node.timers.len(),
            next_timer: node.timers.next(),
            table: fullest(tables),
        }
    }

    /// Every host and router.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = HostId> + use<> {
        (0..self.nodes.len() as u32).map(HostId)
    }

    /// What [`World::poll_event`] will yield.
    pub fn told(&self) -> impl Iterator<Item = (HostId, HostEvent)> + '_ {
        self.events.iter().copied()
    }
}

/// The one that has the least room left, of holdings and their limits; nothing of nothing where there is none.
pub(crate) fn fullest(all: impl Iterator<Item = (usize, usize)>) -> (usize, usize) {
    all.min_by_key(|(holds, limit)| *limit as i128 - *holds as i128).unwrap_or_default()
}
