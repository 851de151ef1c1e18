use super::*;
use crate::crypto::keys::{PacketKey, TrafficSecret};
use crate::crypto::testing::providers;
use crate::crypto::{Aead, pure::pure};
use proptest::prelude::*;

const PATH: u32 = 3;

fn key() -> PacketKey {
    TrafficSecret::new([7; 32]).packet_key(&*pure(), Aead::ChaCha20Poly1305)
}

fn seal(key: &PacketKey, number: u64, frames: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + RECORD_OVERHEAD + frames.len(), 0);
    let room = &mut out[start..];
    if !frames.is_empty() {
        frames_room(room).unwrap().copy_from_slice(frames);
    }
    let len = seal_record(number, room, frames.len(), |number, data| key.seal(PATH, number, &[], data));
    assert_eq!(len, Some(room.len()));
}

/// The frames of all records that `bytes` hold, taken in pieces of these sizes; and how it ended.
fn read(key: &PacketKey, bytes: &[u8], sizes: &[usize]) -> (Vec<Vec<u8>>, Result<bool, RecordError>) {
    let mut reader = RecordReader::new();
    let (mut bytes, mut out) = (bytes.to_vec(), Vec::new());
    let (mut rest, mut sizes) = (&mut bytes[..], sizes.iter().cycle());
    while !rest.is_empty() {
        let mut piece = take(&mut rest, *sizes.next().unwrap());
        loop {
            let open =
                |number, sealed: &_| open_box(sealed, |data, tag| key.open(PATH, number, &[], data, tag));
            match reader.next(&mut piece, open) {
                Ok(Some(mut record)) => {
                    let (number, tag) = (record.number, record.tag);
                    if key.open(PATH, number, &[], &mut record, &tag).is_err() {
                        return (out, Err(reader.fail(RecordError::Broken)));
                    }
                    assert_eq!(number, FIRST_RECORD + out.len() as u64);
                    out.push(record.to_vec());
                    assert_eq!(reader.held(), 0, "a whole record is not held");
                    assert!(!reader.is_partial());
                }
                Ok(None) => break,
                Err(error) => return (out, Err(error)),
            }
        }
        assert!(piece.is_empty());
        assert!(reader.held() <= MAX_FRAMES + TAG_LEN);
        assert!(reader.held() == 0 || reader.is_partial());
    }
    (out, Ok(reader.is_partial()))
}

fn contents(lens: &[usize]) -> Vec<Vec<u8>> {
    lens.iter().zip(1..).map(|(&len, i)| vec![i; len]).collect()
}

fn written(key: &PacketKey, contents: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    contents.iter().zip(FIRST_RECORD..).for_each(|(frames, number)| seal(key, number, frames, &mut out));
    out
}

proptest! {
    #[test]
    fn records_come_out_as_they_went_in_however_the_bytes_are_split(
        lens in prop::collection::vec(prop_oneof![0usize..40, 0usize..5000], 0..12),
        sizes in prop::collection::vec(prop_oneof![1usize..40, 1usize..9000], 1..20),
    ) {
        let (key, contents) = (key(), contents(&lens));
        let bytes = written(&key, &contents);
        prop_assert_eq!(read(&key, &bytes, &sizes), (contents, Ok(false)));
    }

    #[test]
    fn a_changed_bit_ends_the_stream_where_it_stands(
        lens in prop::collection::vec(0usize..60, 1..5),
        at: prop::sample::Index,
        bit in 0u32..8,
        sizes in prop::collection::vec(1usize..90, 1..10),
    ) {
        let (key, contents) = (key(), contents(&lens));
        let mut bytes = written(&key, &contents);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let mut whole = 0;
        let before = lens.iter().take_while(|len| {
            whole += RECORD_OVERHEAD + **len;
            whole <= at
        }).count();
        prop_assert_eq!(read(&key, &bytes, &sizes), (contents[..before].to_vec(), Err(RecordError::Broken)));
    }

    #[test]
    fn what_is_cut_off_is_waited_for(
        lens in prop::collection::vec(0usize..60, 1..5),
        at: prop::sample::Index,
    ) {
        let (key, contents) = (key(), contents(&lens));
        let bytes = written(&key, &contents);
        let at = at.index(bytes.len());
        let (out, partial) = read(&key, &bytes[..at], &[usize::MAX]);
        let taken: usize = out.iter().map(|frames| frames.len() + RECORD_OVERHEAD).sum();
        prop_assert_eq!(&out[..], &contents[..out.len()]);
        prop_assert_eq!(partial, Ok(at > taken));
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_hold_more_than_a_record(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        lens in prop::collection::vec(0usize..=0xff_ffff, 1..4),
        sizes in prop::collection::vec(1usize..90, 1..10),
    ) {
        let (mut reader, mut bytes, mut lens) = (RecordReader::new(), bytes, lens.into_iter().cycle());
        let (mut rest, mut sizes) = (&mut bytes[..], sizes.iter().cycle());
        while !rest.is_empty() {
            let mut piece = take(&mut rest, *sizes.next().unwrap());
            // Boxes that open whatever stands in them.
            while let Ok(Some(_)) = reader.next(&mut piece, |_, _| Ok(lens.next().unwrap())) {}
            prop_assert!(reader.held() <= MAX_FRAMES + TAG_LEN);
        }
    }
}

#[test]
fn every_bit_of_a_short_stream_is_covered() {
    let (key, contents) = (key(), contents(&[5, 0, 30]));
    let bytes = written(&key, &contents);
    for at in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        let (out, end) = read(&key, &bytes, &[bytes.len()]);
        assert_eq!(end, Err(RecordError::Broken));
        assert!(out.len() < contents.len() && out[..] == contents[..out.len()]);
    }
}

#[test]
fn a_record_twice_left_out_or_out_of_order_breaks_the_stream() {
    let (key, contents) = (key(), contents(&[20, 20, 20]));
    let bytes = written(&key, &contents);
    let one = bytes.len() / 3;
    let [a, b, c] = [0, 1, 2].map(|i| &bytes[i * one..(i + 1) * one]);
    for (wrong, good) in [
        ([a, a, b], 1),
        ([b, a, c], 0),
        ([a, c, b], 1),
        ([b, c, a], 0),
        ([a, b, b], 2),
        // A box of one record and the body of another of the same length.
        ([a, &[&b[..BOX_LEN], &c[BOX_LEN..]].concat(), c], 1),
    ] {
        let bytes = wrong.concat();
        assert_eq!(read(&key, &bytes, &[7]), (contents[..good].to_vec(), Err(RecordError::Broken)));
    }
}

#[test]
fn a_record_of_another_path_or_direction_breaks_the_stream() {
    let mut other = vec![0; RECORD_OVERHEAD + 5];
    seal_record(FIRST_RECORD, &mut other, 5, |number, data| key().seal(PATH + 2, number, &[], data)).unwrap();
    assert_eq!(read(&key(), &other, &[9]), (vec![], Err(RecordError::Broken)));
    let back = TrafficSecret::new([8; 32]).packet_key(&*pure(), Aead::ChaCha20Poly1305);
    let bytes = written(&back, &[vec![1; 5]]);
    assert_eq!(read(&key(), &bytes, &[9]), (vec![], Err(RecordError::Broken)));
}

#[test]
fn a_box_is_no_record_and_a_record_no_box() {
    // Three bytes of frames are as long as a box.
    let key = key();
    let bytes = written(&key, &[vec![0; 3]]);
    let (boxed, body) = bytes.split_at(BOX_LEN);
    assert_eq!(body.len(), BOX_LEN);
    let as_box = |number, bytes: &[u8]| {
        open_box(bytes.first_chunk().unwrap(), |data, tag| key.open(PATH, number, &[], data, tag))
    };
    assert_eq!(as_box(box_number(FIRST_RECORD), boxed), Ok(3));
    assert_eq!(as_box(FIRST_RECORD, boxed), Err(OpenError));
    assert_eq!(as_box(box_number(FIRST_RECORD), body), Err(OpenError));
}

#[test]
fn a_length_is_judged_before_it_is_waited_for() {
    let key = key();
    for (frames, fits) in [(MAX_FRAMES, true), (MAX_FRAMES + 1, false), (0xff_ffff, false)] {
        let [_, mut length @ ..] = u32::try_from(frames).unwrap().to_be_bytes();
        let tag = key.seal(PATH, box_number(FIRST_RECORD), &[], &mut length);
        let boxed = [&length[..], &tag].concat();
        let expected = if fits { Ok(true) } else { Err(RecordError::TooLong) };
        assert_eq!(read(&key, &boxed, &[5]), (vec![], expected));
        // Memory is taken with the first byte of the body, not with the box.
        let mut reader = RecordReader::new();
        let mut boxed = boxed;
        let _ = reader.next(&mut &mut boxed[..], |_, _| Ok(frames));
        assert_eq!(reader.held(), 0);
    }
}

#[test]
fn a_reader_that_failed_takes_nothing_more() {
    let mut reader = RecordReader::new();
    let mut bytes = [0; 100];
    let mut input = &mut bytes[..];
    assert_eq!(reader.next(&mut input, |_, _| Err(OpenError)).map(|_| ()), Err(RecordError::Broken));
    let asked = |_, _: &_| panic!("asked again");
    assert_eq!(reader.next(&mut input, asked).map(|_| ()), Err(RecordError::Broken));
}

#[test]
fn the_longest_record_is_sealed_and_no_longer_one() {
    let key = key();
    let frames = vec![5; MAX_FRAMES];
    let bytes = written(&key, std::slice::from_ref(&frames));
    assert_eq!(bytes.len(), MAX_RECORD);
    assert_eq!(read(&key, &bytes, &[1000]).0, [frames]);
    let mut room = vec![0; 1 << 17];
    let none = |_, _: &mut [u8]| panic!("sealed");
    assert_eq!(seal_record(1, &mut room, MAX_FRAMES + 1, none), None);
    assert_eq!(seal_record(MAX_PACKET_NUMBER, &mut room, 5, none), None);
    assert_eq!(seal_record(1, &mut room[..39], 5, none), None);
    assert_eq!(frames_room(&mut room).map(|r| r.len()), Some(MAX_FRAMES));
    for (len, frames) in [(0, None), (35, None), (36, Some(1)), (100, Some(65))] {
        assert_eq!(frames_room(&mut room[..len]).map(|r| r.len()), frames);
    }
}

#[test]
fn several_records_are_written_into_one_buffer() {
    let key = key();
    let mut buf = vec![0; 1000];
    let (mut total, mut expected) = (0, Vec::new());
    for number in FIRST_RECORD.. {
        let Some(room) = frames_room(&mut buf[total..]) else { break };
        let frames = room.len().min(usize::try_from(number).unwrap() * 40);
        room[..frames].fill(u8::try_from(number).unwrap());
        expected.push(room[..frames].to_vec());
        let seal = |number, data: &mut _| key.seal(PATH, number, &[], data);
        total += seal_record(number, &mut buf[total..], frames, seal).unwrap();
    }
    assert!(expected.len() >= 5);
    assert_eq!(read(&key, &buf[..total], &[333]), (expected, Ok(false)));
}

#[test]
fn a_record_is_sealed_and_opened_where_it_lies() {
    let key = key();
    let mut room = vec![3; RECORD_OVERHEAD + 100];
    let place = frames_room(&mut room).unwrap().as_ptr_range();
    let mut sealed = Vec::new();
    seal_record(FIRST_RECORD, &mut room, 100, |number, data| {
        sealed.push((data.as_ptr_range(), number));
        key.seal(PATH, number, &[], data)
    });
    assert_eq!(sealed[1], (place.clone(), FIRST_RECORD));
    assert_eq!(sealed[0].1, FIRST_RECORD + (1 << 63));
    let mut input = &mut room[..];
    let record = RecordReader::new().next(&mut input, |_, _| Ok(100)).unwrap().unwrap();
    assert_eq!(record.as_ptr_range(), place);
}

#[test]
fn all_providers_make_the_same_records() {
    for aead in [Aead::ChaCha20Poly1305, Aead::Aes256Gcm] {
        let made = providers().into_iter().map(|provider| {
            let key = TrafficSecret::new([7; 32]).packet_key(&*provider, aead);
            written(&key, &contents(&[0, 1, 100, 20_000]))
        });
        let made: Vec<_> = made.collect();
        assert!(made.windows(2).all(|pair| pair[0] == pair[1]), "{aead:?}");
    }
}
