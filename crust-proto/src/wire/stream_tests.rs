use super::*;
use crate::crypto::mask::MaskKind;
use crate::wire::packet::{MAX_PATH, MAX_SLOT};
use proptest::prelude::*;

/// What a frame of these tests says in clear: a length, and whether it is an Attach.
fn recognise(frame: &[u8; FRAME_LEN]) -> Option<Claim<u8>> {
    let (_, [mark, attach, a, b, ..]) = unmask(frame, &key());
    (mark == 0xaa).then(|| Claim {
        what: attach,
        len: usize::from(u16::from_be_bytes([a, b])),
        attach: attach == 1,
    })
}

fn key() -> MaskKey {
    MaskKey::new(MaskKind::Aes256, &[8; 32])
}

fn greeting(seed: u8, attach: bool, body: &[u8]) -> Vec<u8> {
    let [a, b] = u16::try_from(body.len()).unwrap().to_be_bytes();
    let mut clear = [0; 16];
    clear[..4].copy_from_slice(&[0xaa, u8::from(attach), a, b]);
    [&mask([seed; 16], clear, &key())[..], body].concat()
}

/// Marks and bodies.
type Read = Vec<(u8, Vec<u8>)>;

/// Reads what comes in pieces of these sizes, over and over. What was handed out, and what was left.
fn read(bytes: &[u8], sizes: &[usize]) -> (Read, Result<Vec<u8>, Stranger>) {
    let mut reader = GreetingReader::new();
    let (mut bytes, mut out, mut left) = (bytes.to_vec(), Vec::new(), Vec::new());
    let (mut rest, mut sizes) = (&mut bytes[..], sizes.iter().cycle());
    while !rest.is_empty() {
        let mut piece = take(&mut rest, *sizes.next().unwrap());
        loop {
            match reader.next(&mut piece, recognise) {
                Ok(Some(greeting)) => out.push((greeting.what, greeting.body().to_vec())),
                Ok(None) => break,
                Err(Stranger) => return (out, Err(Stranger)),
            }
            assert!(reader.whole.capacity() <= FRAME_LEN + MAX_BODY);
        }
        left.extend_from_slice(piece);
    }
    (out, Ok(left))
}

proptest! {
    #[test]
    fn greetings_come_out_as_they_went_in_however_the_bytes_are_split(
        lens in prop::collection::vec(0usize..=MAX_BODY, 0..=4),
        attach in 0usize..=MAX_BODY,
        records in prop::collection::vec(any::<u8>(), 0..100),
        sizes in prop::collection::vec(1usize..700, 1..20),
    ) {
        let mut expected: Vec<_> = lens.iter().zip(1..).map(|(&len, i)| (0, vec![i; len])).collect();
        expected.push((1, vec![9; attach]));
        let written: Vec<u8> = expected
            .iter()
            .zip(0..)
            .flat_map(|((attach, body), i)| greeting(i, *attach == 1, body))
            .chain(records.iter().copied())
            .collect();
        prop_assert_eq!(read(&written, &sizes), (expected.clone(), Ok(records.clone())));
        prop_assert_eq!(read(&written, &[1]), (expected.clone(), Ok(records.clone())));
        prop_assert_eq!(read(&written, &[usize::MAX]), (expected, Ok(records)));
    }

    #[test]
    fn an_attach_reads_back_under_its_key_and_no_other(
        slot in 0..MAX_SLOT, check: u32, epoch: u8, path in 0..MAX_PATH, seed: [u8; 16],
        key: [u8; 32], other: [u8; 32], aes: bool, frames in 0usize..900, padding in 0usize..184,
    ) {
        let kind = if aes { MaskKind::Aes256 } else { MaskKind::ChaCha20 };
        let len = u16::try_from(frames + padding + TAG_LEN).unwrap();
        let head = AttachHead { slot, check, epoch, path, len };
        let mut room = [7; FRAME_LEN + MAX_BODY];
        let mut sealed_data = [0; FRAME_LEN];
        let whole = head
            .seal_attach(seed, &MaskKey::new(kind, &key), &mut room, frames, |data, body| {
                assert!(body.iter().take(frames).all(|byte| *byte == 7), "its frames");
                assert!(body.iter().skip(frames).all(|byte| *byte == 0), "PADDING");
                assert_eq!(body.len(), frames + padding);
                sealed_data = *data;
                [9; TAG_LEN]
            })
            .unwrap();
        prop_assert_eq!(whole, FRAME_LEN + usize::from(len));
        prop_assert_eq!(room[whole - TAG_LEN..whole].to_vec(), [9; TAG_LEN]);
        let frame = room.first_chunk().unwrap();
        let (opened, data) = AttachHead::open(frame, &MaskKey::new(kind, &key)).expect("its own key fits");
        prop_assert_eq!((opened, data), (head, sealed_data));
        prop_assert_eq!(&data[..16], &seed);
        prop_assume!(key != other);
        prop_assert!(AttachHead::open(frame, &MaskKey::new(kind, &other)).is_none_or(|(h, _)| h != head));
    }

    /// Some bits are told by the block's zeros; those of slot, check, epoch and path change what is authenticated.
    #[test]
    fn no_changed_bit_of_an_attachs_frame_leaves_its_associated_data(at in 0usize..FRAME_LEN, bit in 0u32..8) {
        let head = AttachHead { slot: 1, check: 2, epoch: 3, path: 4, len: 500 };
        let (mut frame, data) = head.seal([5; 16], &key());
        frame[at] ^= 1 << bit;
        prop_assert!(AttachHead::open(&frame, &key()).is_none_or(|(_, other)| other != data));
    }

    #[test]
    fn no_bytes_make_the_reader_panic_and_a_strangers_take_no_memory(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        size in 1usize..100,
    ) {
        let mut reader = GreetingReader::<()>::new();
        let (mut bytes, mut failed) = (bytes, false);
        for mut piece in bytes.chunks_mut(size) {
            let read = reader.next(&mut piece, |_| None);
            prop_assert!(read.is_ok_and(|greeting| greeting.is_none()) != failed || !failed);
            failed = matches!(reader.stage, Stage::Stranger);
            prop_assert_eq!(reader.whole.capacity(), 0);
        }
        prop_assert_eq!(failed, bytes.len() >= FRAME_LEN);
    }
}

#[test]
fn four_greetings_are_taken_and_an_attach_behind_them_but_no_fifth() {
    let four: Vec<u8> = (0..4).flat_map(|i| greeting(i, false, &[i; 40])).collect();
    let attached = [&four[..], &greeting(4, true, &[4; 40]), b"record"].concat();
    let (out, left) = read(&attached, &[100]);
    assert_eq!((out.len(), left), (5, Ok(b"record".to_vec())));
    let five = [four, greeting(4, false, &[4; 40])].concat();
    let (out, left) = read(&five, &[100]);
    assert_eq!((out.len(), left), (4, Err(Stranger)));
}

#[test]
fn a_claim_of_more_than_a_body_may_have_is_a_strangers() {
    let whole = greeting(1, false, &[0; MAX_BODY]);
    assert_eq!(read(&whole, &[100]).0.len(), 1);
    let longer = greeting(1, false, &[0; MAX_BODY + 1]);
    assert_eq!(read(&longer, &[100]), (Vec::new(), Err(Stranger)));
}

#[test]
fn whoever_was_a_stranger_stays_one() {
    let mut reader = GreetingReader::new();
    let mut bytes = [0; FRAME_LEN];
    assert!(reader.next(&mut &mut bytes[..], recognise).is_err());
    let mut right = greeting(1, false, b"body");
    let mut input = &mut right[..];
    assert!(reader.next(&mut input, recognise).is_err());
    assert!(reader.next(&mut &mut [][..], recognise).is_err());
}

#[test]
fn a_truncated_greeting_is_waited_for_and_shows_as_partial() {
    let whole = greeting(1, false, &[7; 100]);
    for len in 0..whole.len() {
        let mut reader = GreetingReader::new();
        let mut begun = whole[..len].to_vec();
        let mut input = &mut begun[..];
        assert!(reader.next(&mut input, recognise).unwrap().is_none());
        assert!(input.is_empty());
        assert_eq!(reader.is_partial(), len > 0);
        let mut rest = whole[len..].to_vec();
        assert!(reader.next(&mut &mut rest[..], recognise).unwrap().is_some());
        assert!(!reader.is_partial());
    }
}

#[test]
fn a_reply_is_its_seed_and_its_body() {
    let mut written = greeting(6, false, b"what follows the tag");
    let mut reader = GreetingReader::new();
    let mut input = &mut written[..];
    let reply = reader.next(&mut input, recognise).unwrap().unwrap();
    assert_eq!(&*reply.into_reply(), [&[6; 16][..], b"what follows the tag"].concat());
}

#[test]
fn an_attach_is_sealed_only_where_its_frames_fit() {
    let seal = |len: u16, room: usize, frames: usize| {
        let head = AttachHead { slot: 1, check: 2, epoch: 3, path: 4, len };
        let mut room = vec![0; room];
        let mut sealed = false;
        let done = head.seal_attach([5; 16], &key(), &mut room, frames, |_, _| {
            sealed = true;
            [0; TAG_LEN]
        });
        assert_eq!(done.is_some(), sealed, "nothing is sealed that is not sent");
        done
    };
    assert_eq!(seal(100, 132, 84), Some(132));
    assert_eq!(seal(100, 132, 85), None);
    assert_eq!(seal(100, 131, 84), None);
    assert_eq!(seal(15, 2000, 0), None);
    assert_eq!(seal(16, 2000, 0), Some(48));
    assert_eq!(seal(1100, 2000, 0), Some(1132));
    assert_eq!(seal(1101, 2000, 0), None);
}

#[test]
fn an_attachs_block_with_anything_but_zeros_at_its_end_is_none() {
    for len in [0, 15, 1101, u16::MAX] {
        let (frame, _) = AttachHead { slot: 1, check: 2, epoch: 3, path: 4, len }.seal([5; 16], &key());
        assert_eq!(AttachHead::open(&frame, &key()), None, "{len}");
    }
    let (frame, _) = AttachHead { slot: 1, check: 2, epoch: 3, path: 4, len: 500 }.seal([5; 16], &key());
    for at in 29..32 {
        let mut frame = frame;
        frame[at] ^= 1;
        assert_eq!(AttachHead::open(&frame, &key()), None);
    }
}
