//! What an address is to a host: its own, everybody's, or somewhere, and by which way.
//!
//! Packets mostly go where packets went before, so that each host remembers what it found, until something that it
//! depends on changes.

use std::net::{IpAddr, Ipv4Addr};

use super::{InterfaceId, World};
use crate::host::HostId;

/// How many destinations a host remembers.
const REMEMBERED: usize = 64;

/// Where a packet goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) interface: InterfaceId,
    pub(super) next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// One neighbour's interface.
    One(InterfaceId),
    /// All on the segment.
    All,
    /// Nobody on the segment has the address.
    Nobody,
}

/// What an address is to a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    /// It is the host's own, and of that interface; the loopback's where it is no interface's.
    pub(super) own: Option<InterfaceId>,
    pub(super) multicast: bool,
    /// It means all hosts of a segment that the host is on, or of any.
    pub(super) broadcast: bool,
    /// `None`: there is no route.
    pub(super) way: Option<Way>,
}

/// What a host remembers: each destination has its place, where another may stand.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// Which state of the world it is about.
    topology: u64,
    places: Vec<Option<(IpAddr, Option<IpAddr>, Destination)>>,
}

impl World {
    /// What an address is to a host that sends to it, with that source address or any.
    pub(super) fn destination(&mut self, host: HostId, to: IpAddr, from: Option<IpAddr>) -> Destination {
        let topology = self.topology;
        let remembered = &mut self.nodes[host.index()].remembered;
        if remembered.topology != topology {
            *remembered = Remembered { topology, places: Vec::new() };
        }
        let place = place(to);
        if let Some(Some((known, known_from, destination))) = remembered.places.get(place)
            && *known == to
            && *known_from == from
        {
            return *destination;
        }
        let destination = Destination {
            own: self.own(host, to),
            multicast: to.is_multicast(),
            broadcast: self.is_broadcast(host, to),
            way: self.way(host, to, from),
        };
        let places = &mut self.nodes[host.index()].remembered.places;
        places.resize(REMEMBERED, None);
        places[place] = Some((to, from, destination));
        destination
    }

    /// Something changed that ways depend on.
    pub(super) fn topology_changed(&mut self) {
        self.topology += 1;
    }

    /// The interface that has an address of the host's own.
    fn own(&self, host: HostId, ip: IpAddr) -> Option<InterfaceId> {
        let node = self.node(host);
        let loopback = || node.interfaces.first().copied().filter(|_| node.has(ip));
        node.own.get(&ip).copied().or_else(loopback)
    }

    fn is_broadcast(&self, host: HostId, ip: IpAddr) -> bool {
        let IpAddr::V4(v4) = ip else { return false };
        if v4.is_broadcast() {
            return true;
        }
        // Cheap for nearly all: a directed broadcast address ends in ones, at least two of them.
        u32::from(v4) & 3 == 3
            && self.node(host).interfaces.iter().any(|interface| {
                self.interface(*interface).addresses.iter().any(|address| address.broadcast() == Some(ip))
            })
    }

    /// The way from a host to an address, with that source address or any.
    pub(super) fn way(&self, host: HostId, to: IpAddr, from: Option<IpAddr>) -> Option<Way> {
        let node = self.node(host);
        if node.has(to) {
            let loopback = *node.interfaces.first()?;
            return Some(Way { interface: loopback, next: Next::One(loopback) });
        }
        let from_interface = from.and_then(|from| node.own.get(&from).copied());
        if to.is_multicast() || to == IpAddr::V4(Ipv4Addr::BROADCAST) {
            let usable = |interface: InterfaceId| {
                let interface = self.interface(interface);
                interface.up
                    && !interface.loopback
                    && interface.addresses.iter().any(|address| address.ip.is_ipv4() == to.is_ipv4())
            };
            let interface = from_interface
                .or_else(|| node.interfaces.iter().copied().find(|interface| usable(*interface)))
                .filter(|interface| usable(*interface))?;
            return Some(Way { interface, next: Next::All });
        }
        let works = |interface: InterfaceId| self.interface(interface).up;
        let hop = node.routes.lookup(to, works, |interface| Some(interface) == from_interface)?;
        let directed = || self.interface(hop.interface).addresses.iter().any(|on| on.broadcast() == Some(to));
        let all = hop.via.is_none() && matches!(to, IpAddr::V4(v4) if u32::from(v4) & 3 == 3) && directed();
        let next = if all { Next::All } else { self.neighbour(hop.interface, hop.via.unwrap_or(to)) };
        Some(Way { interface: hop.interface, next })
    }

    /// Who has an address on the segment of an interface.
    fn neighbour(&self, on: InterfaceId, ip: IpAddr) -> Next {
        let Some(segment) = self.interface(on).segment else { return Next::Nobody };
        let segment = &self.segments[segment.0 as usize];
        let neighbour = match segment.wire {
            true => segment.members.iter().find(|member| **member != on),
            false => segment.by_address.get(&ip),
        };
        neighbour.map_or(Next::Nobody, |neighbour| Next::One(*neighbour))
    }

    /// The source address for a way (after RFC 6724 §5): the destination itself where that is the host's own; else
    /// of the interface's addresses of that IP version the one of the same scope and with the longest prefix in
    /// common with the destination, the first of equals.
    pub(super) fn source_for(&self, way: Way, to: IpAddr) -> Option<IpAddr> {
        let interface = self.interface(way.interface);
        if interface.loopback {
            return Some(to);
        }
        let mut best: Option<(u32, IpAddr)> = None;
        for address in &interface.addresses {
            if address.ip.is_ipv4() != to.is_ipv4() {
                continue;
            }
            let rank =
                u32::from(is_link_local(address.ip) == is_link_local(to)) * 1000 + common(address.ip, to);
            if best.is_none_or(|(most, _)| rank > most) {
                best = Some((rank, address.ip));
            }
        }
        best.map(|(_, ip)| ip)
    }
}

/// Where a destination is remembered: addresses of one network differ at the end.
fn place(ip: IpAddr) -> usize {
    match ip {
        IpAddr::V4(ip) => {
            let [.., third, last] = ip.octets();
            usize::from(last ^ third.rotate_left(3)) % REMEMBERED
        }
        IpAddr::V6(ip) => {
            let [_, _, net, subnet, .., last] = ip.segments();
            usize::from(net ^ subnet ^ last) % REMEMBERED
        }
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// How many leading bits two addresses have in common.
fn common(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)).leading_zeros(),
        _ => 0,
    }
}
