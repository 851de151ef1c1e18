use std::net::SocketAddr;

use super::testing::*;
use super::*;
use crate::link::LinkConfig;
use crate::{NetError, SendOptions, UdpId, UdpOptions};

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
}

#[test]
fn an_outage_on_a_lan_cuts_one_interface_off_both_ways() {
    let (mut world, hosts, interfaces) = lan();
    let options = UdpOptions { broadcast: true, ..PLAIN };
    let sockets: Vec<UdpId> =
        hosts.iter().map(|host| world.udp_bind(*host, at("0.0.0.0:9"), options).unwrap()).collect();
    let hears = |world: &mut World, from: usize, to: &str| {
        world.udp_send(sockets[from], at(to), SEND, b"x").unwrap();
        world.run_for(millis(50));
        [0, 1, 2].map(|number: usize| recv(world, sockets[number]).is_some())
    };
    for out in [true, false, true, false] {
        world.set_outage(interfaces[0], out);
        assert_eq!(hears(&mut world, 0, "10.0.0.11:9"), [false, !out, false]);
        assert_eq!(hears(&mut world, 1, "10.0.0.10:9"), [!out, false, false]);
        assert_eq!(hears(&mut world, 1, "10.0.0.255:9"), [!out, true, true]);
        assert_eq!(hears(&mut world, 1, "10.0.0.12:9"), [false, false, true]);
    }
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
    // One for the time when it is down, and one for later.
    world.set_timer(b, Instant::ZERO + millis(50), 1);
    world.set_timer(b, Instant::ZERO + millis(500), 2);
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
    world.set_timer(b, Instant::ZERO + millis(300), 3);
    world.run_for(millis(1000));
    assert_eq!(events(&mut world), [(b, HostEvent::Timer(3))], "and none that was set before");
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
