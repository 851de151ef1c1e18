use std::sync::{Arc, Mutex};

use super::testing::*;
use super::*;
use crate::link::LinkConfig;

/// A run with every fault: what was received, and the hash. Where `swapped`, two words of one payload change places,
/// which no checksum shows.
fn noisy(seed: u64, swapped: bool) -> (u64, [u8; 32]) {
    let Line { mut world, a, b, wires, .. } = natted(seed, 2, |_| {});
    for (left, right) in &wires {
        for interface in [*left, *right] {
            *world.link_mut(interface) = LinkConfig {
                jitter: millis(5),
                loss: 20_000,
                reorder: 20_000,
                duplicate: 20_000,
                corrupt: 20_000,
                rate: Some(5_000_000),
                ..LinkConfig::default()
            };
        }
    }
    let (one, two) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    let mut got = 0;
    for number in 0..200u8 {
        let mut payload = [number; 500];
        if number == 100 {
            payload[..4].copy_from_slice(if swapped { &[3, 4, 1, 2] } else { &[1, 2, 3, 4] });
        }
        world.udp_send(one, at(B4), SEND, &payload).unwrap();
        world.run_for(millis(1));
        got += std::iter::from_fn(|| recv(&mut world, two)).count() as u64;
    }
    world.run_for(millis(1000));
    (got, world.hash())
}

#[test]
fn a_seed_has_one_hash_and_another_seed_another_and_the_bytes_count() {
    let mut hashes = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let (got, hash) = noisy(seed, false);
        assert!(got > 100);
        assert_eq!((got, hash), noisy(seed, false));
        assert!(hashes.insert(hash), "two seeds with one hash");
    }
    // Nothing else differs: not when, not where, not how long, and no header.
    assert_ne!(noisy(1, false).1, noisy(1, true).1);
}

/// Changes whenever what happens in the world, or what is hashed of it, is meant to change.
#[test]
fn a_run_has_this_hash_on_every_machine_in_debug_and_release() {
    let hex: String = noisy(7, false).1.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "2676a7069448180477b08c81255304bb1b8ce12408875b8a5eb53e89324b7638");
}

#[test]
fn a_tap_sees_each_packet_at_each_place() {
    let Line { mut world, a, b, wires, routers } = line(1, 1);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    world.set_tap(Some(Box::new(move |tapped| {
        log.lock().unwrap().push((tapped.host, tapped.interface, tapped.sight, tapped.packet.ttl()));
    })));
    let one = bind(&mut world, a, "0.0.0.0:5");
    bind(&mut world, b, "0.0.0.0:7");
    world.udp_send(one, at(B4), SEND, b"x").unwrap();
    world.run_for(millis(10));
    let expected = [
        (a, Some(wires[0].0), Sight::Sent, 64),
        (routers[0], Some(wires[0].1), Sight::Arrived, 64),
        (routers[0], Some(wires[1].0), Sight::Sent, 63),
        (b, Some(wires[1].1), Sight::Arrived, 63),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn whoever_looks_sees_checksums_that_hold_however_late_and_changed_on_the_way() {
    let Line { mut world, a, b, .. } = natted(1, 2, |_| {});
    let one = bind(&mut world, a, "0.0.0.0:5");
    bind(&mut world, b, "0.0.0.0:7");
    world.udp_send(one, at(B4), SEND, b"looked at on its way").unwrap();
    world.step();
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    world.set_tap(Some(Box::new(move |tapped| {
        let packet = Packet::parse(tapped.packet.bytes().to_vec()).unwrap();
        assert!(packet.checksum_holds() && packet.checksum() != 0, "{packet:?}");
        *count.lock().unwrap() += 1;
    })));
    world.udp_send(one, at(B4), SEND, b"looked at from the start").unwrap();
    world.run_for(millis(100));
    assert!(*seen.lock().unwrap() > 6);
}

#[test]
fn a_tap_changes_nothing() {
    let run = |tapped: bool| {
        let Line { mut world, a, .. } = line(1, 2);
        if tapped {
            world.set_tap(Some(Box::new(|_| {})));
        }
        let one = bind(&mut world, a, "0.0.0.0:5");
        world.udp_send(one, at(B4), SEND, b"x").unwrap();
        world.run_for(millis(50));
        world.hash()
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn memory_grows_with_the_world_and_not_with_its_age() {
    let Line { mut world, a, b, .. } = natted(1, 2, |_| {});
    let (one, two) = (bind(&mut world, a, "0.0.0.0:5"), bind(&mut world, b, "0.0.0.0:7"));
    let mut most = (0, 0, 0);
    for round in 0..5000 {
        for _ in 0..10 {
            world.udp_send(one, at(B4), SEND, b"x").unwrap();
        }
        let now = world.now();
        world.at(now, |_| {});
        world.run_for(millis(10));
        while recv(&mut world, two).is_some() {}
        events(&mut world);
        let now = (world.moving.len(), world.buffers.len(), world.actions.len());
        if round == 10 {
            most = now;
        }
        assert!(round < 10 || now == most, "{now:?} after {most:?}");
        assert!(world.heap.is_empty());
    }
}
