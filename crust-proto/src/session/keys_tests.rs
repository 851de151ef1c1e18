use super::*;
use crate::config::TransportConfig;
use crate::crypto::mask::MaskKind;
use crate::crypto::pure::pure;
use crate::event::{CloseReason, Misbehaviour, SessionId};
use crate::handshake::params::{Addressing, AeadSet, Params};
use crate::identity::PeerId;
use crate::io::SocketId;
use crate::path::{Route, Way};
use crate::session::{Established, Session};
use crate::streams::Side;
use crate::wire::packet::{self, HEAD_LEN, Head};
use crate::{Duration, Instant};
use proptest::prelude::*;

const FORGET: Duration = Duration::from_secs(1);

struct End {
    keys: Keys,
    number: u64,
}

struct Packet {
    epoch: u8,
    number: u64,
    data: Vec<u8>,
    tag: [u8; TAG_LEN],
}

fn pair(update_after: u64) -> [End; 2] {
    let (ab, ba) = ([1; 32], [2; 32]);
    [(ab, ba), (ba, ab)].map(|(send, receive)| End {
        keys: Keys::new(
            pure(),
            Aead::ChaCha20Poly1305,
            Zeroizing::new(send),
            Zeroizing::new(receive),
            update_after,
        ),
        number: 0,
    })
}

impl End {
    fn seal(&mut self) -> Packet {
        self.keys.update_if_worn();
        self.number += 1;
        let mut data = self.number.to_be_bytes().to_vec();
        let epoch = self.keys.epoch_byte();
        let tag = self.keys.seal(0, self.number, b"head", &mut data);
        Packet { epoch, number: self.number, data, tag }
    }

    fn open(&mut self, p: &Packet, now: Instant) -> Result<Opened, OpenError> {
        let mut data = p.data.clone();
        let opened = self.keys.open(p.epoch, 0, p.number, b"head", &mut data, &p.tag, now + FORGET)?;
        assert_eq!(data, p.number.to_be_bytes());
        Ok(opened)
    }
}

proptest! {
    /// Whoever updates, whenever, whatever is lost: as long as packets are not older than an epoch, they open.
    #[test]
    fn no_packet_in_order_fails_to_open_however_the_keys_are_updated(
        steps in prop::collection::vec((0usize..2, any::<bool>(), any::<bool>()), 1..300),
    ) {
        let mut ends = pair(u64::MAX);
        for (from, update, lost) in steps {
            if update {
                ends[from].keys.update();
            }
            let packet = ends[from].seal();
            if !lost {
                prop_assert!(ends[1 - from].open(&packet, Instant::ZERO).is_ok());
            }
        }
        let (a, b) = (ends[0].keys.epoch, ends[1].keys.epoch);
        prop_assert!(a.abs_diff(b) <= 1, "epochs {} and {}", a, b);
    }
}

#[test]
fn both_sides_may_update_at_once() {
    let mut ends = pair(u64::MAX);
    for from in [0, 1] {
        let hello = ends[from].seal();
        ends[1 - from].open(&hello, Instant::ZERO).unwrap();
    }
    assert!(ends[0].keys.update());
    assert!(ends[1].keys.update());
    let packets = [ends[0].seal(), ends[1].seal()];
    assert_eq!(ends[1].open(&packets[0], Instant::ZERO), Ok(Opened::Known));
    assert_eq!(ends[0].open(&packets[1], Instant::ZERO), Ok(Opened::Known));
    assert_eq!((ends[0].keys.epoch, ends[1].keys.epoch), (1, 1));
}

#[test]
fn a_key_is_replaced_before_it_is_worn_out_and_the_peer_follows() {
    let mut ends = pair(10);
    for round in 0..200 {
        for from in [0, 1] {
            let packet = ends[from].seal();
            ends[1 - from].open(&packet, Instant::ZERO).unwrap();
            ends[1 - from].keys.on_timeout(Instant::ZERO + FORGET);
            assert!(ends[from].keys.sealed <= 11, "round {round}");
        }
    }
    assert!(ends[0].keys.epoch >= 18, "{}", ends[0].keys.epoch);
}

#[test]
fn a_second_update_waits_until_the_peer_has_followed_the_first() {
    let mut ends = pair(u64::MAX);
    assert!(!ends[0].keys.update(), "nothing was heard yet");
    let hello = ends[1].seal();
    ends[0].open(&hello, Instant::ZERO).unwrap();
    assert!(ends[0].keys.update());
    assert!(!ends[0].keys.update(), "the peer has not followed");
}

#[test]
fn the_old_key_lives_for_late_packets_and_then_dies() {
    let mut ends = pair(u64::MAX);
    let hello = ends[1].seal();
    ends[0].open(&hello, Instant::ZERO).unwrap();
    let late = [ends[1].seal(), ends[1].seal()];
    ends[0].keys.update();
    let moved = ends[0].seal();
    assert_eq!(ends[1].open(&moved, Instant::ZERO), Ok(Opened::Updated));
    let followed = ends[1].seal();
    ends[0].open(&followed, Instant::ZERO).unwrap();
    assert_eq!(ends[0].open(&late[0], Instant::ZERO), Ok(Opened::Known));
    assert_eq!(ends[0].keys.timeout(), Some(Instant::ZERO + FORGET));
    ends[0].keys.on_timeout(Instant::ZERO + FORGET);
    assert_eq!(ends[0].open(&late[1], Instant::ZERO), Err(OpenError));
    assert_eq!(ends[0].keys.timeout(), None);
}

#[test]
fn a_forged_packet_of_the_next_epoch_moves_nothing() {
    let mut ends = pair(u64::MAX);
    let mut forged = ends[1].seal();
    forged.epoch += 1;
    assert_eq!(ends[0].open(&forged, Instant::ZERO), Err(OpenError));
    assert_eq!((ends[0].keys.epoch, ends[0].keys.forged), (0, 1));
    assert!(!ends[0].keys.too_many_forged());
    ends[0].keys.forged = integrity_limit(Aead::ChaCha20Poly1305);
    assert!(ends[0].keys.too_many_forged());
}

/// Two sessions with each other, the first's address as good as the second's.
fn sessions() -> [Session; 2] {
    let (ab, ba) = ([1; 32], [2; 32]);
    [(Side::Initiator, ab, ba), (Side::Responder, ba, ab)].map(|(side, send, receive)| {
        let config = Arc::new(TransportConfig::default());
        let way = Way::Udp(Route { socket: SocketId(0), remote: ([10, 0, 0, 1], 7).into(), local: None });
        let addressing =
            Addressing { mask: MaskKind::ChaCha20, receive_key: Zeroizing::new([3; 32]), slot: 0, check: 0 };
        let established = Established {
            id: SessionId(0),
            peer: PeerId::from_bytes([4; 32]),
            side,
            token: [5; 16],
            send_secret: Zeroizing::new(send),
            receive_secret: Zeroizing::new(receive),
            aead: Aead::Aes256Gcm,
            params: Params {
                addressing,
                aeads: AeadSet { aes_256_gcm: true },
                limits: config.limits,
                max_datagram: 65_000,
                idle_timeout: config.idle_timeout,
                max_ack_delay: config.max_ack_delay,
                max_udp_payload: u16::MAX,
                live_session: None,
                alive: false,
            },
            way,
            rtt: None,
        };
        Session::new(established, true, config, pure(), Instant::ZERO)
    })
}

/// Hands over all that one has to send, `damaged` or not. Returns how many packets that was.
fn deliver(from: &mut Session, to: &mut Session, damaged: bool) -> usize {
    let mut buf = vec![0; 2000];
    let mut count = 0;
    while let Some(transmit) = from.poll_transmit(&mut buf, |_| Some(1), Instant::ZERO) {
        let packet = &mut buf[..transmit.len];
        let clear = packet::unmask(packet, &from.mask).unwrap();
        let body = &mut packet[HEAD_LEN..];
        body[0] ^= u8::from(damaged);
        let way = to.way().unwrap();
        to.handle_packet(Head::decode(&clear), &clear, body, way, None, || [0; 8], Instant::ZERO);
        count += 1;
    }
    count
}

#[test]
fn a_session_whose_key_is_used_up_ends_and_both_sides_hear_why() {
    let [mut a, mut b] = sessions();
    // So far that no update was followed by the peer.
    a.keys.sealed = confidentiality_limit(Aead::Aes256Gcm) - 2;
    a.ping();
    assert_eq!(deliver(&mut a, &mut b, false), 1);
    assert_eq!((a.close_reason(), b.close_reason()), (None, None), "one packet is left");
    a.ping();
    deliver(&mut a, &mut b, false);
    assert_eq!(a.close_reason(), Some(&CloseReason::KeysUsedUp));
    assert_eq!(b.close_reason(), Some(&CloseReason::KeysUsedUp));
    assert!(!a.takes_data() && !b.takes_data());
}

#[test]
fn a_session_in_which_too_many_packets_failed_to_authenticate_ends_and_both_sides_hear_why() {
    let [mut a, mut b] = sessions();
    b.keys.forged = integrity_limit(Aead::Aes256Gcm) - 2;
    a.ping();
    assert_eq!(deliver(&mut a, &mut b, true), 1);
    assert_eq!(b.close_reason(), None, "one more may fail");
    a.ping();
    assert_eq!(deliver(&mut a, &mut b, true), 1);
    assert_eq!(b.close_reason(), Some(&CloseReason::PeerMisbehaved(Misbehaviour::IntegrityLimit)));
    deliver(&mut b, &mut a, false);
    let Some(CloseReason::Protocol { reason, .. }) = a.close_reason() else {
        panic!("{:?}", a.close_reason())
    };
    assert_eq!(&reason[..], Misbehaviour::IntegrityLimit.to_string().as_bytes());
}

/// Both hear each other, so that the first may update, and does; then both forget what they may.
fn update(ends: &mut [End; 2]) {
    for update in [true, false] {
        let heard = ends[1].seal();
        ends[0].open(&heard, Instant::ZERO).unwrap();
        assert!(!update || ends[0].keys.update());
        let moved = ends[0].seal();
        ends[1].open(&moved, Instant::ZERO).unwrap();
    }
    let heard = ends[1].seal();
    ends[0].open(&heard, Instant::ZERO).unwrap();
    ends.iter_mut().for_each(|end| end.keys.on_timeout(Instant::ZERO + FORGET));
}

/// For which epochs there is a receive key.
fn window(keys: &Keys) -> Vec<u64> {
    (0..20).filter(|epoch| keys.key_of(*epoch).is_some()).collect()
}

#[test]
fn keys_are_kept_for_the_slowest_stream_and_no_further_back_than_two_epochs() {
    let mut ends = pair(u64::MAX);
    let now = Instant::ZERO + FORGET;
    assert_eq!(window(&ends[1].keys), [0, 1]);
    ends[1].keys.release_below(Some(0), now);
    update(&mut ends);
    assert_eq!((window(&ends[1].keys), window(&ends[0].keys)), (vec![0, 1, 2], vec![1, 2]));
    update(&mut ends);
    assert_eq!(window(&ends[1].keys), [0, 1, 2, 3]);
    assert!(ends[1].keys.reaches(0));
    // A stream that stands still delays nothing.
    update(&mut ends);
    assert_eq!(window(&ends[1].keys), [1, 2, 3, 4]);
    assert!(!ends[1].keys.reaches(0) && ends[1].keys.reaches(1));
    for (oldest, kept) in
        [(Some(2), vec![2, 3, 4]), (Some(1), vec![2, 3, 4]), (Some(3), vec![3, 4]), (None, vec![3, 4])]
    {
        ends[1].keys.release_below(oldest, now);
        assert_eq!(window(&ends[1].keys), kept);
    }
}

#[test]
fn what_streams_keep_opens_no_late_datagram_and_what_udp_keeps_is_dropped_in_its_time() {
    let mut ends = pair(u64::MAX);
    ends[0].keys.release_below(Some(0), Instant::ZERO);
    let hello = ends[1].seal();
    ends[0].open(&hello, Instant::ZERO).unwrap();
    let late = [ends[1].seal(), ends[1].seal()];
    ends[0].keys.update();
    let moved = ends[0].seal();
    ends[1].open(&moved, Instant::ZERO).unwrap();
    let followed = ends[1].seal();
    ends[0].open(&followed, Instant::ZERO).unwrap();
    assert_eq!(ends[0].open(&late[0], Instant::ZERO), Ok(Opened::Known));
    // No stream needs it, but UDP has its time still.
    ends[0].keys.release_below(Some(1), Instant::ZERO);
    assert_eq!(window(&ends[0].keys), [0, 1, 2]);
    ends[0].keys.release_below(Some(0), Instant::ZERO + FORGET);
    assert_eq!(window(&ends[0].keys), [0, 1, 2]);
    assert_eq!(ends[0].open(&late[1], Instant::ZERO), Err(OpenError));
    assert_eq!(ends[0].keys.forged, 0);
    assert!(ends[0].keys.update(), "a stream that lags holds up no update");
}

#[test]
fn the_byte_of_every_epoch_with_a_key_names_it_and_no_other_does() {
    let mut ends = pair(u64::MAX);
    for present in 0..600 {
        ends[0].keys.release_below(Some(u64::saturating_sub(present, 2)), Instant::ZERO);
        assert_eq!(ends[0].keys.epoch, present);
        for byte in 0..=u8::MAX {
            let named =
                (present.saturating_sub(2)..=present + 1).find(|epoch| epoch.to_le_bytes()[0] == byte);
            assert_eq!(ends[0].keys.epoch_of(byte), named, "{byte} in {present}");
        }
        update(&mut ends);
    }
}

#[test]
fn a_box_of_an_epoch_out_of_reach_is_refused_and_counts_for_nothing() {
    let mut ends = pair(u64::MAX);
    (0..5).for_each(|_| update(&mut ends));
    assert_eq!(ends[1].keys.open_box(2, 1, 1, &[0; BOX_LEN]), Err(OpenError));
    assert_eq!(ends[1].keys.forged, 0);
    assert_eq!(ends[1].keys.open_box(3, 1, 1, &[0; BOX_LEN]), Err(OpenError));
    assert_eq!(ends[1].keys.forged, 1);
}
