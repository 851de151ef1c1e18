//! The table of a NAT or a firewall: who inside talks to whom outside, until when.
//!
//! An entry is found by a packet from inside (internal and remote endpoint) and by one from outside (external and
//! remote endpoint), each by one look into a hash table that is never iterated, so that its order can't show. The
//! hash tables hold slot numbers only; the keys stand in the entries. The hash is fixed: worlds are not attacked by
//! chosen hashes, and the same seed must do the same work everywhere.
//!
//! Time: each entry stands once in a schedule, at or before the instant at which it expires. A refresh changes the
//! entry alone; when the scheduled instant comes, the entry goes or is scheduled anew. So a packet costs one
//! comparison, and memory follows the number of entries.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crust_proto::Instant;
use hashbrown::HashTable;

use super::connection::Connection;
use crate::Protocol;

/// One internal endpoint that talks to one remote endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) protocol: Protocol,
    pub(crate) internal: SocketAddr,
    pub(crate) external: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// The mapping it belongs to; `None` for the router's own stack.
    pub(crate) mapping: Option<u32>,
    /// Found by packets from inside. False where the internal endpoint has talked to this remote one by another
    /// external endpoint before.
    pub(crate) outward: bool,
    pub(crate) sent: bool,
    pub(crate) received: bool,
    pub(crate) connection: Connection,
    /// It is gone from this instant on.
    pub(crate) expires: Instant,
}

/// The entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    entries: Slab<Scheduled>,
    from_inside: HashTable<u32>,
    from_outside: HashTable<u32>,
    schedule: BTreeSet<(Instant, u32)>,
    /// The first instant of the schedule.
    next: Option<Instant>,
    /// The schedule of each inside host.
    hosts: BTreeMap<IpAddr, BTreeSet<(Instant, u32)>>,
}

#[derive(Clone, Debug)]
struct Scheduled {
    entry: Entry,
    at: Instant,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.schedule.len()
    }

    /// Entries of one inside host.
    pub(crate) fn host_len(&self, host: IpAddr) -> usize {
        self.hosts.get(&host).map_or(0, BTreeSet::len)
    }

    /// The inside hosts that have more than so many.
    pub(crate) fn hosts_above(&self, most: usize) -> Vec<IpAddr> {
        self.hosts.iter().filter(|(_, entries)| entries.len() > most).map(|(host, _)| *host).collect()
    }

    pub(crate) fn find_from_inside(
        &self,
        protocol: Protocol,
        internal: SocketAddr,
        remote: SocketAddr,
    ) -> Option<u32> {
        self.find(&self.from_inside, (protocol, internal, remote), |entry| entry.internal)
    }

    pub(crate) fn find_from_outside(
        &self,
        protocol: Protocol,
        external: SocketAddr,
        remote: SocketAddr,
    ) -> Option<u32> {
        self.find(&self.from_outside, (protocol, external, remote), |entry| entry.external)
    }

    /// The entry of these two ends, the nearer of which is the one that `near` tells.
    fn find(
        &self,
        among: &HashTable<u32>,
        (protocol, end, remote): (Protocol, SocketAddr, SocketAddr),
        near: impl Fn(&Entry) -> SocketAddr,
    ) -> Option<u32> {
        let same = |&id: &u32| {
            self.entries.get(id).is_some_and(|Scheduled { entry, .. }| {
                near(entry) == end && entry.remote == remote && entry.protocol == protocol
            })
        };
        among.find(hash(protocol, end, remote), same).copied()
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Entry> {
        self.entries.get(id).map(|scheduled| &scheduled.entry)
    }

    /// The entry, to change anything but its endpoints and its time ([`Table::expire_at`]).
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Entry> {
        self.entries.get_mut(id).map(|scheduled| &mut scheduled.entry)
    }

    /// Adds an entry whose external and remote endpoint no other has. It is found from inside unless another is.
    pub(crate) fn insert(&mut self, mut entry: Entry) -> u32 {
        entry.outward &= self.find_from_inside(entry.protocol, entry.internal, entry.remote).is_none();
        let (at, host, outward) = (entry.expires, entry.mapping.map(|_| entry.internal.ip()), entry.outward);
        let inside = hash(entry.protocol, entry.internal, entry.remote);
        let outside = hash(entry.protocol, entry.external, entry.remote);
        let id = self.entries.insert(Scheduled { entry, at });
        let entries = &self.entries;
        let entry_of = |id: u32| entries.get(id).map(|scheduled| &scheduled.entry);
        if outward {
            self.from_inside.insert_unique(inside, id, |&id| {
                entry_of(id).map_or(0, |entry| hash(entry.protocol, entry.internal, entry.remote))
            });
        }
        self.from_outside.insert_unique(outside, id, |&id| {
            entry_of(id).map_or(0, |entry| hash(entry.protocol, entry.external, entry.remote))
        });
        self.schedule.insert((at, id));
        if let Some(host) = host {
            self.hosts.entry(host).or_default().insert((at, id));
        }
        self.next = self.schedule.first().map(|&(at, _)| at);
        id
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Entry> {
        let Scheduled { entry, at } = self.entries.remove(id)?;
        if entry.outward
            && let Ok(found) = self
                .from_inside
                .find_entry(hash(entry.protocol, entry.internal, entry.remote), |&other| other == id)
        {
            found.remove();
        }
        if let Ok(found) = self
            .from_outside
            .find_entry(hash(entry.protocol, entry.external, entry.remote), |&other| other == id)
        {
            found.remove();
        }
        self.schedule.remove(&(at, id));
        let host = entry.internal.ip();
        if let Some(of_host) = self.hosts.get_mut(&host) {
            of_host.remove(&(at, id));
            if of_host.is_empty() {
                self.hosts.remove(&host);
            }
        }
        self.next = self.schedule.first().map(|&(at, _)| at);
        Some(entry)
    }

    /// Sets when an entry expires.
    pub(crate) fn expire_at(&mut self, id: u32, expires: Instant) {
        if let Some(scheduled) = self.entries.get_mut(id) {
            scheduled.entry.expires = expires;
            if expires < scheduled.at {
                self.reschedule(id);
            }
        }
    }

    /// An entry whose time is up, if there is one. The caller removes it.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<u32> {
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        self.settle(None).filter(|&id| self.get(id).is_some_and(|entry| entry.expires <= now))
    }

    /// When the last entry of an internal endpoint by an external one expires. Looks at all entries of the host: only
    /// a stranger's first packet asks, where what comes in doesn't refresh.
    pub(crate) fn lives_until(
        &self,
        protocol: Protocol,
        internal: SocketAddr,
        external: SocketAddr,
    ) -> Option<Instant> {
        let of_host = self.hosts.get(&internal.ip())?.iter().filter_map(|&(_, id)| self.get(id));
        let of_pair = of_host.filter(|entry| {
            entry.protocol == protocol && entry.internal == internal && entry.external == external
        });
        of_pair.map(|entry| entry.expires).max()
    }

    /// The entry that expires first, of all or of one inside host.
    pub(crate) fn first_to_expire(&mut self, host: Option<IpAddr>) -> Option<u32> {
        self.settle(host)
    }

    /// Reschedules from the front until the first of the schedule stands at its true time, and names it.
    fn settle(&mut self, host: Option<IpAddr>) -> Option<u32> {
        loop {
            let schedule = match host {
                Some(host) => self.hosts.get(&host)?,
                None => &self.schedule,
            };
            let &(at, id) = schedule.first()?;
            if self.get(id)?.expires <= at {
                return Some(id);
            }
            self.reschedule(id);
        }
    }

    /// Moves an entry in the schedules to the instant at which it expires.
    fn reschedule(&mut self, id: u32) {
        let Some(Scheduled { entry, at }) = self.entries.get_mut(id) else { return };
        let old = std::mem::replace(at, entry.expires);
        self.schedule.remove(&(old, id));
        self.schedule.insert((entry.expires, id));
        if let Some(of_host) = self.hosts.get_mut(&entry.internal.ip())
            && of_host.remove(&(old, id))
        {
            of_host.insert((entry.expires, id));
        }
        self.next = self.schedule.first().map(|&(at, _)| at);
    }
}

/// Things under small numbers that are used again.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, item: T) -> u32 {
        if let Some(id) = self.free.pop()
            && let Some(slot) = self.items.get_mut(id as usize)
        {
            *slot = Some(item);
            return id;
        }
        self.items.push(Some(item));
        // Tables are bounded by their limits, and four thousand million entries by memory.
        u32::try_from(self.items.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.items.get(id as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.items.get_mut(id as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        let item = self.items.get_mut(id as usize)?.take()?;
        self.free.push(id);
        Some(item)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().flatten()
    }
}

/// A fixed hash of two ends: for IPv4 one multiplication, whose halves are folded.
fn hash(protocol: Protocol, near: SocketAddr, far: SocketAddr) -> u64 {
    let tag: u64 = match protocol {
        Protocol::Udp => 0x9e37_79b9_7f4a_7c15,
        Protocol::Tcp => 0xc2b2_ae3d_27d4_eb4f,
    };
    fold(word(near) ^ tag, word(far) ^ 0xd6e8_feb8_6659_fd93)
}

/// An endpoint in 64 bits: exact for IPv4, a digest for IPv6.
fn word(endpoint: SocketAddr) -> u64 {
    match endpoint {
        SocketAddr::V4(v4) => u64::from(v4.ip().to_bits()) << 16 | u64::from(v4.port()),
        SocketAddr::V6(v6) => {
            let bits = v6.ip().to_bits();
            fold((bits >> 64) as u64 ^ 0xa076_1d64_78bd_642f, bits as u64 ^ 0xe703_7ed1_a0b4_28db)
                ^ u64::from(v6.port())
        }
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    // Another multiplication spreads the low bits of neighbouring ports over the top ones, which the table uses too.
    ((product >> 64) as u64 ^ product as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26)
}
