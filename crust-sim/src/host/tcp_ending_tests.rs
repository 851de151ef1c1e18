use crust_proto::Duration;

use super::testing::*;
use crate::link::LinkConfig;
use crate::packet::Packet;
use crate::{HostEvent, IcmpKind, NetError, TcpState};

#[test]
fn what_was_given_before_closing_still_comes_however_slow() {
    let mut pair = pair(1, LinkConfig { rate: Some(10_000), queue: 8_000, ..LinkConfig::default() });
    let (client, server, _) = connected(&mut pair);
    let world = &mut pair.world;
    // At 10 kbit/s it takes longer than a peer that is gone would be waited for.
    assert_eq!(world.tcp_send(client, &[5; 100_000]), Ok(100_000));
    world.tcp_close(client);
    let mut got = 0;
    for _ in 0..300 {
        world.run_for(Duration::from_secs(1));
        got += take(world, server).0.len();
    }
    assert_eq!((got, take(world, server)), (100_000, (vec![], true)));
}

#[test]
fn a_closed_connection_whose_peer_is_gone_ends_by_itself() {
    let mut pair = pair(1, LinkConfig::default());
    let (client, _, _) = connected(&mut pair);
    let world = &mut pair.world;
    world.set_outage(pair.wires[0].0, true);
    world.tcp_send(client, b"x").unwrap();
    world.tcp_close(client);
    world.run_for(Duration::from_secs(61));
    assert_eq!(world.step(), None, "nothing is repeated any more");
    assert_eq!(events(world), []);
}

#[test]
fn an_abort_resets_the_peer() {
    let mut pair = pair(1, LinkConfig::default());
    let (client, server, _) = connected(&mut pair);
    let world = &mut pair.world;
    world.tcp_send(client, b"last words").unwrap();
    world.run_for(millis(50));
    world.tcp_abort(client);
    assert_eq!(world.tcp_state(client), Err(NetError::BadSocket));
    world.run_for(millis(50));
    assert_eq!(
        events(world),
        [HostEvent::TcpReadable(server), HostEvent::TcpFailed(server, NetError::ConnectionReset)]
    );
    let mut buffer = [0; 100];
    assert_eq!(world.tcp_recv(server, &mut buffer), Ok(Some(10)), "what came before is kept");
    assert_eq!(world.tcp_recv(server, &mut buffer), Err(NetError::ConnectionReset));
    assert_eq!(world.tcp_send(server, b"x"), Err(NetError::ConnectionReset));
}

#[test]
fn a_reset_from_outside_the_window_is_ignored() {
    for (beyond, survives) in [(0, false), (1 << 20, true)] {
        let mut pair = pair(1, LinkConfig::default());
        let (client, server, _) = connected(&mut pair);
        let world = &mut pair.world;
        let last = last_sent(world, pair.a);
        world.tcp_send(client, b"x").unwrap();
        world.run_for(millis(100));
        let mut bytes = last.lock().unwrap().take().unwrap().into_bytes();
        let sequence = u32::from_be_bytes(bytes[24..28].try_into().unwrap()).wrapping_add(1 + beyond);
        bytes[24..28].copy_from_slice(&sequence.to_be_bytes());
        bytes[33] = 0x14;
        let mut forged = Packet::parse(bytes).unwrap();
        forged.renew_checksum();
        world.inject(pair.wires[1].0, forged);
        world.run_for(millis(100));
        assert_eq!(world.tcp_state(server) == Ok(TcpState::Open), survives);
    }
}

/// RFC 5927 §5.2: it may be forged, or soon no longer true.
#[test]
fn an_icmp_error_does_not_end_a_connection_that_is_open() {
    for kind in
        [IcmpKind::HostUnreachable, IcmpKind::PortUnreachable, IcmpKind::Prohibited, IcmpKind::TimeExceeded]
    {
        let mut pair = pair(1, LinkConfig::default());
        let (client, server, _) = connected(&mut pair);
        let world = &mut pair.world;
        let last = last_sent(world, pair.a);
        world.tcp_send(client, b"x").unwrap();
        let about = last.lock().unwrap().take().unwrap();
        world.inject(pair.wires[0].0, Packet::icmp_error(&about, kind, at("10.0.0.1:0").ip()).unwrap());
        world.run_for(millis(100));
        assert_eq!(events(world), [HostEvent::TcpReadable(server)], "{kind:?}");
        assert_eq!(take(world, server), (b"x".to_vec(), false));
        transfer(world, client, server, 10_000);
    }
}

/// RFC 9293 §3.6.1: a new connection of the same two ends need not wait for the end of TIME-WAIT.
#[test]
fn a_syn_replaces_a_connection_that_waits_for_stragglers() {
    for kept in [false, true] {
        let mut pair = pair(1, LinkConfig::default());
        let (client, server, listener) = connected(&mut pair);
        let world = &mut pair.world;
        // Who closes first waits, here the server, whose program may still have its end.
        if kept {
            world.tcp_finish(server).unwrap()
        } else {
            world.tcp_close(server)
        }
        world.run_for(millis(50));
        world.tcp_close(client);
        world.run_for(millis(50));
        assert_eq!(world.size().tcp, 2, "the listener, and the connection that waits");
        events(world);
        let again = world.tcp_connect(pair.a, at(B), from(A)).unwrap();
        world.run_for(millis(50));
        assert_eq!(world.tcp_state(again), Ok(TcpState::Open));
        let (accepted, _) = world.tcp_accept(listener).unwrap().expect("a connection");
        assert_ne!(accepted, server);
        events(world);
        transfer(world, again, accepted, 10_000);
    }
}

#[test]
fn a_peer_that_crashed_answers_with_a_reset_when_it_is_back() {
    let mut pair = pair(1, LinkConfig::default());
    let (client, server, listener) = connected(&mut pair);
    let world = &mut pair.world;
    world.crash(pair.b);
    world.tcp_send(client, b"hello?").unwrap();
    world.run_for(Duration::from_secs(2));
    assert_eq!(events(world), [HostEvent::Crashed], "silence");
    assert_eq!(world.tcp_state(server), Err(NetError::BadSocket));
    assert_eq!(world.tcp_accept(listener), Err(NetError::BadSocket));
    world.restart(pair.b);
    world.run_for(Duration::from_secs(30));
    assert_eq!(
        events(world),
        [HostEvent::Restarted, HostEvent::TcpFailed(client, NetError::ConnectionReset)]
    );
}

#[test]
fn a_path_that_stays_dead_is_given_up_after_a_quarter_of_an_hour() {
    let mut pair = pair(1, LinkConfig::default());
    let (client, _, _) = connected(&mut pair);
    let world = &mut pair.world;
    world.set_outage(pair.wires[0].0, true);
    world.run_for(Duration::from_secs(100_000));
    assert_eq!(events(world), [], "an idle connection lasts for ever");
    world.tcp_send(client, b"x").unwrap();
    let begun = world.now();
    assert!(world.run_until_event(begun + Duration::from_secs(10_000)));
    assert_eq!(events(world), [HostEvent::TcpFailed(client, NetError::TimedOut)]);
    assert!(world.now().saturating_since(begun) >= crate::host::STALL_TIMEOUT);
}

#[test]
fn closing_with_unread_bytes_resets() {
    let mut pair = pair(1, LinkConfig::default());
    let (client, server, _) = connected(&mut pair);
    let world = &mut pair.world;
    world.tcp_send(client, b"unread").unwrap();
    world.run_for(millis(50));
    world.tcp_close(server);
    world.run_for(millis(50));
    assert!(events(world).contains(&HostEvent::TcpFailed(client, NetError::ConnectionReset)));
}

#[test]
fn no_connection_survives_its_end() {
    let mut pair = pair(1, LinkConfig::default());
    for _ in 0..50 {
        let (client, server, listener) = connected(&mut pair);
        pair.world.tcp_close(client);
        pair.world.run_for(millis(20));
        pair.world.tcp_close(server);
        pair.world.tcp_close_listener(listener);
        // The same two ends each time: TIME-WAIT has passed.
        pair.world.run_for(Duration::from_secs(61));
        assert_eq!(pair.world.step(), None);
    }
}

#[test]
fn bytes_that_come_for_a_closed_connection_reset_it() {
    let mut pair = pair(1, LinkConfig::default());
    let (client, server, _) = connected(&mut pair);
    let world = &mut pair.world;
    world.tcp_close(server);
    world.run_for(millis(100));
    assert_eq!(take(world, client), (vec![], true), "a FIN at first");
    world.tcp_send(client, b"for nobody").unwrap();
    world.run_for(millis(100));
    assert!(events(world).contains(&HostEvent::TcpFailed(client, NetError::ConnectionReset)));
    assert_eq!(world.tcp_recv(client, &mut [0; 10]), Err(NetError::ConnectionReset));
    world.tcp_close(client);
    assert_eq!(world.size().tcp, 1, "the listener");
}
