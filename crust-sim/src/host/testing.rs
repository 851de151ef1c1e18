//! Two hosts with a router between them, for the tests of TCP, and short words for what they do.

use std::net::{IpAddr, SocketAddr};

use crust_proto::{Duration, Instant};

use crate::link::LinkConfig;
use crate::packet::Packet;
use crate::world::{InterfaceId, Sight, World};
use crate::{ConnectOptions, HostEvent, HostId, ListenerId, Protocol, Rng, TcpId, TcpState};

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two hosts with one router between them.
pub(super) struct Pair {
    pub(super) world: World,
    pub(super) a: HostId,
    pub(super) b: HostId,
    pub(super) wires: [(InterfaceId, InterfaceId); 2],
}

pub(super) fn pair(seed: u64, link: LinkConfig) -> Pair {
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

pub(super) const A: &str = "10.0.0.2:1000";
pub(super) const B: &str = "10.0.1.2:2000";

pub(super) fn from(local: &str) -> ConnectOptions {
    ConnectOptions { from: Some(at(local)), ttl: None }
}

pub(super) fn events(world: &mut World) -> Vec<HostEvent> {
    std::iter::from_fn(|| world.poll_event()).map(|(_, event)| event).collect()
}

/// A connection from `a` to a listener of `b`.
pub(super) fn connected(pair: &mut Pair) -> (TcpId, TcpId, ListenerId) {
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

pub(super) fn take(world: &mut World, id: TcpId) -> (Vec<u8>, bool) {
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
pub(super) fn transfer(world: &mut World, from: TcpId, to: TcpId, bytes: usize) -> Duration {
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

/// The last packet that a host has sent.
pub(super) fn last_sent(world: &mut World, host: HostId) -> std::sync::Arc<std::sync::Mutex<Option<Packet>>> {
    let last = std::sync::Arc::new(std::sync::Mutex::new(None));
    let seen = std::sync::Arc::clone(&last);
    world.set_tap(Some(Box::new(move |tapped| {
        if tapped.host == host && tapped.sight == Sight::Sent {
            *seen.lock().unwrap() = Some(tapped.packet.clone());
        }
    })));
    last
}

/// All TCP segments that left a host: when, TTL, and the flags SYN, ACK, FIN, RST as letters.
pub(super) type Log = std::sync::Arc<std::sync::Mutex<Vec<(HostId, Instant, u8, String)>>>;

pub(super) fn watch(world: &mut World) -> Log {
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
