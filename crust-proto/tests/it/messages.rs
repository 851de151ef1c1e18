//! Messages: whole, in order within a priority, the urgent first, never too large.

use crust_proto::streams::SendMessageError;
use crust_proto::{CloseReason, Dir, Duration, Event, MessageId, Priority, SendMessageFailure, SessionId};

use crate::app::content;
use crate::net::{Net, Setup, seeds};

fn pair(net: &mut Net, change: impl Fn(usize, &mut Setup)) -> [(usize, SessionId); 2] {
    let a = net.add_with(|setup| change(0, setup));
    let b = net.add_with(|setup| change(1, setup));
    let (at_a, at_b) = net.connect(a, b);
    [(a, at_a), (b, at_b)]
}

fn priority(number: u8) -> Priority {
    Priority::new(number).expect("one of eight")
}

/// Receives so many, in order of arrival.
fn receive(net: &mut Net, (node, session): (usize, SessionId), count: usize) -> Vec<(u8, Vec<u8>)> {
    let mut received = Vec::new();
    net.run_until("the messages arrive", |net| {
        while let Some(message) = net.session(node, session).recv_message() {
            received.push((message.priority.get(), message.data));
        }
        received.len() >= count
    });
    assert_eq!(received.len(), count);
    received
}

fn acked(net: &Net, node: usize) -> Vec<MessageId> {
    let acked = net.events(node).iter().filter_map(|event| match event {
        Event::MessageAcked { message, .. } => Some(*message),
        _ => None,
    });
    acked.collect()
}

#[test]
fn a_message_that_is_too_large_is_an_error_here_and_nothing_is_lost() {
    // The lower of the two limits counts, on either side.
    for tight in [0, 1] {
        let mut net = Net::new(1);
        let [a, b] = pair(&mut net, |side, setup| {
            setup.config.transport.limits.max_message = if side == tight { 1000 } else { 5000 };
        });
        assert_eq!(net.session(a.0, a.1).message_limit(), 1000);
        let send = |net: &mut Net, data: &[u8]| {
            net.session(a.0, a.1).send_message(Priority::default(), data, true).map(|_| ())
        };
        send(&mut net, &content(1, 1000)).expect("just right");
        assert_eq!(
            send(&mut net, &content(2, 1001)),
            Err(SendMessageFailure::Message(SendMessageError::TooLarge { limit: 1000 }))
        );
        send(&mut net, &content(3, 10)).expect("the session goes on");
        let received = receive(&mut net, b, 2);
        assert_eq!(received, [(3, content(1, 1000)), (3, content(3, 10))]);
        assert_eq!((net.closed(a.0, a.1), net.closed(b.0, b.1)), (None, None));
    }
}

#[test]
fn the_sender_hears_of_the_arrival_if_it_asked_and_only_then() {
    seeds(40, |seed| {
        let mut net = Net::stormy(seed);
        let [a, b] = pair(&mut net, |_, setup| setup.config.handshake.timeout = Duration::from_secs(120));
        let mut asked = Vec::new();
        for i in 0..20 {
            let data = content(i, net.rng.below(5000));
            let notify = net.rng.chance(500);
            let priority = priority(net.rng.below(8) as u8);
            let id = net.session(a.0, a.1).send_message(priority, &data, notify).expect("room");
            asked.extend(notify.then_some(id));
        }
        receive(&mut net, b, 20);
        net.run_until("all that were asked for are acknowledged", |net| acked(net, a.0).len() == asked.len());
        net.run_for(Duration::from_secs(20));
        let mut heard = acked(&net, a.0);
        heard.sort_unstable();
        assert_eq!(heard, asked, "each once");
    });
}

#[test]
fn nothing_is_acknowledged_that_has_not_arrived() {
    let mut net = Net::new(2);
    let [a, b] = pair(&mut net, |_, _| {});
    net.link(a.0, b.0).blocked = true;
    net.session(a.0, a.1).send_message(Priority::default(), b"into the void", true).expect("room");
    net.run_for(Duration::from_secs(30));
    assert_eq!(acked(&net, a.0), []);
    net.link(a.0, b.0).blocked = false;
    receive(&mut net, b, 1);
    net.run_for(Duration::from_secs(1));
    assert_eq!(acked(&net, a.0).len(), 1);
}

#[test]
fn the_urgent_overtake_all_others() {
    let mut net = Net::new(3);
    net.weather.rate = Some(100_000);
    let [a, b] = pair(&mut net, |_, _| {});
    for number in [7, 5, 5, 2, 0, 7] {
        let data = content(number.into(), 40_000);
        net.session(a.0, a.1).send_message(priority(number), &data, false).expect("room");
    }
    let order: Vec<_> = receive(&mut net, b, 6).into_iter().map(|(priority, _)| priority).collect();
    assert_eq!(order, [0, 2, 5, 5, 7, 7]);
}

#[test]
fn one_that_comes_late_and_is_urgent_passes_those_that_wait() {
    let mut net = Net::new(4);
    net.weather.rate = Some(100_000);
    let [a, b] = pair(&mut net, |_, _| {});
    for i in 0..4 {
        net.session(a.0, a.1).send_message(Priority::LOWEST, &content(i, 60_000), false).expect("room");
    }
    net.run_for(Duration::from_millis(500));
    let begun = net.now;
    net.session(a.0, a.1).send_message(Priority::HIGHEST, b"fire!", false).expect("room");
    let mut arrived = None;
    let mut others = 0;
    net.run_until("all five are here", |net| {
        while let Some(message) = net.session(b.0, b.1).recv_message() {
            match message.priority {
                Priority::HIGHEST => arrived = Some(net.now),
                _ => others += 1,
            }
        }
        arrived.is_some() && others == 4
    });
    let took = arrived.expect("just seen").saturating_since(begun);
    assert!(took < Duration::from_millis(400), "{took:?}");
    assert!(net.now.saturating_since(begun) > took * 3, "the others were still on their way");
}

#[test]
fn messages_of_one_priority_keep_their_order_through_every_weather() {
    seeds(20, |seed| {
        let mut net = Net::stormy(seed);
        let [a, b] = pair(&mut net, |_, setup| setup.config.handshake.timeout = Duration::from_secs(120));
        let lengths: Vec<_> =
            (0..100).map(|i| if i % 10 == 0 { net.rng.below(20_000) } else { net.rng.below(50) }).collect();
        for (i, &length) in lengths.iter().enumerate() {
            let data = content(i as u64, length);
            net.session(a.0, a.1).send_message(Priority::default(), &data, false).expect("room");
        }
        let received = receive(&mut net, b, 100);
        assert!(received.iter().enumerate().all(|(i, (_, data))| *data == content(i as u64, lengths[i])));
    });
}

#[test]
fn a_full_queue_blocks_and_says_when_it_is_not() {
    let mut net = Net::new(5);
    let [a, b] = pair(&mut net, |_, setup| setup.config.transport.send_buffer = 10_000);
    let mut sent = 0u64;
    let blocked = loop {
        match net.session(a.0, a.1).send_message(Priority::default(), &content(sent, 3000), false) {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(blocked, SendMessageFailure::Message(SendMessageError::Blocked));
    assert!(sent <= 4, "{sent} were taken");
    // Other priorities are not concerned.
    net.session(a.0, a.1).send_message(Priority::HIGHEST, b"I fit", false).expect("room");
    net.run_until("there is room", |net| {
        net.events(a.0)
            .iter()
            .any(|e| *e == Event::MessageWritable { session: a.1, priority: Priority::default() })
    });
    net.session(a.0, a.1).send_message(Priority::default(), &content(sent, 3000), false).expect("room again");
    let received = receive(&mut net, b, sent as usize + 2);
    assert!(
        received
            .iter()
            .filter(|(p, _)| *p == 3)
            .enumerate()
            .all(|(i, (_, data))| *data == content(i as u64, 3000))
    );
}

#[test]
fn who_takes_no_messages_is_sent_only_so_many() {
    let mut net = Net::new(6);
    let [a, b] = pair(&mut net, |_, setup| {
        setup.config.transport.limits.max_message = 10_000;
        setup.config.transport.limits.message_window = 20_000;
        setup.config.transport.send_buffer = 50_000;
    });
    let mut sent = 0;
    net.within(Duration::from_secs(20), |net| {
        while net.session(a.0, a.1).send_message(Priority::default(), &content(sent, 5000), false).is_ok() {
            sent += 1;
        }
        false
    });
    // What the receiver buffers, and what the sender does.
    assert!((6..=17).contains(&sent), "{sent} were taken");
    assert_eq!(receive(&mut net, b, sent as usize).len() as u64, sent);
}

#[test]
fn half_a_message_is_not_a_message() {
    let mut net = Net::new(7);
    net.weather.rate = Some(100_000);
    let [a, b] = pair(&mut net, |_, _| {});
    net.session(a.0, a.1).send_message(Priority::default(), &content(1, 200_000), true).expect("room");
    net.run_for(Duration::from_millis(1000));
    assert!(net.session(b.0, b.1).recv_message().is_none());
    net.session(a.0, a.1).close(0, b"");
    net.run_until("the peer hears", |net| net.closed(b.0, b.1).is_some());
    assert_eq!(net.closed(b.0, b.1), Some(CloseReason::ByPeer { code: 0, reason: Default::default() }));
    assert!(net.session(b.0, b.1).recv_message().is_none());
    assert_eq!(acked(&net, a.0), []);
}

#[test]
fn streams_and_messages_share_the_line() {
    let mut net = Net::new(8);
    net.weather.rate = Some(200_000);
    let [a, b] = pair(&mut net, |_, _| {});
    let stream = net.session(a.0, a.1).open(Dir::Uni).expect("open").expect("there may be one");
    net.session(a.0, a.1).write(stream, &content(1, 300_000)).expect("room");
    net.session(a.0, a.1).finish(stream).expect("may be finished");
    for number in 0..8 {
        net.session(a.0, a.1).send_message(priority(number), &content(2, 10_000), false).expect("room");
    }
    receive(&mut net, b, 8);
    let same = net.session(b.0, b.1).accept(Dir::Uni).expect("the stream is there");
    let mut read = 0;
    net.run_until("the stream arrives too", |net| {
        let mut buffer = [0; 4096];
        loop {
            match net.session(b.0, b.1).read(same, &mut buffer) {
                Ok(0) => return true,
                Ok(n) => read += n,
                Err(_) => return false,
            }
        }
    });
    assert_eq!(read, 300_000);
}
