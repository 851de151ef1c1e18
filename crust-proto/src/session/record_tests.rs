use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};

use super::*;
use crate::crypto::mask::MaskKind;
use crate::crypto::pure::{PureProvider, pure};
use crate::crypto::testing::providers;
use crate::crypto::{Aead, AeadKey, CryptoProvider, NONCE_LEN, Zeroizing};
use crate::wire::codec::Reader;
use crate::wire::frame::Frame;
use crate::wire::record::{BOX_LEN, FIRST_RECORD, RECORD_OVERHEAD, frames_room};
use crate::wire::stream::{Claim, FRAME_LEN, GreetingReader};
use proptest::prelude::*;

const PATH: u32 = 2;
const NOW: Instant = Instant::ZERO;

/// Both ends' keys.
fn pair(provider: Arc<dyn CryptoProvider>, aead: Aead) -> [Keys; 2] {
    let (ab, ba) = ([1; 32], [2; 32]);
    [(ab, ba), (ba, ab)].map(|(send, receive)| {
        Keys::new(provider.clone(), aead, Zeroizing::new(send), Zeroizing::new(receive), u64::MAX)
    })
}

fn chacha() -> [Keys; 2] {
    pair(pure(), Aead::ChaCha20Poly1305)
}

fn mask() -> MaskKey {
    MaskKey::new(MaskKind::Aes256, &[3; 32])
}

fn attach(keys: &mut Keys, path: u32, frames: &[u8]) -> Vec<u8> {
    let head = AttachHead { slot: 5, check: 6, epoch: 0xff, path, len: 900 };
    let mut room = vec![0xee; FRAME_LEN + 900];
    room[FRAME_LEN..FRAME_LEN + frames.len()].copy_from_slice(frames);
    assert_eq!(seal_attach(keys, head, [9; 16], &mask(), &mut room, frames.len()), Some(room.len()));
    room
}

fn record(keys: &mut Keys, path: u32, number: u64, frames: &[u8]) -> Vec<u8> {
    let mut room = vec![0; RECORD_OVERHEAD + frames.len()];
    frames_room(&mut room).unwrap().copy_from_slice(frames);
    assert_eq!(seal_record(keys, path, number, &mut room, frames.len()), Some(room.len()));
    room
}

/// Takes an Attach, in one piece.
fn attached(keys: &mut Keys, written: &[u8]) -> Result<(Incoming, Vec<u8>), OpenError> {
    let (frame, body) = written.split_first_chunk().unwrap();
    let (head, data) = AttachHead::open(frame, &mask()).ok_or(OpenError)?;
    let mut body = body.to_vec();
    let (incoming, _, frames) = Incoming::open(keys, &head, &data, &mut body, NOW)?;
    Ok((incoming, frames.to_vec()))
}

/// Takes records, in one piece: their frames.
fn received(incoming: &mut Incoming, keys: &mut Keys, bytes: &[u8]) -> Result<Vec<Vec<u8>>, RecordError> {
    let (mut bytes, mut out) = (bytes.to_vec(), Vec::new());
    let mut rest = &mut bytes[..];
    while let Some((record, _)) = incoming.next(keys, &mut rest, NOW)? {
        out.push(record.to_vec());
    }
    Ok(out)
}

/// An attached path from the first of the ends to the second.
fn path(ends: &mut [Keys; 2], number: u32) -> Incoming {
    let [a, b] = ends;
    let (incoming, _) = attached(b, &attach(a, number, b"")).unwrap();
    b.release_below(Some(incoming.epoch()), NOW);
    incoming
}

/// A packet over UDP.
struct Packet {
    epoch: u8,
    number: u64,
    tag: [u8; TAG_LEN],
}

fn packet(keys: &mut Keys, number: u64) -> Packet {
    Packet { epoch: keys.epoch_byte(), number, tag: keys.seal(0, number, b"head", &mut []) }
}

fn opens(keys: &mut Keys, packet: &Packet, forget: Instant) -> bool {
    keys.open(packet.epoch, 0, packet.number, b"head", &mut [], &packet.tag, forget).is_ok()
}

/// The first end updates, and both hear each other over UDP.
fn update([a, b]: &mut [Keys; 2], number: u64) {
    let heard = packet(b, 4 * number);
    assert!(opens(a, &heard, NOW));
    a.on_timeout(NOW);
    assert!(a.update());
    for number in [4 * number, 4 * number + 1] {
        let to_b = packet(a, number);
        assert!(opens(b, &to_b, NOW));
        let to_a = packet(b, number + 1);
        assert!(opens(a, &to_a, NOW));
    }
    a.on_timeout(NOW);
    b.on_timeout(NOW);
}

proptest! {
    /// What a stream carries from its first byte on: greetings, an Attach, records of several epochs.
    #[test]
    fn a_stream_reads_back_however_it_is_split_and_the_keys_are_updated(
        steps in prop::collection::vec((any::<bool>(), 1usize..3000), 1..20),
        sizes in prop::collection::vec(1usize..4000, 1..10),
        aes: bool,
    ) {
        let aead = if aes { Aead::Aes256Gcm } else { Aead::ChaCha20Poly1305 };
        let mut ends = pair(pure(), aead);
        let mut greet = [0; FRAME_LEN + 40];
        let greeting = AttachHead { slot: 7, check: 7, epoch: 7, path: 7, len: 40 };
        greeting.seal_attach([1; 16], &mask(), &mut greet, 0, |_, _| [1; TAG_LEN]).unwrap();
        let mut pieces = vec![greet.to_vec(), attach(&mut ends[0], PATH, &[1; 50])];
        let mut expected = Vec::new();
        let mut reader = GreetingReader::new();
        let mut incoming = None;
        let mut updates = 0;
        for (number, (updates_now, len)) in (FIRST_RECORD..).zip(steps) {
            // An Attach that is late for an update is a path less, and no matter of the reader's.
            if updates_now && number > FIRST_RECORD {
                updates += 1;
                update(&mut ends, updates);
            }
            let frames = vec![u8::try_from(number).unwrap(); len];
            pieces.push(record(&mut ends[0], PATH, number, &frames));
            expected.push(frames);
            // As the session does; here all that was written arrives before the next update.
            let mut bytes = pieces.drain(..).flatten().collect::<Vec<_>>();
            let (mut rest, mut sizes) = (&mut bytes[..], sizes.iter().cycle());
            while !rest.is_empty() {
                let size = (*sizes.next().unwrap()).min(rest.len());
                let (mut piece, others) = core::mem::take(&mut rest).split_at_mut(size);
                rest = others;
                if incoming.is_none() {
                    let recognise = |frame: &_| {
                        let (head, data) = AttachHead::open(frame, &mask())?;
                        Some(Claim { what: (head, data), len: head.len.into(), attach: head.slot == 5 })
                    };
                    while let Some(greeting) = reader.next(&mut piece, recognise).unwrap() {
                        let (head, data) = greeting.what;
                        if head.slot == 5 {
                            let (taken, _, frames) =
                                Incoming::open(&mut ends[1], &head, &data, greeting.body(), NOW).unwrap();
                            prop_assert!(frames.starts_with(&[1; 50]));
                            incoming = Some(taken);
                        }
                    }
                }
                if let Some(incoming) = &mut incoming {
                    while let Some((record, _)) = incoming.next(&mut ends[1], &mut piece, NOW).unwrap() {
                        prop_assert_eq!(&record[..], &expected.remove(0)[..]);
                    }
                    ends[1].release_below(Some(incoming.epoch()), NOW);
                    prop_assert!(ends[1].reaches(incoming.epoch()));
                }
                prop_assert!(piece.is_empty());
            }
        }
        prop_assert!(expected.is_empty());
        prop_assert!(incoming.is_some_and(|incoming| !incoming.is_partial()));
    }

    /// Packets, Attaches, boxes and records of all paths share a key, and never a nonce.
    #[test]
    fn no_nonce_is_used_twice(
        steps in prop::collection::vec((1u32..5, 0usize..8, 1usize..40), 1..150),
    ) {
        let (spy, sealed) = mpsc::channel();
        let mut ends = pair(Arc::new(Spy(spy)), Aead::ChaCha20Poly1305);
        // What each path sends next; the even ones are streams, the first is UDP's.
        let mut next = BTreeMap::new();
        let mut updates = 0;
        for (path, what, len) in steps {
            let number = next.entry(path).or_insert(0);
            for keys in &mut ends {
                match path {
                    1 | 3 => _ = keys.seal(path, *number, b"head", &mut vec![0; len]),
                    _ if *number == 0 => _ = attach(keys, path, &vec![0; len]),
                    _ => _ = record(keys, path, *number, &vec![0; len]),
                }
            }
            *number += 1;
            if what == 0 {
                updates += 1;
                update(&mut ends, updates);
            }
        }
        drop(ends);
        let mut seen = BTreeSet::new();
        for used in sealed {
            prop_assert!(seen.insert(used), "{:?} was used twice", used);
        }
    }
}

/// Reports under which key, and with which nonce, something was sealed.
#[derive(Debug)]
struct Spy(mpsc::Sender<([u8; 32], [u8; NONCE_LEN])>);

struct SpyKey {
    key: [u8; 32],
    inner: Box<dyn AeadKey>,
    report: mpsc::Sender<([u8; 32], [u8; NONCE_LEN])>,
}

impl CryptoProvider for Spy {
    fn name(&self) -> &'static str {
        "spy"
    }

    fn public_key(&self, secret: &[u8; 32]) -> [u8; 32] {
        PureProvider.public_key(secret)
    }

    fn dh(&self, secret: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        PureProvider.dh(secret, public)
    }

    fn aead(&self, aead: Aead, key: &[u8; 32]) -> Box<dyn AeadKey> {
        Box::new(SpyKey { key: *key, inner: PureProvider.aead(aead, key), report: self.0.clone() })
    }
}

impl AeadKey for SpyKey {
    fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        self.report.send((self.key, *nonce)).unwrap();
        self.inner.seal(nonce, aad, data)
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        self.inner.open(nonce, aad, data, tag)
    }
}

#[test]
fn a_path_that_slept_through_two_updates_goes_on_and_one_through_three_does_not() {
    for slept in 0..5 {
        let mut ends = chacha();
        let mut incoming = path(&mut ends, PATH);
        for n in 0..slept {
            update(&mut ends, n + 1);
            ends[1].release_below(Some(incoming.epoch()), NOW);
        }
        let [a, b] = &mut ends;
        assert_eq!(b.reaches(incoming.epoch()), slept <= 2);
        let written = record(a, PATH, FIRST_RECORD, b"awake");
        let result = received(&mut incoming, b, &written);
        match slept {
            0..=2 => {
                assert_eq!(result, Ok(vec![b"awake".to_vec()]));
                assert_eq!(incoming.epoch(), slept, "it caught up");
            }
            _ => assert_eq!(result, Err(RecordError::Broken)),
        }
    }
}

#[test]
fn what_a_slow_stream_still_holds_opens_after_two_updates() {
    let mut ends = chacha();
    let mut incoming = path(&mut ends, PATH);
    let mut held = Vec::new();
    for n in 0..3 {
        held.extend(record(&mut ends[0], PATH, FIRST_RECORD + n, &[7; 20]));
        if n < 2 {
            update(&mut ends, n + 1);
            ends[1].release_below(Some(incoming.epoch()), NOW);
        }
    }
    assert_eq!(received(&mut incoming, &mut ends[1], &held), Ok(vec![vec![7; 20]; 3]));
    assert_eq!(incoming.epoch(), 2);
}

#[test]
fn an_update_in_the_middle_of_a_record_changes_nothing_for_it() {
    let mut ends = chacha();
    let mut incoming = path(&mut ends, PATH);
    let written = record(&mut ends[0], PATH, FIRST_RECORD, &[7; 500]);
    for (n, part) in (1..).zip(written.chunks(180)) {
        assert_eq!(incoming.is_partial(), n > 1);
        let got = received(&mut incoming, &mut ends[1], part).unwrap();
        assert_eq!(got.len(), usize::from(n == 3));
        if n < 3 {
            update(&mut ends, n);
            ends[1].release_below(Some(incoming.epoch()), NOW);
        }
    }
}

#[test]
fn a_record_of_the_next_epoch_is_followed_and_lets_the_next_update_begin() {
    let mut ends = chacha();
    let mut incoming = path(&mut ends, PATH);
    let [a, b] = &mut ends;
    let heard = packet(b, 1);
    assert!(opens(a, &heard, NOW) && a.update());
    let mut written = record(a, PATH, FIRST_RECORD, b"new");
    let mut rest = &mut written[..];
    let (_, opened) = incoming.next(b, &mut rest, NOW + crate::Duration::from_secs(3)).unwrap().unwrap();
    assert_eq!((opened, b.epoch_byte()), (Opened::Updated, 1));
    assert_eq!(b.timeout(), Some(NOW + crate::Duration::from_secs(3)), "late datagrams have their time");
    assert!(!b.update(), "until then");
    b.on_timeout(NOW + crate::Duration::from_secs(3));
    assert!(b.update());
}

#[test]
fn a_box_alone_moves_no_keys() {
    let mut ends = chacha();
    let mut incoming = path(&mut ends, PATH);
    let [a, b] = &mut ends;
    let heard = packet(b, 1);
    assert!(opens(a, &heard, NOW) && a.update());
    let written = record(a, PATH, FIRST_RECORD, b"new");
    assert_eq!(received(&mut incoming, b, &written[..BOX_LEN]), Ok(vec![]));
    assert_eq!((incoming.epoch(), b.epoch_byte()), (1, 0));
    b.release_below(Some(incoming.epoch()), NOW);
    assert_eq!(received(&mut incoming, b, &written[BOX_LEN..]).map(|r| r.len()), Ok(1));
    assert_eq!(b.epoch_byte(), 1);
}

#[test]
fn a_path_never_goes_back_to_an_earlier_epoch() {
    let mut ends = chacha();
    let mut incoming = path(&mut ends, PATH);
    // Another path keeps the first epoch's key.
    let other = path(&mut ends, PATH + 2);
    let old = record(&mut ends[0], PATH, FIRST_RECORD + 1, b"old");
    update(&mut ends, 1);
    let new = record(&mut ends[0], PATH, FIRST_RECORD, b"new");
    ends[1].release_below(Some(other.epoch()), NOW);
    assert_eq!(received(&mut incoming, &mut ends[1], &new).map(|r| r.len()), Ok(1));
    assert!(ends[1].reaches(0));
    assert_eq!(received(&mut incoming, &mut ends[1], &old), Err(RecordError::Broken));
}

#[test]
fn a_failed_record_counts_as_one_forgery_wherever_it_fails() {
    for at in [0, BOX_LEN - 1, BOX_LEN, RECORD_OVERHEAD] {
        let mut ends = chacha();
        let mut incoming = path(&mut ends, PATH);
        for n in 0..2 {
            update(&mut ends, n + 1);
            ends[1].release_below(Some(incoming.epoch()), NOW);
        }
        let [a, b] = &mut ends;
        let good = record(a, PATH, FIRST_RECORD, b"good");
        let mut bad = record(a, PATH, FIRST_RECORD + 1, b"bad");
        bad[at] ^= 1;
        // Its box is tried with the keys of three epochs.
        assert_eq!(received(&mut incoming, b, &good).map(|r| r.len()), Ok(1));
        assert_eq!(b.forged(), 0, "a miss is no forgery");
        assert_eq!(received(&mut incoming, b, &bad), Err(RecordError::Broken));
        assert_eq!(received(&mut incoming, b, &bad), Err(RecordError::Broken));
        assert_eq!(b.forged(), 1);
    }
}

#[test]
fn a_record_counts_as_two_seals_and_an_attach_as_one() {
    let [mut a, _] = chacha();
    attach(&mut a, PATH, b"");
    assert_eq!(a.sealed(), 1);
    record(&mut a, PATH, FIRST_RECORD, b"data");
    assert_eq!(a.sealed(), 3);
}

#[test]
fn an_attach_opens_with_its_frames_and_no_changed_bit_of_it_goes_unnoticed() {
    let [mut a, mut b] = chacha();
    let written = attach(&mut a, PATH, &[1; 20]);
    let (incoming, frames) = attached(&mut b, &written).unwrap();
    assert_eq!((incoming.path, incoming.epoch()), (PATH, 0));
    assert_eq!(frames[..20], [1; 20]);
    let mut reader = Reader::new(&frames[20..]);
    assert_eq!(Frame::decode(&mut reader), Ok(Frame::Padding));
    assert!(reader.is_empty(), "one frame of PADDING, however long");
    for at in 0..written.len() * 8 {
        let mut damaged = written.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        assert!(attached(&mut b, &damaged).is_err(), "bit {at}");
    }
    for len in 0..written.len() {
        if len >= FRAME_LEN {
            assert!(attached(&mut b, &written[..len]).is_err());
        }
    }
    // Its seed is covered too, though it only masks.
    let head = AttachHead { slot: 5, check: 6, epoch: 0, path: PATH, len: 900 };
    let (frame, _) = head.seal([8; 16], &mask());
    assert!(attached(&mut b, &[&frame[..], &written[FRAME_LEN..]].concat()).is_err());
}

#[test]
fn an_attach_of_a_neighbouring_epoch_opens_while_there_is_a_key_for_it() {
    // The peer is ahead.
    let [mut a, mut b] = chacha();
    let heard = packet(&mut b, 1);
    assert!(opens(&mut a, &heard, NOW) && a.update());
    let written = attach(&mut a, PATH, b"");
    assert_eq!(attached(&mut b, &written).unwrap().0.epoch(), 1);
    assert_eq!(b.epoch_byte(), 1, "and is followed");
    // The peer was behind when it wrote.
    for kept in [None, Some(0)] {
        let mut ends = chacha();
        let written = attach(&mut ends[0], PATH, b"");
        ends[1].release_below(kept, NOW);
        update(&mut ends, 1);
        assert_eq!(attached(&mut ends[1], &written).map(|(path, _)| path.epoch()).ok(), kept);
    }
}

#[test]
fn all_providers_make_the_same_streams() {
    for aead in [Aead::ChaCha20Poly1305, Aead::Aes256Gcm] {
        let streams = providers().into_iter().map(|provider| {
            let [mut a, _] = pair(provider, aead);
            let mut stream = attach(&mut a, PATH, &[1; 40]);
            for number in FIRST_RECORD..5 {
                stream.extend(record(&mut a, PATH, number, &vec![2; 5000]));
            }
            stream
        });
        let streams: Vec<_> = streams.collect();
        assert!(streams.windows(2).all(|pair| pair[0] == pair[1]), "{aead:?}");
    }
}
