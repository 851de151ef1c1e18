use std::collections::BTreeMap;

use crust_proto::Priority;
use crust_proto::crypto::pure;
use crust_proto::wire::codec::Reader;
use crust_proto::wire::frame::Frame;
use crust_proto::wire::packet::HEAD_LEN;

use super::testing::transfer;
use super::*;
use crate::{LinkConfig, Packet, seeds};

fn recorder() -> Recorder {
    Recorder::new(RecordLimits::default())
}

/// Two nodes on one wire that exchange messages, recorded; then the world stands still for a while.
fn messages(seed: u64, link: LinkConfig, recorder: &Recorder, count: u32, idle: Duration) {
    let sim = Sim::new(seed);
    let (alice, bob) = sim.pair(link);
    recorder.watch(&sim);
    sim.run(async {
        let a = sim.builder(alice).provider(recorder.provider()).bind().await.unwrap();
        let b = sim.builder(bob).provider(recorder.provider()).bind().await.unwrap();
        let to = a.connect(b.contact()).await.unwrap();
        let from = b.accept().await.unwrap();
        recorder.connection("there", &to);
        recorder.connection("back", &from);
        for n in 0..count {
            to.send_message(Priority::default(), &n.to_be_bytes()).await.unwrap();
            assert_eq!(from.recv_message().await.unwrap().data, n.to_be_bytes());
        }
        sim.sleep(idle).await;
    });
}

#[test]
fn a_recorded_run_is_the_run_that_it_would_have_been() {
    seeds(5, |seed| {
        let recorder = recorder();
        assert_eq!(transfer(seed, 100_000, Some(&recorder)), transfer(seed, 100_000, None));
        assert!(recorder.recording().packets.len() > 100);
    });
}

#[test]
fn what_is_sealed_is_read_and_holds_every_byte_of_a_stream() {
    seeds(5, |seed| {
        let recorder = recorder();
        transfer(seed, 100_000, Some(&recorder));
        let recording = recorder.recording();
        let alice = recording.hosts[0].0;
        let mut bytes: BTreeMap<u64, u8> = BTreeMap::new();
        let (mut hellos, mut replies) = (0, 0);
        for seen in &recording.packets {
            let packet = Packet::parse(seen.packet.clone()).unwrap();
            match (&seen.contents, seen.greeting) {
                (Some(contents), None) => {
                    assert_eq!(contents.len() + 16, packet.payload().len(), "all but the tag");
                    assert_ne!(
                        contents[..HEAD_LEN],
                        packet.payload()[..HEAD_LEN],
                        "it is masked on the wire"
                    );
                    let mut reader = Reader::new(&contents[HEAD_LEN..]);
                    while !reader.is_empty() {
                        if let Frame::Stream(frame) = Frame::decode(&mut reader).unwrap()
                            && seen.host == alice
                        {
                            bytes.extend((frame.offset..).zip(frame.data.iter().copied()));
                        }
                    }
                }
                (None, Some(Greeting::Hello(_))) => hellos += 1,
                (None, Some(Greeting::Reply(_))) => replies += 1,
                other => panic!("nothing is known of a packet: {other:?}"),
            }
        }
        assert!(hellos > 0 && replies > 0, "{hellos} hellos, {replies} replies");
        assert!(bytes.len() == 100_000 && bytes.values().all(|byte| *byte == 7), "{} bytes", bytes.len());
    });
}

#[test]
fn a_damaged_packet_is_not_taken_for_what_was_sealed() {
    let recorder = recorder();
    let link = LinkConfig { corrupt: 200_000, ..LinkConfig::with_latency(Duration::from_millis(5)) };
    messages(3, link, &recorder, 200, Duration::ZERO);
    let recording = recorder.recording();
    let damaged =
        |seen: &&Captured| Packet::parse(seen.packet.clone()).is_ok_and(|packet| !packet.checksum_holds());
    let read = recording.packets.iter().filter(damaged).filter(|seen| seen.contents.is_some());
    // Where the noise hit the headers or the masked head, what was sealed is still whole.
    for seen in read {
        let packet = Packet::parse(seen.packet.clone()).unwrap();
        let whole = recording.packets.iter().filter_map(|other| Packet::parse(other.packet.clone()).ok());
        let sealed = |packet: &Packet| packet.payload()[HEAD_LEN..].to_vec();
        assert!(whole.filter(Packet::checksum_holds).any(|other| sealed(&other) == sealed(&packet)));
    }
    assert!(recording.packets.iter().filter(damaged).any(|seen| seen.contents.is_none()));
}

#[test]
fn packets_beyond_the_limit_are_counted_and_nothing_more_is_remembered() {
    let all = recorder();
    messages(1, LinkConfig::default(), &all, 50, Duration::ZERO);
    let total = all.recording().packets.len();
    let few = Recorder::new(RecordLimits { packets: 40, ..RecordLimits::default() });
    messages(1, LinkConfig::default(), &few, 50, Duration::ZERO);
    let recording = few.recording();
    assert_eq!((recording.packets.len(), recording.packets_left_out), (40, total as u64 - 40));
    assert_eq!(few.state().known.len(), 0);
    assert!(all.state().known.len() <= total);
}

#[test]
fn figures_are_taken_less_often_the_longer_a_run_lasts() {
    let recorder = Recorder::new(RecordLimits { packets: 0, every: Duration::ZERO });
    let sim = Sim::new(1);
    let (alice, bob) = sim.pair(LinkConfig::with_latency(Duration::from_millis(1)));
    recorder.watch(&sim);
    sim.run(async {
        let (a, b) = (sim.builder(alice).bind().await.unwrap(), sim.builder(bob).bind().await.unwrap());
        let to = a.connect(b.contact()).await.unwrap();
        let from = b.accept().await.unwrap();
        // One more than are taken.
        (0..=MOST_CONNECTIONS).for_each(|_| recorder.connection("there", &to));
        for _ in 0..500 {
            to.send_message(Priority::default(), b"another").await.unwrap();
            from.recv_message().await.unwrap();
        }
    });
    let recording = recorder.recording();
    assert_eq!(recording.connections.len(), MOST_CONNECTIONS);
    let samples = recording.samples;
    let most = MOST_SAMPLES + 2 * MOST_CONNECTIONS;
    assert!((MOST_SAMPLES / 4..=most).contains(&samples.len()), "{}", samples.len());
    assert!(recorder.state().every > Duration::from_nanos(2), "every second was forgotten more than once");
    for connection in [0, 1, MOST_CONNECTIONS - 1] {
        let of: Vec<_> = samples.iter().filter(|sample| sample.connection == connection).collect();
        let (first, last) = (of[0].now, of[of.len() - 1].now);
        assert!(last.saturating_since(first) >= Duration::from_millis(480), "all of the run");
        let gap = of.windows(2).map(|pair| pair[1].now.saturating_since(pair[0].now)).max().unwrap();
        assert!(gap < last.saturating_since(first) / 5, "evenly: {gap:?}");
        assert!(of.windows(2).all(|pair| pair[0].bytes_sent <= pair[1].bytes_sent));
    }
}

#[test]
fn the_last_figures_are_those_of_now_and_the_loss_is_among_them() {
    let recorder = recorder();
    let link = LinkConfig { loss: 100_000, ..LinkConfig::with_latency(Duration::from_millis(5)) };
    messages(2, link, &recorder, 100, Duration::from_secs(3));
    let recording = recorder.recording();
    assert_eq!(recording.connections, ["there", "back"]);
    let last = recording.samples.last().unwrap();
    assert!(last.rtt >= Duration::from_millis(10) && last.congestion_window > 0 && last.bytes_received > 0);
    assert!(recording.samples.iter().any(|sample| sample.packets_lost > 0));
}

#[test]
fn a_connection_that_is_watched_still_closes_when_its_program_drops_it() {
    let sim = Sim::new(4);
    let (alice, bob) = sim.pair(LinkConfig::with_latency(Duration::from_millis(5)));
    let recorder = recorder();
    recorder.watch(&sim);
    sim.run(async {
        let a = sim.builder(alice).bind().await.unwrap();
        let b = sim.builder(bob).bind().await.unwrap();
        let to = a.connect(b.contact()).await.unwrap();
        let from = b.accept().await.unwrap();
        recorder.connection("there", &to);
        sim.sleep(Duration::from_millis(100)).await;
        drop(to);
        from.closed().await;
        sim.sleep(Duration::from_secs(60)).await;
    });
    let last = recorder.recording().samples.last().unwrap().now;
    assert!(last < Instant::ZERO + Duration::from_secs(30), "it ended, and figures with it: {last:?}");
}

#[test]
fn notes_stand_in_the_order_of_time_and_their_number_is_bounded() {
    let sim = Sim::new(1);
    let recorder = recorder();
    recorder.watch(&sim);
    let at = Instant::ZERO + Duration::from_secs(2);
    recorder.note_at(at, None, "second");
    sim.run_for(Duration::from_secs(1));
    recorder.note(None, "first");
    let texts: Vec<_> = recorder.recording().notes.into_iter().map(|note| (note.now, note.text)).collect();
    let first = Instant::ZERO + Duration::from_secs(1);
    assert_eq!(texts, [(first, "first".to_owned()), (at, "second".to_owned())]);
    for _ in 0..MOST_NOTES {
        recorder.note(None, "more");
    }
    let recording = recorder.recording();
    assert_eq!((recording.notes.len(), recording.notes_left_out), (MOST_NOTES, 2));
}

#[test]
fn a_host_has_one_name_the_last_and_keeps_its_first_place() {
    let sim = Sim::new(1);
    let (alice, bob) = sim.pair(LinkConfig::default());
    let recorder = recorder();
    recorder.name(bob, "b");
    recorder.name(alice, "alice");
    recorder.name(bob, "bob");
    assert_eq!(recorder.recording().hosts, [(bob, "bob".to_owned()), (alice, "alice".to_owned())]);
}

#[test]
fn a_provider_stays_the_one_that_it_was() {
    let recorder = recorder();
    transfer(1, 1_000, Some(&recorder));
    let provider = recorder.provider_over(pure::pure());
    assert!(format!("{provider:?}").len() < 200, "a node that prints its provider prints no run");
    assert_eq!(provider.name(), pure::pure().name());
    let (key, nonce) = ([3; 32], [5; 12]);
    for aead in [crust_proto::crypto::Aead::ChaCha20Poly1305, crust_proto::crypto::Aead::Aes256Gcm] {
        for aad in [&b""[..], &[1; 16], &[1; 32], &[1; 48]] {
            let (mut ours, mut theirs) = (*b"some words to seal", *b"some words to seal");
            let tag = provider.aead(aead, &key).seal(&nonce, aad, &mut ours);
            assert_eq!(tag, pure::pure().aead(aead, &key).seal(&nonce, aad, &mut theirs));
            assert_eq!(ours, theirs);
            provider.aead(aead, &key).open(&nonce, aad, &mut ours, &tag).unwrap();
            assert_eq!(&ours, b"some words to seal");
        }
    }
}
