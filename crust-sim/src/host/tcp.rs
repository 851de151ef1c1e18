//! A host's TCP, by smoltcp: each connection is a smoltcp interface of its own with one socket in it, over a device
//! in memory.
//!
//! One interface for each connection, where smoltcp means one for a host, because of what else it can't do:
//!
//! - An interface gives a segment to the first socket that takes it, in the order of a set. A listener that stands
//!   before a connecting socket of the same port would take the peer's SYN, and no simultaneous open could happen
//!   beside a listener. Here the connection with these very two ends comes first, as in every kernel.
//! - A listening smoltcp socket *becomes* the connection, and there is no backlog: two SYNs at one time and the
//!   second is reset. Here a listener makes a socket for each SYN.
//! - An interface has two addresses at most, one route's answer to which of them to use, and a TTL for each
//!   socket that not all of its segments get (acknowledgements that answer at once always have 64). Here the world
//!   routes, and the TTL is set on what comes out.
//! - smoltcp hears no ICMP. Here errors that a kernel heeds end a connection that is being made (RFC 1122
//!   §4.2.3.9), and "too big" makes segments smaller, by a new interface around the same socket.
//! - Closing before the peer has answered sends an RST, and so does giving up; kernels send nothing. Here such a
//!   connection just ends.
//!
//! - It waits for ever where a kernel asks or sends again: see [`said`](super::said).
//! - It panics where a window that it told in units of several bytes is filled to the last one and it has not yet said
//!   so. Here a full buffer is acknowledged at once.
//!
//! What remains different from a kernel: the first retransmission comes after 0.7 s rather than 1 s, the pause
//! doubles only with every third and ends at some 10 s rather than 120; no timestamps, no selective acknowledgements by the sender; TIME-WAIT is 10 s; a
//! segment to an unacknowledged simultaneous open is answered once a second at most.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use crust_proto::Instant;

use super::{HostId, ListenerId, NetError, TcpId};
use crate::packet::Packet;
use crate::{Flow, Rng};

mod connection;

pub use connection::{CONNECT_TIMEOUT, STALL_TIMEOUT};
pub(crate) use connection::{Connection, Phase};

/// Bytes of each connection's send and of its receive buffer, unless
/// [`World::set_tcp_buffers`](crate::World::set_tcp_buffers) says otherwise.
pub const TCP_BUFFER: usize = 128 * 1024;

/// A listener.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: SocketAddr,
    backlog: usize,
    /// Connections of it that are not yet made.
    pub(crate) half_open: usize,
    /// Those that are, and wait to be accepted.
    pub(crate) ready: VecDeque<TcpId>,
    pub(crate) told: bool,
}

type Slots<T> = Vec<(u32, Option<T>)>;

/// All connections and listeners of one host.
#[derive(Debug)]
pub(crate) struct TcpTable {
    connections: Slots<Box<Connection>>,
    free: Vec<u32>,
    by_ends: BTreeMap<(SocketAddr, SocketAddr), u32>,
    listeners: Slots<Listener>,
    deadlines: BTreeSet<(Instant, u32)>,
    /// Bytes of each new connection's send and receive buffer.
    pub(crate) buffers: [usize; 2],
    rng: Rng,
}

impl TcpTable {
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            connections: Vec::new(),
            free: Vec::new(),
            by_ends: BTreeMap::new(),
            listeners: Vec::new(),
            deadlines: BTreeSet::new(),
            buffers: [TCP_BUFFER; 2],
            rng,
        }
    }

    /// Whether a segment has somebody here.
    pub(crate) fn knows(&self, flow: Flow) -> bool {
        self.by_ends.contains_key(&(flow.destination, flow.source))
            || self.find_listener(flow.destination).is_some()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A connection whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<TcpId> {
        let (at, slot) = *self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.deadlines.pop_first();
        let (generation, entry) = self.connections.get_mut(slot as usize)?;
        entry.as_mut()?.deadline = None;
        Some(TcpId { host: HostId(u32::MAX), slot, generation: *generation })
    }

    pub(crate) fn get(&mut self, id: TcpId) -> Result<&mut Connection, NetError> {
        match self.connections.get_mut(id.slot as usize) {
            Some((generation, Some(connection))) if *generation == id.generation => Ok(connection),
            _ => Err(NetError::BadSocket),
        }
    }

    /// The connection of these two ends.
    pub(crate) fn find(&self, host: HostId, local: SocketAddr, remote: SocketAddr) -> Option<TcpId> {
        let slot = *self.by_ends.get(&(local, remote))?;
        Some(TcpId { host, slot, generation: self.connections.get(slot as usize)?.0 })
    }

    /// Whether a connection may be made between these two ends: none is, or one that only waits for stragglers.
    pub(crate) fn make_way(&mut self, host: HostId, local: SocketAddr, remote: SocketAddr) -> bool {
        let Some(id) = self.find(host, local, remote) else { return true };
        let Ok(connection) = self.get(id) else { return true };
        if !connection.lingers() {
            return false;
        }
        if connection.orphan {
            self.remove(id);
        } else {
            connection.ended(None);
            self.forget_ends(id);
        }
        true
    }

    /// How many connections and listeners programs have.
    pub(crate) fn open(&self) -> usize {
        let connections = self.connections.iter().filter_map(|(_, entry)| entry.as_ref());
        let listeners = self.listeners.iter().filter(|(_, entry)| entry.is_some());
        connections.filter(|one| one.listener.is_none() && !one.orphan).count() + listeners.count()
    }

    /// How many connections and listeners there are, also those that no program has.
    pub(crate) fn len(&self) -> usize {
        self.connections.len() - self.free.len()
            + self.listeners.iter().filter(|(_, entry)| entry.is_some()).count()
    }

    pub(crate) fn uses_port(&self, port: u16) -> bool {
        self.by_ends.keys().any(|(local, _)| local.port() == port)
            || self.listeners.iter().filter_map(|(_, entry)| entry.as_ref()).any(|on| on.local.port() == port)
    }

    fn insert(&mut self, host: HostId, connection: Connection) -> TcpId {
        let ends = (connection.local, connection.remote);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push((0, None));
            self.connections.len() as u32 - 1
        });
        let (generation, entry) = &mut self.connections[slot as usize];
        *entry = Some(Box::new(connection));
        self.by_ends.insert(ends, slot);
        TcpId { host, slot, generation: *generation }
    }

    /// A connection that sends its SYN with the next poll.
    pub(crate) fn connect(
        &mut self,
        host: HostId,
        local: SocketAddr,
        remote: SocketAddr,
        mtu: u16,
        now: Instant,
    ) -> Result<TcpId, NetError> {
        let mut connection = Connection::new((local, remote), self.buffers, mtu, self.rng.next_u64(), now);
        connection.call()?;
        Ok(self.insert(host, connection))
    }

    /// A connection that a SYN to a listener makes; `None` where the listener has enough of them.
    pub(crate) fn answer(
        &mut self,
        listener: ListenerId,
        local: SocketAddr,
        remote: SocketAddr,
        mtu: u16,
        now: Instant,
    ) -> Option<TcpId> {
        let entry = self.listener(listener).ok()?;
        if entry.half_open + entry.ready.len() >= entry.backlog {
            return None;
        }
        entry.half_open += 1;
        let mut connection = Connection::new((local, remote), self.buffers, mtu, self.rng.next_u64(), now);
        connection.wait_at(listener, now)?;
        Some(self.insert(listener.host, connection))
    }

    /// Gives a connection a segment that came for it.
    pub(crate) fn feed(&mut self, id: TcpId, packet: Packet) {
        if let Ok(connection) = self.get(id) {
            connection.hear(packet);
        }
    }

    /// Lets a connection do what it has to, and notes when it wants to be called again.
    pub(crate) fn poll(&mut self, id: TcpId, now: Instant) {
        let Ok(connection) = self.get(id) else { return };
        connection.poll(now);
        self.set_deadline(id, now);
    }

    fn set_deadline(&mut self, id: TcpId, now: Instant) {
        let Ok(connection) = self.get(id) else { return };
        let deadline = connection.next_poll(now);
        let before = std::mem::replace(&mut connection.deadline, deadline);
        if before != deadline {
            if let Some(before) = before {
                self.deadlines.remove(&(before, id.slot));
            }
            if let Some(deadline) = deadline {
                self.deadlines.insert((deadline, id.slot));
            }
        }
    }

    /// The two ends are free for another connection; the id stays.
    pub(crate) fn forget_ends(&mut self, id: TcpId) {
        let Ok(connection) = self.get(id) else { return };
        let ends = (connection.local, connection.remote);
        let deadline = connection.deadline.take();
        if self.by_ends.get(&ends) == Some(&id.slot) {
            self.by_ends.remove(&ends);
        }
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, id.slot));
        }
    }

    pub(crate) fn remove(&mut self, id: TcpId) {
        if self.get(id).is_err() {
            return;
        }
        self.forget_ends(id);
        let (generation, entry) = &mut self.connections[id.slot as usize];
        *generation = generation.wrapping_add(1);
        *entry = None;
        self.free.push(id.slot);
    }

    pub(crate) fn listen(&mut self, host: HostId, local: SocketAddr, backlog: usize) -> ListenerId {
        let listener =
            Listener { local, backlog: backlog.max(1), half_open: 0, ready: VecDeque::new(), told: false };
        let free = self.listeners.iter().position(|(_, entry)| entry.is_none());
        let slot = free.unwrap_or_else(|| {
            self.listeners.push((0, None));
            self.listeners.len() - 1
        });
        let (generation, entry) = &mut self.listeners[slot];
        *entry = Some(listener);
        ListenerId { host, slot: slot as u32, generation: *generation }
    }

    pub(crate) fn listener(&mut self, id: ListenerId) -> Result<&mut Listener, NetError> {
        match self.listeners.get_mut(id.slot as usize) {
            Some((generation, Some(listener))) if *generation == id.generation => Ok(listener),
            _ => Err(NetError::BadSocket),
        }
    }

    /// The listener's connections that nobody has accepted.
    pub(crate) fn waiting_at(&self, listener: ListenerId) -> Vec<TcpId> {
        self.connections
            .iter()
            .zip(0..)
            .filter(|((_, entry), _)| entry.as_ref().is_some_and(|one| one.listener == Some(listener)))
            .map(|((generation, _), slot)| TcpId { host: listener.host, slot, generation: *generation })
            .collect()
    }

    pub(crate) fn close_listener(&mut self, id: ListenerId) {
        if self.listener(id).is_ok() {
            let (generation, entry) = &mut self.listeners[id.slot as usize];
            *generation = generation.wrapping_add(1);
            *entry = None;
        }
    }

    /// The listener's slot for an address: one bound to that very address before one bound to any.
    fn find_listener(&self, to: SocketAddr) -> Option<u32> {
        let bound = |slot: &u32| self.listeners[*slot as usize].1.as_ref().map(|listener| listener.local);
        let fits = |local: SocketAddr| local.port() == to.port() && super::udp::overlaps(local.ip(), to.ip());
        (0..self.listeners.len() as u32)
            .filter(|slot| bound(slot).is_some_and(fits))
            .max_by_key(|slot| bound(slot).is_some_and(|local| local.ip() == to.ip()))
    }

    pub(crate) fn listener_at(&self, host: HostId, to: SocketAddr) -> Option<ListenerId> {
        let slot = self.find_listener(to)?;
        Some(ListenerId { host, slot, generation: self.listeners.get(slot as usize)?.0 })
    }

    /// Whether a listener may be opened there.
    pub(crate) fn may_listen(&self, local: SocketAddr) -> bool {
        self.listeners.iter().filter_map(|(_, entry)| entry.as_ref()).all(|other| {
            other.local.port() != local.port() || !super::udp::overlaps(other.local.ip(), local.ip())
        })
    }

    /// All is gone, and nobody told.
    pub(crate) fn clear(&mut self) {
        for (slot, (generation, entry)) in self.connections.iter_mut().enumerate() {
            if entry.take().is_some() {
                *generation = generation.wrapping_add(1);
                self.free.push(slot as u32);
            }
        }
        for (generation, entry) in &mut self.listeners {
            if entry.take().is_some() {
                *generation = generation.wrapping_add(1);
            }
        }
        self.by_ends.clear();
        self.deadlines.clear();
    }
}
