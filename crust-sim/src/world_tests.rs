use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::*;
use crate::link::{LinkConfig, Oversize};
use crate::nat::{Reason, Refusal};
use crate::packet::{Ecn, IcmpKind};
use crate::{Flow, NetError, Received, SendOptions, TcpFlags, UdpId, UdpOptions};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const PLAIN: UdpOptions = UdpOptions { reuse: false, broadcast: false, queue: 212_992 };
const SEND: SendOptions = SendOptions { from: None, ttl: None, ecn: Ecn::NotEct, dont_fragment: true };

/// Two hosts, and so many routers between them in a row; each wire takes a millisecond.
struct Line {
    world: World,
    a: HostId,
    b: HostId,
    routers: Vec<HostId>,
    /// The wires from `a` on, each with its two interfaces.
    wires: Vec<(InterfaceId, InterfaceId)>,
}

const B4: &str = "10.9.0.2:7";
const B6: &str = "[2001:db8:9::2]:7";

fn line(seed: u64, routers: usize) -> Line {
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

fn bind(world: &mut World, host: HostId, local: &str) -> UdpId {
    world.udp_bind(host, at(local), PLAIN).unwrap()
}

fn recv(world: &mut World, socket: UdpId) -> Option<(Received, Vec<u8>)> {
    let mut buffer = [0; 2000];
    let received = world.udp_recv(socket, &mut buffer).unwrap()?;
    Some((received, buffer[..received.len].to_vec()))
}

fn events(world: &mut World) -> Vec<(HostId, HostEvent)> {
    std::iter::from_fn(|| world.poll_event()).collect()
}

/// A NAT for tests: one port for each inner socket from 40,001 on, open to all; it hairpins if it is told to.
#[derive(Debug)]
struct Cone {
    outside: IpAddr,
    hairpins: bool,
    inner: Vec<SocketAddr>,
    otherwise: Inbound,
}

impl Cone {
    fn new(outside: &str) -> Self {
        Self {
            outside: ip(outside),
            hairpins: false,
            inner: Vec::new(),
            otherwise: Inbound::Drop(Reason::NoMapping),
        }
    }

    fn outer(&mut self, inner: SocketAddr) -> SocketAddr {
        let at = self.inner.iter().position(|one| *one == inner).unwrap_or_else(|| {
            self.inner.push(inner);
            self.inner.len() - 1
        });
        SocketAddr::new(self.outside, 40_001 + at as u16)
    }

    fn inner(&self, port: u16) -> Option<SocketAddr> {
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
fn natted(seed: u64, routers: usize, change: impl FnOnce(&mut Cone)) -> Line {
    let mut line = line(seed, routers);
    let outside = line.wires[1].0;
    let mut nat = Cone::new(if routers == 1 { "10.9.0.1" } else { "10.1.0.1" });
    change(&mut nat);
    line.world.set_middleboxes(outside, Some(Box::new(nat)), None);
    line
}

#[test]
fn a_datagram_crosses_routers_and_arrives_as_it_was_sent() {
    for (to, from) in [(B4, "0.0.0.0:5"), (B6, "[::]:5")] {
        let Line { mut world, a, b, routers, .. } = line(1, 3);
        let (sender, receiver) = (bind(&mut world, a, from), bind(&mut world, b, &from.replace(":5", ":7")));
        world.udp_send(sender, at(to), SendOptions { ecn: Ecn::Ect0, ..SEND }, b"hello").unwrap();
        world.run_for(millis(4));
        let (received, bytes) = recv(&mut world, receiver).unwrap();
        assert_eq!(bytes, b"hello");
        assert_eq!((received.ttl, received.ecn, received.to), (61, Ecn::Ect0, at(to)));
        assert_eq!(world.stats(routers[1]).forwarded, 1);
        // And back to where it says that it came from.
        world.udp_send(receiver, received.from, SEND, b"back").unwrap();
        world.run_for(millis(10));
        assert_eq!(recv(&mut world, sender).unwrap().1, b"back");
        assert_eq!(world.now(), Instant::ZERO + millis(14));
    }
}

#[test]
fn readiness_is_told_once_until_the_queue_was_found_empty() {
    let Line { mut world, a, b, .. } = line(1, 0);
    let (sender, receiver) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    for _ in 0..3 {
        world.udp_send(sender, at("10.9.0.2:7"), SEND, b"x").unwrap();
    }
    world.run_for(millis(5));
    assert_eq!(events(&mut world), [(b, HostEvent::UdpReadable(receiver))]);
    recv(&mut world, receiver).unwrap();
    world.udp_send(sender, at("10.9.0.2:7"), SEND, b"x").unwrap();
    world.run_for(millis(5));
    assert_eq!(events(&mut world), []);
    while recv(&mut world, receiver).is_some() {}
    world.udp_send(sender, at("10.9.0.2:7"), SEND, b"x").unwrap();
    world.run_for(millis(5));
    assert_eq!(events(&mut world), [(b, HostEvent::UdpReadable(receiver))]);
}

#[test]
fn a_ttl_dies_where_it_should_and_its_end_is_told() {
    for (to, from, net) in [(B4, "0.0.0.0:5", "10.{}.0.2"), (B6, "[::]:5", "2001:db8:{}::2")] {
        for ttl in 1..=4u8 {
            let Line { mut world, a, b, .. } = line(1, 3);
            let (sender, receiver) =
                (bind(&mut world, a, from), bind(&mut world, b, &from.replace(":5", ":7")));
            world.udp_send(sender, at(to), SendOptions { ttl: Some(ttl), ..SEND }, b"x").unwrap();
            world.run_for(millis(100));
            let error = world.udp_take_error(sender).unwrap();
            if ttl == 4 {
                assert_eq!(recv(&mut world, receiver).unwrap().0.ttl, 1);
                assert_eq!(error, None);
                continue;
            }
            assert!(recv(&mut world, receiver).is_none());
            // The error names the address at which the packet came in.
            let reporter = ip(&net.replace("{}", &(ttl - 1).to_string()));
            assert_eq!(error, Some(crate::UdpError { kind: IcmpKind::TimeExceeded, reporter, to: at(to) }));
            assert_eq!(events(&mut world), [(a, HostEvent::UdpError(sender))]);
        }
    }
}

#[test]
fn a_packet_too_big_for_a_link_on_the_way_is_told_or_swallowed() {
    for (to, from, headers) in [(B4, "0.0.0.0:5", 28), (B6, "[::]:5", 48)] {
        for oversize in [Oversize::TooBig, Oversize::BlackHole] {
            let Line { mut world, a, b, wires, .. } = line(1, 2);
            *world.link_mut(wires[1].0) = LinkConfig { mtu: 1300, oversize, ..LinkConfig::default() };
            let (sender, receiver) =
                (bind(&mut world, a, from), bind(&mut world, b, &from.replace(":5", ":7")));
            let payload = [0; 1400];
            world.udp_send(sender, at(to), SEND, &payload[..1301 - headers]).unwrap();
            world.run_for(millis(100));
            assert!(recv(&mut world, receiver).is_none());
            let error = world.udp_take_error(sender).unwrap().map(|error| error.kind);
            let told = (oversize == Oversize::TooBig).then_some(IcmpKind::TooBig { mtu: 1300 });
            assert_eq!(error, told);
            world.udp_send(sender, at(to), SEND, &payload[..1300 - headers]).unwrap();
            world.run_for(millis(100));
            assert_eq!(recv(&mut world, receiver).unwrap().1.len(), 1300 - headers);
        }
    }
    // Of one's own interface it is said at once.
    let Line { mut world, a, .. } = line(1, 0);
    let sender = bind(&mut world, a, "0.0.0.0:5");
    assert_eq!(world.udp_send(sender, at(B4), SEND, &[0; 1473]), Err(NetError::MessageTooLong));
    assert_eq!(world.udp_send(sender, at(B4), SEND, &[0; 1472]), Ok(()));
}

#[test]
fn nobody_at_a_port_is_told_and_nobody_at_an_address_only_later() {
    let mut world = World::new(1);
    let lan = world.add_segment();
    let (a, b) = (world.add_host(), world.add_host());
    for (host, last) in [(a, 1), (b, 2)] {
        let interface = world.add_interface(host, lan, LinkConfig::default());
        world.add_address(interface, IpAddr::from([10, 0, 0, last]), 24);
    }
    let socket = bind(&mut world, a, "0.0.0.0:5");
    world.udp_send(socket, at("10.0.0.2:9"), SEND, b"x").unwrap();
    world.udp_send(socket, at("10.0.0.3:9"), SEND, b"x").unwrap();
    world.run_for(millis(2900));
    let error = world.udp_take_error(socket).unwrap().unwrap();
    assert_eq!((error.kind, error.to), (IcmpKind::PortUnreachable, at("10.0.0.2:9")));
    assert_eq!(world.udp_take_error(socket), Ok(None));
    world.run_for(millis(200));
    let error = world.udp_take_error(socket).unwrap().unwrap();
    assert_eq!((error.kind, error.to), (IcmpKind::HostUnreachable, at("10.0.0.3:9")));
    assert_eq!(world.udp_send(socket, at("11.0.0.1:9"), SEND, b"x"), Err(NetError::NetworkUnreachable));
}

/// Four hosts on one LAN, a fifth behind a router of it.
fn lan() -> (World, Vec<HostId>, Vec<InterfaceId>) {
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

#[test]
fn a_broadcast_reaches_its_segment_and_no_further() {
    let (mut world, hosts, _) = lan();
    let options = UdpOptions { broadcast: true, ..PLAIN };
    let sockets: Vec<UdpId> =
        hosts.iter().map(|host| world.udp_bind(*host, at("0.0.0.0:9"), options).unwrap()).collect();
    for to in ["255.255.255.255:9", "10.0.0.255:9"] {
        world.udp_send(sockets[0], at(to), SEND, to.as_bytes()).unwrap();
        world.run_for(millis(100));
        let heard: Vec<bool> = sockets.iter().map(|socket| recv(&mut world, *socket).is_some()).collect();
        // The sender hears itself, as on every system.
        assert_eq!(heard, [true, true, true, true, false], "{to}");
    }
    // From another network a directed broadcast dies in the router (RFC 2644).
    world.udp_send(sockets[4], at("10.0.0.255:9"), SEND, b"x").unwrap();
    world.run_for(millis(100));
    assert!(sockets.iter().all(|socket| recv(&mut world, *socket).is_none()));
    let shy = world.udp_bind(hosts[0], at("0.0.0.0:10"), PLAIN).unwrap();
    assert_eq!(world.udp_send(shy, at("255.255.255.255:9"), SEND, b"x"), Err(NetError::PermissionDenied));
}

#[test]
fn a_group_hears_what_it_joined_until_it_leaves() {
    let (mut world, hosts, interfaces) = lan();
    let group = ip("239.1.2.3");
    let sockets: Vec<UdpId> =
        hosts.iter().map(|host| world.udp_bind(*host, at("0.0.0.0:9"), PLAIN).unwrap()).collect();
    for member in [1, 3, 4] {
        world.udp_join(sockets[member], group, interfaces[member]).unwrap();
    }
    let send = |world: &mut World| {
        world.udp_send(sockets[0], at("239.1.2.3:9"), SEND, b"x").unwrap();
        world.run_for(millis(100));
        sockets.iter().map(|socket| recv(world, *socket).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(send(&mut world), [false, true, false, true, false]);
    world.udp_leave(sockets[3], group, interfaces[3]).unwrap();
    assert_eq!(send(&mut world), [false, true, false, false, false]);
    assert_eq!(world.udp_join(sockets[0], group, interfaces[1]), Err(NetError::InvalidInput));
    // As on Linux, one that is bound to an address of the host's own hears no group.
    let exact = world.udp_bind(hosts[2], at("10.0.0.12:8"), PLAIN).unwrap();
    world.udp_join(exact, group, interfaces[2]).unwrap();
    world.udp_send(sockets[0], at("239.1.2.3:8"), SEND, b"x").unwrap();
    world.run_for(millis(100));
    assert!(recv(&mut world, exact).is_none());
}

#[test]
fn a_group_is_heard_on_the_interface_where_it_was_joined_and_on_no_other() {
    let (mut world, hosts, interfaces) = lan();
    let far = world.add_interface(hosts[1], SegmentId(1), LinkConfig::default());
    world.add_address(far, ip("10.0.1.20"), 24);
    let group = ip("239.1.2.3");
    let [near_by, hearer, far_off] =
        [hosts[0], hosts[1], hosts[4]].map(|host| bind(&mut world, host, "0.0.0.0:9"));
    let heard = |world: &mut World| {
        [near_by, far_off].map(|sender| {
            world.udp_send(sender, at("239.1.2.3:9"), SEND, b"x").unwrap();
            world.run_for(millis(100));
            recv(world, hearer).is_some()
        })
    };
    world.udp_join(hearer, group, interfaces[1]).unwrap();
    assert_eq!(heard(&mut world), [true, false]);
    world.udp_join(hearer, group, far).unwrap();
    assert_eq!(heard(&mut world), [true, true]);
    world.udp_leave(hearer, group, interfaces[1]).unwrap();
    assert_eq!(heard(&mut world), [false, true]);
}

#[test]
fn two_sockets_share_a_port_only_if_both_want_to() {
    let Line { mut world, a, b, .. } = line(1, 0);
    let reuse = UdpOptions { reuse: true, ..PLAIN };
    let sender = bind(&mut world, a, "0.0.0.0:5");
    let first = world.udp_bind(b, at("0.0.0.0:7"), reuse).unwrap();
    assert_eq!(world.udp_bind(b, at("0.0.0.0:7"), PLAIN), Err(NetError::AddrInUse));
    let second = world.udp_bind(b, at("0.0.0.0:7"), reuse).unwrap();
    let other_version = world.udp_bind(b, at("[::]:7"), PLAIN);
    assert!(other_version.is_ok(), "IPv6 sockets are IPv6 only");
    let hears = |world: &mut World| {
        world.udp_send(sender, at(B4), SEND, b"x").unwrap();
        world.run_for(millis(10));
        [first, second].map(|socket| recv(world, socket).is_some())
    };
    assert_eq!(hears(&mut world), [false, true], "the one bound last");
    let exact = world.udp_bind(b, at("10.9.0.2:7"), reuse).unwrap();
    assert_eq!(hears(&mut world), [false, false]);
    assert!(recv(&mut world, exact).is_some(), "the one bound to that very address");
    let third = world.udp_bind(b, at("0.0.0.0:7"), reuse).unwrap();
    assert_eq!(hears(&mut world), [false, false]);
    assert!(recv(&mut world, exact).is_some(), "even where another is bound later");
    world.udp_close(third);
    world.udp_close(exact);
    world.udp_close(second);
    assert_eq!(world.udp_recv(second, &mut []), Err(NetError::BadSocket));
    world.udp_send(sender, at(B4), SEND, b"x").unwrap();
    world.run_for(millis(10));
    assert!(recv(&mut world, first).is_some());
    assert_eq!(world.udp_bind(b, at("10.8.0.1:7"), PLAIN), Err(NetError::AddrNotAvailable));
}

#[test]
fn a_port_of_zero_is_chosen_by_the_host_and_by_the_seed() {
    let ports = |seed| {
        let Line { mut world, a, .. } = line(seed, 0);
        let mut ports = Vec::new();
        for _ in 0..300 {
            let socket = bind(&mut world, a, "0.0.0.0:0");
            ports.push(world.udp_local(socket).unwrap().port());
        }
        ports
    };
    let mut one = ports(1);
    assert_eq!(one, ports(1));
    assert_ne!(one, ports(2));
    one.sort_unstable();
    one.dedup();
    assert_eq!(one.len(), 300, "each its own");
}

#[test]
fn a_full_receive_queue_drops_and_counts() {
    let Line { mut world, a, b, .. } = line(1, 0);
    let sender = bind(&mut world, a, "0.0.0.0:5");
    let small = world.udp_bind(b, at("0.0.0.0:7"), UdpOptions { queue: 3000, ..PLAIN }).unwrap();
    for _ in 0..5 {
        world.udp_send(sender, at(B4), SEND, &[0; 900]).unwrap();
    }
    world.run_for(millis(10));
    let got = std::iter::from_fn(|| recv(&mut world, small)).count();
    assert_eq!((got, world.stats(b).udp_overflowed), (3, 2));
}

#[test]
fn damage_on_the_wire_is_noticed_by_the_receiver() {
    let Line { mut world, a, b, wires, .. } = line(1, 1);
    world.link_mut(wires[0].0).corrupt = 500_000;
    let (sender, receiver) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    for _ in 0..1000 {
        world.udp_send(sender, at(B4), SEND, &[0x33; 100]).unwrap();
        world.run_for(millis(10));
    }
    let got: Vec<_> = std::iter::from_fn(|| recv(&mut world, receiver)).collect();
    assert!((430..570).contains(&got.len()), "{}", got.len());
    assert!(got.iter().all(|(_, bytes)| bytes[..] == [0x33; 100]));
}

#[test]
fn loopback_stays_on_the_host() {
    let Line { mut world, a, b, .. } = line(1, 0);
    for (from, to) in [("127.0.0.1:5", "127.0.0.1:7"), ("[::1]:5", "[::1]:7"), ("0.0.0.0:6", "10.9.0.1:7")] {
        let (sender, receiver) = (bind(&mut world, a, from), bind(&mut world, a, to));
        let elsewhere = bind(&mut world, b, if to.starts_with('[') { "[::]:7" } else { "0.0.0.0:7" });
        world.udp_send(sender, at(to), SEND, b"x").unwrap();
        world.run_for(Duration::ZERO);
        let (received, _) = recv(&mut world, receiver).unwrap();
        assert_eq!((received.from.ip(), received.ttl), (at(to).ip(), 64), "at once, and no router between");
        assert!(recv(&mut world, elsewhere).is_none());
        for socket in [sender, receiver, elsewhere] {
            world.udp_close(socket);
        }
    }
}

#[test]
fn the_longest_prefix_wins_then_the_sources_interface_then_the_metric() {
    let mut world = World::new(1);
    let (host, left, right) = (world.add_host(), world.add_host(), world.add_host());
    let (l, _) = world.connect(host, left, LinkConfig::default());
    let (r, _) = world.connect(host, right, LinkConfig::default());
    world.add_address(l, ip("10.1.0.1"), 24);
    world.add_address(r, ip("10.2.0.1"), 24);
    world.add_route(host, Prefix::V4, l, Some(ip("10.1.0.2")), 10);
    world.add_route(host, Prefix::V4, r, Some(ip("10.2.0.2")), 20);
    world.add_route(host, Prefix::new(ip("192.0.2.0"), 24), r, Some(ip("10.2.0.2")), 99);
    let way = |world: &World, to: &str, from: Option<&str>| {
        world.way(host, ip(to), from.map(ip)).map(|way| way.interface)
    };
    assert_eq!(way(&world, "198.51.100.1", None), Some(l));
    assert_eq!(way(&world, "198.51.100.1", Some("10.2.0.1")), Some(r));
    assert_eq!(way(&world, "192.0.2.1", None), Some(r));
    assert_eq!(way(&world, "10.1.0.77", Some("10.2.0.1")), Some(l));
    world.set_interface_up(l, false);
    assert_eq!(way(&world, "198.51.100.1", None), Some(r));
    world.set_interface_up(r, false);
    assert_eq!(way(&world, "198.51.100.1", None), None);
}

#[test]
fn the_source_address_is_of_the_way_and_of_the_destinations_kind() {
    let mut world = World::new(1);
    let (host, other) = (world.add_host(), world.add_host());
    let (on, _) = world.connect(host, other, LinkConfig::default());
    for address in ["fe80::1", "2001:db8:1::1", "fd00::1"] {
        world.add_address(on, ip(address), 64);
    }
    world.set_gateway(on, ip("fe80::2"));
    let source = |world: &World, to: &str| {
        let way = world.way(host, ip(to), None).unwrap();
        world.source_for(way, ip(to)).unwrap()
    };
    assert_eq!(source(&world, "2001:db8:2::7"), ip("2001:db8:1::1"));
    assert_eq!(source(&world, "fd00::9"), ip("fd00::1"));
    assert_eq!(source(&world, "fe80::9"), ip("fe80::1"));
    // No bit in common with either: not the one that no router would take.
    world.remove_address(on, ip("2001:db8:1::1"));
    assert_eq!(source(&world, "2001:db8:2::7"), ip("fd00::1"));
}

#[test]
fn a_nat_translates_both_ways_and_errors_come_home() {
    let Line { mut world, a, b, routers, .. } = natted(1, 3, |_| {});
    let (sender, receiver) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    world.udp_send(sender, at(B4), SEND, b"out").unwrap();
    world.run_for(millis(10));
    let (received, _) = recv(&mut world, receiver).unwrap();
    assert_eq!(received.from, at("10.1.0.1:40001"));
    let back_route = world.interfaces(b)[1];
    world.set_gateway(back_route, ip("10.9.0.1"));
    // The way back to the NAT's outside.
    let third = world.interfaces(routers[2])[1];
    world.add_route(routers[2], Prefix::new(ip("10.1.0.0"), 24), third, Some(ip("10.2.0.1")), 1);
    world.udp_send(receiver, received.from, SEND, b"in").unwrap();
    world.run_for(millis(10));
    let (received, bytes) = recv(&mut world, sender).unwrap();
    assert_eq!(
        (received.from, received.to.to_string(), &bytes[..]),
        (at(B4), "10.0.0.1:5".into(), &b"in"[..])
    );
    // A port unreachable from the far host and a time exceeded from a router beyond the NAT name what was sent.
    world.udp_send(sender, at("10.9.0.2:8"), SEND, b"x").unwrap();
    world.run_for(millis(10));
    let error = world.udp_take_error(sender).unwrap().unwrap();
    assert_eq!((error.kind, error.reporter), (IcmpKind::PortUnreachable, ip("10.9.0.2")));
    assert_eq!(error.to, at("10.9.0.2:8"));
    world.udp_send(sender, at(B4), SendOptions { ttl: Some(2), ..SEND }, b"x").unwrap();
    world.run_for(millis(10));
    let error = world.udp_take_error(sender).unwrap().unwrap();
    assert_eq!((error.kind, error.reporter), (IcmpKind::TimeExceeded, ip("10.1.0.2")));
}

#[test]
fn an_error_of_a_host_behind_a_nat_names_the_address_that_the_sender_knows() {
    let Line { mut world, a, b, .. } = natted(1, 1, |_| {});
    let (inside, outside) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    world.udp_send(inside, at(B4), SEND, b"x").unwrap();
    world.run_for(millis(10));
    world.udp_close(inside);
    world.udp_send(outside, at("10.9.0.1:40001"), SEND, b"x").unwrap();
    world.run_for(millis(10));
    let error = world.udp_take_error(outside).unwrap().unwrap();
    assert_eq!((error.kind, error.to), (IcmpKind::PortUnreachable, at("10.9.0.1:40001")));
    assert_eq!(error.reporter, ip("10.9.0.1"));
}

#[test]
fn a_ttl_of_one_opens_no_nat_and_two_does() {
    for (ttl, opened) in [(1, false), (2, true)] {
        let Line { mut world, a, b, .. } = natted(1, 2, |_| {});
        let (inside, outside) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
        world.udp_send(inside, at(B4), SendOptions { ttl: Some(ttl), ..SEND }, b"x").unwrap();
        world.run_for(millis(10));
        assert!(recv(&mut world, outside).is_none());
        assert_eq!(world.udp_take_error(inside).unwrap().unwrap().kind, IcmpKind::TimeExceeded);
        let far = world.interfaces(HostId(3))[1];
        world.add_route(HostId(3), Prefix::new(ip("10.1.0.0"), 24), far, None, 0);
        world.udp_send(outside, at("10.1.0.1:40001"), SEND, b"in").unwrap();
        world.run_for(millis(10));
        assert_eq!(recv(&mut world, inside).is_some(), opened);
    }
}

#[test]
fn a_nat_refuses_as_it_is_told() {
    let answers = [
        (Inbound::Drop(Reason::NoMapping), None),
        (Inbound::Refuse(Refusal::Icmp), Some(IcmpKind::PortUnreachable)),
        (Inbound::Local, Some(IcmpKind::PortUnreachable)),
    ];
    for (otherwise, told) in answers {
        let Line { mut world, b, routers, .. } = natted(1, 1, |nat| nat.otherwise = otherwise);
        let outside = bind(&mut world, b, "0.0.0.0:7");
        world.udp_send(outside, at("10.9.0.1:40001"), SEND, b"x").unwrap();
        world.run_for(millis(10));
        assert_eq!(world.udp_take_error(outside).unwrap().map(|error| error.kind), told, "{otherwise:?}");
        // A program on the router itself is reached all the same.
        let service = bind(&mut world, routers[0], "0.0.0.0:40001");
        world.udp_send(outside, at("10.9.0.1:40001"), SEND, b"x").unwrap();
        world.run_for(millis(10));
        assert!(recv(&mut world, service).is_some());
    }
}

#[test]
fn a_hairpin_turns_back_to_the_inside() {
    for hairpins in [true, false] {
        let Line { mut world, a, .. } = natted(1, 1, |nat| nat.hairpins = hairpins);
        let (one, two) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, a, "0.0.0.0:6"));
        world.udp_send(one, at(B4), SEND, b"x").unwrap();
        world.run_for(millis(10));
        world.udp_send(two, at("10.9.0.1:40001"), SEND, b"pin").unwrap();
        world.run_for(millis(10));
        match recv(&mut world, one) {
            Some((received, bytes)) => {
                assert!(hairpins);
                assert_eq!((received.from, &bytes[..]), (at("10.9.0.1:40002"), &b"pin"[..]));
            }
            None => assert!(!hairpins),
        }
    }
}

#[test]
fn a_partition_separates_and_heals() {
    let (mut world, hosts, interfaces) = lan();
    let segment = SegmentId(0);
    let sockets: Vec<UdpId> = hosts.iter().map(|host| bind(&mut world, *host, "0.0.0.0:9")).collect();
    let hears = |world: &mut World, to: u8| {
        world.udp_send(sockets[0], SocketAddr::from(([10, 0, 0, 10 + to], 9)), SEND, b"x").unwrap();
        world.run_for(millis(50));
        recv(world, sockets[usize::from(to)]).is_some()
    };
    world.partition(segment, &[&[interfaces[0], interfaces[1]], &[interfaces[2]]]);
    assert_eq!([1, 2, 3].map(|to| hears(&mut world, to)), [true, false, false]);
    world.heal(segment);
    assert_eq!([1, 2, 3].map(|to| hears(&mut world, to)), [true, true, true]);
    world.set_outage(interfaces[0], true);
    assert!(!hears(&mut world, 1));
    world.set_outage(interfaces[0], false);
    assert!(hears(&mut world, 1));
}

#[test]
fn a_partition_cuts_broadcast_and_multicast_too() {
    let (mut world, hosts, interfaces) = lan();
    let options = UdpOptions { broadcast: true, ..PLAIN };
    let sockets: Vec<UdpId> =
        hosts.iter().map(|host| world.udp_bind(*host, at("0.0.0.0:9"), options).unwrap()).collect();
    for (socket, interface) in sockets.iter().zip(&interfaces) {
        world.udp_join(*socket, ip("239.1.2.3"), *interface).unwrap();
    }
    world.partition(SegmentId(0), &[&[interfaces[0], interfaces[1]], &[interfaces[2]]]);
    for to in ["255.255.255.255:9", "10.0.0.255:9", "239.1.2.3:9"] {
        world.udp_send(sockets[0], at(to), SEND, b"x").unwrap();
        world.run_for(millis(100));
        let heard = [1, 2, 3, 4].map(|number: usize| recv(&mut world, sockets[number]).is_some());
        assert_eq!(heard, [true, false, false, false], "{to}");
    }
}

#[test]
fn a_wire_that_is_out_is_out_both_ways_whichever_end_is_named() {
    let Line { mut world, a, b, wires, .. } = line(1, 0);
    let (one, two) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    for end in [wires[0].0, wires[0].1] {
        for out in [true, false] {
            world.set_outage(end, out);
            world.udp_send(one, at(B4), SEND, b"x").unwrap();
            world.udp_send(two, at("10.9.0.1:5"), SEND, b"x").unwrap();
            world.run_for(millis(10));
            assert_eq!([one, two].map(|socket| recv(&mut world, socket).is_none()), [out; 2]);
        }
    }
}

#[test]
fn an_address_changes_and_the_old_one_is_nobodys() {
    let Line { mut world, a, b, wires, .. } = line(1, 0);
    let (one, two) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    world.run_for(millis(1));
    world.change_address(wires[0].0, ip("10.9.0.77"), 24);
    assert_eq!(events(&mut world), [(a, HostEvent::AddressesChanged)]);
    let v4: Vec<IpAddr> = world.addresses(a).map(|on| on.ip).filter(IpAddr::is_ipv4).collect();
    assert_eq!(v4, [ip("10.9.0.77")]);
    world.udp_send(one, at(B4), SEND, b"x").unwrap();
    world.run_for(millis(10));
    assert_eq!(recv(&mut world, two).unwrap().0.from, at("10.9.0.77:5"));
    world.udp_send(two, at("10.9.0.1:5"), SEND, b"x").unwrap();
    world.run_for(millis(10));
    assert!(recv(&mut world, one).is_none());
    let gone = SendOptions { from: Some(ip("10.9.0.1")), ..SEND };
    assert_eq!(world.udp_send(one, at(B4), gone, b"x"), Err(NetError::AddrNotAvailable));
}

#[test]
fn a_crash_takes_all_and_a_restart_begins_anew() {
    let Line { mut world, a, b, .. } = line(1, 0);
    let (one, two) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    world.set_timer(b, Instant::ZERO + millis(50), 1);
    world.udp_send(one, at(B4), SEND, b"x").unwrap();
    world.run_for(millis(10));
    world.crash(b);
    assert_eq!(events(&mut world), [(b, HostEvent::Crashed)], "nothing else of that life is heard");
    assert_eq!(world.udp_recv(two, &mut []), Err(NetError::BadSocket));
    assert_eq!(world.udp_bind(b, at("0.0.0.0:7"), PLAIN), Err(NetError::HostDown));
    world.udp_send(one, at(B4), SEND, b"x").unwrap();
    world.run_for(millis(100));
    assert_eq!(events(&mut world), [], "a host that is down answers nothing and no timer rings");
    world.restart(b);
    let again = bind(&mut world, b, "0.0.0.0:7");
    assert_ne!(again, two);
    world.udp_send(one, at(B4), SEND, b"x").unwrap();
    world.run_for(millis(10));
    assert_eq!(events(&mut world), [(b, HostEvent::Restarted), (b, HostEvent::UdpReadable(again))]);
}

#[test]
fn a_host_that_sleeps_hears_nothing_and_keeps_its_sockets() {
    let Line { mut world, a, b, .. } = line(1, 0);
    let (one, two) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    let hears = |world: &mut World| {
        world.udp_send(one, at(B4), SEND, b"x").unwrap();
        world.run_for(millis(10));
        recv(world, two).is_some()
    };
    world.suspend(b);
    assert!(!hears(&mut world));
    world.resume(b);
    assert!(hears(&mut world));
}

#[test]
fn a_congested_link_marks_what_says_that_it_can_be_marked() {
    let Line { mut world, a, b, wires, .. } = line(1, 1);
    world.link_mut(wires[0].0).mark_above = Some(0);
    for (to, from) in [(B4, "0.0.0.0:5"), (B6, "[::]:5")] {
        let (sender, receiver) = (bind(&mut world, a, from), bind(&mut world, b, &from.replace(":5", ":7")));
        for (sent, arrives) in [(Ecn::NotEct, Ecn::NotEct), (Ecn::Ect0, Ecn::Ce), (Ecn::Ect1, Ecn::Ce)] {
            world.udp_send(sender, at(to), SendOptions { ecn: sent, ..SEND }, b"x").unwrap();
            world.run_for(millis(10));
            assert_eq!(recv(&mut world, receiver).unwrap().0.ecn, arrives);
        }
    }
}

#[test]
fn a_router_that_restarts_has_forgotten_its_mappings() {
    let Line { mut world, a, b, routers, wires, .. } = natted(1, 1, |_| {});
    let (inside, outside) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    world.udp_send(inside, at(B4), SEND, b"x").unwrap();
    world.run_for(millis(10));
    world.change_address(wires[1].0, ip("10.9.0.99"), 24);
    world.crash(routers[0]);
    world.restart(routers[0]);
    world.udp_send(outside, at("10.9.0.99:40001"), SEND, b"x").unwrap();
    world.run_for(millis(10));
    assert!(recv(&mut world, inside).is_none());
    recv(&mut world, outside);
    world.udp_send(inside, at(B4), SEND, b"x").unwrap();
    world.run_for(millis(10));
    assert_eq!(recv(&mut world, outside).unwrap().0.from, at("10.9.0.99:40001"));
}

#[test]
fn timers_ring_by_the_hosts_own_clock_and_once() {
    let mut world = World::new(1);
    let host = world.add_host();
    let rings = |world: &mut World| match world.run_until_event(Instant::ZERO + Duration::from_secs(1000)) {
        true => (world.poll_event().unwrap().1, world.now().as_nanos() / 1_000_000),
        false => panic!("nothing rings"),
    };
    for (token, at) in [(1, 300), (2, 100), (3, 200), (2, 400)] {
        world.set_timer(host, Instant::ZERO + millis(at), token);
    }
    world.cancel_timer(host, 3);
    assert_eq!(rings(&mut world), (HostEvent::Timer(1), 300));
    assert_eq!(rings(&mut world), (HostEvent::Timer(2), 400), "set anew");
    // A clock that is twice as slow rings twice as late …
    world.set_skew(host, -500_000);
    world.set_timer(host, Instant::ZERO + millis(500), 4);
    assert_eq!(rings(&mut world), (HostEvent::Timer(4), 600));
    // … and one that sleeps rings after it has slept.
    world.set_skew(host, 0);
    world.set_timer(host, world.host_now(host) + millis(50), 5);
    world.run_for(millis(20));
    world.suspend(host);
    world.run_for(millis(1000));
    world.resume(host);
    let told: Vec<_> = events(&mut world).into_iter().map(|(_, event)| event).collect();
    assert_eq!(told, [HostEvent::Suspended, HostEvent::Resumed]);
    assert_eq!(rings(&mut world), (HostEvent::Timer(5), 1650));
    world.run_for(Duration::from_secs(100));
    assert_eq!(events(&mut world), []);
}

#[test]
fn timers_that_are_set_again_and_again_leave_nothing_behind() {
    let mut world = World::new(1);
    let host = world.add_host();
    for round in 0..10_000 {
        let now = world.host_now(host);
        world.set_timer(host, now + Duration::from_secs(30), 1);
        world.set_timer(host, now + millis(1), 2);
        world.run_for(millis(1));
        assert_eq!(world.poll_event(), Some((host, HostEvent::Timer(2))), "{round}");
    }
    assert!(world.heap.len() < 5, "{}", world.heap.len());
}

#[test]
fn a_wall_clock_jumps_and_its_host_is_told() {
    let mut world = World::new(1);
    let host = world.add_host();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.host_wall(host).saturating_since(WORLD_BEGINS), Duration::from_secs(5));
    world.jump_wall(host, Duration::from_secs(3600), false);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.host_wall(host).saturating_since(WORLD_BEGINS), Duration::from_secs(3610));
    world.jump_wall(host, Duration::from_secs(7200), true);
    assert_eq!(WORLD_BEGINS.saturating_since(world.host_wall(host)), Duration::from_secs(3590));
    assert_eq!(
        world.host_now(host),
        Instant::ZERO + Duration::from_secs(10),
        "the other clock does not jump"
    );
    assert_eq!(events(&mut world), [(host, HostEvent::ClockSet); 2]);
}

#[test]
fn a_wall_clock_goes_on_while_its_host_sleeps() {
    let mut world = World::new(1);
    let host = world.add_host();
    let clocks = |world: &World| {
        let wall = world.host_wall(host).saturating_since(WORLD_BEGINS);
        [world.host_now(host).saturating_since(Instant::ZERO), wall]
    };
    world.run_for(Duration::from_secs(5));
    world.suspend(host);
    world.run_for(Duration::from_secs(10));
    assert_eq!(clocks(&world), [5, 15].map(Duration::from_secs));
    world.resume(host);
    assert_eq!(clocks(&world), [5, 15].map(Duration::from_secs));
    world.run_for(Duration::from_secs(5));
    assert_eq!(clocks(&world), [10, 20].map(Duration::from_secs));
}

#[test]
fn the_world_can_change_itself_at_a_time() {
    let Line { mut world, a, b, wires, .. } = line(1, 0);
    let (one, two) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    let wire = wires[0].0;
    world.at(Instant::ZERO + millis(10), move |world| world.link_mut(wire).up = false);
    world.at(Instant::ZERO + millis(20), move |world| world.link_mut(wire).up = true);
    let mut heard = Vec::new();
    for _ in 0..3 {
        world.udp_send(one, at(B4), SEND, b"x").unwrap();
        world.run_for(millis(10));
        heard.push(recv(&mut world, two).is_some());
    }
    assert_eq!(heard, [true, false, true]);
}

/// A run with every fault: what was received, and the hash. Where `swapped`, two words of one payload change places,
/// which no checksum shows.
fn noisy(seed: u64, swapped: bool) -> (u64, [u8; 32]) {
    let Line { mut world, a, b, wires, .. } = natted(seed, 2, |_| {});
    for (left, right) in &wires {
        for interface in [*left, *right] {
            *world.link_mut(interface) = LinkConfig {
                jitter: millis(5),
                loss: 20_000,
                reorder: 20_000,
                duplicate: 20_000,
                corrupt: 20_000,
                rate: Some(5_000_000),
                ..LinkConfig::default()
            };
        }
    }
    let (one, two) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    let mut got = 0;
    for number in 0..200u8 {
        let mut payload = [number; 500];
        if number == 100 {
            payload[..4].copy_from_slice(if swapped { &[3, 4, 1, 2] } else { &[1, 2, 3, 4] });
        }
        world.udp_send(one, at(B4), SEND, &payload).unwrap();
        world.run_for(millis(1));
        got += std::iter::from_fn(|| recv(&mut world, two)).count() as u64;
    }
    world.run_for(millis(1000));
    (got, world.hash())
}

#[test]
fn a_seed_has_one_hash_and_another_seed_another_and_the_bytes_count() {
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let (got, hash) = noisy(seed, false);
        assert!(got > 100);
        assert_eq!((got, hash), noisy(seed, false));
        assert!(hashes.insert(hash), "two seeds with one hash");
    }
    // Nothing else differs: not when, not where, not how long, and no header.
    assert_ne!(noisy(1, false).1, noisy(1, true).1);
}

/// Changes whenever what happens in the world, or what is hashed of it, is meant to change.
#[test]
fn a_run_has_this_hash_on_every_machine_in_debug_and_release() {
    let hex: String = noisy(7, false).1.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "2676a7069448180477b08c81255304bb1b8ce12408875b8a5eb53e89324b7638");
}

#[test]
fn a_tap_sees_each_packet_at_each_place() {
    let Line { mut world, a, b, wires, routers } = line(1, 1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    world.set_tap(Some(Box::new(move |tapped| {
        log.lock().unwrap().push((tapped.host, tapped.interface, tapped.sight, tapped.packet.ttl()));
    })));
    let one = bind(&mut world, a, "0.0.0.0:5");
    bind(&mut world, b, "0.0.0.0:7");
    world.udp_send(one, at(B4), SEND, b"x").unwrap();
    world.run_for(millis(10));
    let expected = [
        (a, Some(wires[0].0), Sight::Sent, 64),
        (routers[0], Some(wires[0].1), Sight::Arrived, 64),
        (routers[0], Some(wires[1].0), Sight::Sent, 63),
        (b, Some(wires[1].1), Sight::Arrived, 63),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_host_forgets_the_ways_that_it_knew_when_anything_changes() {
    let mut world = World::new(1);
    let (a, b) = (world.add_host(), world.add_host());
    let wires = [0, 1].map(|_| world.connect(a, b, LinkConfig::default()));
    for (nth, (at_a, at_b)) in wires.into_iter().enumerate() {
        world.add_address(at_a, IpAddr::from([10, 0, nth as u8, 1]), 24);
        world.add_address(at_b, IpAddr::from([10, 0, nth as u8, 2]), 24);
    }
    let far = Prefix::new(IpAddr::from([10, 9, 9, 9]), 32);
    world.add_address(wires[0].1, far.ip, 32);
    for (nth, (at_a, _)) in wires.into_iter().enumerate() {
        let via = IpAddr::from([10, 0, nth as u8, 2]);
        world.add_route(a, far, at_a, Some(via), nth as u32);
    }
    let from = bind(&mut world, a, "0.0.0.0:5");
    let to = bind(&mut world, b, "0.0.0.0:7");
    let comes_from = |world: &mut World| {
        let sent = world.udp_send(from, SocketAddr::new(far.ip, 7), SEND, b"x");
        world.run_for(millis(10));
        sent.ok().and_then(|()| recv(world, to)).map(|(received, _)| received.from.ip())
    };
    let [first, second] = [0, 1].map(|nth| Some(IpAddr::from([10, 0, nth, 1])));
    assert_eq!(comes_from(&mut world), first);
    world.set_interface_up(wires[0].0, false);
    assert_eq!(comes_from(&mut world), second);
    world.set_interface_up(wires[0].0, true);
    assert_eq!(comes_from(&mut world), first);
    world.remove_route(a, far);
    assert_eq!(comes_from(&mut world), None);
    world.add_route(a, far, wires[1].0, Some(IpAddr::from([10, 0, 1, 2])), 0);
    assert_eq!(comes_from(&mut world), second);
    world.remove_address(wires[0].1, far.ip);
    assert_eq!(comes_from(&mut world), None);
    world.add_address(wires[0].1, far.ip, 32);
    assert_eq!(comes_from(&mut world), second);
    let elsewhere = world.add_segment();
    world.replug(wires[1].1, Some(elsewhere));
    assert_eq!(comes_from(&mut world), None);
}

#[test]
fn whoever_looks_sees_checksums_that_hold_however_late_and_changed_on_the_way() {
    let Line { mut world, a, b, .. } = natted(1, 2, |_| {});
    let one = bind(&mut world, a, "0.0.0.0:5");
    bind(&mut world, b, "0.0.0.0:7");
    world.udp_send(one, at(B4), SEND, b"looked at on its way").unwrap();
    world.step();
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    world.set_tap(Some(Box::new(move |tapped| {
        let packet = Packet::parse(tapped.packet.bytes().to_vec()).unwrap();
        assert!(packet.checksum_holds() && packet.checksum() != 0, "{packet:?}");
        *count.lock().unwrap() += 1;
    })));
    world.udp_send(one, at(B4), SEND, b"looked at from the start").unwrap();
    world.run_for(millis(100));
    assert!(*seen.lock().unwrap() > 6);
}

#[test]
fn a_tap_changes_nothing() {
    let run = |tapped: bool| {
        let Line { mut world, a, .. } = line(1, 2);
        if tapped {
            world.set_tap(Some(Box::new(|_| {})));
        }
        let one = bind(&mut world, a, "0.0.0.0:5");
        world.udp_send(one, at(B4), SEND, b"x").unwrap();
        world.run_for(millis(50));
        world.hash()
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn memory_grows_with_the_world_and_not_with_its_age() {
    let Line { mut world, a, b, .. } = natted(1, 2, |_| {});
    let (one, two) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    let mut most = (0, 0, 0);
    for round in 0..5000 {
        for _ in 0..10 {
            world.udp_send(one, at(B4), SEND, b"x").unwrap();
        }
        let now = world.now();
        world.at(now, |_| {});
        world.run_for(millis(10));
        while recv(&mut world, two).is_some() {}
        events(&mut world);
        let now = (world.moving.len(), world.buffers.len(), world.actions.len());
        if round == 10 {
            most = now;
        }
        assert!(round < 10 || now == most, "{now:?} after {most:?}");
        assert!(world.heap.is_empty());
    }
}
