//! A peer that was restarted is found again, and its old session ends; a mere outage ends nothing.

use crust_proto::{CloseReason, Dir, Duration, Event, Priority, SessionClosed, SessionId};

use crate::net::{Net, Setup, seeds};

fn patient(setup: &mut Setup) {
    setup.config.handshake.timeout = Duration::from_secs(120);
}

fn pair(net: &mut Net) -> [(usize, SessionId); 2] {
    let (a, b) = (net.add_with(patient), net.add_with(patient));
    let (at_a, at_b) = net.connect(a, b);
    [(a, at_a), (b, at_b)]
}

fn connects(net: &Net, node: usize) -> usize {
    net.events(node).iter().filter(|e| matches!(e, Event::Connected { .. })).count()
}

/// The old session is over on the side that lived on, the new one carries data, and each was announced once.
fn assert_replaced(net: &mut Net, (survivor, old): (usize, SessionId), restarted: usize) {
    net.run_until("the old session ends", |net| net.closed(survivor, old).is_some());
    assert_eq!(net.closed(survivor, old), Some(CloseReason::PeerRestarted));
    let new = net.answered(survivor, restarted);
    assert_ne!(new, old);
    let there = net.answered(restarted, survivor);
    for (from, at, to, at_to) in [(survivor, new, restarted, there), (restarted, there, survivor, new)] {
        net.session(from, at).send_message(Priority::default(), b"here again", false).expect("room");
        net.run_until("it arrives", |net| net.session(to, at_to).recv_message().is_some());
    }
    net.run_for(Duration::from_secs(60));
    assert_eq!((connects(net, survivor), connects(net, restarted)), (2, 1));
    assert_eq!((net.closed(survivor, new), net.closed(restarted, there)), (None, None));
    let ends = net.events(survivor).iter().filter(|e| matches!(e, Event::Closed { .. })).count();
    assert_eq!(ends, 1);
}

#[test]
fn who_was_restarted_connects_and_replaces_its_old_session() {
    seeds(60, |seed| {
        let mut net = if seed < 10 { Net::new(seed) } else { Net::stormy(seed) };
        let [a, b] = pair(&mut net);
        let stream = net.session(a.0, a.1).open(Dir::Bi).expect("open").expect("there may be one");
        net.session(a.0, a.1).write(stream, b"half a").expect("room");
        let pause = net.rng.below(10_000);
        net.run_for(Duration::from_millis(pause));
        net.restart(b.0);
        let attempt = if seed % 2 == 0 { net.dial_id(b.0, a.0) } else { net.dial_address(b.0, a.0) };
        net.finish(b.0, attempt).expect("a session");
        assert_replaced(&mut net, a, b.0);
        assert_eq!(net.session(a.0, a.1).write(stream, b" sentence"), Err(SessionClosed.into()));
    });
}

#[test]
fn who_dials_a_restarted_peer_gets_a_new_session() {
    seeds(60, |seed| {
        let mut net = if seed < 10 { Net::new(seed) } else { Net::stormy(seed) };
        let [a, b] = pair(&mut net);
        let pause = net.rng.below(10_000);
        net.run_for(Duration::from_millis(pause));
        net.restart(b.0);
        // It may be answered with the session that is believed to live; that one finds out by itself.
        let attempt = if seed % 2 == 0 { net.dial_id(a.0, b.0) } else { net.dial_address(a.0, b.0) };
        net.finish(a.0, attempt).expect("a session");
        assert_replaced(&mut net, a, b.0);
    });
}

#[test]
fn a_restart_is_noticed_by_whoever_has_something_to_say() {
    seeds(60, |seed| {
        let mut net = if seed < 10 { Net::new(seed) } else { Net::stormy(seed) };
        let [a, b] = pair(&mut net);
        net.settle();
        net.restart(b.0);
        let begun = net.now;
        net.session(a.0, a.1).send_message(Priority::default(), b"are you there?", true).expect("room");
        net.run_until("the old session ends", |net| net.closed(a.0, a.1).is_some());
        let took = net.now.saturating_since(begun);
        assert!(took < Duration::from_secs(60), "sooner than by idleness: {took:?}");
        assert_replaced(&mut net, a, b.0);
        let acked = net.events(a.0).iter().any(|e| matches!(e, Event::MessageAcked { .. }));
        assert!(!acked, "a message that was lost with its session is not acknowledged");
    });
}

#[test]
fn both_dial_after_a_restart_and_end_in_one_new_session() {
    seeds(60, |seed| {
        let mut net = if seed < 10 { Net::new(seed) } else { Net::stormy(seed) };
        let [a, b] = pair(&mut net);
        net.settle();
        net.restart(b.0);
        net.session(a.0, a.1).send_message(Priority::default(), b"are you there?", false).expect("room");
        let pause = net.rng.below(3000);
        net.run_for(Duration::from_millis(pause));
        net.dial_id(a.0, b.0);
        net.dial_id(b.0, a.0);
        assert_replaced(&mut net, a, b.0);
    });
}

#[test]
fn a_peer_that_restarts_again_and_again_is_found_each_time() {
    let mut net = Net::new(1);
    let [a, b] = pair(&mut net);
    let mut old = a.1;
    for _ in 0..5 {
        net.settle();
        net.restart(b.0);
        net.run_for(Duration::from_millis(10));
        net.session(a.0, old).send_message(Priority::default(), b"are you there?", false).expect("room");
        net.run_until("the old session ends", |net| net.closed(a.0, old).is_some());
        assert_eq!(net.closed(a.0, old), Some(CloseReason::PeerRestarted));
        net.release(a.0, old);
        old = net.answered(a.0, b.0);
    }
}

#[test]
fn both_may_have_been_restarted() {
    let mut net = Net::new(2);
    let [a, b] = pair(&mut net);
    net.settle();
    net.restart(a.0);
    net.restart(b.0);
    net.connect(a.0, b.0);
    net.run_for(Duration::from_secs(60));
    assert_eq!((connects(&net, a.0), connects(&net, b.0)), (1, 1));
}

#[test]
fn a_mere_outage_ends_nothing_and_costs_no_byte() {
    seeds(60, |seed| {
        let mut net = Net::stormy(seed);
        let [a, b] = pair(&mut net);
        net.settle();
        let one_way = net.rng.below(3);
        let outage = Duration::from_millis(net.rng.below(45_000));
        if one_way != 1 {
            net.link(a.0, b.0).blocked = true;
        }
        if one_way != 2 {
            net.link(b.0, a.0).blocked = true;
        }
        for (node, session) in [a, b] {
            net.session(node, session)
                .send_message(Priority::default(), b"are you there?", true)
                .expect("room");
        }
        net.run_for(outage);
        net.link(a.0, b.0).blocked = false;
        net.link(b.0, a.0).blocked = false;
        for (node, session) in [a, b] {
            net.run_until("the message arrives", |net| net.session(node, session).recv_message().is_some());
            net.run_until("and is acknowledged", |net| {
                net.events(node).iter().any(|e| matches!(e, Event::MessageAcked { .. }))
            });
        }
        net.run_for(Duration::from_secs(30));
        for (node, session) in [a, b] {
            assert_eq!(net.closed(node, session), None);
            assert_eq!(connects(&net, node), 1, "nothing was announced twice");
            assert_eq!(net.nodes[node].engine.sessions().count(), 1);
        }
    });
}

#[test]
fn after_an_outage_data_flows_again_soon() {
    let mut net = Net::new(3);
    let [a, b] = pair(&mut net);
    net.settle();
    net.link(a.0, b.0).blocked = true;
    net.link(b.0, a.0).blocked = true;
    net.session(a.0, a.1).send_message(Priority::default(), b"are you there?", false).expect("room");
    net.run_for(Duration::from_secs(40));
    net.link(a.0, b.0).blocked = false;
    net.link(b.0, a.0).blocked = false;
    let begun = net.now;
    net.run_until("the message arrives", |net| net.session(b.0, b.1).recv_message().is_some());
    let took = net.now.saturating_since(begun);
    // The question whether the session lives is asked every few seconds, however far the probes have backed off.
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_replayed_hello_does_not_end_a_session() {
    let mut net = Net::new(4);
    net.wire = Some(Vec::new());
    let [a, b] = pair(&mut net);
    net.settle();
    let wire = net.wire.take().unwrap_or_default();
    // Also by someone who waits until the victim was restarted: hellos from before a start are stale.
    for restart in [false, true] {
        if restart {
            // Cut off, or the peer would ask after its session and connect anew, as it should.
            net.link(a.0, b.0).blocked = true;
            net.restart(b.0);
        }
        for hello in wire.iter().filter(|w| w.to == net.address(b.0)).cloned().collect::<Vec<_>>() {
            let (answers, events) = net.inject(b.0, hello.from, &hello.data);
            // A network without a secret tells whoever is late what time it is.
            assert!(answers <= u64::from(restart) && events == 0, "{answers} answers, {events} events");
        }
    }
    net.run_for(Duration::from_secs(30));
    assert_eq!(connects(&net, b.0), 0, "the restarted one has no session from a replay");
    assert_ne!(net.closed(a.0, a.1), Some(CloseReason::PeerRestarted));
}
