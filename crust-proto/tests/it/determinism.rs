//! The same inputs give the same bytes on the wire; and yet no key comes twice.

use std::collections::BTreeSet;

use crust_proto::{Duration, Priority};

use crate::app::content;
use crate::net::{Net, Wire, seeds};

/// A lossy run of a hub with fifty connections and well over a thousand packets.
fn busy_run(seed: u64, change: impl FnOnce(&mut [u8])) -> Net {
    let mut net = Net::stormy(seed);
    net.weather.loss = net.weather.loss.max(30);
    net.weather.rate = None;
    net.wire = Some(Vec::new());
    let hub = net.add_with(|setup| setup.config.handshake.timeout = Duration::from_secs(60));
    let others: Vec<_> = (0..50)
        .map(|_| net.add_with(|setup| setup.config.handshake.timeout = Duration::from_secs(60)))
        .collect();
    let attempts: Vec<_> = others
        .iter()
        .enumerate()
        .map(|(i, &node)| match i % 3 {
            0 => (node, net.dial_id(node, hub)),
            1 => (node, net.dial_address(node, hub)),
            _ => (hub, net.dial_id(hub, node)),
        })
        .collect();
    let mut data = content(1, 20_000);
    change(&mut data);
    for (i, (node, attempt)) in attempts.into_iter().enumerate() {
        let session = net.finish(node, attempt).expect("a session");
        let data = if i == 49 { &data[..] } else { &data[..1000 + 100 * i] };
        net.session(node, session).send_message(Priority::default(), data, true).expect("room");
    }
    net.run_for(Duration::from_secs(20));
    net
}

#[test]
fn the_same_seed_gives_the_same_bytes_twice_and_another_seed_others() {
    let first = busy_run(1, |_| {});
    assert!(first.sent > 1000, "{} datagrams", first.sent);
    assert_eq!(first.nodes.first().map(|hub| hub.engine.sessions().count()), Some(50));
    let second = busy_run(1, |_| {});
    assert_eq!((first.sent, first.hash()), (second.sent, second.hash()));
    assert!(first.wire == second.wire);
    assert_ne!(first.hash(), busy_run(2, |_| {}).hash());
}

#[test]
fn one_changed_byte_changes_the_hash() {
    let first = busy_run(1, |_| {});
    let changed = busy_run(1, |data| data[19_999] ^= 1);
    assert_eq!(first.sent, changed.sent, "the byte changes no decision");
    assert_ne!(first.hash(), changed.hash());
    let (Some(first), Some(changed)) = (&first.wire, &changed.wire) else { panic!("the wire was logged") };
    assert!(first.iter().zip(changed).any(|(a, b)| a.data != b.data && a.data.len() == b.data.len()));
}

#[test]
fn every_weather_is_repeatable() {
    seeds(6, |seed| assert_eq!(busy_run(seed + 10, |_| {}).hash(), busy_run(seed + 10, |_| {}).hash()));
}

/// A short run whose engines are all made from the same seed, whatever the network's.
fn run_with_engine_seed(engine_seed: u8, wall: i64, key: u64) -> Vec<Wire> {
    let mut net = Net::new(key);
    net.wire = Some(Vec::new());
    let nodes: Vec<_> = (0..2)
        .map(|_| {
            net.add_with(|setup| {
                setup.seed = [engine_seed; 32];
                setup.skew = wall;
            })
        })
        .collect();
    let (at_a, _) = net.connect(nodes[0], nodes[1]);
    net.session(nodes[0], at_a).send_message(Priority::default(), &[0; 10_000], false).expect("room");
    net.run_for(Duration::from_secs(5));
    net.wire.take().unwrap_or_default()
}

/// Every run of sixteen bytes in what was sent, but for the fields that are random and no keys.
fn blocks(wire: &[Wire]) -> BTreeSet<&[u8]> {
    wire.iter().flat_map(|w| w.data.windows(16)).collect()
}

/// A virtual machine restored from a snapshot starts with the seed that it had.
#[test]
fn a_seed_used_twice_repeats_no_key() {
    let first = run_with_engine_seed(1, 0, 1);
    assert_eq!(first, run_with_engine_seed(1, 0, 1), "all else being equal it is the same run");
    // At another time, or with another identity.
    for (what, other) in [
        ("a millisecond later", run_with_engine_seed(1, 1, 1)),
        ("another key", run_with_engine_seed(1, 0, 2)),
    ] {
        assert_eq!(first.len(), other.len(), "{what}");
        let (first, other) = (blocks(&first), blocks(&other));
        let shared: Vec<_> = first.intersection(&other).collect();
        assert_eq!(shared, Vec::<&&[u8]>::new(), "{what}: sixteen equal bytes");
    }
}

#[test]
fn two_nodes_of_one_seed_share_no_key() {
    let mut net = Net::new(1);
    net.wire = Some(Vec::new());
    let hub = net.add();
    let nodes: Vec<_> = (0..4).map(|_| net.add_with(|setup| setup.seed = [1; 32])).collect();
    for &node in &nodes {
        net.connect(node, hub);
    }
    let wire = net.wire.take().unwrap_or_default();
    let mut seen = BTreeSet::new();
    for datagram in &wire {
        for block in blocks(std::slice::from_ref(datagram)) {
            assert!(seen.insert(block), "sixteen equal bytes");
        }
    }
}

/// Drivers differ in when and how they poll; what arrives must not.
#[test]
fn how_a_driver_polls_changes_nothing_for_the_application() {
    seeds(10, |seed| {
        for no_gro in [false, true] {
            let mut net = Net::new(seed);
            net.driving.no_gro = no_gro;
            net.driving.spurious = 500;
            let (a, b) = (net.add(), net.add());
            let (at_a, at_b) = net.connect(a, b);
            let data = content(seed, 100_000);
            net.session(a, at_a).send_message(Priority::default(), &data, false).expect("room");
            let mut received = None;
            net.run_until("it arrives", |net| {
                received = net.session(b, at_b).recv_message();
                received.is_some()
            });
            assert_eq!(received.map(|m| m.data), Some(data));
        }
    });
}
