//! Sockets die; sessions go on over others.

use std::net::SocketAddr;

use crust_proto::{CloseReason, Duration, Event, Input, Priority, SessionId};

use crate::net::{Net, seeds};

const SECOND: ([u8; 4], u16) = ([10, 98, 0, 1], 7);

/// Both ways, within a second.
fn assert_talks(net: &mut Net, ends: [(usize, SessionId); 2]) {
    let [a, b] = ends;
    for (from, to) in [(a, b), (b, a)] {
        net.session(from.0, from.1).send_message(Priority::default(), b"still there?", false).expect("room");
        let begun = net.now;
        net.run_until("it arrives", |net| net.session(to.0, to.1).recv_message().is_some());
        assert!(net.now.saturating_since(begun) < Duration::from_secs(1));
    }
    assert_eq!((net.closed(a.0, a.1), net.closed(b.0, b.1)), (None, None));
}

fn listening(net: &Net, node: usize) -> Vec<SocketAddr> {
    let heard = net.events(node).iter().filter_map(|event| match event {
        Event::Listening { local, .. } => Some(*local),
        _ => None,
    });
    heard.collect()
}

#[test]
fn a_socket_that_died_is_opened_again_at_its_address_and_sessions_go_on() {
    seeds(20, |seed| {
        for (dies, by_peer) in [(0, true), (0, false), (1, true)] {
            let mut net = Net::new(seed);
            let (a, b) = (net.add(), net.add());
            let (at_a, at_b) = if by_peer {
                net.connect(a, b)
            } else {
                let (at_b, at_a) = net.connect(b, a);
                (at_a, at_b)
            };
            let ends = [(a, at_a), (b, at_b)];
            let node = ends[dies].0;
            let (socket, address) = (net.nodes[node].socket_id(), net.address(node));
            // In mid-transfer, so that something is on its way.
            net.session(a, at_a).send_message(Priority::default(), &[7; 50_000], false).expect("room");
            let pause = net.rng.below(60);
            net.run_for(Duration::from_millis(pause));
            net.kill_socket(node, socket);
            net.run_until("the message arrives", |net| net.session(b, at_b).recv_message().is_some());
            assert_talks(&mut net, ends);
            assert_eq!(listening(&net, node), [address, address]);
            let failed = |e: &&Event| matches!(e, Event::ListenFailed { local, .. } if *local == address);
            assert_eq!(net.events(node).iter().filter(failed).count(), 1, "the application hears of it");
        }
    });
}

#[test]
fn where_no_socket_can_be_had_in_its_place_another_takes_over() {
    let mut net = Net::new(1);
    let a = net.add_with(|setup| setup.config.listen.push(SECOND.into()));
    let b = net.add();
    let (at_a, at_b) = net.connect(a, b);
    net.settle();
    net.nodes[a].refuses_sockets = true;
    let first = net.nodes[a].socket_id();
    net.kill_socket(a, first);
    assert_talks(&mut net, [(a, at_a), (b, at_b)]);
    let remote = net.nodes[b].engine.session(at_b).and_then(|s| s.remote_address());
    assert_eq!(remote, Some(SECOND.into()), "the peer has followed");
}

#[test]
fn without_any_socket_a_session_waits_for_one_and_else_ends_in_time() {
    for comes_back in [true, false] {
        let mut net = Net::new(2);
        let (a, b) = (net.add(), net.add());
        let (at_a, at_b) = net.connect(a, b);
        net.settle();
        net.nodes[a].refuses_sockets = true;
        let (socket, address) = (net.nodes[a].socket_id(), net.address(a));
        net.kill_socket(a, socket);
        net.session(a, at_a).send_message(Priority::default(), b"stuck", false).expect("room");
        net.run_for(Duration::from_secs(10));
        assert_eq!(net.closed(a, at_a), None);
        if comes_back {
            net.nodes[a].refuses_sockets = false;
            net.engine(a).bind(address);
            net.run_until("it arrives", |net| net.session(b, at_b).recv_message().is_some());
            assert_talks(&mut net, [(a, at_a), (b, at_b)]);
        } else {
            net.run_until("both give up", |net| net.closed(a, at_a).and(net.closed(b, at_b)).is_some());
            assert!(matches!(net.closed(a, at_a), Some(CloseReason::TimedOut(_))));
        }
    }
}

#[test]
fn a_socket_that_keeps_dying_is_not_opened_for_ever() {
    let mut net = Net::new(3);
    let a = net.add();
    let mut lives = 0;
    while let Some((&socket, _)) = net.nodes[a].sockets.iter().next() {
        lives += 1;
        assert!(lives < 50, "without end");
        net.kill_socket(a, socket);
        net.run_for(Duration::from_millis(1));
    }
    assert!(lives > 1, "at least once");
}

/// A firewall that let the loser's hello out lets only an answer to that very hello in.
#[test]
fn the_winner_of_a_tie_calls_back_from_the_socket_that_heard_the_loser() {
    let mut net = Net::new(4);
    let (mut lower, mut higher) = (net.add(), net.add());
    if net.id(lower) > net.id(higher) {
        std::mem::swap(&mut lower, &mut higher);
    }
    net.engine(lower).bind(SECOND.into());
    net.run_for(Duration::ZERO);
    net.wire = Some(Vec::new());
    let nowhere = SocketAddr::from(([10, 99, 0, 1], 9));
    let (to_lower, to_higher) = ((net.id(lower), SECOND.into()), (net.id(higher), nowhere));
    let first = net.dial(lower, to_higher);
    let second = net.dial(higher, to_lower);
    net.finish(lower, first).expect("a session");
    net.finish(higher, second).expect("a session");
    let wire = net.wire.take().unwrap_or_default();
    let called: Vec<_> = wire.iter().filter(|w| w.to == net.address(higher)).map(|w| w.from).collect();
    assert!(!called.is_empty() && called.iter().all(|from| *from == SECOND.into()), "{called:?}");
}

#[test]
fn a_socket_that_is_closed_on_request_leaves_its_sessions_to_another() {
    let mut net = Net::new(5);
    let a = net.add_with(|setup| setup.config.listen.push(SECOND.into()));
    let b = net.add();
    let (at_a, at_b) = net.connect(a, b);
    net.settle();
    let first = net.nodes[a].socket_id();
    let clock = net.nodes[a].clock(net.now);
    net.engine(a).unbind(first, clock);
    net.session(a, at_a).send_message(Priority::default(), b"from elsewhere", false).expect("room");
    net.run_until("it arrives", |net| net.session(b, at_b).recv_message().is_some());
    assert_eq!(net.nodes[a].engine.local_addresses(), [SECOND.into()]);
}

/// A packet on another socket is a reason to challenge its sender there; not once that socket is gone. (The network
/// fails where something is sent from a socket that is not open.)
#[test]
fn nothing_goes_out_on_the_side_over_a_socket_that_is_gone() {
    let mut net = Net::new(6);
    let (a, b) = (net.add(), net.add_with(|setup| setup.config.listen.push(SECOND.into())));
    let (at_a, at_b) = net.connect(a, b);
    net.settle();
    net.wire = Some(Vec::new());
    net.link(a, b).blocked = true;
    net.session(a, at_a).send_message(Priority::default(), b"by another door", false).expect("room");
    net.run_for(Duration::from_millis(1));
    let wire = net.wire.take().unwrap_or_default();
    let mut packet = wire.into_iter().find(|w| w.from == net.address(a)).expect("it was sent");
    let second = *net.nodes[b].sockets.keys().last().expect("two");
    let (from, len) = (packet.from, packet.data.len());
    let data = &mut packet.data[..];
    let arrives = Input::Datagrams { socket: second, from, to: None, ecn: None, segment: len, data };
    net.nodes[b].input(arrives, net.now);
    let clock = net.nodes[b].clock(net.now);
    net.engine(b).unbind(second, clock);
    net.run_for(Duration::from_secs(5));
    net.link(a, b).blocked = false;
    assert_talks_again(&mut net, b, at_b);
}

fn assert_talks_again(net: &mut Net, node: usize, session: SessionId) {
    net.run_until("the message is there", |net| net.session(node, session).recv_message().is_some());
}

fn sent(net: &Net, node: usize) -> u64 {
    net.nodes[node].engine.stats().datagrams_sent
}

/// (The network fails where a node wakes up over and over for nothing.)
#[test]
fn a_socket_that_stays_full_keeps_no_session_alive_and_no_node_busy() {
    for data in [false, true] {
        for by_peer in [false, true] {
            let mut net = Net::new(7);
            let (a, b) = (net.add(), net.add());
            let (at_a, at_b) = if by_peer {
                let (at_b, at_a) = net.connect(b, a);
                (at_a, at_b)
            } else {
                net.connect(a, b)
            };
            net.settle();
            let socket = net.nodes[a].socket_id();
            net.stick(a, socket);
            // Both owe each other something.
            net.session(a, at_a).send_message(Priority::default(), b"is kept", false).expect("room");
            if data {
                net.session(a, at_a).send_message(Priority::default(), &[1; 50_000], false).expect("room");
                net.session(b, at_b).send_message(Priority::default(), &[2; 50_000], false).expect("room");
            }
            // B hears nothing any more, and a hears b for as long as that goes on. (Patience begins anew with the first
            // packet that asks for an answer, and that may be a keep-alive.)
            let patience = net.nodes[a].config.transport.idle_timeout * 2;
            for (node, session) in [(b, at_b), (a, at_a)] {
                assert!(net.within(patience, |net| net.closed(node, session).is_some()), "it waits for ever");
                assert!(matches!(net.closed(node, session), Some(CloseReason::TimedOut(_))));
            }
        }
    }
}

#[test]
fn what_was_due_while_a_socket_was_full_leaves_as_soon_as_it_takes_more() {
    seeds(20, |seed| {
        let mut net = Net::new(seed);
        let (a, b) = (net.add(), net.add());
        let (at_a, at_b) = net.connect(a, b);
        net.settle();
        let socket = net.nodes[a].socket_id();
        net.stick(a, socket);
        net.session(a, at_a).send_message(Priority::default(), b"is kept", false).expect("room");
        net.run_for(Duration::from_millis(1));
        let before = sent(&net, a);
        let asked = net.session(b, at_b).send_message(Priority::default(), b"heard?", true).expect("room");
        net.run_until("it arrives", |net| net.session(a, at_a).recv_message().is_some());
        net.session(a, at_a).send_message(Priority::default(), b"is behind it", false).expect("room");
        let pause = net.rng.below(20_000);
        net.run_for(Duration::from_millis(pause));
        assert_eq!(sent(&net, a), before, "nothing is handed to a full socket");
        let acked = |net: &Net| {
            let is = |e: &Event| matches!(e, Event::MessageAcked { message, .. } if *message == asked);
            net.events(b).iter().any(is)
        };
        assert!(!acked(&net));
        // Before anything that comes could have brought it out.
        net.link(b, a).blocked = true;
        net.unstick(a, socket);
        net.run_for(Duration::from_millis(1));
        assert!(sent(&net, a) > before, "it leaves at once");
        net.link(b, a).blocked = false;
        let mut arrived = 0;
        let all = net.within(Duration::from_millis(200), |net| {
            arrived += usize::from(net.session(b, at_b).recv_message().is_some());
            arrived == 2 && acked(net)
        });
        assert!(all, "{arrived} of two messages, acknowledged: {}", acked(&net));
        assert_talks(&mut net, [(a, at_a), (b, at_b)]);
    });
}

/// What was lost is known to be lost only by time, when nothing more comes.
#[test]
fn a_full_socket_stops_no_clock() {
    let mut net = Net::new(8);
    let (a, b) = (net.add(), net.add());
    let (at_a, at_b) = net.connect(a, b);
    net.settle();
    // The second of three packets.
    let next = net.sent + 1;
    net.lose.insert(next + 1);
    net.session(a, at_a).send_message(Priority::default(), &[3; 3000], false).expect("room");
    net.run_for(Duration::from_millis(1));
    let socket = net.nodes[a].socket_id();
    net.stick(a, socket);
    net.session(a, at_a).send_message(Priority::default(), b"is kept", false).expect("room");
    let lost = |net: &Net| net.nodes[a].engine.session(at_a).expect("open").stats().packets_lost;
    assert_eq!(lost(&net), 0);
    net.run_for(Duration::from_secs(1));
    assert_eq!(lost(&net), 1);
    // Probes are due at growing distances, though none can leave.
    net.link(b, a).blocked = true;
    net.run_for(Duration::from_secs(5));
    let (next, _) = net.nodes[a].why().expect("a timer");
    assert!(next.saturating_since(net.now) < Duration::from_secs(20), "{next:?} at {:?}", net.now);
    net.link(b, a).blocked = false;
    net.unstick(a, socket);
    net.run_until("it arrives", |net| net.session(b, at_b).recv_message().is_some());
    assert_talks(&mut net, [(a, at_a), (b, at_b)]);
}

#[test]
fn a_graceful_close_and_a_hard_one_end_in_time_whose_socket_is_full() {
    for graceful in [true, false] {
        let mut net = Net::new(9);
        let (a, b) = (net.add(), net.add());
        let (at_a, _) = net.connect(a, b);
        net.settle();
        let socket = net.nodes[a].socket_id();
        net.stick(a, socket);
        net.session(a, at_a).send_message(Priority::default(), b"is kept", false).expect("room");
        net.session(a, at_a).send_message(Priority::default(), b"is not said", false).expect("room");
        net.run_for(Duration::from_millis(1));
        if graceful {
            net.session(a, at_a).finish_and_close(0, b"");
        } else {
            net.session(a, at_a).close(0, b"");
        }
        let linger = net.nodes[a].config.transport.linger;
        let over = net.within(linger + Duration::from_secs(6), |net| net.nodes[a].engine.is_idle());
        assert!(over, "graceful: {graceful}");
    }
}

/// What goes over one socket is not held up by another that is full; in the end the path itself goes there.
#[test]
fn whose_socket_is_full_answers_over_another_on_which_the_peer_is_heard() {
    let mut net = Net::new(10);
    let (a, b) = (net.add(), net.add_with(|setup| setup.config.listen.push(SECOND.into())));
    let (at_a, at_b) = net.connect(a, b);
    net.settle();
    let (first, second) = (net.nodes[b].socket_id(), *net.nodes[b].sockets.keys().last().expect("two"));
    net.stick(b, first);
    net.session(b, at_b).send_message(Priority::default(), b"is kept", false).expect("room");
    net.session(b, at_b).send_message(Priority::default(), b"waits", false).expect("room");
    net.run_for(Duration::from_millis(100));
    net.wire = Some(Vec::new());
    net.link(a, b).blocked = true;
    net.session(a, at_a).send_message(Priority::default(), b"by another door", false).expect("room");
    net.run_for(Duration::from_millis(1));
    let wire = net.wire.take().unwrap_or_default();
    let mut packet = wire.into_iter().find(|w| w.from == net.address(a)).expect("it was sent");
    net.link(a, b).blocked = false;
    let (from, len) = (packet.from, packet.data.len());
    let data = &mut packet.data[..];
    let arrives = Input::Datagrams { socket: second, from, to: None, ecn: None, segment: len, data };
    net.nodes[b].input(arrives, net.now);
    net.engine(b);
    let all = net.within(Duration::from_secs(5), |net| net.session(a, at_a).recv_message().is_some());
    assert!(all, "what waited goes over the socket that is not full");
    assert_talks_again(&mut net, b, at_b);
    let remote = net.nodes[a].engine.session(at_a).and_then(|s| s.remote_address());
    assert_eq!(remote, Some(SECOND.into()), "the peer has followed");
}
