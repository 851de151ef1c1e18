//! A peer's address changes and the session goes on; but nobody else can take its place.

use crust_proto::{Dir, Duration, Event, Priority, SessionId};
use std::net::SocketAddr;

use crate::app::content;
use crate::net::{Net, Setup, Wire, seeds};

fn patient(setup: &mut Setup) {
    setup.config.handshake.timeout = Duration::from_secs(120);
}

fn pair(net: &mut Net) -> [(usize, SessionId); 2] {
    let (a, b) = (net.add_with(patient), net.add_with(patient));
    let (at_a, at_b) = net.connect(a, b);
    [(a, at_a), (b, at_b)]
}

fn remote(net: &Net, (node, session): (usize, SessionId)) -> Option<SocketAddr> {
    net.nodes[node].engine.session(session).and_then(|s| s.remote_address())
}

/// Moves so many bytes from one to the other, with something happening every so often meanwhile.
fn transfer(
    net: &mut Net,
    from: (usize, SessionId),
    to: (usize, SessionId),
    len: u64,
    every: Duration,
    happens: impl Fn(&mut Net),
) {
    let data = content(net.seed, len);
    let stream = net.session(from.0, from.1).open(Dir::Uni).expect("open").expect("there may be one");
    let mut written = 0;
    let mut accepted = false;
    let mut read = Vec::new();
    let mut next = net.now + every;
    net.run_until("everything arrives", |net| {
        if next <= net.now {
            happens(net);
            next = net.now + every;
            net.look_again(every);
        }
        while written < data.len() {
            match net.session(from.0, from.1).write(stream, &data[written..]) {
                Ok(n) => written += n,
                Err(_) => break,
            }
            if written == data.len() {
                net.session(from.0, from.1).finish(stream).expect("may be finished");
            }
        }
        accepted = accepted || net.session(to.0, to.1).accept(Dir::Uni).is_some();
        let mut buffer = [0; 8192];
        if !accepted {
            return false;
        }
        loop {
            match net.session(to.0, to.1).read(stream, &mut buffer) {
                Ok(0) => return true,
                Ok(n) => read.extend_from_slice(&buffer[..n]),
                Err(_) => return false,
            }
        }
    });
    assert!(read == data, "not a byte is lost");
}

#[test]
fn a_nat_that_rebinds_in_mid_transfer_costs_no_byte() {
    seeds(30, |seed| {
        for mover_sends in [true, false] {
            let mut net = if seed < 5 { Net::new(seed) } else { Net::stormy(seed) };
            net.weather.rate = Some(300_000);
            let [a, b] = pair(&mut net);
            let (from, to) = if mover_sends { (a, b) } else { (b, a) };
            // Longer than a challenge takes there and back, queue included: whoever moves faster than answers
            // travel is beyond anybody's reach.
            let slowest = 2 * (4 * net.weather.latency + net.weather.jitter) + Duration::from_millis(200);
            let every = 2 * slowest + Duration::from_millis(net.rng.below(3000));
            transfer(&mut net, from, to, 600_000, every, |net| net.rebind(a.0));
            assert_eq!((net.closed(a.0, a.1), net.closed(b.0, b.1)), (None, None));
            let announced = net.events(b.0).iter().filter(|e| matches!(e, Event::Connected { .. })).count();
            assert_eq!(announced, 1);
        }
    });
}

/// Once each has lost the other's address nobody can tell either the new one: a second NAT rebinds only after
/// the first one's peer has followed.
#[test]
fn both_nats_may_rebind_though_not_at_once() {
    seeds(20, |seed| {
        let mut net = Net::stormy(seed);
        net.weather.rate = Some(300_000);
        let [a, b] = pair(&mut net);
        let rebound = std::cell::Cell::new(0);
        transfer(&mut net, a, b, 600_000, Duration::from_millis(500), |net| {
            let known = |at, of: (usize, SessionId)| remote(net, at) == Some(net.address(of.0));
            if known(a, b) && known(b, a) {
                net.rebind(if rebound.get() % 2 == 0 { a.0 } else { b.0 });
                rebound.set(rebound.get() + 1);
            }
        });
        assert!(rebound.get() >= 2, "{} times", rebound.get());
        assert_eq!((net.closed(a.0, a.1), net.closed(b.0, b.1)), (None, None));
    });
}

#[test]
fn the_other_side_is_told_of_the_new_address_once_it_is_proven() {
    let mut net = Net::new(1);
    let [a, b] = pair(&mut net);
    net.settle();
    let old = net.address(a.0);
    assert_eq!(remote(&net, b), Some(old));
    net.rebind(a.0);
    let new = net.address(a.0);
    net.session(a.0, a.1).send_message(Priority::default(), b"from elsewhere", false).expect("room");
    net.run_for(Duration::from_secs(2));
    assert_eq!(remote(&net, b), Some(new));
    let changes: Vec<_> = net
        .events(b.0)
        .iter()
        .filter_map(|e| match e {
            Event::AddressChanged { from, to, .. } => Some((*from, *to)),
            _ => None,
        })
        .collect();
    assert_eq!(changes, [(old, new)]);
}

#[test]
fn an_idle_session_survives_a_rebinding() {
    for mover in [0, 1] {
        let mut net = Net::new(2);
        let ends = pair(&mut net);
        net.settle();
        let (mover, other) = (ends[mover], ends[1 - mover]);
        net.rebind(mover.0);
        net.run_for(Duration::from_secs(30));
        net.session(other.0, other.1)
            .send_message(Priority::default(), b"where are you?", false)
            .expect("room");
        let begun = net.now;
        net.run_until("it arrives", |net| net.session(mover.0, mover.1).recv_message().is_some());
        assert!(net.now.saturating_since(begun) < Duration::from_secs(1), "keep-alives had told the way");
    }
}

/// What may be sent to an address that is not validated is spent, and the answer to the challenge has gone to where
/// we were: only a handshake of its own, which the peer answers wherever it comes from, ends the silence.
#[test]
fn who_moves_before_the_peers_address_is_validated_finds_it_again() {
    let mut net = Net::new(6);
    let [a, b] = pair(&mut net);
    let data = content(1, 100_000);
    let stream = net.session(b.0, b.1).open(Dir::Uni).expect("open").expect("there may be one");
    assert_eq!(net.session(b.0, b.1).write(stream, &data), Ok(data.len()));
    net.session(b.0, b.1).finish(stream).expect("may be finished");
    net.run_for(Duration::from_millis(1));
    net.rebind(b.0);
    let begun = net.now;
    net.run_until("it is heard again", |net| remote(net, a) == Some(net.address(b.0)));
    let silent = net.now.saturating_since(begun);
    assert!(silent < Duration::from_secs(20), "silent for {silent:?}");
    net.run_until("all arrives", |net| {
        net.events(b.0).contains(&Event::StreamFinished { session: b.1, stream })
    });
}

#[test]
fn copies_from_another_address_do_not_steal_the_path() {
    seeds(20, |seed| {
        let mut net = if seed < 5 { Net::new(seed) } else { Net::stormy(seed) };
        net.weather.rate = Some(500_000);
        let [a, b] = pair(&mut net);
        let thief = SocketAddr::from(([10, 66, 6, 6], 666));
        let mut rng = net.rng.clone();
        // It sees everything, and its copies arrive before the originals.
        net.tap = Some(Box::new(move |wire: &Wire| match rng.chance(300) {
            true => vec![Wire { from: thief, ..wire.clone() }],
            false => Vec::new(),
        }));
        transfer(&mut net, a, b, 300_000, Duration::from_secs(3600), |_| {});
        net.tap = None;
        net.run_for(Duration::from_secs(20));
        assert_eq!(remote(&net, b), Some(net.address(a.0)));
        assert_eq!(remote(&net, a), Some(net.address(b.0)));
        let stolen: usize = net.stray.iter().filter(|w| w.to == thief).map(|w| w.data.len()).sum();
        assert!(stolen < 60_000, "{stolen} bytes went to the thief");
    });
}

/// RFC 9000 §9.3.1: until an address is proven, it gets at most three times what came from it.
#[test]
fn an_unproven_address_is_not_flooded() {
    let mut net = Net::new(3);
    let [a, b] = pair(&mut net);
    net.settle();
    // b has much to say to a; one datagram of a's arrives from a victim's address first.
    let victim = SocketAddr::from(([10, 66, 6, 6], 666));
    let stream = net.session(b.0, b.1).open(Dir::Uni).expect("open").expect("there may be one");
    net.session(b.0, b.1).write(stream, &content(1, 1 << 20)).expect("room");
    let from = net.address(a.0);
    let mut left = 1;
    net.tap = Some(Box::new(move |wire: &Wire| {
        if wire.from == from && left > 0 {
            left -= 1;
            return vec![Wire { from: victim, ..wire.clone() }];
        }
        Vec::new()
    }));
    net.session(a.0, a.1).send_message(Priority::default(), &content(2, 500), false).expect("room");
    net.run_for(Duration::from_secs(10));
    let sent: usize = net.stray.iter().filter(|w| w.to == victim).map(|w| w.data.len()).sum();
    assert!(sent <= 3 * 1200, "{sent} bytes to a victim");
    assert_eq!(remote(&net, b), Some(from));
}

#[test]
fn a_small_path_mtu_from_the_start_is_no_obstacle() {
    seeds(20, |seed| {
        let mut net = Net::new(seed);
        net.weather.mtu = 1200;
        let [a, b] = pair(&mut net);
        transfer(&mut net, a, b, 200_000, Duration::from_secs(3600), |_| {});
    });
}

#[test]
fn a_blocked_socket_delays_and_loses_nothing() {
    seeds(20, |seed| {
        let mut net = Net::new(seed);
        net.driving.full = 500;
        net.driving.late = Duration::from_millis(30);
        net.driving.spurious = 500;
        let [a, b] = pair(&mut net);
        transfer(&mut net, a, b, 200_000, Duration::from_secs(3600), |_| {});
        let lost = net.nodes[a.0].engine.session(a.1).expect("open").stats().packets_lost;
        assert!(lost < 30, "{lost} taken for lost though none was");
    });
}

#[test]
fn a_system_without_segmentation_offload_loses_nothing() {
    let mut net = Net::new(4);
    net.driving.no_segmentation = 1000;
    let [a, b] = pair(&mut net);
    transfer(&mut net, a, b, 500_000, Duration::from_secs(3600), |_| {});
}

#[test]
fn congestion_marks_are_heeded_and_cost_nothing() {
    let window = |congested| {
        let mut net = Net::new(5);
        net.weather.congested = congested;
        let [a, b] = pair(&mut net);
        transfer(&mut net, a, b, 500_000, Duration::from_secs(3600), |_| {});
        let stats = net.nodes[a.0].engine.session(a.1).expect("open").stats();
        assert_eq!(stats.packets_lost, 0, "{congested} in a thousand marked");
        stats.congestion_window
    };
    let (marked, unmarked) = (window(100), window(0));
    assert!(marked * 4 < unmarked, "{marked} bytes, and {unmarked} where no router is congested");
}

/// The mover falls silent after its first packet: its new address is never proven.
#[test]
fn an_address_gets_nothing_but_challenges_until_it_has_answered_one() {
    seeds(20, |seed| {
        let mut net = Net::new(seed);
        let [a, b] = pair(&mut net);
        net.settle();
        net.rebind(a.0);
        let new = net.address(a.0);
        let stream = net.session(b.0, b.1).open(Dir::Uni).expect("open").expect("there may be one");
        let message = content(seed, 1 + net.rng.below(900));
        net.session(a.0, a.1).send_message(Priority::default(), &message, false).expect("room");
        net.run_for(Duration::from_millis(1));
        net.link(a.0, b.0).blocked = true;
        net.wire = Some(Vec::new());
        net.session(b.0, b.1).write(stream, &content(1, 1 << 20)).expect("room");
        net.run_for(Duration::from_secs(20));
        let wire = net.wire.take().unwrap_or_default();
        let lengths: Vec<_> = wire.iter().filter(|w| w.to == new).map(|w| w.data.len()).collect();
        assert!(!lengths.is_empty() && lengths.len() <= 5, "{lengths:?}");
        // Head, frame and tag.
        assert!(lengths.iter().all(|&len| len == 16 + 9 + 16), "{lengths:?}");
    });
}
