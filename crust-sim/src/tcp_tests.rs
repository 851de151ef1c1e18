use std::net::{IpAddr, SocketAddr};

use crust_proto::{Duration, Instant};

use crate::link::{Bursts, LinkConfig, Oversize};
use crate::packet::{Ecn, Packet};
use crate::world::{InterfaceId, Sight, World};
use crate::{
    ConnectOptions, HostEvent, HostId, ListenerId, NetError, Protocol, Rng, SendOptions, TcpId, TcpState,
    UdpOptions,
};

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two hosts with one router between them.
struct Pair {
    world: World,
    a: HostId,
    b: HostId,
    wires: [(InterfaceId, InterfaceId); 2],
}

fn pair(seed: u64, link: LinkConfig) -> Pair {
    let mut world = World::new(seed);
    let (a, b, router) = (world.add_host(), world.add_host(), world.add_router());
    let wires = [world.connect(a, router, link), world.connect(b, router, link)];
    for (net, (host, router)) in wires.iter().enumerate() {
        for (interface, last) in [(*host, 2), (*router, 1)] {
            world.add_address(interface, IpAddr::from([10, 0, net as u8, last]), 24);
            world.add_address(interface, format!("2001:db8:{net}::{last}").parse().unwrap(), 64);
        }
        world.set_gateway(*host, IpAddr::from([10, 0, net as u8, 1]));
        world.set_gateway(*host, format!("2001:db8:{net}::1").parse().unwrap());
    }
    Pair { world, a, b, wires }
}

const A: &str = "10.0.0.2:1000";
const B: &str = "10.0.1.2:2000";

fn from(local: &str) -> ConnectOptions {
    ConnectOptions { from: Some(at(local)), ttl: None }
}

fn events(world: &mut World) -> Vec<HostEvent> {
    std::iter::from_fn(|| world.poll_event()).map(|(_, event)| event).collect()
}

/// A connection from `a` to a listener of `b`.
fn connected(pair: &mut Pair) -> (TcpId, TcpId, ListenerId) {
    let world = &mut pair.world;
    let listener = world.tcp_listen(pair.b, at("0.0.0.0:2000"), 8).unwrap();
    let client = world.tcp_connect(pair.a, at(B), from(A)).unwrap();
    while world.tcp_state(client) == Ok(TcpState::Connecting) {
        world.step().expect("something must happen");
    }
    let server = loop {
        if let Some((server, peer)) = world.tcp_accept(listener).unwrap() {
            assert_eq!(peer, at(A));
            break server;
        }
        world.step().expect("something must happen");
    };
    events(world);
    (client, server, listener)
}

fn take(world: &mut World, id: TcpId) -> (Vec<u8>, bool) {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match world.tcp_recv(id, &mut buffer) {
            Ok(Some(0)) => return (all, true),
            Ok(Some(taken)) => all.extend_from_slice(&buffer[..taken]),
            Ok(None) => return (all, false),
            Err(error) => panic!("{error} after {} bytes", all.len()),
        }
    }
}

/// Sends so many random bytes and a FIN from `from` to `to`; they must arrive intact. How long it took.
fn transfer(world: &mut World, from: TcpId, to: TcpId, bytes: usize) -> Duration {
    let mut rng = Rng::new(bytes as u64);
    let data: Vec<u8> = (0..bytes).map(|_| rng.next_u64() as u8).collect();
    let (begun, mut sent, mut got) = (world.now(), 0, Vec::new());
    let patience = world.now() + Duration::from_secs(3600);
    let mut push = |world: &mut World| {
        while sent < data.len() {
            match world.tcp_send(from, &data[sent..]).unwrap() {
                0 => return,
                taken => sent += taken,
            }
        }
        world.tcp_finish(from).unwrap();
    };
    push(world);
    loop {
        assert!(world.run_until_event(patience), "stuck after {} bytes at {:?}", got.len(), world.now());
        while let Some((_, event)) = world.poll_event() {
            match event {
                HostEvent::TcpWritable(id) if id == from => push(world),
                HostEvent::TcpReadable(id) if id == to => {
                    let (more, end) = take(world, to);
                    got.extend(more);
                    if end {
                        assert!(got == data, "{} of {} bytes, or others", got.len(), data.len());
                        return world.now().saturating_since(begun);
                    }
                }
                HostEvent::TcpReadable(_) | HostEvent::TcpWritable(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_connection_opens_carries_both_ways_and_closes() {
    for (local, to, any) in
        [(A, B, "0.0.0.0:2000"), ("[2001:db8:0::2]:1000", "[2001:db8:1::2]:2000", "[::]:2000")]
    {
        let Pair { mut world, a, b, .. } = pair(1, LinkConfig::default());
        let listener = world.tcp_listen(b, at(any), 8).unwrap();
        let client = world.tcp_connect(a, at(to), from(local)).unwrap();
        assert_eq!(world.tcp_send(client, b"x"), Err(NetError::NotConnected));
        world.run_for(millis(10));
        assert_eq!(events(&mut world), [HostEvent::TcpConnected(client), HostEvent::TcpAcceptable(listener)]);
        let (server, peer) = world.tcp_accept(listener).unwrap().unwrap();
        assert_eq!((peer, world.tcp_ends(server)), (at(local), Ok((at(to), at(local)))));
        assert_eq!(world.tcp_send(client, b"ping"), Ok(4));
        assert_eq!(world.tcp_send(server, b"pong"), Ok(4));
        world.run_for(millis(50));
        assert_eq!(take(&mut world, server), (b"ping".to_vec(), false));
        assert_eq!(take(&mut world, client), (b"pong".to_vec(), false));
        world.tcp_finish(client).unwrap();
        assert_eq!(world.tcp_send(client, b"x"), Err(NetError::BrokenPipe));
        world.run_for(millis(50));
        assert_eq!(take(&mut world, server), (vec![], true));
        assert_eq!(world.tcp_send(server, b"late"), Ok(4));
        world.tcp_close(server);
        world.run_for(millis(50));
        assert_eq!(take(&mut world, client), (b"late".to_vec(), true));
        world.run_for(Duration::from_secs(100));
        assert_eq!(world.tcp_state(client), Ok(TcpState::Closed));
        world.tcp_close(client);
        assert_eq!(world.tcp_state(client), Err(NetError::BadSocket));
        assert!(!events(&mut world).iter().any(|event| matches!(event, HostEvent::TcpFailed(..))));
        assert_eq!(world.step(), None, "nothing is left to happen");
    }
}

#[test]
fn a_megabyte_comes_over_a_link_that_loses_reorders_and_damages() {
    for seed in 0..8 {
        let link = LinkConfig {
            latency: millis(10),
            jitter: millis(2),
            loss: 10_000,
            bursts: (seed % 2 == 0).then_some(Bursts { enter: 1000, leave: 200_000, loss: 500_000 }),
            reorder: 20_000,
            duplicate: 10_000,
            corrupt: 5_000,
            rate: Some(50_000_000),
            ..LinkConfig::default()
        };
        let mut pair = pair(seed, link);
        let (client, server, _) = connected(&mut pair);
        let took = if seed < 4 {
            transfer(&mut pair.world, client, server, 1 << 20)
        } else {
            transfer(&mut pair.world, server, client, 1 << 20)
        };
        assert!(took < Duration::from_secs(600), "{took:?}");
    }
}

#[test]
fn a_seed_has_one_hash_with_tcp_too() {
    let run = |seed| {
        let link = LinkConfig { loss: 20_000, jitter: millis(3), reorder: 20_000, ..LinkConfig::default() };
        let mut pair = pair(seed, link);
        let (client, server, _) = connected(&mut pair);
        transfer(&mut pair.world, client, server, 50_000);
        pair.world.hash()
    };
    let hashes: std::collections::BTreeSet<_> = (0..20).map(run).collect();
    assert_eq!(hashes.len(), 20);
    assert!((0..20).all(|seed| hashes.contains(&run(seed))));
}

#[test]
fn a_clean_link_is_filled() {
    // 8 Mbit/s: a megabyte takes a second and little more.
    let mut pair = pair(1, LinkConfig { rate: Some(8_600_000), latency: millis(5), ..LinkConfig::default() });
    let (client, server, _) = connected(&mut pair);
    let took = transfer(&mut pair.world, client, server, 1 << 20);
    assert!(took > millis(990) && took < millis(1300), "{took:?}");
}

#[test]
fn a_program_that_does_not_read_stops_the_sender() {
    let mut pair = pair(1, LinkConfig::default());
    let (client, server, _) = connected(&mut pair);
    let world = &mut pair.world;
    let mut sent = 0;
    for _ in 0..100 {
        sent += world.tcp_send(client, &[7; 10_000]).unwrap();
        world.run_for(millis(100));
    }
    let both = 2 * crate::host::TCP_BUFFER;
    assert!((both - 10_000..=both).contains(&sent), "{sent}");
    assert_eq!(world.tcp_send(client, b"x"), Ok(0));
    assert_eq!(events(world), [HostEvent::TcpReadable(server)]);
    let mut got = take(world, server).0.len();
    world.run_for(Duration::from_secs(10));
    assert!(events(world).contains(&HostEvent::TcpWritable(client)));
    got += take(world, server).0.len();
    assert_eq!(got, sent);
}

#[test]
fn a_window_that_opened_unheard_is_asked_for() {
    let mut pair = pair(1, LinkConfig::default());
    let (client, server, _) = connected(&mut pair);
    let world = &mut pair.world;
    let mut sent = 0;
    for _ in 0..100 {
        sent += world.tcp_send(client, &[7; 10_000]).unwrap();
        world.run_for(millis(100));
    }
    // All that was sent is acknowledged and the window is shut; what opens it is lost.
    world.set_outage(pair.wires[1].0, true);
    let mut got = take(world, server).0.len();
    assert!(got < sent);
    world.run_for(Duration::from_secs(20));
    world.set_outage(pair.wires[1].0, false);
    for _ in 0..30 {
        world.run_for(Duration::from_secs(1));
        got += take(world, server).0.len();
    }
    assert_eq!(got, sent);
    // And an idle connection is silent again.
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.next_event_at(), None);
}

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

/// All TCP segments that left a host: when, TTL, and the flags SYN, ACK, FIN, RST as letters.
type Log = std::sync::Arc<std::sync::Mutex<Vec<(HostId, Instant, u8, String)>>>;

fn watch(world: &mut World) -> Log {
    let log = Log::default();
    let seen = Log::clone(&log);
    world.set_tap(Some(Box::new(move |tapped| {
        let flow = tapped.packet.flow().filter(|flow| flow.protocol == Protocol::Tcp);
        if let (Sight::Sent, Some(_), Some(flags)) = (tapped.sight, flow, tapped.packet.tcp_flags()) {
            let letters = [(flags.syn, 'S'), (flags.ack, 'A'), (flags.fin, 'F'), (flags.rst, 'R')];
            let letters = letters.iter().filter(|(set, _)| *set).map(|(_, letter)| *letter).collect();
            seen.lock().unwrap().push((tapped.host, tapped.now, tapped.packet.ttl(), letters));
        }
    })));
    log
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
        let last = std::sync::Arc::new(std::sync::Mutex::new(None));
        let seen = std::sync::Arc::clone(&last);
        let from = pair.a;
        world.set_tap(Some(Box::new(move |tapped| {
            if tapped.host == from && tapped.sight == Sight::Sent {
                *seen.lock().unwrap() = Some(tapped.packet.clone().into_bytes());
            }
        })));
        world.tcp_send(client, b"x").unwrap();
        world.run_for(millis(100));
        let mut bytes = last.lock().unwrap().take().unwrap();
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
fn an_outage_costs_a_pause_and_no_byte() {
    let mut pair = pair(1, LinkConfig { rate: Some(8_000_000), ..LinkConfig::default() });
    let (client, server, _) = connected(&mut pair);
    let wire = pair.wires[0].0;
    for (second, out) in [(0, true), (4, false)] {
        let when = pair.world.now() + Duration::from_millis(300 + second * 1000);
        pair.world.at(when, move |world| world.set_outage(wire, out));
    }
    let took = transfer(&mut pair.world, client, server, 1 << 20);
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_narrow_link_on_the_way_makes_segments_smaller_and_a_black_hole_stalls() {
    for oversize in [Oversize::TooBig, Oversize::BlackHole] {
        let mut pair = pair(1, LinkConfig::default());
        *pair.world.link_mut(pair.wires[1].1) = LinkConfig { mtu: 1300, oversize, ..LinkConfig::default() };
        let (client, server, _) = connected(&mut pair);
        if oversize == Oversize::TooBig {
            transfer(&mut pair.world, client, server, 300_000);
            continue;
        }
        pair.world.tcp_send(client, &[1; 1400]).unwrap();
        pair.world.run_for(Duration::from_secs(60));
        assert_eq!(take(&mut pair.world, server), (vec![], false));
    }
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
fn no_segment_makes_a_connection_panic() {
    let mut rng = Rng::new(5);
    for seed in 0..40 {
        let mut pair = pair(seed, LinkConfig::default());
        let (client, server, _) = connected(&mut pair);
        let world = &mut pair.world;
        let log: std::sync::Arc<std::sync::Mutex<Vec<Packet>>> = Default::default();
        let seen = std::sync::Arc::clone(&log);
        world.set_tap(Some(Box::new(move |tapped| {
            if tapped.sight == Sight::Sent {
                seen.lock().unwrap().push(tapped.packet.clone());
            }
        })));
        for round in 0..100u32 {
            for id in [client, server] {
                let _ = world.tcp_send(id, &[1; 700]);
                if round % 7 == 0 {
                    let _ = world.tcp_recv(id, &mut [0; 2000]);
                }
                if round > 60 && rng.chance(30_000) {
                    let _ = world.tcp_finish(id);
                }
            }
            // Late segments, their flags or anything in their headers changed, and their checksums made right again.
            let copy = {
                let log = log.lock().unwrap();
                log[rng.below(log.len() as u64) as usize].clone()
            };
            let mut bytes = copy.into_bytes();
            if rng.chance(500_000) {
                bytes[33] = rng.next_u64() as u8;
            } else {
                for _ in 0..=rng.below(4) {
                    let at = 24 + rng.below(20.min(bytes.len() as u64 - 24)) as usize;
                    bytes[at] = rng.next_u64() as u8;
                }
            }
            if let Ok(mut packet) = Packet::parse(bytes) {
                packet.renew_checksum();
                world.inject(if rng.chance(500_000) { pair.wires[0].0 } else { pair.wires[1].0 }, packet);
            }
            world.run_for(millis(5));
            events(world);
            let old = log.lock().unwrap().len().saturating_sub(20);
            log.lock().unwrap().drain(..old);
        }
    }
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

/// What a half-closed connection loses must be sent again, and nothing made up in its place.
#[test]
fn a_half_closed_connection_repeats_what_is_lost_and_makes_nothing_up() {
    crate::seeds(40, |seed| {
        let bad = LinkConfig {
            loss: 20_000,
            jitter: millis(3),
            reorder: 10_000,
            duplicate: 10_000,
            ..LinkConfig::with_latency(millis(10))
        };
        let mut pair = pair(seed, bad);
        let (client, server, _) = connected(&mut pair);
        let world = &mut pair.world;
        for connection in [client, server] {
            world.tcp_set_nodelay(connection, true).unwrap();
        }
        world.tcp_finish(client).unwrap();
        while !take(world, server).1 {
            world.step().unwrap();
        }
        transfer(world, server, client, 300_000);
    });
}

/// Odd sizes leave windows that no scaled number can tell, and the last bytes go beyond what was told last.
#[test]
fn a_window_is_filled_to_its_last_byte_by_writes_of_any_size() {
    crate::seeds(20, |seed| {
        let mut pair = pair(seed, LinkConfig::with_latency(millis(10)));
        let (client, server, _) = connected(&mut pair);
        let world = &mut pair.world;
        world.tcp_set_nodelay(client, true).unwrap();
        let mut rng = Rng::new(seed);
        let mut given = 0;
        for _ in 0..2000 {
            let len = 1 + rng.below(3000) as usize;
            given += world.tcp_send(client, &vec![1; len]).unwrap();
            world.run_for(millis(rng.below(30)));
            events(world);
        }
        assert!(given > 2 * crate::host::TCP_BUFFER - 10);
        let mut got = 0;
        while got < given {
            got += take(world, server).0.len();
            world.step().unwrap();
        }
    });
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
