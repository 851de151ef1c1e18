use crust_proto::{Duration, Instant};

use super::testing::*;
use crate::link::LinkConfig;
use crate::packet::Ecn;
use crate::world::World;
use crate::{ConnectOptions, HostEvent, NetError, SendOptions, TcpState, UdpOptions};

#[test]
fn both_may_open_at_once_beside_listeners_and_without() {
    for (seed, listen) in [(1, false), (2, true)] {
        for late in [0, 500, 1500, 1999] {
            let Pair { mut world, a, b, .. } = pair(seed, LinkConfig::default());
            if listen {
                world.tcp_listen(a, at("0.0.0.0:1000"), 8).unwrap();
                world.tcp_listen(b, at("0.0.0.0:2000"), 8).unwrap();
            }
            let one = world.tcp_connect(a, at(B), from(A)).unwrap();
            // The other SYN leaves before the first has come: they cross.
            world.run_for(Duration::from_micros(late));
            let two = world.tcp_connect(b, at(A), from(B)).unwrap();
            world.run_for(Duration::from_secs(3));
            let connected = [HostEvent::TcpConnected(one), HostEvent::TcpConnected(two)];
            let told = events(&mut world);
            assert!(told.len() == 2 && connected.iter().all(|event| told.contains(event)), "{told:?}");
            world.tcp_send(one, b"one").unwrap();
            world.tcp_send(two, b"two").unwrap();
            world.run_for(millis(100));
            assert_eq!(
                (take(&mut world, two).0, take(&mut world, one).0),
                (b"one".to_vec(), b"two".to_vec())
            );
        }
    }
}

#[test]
fn both_may_open_at_once_over_a_link_that_loses() {
    for seed in 0..40 {
        let Pair { mut world, a, b, .. } = pair(seed, LinkConfig { loss: 150_000, ..LinkConfig::default() });
        let one = world.tcp_connect(a, at(B), from(A)).unwrap();
        let two = world.tcp_connect(b, at(A), from(B)).unwrap();
        let mut open = 0;
        while open < 2 {
            assert!(world.run_until_event(Instant::ZERO + Duration::from_secs(120)), "seed {seed}");
            match world.poll_event().unwrap().1 {
                HostEvent::TcpConnected(_) => open += 1,
                other => panic!("{other:?}, seed {seed}"),
            }
        }
        world.tcp_send(one, b"one").unwrap();
        world.tcp_send(two, b"two").unwrap();
        world.run_for(Duration::from_secs(60));
        assert_eq!((take(&mut world, two).0, take(&mut world, one).0), (b"one".to_vec(), b"two".to_vec()));
    }
}

#[test]
fn nobody_at_a_port_refuses_and_silence_times_out() {
    let Pair { mut world, a, wires, .. } = pair(1, LinkConfig::default());
    let refused = world.tcp_connect(a, at(B), from(A)).unwrap();
    world.run_for(millis(10));
    assert_eq!(events(&mut world), [HostEvent::TcpFailed(refused, NetError::ConnectionRefused)]);
    assert_eq!(world.tcp_recv(refused, &mut [0]), Err(NetError::ConnectionRefused));
    // The same two ends are free again at once.
    *world.link_mut(wires[1].1) = LinkConfig { up: false, ..LinkConfig::default() };
    let silent = world.tcp_connect(a, at(B), from(A)).unwrap();
    assert_eq!(world.tcp_connect(a, at(B), from(A)), Err(NetError::AddrInUse));
    let begun = world.now();
    assert!(world.run_until_event(begun + Duration::from_secs(1000)));
    assert_eq!(events(&mut world), [HostEvent::TcpFailed(silent, NetError::TimedOut)]);
    assert_eq!(world.now().saturating_since(begun), Duration::from_secs(127));
}

#[test]
fn a_syn_with_a_low_ttl_dies_on_the_way_and_can_be_dialled_again_at_once() {
    let Pair { mut world, a, b, .. } = pair(1, LinkConfig::default());
    world.tcp_listen(b, at("0.0.0.0:2000"), 8).unwrap();
    let log = watch(&mut world);
    let low = world.tcp_connect(a, at(B), ConnectOptions { ttl: Some(1), ..from(A) }).unwrap();
    world.run_for(millis(10));
    assert_eq!(events(&mut world), [HostEvent::TcpFailed(low, NetError::HostUnreachable)]);
    let sent: Vec<_> =
        log.lock().unwrap().iter().map(|(host, _, ttl, flags)| (*host, *ttl, flags.clone())).collect();
    assert_eq!(sent, [(a, 1, "S".to_owned())], "and no RST after it");
    let again = world.tcp_connect(a, at(B), from(A)).unwrap();
    world.run_for(millis(10));
    assert!(events(&mut world).contains(&HostEvent::TcpConnected(again)));
}

#[test]
fn a_lost_syn_is_sent_again_and_one_that_is_given_up_ends_without_an_rst() {
    let Pair { mut world, a, wires, .. } = pair(1, LinkConfig::default());
    world.set_outage(wires[1].0, true);
    let log = watch(&mut world);
    let id = world.tcp_connect(a, at(B), from(A)).unwrap();
    world.run_for(Duration::from_secs(20));
    world.tcp_close(id);
    world.run_for(Duration::from_secs(200));
    let log = log.lock().unwrap();
    let own: Vec<_> = log.iter().filter(|(host, ..)| *host == a).collect();
    assert!((4..15).contains(&own.len()), "{}", own.len());
    assert!(own.iter().all(|(.., flags)| flags == "S"));
    assert!(own[1].1.saturating_since(own[0].1) >= millis(500));
}

#[test]
fn a_backlog_is_full_when_it_is() {
    let Pair { mut world, a, b, .. } = pair(1, LinkConfig::default());
    let listener = world.tcp_listen(b, at("0.0.0.0:2000"), 2).unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.tcp_connect(a, at(B), ConnectOptions::default()).unwrap());
    }
    world.run_for(millis(100));
    let open =
        |world: &mut World| ids.iter().filter(|id| world.tcp_state(**id) == Ok(TcpState::Open)).count();
    assert_eq!(open(&mut world), 2);
    world.tcp_accept(listener).unwrap().unwrap();
    world.run_for(Duration::from_secs(5));
    assert_eq!(open(&mut world), 3, "the third SYN is repeated, and there is room now");
    assert_eq!(world.tcp_listen(b, at("0.0.0.0:2000"), 2), Err(NetError::AddrInUse));
    world.tcp_close_listener(listener);
    world.run_for(millis(100));
    assert_eq!(open(&mut world), 1, "those that nobody accepted are reset");
    assert!(world.tcp_listen(b, at("0.0.0.0:2000"), 2).is_ok());
}

#[test]
fn an_accepted_connection_tells_of_bytes_that_came_before() {
    let Pair { mut world, a, b, .. } = pair(1, LinkConfig::default());
    let listener = world.tcp_listen(b, at("0.0.0.0:2000"), 2).unwrap();
    let client = world.tcp_connect(a, at(B), ConnectOptions::default()).unwrap();
    world.run_for(millis(10));
    world.tcp_send(client, b"early").unwrap();
    world.run_for(millis(100));
    events(&mut world);
    let (server, _) = world.tcp_accept(listener).unwrap().unwrap();
    assert_eq!(events(&mut world), [HostEvent::TcpReadable(server)]);
    assert_eq!(take(&mut world, server).0, b"early");
}

#[test]
fn tcp_and_udp_ports_are_each_their_own() {
    let Pair { mut world, a, b, .. } = pair(1, LinkConfig::default());
    let listener = world.tcp_listen(b, at("0.0.0.0:2000"), 8).unwrap();
    let udp = world.udp_bind(b, at("0.0.0.0:2000"), UdpOptions::default()).unwrap();
    let sender = world.udp_bind(a, at(A), UdpOptions::default()).unwrap();
    let client = world.tcp_connect(a, at(B), from(A)).unwrap();
    world.udp_send(sender, at(B), SendOptions { ecn: Ecn::Ce, ..SendOptions::default() }, b"x").unwrap();
    world.run_for(millis(50));
    let told = events(&mut world);
    for event in
        [HostEvent::TcpAcceptable(listener), HostEvent::UdpReadable(udp), HostEvent::TcpConnected(client)]
    {
        assert!(told.contains(&event));
    }
}
