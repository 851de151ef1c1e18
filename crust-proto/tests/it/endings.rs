//! How sessions end: in their own time, and without leaving anything behind.

use crust_proto::{CloseReason, Dir, Duration, Event, Input, Priority};

use crate::app::content;
use crate::net::{Net, Setup, seeds};

#[test]
fn a_graceful_close_waits_for_a_slow_line_as_long_as_it_gets_on() {
    seeds(3, |seed| {
        let mut net = Net::new(seed);
        net.weather.rate = Some(100_000);
        let (a, b) = (net.add(), net.add());
        let (at_a, at_b) = net.connect(a, b);
        // Forty seconds' worth, and ten of patience.
        let data = content(seed, 4 << 20);
        let stream = net.session(a, at_a).open(Dir::Uni).expect("open").expect("one");
        assert_eq!(net.session(a, at_a).write(stream, &data), Ok(data.len()));
        net.session(a, at_a).finish(stream).expect("may be finished");
        net.session(a, at_a).finish_and_close(0, b"");
        let (mut read, mut accepted) = (0, None);
        net.run_until("all of it arrives", |net| {
            accepted = accepted.or_else(|| net.session(b, at_b).accept(Dir::Uni));
            let Some(stream) = accepted else { return false };
            let mut buffer = [0; 65_536];
            while let Ok(n) = net.session(b, at_b).read(stream, &mut buffer) {
                if n == 0 {
                    return true;
                }
                assert!(buffer[..n] == data[read..read + n]);
                read += n;
            }
            false
        });
        assert_eq!(read, data.len());
        net.run_until("and then it is closed", |net| net.closed(b, at_b).is_some());
    });
}

#[test]
fn a_graceful_close_gives_a_dead_line_up_in_time() {
    let mut net = Net::new(3);
    let (a, b) = (net.add(), net.add());
    let (at_a, _) = net.connect(a, b);
    net.link(a, b).blocked = true;
    net.session(a, at_a).send_message(Priority::default(), b"lost", false).expect("room");
    net.session(a, at_a).finish_and_close(0, b"");
    let begun = net.now;
    net.run_until("it is closed here", |net| net.closed(a, at_a).is_some());
    let linger = net.nodes[a].config.transport.linger;
    assert!(net.now.saturating_since(begun) <= linger + Duration::from_millis(100));
}

#[test]
fn ended_sessions_that_nobody_releases_do_not_pile_up() {
    let mut net = Net::new(4);
    let (a, b) = (net.add(), net.add());
    let mut first = None;
    for _ in 0..1100 {
        let (at_a, at_b) = net.connect(a, b);
        first = first.or(Some(at_a));
        net.session(a, at_a).close(0, b"");
        net.run_until("closed", |net| net.closed(b, at_b).is_some() && net.closed(a, at_a).is_some());
        net.release(b, at_b);
        net.run_until("over", |net| net.nodes[a].engine.is_idle());
        net.nodes[a].events.clear();
        net.nodes[b].events.clear();
    }
    let first = first.expect("there were some");
    assert!(net.nodes[a].engine.session(first).is_none(), "the oldest is forgotten");
}

/// A machine that slept finds all its sessions dead at once: the application hears of each.
#[test]
fn of_many_sessions_that_end_at_one_instant_none_ends_unheard() {
    const MANY: usize = 1100;
    let mut net = Net::new(5);
    let lonely = |setup: &mut Setup| {
        setup.config.transport.keep_alive = None;
        // Longer than it takes to connect to all.
        setup.config.transport.idle_timeout = Duration::from_secs(600);
        setup.config.handshake.unproven_burst = 5000;
        setup.config.handshake.cookie_threshold = 5000;
    };
    let hub = net.add_with(lonely);
    for _ in 0..MANY {
        let other = net.add_with(lonely);
        net.connect(other, hub);
        // Nobody else is there any more when it wakes up.
        net.link(hub, other).blocked = true;
    }
    net.nodes[hub].asleep = true;
    net.run_for(Duration::from_secs(3600));
    net.nodes[hub].asleep = false;
    net.nodes[hub].input(Input::Timeout, net.now);
    net.engine(hub);
    net.run_for(Duration::from_secs(1));
    let closed = net.events(hub).iter().filter(|e| matches!(e, Event::Closed { .. })).count();
    assert_eq!(closed, MANY);
}

/// Whoever is told of windows and takes nothing does not keep a session that nobody wants any more.
#[test]
fn a_graceful_close_is_not_held_up_by_a_peer_that_takes_nothing() {
    let mut net = Net::new(6);
    let (a, b) = (net.add(), net.add());
    let (at_a, at_b) = net.connect(a, b);
    let stuck = net.session(a, at_a).open(Dir::Uni).expect("open").expect("one");
    // As much as b's window and a's buffer take: b never reads it.
    while net.session(a, at_a).write(stuck, &[1; 65_536]).is_ok() {
        net.run_for(Duration::from_millis(100));
    }
    let flow = net.session(b, at_b).open(Dir::Uni).expect("open").expect("one");
    net.session(a, at_a).finish_and_close(0, b"");
    let begun = net.now;
    let (mut buffer, mut accepted, mut taken) = ([0; 65_536], false, 0);
    while net.closed(a, at_a).is_none() {
        // What b sends makes a tell it of windows, all the time.
        while net.session(b, at_b).write(flow, &[2; 65_536]).is_ok() {}
        net.run_for(Duration::from_millis(100));
        accepted = accepted || net.session(a, at_a).accept(Dir::Uni) == Some(flow);
        while let Ok(n @ 1..) = net.session(a, at_a).read(flow, &mut buffer) {
            taken += n;
        }
        assert!(net.now.saturating_since(begun) < Duration::from_secs(15), "it is held up");
    }
    assert!(accepted && taken > 16 << 20, "{taken} bytes: more than any window at once");
}

#[test]
fn a_close_in_the_midst_of_much_that_is_lost_for_a_while_is_heard_when_it_can_be() {
    for outage in [50, 300, 1500] {
        let mut net = Net::new(7);
        let (a, b) = (net.add(), net.add());
        let (at_a, at_b) = net.connect(a, b);
        let stream = net.session(a, at_a).open(Dir::Uni).expect("open").expect("one");
        let write = |net: &mut Net| while net.session(a, at_a).write(stream, &[1; 65_536]).is_ok() {};
        write(&mut net);
        net.run_for(Duration::from_millis(300));
        net.link(b, a).blocked = true;
        net.session(b, at_b).close(7, b"enough");
        net.run_for(Duration::from_millis(outage));
        net.link(b, a).blocked = false;
        net.run_for(Duration::from_secs(20));
        let heard = CloseReason::ByPeer { code: 7, reason: b"enough".to_vec().into() };
        assert_eq!(net.closed(a, at_a), Some(heard), "after {outage} ms");
        assert_eq!(net.announced(b, &net.id(a)), [at_b]);
    }
}
