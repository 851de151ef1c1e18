use std::net::SocketAddr;

use super::*;
use crate::{Dir, Priority, SecretKey};

struct Node {
    engine: Engine,
    addr: SocketAddr,
    events: Vec<Event>,
}

fn node(n: u8) -> Node {
    let network = Network::new("test", None).unwrap();
    let mut config = Config::new(SecretKey::from_entropy([n; 32]), network, crate::crypto::pure::pure());
    let addr: SocketAddr = ([10, 0, 0, n], 1000).into();
    config.listen = vec![addr];
    let wall = UnixTime::from_millis(1_800_000_000_000);
    let mut engine = Engine::new(config, Seed::new([n; 32]), Instant::ZERO, wall);
    let Some(Command::BindUdp { socket, local }) = engine.poll_command() else { panic!("no bind") };
    engine.handle_input(Input::SocketOpened { socket, local }, Instant::ZERO);
    Node { engine, addr, events: Vec::new() }
}

/// Delivers everything at once until nothing moves, then lets the next timer fire; until `until` or `limit`.
fn run(
    nodes: &mut [Node],
    now: &mut Instant,
    limit: Duration,
    mut until: impl FnMut(&mut [Node], Instant) -> bool,
) {
    let end = *now + limit;
    let mut buf = vec![0; 65536];
    while *now < end && !until(nodes, *now) {
        let mut moved = false;
        for i in 0..nodes.len() {
            while let Some(t) = nodes[i].engine.poll_transmit(*now, &mut buf, 8) {
                moved = true;
                let from = nodes[i].addr;
                if let Some(to) = nodes.iter_mut().find(|n| n.addr == t.to) {
                    to.engine.handle_input(
                        Input::Datagrams {
                            socket: SocketId(0),
                            from,
                            to: None,
                            ecn: t.ecn,
                            segment: t.segment.unwrap_or(t.len),
                            data: &mut buf[..t.len],
                        },
                        *now,
                    );
                }
            }
            while let Some(event) = nodes[i].engine.poll_event() {
                moved = true;
                nodes[i].events.push(event);
            }
        }
        if !moved {
            let next = nodes.iter_mut().filter_map(|n| n.engine.poll_timeout()).map(|(at, _)| at).min();
            *now = next.unwrap_or(end).max(*now);
            for n in nodes.iter_mut() {
                n.engine.handle_input(Input::Timeout, *now);
            }
        }
    }
}

fn connected(node: &Node) -> Option<SessionId> {
    node.events.iter().find_map(|e| match e {
        Event::Connected { session, .. } => Some(*session),
        _ => None,
    })
}

#[test]
fn two_nodes_talk_whether_the_id_is_known_or_not() {
    for known in [true, false] {
        let mut nodes = [node(1), node(2)];
        let mut now = Instant::ZERO;
        let target = match known {
            true => Target::from((nodes[1].engine.peer_id(), nodes[1].addr)),
            false => Target::from(nodes[1].addr),
        };
        nodes[0].engine.connect(target, now).unwrap();
        run(&mut nodes, &mut now, Duration::from_secs(5), |n, _| n.iter().all(|n| connected(n).is_some()));
        let [a, b] = nodes.each_ref().map(|n| connected(n).expect("connected"));
        let data: Vec<u8> = (0..1_000_000u32).map(|i| (i / 7) as u8).collect();
        let stream = nodes[0].engine.session_mut(a, now).unwrap().open(Dir::Uni).unwrap().unwrap();
        let mut sent = 0;
        let mut got = Vec::new();
        let mut incoming = None;
        run(&mut nodes, &mut now, Duration::from_secs(60), |nodes, now| {
            let mut s = nodes[0].engine.session_mut(a, now).unwrap();
            while sent < data.len() {
                match s.write(stream, &data[sent..]) {
                    Ok(n) => sent += n,
                    Err(_) => break,
                }
                if sent == data.len() {
                    s.finish(stream).unwrap();
                    s.send_message(Priority::HIGHEST, b"done", true).unwrap();
                    s.send_datagram(b"quick").unwrap();
                }
            }
            let mut s = nodes[1].engine.session_mut(b, now).unwrap();
            incoming = incoming.or_else(|| s.accept(Dir::Uni));
            let mut buf = [0; 5000];
            while let Some(stream) = incoming {
                match s.read(stream, &mut buf) {
                    Ok(0) => return true,
                    Ok(n) => got.extend_from_slice(&buf[..n]),
                    Err(_) => break,
                }
            }
            false
        });
        assert!(got == data, "{} of {}", got.len(), data.len());
        assert_eq!(nodes[1].engine.session_mut(b, now).unwrap().recv_message().unwrap().data, b"done");
        assert_eq!(&nodes[1].engine.session_mut(b, now).unwrap().recv_datagram().unwrap()[..], b"quick");
        nodes[0].engine.session_mut(a, now).unwrap().close(7, b"bye");
        run(&mut nodes, &mut now, Duration::from_secs(60), |n, _| n.iter().all(|n| n.engine.is_idle()));
        assert!(nodes.iter().all(|n| n.engine.is_idle()), "{nodes:?}", nodes = nodes.map(|n| n.engine));
        let closed = nodes[1].events.last().unwrap();
        let reason = crate::CloseReason::ByPeer { code: 7, reason: b"bye"[..].into() };
        assert_eq!(*closed, Event::Closed { session: b, reason });
    }
}

/// Each side holds what the other does not: the chunks of what was sent, and of what was received.
#[test]
fn a_session_that_has_gone_quiet_gives_its_spare_memory_back_on_both_sides() {
    let mut nodes = [node(1), node(2)];
    let mut now = Instant::ZERO;
    let target = Target::from((nodes[1].engine.peer_id(), nodes[1].addr));
    nodes[0].engine.connect(target, now).unwrap();
    run(&mut nodes, &mut now, Duration::from_secs(5), |n, _| n.iter().all(|n| connected(n).is_some()));
    let ids = nodes.each_ref().map(|n| connected(n).expect("connected"));
    let memory = |nodes: &mut [Node], side: usize| {
        nodes[side].engine.slots.entry_mut(slots::slot_of(ids[side])).unwrap().session.streams().memory()
    };
    // One small stream stays open, so that no end of a last stream does it.
    let mut s = nodes[0].engine.session_mut(ids[0], now).unwrap();
    let open = s.open(Dir::Bi).unwrap().unwrap();
    s.write(open, b"x").unwrap();
    s.send_message(Priority::default(), &[7; 200_000], false).unwrap();
    run(&mut nodes, &mut now, Duration::from_secs(60), |nodes, now| {
        nodes[1].engine.session_mut(ids[1], now).unwrap().recv_message().is_some()
    });
    let busy = [memory(&mut nodes, 0), memory(&mut nodes, 1)];
    assert!(busy.iter().all(|bytes| *bytes >= 16_384), "{busy:?}");
    run(&mut nodes, &mut now, Duration::from_secs(3), |_, _| false);
    let idle = [memory(&mut nodes, 0), memory(&mut nodes, 1)];
    assert!(idle.iter().all(|bytes| *bytes < 4096), "{busy:?} became {idle:?}");
}

#[test]
fn a_hello_of_another_version_is_dropped_before_anything_else_of_it_is_looked_at() {
    use crate::handshake::envelope::{HelloHead, HelloKind, VERSION};

    for (version, answered) in [(VERSION - 1, 0), (VERSION + 1, 0), (u8::MAX, 0), (VERSION, 1)] {
        let mut nodes = [node(1), node(2)];
        let now = Instant::ZERO;
        let target = Target::from((nodes[1].engine.peer_id(), nodes[1].addr));
        nodes[0].engine.connect(target, now).unwrap();
        // Genuine but for its version.
        let content = nodes[0].engine.attempts.values().next().unwrap().content.clone();
        let wall = nodes[0].engine.wall_now(now);
        let from = nodes[0].addr;
        let engine = &mut nodes[1].engine;
        let head = HelloHead { kind: HelloKind::InitiateKnown, version, wall };
        let mut hello = Vec::new();
        let provider = engine.config.provider.clone();
        let key = engine.hello_known.clone();
        key.seal_hello(&*provider, head, [3; 16], [4; 16], &content, 900, &mut hello).unwrap();
        let segment = hello.len();
        let input =
            Input::Datagrams { socket: SocketId(0), from, to: None, ecn: None, segment, data: &mut hello };
        engine.handle_input(input, now);
        let stats = engine.stats();
        let (dropped, version_dropped) = (stats.dropped.total(), stats.dropped.of(Dropped::Version));
        assert_eq!((dropped, version_dropped), (1 - answered, 1 - answered), "version {version}");
        assert_eq!(stats.hellos_answered, answered, "version {version}");
        let mut buf = vec![0; 65536];
        assert_eq!(engine.poll_transmit(now, &mut buf, 8).is_some(), answered == 1, "version {version}");
    }
}

#[test]
fn heads_are_masked_with_what_the_receivers_machine_is_good_at() {
    for (aes, kind) in [(true, MaskKind::Aes256), (false, MaskKind::ChaCha20)] {
        let network = Network::new("test", None).unwrap();
        let key = SecretKey::from_entropy([1; 32]);
        let mut config = Config::new(key, network, crate::crypto::pure::pure());
        config.hardware.aes = aes;
        let wall = UnixTime::from_millis(1_800_000_000_000);
        let engine = Engine::new(config, Seed::new([1; 32]), Instant::ZERO, wall);
        assert_eq!(engine.receive_mask.kind(), kind);
        assert_eq!(engine.params(0, 0, None, false).addressing.mask, kind, "and the peer is told");
    }
}
