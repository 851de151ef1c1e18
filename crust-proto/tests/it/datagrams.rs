//! Unreliable datagrams: whole or not at all, at most once, never too many in memory.

use crust_proto::{Duration, Event, SendDatagramError, SessionId};

use crate::app::content;
use crate::net::{Net, Setup, seeds};

fn pair(net: &mut Net, change: impl Fn(usize, &mut Setup)) -> [(usize, SessionId); 2] {
    let a = net.add_with(|setup| change(0, setup));
    let b = net.add_with(|setup| change(1, setup));
    let (at_a, at_b) = net.connect(a, b);
    [(a, at_a), (b, at_b)]
}

fn receive_all(net: &mut Net, (node, session): (usize, SessionId)) -> Vec<Vec<u8>> {
    let mut session = net.session(node, session);
    std::iter::from_fn(|| session.recv_datagram()).map(|data| data.to_vec()).collect()
}

#[test]
fn they_arrive_in_calm_whole_and_in_order() {
    let mut net = Net::new(1);
    let [a, b] = pair(&mut net, |_, _| {});
    let limit = net.session(a.0, a.1).max_datagram().expect("the peer takes datagrams");
    assert!(limit >= 1100, "{limit}");
    let lengths = [0, 1, 100, limit - 1, limit, 5];
    for (i, &length) in lengths.iter().enumerate() {
        net.session(a.0, a.1).send_datagram(&content(i as u64, length as u64)).expect("not too large");
    }
    net.run_for(Duration::from_secs(1));
    let received = receive_all(&mut net, b);
    assert_eq!(received.len(), lengths.len());
    assert!(received.iter().enumerate().all(|(i, data)| *data == content(i as u64, lengths[i] as u64)));
}

#[test]
fn each_arrives_at_most_once_and_unharmed() {
    seeds(40, |seed| {
        let mut net = Net::stormy(seed);
        let [a, b] = pair(&mut net, |_, setup| setup.config.handshake.timeout = Duration::from_secs(120));
        let mut received = Vec::new();
        for i in 0..200u64 {
            net.session(a.0, a.1)
                .send_datagram(&i.to_be_bytes().repeat(1 + net_index(i)))
                .expect("not too large");
            net.run_for(Duration::from_millis(5));
            received.extend(receive_all(&mut net, b));
        }
        net.run_for(Duration::from_secs(5));
        received.extend(receive_all(&mut net, b));
        let mut numbers: Vec<_> = received.iter().map(|data| number(data)).collect();
        numbers.sort_unstable();
        let count = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "none twice");
        assert!(count > 80, "only {count} of 200 arrived");
    });
}

fn net_index(i: u64) -> usize {
    (i * 7 % 100) as usize
}

fn number(data: &[u8]) -> u64 {
    let number = u64::from_be_bytes(*data.first_chunk().expect("eight bytes"));
    assert_eq!(data, number.to_be_bytes().repeat(1 + net_index(number)));
    number
}

#[test]
fn one_that_is_too_large_is_an_error_here() {
    for peer_limit in [100, 65_000] {
        let mut net = Net::new(2);
        let [a, b] = pair(&mut net, |side, setup| {
            setup.config.transport.max_datagram = if side == 1 { peer_limit } else { 65_000 };
        });
        let limit = net.session(a.0, a.1).max_datagram().expect("the peer takes datagrams");
        assert!(limit <= peer_limit);
        assert_eq!(
            net.session(a.0, a.1).send_datagram(&content(1, limit as u64 + 1)),
            Err(SendDatagramError::TooLarge { limit })
        );
        net.session(a.0, a.1).send_datagram(&content(1, limit as u64)).expect("just right");
        net.run_for(Duration::from_secs(1));
        assert_eq!(receive_all(&mut net, b).len(), 1);
        assert_eq!(net.closed(b.0, b.1), None);
    }
}

#[test]
fn who_takes_none_is_sent_none() {
    let mut net = Net::new(3);
    let [a, b] = pair(&mut net, |side, setup| setup.config.transport.max_datagram *= 1 - side);
    assert_eq!(net.session(a.0, a.1).max_datagram(), None);
    assert_eq!(net.session(a.0, a.1).send_datagram(b"hello"), Err(SendDatagramError::Unsupported));
    net.session(b.0, b.1).send_datagram(b"the other way").expect("the first takes them");
    net.run_for(Duration::from_secs(1));
    assert_eq!(receive_all(&mut net, a).len(), 1);
}

#[test]
fn a_full_queue_drops_the_oldest() {
    let mut net = Net::new(4);
    let [a, b] = pair(&mut net, |_, setup| setup.config.transport.datagram_buffer = 10_000);
    // More than may wait for sending.
    for i in 0..100u64 {
        net.session(a.0, a.1).send_datagram(&i.to_be_bytes().repeat(125)).expect("not too large");
    }
    net.run_for(Duration::from_secs(1));
    let numbers: Vec<_> = receive_all(&mut net, b)
        .iter()
        .map(|d| u64::from_be_bytes(*d.first_chunk().expect("eight bytes")))
        .collect();
    assert_eq!(numbers, (90..100).collect::<Vec<_>>());
    // More than the receiver keeps.
    for i in 0..100u64 {
        net.session(a.0, a.1).send_datagram(&i.to_be_bytes().repeat(125)).expect("not too large");
        net.run_for(Duration::from_millis(50));
    }
    let numbers: Vec<_> = receive_all(&mut net, b)
        .iter()
        .map(|d| u64::from_be_bytes(*d.first_chunk().expect("eight bytes")))
        .collect();
    assert_eq!(numbers, (90..100).collect::<Vec<_>>());
    let dropped = |net: &Net, (node, session): (usize, SessionId)| {
        net.nodes[node].engine.session(session).map(|s| s.stats().datagrams_dropped)
    };
    assert_eq!(dropped(&net, a), Some((90, 0)));
    assert_eq!(dropped(&net, b), Some((0, 90)));
}

#[test]
fn the_receiver_is_told_once_until_it_has_looked() {
    let mut net = Net::new(5);
    let [a, b] = pair(&mut net, |_, _| {});
    let told =
        |net: &Net| net.events(b.0).iter().filter(|e| matches!(e, Event::DatagramReadable { .. })).count();
    for _ in 0..3 {
        net.session(a.0, a.1).send_datagram(b"hello").expect("not too large");
        net.run_for(Duration::from_millis(100));
    }
    assert_eq!(told(&net), 1);
    assert_eq!(receive_all(&mut net, b).len(), 3);
    net.session(a.0, a.1).send_datagram(b"hello").expect("not too large");
    net.run_for(Duration::from_millis(100));
    assert_eq!(told(&net), 2);
}

#[test]
fn empty_ones_fill_a_queue_too() {
    let mut net = Net::new(6);
    let [a, b] = pair(&mut net, |_, setup| setup.config.transport.datagram_buffer = 6400);
    for _ in 0..1000 {
        net.session(a.0, a.1).send_datagram(b"").expect("not too large");
    }
    let dropped = |net: &Net| net.nodes[a.0].engine.session(a.1).expect("open").stats().datagrams_dropped;
    assert_eq!(dropped(&net), (900, 0));
    net.run_for(Duration::from_secs(1));
    assert_eq!(receive_all(&mut net, b).len(), 100);
}
