//! The mappings of a NAT: which external endpoint stands for which internal one, and towards whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crust_proto::Instant;

use super::MappingInfo;
use super::table::Slab;
use crate::Protocol;

/// Which remote endpoints a mapping serves (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Towards {
    Anyone,
    Address(IpAddr),
    Endpoint(SocketAddr),
}

/// A mapping.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    protocol: Protocol,
    internal: SocketAddr,
    towards: Towards,
    external: SocketAddr,
    /// Its entries in the table.
    entries: u32,
    /// Asked for until then.
    requested: Option<Instant>,
}

/// The mappings, by number, by internal and by external endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mappings {
    all: Slab<Mapped>,
    by_internal: BTreeMap<(Protocol, SocketAddr, Towards), u32>,
    by_external: BTreeSet<(Protocol, SocketAddr, u32)>,
    /// Those asked for, by internal and by external endpoint, and when each request ends.
    requested: BTreeMap<(Protocol, SocketAddr), u32>,
    requested_at: BTreeMap<(Protocol, SocketAddr), u32>,
    ends: BTreeSet<(Instant, u32)>,
    /// How many entries a mapping has towards each remote address, by its external endpoint: what address-dependent
    /// filtering goes by.
    known: BTreeMap<(Protocol, SocketAddr, IpAddr, u32), u32>,
    /// How many mappings an inside host has, and how many of them it asked for.
    hosts: BTreeMap<IpAddr, (usize, usize)>,
}

impl Mapped {
    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) const fn internal(&self) -> SocketAddr {
        self.internal
    }

    pub(crate) const fn external(&self) -> SocketAddr {
        self.external
    }

    pub(crate) const fn is_requested(&self) -> bool {
        self.requested.is_some()
    }

    pub(crate) fn info(&self) -> MappingInfo {
        MappingInfo {
            protocol: self.protocol,
            external: self.external,
            internal: self.internal,
            entries: self.entries,
            requested_until: self.requested,
        }
    }
}

impl Mappings {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mapped> {
        self.all.iter()
    }

    pub(crate) fn insert(
        &mut self,
        protocol: Protocol,
        internal: SocketAddr,
        towards: Towards,
        external: SocketAddr,
    ) -> u32 {
        let mapped = Mapped { protocol, internal, towards, external, entries: 0, requested: None };
        let id = self.all.insert(mapped);
        self.by_internal.insert((protocol, internal, towards), id);
        self.by_external.insert((protocol, external, id));
        self.hosts.entry(internal.ip()).or_default().0 += 1;
        id
    }

    /// The mapping of an internal endpoint towards others, and its external endpoint.
    pub(crate) fn find(
        &self,
        protocol: Protocol,
        internal: SocketAddr,
        towards: Towards,
    ) -> Option<(u32, SocketAddr)> {
        let &id = self.by_internal.get(&(protocol, internal, towards))?;
        Some((id, self.all.get(id)?.external))
    }

    /// The mappings that have that external endpoint: one, or more where ports are overloaded.
    pub(crate) fn at(
        &self,
        protocol: Protocol,
        external: SocketAddr,
    ) -> impl Iterator<Item = (u32, &Mapped)> {
        self.by_external
            .range((protocol, external, 0)..=(protocol, external, u32::MAX))
            .filter_map(|&(_, _, id)| Some((id, self.all.get(id)?)))
    }

    /// The mapping of an external endpoint that has an entry towards that remote address.
    pub(crate) fn knowing(&self, protocol: Protocol, external: SocketAddr, remote: IpAddr) -> Option<u32> {
        let range = (protocol, external, remote, 0)..=(protocol, external, remote, u32::MAX);
        self.known.range(range).next().map(|(&(_, _, _, id), _)| id)
    }

    /// The mapping of an external endpoint that was asked for.
    pub(crate) fn requested_at(&self, protocol: Protocol, external: SocketAddr) -> Option<u32> {
        self.requested_at.get(&(protocol, external)).copied()
    }

    pub(crate) fn internal_of(&self, id: u32) -> Option<SocketAddr> {
        self.all.get(id).map(|mapped| mapped.internal)
    }

    /// Whether an inside host has a mapping.
    pub(crate) fn any_of(&self, host: IpAddr) -> bool {
        self.hosts.contains_key(&host)
    }

    /// An entry was made.
    pub(crate) fn entered(&mut self, id: u32, remote: IpAddr) {
        if let Some(mapped) = self.all.get_mut(id) {
            mapped.entries += 1;
            *self.known.entry((mapped.protocol, mapped.external, remote, id)).or_default() += 1;
        }
    }

    /// An entry is gone.
    pub(crate) fn left(&mut self, id: u32, remote: IpAddr) {
        let Some(mapped) = self.all.get_mut(id) else { return };
        mapped.entries = mapped.entries.saturating_sub(1);
        let key = (mapped.protocol, mapped.external, remote, id);
        if let Some(count) = self.known.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.known.remove(&key);
            }
        }
    }

    pub(crate) fn is_requested(&self, id: u32) -> bool {
        self.all.get(id).is_some_and(Mapped::is_requested)
    }

    /// The mapping that was asked for by an internal endpoint.
    pub(crate) fn requested(&self, protocol: Protocol, internal: SocketAddr) -> Option<u32> {
        self.requested.get(&(protocol, internal)).copied()
    }

    /// How many were asked for.
    pub(crate) fn requests(&self) -> usize {
        self.requested.len()
    }

    /// How many an inside host asked for.
    pub(crate) fn requests_of(&self, host: IpAddr) -> usize {
        self.hosts.get(&host).map_or(0, |&(_, requested)| requested)
    }

    /// A mapping is asked for until then. An earlier one of the endpoint is to be withdrawn by the caller.
    pub(crate) fn request(&mut self, id: u32, until: Instant) {
        self.withdraw(id);
        let Some(mapped) = self.all.get_mut(id) else { return };
        mapped.requested = Some(until);
        self.requested.insert((mapped.protocol, mapped.internal), id);
        self.requested_at.insert((mapped.protocol, mapped.external), id);
        self.ends.insert((until, id));
        self.hosts.entry(mapped.internal.ip()).or_default().1 += 1;
    }

    /// A mapping is not asked for any more.
    pub(crate) fn withdraw(&mut self, id: u32) {
        let Some(mapped) = self.all.get_mut(id) else { return };
        let Some(until) = mapped.requested.take() else { return };
        let key = (mapped.protocol, mapped.internal);
        if self.requested.get(&key) == Some(&id) {
            self.requested.remove(&key);
        }
        self.requested_at.remove(&(mapped.protocol, mapped.external));
        self.ends.remove(&(until, id));
        if let Some((_, requested)) = self.hosts.get_mut(&mapped.internal.ip()) {
            *requested = requested.saturating_sub(1);
        }
    }

    /// A mapping whose request has ended, if there is one. The caller withdraws it.
    pub(crate) fn request_ended(&self, now: Instant) -> Option<u32> {
        self.ends.first().filter(|&&(until, _)| until <= now).map(|&(_, id)| id)
    }

    /// Removes a mapping if it has no entry and nobody asks for it.
    pub(crate) fn remove_unused(&mut self, id: u32) -> Option<Mapped> {
        self.all.get(id).filter(|mapped| mapped.entries == 0 && mapped.requested.is_none())?;
        let gone = self.all.remove(id)?;
        let key = (gone.protocol, gone.internal, gone.towards);
        if self.by_internal.get(&key) == Some(&id) {
            self.by_internal.remove(&key);
        }
        self.by_external.remove(&(gone.protocol, gone.external, id));
        let host = gone.internal.ip();
        if let Some((count, _)) = self.hosts.get_mut(&host) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
        Some(gone)
    }
}
