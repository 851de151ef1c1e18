//! Every malformed, truncated, replayed, reflected or foreign datagram is dropped in silence, and counted.

use std::net::SocketAddr;

use crust_proto::identity::NetworkSecret;
use crust_proto::{Duration, Network, Priority, SessionId};

use crate::app::content;
use crate::net::{Net, Rng, Wire, seeds};

const STRANGER: ([u8; 4], u16) = ([10, 66, 6, 6], 666);

/// How many datagrams a node has received, and how many of them it has dropped, for whatever reason.
fn counts(net: &Net, node: usize) -> (u64, u64) {
    let stats = net.nodes[node].engine.stats();
    (stats.datagrams_received, stats.dropped.total())
}

/// Hands a node something that it must not react to.
fn assert_dropped(net: &mut Net, node: usize, from: SocketAddr, data: &[u8], what: &str) {
    let (received, dropped) = counts(net, node);
    let answer = net.inject(node, from, data);
    assert_eq!(answer, (0, 0), "{what}, {} bytes from {from}: datagrams and events in answer", data.len());
    assert_eq!(counts(net, node), (received + 1, dropped + 1), "{what}, {} bytes: counted", data.len());
}

/// A network where every kind of datagram there is has been seen on the wire.
struct Scene {
    net: Net,
    ends: [(usize, SessionId); 2],
    wire: Vec<Wire>,
}

/// Two with a session, made by IK, by XX, with a retry or without; and a wire that saw a NotMe as well.
fn scene(seed: u64) -> Scene {
    let secret = seed.is_multiple_of(3).then(|| NetworkSecret::from_bytes([9; 32]));
    let mut net = Net::of(seed, Network::new("test", secret).expect("a good name"));
    let threshold = if seed.is_multiple_of(2) { 0 } else { 64 };
    let a = net.add_with(|setup| setup.config.handshake.cookie_threshold = threshold);
    let b = net.add_with(|setup| setup.config.handshake.cookie_threshold = threshold);
    let third = net.add();
    net.wire = Some(Vec::new());
    let there = net.address(b);
    let not_me = net.dial(a, (net.id(third), there));
    net.finish(a, not_me).expect_err("somebody else lives there");
    let attempt = if seed % 4 < 2 { net.dial_id(a, b) } else { net.dial_address(a, b) };
    let at_a = net.finish(a, attempt).expect("a session");
    let at_b = net.answered(b, a);
    let ends = [(a, at_a), (b, at_b)];
    for (node, session) in ends {
        net.session(node, session)
            .send_message(Priority::default(), &content(seed, 3000), true)
            .expect("room");
        net.session(node, session).send_datagram(&content(seed, 100)).expect("not too large");
    }
    net.run_for(Duration::from_millis(500));
    net.session(a, at_a).update_keys();
    net.settle();
    let wire = net.wire.take().unwrap_or_default();
    Scene { net, ends, wire }
}

/// The sources that a hostile datagram claims.
fn sources(net: &Net, wire: &Wire) -> [SocketAddr; 2] {
    let _ = net;
    [wire.from, SocketAddr::from(STRANGER)]
}

#[test]
fn replayed_datagrams_of_every_kind_are_dropped() {
    seeds(12, |seed| {
        let Scene { mut net, ends: [a, b], wire } = scene(seed);
        for datagram in &wire {
            for from in sources(&net, datagram) {
                for (node, _) in [a, b] {
                    if net.address(node) == datagram.to {
                        assert_dropped(&mut net, node, from, &datagram.data, "a replay");
                    }
                }
            }
        }
        still_fine(&mut net, [a, b]);
    });
}

#[test]
fn reflected_datagrams_are_dropped() {
    seeds(12, |seed| {
        let Scene { mut net, ends: [a, b], wire } = scene(seed);
        for datagram in &wire {
            for (node, _) in [a, b] {
                if net.address(node) == datagram.from {
                    assert_dropped(&mut net, node, datagram.to, &datagram.data, "a reflection");
                    assert_dropped(&mut net, node, STRANGER.into(), &datagram.data, "a reflection");
                }
            }
        }
        still_fine(&mut net, [a, b]);
    });
}

#[test]
fn truncated_datagrams_are_dropped() {
    seeds(4, |seed| {
        let Scene { mut net, ends: [a, b], wire } = scene(seed);
        for datagram in &wire {
            for (node, _) in [a, b] {
                if net.address(node) == datagram.to {
                    let step = 1 + net.rng.index(12);
                    for len in (1..datagram.data.len()).step_by(step) {
                        assert_dropped(&mut net, node, datagram.from, &datagram.data[..len], "a truncation");
                    }
                }
            }
        }
        still_fine(&mut net, [a, b]);
    });
}

fn mutate(rng: &mut Rng, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    match rng.below(4) {
        0 => {
            let at = rng.index(data.len());
            data[at] ^= 1 << rng.below(8);
        }
        1 => {
            let (at, len) = (rng.index(data.len()), 1 + rng.index(20));
            let end = data.len().min(at + len);
            let old = data[at..end].to_vec();
            while data[at..end] == old {
                rng.fill(&mut data[at..end]);
            }
        }
        2 => {
            let extra = 1 + rng.index(40);
            data.extend(rng.bytes(extra));
        }
        _ => {
            let cut = rng.index(data.len().min(40));
            data.drain(..=cut);
        }
    }
    data
}

#[test]
fn mutated_datagrams_are_dropped() {
    seeds(12, |seed| {
        let Scene { mut net, ends: [a, b], wire } = scene(seed);
        for datagram in &wire {
            for (node, _) in [a, b] {
                if net.address(node) == datagram.to {
                    for _ in 0..30 {
                        let data = mutate(&mut net.rng, &datagram.data);
                        let from = sources(&net, datagram)[net.rng.index(2)];
                        if !data.is_empty() {
                            assert_dropped(&mut net, node, from, &data, "a mutation");
                        }
                    }
                }
            }
        }
        still_fine(&mut net, [a, b]);
    });
}

#[test]
fn every_single_bit_of_a_hello_counts() {
    let mut net = Net::new(1);
    let (a, b) = (net.add(), net.add());
    for by_id in [true, false] {
        net.wire = Some(Vec::new());
        net.link(a, b).blocked = true;
        let there = net.address(b);
        let attempt = if by_id { net.dial_id(a, b) } else { net.dial(a, there) };
        net.run_for(Duration::from_millis(1));
        net.engine(a).cancel(attempt);
        let hello = net.wire.take().unwrap_or_default().remove(0);
        for bit in 0..hello.data.len() * 8 {
            let mut data = hello.data.clone();
            data[bit / 8] ^= 1 << (bit % 8);
            assert_dropped(&mut net, b, hello.from, &data, "one wrong bit");
        }
        // The hello itself was good.
        let (sent, _) = net.inject(b, hello.from, &hello.data);
        assert!(sent > 0);
    }
}

#[test]
fn random_datagrams_of_every_length_are_dropped() {
    let Scene { mut net, ends: [a, b], .. } = scene(5);
    for round in 0..4 {
        for len in 1..1600 {
            let data = net.rng.bytes(len);
            let from = if round % 2 == 0 { net.address(a.0) } else { STRANGER.into() };
            assert_dropped(&mut net, b.0, from, &data, "noise");
        }
    }
    for byte in [0, 0xff, 0x80] {
        for len in 1..200 {
            assert_dropped(&mut net, b.0, STRANGER.into(), &vec![byte; len], "one byte repeated");
        }
    }
    still_fine(&mut net, [a, b]);
}

/// What strangers to crust say on UDP.
#[test]
fn other_protocols_are_dropped() {
    let Scene { mut net, ends: [a, b], .. } = scene(6);
    let mut quic = vec![0xc3, 0, 0, 0, 1, 8];
    quic.resize(1200, 7);
    let mut wireguard = vec![1, 0, 0, 0];
    wireguard.resize(148, 9);
    let others: [&[u8]; 5] = [
        b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl",
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01",
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        &quic,
        &wireguard,
    ];
    for data in others {
        assert_dropped(&mut net, b.0, STRANGER.into(), data, "another protocol");
    }
    still_fine(&mut net, [a, b]);
}

#[test]
fn datagrams_of_other_networks_are_dropped() {
    let secrets = [None, Some([1; 32]), Some([9; 32])];
    seeds(6, |seed| {
        let Scene { mut net, ends: [a, b], .. } = scene(seed);
        for (i, secret) in secrets.iter().enumerate() {
            for name in ["test", "tesu"] {
                let network = Network::new(name, secret.map(NetworkSecret::from_bytes)).expect("a good name");
                if network.tag() == net.nodes[a.0].engine.network().tag() {
                    continue;
                }
                let mut other = Net::of(seed * 10 + i as u64, network);
                let c = other.add();
                let there = net.address(b.0);
                other.dial(c, there);
                other.dial(c, (net.id(b.0), there));
                other.run_for(Duration::from_secs(15));
                assert!(other.stray.len() > 6);
                for hello in &other.stray {
                    assert_dropped(&mut net, b.0, hello.from, &hello.data, "a foreign hello");
                }
                let d = other.add();
                other.wire = Some(Vec::new());
                other.connect(c, d);
                other.run_for(Duration::from_secs(20));
                for data in other.wire.iter().flatten() {
                    assert_dropped(&mut net, b.0, data.from, &data.data, "foreign");
                }
            }
        }
        still_fine(&mut net, [a, b]);
    });
}

#[test]
fn datagrams_of_another_session_of_the_same_network_are_dropped() {
    seeds(6, |seed| {
        let Scene { mut net, ends: [a, b], .. } = scene(seed);
        let (c, d) = (net.add(), net.add());
        net.wire = Some(Vec::new());
        let (at_c, _) = net.connect(c, d);
        net.session(c, at_c).send_message(Priority::default(), &content(1, 5000), false).expect("room");
        net.settle();
        for datagram in net.wire.take().unwrap_or_default() {
            for (node, _) in [a, b] {
                assert_dropped(&mut net, node, datagram.from, &datagram.data, "not for us");
            }
        }
        still_fine(&mut net, [a, b]);
    });
}

#[test]
fn a_datagram_for_a_session_that_is_over_is_dropped() {
    let Scene { mut net, ends: [a, b], .. } = scene(7);
    net.wire = Some(Vec::new());
    net.session(a.0, a.1).send_message(Priority::default(), &content(1, 5000), false).expect("room");
    net.settle();
    let wire = net.wire.take().unwrap_or_default();
    net.session(a.0, a.1).close(0, b"");
    net.run_for(Duration::from_secs(120));
    for (node, session) in [a, b] {
        net.release(node, session);
        net.run_for(Duration::from_secs(1));
    }
    for datagram in wire {
        for (node, _) in [a, b] {
            assert_dropped(&mut net, node, datagram.from, &datagram.data, "of the past");
        }
    }
}

#[test]
fn batches_of_noise_are_counted_one_by_one() {
    let Scene { mut net, ends: [a, b], .. } = scene(8);
    for (segment, len) in [(100, 1000), (100, 1050), (1200, 12_000), (7, 70)] {
        let (received, dropped) = counts(&net, b.0);
        let mut data = net.rng.bytes(len);
        let socket = net.nodes[b.0].socket_id();
        let now = net.now;
        let input = crust_proto::Input::Datagrams {
            socket,
            from: STRANGER.into(),
            to: None,
            ecn: None,
            segment,
            data: &mut data,
        };
        net.nodes[b.0].input(input, now);
        let count = len.div_ceil(segment) as u64;
        assert_eq!(counts(&net, b.0), (received + count, dropped + count));
    }
    still_fine(&mut net, [a, b]);
}

#[test]
fn every_received_datagram_is_either_used_or_counted_as_dropped() {
    seeds(20, |seed| {
        let mut net = Net::stormy(seed);
        let (a, b) = (net.add(), net.add());
        net.nodes[a].config.handshake.timeout = Duration::from_secs(120);
        let attempt = net.dial_id(a, b);
        if net.finish(a, attempt).is_ok() {
            let at_b = net.answered(b, a);
            net.session(b, at_b)
                .send_message(Priority::default(), &content(seed, 50_000), false)
                .expect("room");
        }
        net.run_for(Duration::from_secs(60));
        for node in [a, b] {
            let stats = net.nodes[node].engine.stats();
            assert_eq!(stats.datagrams_received, net.nodes[node].received);
            assert!(stats.dropped.total() < stats.datagrams_received);
        }
    });
}

/// What an attacker did must not have cost the two anything.
fn still_fine(net: &mut Net, ends: [(usize, SessionId); 2]) {
    let [a, b] = ends;
    for (node, session) in ends {
        while net.session(node, session).recv_message().is_some() {}
    }
    for (from, to) in [(a, b), (b, a)] {
        net.session(from.0, from.1).send_message(Priority::default(), b"still fine?", false).expect("room");
        let begun = net.now;
        net.run_until("it arrives", |net| net.session(to.0, to.1).recv_message().is_some());
        assert!(net.now.saturating_since(begun) < Duration::from_secs(2));
    }
    assert_eq!((net.closed(a.0, a.1), net.closed(b.0, b.1)), (None, None));
}
