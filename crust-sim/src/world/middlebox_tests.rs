use super::testing::*;
use super::*;
use crate::SendOptions;
use crate::nat::{Reason, Refusal};
use crate::packet::IcmpKind;

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
