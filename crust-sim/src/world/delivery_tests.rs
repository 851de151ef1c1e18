use super::testing::*;
use super::*;
use crate::link::{LinkConfig, Oversize};
use crate::packet::{Ecn, IcmpKind};
use crate::{NetError, SendOptions, UdpId, UdpOptions};

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
fn of_icmp_errors_the_last_sixteen_wait_for_the_program() {
    let Line { mut world, a, .. } = line(1, 0);
    let socket = bind(&mut world, a, "0.0.0.0:5");
    for port in 1..=20 {
        world.udp_send(socket, at(&format!("10.9.0.2:{port}")), SEND, b"x").unwrap();
    }
    world.run_for(millis(10));
    assert_eq!(events(&mut world), [(a, HostEvent::UdpError(socket))], "told once");
    let told: Vec<u16> =
        std::iter::from_fn(|| world.udp_take_error(socket).unwrap()).map(|error| error.to.port()).collect();
    assert_eq!(told, (5..=20).collect::<Vec<u16>>());
}
