use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crust_async::{CloseReason, Connection};

use super::ledger::{Ledger, Talk};
use super::*;
use crate::record::RecordLimits;
use crate::world::WORLD_BEGINS;
use crate::{LinkConfig, SendOptions, UdpOptions, World};

#[test]
fn recording_changes_no_hash() {
    let recorder = Recorder::new(RecordLimits { packets: 1_000, every: Duration::from_secs(1) });
    let (plain, recorded) = (run(3, None), run(3, Some(&recorder)));
    assert_eq!((plain.failure, plain.hash), (recorded.failure, recorded.hash));
}

/// Two nodes with a connection, and the ledger in which the first of them has begun to talk.
fn talking(test: impl FnOnce(&Sim, Ledger, Talk, &Connection)) {
    let sim = Sim::new(1);
    let (a, b) = sim.pair(LinkConfig::default());
    sim.run(async {
        let (a, b) = (sim.builder(a).bind().await.unwrap(), sim.builder(b).bind().await.unwrap());
        let connection = a.connect(b.contact()).await.unwrap();
        let mut ledger = Ledger::new(2, 0);
        let talk = ledger.begin(0, 1, &connection, sim.now()).0.expect("the first");
        test(&sim, ledger, talk, &connection);
    });
}

#[test]
fn what_was_acknowledged_and_never_read_is_a_broken_promise_unless_the_reader_left() {
    talking(|sim, mut ledger, talk, connection| {
        let now = sim.now();
        assert!(ledger.begin(0, 1, connection, now).0.is_none(), "one talk a connection");
        ledger.send(7, talk, "stream", 100);
        assert!(ledger.broken_promise().is_some_and(|what| what.contains("still under way")));
        ledger.sent(7, true);
        assert!(ledger.broken_promise().is_some_and(|what| what.contains("never read")));
        ledger.read(7, 100, now);
        assert_eq!((ledger.broken_promise(), &ledger.failure), (None, &None));

        ledger.send(8, talk, "stream", 100);
        ledger.sent(8, true);
        drop(ledger.down(1, now));
        assert_eq!(ledger.broken_promise(), None, "its reader crashed");

        ledger.send(9, talk, "stream", 100);
        ledger.read(9, 99, now);
        assert!(ledger.failure.as_ref().is_some_and(|what| what.contains("after 99 of 100 bytes")));
        ledger.failure = None;
        ledger.read(9, 100, now);
        assert!(ledger.failure.is_some_and(|what| what.contains("arrived twice")));
    });
}

#[test]
fn a_connection_may_not_end_as_its_peer_never_said() {
    talking(|sim, mut ledger, talk, _| {
        let now = sim.now();
        let said = CloseReason::ByPeer { code: 5, reason: b"so".to_vec().into() };
        let peer = Talk { from: 1, to: 0, ..talk };
        ledger.say(peer, 5, b"so");
        ledger.judge(talk, &said, now);
        assert_eq!(ledger.failure, None);
        for wrong in [
            CloseReason::ByPeer { code: 6, reason: b"so".to_vec().into() },
            CloseReason::KeysUsedUp,
            CloseReason::Protocol { code: 1 << 33, reason: Default::default() },
        ] {
            ledger.judge(talk, &wrong, now);
            assert!(ledger.failure.take().is_some(), "{wrong:?}");
        }
    });
}

#[test]
fn a_datagram_arrives_once_at_most() {
    talking(|sim, mut ledger, talk, _| {
        for number in 0..3 {
            ledger.hear_datagram(talk.id, number, sim.now());
        }
        ledger.hear_datagram(talk.id + 1, 2, sim.now());
        assert_eq!(ledger.failure, None);
        ledger.hear_datagram(talk.id, 1, sim.now());
        assert!(ledger.failure.is_some_and(|what| what.contains("arrived twice")));
    });
}

#[test]
fn a_connection_made_long_enough_after_the_faults_must_last() {
    let settled = Duration::from_secs(30);
    talking(|_, mut ledger, talk, _| {
        let calm = Instant::ZERO + Duration::from_secs(100);
        let must = |ledger: &Ledger, began| ledger.must_last(Talk { began, ..talk }, settled);
        assert!(!must(&ledger, calm + settled), "in the storm nothing must");
        ledger.enter(Phase::Calm, calm);
        assert!(must(&ledger, calm + settled));
        assert!(!must(&ledger, calm + settled - Duration::from_nanos(1)));
        ledger.enter(Phase::Closing, calm);
        assert!(!must(&ledger, calm + settled));
    });
}

/// A world of that seed in which nothing has happened yet.
fn swarm(sim: &Sim) -> Swarm<'_> {
    Swarm::new(sim, None, |_, _| {})
}

/// The first seed whose pairs are such.
fn seed_with(wanted: impl Fn(&setting::Pair) -> bool) -> u64 {
    (0..).find(|seed| swarm(&Sim::new(*seed)).setting.pairs.iter().any(&wanted)).unwrap_or_default()
}

#[test]
fn what_is_not_as_it_should_be_in_the_calm_is_named() {
    let sim = Sim::new(seed_with(|pair| !pair.possible));
    let mut swarm = swarm(&sim);
    swarm.setting.pairs.sort_by_key(|pair| !pair.possible);
    let pairs = swarm.setting.pairs.clone();
    let says = |swarm: &Swarm<'_>, words: &str| {
        let unsettled = swarm.unsettled();
        assert!(unsettled.as_ref().is_some_and(|what| what.contains(words)), "{words}: {unsettled:?}");
    };
    let place = swarm.setting.places[0].host;
    sim.world().crash(place);
    says(&swarm, "is not up");
    sim.world().restart(place);
    for (nth, pair) in pairs.iter().enumerate() {
        let words = if pair.possible { "are not connected" } else { "were not told that they can't be" };
        for end in 0..2 {
            says(&swarm, words);
            let mut ledger = swarm.apps.ledger();
            let meeting = &mut ledger.pairs[nth];
            // The other of the two proves nothing.
            (meeting.heard, meeting.refused) = ([!pair.possible; 2], [pair.possible; 2]);
            let wanted = if pair.possible { &mut meeting.heard } else { &mut meeting.refused };
            (wanted[end], wanted[1 - end]) = (true, end > 0);
        }
    }
    assert_eq!(swarm.unsettled(), None);
    let talk = Talk { id: 1, from: 0, to: 1, began: Instant::ZERO };
    swarm.apps.ledger().send(7, talk, "stream", 100);
    says(&swarm, "is still under way");
}

#[test]
fn what_nodes_hold_while_they_have_a_connection_is_seen_and_gone_when_all_is_closed() {
    let sim = Sim::new(seed_with(|pair| pair.possible));
    let mut swarm = swarm(&sim);
    sim.run(async {
        (0..swarm.setting.places.len()).for_each(|place| swarm.start(place));
        swarm.calm().await.expect("no fault, so all is well");
        assert!(swarm.held().is_some_and(|held| held.contains("still holds")));
        swarm.close().await.expect("closed");
        assert_eq!(swarm.held(), None);
    });
}

/// Plays a swarm's whole life with something planted in its world.
fn planted(seed: u64, plant: impl FnOnce(&mut World, &mut Setting)) -> String {
    run_in(seed, None, plant).failure.expect("it is found out")
}

#[test]
fn who_meets_though_it_was_called_hopeless_is_found_out() {
    let found = planted(seed_with(|pair| pair.possible), |_, setting| {
        setting.pairs.iter_mut().for_each(|pair| pair.possible = false);
    });
    assert!(found.contains("which is hopeless"), "{found}");
}

#[test]
fn whoever_talks_when_nobody_has_a_connection_is_found_out() {
    // A program on the core that says something now and then, for ever.
    fn chatter(world: &mut World, socket: crate::UdpId) {
        let to = (Ipv4Addr::LOCALHOST, 9).into();
        world.udp_send(socket, to, SendOptions::default(), b"still here").expect("it leaves");
        let next = world.now() + Duration::from_secs(7);
        world.at(next, move |world| chatter(world, socket));
    }
    let found = planted(1, |world, setting| {
        let any = (Ipv4Addr::UNSPECIFIED, 0).into();
        let socket = world.udp_bind(setting.core, any, UdpOptions::default()).expect("a socket");
        chatter(world, socket);
    });
    assert!(found.contains("datagrams, and nobody has a connection"), "{found}");
}

#[test]
fn a_wire_that_stays_out_after_the_storm_is_found_out() {
    fn cut(world: &mut World, wires: Vec<crate::InterfaceId>) {
        wires.iter().for_each(|wire| world.link_mut(*wire).up = false);
        let next = world.now() + Duration::from_millis(500);
        world.at(next, move |world| cut(world, wires));
    }
    // The first place is a site of its own.
    let seed = seed_with(|pair| pair.possible && pair.places.contains(&0));
    let found = planted(seed, |world, setting| {
        cut(world, setting.wires.iter().map(|wire| wire.interface).collect());
    });
    assert!(found.contains("after 180s") && found.contains("are not connected"), "{found}");
}

#[test]
fn every_kind_of_fault_happens() {
    let mut left: BTreeSet<Fault> = Fault::ALL.into();
    for seed in 0..100 {
        let sim = Sim::new(seed);
        let mut swarm = swarm(&sim);
        // The applications have nothing to do with it.
        sim.run(swarm.storm()).expect("nobody is there who could complain");
        left.retain(|fault| !swarm.struck.contains(fault));
    }
    assert_eq!(left, BTreeSet::new(), "never happened");
}

#[test]
fn what_a_fault_has_done_is_undone() {
    let mut felt = BTreeSet::new();
    for seed in 0..20 {
        let sim = Sim::new(seed);
        let swarm = swarm(&sim);
        let setting @ Setting { places, wires, routers, .. } = &swarm.setting;
        let (mut world, mut rng) = (sim.world(), Rng::new(seed));
        for fault in Fault::ALL {
            let Some((effect, words)) = strike(fault, setting, &mut world, &mut rng) else { continue };
            let changed = match effect {
                Effect::Wire(wire) | Effect::Outage(wire) => {
                    *world.link_mut(wires[wire].interface) != wires[wire].healthy
                }
                Effect::Interface(place) => !world.is_interface_up(places[place].interface),
                Effect::Asleep(place) | Effect::Down(place) => world.power(places[place].host) != Power::Up,
                Effect::Router(router) => world.power(routers[router].host) != Power::Up,
                Effect::Clock(_) | Effect::Lan(_) | Effect::Done => false,
            };
            felt.extend(changed.then_some(fault));
            world.run_for(Duration::from_secs(1));
            undo(effect, setting, &mut world);
            for wire in wires {
                assert_eq!(*world.link_mut(wire.interface), wire.healthy, "seed {seed}: {words}");
            }
            let hosts = places.iter().map(|place| place.host).chain(routers.iter().map(|router| router.host));
            let hosts: Vec<_> = hosts.map(|host| (host, world.host_now(host))).collect();
            world.run_for(Duration::from_secs(10));
            let passed = world.now().saturating_since(Instant::ZERO);
            for (host, before) in hosts {
                assert_eq!(world.power(host), Power::Up, "seed {seed}: {words}");
                let clocks = (world.host_now(host).saturating_since(before), world.host_wall(host));
                assert_eq!(clocks, (Duration::from_secs(10), WORLD_BEGINS + passed), "seed {seed}: {words}");
            }
        }
    }
    use Fault::{Bursts, Corrupt, Crash, Duplicate, Interface, Jitter, Loss, Mtu, Outage, Rate, Reorder};
    let felt_once = [
        [Loss, Bursts, Jitter, Reorder, Duplicate, Corrupt].as_slice(),
        &[Mtu, Rate, Outage, Interface, Crash, Fault::RouterCrash, Fault::Suspend],
    ];
    let never: Vec<_> = felt_once.concat().into_iter().filter(|fault| !felt.contains(fault)).collect();
    assert!(never.is_empty(), "nothing came of {never:?}");
}
