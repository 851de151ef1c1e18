//! How sessions end: in their own time, and without leaving anything behind.

use crust_proto::{Dir, Duration, Priority};

use crate::app::content;
use crate::net::{Net, seeds};

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
