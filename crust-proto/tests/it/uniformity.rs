//! To whoever lacks the network's key, what is sent looks like random bytes: no field is constant, no position
//! prefers a value, no two datagrams share anything, and lengths tell little.

use std::collections::{BTreeMap, BTreeSet};

use crust_proto::crypto::Aead;
use crust_proto::crypto::keys::TrafficSecret;
use crust_proto::crypto::mask::{MaskKey, MaskKind};
use crust_proto::crypto::pure::pure;
use crust_proto::crypto::random::Random;
use crust_proto::handshake::envelope::{HelloHead, HelloKey, HelloKind, ReplyKind, VERSION};
use crust_proto::identity::NetworkSecret;
use crust_proto::wire::record::{RECORD_OVERHEAD, seal_record};
use crust_proto::wire::stream::{AttachData, AttachHead};
use crust_proto::{Duration, Network, Priority, Seed, UnixTime};

use crate::app::content;
use crate::net::{Net, Wire};

/// The χ² of 255 degrees of freedom that random bytes exceed once in 10⁹ (Wilson and Hilferty's approximation
/// for 6 standard deviations); with fewer than a thousand positions a test errs once in a million seeds.
const BOUND: f64 = 415.0;

/// χ² of the bytes that `at` picks from each datagram that is long enough.
fn chi_square(data: &[Vec<u8>], at: impl Fn(&[u8]) -> Option<u8>) -> Option<f64> {
    let mut counts = [0u64; 256];
    data.iter().filter_map(|d| at(d)).for_each(|byte| counts[usize::from(byte)] += 1);
    let total: u64 = counts.iter().sum();
    let expected = total as f64 / 256.0;
    // Below five a cell the distribution is not χ².
    (expected >= 5.0).then(|| counts.iter().map(|&n| (n as f64 - expected).powi(2) / expected).sum())
}

fn assert_uniform(data: &[Vec<u8>], what: &str) {
    let longest = data.iter().map(Vec::len).max().unwrap_or(0).min(400);
    let mut positions = 0;
    for i in 0..longest {
        for (end, value) in [
            ("start", chi_square(data, |d| d.get(i).copied())),
            ("end", chi_square(data, |d| d.get(d.len().checked_sub(i + 1)?).copied())),
        ] {
            if let Some(value) = value {
                positions += 1;
                assert!(value < BOUND, "{what}: byte {i} from the {end} is not uniform: χ² {value}");
            }
        }
    }
    assert!(positions >= 64, "{what}: only {positions} positions were looked at");
    // A constant under a constant mask shows only in the difference.
    let pairs: Vec<Vec<u8>> =
        data.windows(2).map(|w| w[0].iter().zip(&w[1]).map(|(a, b)| a ^ b).collect()).collect();
    for i in 0..longest {
        if let Some(value) = chi_square(&pairs, |d| d.get(i).copied()) {
            assert!(value < BOUND, "{what}: byte {i} is like that of the datagram before: χ² {value}");
        }
    }
    // Nor do two share a block anywhere.
    let mut seen = BTreeSet::new();
    for datagram in data {
        for block in datagram.chunks_exact(8) {
            assert!(seen.insert(block), "{what}: two equal blocks of eight bytes");
        }
    }
}

/// Handshakes of many pairs of nodes, in one network with a secret or without. First flights and answers.
fn handshakes(by_id: bool, secret: bool, count: u64) -> [Vec<Vec<u8>>; 2] {
    let mut flights = [Vec::new(), Vec::new()];
    let network =
        || Network::new("test", secret.then(|| NetworkSecret::from_bytes([3; 32]))).expect("a good name");
    for seed in 0..count.div_ceil(40) {
        let mut net = Net::of(seed + 1000, network());
        net.wire = Some(Vec::new());
        let hub = net.add();
        let there = net.address(hub);
        for _ in 0..40 {
            let node = net.add();
            let attempt = if by_id { net.dial_id(node, hub) } else { net.dial(node, there) };
            net.finish(node, attempt).expect("a session");
        }
        let mut seen = BTreeSet::new();
        for Wire { from, to, data, .. } in net.wire.take().unwrap_or_default() {
            // The first datagram in each direction of each pair.
            if seen.insert((from, to)) {
                flights[usize::from(from == there)].push(data);
            }
        }
    }
    flights
}

#[test]
fn hellos_and_their_answers_look_random() {
    for (by_id, secret) in [(true, false), (false, true)] {
        let [hellos, answers] = handshakes(by_id, secret, 1600);
        assert_uniform(&hellos, "hellos");
        assert_uniform(&answers, "answers");
        for (what, data) in [("hellos", hellos), ("answers", answers)] {
            let lengths: BTreeSet<_> = data.iter().map(Vec::len).collect();
            assert!(lengths.len() >= 64, "{what} have only {} lengths", lengths.len());
            let mut counts = BTreeMap::new();
            data.iter().for_each(|d| *counts.entry(d.len()).or_insert(0) += 1);
            let most = counts.values().max().copied().unwrap_or(0);
            assert!(most * 20 < data.len(), "{what}: one length has {most} of {}", data.len());
        }
    }
}

#[test]
fn data_looks_random() {
    let mut net = Net::new(1);
    let (a, b) = (net.add(), net.add());
    let (at_a, at_b) = net.connect(a, b);
    net.wire = Some(Vec::new());
    // All zeros, so that encryption that fails shows.
    for _ in 0..3 {
        net.session(a, at_a).send_message(Priority::default(), &vec![0; 1 << 20], false).expect("room");
        net.run_until("it arrives", |net| net.session(b, at_b).recv_message().is_some());
    }
    net.run_for(Duration::from_secs(10));
    let from_a = net.address(a);
    let (sent, acks): (Vec<Wire>, Vec<Wire>) =
        net.wire.take().unwrap_or_default().into_iter().partition(|w| w.from == from_a);
    assert!(sent.len() > 2500, "{} datagrams", sent.len());
    assert_uniform(&sent.into_iter().map(|w| w.data).collect::<Vec<_>>(), "data");
    assert!(acks.len() > 300, "{} acknowledgements", acks.len());
}

#[test]
fn acknowledgements_and_small_packets_look_random() {
    let mut net = Net::new(2);
    let (a, b) = (net.add(), net.add());
    let (at_a, at_b) = net.connect(a, b);
    net.wire = Some(Vec::new());
    for i in 0..2000u64 {
        net.session(a, at_a).send_message(Priority::default(), &content(1, i % 3), false).expect("room");
        net.run_for(Duration::from_millis(30));
        while net.session(b, at_b).recv_message().is_some() {}
    }
    let from_a = net.address(a);
    let (sent, acks): (Vec<Wire>, Vec<Wire>) =
        net.wire.take().unwrap_or_default().into_iter().partition(|w| w.from == from_a);
    for (what, wire) in [("small packets", sent), ("acknowledgements", acks)] {
        assert!(wire.len() >= 1500, "{what}: {}", wire.len());
        assert_uniform_short(&wire.into_iter().map(|w| w.data).collect::<Vec<_>>(), what);
    }
}

/// As [`assert_uniform`], for datagrams too short for so many positions.
fn assert_uniform_short(data: &[Vec<u8>], what: &str) {
    let shortest = data.iter().map(Vec::len).min().unwrap_or(0);
    assert!(shortest >= 32, "{what}: head and tag are 32 bytes");
    for i in 0..shortest {
        let value = chi_square(data, |d| d.get(i).copied()).expect("enough of them");
        assert!(value < BOUND, "{what}: byte {i} is not uniform: χ² {value}");
    }
}

/// Retries and NotMe's are rare on a wire, and must not stand out for it.
#[test]
fn retries_look_random() {
    let mut retries = Vec::new();
    let mut not_mes = Vec::new();
    for seed in 0..34 {
        let mut net = Net::new(seed + 2000);
        net.wire = Some(Vec::new());
        let hub = net.add_with(|setup| setup.config.handshake.cookie_threshold = 0);
        let there = net.address(hub);
        let missing = net.add();
        for i in 0..100 {
            let node = net.add();
            let attempt = match i % 2 {
                0 => net.dial_id(node, hub),
                _ => net.dial(node, (net.id(missing), there)),
            };
            let _ = net.finish(node, attempt);
            let first = net.wire.iter_mut().flatten().find(|w| w.from == there).map(|w| w.data.clone());
            if i % 2 == 0 {
                retries.extend(first)
            } else {
                not_mes.extend(first)
            }
            net.wire = Some(Vec::new());
        }
    }
    assert!(retries.len() > 1500 && not_mes.len() > 1500, "{} {}", retries.len(), not_mes.len());
    assert_uniform_short(&retries, "retries");
    assert_uniform_short(&not_mes, "NotMe");
}

/// The first 16 bytes of a frame are random, the next are masked by them; a body is a hello, a reply, or sealed.
#[test]
fn greetings_on_a_stream_look_random() {
    let provider = &*pure();
    let key = HelloKey::new(Network::new("test", None).expect("a good name").hello_key(None));
    let mut random = Random::new(Seed::new([1; 32]), &[]);
    let (mut hellos, mut replies, mut sealed) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..1600 {
        let wall = UnixTime::from_millis(1_800_000_000_000 + i);
        let head = HelloHead { kind: HelloKind::InitiateKnown, version: VERSION, wall };
        let (mut hello, mut reply) = (Vec::new(), Vec::new());
        let salt = random.wire_array();
        key.seal_hello(provider, head, salt, random.wire_array(), &[0; 300], 900, &mut sealed)
            .expect("it fits");
        key.frame_hello(random.wire_array(), &sealed, &mut hello).expect("a hello");
        let kind = ReplyKind::Response;
        key.seal_reply(provider, &salt, random.wire_array(), kind, &[0; 300], 900, &mut sealed)
            .expect("it fits");
        key.frame_reply(&sealed, &mut reply).expect("a reply");
        hellos.push(hello);
        replies.push(reply);
    }
    assert_uniform(&hellos, "framed hellos");
    assert_uniform(&replies, "framed replies");
}

#[test]
fn attaches_and_records_look_random() {
    let mask = MaskKey::new(MaskKind::Aes256, &[1; 32]);
    let mut random = Random::new(Seed::new([1; 32]), &[]);
    for aead in [Aead::ChaCha20Poly1305, Aead::Aes256Gcm] {
        let key = TrafficSecret::new([1; 32]).packet_key(&*pure(), aead);
        let (mut attaches, mut records, mut small) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=1600 {
            // The same session and nearly the same path, all its frames alike.
            let path = 2 * u32::try_from(number).expect("small");
            let head = AttachHead { slot: 1, check: 2, epoch: 0, path, len: 900 };
            let mut room = vec![0; 932];
            let seal = |data: &AttachData, body: &mut [u8]| key.seal(path, 0, data, body);
            head.seal_attach(random.wire_array(), &mask, &mut room, 0, seal).expect("it fits");
            attaches.push(room);
            for (len, out) in [(500, &mut records), (1, &mut small)] {
                // Each on a path of its own: numbers count for each.
                let path = u32::try_from(len).expect("small");
                let mut room = vec![0; RECORD_OVERHEAD + len];
                seal_record(number, &mut room, len, |number, data| key.seal(path, number, &[], data))
                    .expect("it fits");
                out.push(room);
            }
        }
        assert_uniform(&attaches, "Attaches");
        assert_uniform(&records, "records");
        assert_uniform_short(&small, "small records");
    }
}
