use crust_proto::Duration;

use super::testing::*;
use crate::link::{Bursts, LinkConfig, Oversize};
use crate::packet::Packet;
use crate::world::Sight;
use crate::{HostEvent, NetError, Rng, TcpState};

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
