//! What a host holds, of how much it may, and what hosts are about to hear: for whoever watches over every step of a run.

use crust_proto::Instant;

use super::World;
use crate::host::udp::fullest;
use crate::host::{HostEvent, HostId};

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
    /// Packets that are on their way. O(1).
    pub fn packets_under_way(&self) -> usize {
        self.on_wires + self.moving.len() - self.free_moving.len()
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
    pub fn told(&self) -> impl ExactSizeIterator<Item = (HostId, HostEvent)> + '_ {
        self.events.iter().copied()
    }
}
