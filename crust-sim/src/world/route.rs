//! A routing table: the longest prefix wins, then the source address's own interface, then the lowest metric.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::InterfaceId;

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// Any address of it.
    pub ip: IpAddr,
    /// Leading bits that count: at most 32 or 128; more counts as that.
    pub len: u8,
}

impl Prefix {
    /// All of IPv4.
    pub const V4: Self = Self { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), len: 0 };
    /// All of IPv6.
    pub const V6: Self = Self { ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED), len: 0 };

    /// The network of an address.
    pub fn new(ip: IpAddr, len: u8) -> Self {
        Self { ip, len: len.min(if ip.is_ipv4() { 32 } else { 128 }) }
    }

    /// Whether it holds that address.
    pub fn contains(self, ip: IpAddr) -> bool {
        self.ip.is_ipv4() == ip.is_ipv4() && masked(self.ip, self.len) == masked(ip, self.len)
    }

    /// The address that means all hosts of it (IPv4 with room for one).
    pub fn broadcast(self) -> Option<IpAddr> {
        match self.ip {
            IpAddr::V4(ip) if self.len < 31 => {
                Some(IpAddr::V4(Ipv4Addr::from(u32::from(ip) | u32::MAX >> self.len)))
            }
            _ => None,
        }
    }
}

/// The bits that count; the two versions are kept apart by their tables.
fn masked(ip: IpAddr, len: u8) -> u128 {
    match ip {
        IpAddr::V4(ip) => {
            u128::from(u32::from(ip) & u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0))
        }
        IpAddr::V6(ip) => u128::from(ip) & u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0),
    }
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    /// Out of which interface.
    pub(super) interface: InterfaceId,
    /// To which neighbour; `None` where the destination is one itself.
    pub(super) via: Option<IpAddr>,
    metric: u32,
}

/// For each length of prefix, longest first, the hops of each network, lowest metric first.
#[derive(Debug, Default)]
struct Table(Vec<(u8, BTreeMap<u128, Vec<Hop>>)>);

/// A host's routing tables.
#[derive(Debug, Default)]
pub(super) struct Routes {
    v4: Table,
    v6: Table,
}

impl Routes {
    fn table(&mut self, ip: IpAddr) -> &mut Table {
        if ip.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }

    pub(super) fn add(&mut self, to: Prefix, interface: InterfaceId, via: Option<IpAddr>, metric: u32) {
        let to = Prefix::new(to.ip, to.len);
        let tables = &mut self.table(to.ip).0;
        let at = match tables.binary_search_by(|(len, _)| to.len.cmp(len)) {
            Ok(at) => at,
            Err(at) => {
                tables.insert(at, (to.len, BTreeMap::new()));
                at
            }
        };
        let hops = tables[at].1.entry(masked(to.ip, to.len)).or_default();
        hops.retain(|hop| hop.interface != interface || hop.via != via);
        let at = hops.partition_point(|hop| hop.metric <= metric);
        hops.insert(at, Hop { interface, via, metric });
    }

    /// Takes away the routes to exactly that network that `which` says.
    pub(super) fn remove(&mut self, to: Prefix, which: impl Fn(InterfaceId, Option<IpAddr>) -> bool) {
        let to = Prefix::new(to.ip, to.len);
        for (len, networks) in &mut self.table(to.ip).0 {
            if *len == to.len
                && let Some(hops) = networks.get_mut(&masked(to.ip, to.len))
            {
                hops.retain(|hop| !which(hop.interface, hop.via));
                if hops.is_empty() {
                    networks.remove(&masked(to.ip, to.len));
                }
            }
        }
    }

    /// The way to an address, over interfaces that `works` says, preferably over one that `prefers` says.
    pub(super) fn lookup(
        &self,
        to: IpAddr,
        works: impl Fn(InterfaceId) -> bool,
        prefers: impl Fn(InterfaceId) -> bool,
    ) -> Option<Hop> {
        let table = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        for (len, networks) in &table.0 {
            let Some(hops) = networks.get(&masked(to, *len)) else { continue };
            let mut working = hops.iter().filter(|hop| works(hop.interface));
            let Some(first) = working.next() else { continue };
            if prefers(first.interface) {
                return Some(*first);
            }
            return Some(*working.find(|hop| prefers(hop.interface)).unwrap_or(first));
        }
        None
    }
}
