//! What a world holds, so that tests can say that it does not grow with age.

use super::World;

/// How much of everything a world holds now.
///
/// All of it follows from what is in the world and on its way: of two moments at which the same goes on, the later one
/// has no more, but for room that was once needed and is kept for the next time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorldSize {
    /// Events that are to come.
    pub pending: usize,
    /// Room for packets on wires.
    pub on_wires: usize,
    /// Packets in receive queues.
    pub queued: usize,
    /// Room for packets elsewhere, for actions of the test, and buffers for the next packets.
    pub spare: usize,
    /// Events that programs have not taken.
    pub events: usize,
    /// Timers of all hosts, and the wake-ups that serve them.
    pub timers: usize,
    /// UDP sockets of all hosts, and the slots of such.
    pub sockets: usize,
    /// TCP connections and listeners of all hosts, also those that only wait for stragglers.
    pub tcp: usize,
    /// Entries in the tables of NATs and firewalls.
    pub entries: usize,
}

impl WorldSize {
    /// All of it.
    pub const fn total(&self) -> usize {
        let Self { pending, on_wires, queued, spare, events, timers, sockets, tcp, entries } = *self;
        pending + on_wires + queued + spare + events + timers + sockets + tcp + entries
    }
}

impl World {
    /// How much it holds. Walks over all that there is: for looking now and then, not at every step; for that there are
    /// [`World::packets_under_way`], [`World::told`] and [`World::host_load`].
    pub fn size(&self) -> WorldSize {
        let mut size = WorldSize {
            pending: self.heap.len(),
            on_wires: self.interfaces.iter().map(|interface| interface.wire.capacity()).sum(),
            spare: self.moving.len() + self.actions.len() + self.buffers.len(),
            events: self.events.len(),
            ..WorldSize::default()
        };
        for node in &self.nodes {
            size.timers += node.timers.len() + node.wakes.len();
            let (sockets, queued) = node.udp.size();
            size.sockets += sockets;
            size.queued += queued;
            size.tcp += node.tcp.len();
            let tables = node.boxes.iter().flatten().filter_map(|middlebox| middlebox.load());
            size.entries += tables.map(|(entries, _)| entries).sum::<usize>();
        }
        size
    }
}
