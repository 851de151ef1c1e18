use super::*;
use crate::PeerId;
use crate::crypto::pure::pure;
use proptest::prelude::*;

const WALL: UnixTime = UnixTime::from_millis(1_800_000_000_000);

fn key(n: u8) -> HelloKey {
    HelloKey::new(Zeroizing::new([n; 32]))
}

fn hello(key: &HelloKey, salt: Salt, content: &[u8], len: usize) -> Vec<u8> {
    let head = HelloHead { kind: HelloKind::InitiateKnown, version: VERSION, wall: WALL };
    let mut out = Vec::new();
    key.seal_hello(&*pure(), head, salt, [9; 16], content, len, &mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn a_hello_reads_back_with_its_key_and_no_other(
        salt: Salt,
        content in prop::collection::vec(any::<u8>(), 0..800),
        len in 0usize..1100,
    ) {
        let mut datagram = hello(&key(1), salt, &content, len);
        prop_assert_eq!(datagram.len(), len.max(HELLO_OVERHEAD + content.len()));
        prop_assert_eq!(key(2).peek(&datagram), None);
        let head = key(1).peek(&datagram).expect("its own key fits");
        prop_assert_eq!((head.kind, head.version, head.wall), (HelloKind::InitiateKnown, VERSION, WALL));
        let opened = key(1).open_hello(&*pure(), head, &mut datagram).unwrap();
        prop_assert_eq!(opened.salt, salt);
        prop_assert_eq!(opened.cookie, [9; 16]);
        prop_assert_eq!(opened.content, &content[..]);
    }

    /// Head, salt, cookie, body, padding and MAC: all is covered.
    #[test]
    fn no_changed_bit_of_a_hello_goes_unnoticed(at in 0usize..500, bit in 0u32..8) {
        let mut datagram = hello(&key(1), [3; 16], b"content", 500);
        datagram[at] ^= 1 << bit;
        let taken = key(1).peek(&datagram).and_then(|head| {
            key(1).open_hello(&*pure(), head, &mut datagram).ok().map(|_| ())
        });
        prop_assert_eq!(taken, None);
    }

    #[test]
    fn a_truncated_hello_is_refused(len in 0usize..500) {
        let mut datagram = hello(&key(1), [3; 16], b"content", 500);
        datagram.truncate(len);
        let taken = key(1).peek(&datagram).and_then(|head| {
            key(1).open_hello(&*pure(), head, &mut datagram).ok().map(|_| ())
        });
        prop_assert_eq!(taken, None);
    }

    #[test]
    fn a_reply_answers_one_copy_of_a_hello(
        salt: Salt,
        other: Salt,
        content in prop::collection::vec(any::<u8>(), 0..800),
        len in 0usize..1000,
        flip in 0usize..1000,
    ) {
        prop_assume!(salt != other);
        let mut reply = Vec::new();
        key(1).seal_reply(&*pure(), &salt, [5; 16], ReplyKind::Response, &content, len, &mut reply).unwrap();
        prop_assert_eq!(reply.len(), len.max(REPLY_OVERHEAD + content.len()));
        prop_assert_eq!(&reply[..16], &key(1).reply_tag(&salt));
        prop_assert_ne!(key(1).reply_tag(&salt), key(1).reply_tag(&other));
        prop_assert_ne!(key(1).reply_tag(&salt), key(2).reply_tag(&salt));
        for (key, hello) in [(key(1), other), (key(2), salt)] {
            prop_assert!(key.open_reply(&*pure(), &hello, &mut reply.clone()).is_err());
        }
        let mut damaged = reply.clone();
        let at = flip % damaged.len();
        damaged[at] ^= 1;
        prop_assert!(key(1).open_reply(&*pure(), &salt, &mut damaged).is_err());
        prop_assert_eq!(
            key(1).open_reply(&*pure(), &salt, &mut reply),
            Ok((ReplyKind::Response, &content[..]))
        );
    }

    #[test]
    fn no_bytes_make_an_envelope_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let head = HelloHead { kind: HelloKind::Finish, version: VERSION, wall: WALL };
        let _ = key(1).peek(&bytes);
        let _ = key(1).open_hello(&*pure(), head, &mut bytes.clone());
        let _ = key(1).open_reply(&*pure(), &[0; 16], &mut bytes.clone());
    }
}

#[test]
fn two_copies_of_one_message_share_no_run_of_bytes() {
    let a = hello(&key(1), [1; 16], &[7; 300], 700);
    let b = hello(&key(1), [2; 16], &[7; 300], 700);
    for window in [0..16, 48..700] {
        let same = a[window.clone()].iter().zip(&b[window]).filter(|(a, b)| a == b).count();
        assert!(same < 20, "{same} bytes are alike");
    }
}

#[test]
fn a_proof_of_interest_names_one_peer_and_one_salt() {
    let (alice, bob) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
    let proof = key(1).who_is_proof(&[1; 16], &alice);
    assert_eq!(proof, key(1).who_is_proof(&[1; 16], &alice));
    assert_ne!(proof, key(1).who_is_proof(&[1; 16], &bob));
    assert_ne!(proof, key(1).who_is_proof(&[2; 16], &alice));
}

/// All that the key holder makes of a frame.
fn unframed(key: &HelloKey, frame: &[u8; FRAME_LEN]) -> [Option<usize>; 2] {
    [key.unframe_hello(frame), key.unframe_reply(frame)]
}

proptest! {
    #[test]
    fn a_framed_hello_reads_back_with_its_key_and_no_other(
        seed: [u8; 16],
        salt: Salt,
        content in prop::collection::vec(any::<u8>(), 0..1000),
        len in 0usize..=MAX_HELLO,
        bit in 0usize..FRAME_LEN * 8,
    ) {
        let datagram = hello(&key(1), salt, &content, len);
        let mut framed = b"before".to_vec();
        key(1).frame_hello(seed, &datagram, &mut framed).unwrap();
        let (frame, body) = framed[6..].split_first_chunk().unwrap();
        prop_assert_eq!(body, &datagram[..]);
        prop_assert_eq!(&frame[..16], &seed);
        prop_assert_eq!(unframed(&key(1), frame), [Some(datagram.len()), None]);
        prop_assert_eq!(unframed(&key(2), frame), [None, None]);
        let mut damaged = *frame;
        damaged[bit / 8] ^= 1 << (bit % 8);
        // A bit of the length changes what is waited for, and then the hello does not open.
        prop_assert_ne!(unframed(&key(1), &damaged), [Some(datagram.len()), None]);
        prop_assert!((192..208).contains(&bit) || unframed(&key(1), &damaged) == [None, None]);
    }

    #[test]
    fn a_framed_reply_reads_back_and_holds_its_tag_once(
        salt: Salt,
        content in prop::collection::vec(any::<u8>(), 0..1000),
        len in 0usize..=MAX_HELLO,
        bit in 128usize..FRAME_LEN * 8,
    ) {
        let mut reply = Vec::new();
        key(1).seal_reply(&*pure(), &salt, [5; 16], ReplyKind::Response, &content, len, &mut reply).unwrap();
        let mut framed = Vec::new();
        key(1).frame_reply(&reply, &mut framed).unwrap();
        prop_assert_eq!(framed.len(), reply.len() + 16);
        let (frame, body) = framed.split_first_chunk().unwrap();
        prop_assert_eq!(&frame[..16], &key(1).reply_tag(&salt));
        prop_assert_eq!([&frame[..16], body].concat(), reply);
        prop_assert_eq!(unframed(&key(1), frame), [None, Some(body.len())]);
        prop_assert_eq!(unframed(&key(2), frame), [None, None]);
        let mut damaged = *frame;
        damaged[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(unframed(&key(1), &damaged), [None, Some(body.len())]);
    }
}

#[test]
fn only_what_may_be_a_hello_or_a_reply_is_framed() {
    let mut out = Vec::new();
    let mut frames = |len: usize| {
        let bytes = vec![0; len];
        let hello = key(1).frame_hello([1; 16], &bytes, &mut out).is_ok();
        (hello, key(1).frame_reply(&bytes, &mut out).is_ok())
    };
    assert_eq!(frames(0), (false, false));
    assert_eq!(frames(REPLY_OVERHEAD - 1), (false, false));
    assert_eq!(frames(REPLY_OVERHEAD), (false, true));
    assert_eq!(frames(HELLO_OVERHEAD), (true, true));
    assert_eq!(frames(MAX_HELLO), (true, true));
    assert_eq!(frames(MAX_HELLO + 1), (false, false));
    let mut sizes = out.len();
    sizes -= (REPLY_OVERHEAD + 16) + (HELLO_OVERHEAD + 32) + (HELLO_OVERHEAD + 16);
    assert_eq!(sizes, MAX_HELLO + 32 + MAX_HELLO + 16, "what is refused leaves nothing");
}

#[test]
fn a_length_outside_its_bounds_is_a_strangers() {
    let key = key(1);
    for (which, check) in key.frame_checks.into_iter().enumerate() {
        for len in 0..1500 {
            let frame = key.frame([3; 16], check, len).unwrap();
            let lengths = [HELLO_LENGTHS, REPLY_LENGTHS];
            let expected = Some(len).filter(|len| lengths[which].contains(len));
            assert_eq!(unframed(&key, &frame)[which], expected);
            assert_eq!(unframed(&key, &frame)[1 - which], None);
        }
    }
}

#[test]
fn a_datagrams_head_makes_no_frame() {
    // Whoever saw a hello over UDP knows a sample and the head masked by it; nothing more.
    let datagram = hello(&key(1), [3; 16], b"content", 500);
    let frame = [&datagram[datagram.len() - 16..], &datagram[..16]].concat();
    assert_eq!(unframed(&key(1), frame.first_chunk().unwrap()), [None, None]);
    let zeros = key(1).frame([7; 16], [0; 8], 0).unwrap();
    let block = MaskKey::new(MaskKind::ChaCha20, &kdf(&[1; 32], "hello mask", &[])).mask(&[7; 16]);
    assert_ne!(zeros[16..], block);
}
