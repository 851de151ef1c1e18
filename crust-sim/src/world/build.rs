//! What is where: hosts, routers, segments, interfaces, addresses, routes.

use std::any::Any;
use std::net::IpAddr;

use super::{
    Interface, InterfaceId, Middlebox, Node, Power, Prefix, Routes, Segment, SegmentId, WORLD_BEGINS, World,
};
use crate::firewall::Firewall;
use crate::host::clock::Clock;
use crate::host::tcp::TcpTable;
use crate::host::timers::Timers;
use crate::host::udp::UdpTable;
use crate::host::{HostEvent, HostId, HostStats};
use crate::link::{Link, LinkConfig};
use crate::nat::Nat;

impl World {
    /// A host with a loopback and nothing else.
    pub fn add_host(&mut self) -> HostId {
        let host = HostId(self.nodes.len() as u32);
        let rng = self.rng.fork("host", u64::from(host.0));
        let wall = WORLD_BEGINS + self.now.saturating_since(crust_proto::Instant::ZERO);
        self.nodes.push(Node {
            interfaces: Vec::new(),
            own: Default::default(),
            routes: Routes::default(),
            remembered: Default::default(),
            forwards: false,
            outside: None,
            boxes: [None, None],
            power: Power::Up,
            clock: Clock::new(self.now, wall),
            timers: Timers::default(),
            udp: UdpTable::default(),
            tcp: TcpTable::new(rng.fork("tcp", 0)),
            wakes: Vec::new(),
            rng,
            stats: HostStats::default(),
        });
        let loopback =
            LinkConfig { latency: crust_proto::Duration::ZERO, mtu: u16::MAX, ..Default::default() };
        let interface = self.new_interface(host, None, loopback);
        self.interface_mut(interface).loopback = true;
        self.set_address(interface, Prefix { ip: IpAddr::from([127, 0, 0, 1]), len: 8 });
        self.set_address(interface, Prefix { ip: IpAddr::from(std::net::Ipv6Addr::LOCALHOST), len: 128 });
        host
    }

    /// A host that forwards what is not for itself: it counts TTLs down and sends ICMP errors.
    pub fn add_router(&mut self) -> HostId {
        let router = self.add_host();
        self.node_mut(router).forwards = true;
        router
    }

    /// A LAN: any number of interfaces, broadcast and multicast to all of them.
    pub fn add_segment(&mut self) -> SegmentId {
        self.segments.push(Segment::default());
        SegmentId(self.segments.len() as u32 - 1)
    }

    /// Gives a host one more interface, plugged into a segment. What it sends passes a link of that configuration;
    /// what it receives has passed its sender's.
    pub fn add_interface(&mut self, host: HostId, segment: SegmentId, link: LinkConfig) -> InterfaceId {
        self.new_interface(host, Some(segment), link)
    }

    /// A wire from one host to another: one interface more on each, the same configuration in both directions
    /// ([`World::link_mut`] changes one).
    pub fn connect(&mut self, a: HostId, b: HostId, link: LinkConfig) -> (InterfaceId, InterfaceId) {
        let segment = self.add_segment();
        self.segments[segment.0 as usize].wire = true;
        (self.add_interface(a, segment, link), self.add_interface(b, segment, link))
    }

    fn new_interface(&mut self, host: HostId, segment: Option<SegmentId>, link: LinkConfig) -> InterfaceId {
        self.topology_changed();
        let id = InterfaceId(self.interfaces.len() as u32);
        let rng = self.rng.fork("link", u64::from(id.0));
        self.interfaces.push(Interface {
            host,
            segment,
            loopback: false,
            up: true,
            addresses: Vec::new(),
            link: Link::new(link, rng),
            wire: Default::default(),
            cell: 0,
        });
        self.node_mut(host).interfaces.push(id);
        if let Some(segment) = segment {
            self.segments[segment.0 as usize].members.push(id);
        }
        id
    }

    /// Gives an interface an address and the host the route to its network.
    pub fn add_address(&mut self, interface: InterfaceId, ip: IpAddr, prefix: u8) {
        self.set_address(interface, Prefix::new(ip, prefix));
        let host = self.interface(interface).host;
        self.addresses_changed(host);
    }

    fn set_address(&mut self, interface: InterfaceId, address: Prefix) {
        self.topology_changed();
        self.unset_address(interface, address.ip);
        let entry = self.interface_mut(interface);
        entry.addresses.push(address);
        let (host, segment) = (entry.host, entry.segment);
        let node = self.node_mut(host);
        node.own.insert(address.ip, interface);
        node.routes.add(address, interface, None, 0);
        if let Some(segment) = segment {
            self.segments[segment.0 as usize].by_address.insert(address.ip, interface);
        }
    }

    /// Takes an address away. Sockets bound to it stay and hear nothing.
    pub fn remove_address(&mut self, interface: InterfaceId, ip: IpAddr) {
        if self.unset_address(interface, ip) {
            let host = self.interface(interface).host;
            self.addresses_changed(host);
        }
    }

    fn unset_address(&mut self, interface: InterfaceId, ip: IpAddr) -> bool {
        self.topology_changed();
        let entry = self.interface_mut(interface);
        let Some(at) = entry.addresses.iter().position(|address| address.ip == ip) else { return false };
        let address = entry.addresses.remove(at);
        let still = entry.addresses.iter().any(|other| other.len == address.len && other.contains(ip));
        let (host, segment) = (entry.host, entry.segment);
        let node = self.node_mut(host);
        if node.own.get(&ip) == Some(&interface) {
            node.own.remove(&ip);
        }
        if !still {
            node.routes.remove(address, |on, via| on == interface && via.is_none());
        }
        if let Some(segment) = segment {
            let by_address = &mut self.segments[segment.0 as usize].by_address;
            if by_address.get(&ip) == Some(&interface) {
                by_address.remove(&ip);
            }
        }
        true
    }

    /// Takes away all addresses of one IP version and gives one in their place: what a new lease does.
    pub fn change_address(&mut self, interface: InterfaceId, ip: IpAddr, prefix: u8) {
        let before: Vec<IpAddr> =
            self.interface(interface).addresses.iter().map(|address| address.ip).collect();
        for old in before {
            if old.is_ipv4() == ip.is_ipv4() {
                self.unset_address(interface, old);
            }
        }
        self.add_address(interface, ip, prefix);
    }

    /// A route to a network out of an interface: to a neighbour, or `None` where the network itself is there. Of
    /// several, the longest prefix wins; of equal ones that whose interface has the source address, then the
    /// lowest metric. Routes over an interface that is down don't count.
    pub fn add_route(
        &mut self,
        host: HostId,
        to: Prefix,
        interface: InterfaceId,
        via: Option<IpAddr>,
        metric: u32,
    ) {
        self.topology_changed();
        self.node_mut(host).routes.add(to, interface, via, metric);
    }

    /// The default route of `via`'s IP version, by a neighbour.
    pub fn set_gateway(&mut self, interface: InterfaceId, via: IpAddr) {
        let to = if via.is_ipv4() { Prefix::V4 } else { Prefix::V6 };
        self.topology_changed();
        let host = self.interface(interface).host;
        let routes = &mut self.node_mut(host).routes;
        routes.remove(to, |on, _| on == interface);
        routes.add(to, interface, Some(via), 100);
    }

    /// Takes away the routes to exactly that network.
    pub fn remove_route(&mut self, host: HostId, to: Prefix) {
        self.topology_changed();
        self.node_mut(host).routes.remove(to, |_, _| true);
    }

    /// Puts middleboxes between a router's other interfaces and this one: one for IPv4, one for IPv6; `None` lets
    /// packets of that version pass as they are.
    pub fn set_middleboxes(
        &mut self,
        outside: InterfaceId,
        v4: Option<Box<dyn Middlebox>>,
        v6: Option<Box<dyn Middlebox>>,
    ) {
        let host = self.interface(outside).host;
        let node = self.node_mut(host);
        node.outside = Some(outside);
        node.boxes = [v4, v6];
    }

    /// The middlebox for IPv4 or IPv6 of a router, to be asked or changed.
    pub fn middlebox_mut(&mut self, router: HostId, ipv6: bool) -> Option<&mut (dyn Middlebox + 'static)> {
        self.node_mut(router).boxes[usize::from(ipv6)].as_deref_mut()
    }

    /// The NAT of a router, whose [configuration](Nat::set_config) can change while the world runs; `None` where it has
    /// none.
    pub fn nat_mut(&mut self, router: HostId) -> Option<&mut Nat> {
        let as_any: &mut dyn Any = self.middlebox_mut(router, false)?;
        as_any.downcast_mut()
    }

    /// The same for the firewall before IPv4 or IPv6.
    pub fn firewall_mut(&mut self, router: HostId, ipv6: bool) -> Option<&mut Firewall> {
        let as_any: &mut dyn Any = self.middlebox_mut(router, ipv6)?;
        as_any.downcast_mut()
    }

    /// A host's interfaces, the loopback first.
    pub fn interfaces(&self, host: HostId) -> &[InterfaceId] {
        &self.node(host).interfaces
    }

    /// Whose an interface is.
    pub fn host_of(&self, interface: InterfaceId) -> HostId {
        self.interface(interface).host
    }

    /// What an interface is plugged into; `None` for the loopback and where the cable is out.
    pub fn segment_of(&self, interface: InterfaceId) -> Option<SegmentId> {
        self.interface(interface).segment
    }

    /// An interface's addresses with their networks' prefixes.
    pub fn interface_addresses(&self, interface: InterfaceId) -> &[Prefix] {
        &self.interface(interface).addresses
    }

    /// The addresses of a host's interfaces that are up, without the loopback's.
    pub fn addresses(&self, host: HostId) -> impl Iterator<Item = Prefix> + '_ {
        self.node(host)
            .interfaces
            .iter()
            .map(|interface| self.interface(*interface))
            .filter(|interface| interface.up && !interface.loopback)
            .flat_map(|interface| interface.addresses.iter().copied())
    }

    /// The address and neighbour of a host's default routes that work now, for programs that look for gateways.
    pub fn gateway(&self, host: HostId, ipv6: bool) -> Option<IpAddr> {
        let to = if ipv6 { Prefix::V6 } else { Prefix::V4 };
        let works = |interface: InterfaceId| self.interface(interface).up;
        self.node(host).routes.lookup(to.ip, works, |_| false)?.via
    }

    pub(super) fn addresses_changed(&mut self, host: HostId) {
        self.trace.record(self.now, 252, host.0, 0);
        // What is set up before the world runs is how it was, and no change.
        if self.begun && self.node(host).power == Power::Up {
            // Said once, however often it changed before the program listens.
            let event = (host, HostEvent::AddressesChanged);
            if !self.events.contains(&event) {
                self.events.push_back(event);
            }
        }
    }
}
