//! Worlds for the tests of this folder, and short words for what they do.

use std::net::SocketAddr;

use super::*;
use crate::link::LinkConfig;
use crate::nat::Reason;
use crate::packet::Ecn;
use crate::{Flow, Received, SendOptions, TcpFlags, UdpId, UdpOptions};

impl World {
    /// Lets a socket hold no more than so much from now on, whatever it holds.
    pub(crate) fn limit_queue(&mut self, socket: UdpId, queue: usize) {
        self.node_mut(socket.host).udp.get(socket).unwrap().options.queue = queue;
    }
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) const PLAIN: UdpOptions = UdpOptions { reuse: false, broadcast: false, queue: 212_992 };
pub(super) const SEND: SendOptions =
    SendOptions { from: None, ttl: None, ecn: Ecn::NotEct, dont_fragment: true };

/// Two hosts, and so many routers between them in a row; each wire takes a millisecond.
pub(super) struct Line {
    pub(super) world: World,
    pub(super) a: HostId,
    pub(super) b: HostId,
    pub(super) routers: Vec<HostId>,
    /// The wires from `a` on, each with its two interfaces.
    pub(super) wires: Vec<(InterfaceId, InterfaceId)>,
}

pub(super) const B4: &str = "10.9.0.2:7";
pub(super) const B6: &str = "[2001:db8:9::2]:7";

pub(super) fn line(seed: u64, routers: usize) -> Line {
    let mut world = World::new(seed);
    let (a, b) = (world.add_host(), world.add_host());
    let routers: Vec<HostId> = (0..routers).map(|_| world.add_router()).collect();
    let mut chain = vec![a];
    chain.extend(&routers);
    chain.push(b);
    let wires: Vec<_> =
        chain.windows(2).map(|pair| world.connect(pair[0], pair[1], LinkConfig::default())).collect();
    for (number, (left, right)) in wires.iter().enumerate() {
        let net = if number + 1 == wires.len() { 9 } else { number };
        for (interface, last) in [(*left, 1), (*right, 2)] {
            world.add_address(interface, ip(&format!("10.{net}.0.{last}")), 24);
            world.add_address(interface, ip(&format!("2001:db8:{net}::{last}")), 64);
            let other = 3 - last;
            let host = world.host_of(interface);
            // All to the right by default, and back to `a`'s network to the left.
            let (v4, v6) = (ip(&format!("10.{net}.0.{other}")), ip(&format!("2001:db8:{net}::{other}")));
            if last == 1 || host == b {
                world.set_gateway(interface, v4);
                world.set_gateway(interface, v6);
            } else {
                world.add_route(host, Prefix::new(ip("10.0.0.0"), 24), interface, Some(v4), 1);
                world.add_route(host, Prefix::new(ip("2001:db8::"), 64), interface, Some(v6), 1);
            }
        }
    }
    Line { world, a, b, routers, wires }
}

pub(super) fn bind(world: &mut World, host: HostId, local: &str) -> UdpId {
    world.udp_bind(host, at(local), PLAIN).unwrap()
}

pub(super) fn recv(world: &mut World, socket: UdpId) -> Option<(Received, Vec<u8>)> {
    let mut buffer = [0; 2000];
    let received = world.udp_recv(socket, &mut buffer).unwrap()?;
    Some((received, buffer[..received.len].to_vec()))
}

pub(super) fn events(world: &mut World) -> Vec<(HostId, HostEvent)> {
    std::iter::from_fn(|| world.poll_event()).collect()
}

/// A NAT for tests: one port for each inner socket from 40,001 on, open to all; it hairpins if it is told to.
#[derive(Debug)]
pub(super) struct Cone {
    pub(super) outside: IpAddr,
    pub(super) hairpins: bool,
    pub(super) inner: Vec<SocketAddr>,
    pub(super) otherwise: Inbound,
}

impl Cone {
    pub(super) fn new(outside: &str) -> Self {
        Self {
            outside: ip(outside),
            hairpins: false,
            inner: Vec::new(),
            otherwise: Inbound::Drop(Reason::NoMapping),
        }
    }

    pub(super) fn outer(&mut self, inner: SocketAddr) -> SocketAddr {
        let at = self.inner.iter().position(|one| *one == inner).unwrap_or_else(|| {
            self.inner.push(inner);
            self.inner.len() - 1
        });
        SocketAddr::new(self.outside, 40_001 + at as u16)
    }

    pub(super) fn inner(&self, port: u16) -> Option<SocketAddr> {
        self.inner.get(usize::from(port.checked_sub(40_001)?)).copied()
    }
}

impl Middlebox for Cone {
    fn outbound(&mut self, flow: Flow, _: Option<TcpFlags>, _: Instant) -> Outbound {
        let source = self.outer(flow.source);
        match self.inner(flow.destination.port()) {
            Some(destination) if self.hairpins && flow.destination.ip() == self.outside => {
                Outbound::Hairpin { source, destination }
            }
            _ => Outbound::Forward { source },
        }
    }

    fn inbound(&mut self, flow: Flow, _: Option<TcpFlags>, _: Instant) -> Inbound {
        self.inner(flow.destination.port())
            .map_or(self.otherwise, |destination| Inbound::Forward { destination })
    }

    fn inbound_error(&mut self, quoted: Flow, _: Instant) -> Option<SocketAddr> {
        self.inner(quoted.source.port())
    }

    fn reboot(&mut self, outside: &[IpAddr]) {
        self.inner.clear();
        self.outside = outside[0];
    }
}

/// The line with a NAT in its first router.
pub(super) fn natted(seed: u64, routers: usize, change: impl FnOnce(&mut Cone)) -> Line {
    let mut line = line(seed, routers);
    let outside = line.wires[1].0;
    let mut nat = Cone::new(if routers == 1 { "10.9.0.1" } else { "10.1.0.1" });
    change(&mut nat);
    line.world.set_middleboxes(outside, Some(Box::new(nat)), None);
    line
}

/// Four hosts on one LAN, a fifth behind a router of it.
pub(super) fn lan() -> (World, Vec<HostId>, Vec<InterfaceId>) {
    let mut world = World::new(4);
    let (near, far) = (world.add_segment(), world.add_segment());
    let mut hosts = Vec::new();
    let mut interfaces = Vec::new();
    for number in 0..5u8 {
        let host = world.add_host();
        let (segment, net) = if number < 4 { (near, 0) } else { (far, 1) };
        let interface = world.add_interface(host, segment, LinkConfig::default());
        world.add_address(interface, IpAddr::from([10, 0, net, number + 10]), 24);
        world.set_gateway(interface, IpAddr::from([10, 0, net, 1]));
        hosts.push(host);
        interfaces.push(interface);
    }
    let router = world.add_router();
    for (segment, net) in [(near, 0), (far, 1)] {
        let interface = world.add_interface(router, segment, LinkConfig::default());
        world.add_address(interface, IpAddr::from([10, 0, net, 1]), 24);
    }
    (world, hosts, interfaces)
}
