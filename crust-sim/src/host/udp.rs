//! A host's UDP sockets: which of them a datagram is for, and the queues.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use super::{HostId, InterfaceId, NetError, UdpError, UdpId, UdpOptions};
use crate::packet::Packet;

/// ICMP errors that wait for the program; older ones are forgotten first.
const MOST_ERRORS: usize = 16;
/// What a datagram costs in a receive queue beside its payload, so that empty ones are bounded too.
const OVERHEAD: usize = 64;

#[derive(Debug)]
pub(crate) struct UdpSocket {
    pub(crate) local: SocketAddr,
    pub(crate) options: UdpOptions,
    pub(crate) ttl: Option<u8>,
    /// Joined groups, each on one interface.
    pub(crate) groups: BTreeSet<(IpAddr, InterfaceId)>,
    pub(crate) queue: VecDeque<Packet>,
    queued: usize,
    /// The program was told and has not yet emptied the queue.
    pub(crate) readable_told: bool,
    pub(crate) errors: VecDeque<UdpError>,
    pub(crate) error_told: bool,
    /// Counts up with each bind: the one bound last is preferred.
    serial: u64,
}

impl UdpSocket {
    /// Queues a datagram; gives it back where there is no room.
    pub(crate) fn push(&mut self, packet: Packet) -> Result<(), Packet> {
        let cost = packet.payload().len() + OVERHEAD;
        if self.queued + cost > self.options.queue {
            return Err(packet);
        }
        self.queued += cost;
        self.queue.push_back(packet);
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<Packet> {
        let packet = self.queue.pop_front()?;
        self.queued -= packet.payload().len() + OVERHEAD;
        Some(packet)
    }

    pub(crate) fn push_error(&mut self, error: UdpError) {
        if self.errors.len() == MOST_ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back(error);
    }
}

/// The sockets of one host.
#[derive(Debug, Default)]
pub(crate) struct UdpTable {
    slots: Vec<(u32, Option<UdpSocket>)>,
    free: Vec<u32>,
    by_port: BTreeMap<u16, Vec<u32>>,
    serial: u64,
}

/// Whether two bound addresses can be meant by one destination.
pub(crate) fn overlaps(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

impl UdpTable {
    /// Whether a socket may be bound there.
    pub(crate) fn is_free(&self, local: SocketAddr, reuse: bool) -> bool {
        self.by_port.get(&local.port()).is_none_or(|slots| {
            slots
                .iter()
                .filter_map(|slot| self.at(*slot))
                .all(|other| (reuse && other.options.reuse) || !overlaps(other.local.ip(), local.ip()))
        })
    }

    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.by_port.contains_key(&port)
    }

    pub(crate) fn insert(&mut self, host: HostId, local: SocketAddr, options: UdpOptions) -> UdpId {
        self.serial += 1;
        let socket = UdpSocket {
            local,
            options,
            ttl: None,
            groups: BTreeSet::new(),
            queue: VecDeque::new(),
            queued: 0,
            readable_told: false,
            errors: VecDeque::new(),
            error_told: false,
            serial: self.serial,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let (generation, entry) = &mut self.slots[slot as usize];
        *entry = Some(socket);
        self.by_port.entry(local.port()).or_default().push(slot);
        UdpId { host, slot, generation: *generation }
    }

    pub(crate) fn get(&mut self, id: UdpId) -> Result<&mut UdpSocket, NetError> {
        match self.slots.get_mut(id.slot as usize) {
            Some((generation, Some(socket))) if *generation == id.generation => Ok(socket),
            _ => Err(NetError::BadSocket),
        }
    }

    pub(crate) fn remove(&mut self, id: UdpId) -> Option<UdpSocket> {
        self.get(id).ok()?;
        let (generation, entry) = self.slots.get_mut(id.slot as usize)?;
        *generation = generation.wrapping_add(1);
        let socket = entry.take()?;
        self.free.push(id.slot);
        if let Some(slots) = self.by_port.get_mut(&socket.local.port()) {
            slots.retain(|slot| *slot != id.slot);
            if slots.is_empty() {
                self.by_port.remove(&socket.local.port());
            }
        }
        Some(socket)
    }

    /// Closes all sockets; ids given out before stay bad.
    pub(crate) fn clear(&mut self) {
        for (slot, (generation, entry)) in self.slots.iter_mut().enumerate() {
            if entry.take().is_some() {
                *generation = generation.wrapping_add(1);
                self.free.push(slot as u32);
            }
        }
        self.by_port.clear();
    }

    /// The socket that a datagram to one host is for: bound to that very address before any, then the latest.
    pub(crate) fn find(&self, to: SocketAddr) -> Option<u32> {
        let slots = self.by_port.get(&to.port())?;
        if let [only] = slots[..] {
            return self.at(only).is_some_and(|socket| overlaps(socket.local.ip(), to.ip())).then_some(only);
        }
        slots
            .iter()
            .filter_map(|slot| Some((*slot, self.at(*slot)?)))
            .filter(|(_, socket)| overlaps(socket.local.ip(), to.ip()))
            .max_by_key(|(_, socket)| (!socket.local.ip().is_unspecified(), socket.serial))
            .map(|(slot, _)| slot)
    }

    /// All sockets that a broadcast or multicast datagram is for.
    pub(crate) fn find_all(&self, to: SocketAddr, on: InterfaceId) -> Vec<u32> {
        let Some(slots) = self.by_port.get(&to.port()) else { return Vec::new() };
        // As on Linux, one bound to an address of the host's own hears neither broadcast nor multicast.
        let wanted = |socket: &UdpSocket| {
            overlaps(socket.local.ip(), to.ip())
                && (!to.ip().is_multicast() || socket.groups.contains(&(to.ip(), on)))
        };
        slots.iter().copied().filter(|slot| self.at(*slot).is_some_and(wanted)).collect()
    }

    /// How many sockets there are; bytes in the fullest receive queue, and how many it may hold.
    pub(crate) fn load(&self) -> (usize, (usize, usize)) {
        let sockets = || self.slots.iter().filter_map(|(_, socket)| socket.as_ref());
        (sockets().count(), fullest(sockets().map(|socket| (socket.queued, socket.options.queue))))
    }

    /// How many sockets there are. O(1).
    pub(crate) fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many slots there are, and how many packets wait in all of them.
    pub(crate) fn size(&self) -> (usize, usize) {
        let sockets = self.slots.iter().filter_map(|(_, socket)| socket.as_ref());
        (self.slots.len(), sockets.map(|socket| socket.queue.len()).sum())
    }

    fn at(&self, slot: u32) -> Option<&UdpSocket> {
        self.slots.get(slot as usize)?.1.as_ref()
    }

    pub(crate) fn at_mut(&mut self, host: HostId, slot: u32) -> Option<(UdpId, &mut UdpSocket)> {
        let (generation, entry) = self.slots.get_mut(slot as usize)?;
        Some((UdpId { host, slot, generation: *generation }, entry.as_mut()?))
    }
}

/// The one that has the least room left, of holdings and their limits; nothing of nothing where there is none.
pub(crate) fn fullest(all: impl Iterator<Item = (usize, usize)>) -> (usize, usize) {
    all.min_by_key(|(holds, limit)| *limit as i128 - *holds as i128).unwrap_or_default()
}
