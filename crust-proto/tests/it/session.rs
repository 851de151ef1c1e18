//! A session's life between handshake and end: alive while idle, closed with words, found dead in time.

use bytes::Bytes;
use crust_proto::{CloseReason, Dir, Duration, Event, Priority, SessionClosed, SessionId, SessionLoad};

use crate::app::content;
use crate::net::{Link, Net, Setup, Wire, seeds};

fn patient(setup: &mut Setup) {
    setup.config.handshake.timeout = Duration::from_secs(120);
}

fn pair(net: &mut Net, change: impl Fn(&mut Setup)) -> [(usize, SessionId); 2] {
    let (a, b) = (net.add_with(&change), net.add_with(&change));
    let (at_a, at_b) = net.connect(a, b);
    [(a, at_a), (b, at_b)]
}

fn by_peer(code: u64, reason: &'static [u8]) -> Option<CloseReason> {
    Some(CloseReason::ByPeer { code, reason: Bytes::from_static(reason) })
}

#[test]
fn keep_alives_keep_an_idle_session() {
    let mut net = Net::new(1);
    let [a, b] = pair(&mut net, |_| {});
    net.settle();
    let before = net.sent;
    net.run_for(Duration::from_secs(600));
    assert_eq!((net.closed(a.0, a.1), net.closed(b.0, b.1)), (None, None));
    let sent = net.sent - before;
    // One every 15 s from either side and its acknowledgement, at most.
    assert!((40..=160).contains(&sent), "{sent} datagrams in ten minutes");
}

#[test]
fn no_nat_forgets_a_mapping_in_between() {
    let mut net = Net::new(2);
    let [a, b] = pair(&mut net, |_| {});
    net.wire = Some(Vec::new());
    net.run_for(Duration::from_secs(300));
    for (node, _) in [a, b] {
        let address = net.address(node);
        let times: Vec<_> = net.wire.iter().flatten().filter(|w| w.from == address).map(|w| w.at).collect();
        assert!(times.len() > 10);
        let gap = times.windows(2).map(|w| w[1].saturating_since(w[0])).max();
        assert!(gap < Some(Duration::from_secs(25)), "silent for {gap:?}");
    }
}

#[test]
fn without_keep_alives_an_idle_session_ends_on_both_sides() {
    let mut net = Net::new(3);
    let [a, b] = pair(&mut net, |setup| {
        setup.config.transport.keep_alive = None;
        setup.config.transport.idle_timeout = Duration::from_secs(30);
    });
    let idle = Duration::from_secs(30);
    net.run_for(Duration::from_secs(29));
    assert_eq!((net.closed(a.0, a.1), net.closed(b.0, b.1)), (None, None));
    net.run_for(Duration::from_secs(4));
    assert_eq!(net.closed(a.0, a.1), Some(CloseReason::TimedOut(idle)));
    assert_eq!(net.closed(b.0, b.1), Some(CloseReason::TimedOut(idle)));
}

#[test]
fn the_lower_idle_timeout_counts_on_both_sides() {
    let mut net = Net::new(4);
    let with = |seconds| {
        move |setup: &mut Setup| {
            setup.config.transport.keep_alive = None;
            setup.config.transport.idle_timeout = Duration::from_secs(seconds);
        }
    };
    let (a, b) = (net.add_with(with(100)), net.add_with(with(20)));
    let (at_a, at_b) = net.connect(a, b);
    net.run_for(Duration::from_secs(25));
    let end = Some(CloseReason::TimedOut(Duration::from_secs(20)));
    assert_eq!((net.closed(a, at_a), net.closed(b, at_b)), (end.clone(), end));
}

#[test]
fn one_sides_keep_alives_are_enough() {
    let mut net = Net::new(5);
    let (a, b) = (net.add(), net.add_with(|setup| setup.config.transport.keep_alive = None));
    let (at_a, at_b) = net.connect(a, b);
    net.run_for(Duration::from_secs(600));
    assert_eq!((net.closed(a, at_a), net.closed(b, at_b)), (None, None));
}

#[test]
fn close_reaches_the_peer_with_code_and_reason_though_much_is_lost() {
    seeds(100, |seed| {
        let mut net = Net::stormy(seed);
        let [a, b] = pair(&mut net, patient);
        net.session(a.0, a.1).close(4711, b"that was all");
        net.run_for(Duration::from_secs(120));
        assert_eq!(net.closed(a.0, a.1), Some(CloseReason::Here { code: 4711 }));
        assert_eq!(net.closed(b.0, b.1), by_peer(4711, b"that was all"));
        for (node, session) in [a, b] {
            let ends = net.events(node).iter().filter(|e| matches!(e, Event::Closed { .. })).count();
            assert_eq!(ends, 1);
            net.release(node, session);
        }
        net.run_for(Duration::from_secs(120));
        assert!([a, b].iter().all(|(node, _)| net.nodes[*node].engine.is_idle()), "nothing is left");
    });
}

#[test]
fn a_close_whose_first_copies_are_lost_arrives() {
    let mut net = Net::new(6);
    let [a, b] = pair(&mut net, |_| {});
    net.settle();
    net.lose = (net.sent + 1..net.sent + 4).collect();
    net.session(a.0, a.1).close(1, b"bye");
    net.run_until("the peer hears", |net| net.closed(b.0, b.1).is_some());
    assert_eq!(net.closed(b.0, b.1), by_peer(1, b"bye"));
}

#[test]
fn both_may_close_at_once() {
    seeds(20, |seed| {
        let mut net = Net::stormy(seed);
        let [a, b] = pair(&mut net, patient);
        net.session(a.0, a.1).close(1, b"a");
        net.session(b.0, b.1).close(2, b"b");
        net.run_for(Duration::from_secs(120));
        assert_eq!(net.closed(a.0, a.1), Some(CloseReason::Here { code: 1 }));
        assert_eq!(net.closed(b.0, b.1), Some(CloseReason::Here { code: 2 }));
    });
}

#[test]
fn a_closed_session_takes_nothing_and_gives_what_had_arrived() {
    let mut net = Net::new(7);
    let [a, b] = pair(&mut net, |_| {});
    let stream = net.session(a.0, a.1).open(Dir::Uni).expect("open").expect("there may be one");
    net.session(a.0, a.1).write(stream, b"last words").expect("room");
    net.session(a.0, a.1).send_message(Priority::default(), b"a last message", false).expect("room");
    net.session(a.0, a.1).send_datagram(b"a last datagram").expect("not too large");
    net.run_for(Duration::from_secs(1));
    net.session(a.0, a.1).close(0, b"");
    net.run_until("the peer hears", |net| net.closed(b.0, b.1).is_some());
    let mut session = net.session(b.0, b.1);
    let stream = session.accept(Dir::Uni).expect("it had arrived");
    let mut buffer = [0; 100];
    assert_eq!(session.read(stream, &mut buffer), Ok(10));
    assert_eq!(&buffer[..10], b"last words");
    assert_eq!(session.read(stream, &mut buffer), Err(SessionClosed.into()));
    assert_eq!(session.recv_message().map(|m| m.data), Some(b"a last message".to_vec()));
    assert_eq!(session.recv_datagram().as_deref(), Some(&b"a last datagram"[..]));
    for (node, at) in [a, b] {
        let mut session = net.session(node, at);
        assert!(session.open(Dir::Bi).is_err());
        assert_eq!(session.write(stream, b"more"), Err(SessionClosed.into()));
        assert!(session.send_message(Priority::default(), b"more", false).is_err());
        assert!(session.send_datagram(b"more").is_err());
    }
}

#[test]
fn a_graceful_close_delivers_everything_first() {
    seeds(60, |seed| {
        let mut net = Net::stormy(seed);
        if net.weather.rate.is_some() {
            net.weather.rate = Some(200_000);
        }
        let [a, b] = pair(&mut net, |setup| {
            patient(setup);
            setup.config.transport.linger = Duration::from_secs(300);
        });
        let stream = net.session(a.0, a.1).open(Dir::Uni).expect("open").expect("there may be one");
        let data = content(seed, net.rng.below(100_000));
        assert_eq!(net.session(a.0, a.1).write(stream, &data), Ok(data.len()));
        net.session(a.0, a.1).finish(stream).expect("may be finished");
        let message = content(seed + 1, net.rng.below(100_000));
        net.session(a.0, a.1).send_message(Priority::LOWEST, &message, false).expect("room");
        net.session(a.0, a.1).finish_and_close(9, b"done");
        assert!(net.session(a.0, a.1).send_message(Priority::LOWEST, b"too late", false).is_err());
        net.run_until("the peer hears", |net| net.closed(b.0, b.1).is_some());
        assert_eq!(net.closed(b.0, b.1), by_peer(9, b"done"));
        let mut session = net.session(b.0, b.1);
        let stream = session.accept(Dir::Uni).expect("it arrived");
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = session.read(stream, &mut buffer) {
            read.extend_from_slice(&buffer[..n]);
        }
        assert!(read == data, "{} of {} bytes", read.len(), data.len());
        assert_eq!(session.recv_message().map(|m| m.data), Some(message));
        net.run_until("the closer too", |net| net.closed(a.0, a.1).is_some());
        assert_eq!(net.closed(a.0, a.1), Some(CloseReason::Here { code: 9 }));
    });
}

#[test]
fn a_graceful_close_does_not_wait_for_ever() {
    let mut net = Net::new(8);
    let [a, _] = pair(&mut net, |_| {});
    net.set_weather(Link { blocked: true, ..Link::default() });
    net.session(a.0, a.1).send_message(Priority::default(), b"into the void", false).expect("room");
    net.session(a.0, a.1).finish_and_close(9, b"done");
    let linger = net.nodes[a.0].config.transport.linger;
    net.run_for(linger / 2);
    assert_eq!(net.closed(a.0, a.1), None);
    net.run_for(linger);
    assert_eq!(net.closed(a.0, a.1), Some(CloseReason::Here { code: 9 }));
}

#[test]
fn releasing_an_open_session_closes_it() {
    let mut net = Net::new(9);
    let [a, b] = pair(&mut net, |_| {});
    net.release(a.0, a.1);
    net.run_until("the peer hears", |net| net.closed(b.0, b.1).is_some());
    assert_eq!(net.closed(b.0, b.1), by_peer(0, b""));
    net.release(b.0, b.1);
    net.run_for(Duration::from_secs(120));
    assert!(net.nodes[a.0].engine.is_idle() && net.nodes[b.0].engine.is_idle());
}

#[test]
fn shutdown_closes_all_and_says_when_all_is_said() {
    let mut net = Net::new(10);
    let hub = net.add();
    let others: Vec<_> = (0..10).map(|_| net.add()).collect();
    let sessions: Vec<_> = others.iter().map(|&node| net.connect(node, hub).0).collect();
    let pending = net.dial(hub, std::net::SocketAddr::from(([10, 99, 0, 1], 9)));
    let now = net.now;
    net.engine(hub).shutdown(3, b"good night", now);
    net.run_until("all is said", |net| net.nodes[hub].engine.is_idle());
    assert!(net.nodes[hub].outcome(pending).is_some_and(|result| result.is_err()));
    for (&node, session) in others.iter().zip(sessions) {
        net.run_until("each hears", |net| net.closed(node, session).is_some());
        assert_eq!(net.closed(node, session), by_peer(3, b"good night"));
    }
    assert!(net.now.saturating_since(now) < Duration::from_secs(10));
}

#[test]
fn after_the_end_a_new_session_can_be_made() {
    for closer in [0, 1] {
        let mut net = Net::new(11);
        let ends = pair(&mut net, |_| {});
        let (closer, session) = ends[closer];
        net.session(closer, session).close(0, b"");
        let (a, b) = (ends[0].0, ends[1].0);
        if closer == b {
            // Until it hears of the end, the session that it has is the answer.
            net.run_until("it hears of the end", |net| net.closed(a, ends[0].1).is_some());
        }
        let first = net.dial_id(a, b);
        let second = net.finish(a, first).expect("a session");
        assert!(second != ends[0].1);
        let at_b = net.answered(b, a);
        net.session(a, second).send_datagram(b"hello again").expect("not too large");
        net.run_until("it carries data", |net| net.session(b, at_b).recv_datagram().is_some());
    }
}

#[test]
fn keys_are_updated_in_mid_stream_whatever_is_lost() {
    seeds(30, |seed| {
        let mut net = Net::stormy(seed);
        // An epoch lasts three probe timeouts at least: however long that takes in packets.
        net.weather.rate = Some(200_000);
        let [a, b] = pair(&mut net, |setup| {
            patient(setup);
            setup.config.transport.key_update_after = 20;
        });
        let stream = net.session(a.0, a.1).open(Dir::Uni).expect("open").expect("there may be one");
        let updates = |net: &Net, (node, session): (usize, SessionId)| {
            net.nodes[node].engine.session(session).map_or(0, |s| s.stats().key_updates)
        };
        // However fast the network is, there is data until the keys have changed a few times.
        let (mut written, mut read) = (Vec::new(), Vec::new());
        let (mut finished, mut accepted) = (false, None);
        net.run_until("everything arrives", |net| {
            while !finished && written.len() < read.len() + 100_000 {
                if written.len() >= 300_000 && updates(net, a) >= 3 {
                    net.session(a.0, a.1).finish(stream).expect("may be finished");
                    finished = true;
                    break;
                }
                let more = content(seed ^ written.len() as u64, 10_000);
                let Ok(n) = net.session(a.0, a.1).write(stream, &more) else { break };
                written.extend_from_slice(&more[..n]);
            }
            // The stream may be there before its first byte is.
            accepted = accepted.or_else(|| net.session(b.0, b.1).accept(Dir::Uni));
            let Some(stream) = accepted else { return false };
            let mut buffer = [0; 4096];
            loop {
                match net.session(b.0, b.1).read(stream, &mut buffer) {
                    Ok(0) => return true,
                    Ok(n) => read.extend_from_slice(&buffer[..n]),
                    Err(_) => return false,
                }
            }
        });
        assert!(read == written);
        for (node, session) in [a, b] {
            let stats = net.nodes[node].engine.session(session).expect("open").stats();
            let (updates, packets) = (stats.key_updates, stats.packets_sent);
            assert!(updates >= 3, "{updates} updates in {packets} packets");
        }
    });
}

#[test]
fn both_may_update_their_keys_at_once() {
    seeds(30, |seed| {
        let mut net = Net::stormy(seed);
        let [a, b] = pair(&mut net, patient);
        for i in 0..20 {
            for (node, session) in [a, b] {
                net.session(node, session).update_keys();
                net.session(node, session).send_message(Priority::default(), &[i], false).expect("room");
            }
            net.run_for(Duration::from_millis(300));
        }
        for (node, session) in [a, b] {
            let mut next = 0;
            net.run_until("twenty messages", |net| {
                while let Some(message) = net.session(node, session).recv_message() {
                    assert_eq!(message.data, [next]);
                    next += 1;
                }
                next == 20
            });
        }
    });
}

#[test]
fn a_machine_that_slept_a_little_goes_on() {
    for late in [false, true] {
        let mut net = Net::new(12);
        let [a, b] = pair(&mut net, |_| {});
        if late {
            net.session(a.0, a.1)
                .send_message(Priority::default(), b"before the sleep", false)
                .expect("room");
        }
        net.suspend(b.0, Duration::from_secs(40));
        net.session(a.0, a.1).send_message(Priority::default(), b"while it sleeps", false).expect("room");
        net.run_for(Duration::from_secs(60));
        assert_eq!((net.closed(a.0, a.1), net.closed(b.0, b.1)), (None, None));
        let received = std::iter::from_fn(|| net.session(b.0, b.1).recv_message()).count();
        assert_eq!(received, 1 + usize::from(late));
    }
}

#[test]
fn a_machine_that_slept_too_long_is_found_again() {
    let mut net = Net::new(13);
    let [a, b] = pair(&mut net, |_| {});
    net.suspend(b.0, Duration::from_secs(3600));
    net.run_for(Duration::from_secs(3600));
    assert!(matches!(net.closed(a.0, a.1), Some(CloseReason::TimedOut(_))));
    // The sleeper still believes in its session, and learns better when it wakes.
    let attempt = net.dial_id(a.0, b.0);
    net.finish(a.0, attempt).expect("a session");
    net.run_for(Duration::from_secs(90));
    assert!(net.closed(b.0, b.1).is_some());
    net.answered(b.0, a.0);
}

#[test]
fn new_keys_asked_for_too_early_come_as_soon_as_they_may() {
    let mut net = Net::new(11);
    let [a, b] = pair(&mut net, |_| {});
    // Nothing was heard in this epoch, or the last one's keys still live: neither call is forgotten.
    for changes in 1..=3 {
        net.session(a.0, a.1).update_keys();
        net.run_for(Duration::from_secs(3));
        for (node, session) in [a, b] {
            let stats = net.nodes[node].engine.session(session).expect("open").stats();
            assert_eq!(stats.key_updates, changes);
        }
    }
    net.session(a.0, a.1).update_keys();
    net.run_for(Duration::from_millis(1));
    net.session(a.0, a.1).update_keys();
    net.run_for(Duration::from_secs(3));
    assert_eq!(net.nodes[a.0].engine.session(a.1).expect("open").stats().key_updates, 5);
}

#[test]
fn the_handshake_tells_its_initiator_the_round_trip() {
    for by_id in [true, false] {
        let mut net = Net::new(12);
        let (a, b) = (net.add(), net.add());
        let attempt = if by_id { net.dial_id(a, b) } else { net.dial_address(a, b) };
        // A hello lost on the way does not count.
        net.lose.insert(1);
        let mut rtt = None;
        net.run_until("a session", |net| {
            let session = net.nodes[a].engine.sessions().next();
            rtt = session.and_then(|s| net.nodes[a].engine.session(s)).map(|s| s.stats().rtt);
            rtt.is_some()
        });
        assert_eq!(rtt, Some(Duration::from_millis(40)), "by id: {by_id}");
        net.finish(a, attempt).expect("a session");
    }
}

#[test]
fn each_side_holds_acknowledgements_back_as_long_as_it_said_of_itself() {
    let mut net = Net::new(13);
    let hold = |millis| {
        move |setup: &mut Setup| {
            setup.config.transport.max_ack_delay = Duration::from_millis(millis);
        }
    };
    let (quick, slow) = (net.add_with(hold(5)), net.add_with(hold(400)));
    let (at_quick, at_slow) = net.connect(quick, slow);
    net.settle();
    for (from, to, held) in [((slow, at_slow), quick, 5), ((quick, at_quick), slow, 400)] {
        net.session(from.0, from.1).send_message(Priority::default(), b"got it?", true).expect("room");
        let begun = net.now;
        let acked =
            |net: &mut Net| net.events(from.0).iter().any(|e| matches!(e, Event::MessageAcked { .. }));
        net.run_until("it is acknowledged", acked);
        let took = net.now.saturating_since(begun);
        assert_eq!(took, Duration::from_millis(40 + held), "held back by {to}");
        assert_eq!(net.closed(from.0, from.1), None);
    }
}

/// One side knows the round trip and soon asks after the session, the other does not yet and repeats CLOSE late.
#[test]
fn a_close_at_once_whose_first_copy_is_lost_is_heard_before_anybody_is_taken_for_restarted() {
    for lost in [1, 2, 3] {
        let mut net = Net::new(15);
        net.weather.latency = Duration::from_millis(5);
        let (a, b) = (net.add(), net.add());
        let (at_a, at_b) = net.connect(a, b);
        net.lose.extend(net.sent + 1..=net.sent + lost);
        net.session(b, at_b).close(7, b"enough");
        net.run_until("it is heard", |net| net.closed(a, at_a).is_some());
        assert_eq!(net.closed(a, at_a), by_peer(7, b"enough"), "{lost} lost");
    }
}

/// Not by a timer, nor by asking, but with its next packet.
#[test]
fn who_speaks_into_a_close_that_was_lost_hears_it_again_within_two_round_trips() {
    for settled in [false, true] {
        for trip in [5, 20, 40] {
            let mut net = Net::new(17);
            net.weather.latency = Duration::from_millis(trip);
            let (a, b) = (net.add(), net.add());
            let (at_a, at_b) = net.connect(a, b);
            if settled {
                net.settle();
            } else {
                // What was on its way when the session opened has arrived; nobody knows the round trip well.
                net.run_for(Duration::from_millis(2 * trip));
            }
            net.link(b, a).blocked = true;
            net.session(b, at_b).close(7, b"enough");
            net.run_for(Duration::from_millis(1));
            net.link(b, a).blocked = false;
            net.session(a, at_a).send_message(Priority::default(), b"are you there?", false).expect("room");
            let asked = net.nodes[a].engine.stats().hellos_sent;
            let heard = net.within(Duration::from_millis(4 * trip), |net| net.closed(a, at_a).is_some());
            assert!(heard, "settled: {settled}, {trip} ms one way");
            assert_eq!(net.closed(a, at_a), by_peer(7, b"enough"));
            assert_eq!(net.nodes[a].engine.stats().hellos_sent, asked, "nobody had to ask");
        }
    }
}

#[test]
fn who_asks_after_a_session_that_is_being_closed_hears_that_it_is() {
    let mut net = Net::new(16);
    let (a, b) = (net.add(), net.add());
    let (at_a, at_b) = net.connect(a, b);
    net.settle();
    net.session(a, at_a).send_message(Priority::default(), b"hello?", false).expect("room");
    net.link(b, a).blocked = true;
    net.session(b, at_b).close(7, b"enough");
    // Long enough for the question, not for our patience.
    net.run_for(Duration::from_secs(3));
    net.link(b, a).blocked = false;
    net.run_for(Duration::from_secs(30));
    assert_eq!(net.closed(a, at_a), by_peer(7, b"enough"));
    assert_eq!(net.announced(b, &net.id(a)), [at_b], "nothing new came of the question");
}

/// Whoever may not be sent a goodbye yet is not waited for by a timer that has nothing to do. (The network fails
/// where one does.)
#[test]
fn closing_towards_an_address_that_is_not_validated_wakes_nobody_in_vain() {
    let mut net = Net::new(14);
    let (a, b) = (net.add(), net.add());
    let (home, elsewhere) = (net.address(a), std::net::SocketAddr::from(([10, 66, 0, 1], 66)));
    let mut sent = 0;
    // All but its hello comes from another address, which has shown little of itself.
    net.tap = Some(Box::new(move |wire: &Wire| {
        let moved = wire.from == home && sent > 0;
        sent += u32::from(wire.from == home);
        if moved { vec![Wire { from: elsewhere, ..wire.clone() }] } else { Vec::new() }
    }));
    let attempt = net.dial_id(a, b);
    net.run_for(Duration::from_millis(1));
    net.link(a, b).blocked = true;
    net.finish(a, attempt).expect("a session");
    let at_b = net.answered(b, a);
    net.tap = None;
    net.session(b, at_b).close(1, b"go away");
    net.run_for(Duration::from_secs(6));
    net.release(b, at_b);
    assert!(net.nodes[b].engine.is_idle(), "{:?}", net.nodes[b].engine);
}

#[test]
fn the_figures_of_a_session_are_what_the_network_saw() {
    let mut net = Net::new(17);
    let [a, b] = pair(&mut net, |_| {});
    net.settle();
    let stats = |net: &Net, (node, session): (usize, SessionId)| {
        net.nodes[node].engine.session(session).expect("open").stats()
    };
    let before = [stats(&net, a), stats(&net, b)];
    net.wire = Some(Vec::new());
    net.session(a.0, a.1).send_message(Priority::default(), &[1; 100_000], false).expect("room");
    net.settle();
    let wire = net.wire.take().unwrap_or_default();
    for ((from, to), (sender, receiver)) in [((a, b), (0, 1)), ((b, a), (1, 0))] {
        let address = net.address(from.0);
        let seen: Vec<u64> = wire.iter().filter(|w| w.from == address).map(|w| w.data.len() as u64).collect();
        let (count, bytes) = (seen.len() as u64, seen.iter().sum::<u64>());
        let (s, r) = (stats(&net, from), stats(&net, to));
        assert!(count > 10);
        assert_eq!(s.packets_sent - before[sender].packets_sent, count);
        assert_eq!(s.bytes_sent - before[sender].bytes_sent, bytes);
        assert_eq!(r.packets_received - before[receiver].packets_received, count);
        assert_eq!(r.bytes_received - before[receiver].bytes_received, bytes);
        assert_eq!((s.packets_lost, s.bytes_in_flight), (0, 0));
    }
    // The first of many, so that later ones tell of the loss.
    net.lose.insert(net.sent + 1);
    net.session(a.0, a.1).send_message(Priority::default(), &[1; 100_000], false).expect("room");
    net.settle();
    assert_eq!(stats(&net, a).packets_lost, 1);
}

#[test]
fn work_that_was_not_polled_is_told_as_stalled_and_a_node_at_rest_holds_next_to_nothing() {
    let mut net = Net::new(1);
    let (a, b) = net.add_two();
    let (ab, ba) = net.connect(a, b);
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    let rest = net.engine(a).load(now);
    assert_eq!((rest.sessions, rest.attempts, rest.queued, rest.stalled), (1, 0, 0, None));
    assert_eq!(rest.most, SessionLoad::default());

    let stream = net.session(a, ab).open(Dir::Uni).expect("open").expect("a stream");
    net.session(a, ab).write(stream, &[7; 3_000]).expect("written");
    let load = net.engine(a).load(now);
    // Nobody has polled what it wants to send.
    assert_eq!((load.stalled, load.most.unacked, load.most.streams), (Some(ab), 3_000, 1));
    net.run_for(Duration::from_secs(1));
    let now = net.now;
    let (sent, held) = (net.engine(a).load(now), net.engine(b).load(now));
    assert_eq!((sent.stalled, sent.most.unacked, sent.most.in_flight), (None, 0, 0));
    assert_eq!((held.stalled, held.most.unread, held.most.peer_streams), (None, 3_000, 1));
    assert!(sent.timers == 1 && net.engine(a).next_timeout().is_some());

    net.session(a, ab).close(0, b"");
    net.run_for(Duration::from_secs(10));
    net.release(a, ab);
    net.release(b, ba);
    let now = net.now;
    for node in [a, b] {
        let load = net.engine(node).load(now);
        assert_eq!((load.sessions, load.ended, load.timers, load.queued), (0, 0, 0, 0));
    }
}
