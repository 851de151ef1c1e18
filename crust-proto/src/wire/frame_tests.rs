use super::*;
use proptest::prelude::*;

fn round_trip(frame: &Frame<'_>) {
    let mut buf = [0u8; 2048];
    let mut w = Writer::new(&mut buf);
    frame.encode(&mut w);
    let len = w.finish().unwrap();
    let mut reader = Reader::new(&buf[..len]);
    assert_eq!(&Frame::decode(&mut reader).unwrap(), frame);
    assert!(reader.is_empty());
    // No prefix of a frame is that frame.
    for cut in 0..len {
        let decoded = Frame::decode(&mut Reader::new(&buf[..cut]));
        assert!(decoded.as_ref() != Ok(frame), "{cut} of {len} bytes decode as the whole {frame:?}");
    }
}

fn value() -> impl Strategy<Value = u64> {
    (0..=super::super::codec::MAX_VARINT, 0u32..62).prop_map(|(v, shift)| v >> shift)
}

fn frame() -> impl Strategy<Value = Frame<'static>> {
    const DATA: &[u8] = &[0x5a; 1500];
    prop_oneof![
        Just(Frame::Ping),
        (value(), value(), value()).prop_map(|(stream, code, final_size)| Frame::ResetStream {
            stream,
            code,
            final_size
        }),
        (value(), value()).prop_map(|(stream, code)| Frame::StopSending { stream, code }),
        (value(), 0u64..1 << 60, 0usize..1400, any::<bool>()).prop_map(|(stream, offset, len, fin)| {
            Frame::Stream(StreamFrame { stream, offset, data: &DATA[..len], fin })
        }),
        value().prop_map(|limit| Frame::MaxData { limit }),
        (value(), value()).prop_map(|(stream, limit)| Frame::MaxStreamData { stream, limit }),
        (any::<bool>(), value())
            .prop_map(|(unidirectional, limit)| Frame::MaxStreams { unidirectional, limit }),
        (any::<u8>(), 0u64..1 << 60, 0usize..1400).prop_map(|(priority, offset, len)| Frame::Message {
            priority,
            offset,
            data: &DATA[..len]
        }),
        (any::<u8>(), value()).prop_map(|(priority, limit)| Frame::MaxMessageData { priority, limit }),
        (value(), 0usize..300).prop_map(|(code, len)| Frame::Close { code, reason: &DATA[..len] }),
        any::<[u8; 8]>().prop_map(Frame::PathChallenge),
        any::<[u8; 8]>().prop_map(Frame::PathResponse),
        (0usize..1400).prop_map(|len| Frame::Datagram(&DATA[..len])),
        (FIRST_EXTENSION..1 << 20, 0usize..1400)
            .prop_map(|(kind, len)| Frame::Unknown { kind, content: &DATA[..len] }),
    ]
}

proptest! {
    #[test]
    fn every_frame_reads_back(frame in frame()) {
        round_trip(&frame);
    }

    #[test]
    fn an_ack_reads_back_with_the_newest_ranges_that_fit(
        members in prop::collection::btree_set(0u64..5000, 1..200),
        room in 0usize..300,
        delay in 0u64..1 << 40,
        ecn in any::<Option<(u16, u16, u16)>>(),
    ) {
        let mut set = RangeSet::default();
        for m in &members {
            set.insert(*m..m + 1);
        }
        let ecn = ecn.map(|(a, b, c)| EcnCounts { ect0: a.into(), ect1: b.into(), ce: c.into() });
        let mut buf = [0u8; 2048];
        let mut w = Writer::new(&mut buf);
        let largest = Ack::encode(9, &set, delay, ecn, room, &mut w);
        let len = w.finish().unwrap();
        prop_assert!(len <= room);
        prop_assert_eq!(largest.is_some(), len > 0);
        if let Some(largest) = largest {
            prop_assert_eq!(largest, *members.last().unwrap());
            let mut reader = Reader::new(&buf[..len]);
            let Ok(Frame::Ack(ack)) = Frame::decode(&mut reader) else { panic!("not an ACK") };
            prop_assert!(reader.is_empty());
            prop_assert_eq!(ack.path, 9);
            prop_assert_eq!(ack.delay_micros, delay >> 3 << 3);
            prop_assert_eq!(ack.ecn, ecn);
            let got: Vec<u64> = ack.ranges().flat_map(|r| r.rev()).collect();
            let want: Vec<u64> = members.iter().rev().copied().take(got.len()).collect();
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic_or_stand_still(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = Reader::new(&bytes);
        while !reader.is_empty() {
            let before = reader.remaining();
            match Frame::decode(&mut reader) {
                Ok(Frame::Ack(ack)) => {
                    let ranges: Vec<_> = ack.ranges().collect();
                    prop_assert!(!ranges.is_empty());
                    prop_assert!(ranges.windows(2).all(|w| w[1].end() + 1 < *w[0].start()));
                }
                Ok(_) => {}
                Err(Malformed) => break,
            }
            prop_assert!(reader.remaining() < before);
        }
    }

    #[test]
    fn data_that_was_said_to_fit_fits(room in 0usize..20_000, offset in value(), stream in value()) {
        let data = vec![0u8; room];
        let offset = offset >> 2;
        let mut buf = vec![0u8; room];
        for kind in 0..3 {
            let fits = match kind {
                0 => stream_room(room, stream, offset),
                1 => message_room(room, offset),
                _ => datagram_room(room),
            };
            if let Some(len) = fits {
                let mut w = Writer::new(&mut buf);
                match kind {
                    0 => Frame::Stream(StreamFrame { stream, offset, data: &data[..len], fin: true }).encode(&mut w),
                    1 => Frame::Message { priority: 3, offset, data: &data[..len] }.encode(&mut w),
                    _ => Frame::Datagram(&data[..len]).encode(&mut w),
                }
                prop_assert!(w.remaining() <= 4);
                prop_assert!(w.finish().is_ok());
            }
        }
    }
}

#[test]
fn an_unknown_core_frame_is_malformed_and_an_unknown_extension_is_skipped() {
    assert_eq!(Frame::decode(&mut Reader::new(&[0x3f, 0, 0])), Err(Malformed));
    let mut reader = Reader::new(&[0x40, 0x40, 2, 7, 7, 1]);
    assert_eq!(Frame::decode(&mut reader), Ok(Frame::Unknown { kind: 0x40, content: &[7, 7] }));
    assert_eq!(Frame::decode(&mut reader), Ok(Frame::Ping));
}

#[test]
fn an_ack_below_packet_zero_is_malformed() {
    // largest 3, first range reaches back 4.
    assert_eq!(Frame::decode(&mut Reader::new(&[0x02, 0, 3, 0, 0, 4])), Err(Malformed));
    // a gap that leads below zero.
    assert_eq!(Frame::decode(&mut Reader::new(&[0x02, 0, 3, 0, 1, 1, 1, 0])), Err(Malformed));
}

#[test]
fn a_delay_that_no_clock_can_count_is_malformed_and_not_cut_short() {
    let decoded = |delay: u64| {
        let mut buf = [0u8; 32];
        let mut w = Writer::new(&mut buf);
        [0x02, 0, 3].into_iter().for_each(|b| w.u8(b));
        w.varint(delay);
        [0, 0].into_iter().for_each(|b| w.u8(b));
        let len = w.finish().unwrap();
        match Frame::decode(&mut Reader::new(&buf[..len])) {
            Ok(Frame::Ack(ack)) => Ok(ack.delay_micros),
            Ok(other) => panic!("{other:?} is no ACK"),
            Err(malformed) => Err(malformed),
        }
    };
    assert_eq!(decoded((1 << 61) - 1), Ok(u64::MAX - 7));
    assert_eq!(decoded(1 << 61), Err(Malformed));
    assert_eq!(decoded((1 << 61) + 1), Err(Malformed));
}
