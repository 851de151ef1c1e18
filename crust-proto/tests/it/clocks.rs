//! Clocks that are wrong, and addresses that are somebody else's: what the dialler is told, and what it believes.

use crust_proto::{ConnectError, Duration, NoAnswer, Target};

use crate::net::Net;

#[test]
fn who_has_dialled_a_peer_whose_clock_is_fast_still_hears_everybody_else() {
    for skew in [24 * 3_600_000, 10 * 365 * 24 * 3_600_000] {
        let mut net = Net::new(1);
        let (a, fast) = (net.add(), net.add());
        net.skew(fast, skew);
        // By its address: hellos to whoever lives there are remembered, should they be sent back.
        let attempt = net.dial_address(a, fast);
        net.finish(a, attempt).expect("a session, by the other's clock");
        // Longer than the filter of hellos remembers anything.
        for _ in 0..5 {
            net.run_for(Duration::from_secs(11 * 60));
            let other = net.add();
            let attempt = net.dial_id(other, a);
            net.finish(other, attempt).unwrap_or_else(|error| panic!("at {:?}: {error}", net.now));
        }
    }
}

#[test]
fn a_node_started_while_its_clock_was_ahead_is_reached_when_the_clock_is_right() {
    for skew in [20 * 60_000, 30 * 24 * 3_600_000] {
        let mut net = Net::new(3);
        let (a, b) = (net.add(), net.add());
        net.skew(b, skew);
        net.restart(b);
        net.run_for(Duration::from_secs(1));
        net.skew(b, 0);
        for _ in 0..3 {
            let attempt = net.dial_id(a, b);
            let session = net.finish(a, attempt).unwrap_or_else(|error| panic!("{skew} ms: {error}"));
            net.session(a, session).close(0, b"");
            net.run_for(Duration::from_secs(11 * 60));
        }
    }
}

#[test]
fn a_silent_address_beside_somebody_elses_says_which_is_which() {
    let mut net = Net::new(2);
    let (a, b, c) = (net.add(), net.add(), net.add());
    let nowhere = "10.99.0.1:9".parse().expect("an address");
    let addresses = vec![net.address(b), nowhere];
    let attempt = net.dial(a, Target { peer: Some(net.id(c)), addresses });
    let error = net.finish(a, attempt).expect_err("nobody of that id lives there");
    let ConnectError::NoAnswer(NoAnswer { .. }) = &error else { panic!("{error:?}") };
    let text = error.to_string();
    let said = format!("another peer answers at {}", net.address(b));
    // Each address once, under what became of it.
    assert!(
        text.contains(&said) && text.starts_with("no answer from 10.99.0.1:9 in 10.0 s; another"),
        "{text}"
    );
}
