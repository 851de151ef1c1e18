#![no_main]
//! A packet's plaintext: whatever decodes encodes to something that decodes to the same.

use crust_proto::wire::codec::{Reader, Writer};
use crust_proto::wire::frame::Frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(data);
    while !reader.is_empty() {
        let before = reader.remaining();
        let Ok(frame) = Frame::decode(&mut reader) else { return };
        assert!(reader.remaining() < before, "a frame takes at least a byte");
        if let Frame::Ack(ack) = &frame {
            let mut last = None;
            for range in ack.ranges() {
                assert!(range.start() <= range.end(), "ranges go upwards");
                assert!(last.is_none_or(|last| *range.end() < last), "and come downwards, apart");
                last = Some(*range.start());
            }
            assert!(last.is_some());
        }
        // An encoding is never much longer than the shortest that says the same, and may be shorter than what came.
        let mut out = vec![0; before + 64];
        let mut w = Writer::new(&mut out);
        frame.encode(&mut w);
        let Ok(len) = w.finish() else { panic!("{frame:?} does not fit where it came from") };
        let again = Frame::decode(&mut Reader::new(&out[..len])).expect("what was encoded decodes");
        match (&frame, &again) {
            // More ranges may have come than are written, and the delay's last bits are not carried.
            (Frame::Ack(a), Frame::Ack(b)) => assert_eq!((a.path, a.largest), (b.path, b.largest)),
            _ => assert_eq!(again, frame),
        }
    }
});
