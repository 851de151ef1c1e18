//! What arrives is what was sent, once and in order, whatever the network did; and it always arrives, or both
//! sides hear of the failure.

use crust_proto::streams::{ReadError, WriteError};
use crust_proto::{
    CloseReason, Dir, Duration, Event, Priority, ReadStreamError, SessionId, StreamId, WriteStreamError,
};
use proptest::prelude::*;

use crate::app::{Act, End, Play, Step, content};
use crate::net::{Link, Net, Setup, seeds};

fn patient(setup: &mut Setup) {
    setup.config.handshake.timeout = Duration::from_secs(120);
}

/// Two nodes with a session between them.
fn pair(net: &mut Net, change: impl Fn(&mut Setup)) -> [(usize, SessionId); 2] {
    let (a, b) = (net.add_with(&change), net.add_with(&change));
    let (at_a, at_b) = net.connect(a, b);
    [(a, at_a), (b, at_b)]
}

/// Small sizes often, large ones sometimes.
fn length(most: u64) -> impl Strategy<Value = u64> {
    prop_oneof![2 => 0..4u64, 4 => 0..3000u64, 1 => 0..=most]
}

fn act() -> impl Strategy<Value = Act> {
    let dir = prop_oneof![Just(Dir::Bi), Just(Dir::Uni)];
    let end = prop_oneof![4 => Just(End::Finish), 1 => (0..1u64 << 20).prop_map(End::Reset)];
    let stop = prop_oneof![5 => Just(None), 1 => length(60_000).prop_map(Some)];
    prop_oneof![
        6 => (dir, length(150_000), end, length(60_000), stop, -2..3i32).prop_map(
            |(dir, len, end, reply, stop, priority)| Act::Stream { dir, len, end, reply, stop, priority }
        ),
        4 => (0..8u8, length(40_000), any::<bool>())
            .prop_map(|(priority, len, notify)| Act::Message { priority, len, notify }),
        2 => (0..1500usize).prop_map(|len| Act::Datagram { len }),
        1 => (0..3000u64).prop_map(|ms| Act::Pause(Duration::from_millis(ms))),
        1 => Just(Act::UpdateKeys),
        1 => Just(Act::Rebind),
        1 => (0..9000u64).prop_map(|ms| Act::Outage(Duration::from_millis(ms))),
    ]
}

fn script() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..2usize, prop_oneof![Just(0u64), 0..200u64, 0..3000u64], act())
        .prop_map(|(side, after, act)| Step { side, after: Duration::from_millis(after), act });
    proptest::collection::vec(step, 1..25)
}

/// Windows from narrow to wide, so that every limit is met.
fn narrow(scale: u32) -> impl Fn(&mut Setup) {
    move |setup| {
        patient(setup);
        let transport = &mut setup.config.transport;
        if scale < 8 {
            let limits = &mut transport.limits;
            limits.max_stream_data = 700 << scale;
            limits.max_data = 1000 << scale;
            limits.max_streams_bi = 1 << scale;
            limits.max_streams_uni = 1 << scale;
            limits.max_message = 50_000;
            limits.message_window = 500 << scale;
            transport.send_buffer = 900 << scale;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 300, ..Default::default() })]

    #[test]
    fn whatever_is_sent_arrives_once_and_in_order(script in script(), seed in any::<u64>(), scale in 0..10u32) {
        let mut net = Net::stormy(seed);
        let ends = pair(&mut net, narrow(scale));
        let mut play = Play::new(&mut net, ends, script);
        let done = net.within(Duration::from_secs(3600), |net| {
            play.act(net);
            play.is_done() || play.both_closed()
        });
        prop_assert!(done && !play.both_closed(), "seed {seed}, scale {scale}, weather {:?}: {}", net.weather, play.missing());
        // Nothing more comes, and both ends forget.
        for (node, session) in ends {
            net.release(node, session);
        }
        net.run_for(Duration::from_secs(300));
        for (node, _) in ends {
            prop_assert!(net.nodes[node].engine.is_idle(), "seed {seed}: something is left");
        }
    }

    #[test]
    fn when_the_network_dies_both_sides_hear_of_it(
        script in script(), seed in any::<u64>(), after in 0..20_000u64, one_way in proptest::option::of(any::<bool>())
    ) {
        let mut net = Net::stormy(seed);
        let ends = pair(&mut net, patient);
        let mut play = Play::new(&mut net, ends, script.into_iter().filter(|s| !matches!(s.act, Act::Outage(_))).collect());
        net.within(Duration::from_millis(after), |net| { play.act(net); false });
        let dead = Link { blocked: true, ..net.weather.clone() };
        let [(a, _), (b, _)] = ends;
        if one_way != Some(false) { *net.link(a, b) = dead.clone(); }
        if one_way != Some(true) { *net.link(b, a) = dead; }
        // Patience begins anew with the first packet that asks for an answer (RFC 9000 §10.1), which is a keep-alive
        // at the latest; and who hears the other half waits until the other half has given up.
        let transport = &net.nodes[a].config.transport;
        let idle = transport.idle_timeout;
        let patience = idle + transport.keep_alive.expect("the default");
        net.within(patience * 2 + Duration::from_secs(30), |net| { play.act(net); play.both_closed() });
        for side in &play.sides {
            prop_assert_eq!(&side.closed, &Some(CloseReason::TimedOut(idle)), "seed {}", seed);
        }
        net.run_for(Duration::from_secs(300));
        prop_assert_eq!(net.announced(a, &net.id(b)).len(), 1, "nobody asked for another");
    }
}

#[test]
fn a_megabyte_arrives_through_every_weather() {
    seeds(20, |seed| {
        let mut net = Net::stormy(seed);
        let ends = pair(&mut net, patient);
        let big = |side, len| Step {
            side,
            after: Duration::ZERO,
            act: Act::Stream { dir: Dir::Bi, len, end: End::Finish, reply: len, stop: None, priority: 0 },
        };
        let mut play = Play::new(&mut net, ends, vec![big(0, 1 << 20), big(1, 1 << 18)]);
        let done = net.within(Duration::from_secs(3600), |net| {
            play.act(net);
            play.is_done()
        });
        assert!(done, "{}", play.missing());
    });
}

fn open(net: &mut Net, (node, session): (usize, SessionId), dir: Dir) -> StreamId {
    net.session(node, session).open(dir).expect("the session is open").expect("there may be one more")
}

fn write_all(net: &mut Net, (node, session): (usize, SessionId), stream: StreamId, data: &[u8]) {
    let mut at = 0;
    net.run_until("everything is written", |net| {
        while at < data.len() {
            match net.session(node, session).write(stream, &data[at..]) {
                Ok(n) => at += n,
                Err(WriteStreamError::Stream(WriteError::Blocked)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        at == data.len()
    });
}

/// Reads until the end of the stream, or what ended it.
fn read_all(
    net: &mut Net,
    (node, session): (usize, SessionId),
    stream: StreamId,
) -> (Vec<u8>, Option<ReadStreamError>) {
    let mut all = Vec::new();
    let mut end = None;
    net.run_until("the stream ends", |net| {
        let mut buffer = [0; 4096];
        loop {
            match net.session(node, session).read(stream, &mut buffer) {
                Ok(0) => return true,
                Ok(n) => all.extend_from_slice(&buffer[..n]),
                Err(ReadStreamError::Stream(ReadError::Blocked)) => return false,
                Err(error) => {
                    end = Some(error);
                    return true;
                }
            }
        }
    });
    (all, end)
}

fn accept(net: &mut Net, (node, session): (usize, SessionId), dir: Dir) -> StreamId {
    let mut stream = None;
    net.run_until("a stream is opened", |net| {
        stream = net.session(node, session).accept(dir);
        stream.is_some()
    });
    stream.expect("just seen")
}

#[test]
fn an_empty_stream_arrives() {
    for dir in Dir::ALL {
        let mut net = Net::new(1);
        let [a, b] = pair(&mut net, patient);
        let stream = open(&mut net, a, dir);
        net.session(a.0, a.1).finish(stream).expect("may be finished");
        let same = accept(&mut net, b, dir);
        assert_eq!(same, stream);
        assert_eq!(read_all(&mut net, b, stream), (vec![], None));
    }
}

#[test]
fn who_does_not_read_holds_the_writer_up() {
    let mut net = Net::new(2);
    let [a, b] = pair(&mut net, |setup| {
        setup.config.transport.send_buffer = 10_000;
        setup.config.transport.limits.max_stream_data = 20_000;
    });
    let stream = open(&mut net, a, Dir::Uni);
    let data = content(1, 200_000);
    let mut at = 0;
    net.within(Duration::from_secs(20), |net| {
        while let Ok(n) = net.session(a.0, a.1).write(stream, &data[at..]) {
            at += n;
        }
        false
    });
    assert!((20_000..=30_000).contains(&at), "{at} bytes were taken");
    let same = accept(&mut net, b, Dir::Uni);
    let mut read = Vec::new();
    net.run_until("the rest arrives", |net| {
        while let Ok(n) = net.session(a.0, a.1).write(stream, &data[at..]) {
            at += n;
            if at == data.len() {
                net.session(a.0, a.1).finish(stream).expect("may be finished");
                break;
            }
        }
        let mut buffer = [0; 4096];
        loop {
            match net.session(b.0, b.1).read(same, &mut buffer) {
                Ok(0) => return true,
                Ok(n) => read.extend_from_slice(&buffer[..n]),
                Err(_) => return false,
            }
        }
    });
    assert!(read == data);
}

#[test]
fn one_stream_that_is_not_read_does_not_hold_up_another() {
    let mut net = Net::new(3);
    let [a, b] = pair(&mut net, |setup| setup.config.transport.limits.max_stream_data = 20_000);
    let stuck = open(&mut net, a, Dir::Uni);
    net.session(a.0, a.1).write(stuck, &content(1, 100_000)).expect("room");
    let free = open(&mut net, a, Dir::Uni);
    let data = content(2, 300_000);
    let mut at = 0;
    let mut read = Vec::new();
    assert_eq!(accept(&mut net, b, Dir::Uni), stuck);
    net.run_until("the free one arrives", |net| {
        while at < data.len() {
            match net.session(a.0, a.1).write(free, &data[at..]) {
                Ok(n) => at += n,
                Err(_) => break,
            }
        }
        let mut buffer = [0; 4096];
        net.session(b.0, b.1).accept(Dir::Uni);
        while let Ok(n) = net.session(b.0, b.1).read(free, &mut buffer) {
            read.extend_from_slice(&buffer[..n]);
        }
        read.len() == data.len()
    });
    assert!(read == data);
}

#[test]
fn a_reset_reaches_the_reader_with_its_code() {
    seeds(20, |seed| {
        let mut net = Net::stormy(seed);
        let [a, b] = pair(&mut net, patient);
        let stream = open(&mut net, a, Dir::Bi);
        net.session(a.0, a.1).write(stream, b"the beginning").expect("room");
        net.session(a.0, a.1).reset(stream, 42).expect("may be reset");
        assert!(net.session(a.0, a.1).write(stream, b"more").is_err());
        let same = accept(&mut net, b, Dir::Bi);
        assert_eq!(
            read_all(&mut net, b, same).1,
            Some(ReadStreamError::Stream(ReadError::Reset { code: 42 }))
        );
        // The other half lives.
        write_all(&mut net, b, same, b"still here");
        net.session(b.0, b.1).finish(same).expect("may be finished");
        assert_eq!(read_all(&mut net, a, stream), (b"still here".to_vec(), None));
    });
}

#[test]
fn a_stop_reaches_the_writer_with_its_code() {
    seeds(20, |seed| {
        let mut net = Net::stormy(seed);
        let [a, b] = pair(&mut net, patient);
        let stream = open(&mut net, a, Dir::Uni);
        net.session(a.0, a.1).write(stream, b"anybody there?").expect("room");
        let same = accept(&mut net, b, Dir::Uni);
        net.session(b.0, b.1).stop(same, 7).expect("may be stopped");
        net.run_until("the writer hears of it", |net| {
            net.events(a.0).iter().any(|e| *e == Event::StreamStopped { session: a.1, stream, code: 7 })
        });
        assert_eq!(
            net.session(a.0, a.1).write(stream, b"more"),
            Err(WriteStreamError::Stream(WriteError::Stopped { code: 7 }))
        );
    });
}

#[test]
fn more_streams_may_be_opened_when_others_are_over() {
    let mut net = Net::new(4);
    let [a, b] = pair(&mut net, |setup| setup.config.transport.limits.max_streams_uni = 3);
    let mut opened = Vec::new();
    while let Some(stream) = net.session(a.0, a.1).open(Dir::Uni).expect("the session is open") {
        net.session(a.0, a.1).finish(stream).expect("may be finished");
        opened.push(stream);
    }
    assert_eq!(opened.len(), 3);
    for _ in 0..3 {
        let stream = accept(&mut net, b, Dir::Uni);
        read_all(&mut net, b, stream);
    }
    net.run_until("more are allowed", |net| {
        net.events(a.0).iter().any(|e| *e == Event::StreamsAvailable { session: a.1, dir: Dir::Uni })
    });
    open(&mut net, a, Dir::Uni);
}

#[test]
fn the_more_urgent_stream_arrives_first() {
    let mut net = Net::new(5);
    net.weather.rate = Some(200_000);
    let [a, _] = pair(&mut net, patient);
    let streams: Vec<_> = [-1, 0, 7, 3]
        .into_iter()
        .map(|priority| {
            let stream = open(&mut net, a, Dir::Uni);
            let mut session = net.session(a.0, a.1);
            session.set_priority(stream, priority);
            (priority, stream)
        })
        .collect();
    for &(_, stream) in &streams {
        assert_eq!(net.session(a.0, a.1).write(stream, &content(1, 150_000)), Ok(150_000));
        net.session(a.0, a.1).finish(stream).expect("may be finished");
    }
    net.run_until("all have arrived", |net| {
        net.events(a.0).iter().filter(|e| matches!(e, Event::StreamFinished { .. })).count() == 4
    });
    let order: Vec<_> = net
        .events(a.0)
        .iter()
        .filter_map(|e| match e {
            Event::StreamFinished { stream, .. } => {
                streams.iter().find(|(_, s)| s == stream).map(|(p, _)| *p)
            }
            _ => None,
        })
        .collect();
    assert_eq!(order, [7, 3, 0, -1]);
}

#[test]
fn streams_of_one_priority_share_the_line() {
    let mut net = Net::new(6);
    net.weather.rate = Some(200_000);
    let [a, b] = pair(&mut net, patient);
    for _ in 0..4 {
        let stream = open(&mut net, a, Dir::Uni);
        assert_eq!(net.session(a.0, a.1).write(stream, &content(1, 200_000)), Ok(200_000));
    }
    let streams: Vec<_> = (0..4).map(|_| accept(&mut net, b, Dir::Uni)).collect();
    let mut read = [0usize; 4];
    net.within(Duration::from_millis(1500), |net| {
        let mut buffer = [0; 4096];
        for (stream, read) in streams.iter().zip(&mut read) {
            while let Ok(n) = net.session(b.0, b.1).read(*stream, &mut buffer) {
                *read += n;
            }
        }
        false
    });
    let (least, most) = (read.iter().min().copied().unwrap_or(0), read.iter().max().copied().unwrap_or(0));
    assert!(least > 20_000 && most < 2 * least, "{read:?}");
}

#[test]
fn messages_go_before_streams_only_as_their_priority_says() {
    // A message of any priority is not starved by a stream that never ends.
    let mut net = Net::new(7);
    net.weather.rate = Some(200_000);
    let [a, b] = pair(&mut net, patient);
    let stream = open(&mut net, a, Dir::Uni);
    net.session(a.0, a.1).write(stream, &content(1, 1 << 20)).expect("room");
    net.session(a.0, a.1).send_message(Priority::LOWEST, b"me too", false).expect("room");
    let begun = net.now;
    net.run_until("the message arrives", |net| net.session(b.0, b.1).recv_message().is_some());
    assert!(net.now.saturating_since(begun) < Duration::from_secs(20));
}
